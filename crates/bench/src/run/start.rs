//! What a contestant costs before it does anything: memory when idle, time to the first answer.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::contestant::{Contestant, Kind, free_port};
use super::table::Row;
use super::world::{Shape, World};
use super::{Setting, hub};
use crate::load::{Era, Plan, Scenario, first_tool_without_arguments, median};
use crate::{Result, process};

pub(super) const IDLE: &str = "idle RSS";
pub(super) const COLD: &str = "cold start to the first answer";

/// Long enough for what is started lazily, and for what is freed after the start.
const QUIET: Duration = Duration::from_secs(3);
const IDLE_MIB_MAX: f64 = 25.0;
const COLD_MS_MAX: f64 = 100.0;

/// Measures all contestants once per round: Puerto with its default servers, calls through `monitor`;
/// the others with one server over HTTP.
pub(super) async fn run(measured: &'static str, setting: &Setting) -> Result<Vec<Row>> {
    let world = World::start(Shape::Http).await?;
    let mut rows = Vec::new();
    for kind in [Kind::PassThrough, Kind::Puerto, Kind::FastMcp, Kind::McpProxy] {
        let mut values = Vec::new();
        let mut failed = None;
        for _ in 0..setting.rounds {
            match once(measured, kind, &world, setting).await {
                Ok(value) => values.push(value),
                Err(error) => failed = Some(error.to_string()),
            }
            if failed.is_some() {
                break;
            }
        }
        let (unit, limit) = if measured == IDLE { ("MiB", IDLE_MIB_MAX) } else { ("ms", COLD_MS_MAX) };
        rows.push(match (failed, median(&values)) {
            (None, Some(value)) => Row::single(measured, kind, value, unit, limit),
            (reason, _) => Row::absent(measured, kind, &reason.unwrap_or_default()),
        });
    }
    Ok(rows)
}

async fn once(measured: &str, kind: Kind, world: &World, setting: &Setting) -> Result<f64> {
    let mut tool = "echo".to_owned();
    if kind == Kind::Puerto {
        // The name is looked up with one hub and used with the next, which must start cold.
        let mut hub = puerto(setting)?;
        let list = Plan { scenario: Scenario::List, ..plan(&hub, "") };
        hub.ready(&list).await?;
        tool = first_tool_without_arguments(&list).await?;
        hub.stop().await;
    }
    let started = Instant::now();
    let mut contestant =
        if kind == Kind::Puerto { puerto(setting)? } else { Contestant::start(kind, world, setting).await? };
    contestant.ready(&plan(&contestant, &tool)).await?;
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    if measured == COLD {
        contestant.stop().await;
        return Ok(milliseconds);
    }
    sleep(QUIET).await;
    let bytes = process::rss(&[contestant.pid])?;
    contestant.stop().await;
    Ok(bytes as f64 / f64::from(1 << 20))
}

fn puerto(setting: &Setting) -> Result<Contestant> {
    let puerto = setting.puerto.as_deref().ok_or("not given")?;
    let directory = tempfile::tempdir_in(&setting.directory)?.keep();
    let (port, log) = (free_port()?, directory.join("log"));
    let configuration: Value = hub::default_configuration(&directory, port);
    let process = hub::start(puerto, &configuration, &directory, &log)?;
    Contestant::of_process(
        Kind::Puerto,
        &format!("http://127.0.0.1:{port}/mcp/default/monitor"),
        process,
        log,
    )
}

fn plan(contestant: &Contestant, tool: &str) -> Plan {
    // The proxies among the peers speak the older era best.
    let era = if contestant.kind == Kind::Puerto { Era::Modern } else { Era::Legacy };
    Plan {
        url: contestant.url.clone(),
        scenario: Scenario::Call,
        era,
        connections: 1,
        window: Duration::ZERO,
        warm_up: Duration::ZERO,
        tool: tool.to_owned(),
        bytes: 0,
        expect: None,
    }
}
