//! The audit trail: what a call costs with it and without, and how fast all of it is verified.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Line, figure};
use crate::load::rest::ask;
use crate::load::{self, Era, Plan, Scenario, median};
use crate::run::stage::{Contestant, Stage, first_call, ready};
use crate::{Result, process};

/// Records that a verification is measured with, at least.
const RECORDS: u64 = 200_000;
/// Records are written up to 70 ms after their calls. So those of the calls before a window fall into it, as many as fall behind
/// it, and those of one hub's window do not fall into the other's.
const SETTLING: Duration = Duration::from_millis(150);
/// How long a hub is called in its turn.
const TURN: Duration = Duration::from_millis(250);
/// Pairs of turns: their quartiles lie a tenth of a call from the middle one, so of half as many the middle one may be told 0.02
/// too high or too low, as two runs showed.
const PAIRS: usize = 240;
/// Pairs with a turn without an answer that are measured again, and told of: a shared machine may stand still for seconds.
const AGAIN_MAX: usize = 80;
/// Verifications, the middle one of which counts: one alone is over in half a second, and says what the machine did then.
const VERIFICATIONS: usize = 7;

pub(super) async fn measure(stage: &Stage, is_quick: bool) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let pairs = if is_quick { 4 } else { PAIRS };
    let (on, off) = (hub(stage, false, "best_effort").await?, hub(stage, false, "off").await?);
    lines.extend(cost("HTTP", &on, &off, 64, pairs).await?);
    let (on, off) = (hub(stage, true, "best_effort").await?, hub(stage, true, "off").await?);
    for connections in [16, 64] {
        lines.extend(cost("stdio", &on, &off, connections, pairs).await?);
    }
    lines.push(verified(&on, is_quick).await?);
    Ok(lines)
}

/// Puerto before a program or a server over HTTP, with or without an audit.
async fn hub(stage: &Stage, is_program: bool, mode: &str) -> Result<Contestant> {
    let servers = json!({"bench": if is_program { stage.program() } else { stage.served() }});
    let config = json!({"tenants": {"default": {"servers": servers, "audit": {"mode": mode}}}});
    let hub = stage.puerto_with(config).await?;
    let url = format!("{}mcp/default/bench", hub.url).parse()?;
    ready(Contestant { url, ..hub }, Era::Modern, None).await
}

fn plan(hub: &Contestant, connections: usize, window: Duration) -> Plan {
    let warm_up = SETTLING;
    Plan { connections, window, warm_up, ..first_call(hub, Scenario::Call, Scenario::Call.tool()) }
}

/// By short turns, so that what else the machine does falls on both alike.
async fn cost(
    server: &str,
    on: &Contestant,
    off: &Contestant,
    connections: usize,
    pairs: usize,
) -> Result<[Line; 2]> {
    let (mut with, mut without, mut ratios, mut again) = (Vec::new(), Vec::new(), Vec::new(), 0);
    while ratios.len() < pairs {
        // Who goes first has the colder machine: by turns.
        let is_on_first = ratios.len().is_multiple_of(2);
        let [first, second] = if is_on_first { [on, off] } else { [off, on] };
        let (Some(first), Some(second)) = (turn(first, connections).await?, turn(second, connections).await?)
        else {
            again += 1;
            if again > AGAIN_MAX {
                return Err(format!("{again} times no call was answered in a turn").into());
            }
            continue;
        };
        let (one, other) = if is_on_first { (first, second) } else { (second, first) };
        with.push(one);
        without.push(other);
        ratios.push(one / other);
    }
    let of = |values: &[f64]| median(values).ok_or("no turn");
    let (ratio, rss) = (of(&ratios)?, |hub: &Contestant| process::rss(&[hub.process.pid()]));
    let case = format!("audit, small call, modern, {server} server, c={connections}");
    let stood_still = if again > 0 { format!(", {again} pairs again") } else { String::new() };
    Ok([
        Line::new(&case, "Puerto, audit off", String::new()).cpu(of(&without)?).rss(rss(off)?),
        Line::new(&case, "Puerto", format!("CPU {ratio:.2}x{stood_still}"))
            .cpu(of(&with)?)
            .rss(rss(on)?)
            .goal("CPU ≤ 1.10x", ratio <= 1.10),
    ])
}

/// The processor time of a call in one turn, in microseconds; nothing where none was answered in it.
async fn turn(hub: &Contestant, connections: usize) -> Result<Option<f64>> {
    Ok(load::measure(&plan(hub, connections, TURN), &[hub.process.pid()]).await?.cpu_us)
}

async fn verified(hub: &Contestant, is_quick: bool) -> Result<Line> {
    let wanted = if is_quick { 1 } else { RECORDS };
    let records = async || figure(&ask(&hub.url, "/metrics").await?, "auditsCount").map(|count| count as u64);
    while records().await? < wanted {
        load::measure(&plan(hub, 64, Duration::from_secs(1)), &[]).await?;
    }
    let (mut times, mut size) = (Vec::new(), 0.0);
    for _ in 0..VERIFICATIONS {
        let (began, verdict) = (Instant::now(), ask(&hub.url, "/audit/verify").await?);
        if verdict["ok"] != true {
            return Err(format!("the trail is not whole: {verdict}").into());
        }
        times.push(began.elapsed().as_secs_f64());
        size = figure(&verdict, "size")?;
    }
    let seconds = median(&times).ok_or("no verification")?;
    let rate = size / seconds;
    let found = format!(
        "{size:.0} records in {:.0} ms: {rate:.0}/s, the middle one of {VERIFICATIONS}",
        seconds * 1e3
    );
    Ok(Line::new("audit, verification", "Puerto", found).goal("≥ 1,000,000/s", rate >= 1e6))
}
