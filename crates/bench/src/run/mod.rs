//! The whole comparison: the same calls directly, through the bare proxy, through Puerto and
//! through its peers, in rounds that take turns, with medians over the rounds.
//!
//! What a contestant cannot do is in the table with the reason, never left out.

mod case;
mod contestant;
mod hub;
mod start;
mod table;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::load::{Plan, Report, Scenario, measure};
use crate::{Result, process};
use case::Case;
use contestant::{Contestant, Kind};
use table::{Outcome, Row};
use world::World;

#[derive(Args)]
pub(crate) struct Options {
    /// The release binary of Puerto.
    #[arg(long)]
    puerto: Option<PathBuf>,
    /// Where peers are installed: environments with `bin/fastmcp` and `bin/mcp-proxy` in them.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Short windows: enough to see that everything works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Only the cases whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Write the table to this file too.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What every part of the comparison needs to know.
struct Setting {
    puerto: Option<PathBuf>,
    fastmcp: Option<PathBuf>,
    mcp_proxy: Option<PathBuf>,
    /// Where configurations, stores and logs go; removed at the end.
    directory: tempfile::TempDir,
    rounds: usize,
    window: Duration,
    warm_up: Duration,
}

pub(crate) async fn main(options: Options) -> Result<()> {
    tokio::select! {
        table = compare(&options) => {
            let table = table?;
            println!("{table}");
            if let Some(out) = &options.out {
                std::fs::write(out, table)?;
            }
            Ok(())
        }
        // Dropping the comparison ends every process that it started.
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn compare(options: &Options) -> Result<String> {
    let (rounds, window, warm_up) = if options.quick { (3, 1000, 300) } else { (5, 4000, 1000) };
    let peers = options.peers.as_deref();
    let setting = Setting {
        puerto: options.puerto.as_deref().map(std::path::absolute).transpose()?,
        fastmcp: contestant::find(peers, "fastmcp")?,
        mcp_proxy: contestant::find(peers, "mcp-proxy")?,
        directory: tempfile::tempdir()?,
        rounds,
        window: Duration::from_millis(window),
        warm_up: Duration::from_millis(warm_up),
    };
    let mut rows = Vec::new();
    for case in case::CASES.iter().filter(|case| case.name.contains(&options.only)) {
        eprintln!("{}", case.name);
        rows.extend(run(case, &setting).await?);
    }
    for measured in [start::IDLE, start::COLD] {
        if measured.contains(&options.only) {
            eprintln!("{measured}");
            rows.extend(start::run(measured, &setting).await?);
        }
    }
    Ok(table::render(&rows, rounds, setting.window))
}

/// One case: its world, all contestants in it, and the rounds.
async fn run(case: &Case, setting: &Setting) -> Result<Vec<Row>> {
    let world = World::start(case.world).await?;
    let mut contestants = Vec::new();
    for kind in Kind::ALL {
        contestants.push(enter(kind, case, &world, setting).await);
    }
    for round in 0..setting.rounds {
        for turn in 0..contestants.len() {
            // Another one begins each round, so that nobody always follows the slowest.
            let number = (round + turn) % contestants.len();
            contestants[number].measure(case, setting).await;
        }
    }
    let mut outcomes = Vec::new();
    for entrant in contestants {
        outcomes.push((entrant.kind, entrant.leave(case).await));
    }
    Ok(table::rows(case, &outcomes))
}

/// A contestant in a case: running, or out with a reason.
struct Entrant {
    kind: Kind,
    running: Result<Contestant>,
    /// Resident memory before the first large call.
    base: u64,
    reports: Vec<Report>,
}

async fn enter(kind: Kind, case: &Case, world: &World, setting: &Setting) -> Entrant {
    let prepared = async {
        let mut contestant = Contestant::start(kind, world, setting).await?;
        contestant.ready(&plan(case, setting, &contestant)).await?;
        if case.scenario == Scenario::Payload {
            // What is set up by calls of any size is not what large ones cost.
            let small = Plan {
                scenario: Scenario::Call,
                tool: "echo".to_owned(),
                ..plan(case, setting, &contestant)
            };
            measure(&small, &[]).await?;
        }
        let base = process::rss(&[contestant.pid])?;
        Ok::<_, crate::Error>((contestant, base))
    };
    let (running, base) = match prepared.await {
        Ok((contestant, base)) => (Ok(contestant), base),
        Err(error) => (Err(error), 0),
    };
    Entrant { kind, running, base, reports: Vec::new() }
}

impl Entrant {
    async fn measure(&mut self, case: &Case, setting: &Setting) {
        let Ok(contestant) = &mut self.running else { return };
        match measure(&plan(case, setting, contestant), &[contestant.pid]).await {
            Ok(report) => self.reports.push(report),
            Err(error) => self.running = Err(error),
        }
    }

    async fn leave(self, case: &Case) -> Outcome {
        match self.running {
            Ok(contestant) => {
                contestant.stop().await;
                Outcome::new(&self.reports, self.base, case.connections)
            }
            Err(error) => Outcome::Absent(error.to_string()),
        }
    }
}

fn plan(case: &Case, setting: &Setting, contestant: &Contestant) -> Plan {
    Plan {
        url: contestant.url.clone(),
        scenario: case.scenario,
        era: case.era,
        connections: case.connections,
        window: setting.window,
        warm_up: setting.warm_up,
        tool: case.scenario.tool().to_owned(),
        bytes: case.bytes,
        expect: (case.scenario == Scenario::List).then(|| case.world.tools_listed()),
    }
}
