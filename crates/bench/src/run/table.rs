//! The comparison as a markdown table.

use std::fmt::Write;

use super::alone::Alone;
use super::rows::{Kind, ROWS, Row, Target};
use super::sessions::{BUSY, IDLE, SERVERS, Sessions};
use super::{Cell, Measured, Pace};
use crate::load::{Report, median};

const MIB: f64 = (1 << 20) as f64;
const IDLE_MIB: f64 = 25.0;
const COLD_START_MS: f64 = 100.0;
/// As much of a reason as fits a line.
const REASON_MAX: usize = 160;

const HEAD: &str = "\
| case | contestant | requests/s | p50 µs | p99 µs | CPU µs/call | RSS MiB | beside pass-through, or Streamable HTTP | target |
|---|---|--:|--:|--:|--:|--:|---|---|
";

pub(super) fn markdown(cells: &[Cell], alone: &Alone, sessions: &Sessions, pace: Pace) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let Pace { rounds, turns, turn, window, .. } = pace;
    let mut text = format!(
        "# What a call through Puerto costs\n\n\
         Written by `make bench`. Medians of {rounds} round(s): in each, pass-through and Puerto take {turns} short turns of \
         {} s about, others one of {} s (as does everyone where memory is measured). {cores} cores are shared by server, \
         contestant and load generator: compare rows, not machines. Every answer was checked.\n\n{HEAD}",
        turn.as_secs_f64(),
        window.as_secs_f64()
    );
    for row in &ROWS {
        for cell in cells.iter().filter(|cell| cell.row.name == row.name) {
            let base = cells.iter().find(|one| one.row.name == row.name && one.kind == row.base());
            text.push_str(&line(cell, base));
        }
    }
    let idle = alone.idle_rss.as_ref().ok().map(|bytes| bytes / MIB);
    single(&mut text, "idle, default configuration", idle, "MiB resident", IDLE_MIB);
    let cold = alone.cold_start_ms.as_ref().ok().copied();
    single(&mut text, "start to first answered call", cold, "ms", COLD_START_MS);
    of_sessions(&mut text, sessions);
    notes(&mut text, cells, alone, sessions);
    text
}

fn of_sessions(text: &mut String, sessions: &Sessions) {
    let kib = |of: &crate::Result<f64>| of.as_ref().ok().map(|bytes| bytes / 1024.0);
    let (puerto, passthrough) = (kib(&sessions.puerto), kib(&sessions.passthrough));
    let ratio = puerto.zip(passthrough).map(|(this, that)| this / that);
    let _ = writeln!(
        text,
        "| {IDLE} idle sessions with their streams | Puerto | | | | | | {} KiB each, pass-through {}: {}x | ≤ 1.3x: {} |",
        number(puerto, 1),
        number(passthrough, 1),
        number(ratio, 2),
        met(ratio.map(|ratio| ratio <= 1.3))
    );
    let count = sessions.processes.as_ref().ok();
    let _ = writeln!(
        text,
        "| {BUSY} sessions, each calling {} stdio servers | Puerto | | | | | | {} processes | = {}: {} |",
        SERVERS.len(),
        number(count.map(|count| *count as f64), 0),
        SERVERS.len(),
        met(count.map(|count| *count == SERVERS.len()))
    );
}

fn line(cell: &Cell, base: Option<&Cell>) -> String {
    let of = |read: fn(&Report) -> Option<f64>| median_of(cell, |one| read(&one.report));
    let (beside, target) = verdict(cell, base);
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {beside} | {target} |\n",
        cell.row.name,
        cell.kind.name(),
        number(of(|report| Some(report.per_second)), 0),
        number(of(|report| Some(report.p50_us)), 0),
        number(of(|report| Some(report.p99_us)), 0),
        number(of(|report| report.cpu_us), 1),
        number(of(|report| report.rss.map(|bytes| bytes as f64 / MIB)), 1),
    )
}

/// The comparison, and whether it meets the target, which only Puerto has.
fn verdict(cell: &Cell, base: Option<&Cell>) -> (String, String) {
    let base = base.filter(|base| base.kind != cell.kind);
    let ratio = base.and_then(|base| pairs(cell, base, |this, that| Some(cpu(this)? / cpu(that)?)));
    let added =
        base.and_then(|base| pairs(cell, base, |this, that| Some(this.report.p50_us - that.report.p50_us)));
    let memory = median_of(cell, |one| extra_memory(one, cell.row));
    let mut beside = match (ratio, added) {
        (Some(ratio), Some(added)) => format!("CPU {ratio:.2}x, p50 {added:+.0} µs"),
        _ => "-".to_owned(),
    };
    if let (Target::Memory { .. }, Some(memory)) = (cell.row.target, memory) {
        let _ = write!(beside, "; peak +{memory:.2} answers/call");
    }
    if cell.kind != Kind::Puerto {
        return (beside, String::new());
    }
    let target = match cell.row.target {
        Target::Cpu { limit, aim } => {
            let aim = aim.map(|aim| format!(" (aim {aim}x)")).unwrap_or_default();
            format!("CPU ≤ {limit}x{aim}: {}", met(ratio.map(|ratio| ratio <= limit)))
        }
        Target::Added { p50_us } => {
            format!("p50 ≤ +{p50_us} µs: {}", met(added.map(|added| added <= p50_us)))
        }
        Target::Memory { limit } => {
            format!("peak ≤ {limit} answers/call: {}", met(memory.map(|memory| memory <= limit)))
        }
        Target::Slowest { p99_us } => {
            let slow = median_of(cell, |one| Some(one.report.p99_us)).map(|slow| slow < p99_us);
            format!("p99 < {} ms: {}", p99_us / 1e3, met(slow))
        }
        Target::Absolute { cpu_us, p99_us } => {
            let used = median_of(cell, cpu).map(|used| used <= cpu_us);
            let slow = median_of(cell, |one| Some(one.report.p99_us)).map(|slow| slow < p99_us);
            format!("CPU ≤ {cpu_us} µs: {}; p99 < {} ms: {}", met(used), p99_us / 1e3, met(slow))
        }
    };
    (beside, target)
}

fn cpu(measured: &Measured) -> Option<f64> {
    measured.report.cpu_us
}

/// Peak memory beyond that before the case, per call in flight, in answers.
fn extra_memory(measured: &Measured, row: &Row) -> Option<f64> {
    let extra = measured.report.rss_peak?.saturating_sub(measured.rss_before) as f64;
    Some(extra / (row.connections * row.bytes.max(1)) as f64)
}

fn median_of(cell: &Cell, read: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = cell.turns.iter().flatten().filter_map(read).collect();
    median(&values)
}

/// The median of what `compare` finds in each turn.
fn pairs(cell: &Cell, base: &Cell, compare: impl Fn(&Measured, &Measured) -> Option<f64>) -> Option<f64> {
    let turns = cell.turns.iter().zip(&base.turns);
    let values: Vec<f64> = turns.filter_map(|(this, that)| compare(this.as_ref()?, that.as_ref()?)).collect();
    median(&values)
}

fn met(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "-",
    }
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A line of one figure.
fn single(text: &mut String, name: &str, value: Option<f64>, unit: &str, limit: f64) {
    let shown = number(value, 1);
    let met = met(value.map(|value| value < limit));
    let _ = writeln!(
        text,
        "| {name} | Puerto | | | | | | {shown} {unit} | < {limit} {}: {met} |",
        unit.split(' ').next().unwrap_or_default()
    );
}

/// Why figures are missing.
fn notes(text: &mut String, cells: &[Cell], alone: &Alone, sessions: &Sessions) {
    let missing = cells.iter().filter_map(|cell| {
        let reason = cell.reason.as_deref()?;
        Some((format!("{}, {}", cell.row.name, cell.kind.name()), reason.to_owned()))
    });
    let alone = [
        ("idle memory", &alone.idle_rss),
        ("cold start", &alone.cold_start_ms),
        ("idle sessions", &sessions.puerto),
        ("idle sessions, pass-through", &sessions.passthrough),
    ];
    let failed =
        sessions.processes.as_ref().err().map(|e| ("processes of sessions".to_owned(), e.to_string()));
    let alone = alone
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.as_ref().err()?.to_string())))
        .chain(failed);
    let lines: Vec<String> = missing
        .chain(alone)
        .map(|(name, reason)| format!("- {name}: {}\n", reason.chars().take(REASON_MAX).collect::<String>()))
        .collect();
    if !lines.is_empty() {
        let _ = write!(text, "\nNot measured:\n\n{}", lines.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Era, Scenario};

    fn cell(kind: Kind, turns: &[Option<(f64, f64)>]) -> Cell {
        let report = |p50_us, cpu_us| Report {
            scenario: Scenario::Call,
            era: Era::Modern,
            connections: 16,
            calls: 1,
            seconds: 1.0,
            per_second: 1.0,
            p50_us,
            p99_us: p50_us,
            errors: 0,
            cpu_us: Some(cpu_us),
            rss: None,
            rss_peak: None,
        };
        let measured = |(p50, cpu)| Measured { report: report(p50, cpu), rss_before: 0 };
        Cell { row: &ROWS[0], kind, turns: turns.iter().map(|one| one.map(measured)).collect(), reason: None }
    }

    #[test]
    fn ratios_are_taken_within_a_turn() {
        let base = cell(Kind::Passthrough, &[Some((100.0, 10.0)), Some((200.0, 20.0)), None]);
        let this = cell(Kind::Puerto, &[Some((150.0, 15.0)), Some((250.0, 30.0)), Some((9.0, 900.0))]);
        let (beside, target) = verdict(&this, Some(&base));
        assert_eq!(beside, "CPU 1.50x, p50 +50 µs");
        assert_eq!(target, "CPU ≤ 1.75x (aim 1.5x): met");
        assert_eq!(verdict(&base, Some(&base)), ("-".to_owned(), String::new()));
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let base = cell(Kind::Passthrough, &[None]);
        let this = cell(Kind::Puerto, &[Some((150.0, 15.0))]);
        assert_eq!(verdict(&this, Some(&base)).1, "CPU ≤ 1.75x (aim 1.5x): -");
        assert!(line(&base, None).contains("| - | - | - | - | - | - |"));
    }
}
