//! The whole comparison: Puerto beside a bare pass-through and beside other proxies.
//!
//! Every round measures every case with every contestant in turn, and Puerto and the pass-through by short
//! turns many times, so that what else the machine does falls on both of them alike; the table shows
//! medians. Ratios are taken between neighbouring turns. Puerto and the pass-through start afresh every
//! round, slow starters once.

mod alone;
mod peers;
mod rows;
mod sessions;
mod stage;
mod table;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::load::{self, Report, Way};
use crate::{Result, process};
use rows::{Kind, ROWS, Row, Setup};
use stage::{Contestant, Stage};

/// How long a contestant may take to answer its first call. FastMCP took more than 30 s on a busy machine.
const READY: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct Options {
    /// The puerto binary to measure.
    #[arg(long)]
    puerto: PathBuf,
    /// One round of short windows, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only the cases whose name holds this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Where `peers/install bench` installed the other proxies.
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
    /// Turns of a case in a round, of those that are fast.
    turns: usize,
    /// Length of such a turn.
    turn: Duration,
    /// Length of the only turn of the others.
    window: Duration,
    warm_up: Duration,
    cold_starts: usize,
}

impl Pace {
    fn new(quick: bool) -> Self {
        let (rounds, turns, cold_starts) = if quick { (1, 2, 3) } else { (7, 5, 9) };
        let [turn, warm_up] = [200, 100].map(Duration::from_millis);
        Self { rounds, turns, turn, window: Duration::from_secs(1), warm_up, cold_starts }
    }
}

/// One case with one contestant in one turn.
#[derive(Clone)]
struct Measured {
    report: Report,
    /// Resident memory before the first call of this case.
    rss_before: u64,
}

/// One case with one contestant, all turns.
struct Cell {
    row: &'static Row,
    kind: Kind,
    turns: Vec<Option<Measured>>,
    /// Why a turn is missing, where it should not be.
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
    let stage = Box::pin(Stage::start(puerto.clone(), options.peers.as_deref())).await?;
    let mut cells = Vec::new();
    for round in 0..pace.rounds {
        for setup in Setup::ALL {
            eprintln!("round {} of {}: {}", round + 1, pace.rounds, setup.name());
            measure_setup(&stage, setup, pace, &options.only, &mut cells).await;
        }
    }
    eprintln!("idle sessions");
    let sessions = sessions::measure(&stage).await;
    let watch = watch::measure(&stage, options.peers.as_deref(), options.quick, &options.only).await;
    drop(stage);
    eprintln!("idle memory and cold start");
    let alone = alone::measure(&puerto, pace.cold_starts).await;
    let text = table::markdown(&cells, &alone, &sessions, pace) + &watch;
    println!("{text}");
    if let Some(out) = &options.out {
        fs::write(out, text).map_err(|error| format!("could not write {}: {error}", out.display()))?;
    }
    Ok(())
}

/// Measures all cases of one setup once.
async fn measure_setup(stage: &Stage, setup: Setup, pace: Pace, only: &str, cells: &mut Vec<Cell>) {
    let rows: Vec<_> = ROWS.iter().filter(|row| row.setup == setup && row.name.contains(only)).collect();
    if rows.is_empty() {
        return;
    }
    let mut fresh = Vec::new();
    for kind in setup.fresh() {
        fresh.push((*kind, stage.fresh(setup, *kind).await));
    }
    let mut all: Vec<(Kind, &Result<Contestant>)> = fresh.iter().map(|(kind, one)| (*kind, one)).collect();
    all.extend(stage.lasting(setup));
    for row in rows {
        let mut all = all.clone();
        if row.way != Way::Streamable {
            let again = all.iter().find(|(kind, _)| *kind == Kind::Puerto).map(|(_, one)| *one);
            all.extend(again.map(|one| (Kind::PuertoStreamable, one)));
        }
        // Memory is that of a process that has answered nothing before.
        let turns = if setup == Setup::Large { 1 } else { pace.turns };
        for turn in 0..turns {
            for (kind, contestant) in &all {
                let window = if turns > 1 && kind.is_fast() { pace.turn } else { pace.window };
                match contestant {
                    _ if turn > 0 && !kind.is_fast() => cell(cells, row, *kind).turns.push(None),
                    Ok(contestant) => {
                        let way = if *kind == Kind::PuertoStreamable { Way::Streamable } else { row.way };
                        keep(cells, row, *kind, measure(row, contestant, way, window, pace.warm_up).await);
                    }
                    Err(error) => keep(cells, row, *kind, Err(error.to_string().into())),
                }
            }
            all.reverse();
        }
    }
}

async fn measure(
    row: &Row,
    contestant: &Contestant,
    way: Way,
    window: Duration,
    warm_up: Duration,
) -> Result<Measured> {
    let pids = [contestant.process.pid()];
    let plan = row.plan(contestant.door(way)?, way, contestant.prefix, window, warm_up);
    let rss_before = process::rss(&pids)?;
    let report = load::measure(&plan, &pids).await?;
    Ok(Measured { report, rss_before })
}

fn cell<'a>(cells: &'a mut Vec<Cell>, row: &'static Row, kind: Kind) -> &'a mut Cell {
    let found = cells.iter().position(|cell| cell.row.name == row.name && cell.kind == kind);
    let at = found.unwrap_or_else(|| {
        cells.push(Cell { row, kind, turns: Vec::new(), reason: None });
        cells.len() - 1
    });
    &mut cells[at]
}

fn keep(cells: &mut Vec<Cell>, row: &'static Row, kind: Kind, outcome: Result<Measured>) {
    let cell = cell(cells, row, kind);
    cell.reason = outcome.as_ref().err().map(ToString::to_string).or(cell.reason.take());
    if let Some(reason) = &cell.reason
        && outcome.is_err()
    {
        eprintln!("  {}, {}: {reason}", row.name, kind.name());
    }
    cell.turns.push(outcome.ok());
}
