//! What many sessions cost that do nothing, and whether they share the processes behind them.

use std::time::Duration;

use tokio::time::sleep;

use super::rows::{Kind, Setup};
use super::stage::Stage;
use crate::load::sessions;
use crate::{Result, process};

/// Idle sessions whose memory is measured.
pub(super) const IDLE: usize = 1000;
/// Sessions that call every server.
pub(super) const BUSY: usize = 200;
/// Servers that they call.
pub(super) const SERVERS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];
/// How long memory is left to settle.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) struct Sessions {
    /// Memory of one idle session with its stream, in bytes.
    pub(super) puerto: Result<f64>,
    pub(super) passthrough: Result<f64>,
    /// Processes behind Puerto while all sessions are open.
    pub(super) processes: Result<usize>,
}

pub(super) async fn measure(stage: &Stage) -> Sessions {
    Sessions {
        puerto: idle(stage, Kind::Puerto).await,
        passthrough: idle(stage, Kind::Passthrough).await,
        processes: processes(stage).await,
    }
}

async fn idle(stage: &Stage, kind: Kind) -> Result<f64> {
    let contestant = stage.fresh(Setup::Http, kind).await?;
    let pids = [contestant.process.pid()];
    sleep(SETTLE).await;
    let before = process::rss(&pids)?;
    let open = sessions::idle(&contestant.url, IDLE).await?;
    sleep(SETTLE).await;
    let added = process::rss(&pids)?.saturating_sub(before);
    drop(open);
    Ok(added as f64 / IDLE as f64)
}

async fn processes(stage: &Stage) -> Result<usize> {
    let contestant = stage.puerto_with_programs(&SERVERS).await?;
    let tools: Vec<_> = SERVERS.iter().map(|name| format!("{name}__echo")).collect();
    let (calls, count) = tokio::join!(sessions::call_all(&contestant.url, BUSY, &tools), async {
        // Counted while they are open; a process more at any moment would be one too many.
        let mut most = 0;
        for _ in 0..5 {
            sleep(SETTLE / 10).await;
            most = most.max(process::with_children(&[contestant.process.pid()]).len() - 1);
        }
        most
    });
    calls?;
    Ok(count.max(process::with_children(&[contestant.process.pid()]).len() - 1))
}
