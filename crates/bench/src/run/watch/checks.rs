//! Checks of services: how many a second, beside the blackbox exporter, and whether they keep to their times.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Line, figure};
use crate::load::rest::{Make, ask, repeat, request};
use crate::process::Process;
use crate::run::peers;
use crate::run::stage::{Contestant, Stage};
use crate::target::SEEN;
use crate::{Result, process};

/// Services that are checked every second.
const FAST: usize = 5_000;
/// Services that are checked every ten.
const STEADY: usize = 1_000;
/// How long checks run before they are counted: each was due once.
const SETTLE: Duration = Duration::from_secs(2);
/// What drift is taken for none: what two cores with other work do to a single check.
const DRIFT_MAX_US: f64 = 5_000.0;

pub(super) async fn measure(stage: &Stage, peers: Option<&Path>, is_quick: bool) -> Result<Vec<Line>> {
    let window = Duration::from_secs(if is_quick { 3 } else { 10 });
    let mut lines = vec![fast(stage, window).await?];
    lines.push(match blackbox(peers, window).await {
        Ok(line) => line,
        Err(error) => {
            Line::new("checks, as fast as it goes", "blackbox exporter", format!("not measured: {error}"))
        }
    });
    if !is_quick {
        lines.push(steady(stage).await?);
    }
    Ok(lines)
}

/// A target, and where it is.
async fn target(every: Duration) -> Result<(Process, Uri)> {
    let (process, url) =
        Process::start_listening(&["target", "--every", &every.as_millis().to_string()]).await?;
    Ok((process, url.parse()?))
}

/// Puerto with services at a target.
async fn watching(stage: &Stage, at: &Uri, count: usize, every: Duration) -> Result<Contestant> {
    let service = |number: usize| json!({"name": format!("service-{number}"), "url": format!("{at}s/{number}"), "interval": every.as_secs_f64()});
    let services: Vec<Value> = (0..count).map(service).collect();
    stage.puerto_with(json!({"services": services})).await
}

async fn seen(at: &Uri, name: &str) -> Result<f64> {
    figure(&ask(at, SEEN).await?, name)
}

async fn fast(stage: &Stage, window: Duration) -> Result<Line> {
    let every = Duration::from_secs(1);
    let (_target, at) = target(every).await?;
    let hub = watching(stage, &at, FAST, every).await?;
    let pids = [hub.process.pid()];
    sleep(SETTLE).await;
    let (began, before, cpu) = (Instant::now(), seen(&at, "checks").await?, process::cpu(&pids)?);
    sleep(window).await;
    let checks = seen(&at, "checks").await? - before;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), process::cpu(&pids)?.saturating_sub(cpu));
    let healthy = figure(&ask(&hub.url, "/metrics").await?, "healthyServices")?;
    let rate = checks / seconds;
    let found = format!("{rate:.0} checks/s of {FAST} due, {healthy:.0} services well");
    Ok(Line::new("checks, 5,000 services every second", "Puerto", found)
        .cpu(cpu.as_secs_f64() * 1e6 / checks.max(1.0))
        .rss(process::rss(&pids)?)
        // A check that falls on the border of the window belongs to the next.
        .goal("≥ 5,000/s", rate >= FAST as f64 * 0.995))
}

/// The exporter checks when it is asked to: by 16 connections, each of which asks again at once.
async fn blackbox(peers: Option<&Path>, window: Duration) -> Result<Line> {
    let (_target, at) = target(Duration::from_secs(1)).await?;
    let (exporter, url) = peers::blackbox(peers).await?;
    let pids = [exporter.process.pid()];
    let (to, host) = (at.to_string(), url.clone());
    let make: Make = Arc::new(move |client, _| {
        let path = format!("/probe?module=http_2xx&target={to}s/{client}");
        request(&host, "GET", &path, "text/plain", "")
    });
    let rate = repeat(&url, 16, window, &pids, make).await?;
    let found = format!("{:.0} checks/s", rate.per_second);
    let line = Line::new("checks, as fast as it goes", "blackbox exporter", found).cpu(rate.cpu_us);
    if seen(&at, "checks").await? < rate.answered as f64 {
        return Err("it answers more checks than it makes".into());
    }
    Ok(line.rss(process::rss(&pids)?))
}

async fn steady(stage: &Stage) -> Result<Line> {
    let every = Duration::from_secs(10);
    let (_target, at) = target(every).await?;
    let hub = watching(stage, &at, STEADY, every).await?;
    let pids = [hub.process.pid()];
    // Four rounds: what adds up from one to the next shows.
    sleep(every * 4 + SETTLE).await;
    let (drift, late) = (seen(&at, "drift_us").await?, seen(&at, "drift_p99_us").await?);
    let (checks, rss) = (seen(&at, "checks").await?, process::rss(&pids)?);
    let found = format!(
        "{checks:.0} checks; after four rounds a service is checked {:+.2} ms from its time (median; p99 {:+.2} ms)",
        drift / 1e3,
        late / 1e3
    );
    let is_met = drift.abs() < DRIFT_MAX_US && rss < 60 << 20 && checks >= (STEADY * 4) as f64;
    Ok(Line::new("checks, 1,000 services every 10 s", "Puerto", found)
        .rss(rss)
        .goal("no drift, < 60 MiB", is_met))
}
