//! What Puerto costs before anybody calls: its memory when idle, and how long it takes to answer
//! the first call. Both with the configuration that it brings along, in an empty directory.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stage::{first_call, puerto_up};
use crate::load::{self, Scenario, median};
use crate::{Result, process};

/// How long it is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// How long the first call may take.
const FIRST: Duration = Duration::from_secs(5);
const MONITOR: &str = "/mcp/default/monitor";

pub(super) struct Alone {
    /// In bytes.
    pub(super) idle_rss: Result<f64>,
    /// From the start of the process to the first answer, in milliseconds.
    pub(super) cold_start_ms: Result<f64>,
}

pub(super) async fn measure(puerto: &Path, cold_starts: usize) -> Alone {
    Alone { idle_rss: idle_rss(puerto).await, cold_start_ms: cold_start(puerto, cold_starts).await }
}

async fn idle_rss(puerto: &Path) -> Result<f64> {
    let contestant = puerto_up(puerto, None, MONITOR).await?;
    sleep(IDLE).await;
    Ok(process::rss(&[contestant.process.pid()])? as f64)
}

async fn cold_start(puerto: &Path, count: usize) -> Result<f64> {
    let mut milliseconds = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        let contestant = puerto_up(puerto, None, MONITOR).await?;
        load::probe(&first_call(&contestant, Scenario::Call, "get_uptime"), FIRST).await?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
    }
    median(&milliseconds).ok_or_else(|| "never started".into())
}
