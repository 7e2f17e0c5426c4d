//! The whole comparison: Puerto beside a bare pass-through and beside other proxies.
//!
//! Every round measures every case with every contestant in turn, so that what else the machine
//! does falls on all of them; the table shows medians over the rounds. Ratios are taken within a
//! round. Puerto and the pass-through start afresh every round, slow starters once.

mod alone;
mod rows;
mod stage;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::load::{self, Report};
use crate::{Result, process};
use rows::{Kind, ROWS, Row, Setup};
use stage::{Contestant, Stage};

/// How long a contestant may take to answer its first call.
const READY: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// The puerto binary to measure.
    #[arg(long)]
    puerto: PathBuf,
    /// One round of short windows, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Where `peers/install` installed the other proxies.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Write the table to this file too.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How long everything takes.
#[derive(Clone, Copy)]
struct Pace {
    rounds: usize,
    window: Duration,
    warm_up: Duration,
    cold_starts: usize,
}

impl Pace {
    fn new(quick: bool) -> Self {
        let warm_up = Duration::from_millis(300);
        match quick {
            true => Self { rounds: 1, window: Duration::from_secs(1), warm_up, cold_starts: 3 },
            false => Self { rounds: 7, window: Duration::from_secs(1), warm_up, cold_starts: 9 },
        }
    }
}

/// One case with one contestant in one round.
#[derive(Clone)]
struct Measured {
    report: Report,
    /// Resident memory before the first call of this case.
    rss_before: u64,
}

/// One case with one contestant, all rounds.
struct Cell {
    row: &'static Row,
    kind: Kind,
    rounds: Vec<Option<Measured>>,
    /// Why a round is missing.
    reason: Option<String>,
}

pub(crate) async fn main(options: Options) -> Result<()> {
    // Leaving by return ends what was started; leaving by signal would not.
    tokio::select! {
        result = compare(&options) => result,
        _ = tokio::signal::ctrl_c() => Err("stopped".into()),
    }
}

async fn compare(options: &Options) -> Result<()> {
    let pace = Pace::new(options.quick);
    let puerto = options.puerto.canonicalize().map_err(|error| format!("no puerto to measure: {error}"))?;
    if let Some(folder) = options.out.as_deref().and_then(Path::parent) {
        fs::create_dir_all(folder)?;
    }
    let stage = Stage::start(puerto.clone(), options.peers.as_deref()).await?;
    let mut cells = Vec::new();
    for round in 0..pace.rounds {
        for setup in Setup::ALL {
            eprintln!("round {} of {}: {}", round + 1, pace.rounds, setup.name());
            measure_setup(&stage, setup, round, pace, &mut cells).await;
        }
    }
    drop(stage);
    eprintln!("idle memory and cold start");
    let alone = alone::measure(&puerto, pace.cold_starts).await;
    let text = table::markdown(&cells, &alone, pace);
    println!("{text}");
    if let Some(out) = &options.out {
        fs::write(out, text).map_err(|error| format!("could not write {}: {error}", out.display()))?;
    }
    Ok(())
}

/// Measures all cases of one setup once.
async fn measure_setup(stage: &Stage, setup: Setup, round: usize, pace: Pace, cells: &mut Vec<Cell>) {
    let mut fresh = Vec::new();
    for kind in setup.fresh() {
        fresh.push((*kind, stage.fresh(setup, *kind).await));
    }
    let mut all: Vec<(Kind, &Result<Contestant>)> = fresh.iter().map(|(kind, one)| (*kind, one)).collect();
    all.extend(stage.lasting(setup));
    if round % 2 == 1 {
        all.reverse();
    }
    for row in ROWS.iter().filter(|row| row.setup == setup) {
        for (kind, contestant) in &all {
            let outcome = match contestant {
                Ok(contestant) => measure(row, contestant, pace).await,
                Err(error) => Err(error.to_string().into()),
            };
            keep(cells, row, *kind, outcome);
        }
    }
}

async fn measure(row: &Row, contestant: &Contestant, pace: Pace) -> Result<Measured> {
    let pids = [contestant.process.pid()];
    let plan = row.plan(contestant.url.clone(), pace);
    let rss_before = process::rss(&pids)?;
    let report = load::measure(&plan, &pids).await?;
    Ok(Measured { report, rss_before })
}

fn keep(cells: &mut Vec<Cell>, row: &'static Row, kind: Kind, outcome: Result<Measured>) {
    let found = cells.iter().position(|cell| cell.row.name == row.name && cell.kind == kind);
    let at = found.unwrap_or_else(|| {
        cells.push(Cell { row, kind, rounds: Vec::new(), reason: None });
        cells.len() - 1
    });
    match outcome {
        Ok(measured) => cells[at].rounds.push(Some(measured)),
        Err(error) => {
            eprintln!("  {}, {}: {error}", row.name, kind.name());
            cells[at].rounds.push(None);
            cells[at].reason = Some(error.to_string());
        }
    }
}
