//! The markdown table: medians over the rounds, ratios against the pass-through of the same round.

use std::fmt::Write;
use std::time::Duration;

use super::case::{Case, Target};
use super::contestant::Kind;
use crate::load::{Report, median};

/// What came of one contestant in one case.
pub(super) enum Outcome {
    Measured {
        rounds: Vec<Report>,
        /// Memory beyond that of small calls, at the peak, per call in flight, in bytes.
        extra_per_call: f64,
    },
    Absent(String),
}

pub(super) struct Row {
    case: String,
    kind: Kind,
    /// Calls/s, p50, p99, CPU per call, the last against the pass-through, and memory per call.
    cells: [String; 6],
    verdict: String,
}

impl Outcome {
    pub(super) fn new(rounds: &[Report], base: u64, connections: usize) -> Self {
        let peak = rounds.iter().filter_map(|report| report.rss_peak).max().unwrap_or(0);
        let extra_per_call = peak.saturating_sub(base) as f64 / connections as f64;
        Outcome::Measured { rounds: rounds.to_vec(), extra_per_call }
    }

    fn rounds(&self) -> &[Report] {
        match self {
            Outcome::Measured { rounds, .. } => rounds,
            Outcome::Absent(_) => &[],
        }
    }

    fn median(&self, of: impl Fn(&Report) -> f64) -> f64 {
        median(&self.rounds().iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    }

    /// The median over the rounds of what `of` makes of this report and the other's.
    fn against(&self, other: &Outcome, of: impl Fn(&Report, &Report) -> f64) -> Option<f64> {
        let pairs = self.rounds().iter().zip(other.rounds());
        median(&pairs.map(|(mine, theirs)| of(mine, theirs)).collect::<Vec<_>>())
    }
}

impl Row {
    /// A row with one number, as good as it is small.
    pub(super) fn single(case: &str, kind: Kind, value: f64, unit: &str, limit: f64) -> Self {
        let verdict = match kind {
            Kind::Puerto => format!("**{value:.1} {unit}** (< {limit:.0}): {}", met(value < limit)),
            _ => format!("{value:.1} {unit}"),
        };
        Self { case: case.to_owned(), kind, cells: Default::default(), verdict }
    }

    pub(super) fn absent(case: &str, kind: Kind, reason: &str) -> Self {
        let verdict = reason.replace('|', "\\|").chars().take(160).collect();
        Self { case: case.to_owned(), kind, cells: std::array::from_fn(|_| "-".to_owned()), verdict }
    }
}

pub(super) fn rows(case: &Case, outcomes: &[(Kind, Outcome)]) -> Vec<Row> {
    let of = |kind: Kind| outcomes.iter().find(|(other, _)| *other == kind).map(|(_, outcome)| outcome);
    let nothing = Outcome::Absent(String::new());
    let pass_through = of(Kind::PassThrough).unwrap_or(&nothing);
    let direct = of(Kind::Direct).unwrap_or(&nothing);
    let row = |(kind, outcome): &(Kind, Outcome)| {
        let extra = match outcome {
            Outcome::Absent(reason) => return Row::absent(case.name, *kind, reason),
            Outcome::Measured { extra_per_call, .. } => *extra_per_call,
        };
        let ratio = outcome.against(pass_through, cpu_ratio).filter(|_| *kind != Kind::Direct);
        let cells = [
            format!("{:.0}", outcome.median(|report| report.per_second)),
            format!("{:.0}", outcome.median(|report| report.p50_us)),
            format!("{:.0}", outcome.median(|report| report.p99_us)),
            format!("{:.1}", outcome.median(cpu)),
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x")),
            format!("{:.0}", extra / 1024.0),
        ];
        let verdict = match kind {
            Kind::Puerto => verdict(case, outcome, extra, pass_through, direct),
            _ => String::new(),
        };
        Row { case: case.name.to_owned(), kind: *kind, cells, verdict }
    };
    outcomes.iter().map(row).collect()
}

fn cpu(report: &Report) -> f64 {
    report.cpu_us.unwrap_or(f64::NAN)
}

fn cpu_ratio(mine: &Report, theirs: &Report) -> f64 {
    cpu(mine) / cpu(theirs)
}

/// What Puerto was to reach, and whether it did.
fn verdict(case: &Case, puerto: &Outcome, extra: f64, pass_through: &Outcome, direct: &Outcome) -> String {
    let added = |mine: &Report, theirs: &Report| mine.p50_us - theirs.p50_us;
    match case.target {
        Target::Cpu(most, aim) => {
            let ratio = puerto.against(pass_through, cpu_ratio).unwrap_or(f64::NAN);
            let wish = if aim < most { format!(", aim {aim}") } else { String::new() };
            format!("CPU **{ratio:.2}x** (≤ {most}x{wish}): {}", met(ratio <= most))
        }
        Target::Added(most) => {
            let over = puerto.against(pass_through, added).unwrap_or(f64::NAN);
            let direct = puerto.against(direct, added);
            let direct = direct.map(|over| format!("; {over:+.0} over direct")).unwrap_or_default();
            format!("p50 **{over:+.0} µs** over pass-through (≤ +{most:.0}): {}{direct}", met(over <= most))
        }
        Target::Memory(most) => {
            let times = extra / case.bytes as f64;
            format!("memory **{times:.2}x** payload per call (≤ {most}x): {}", met(times <= most))
        }
        Target::Within(cpu_most, p99_most) => {
            let (cpu, p99) = (puerto.median(cpu), puerto.median(|report| report.p99_us));
            format!(
                "CPU **{cpu:.0} µs** (≤ {cpu_most:.0}): {}; p99 **{:.1} ms** (< {:.0}): {}",
                met(cpu <= cpu_most),
                p99 / 1e3,
                p99_most / 1e3,
                met(p99 < p99_most)
            )
        }
    }
}

fn met(yes: bool) -> &'static str {
    if yes { "met" } else { "missed" }
}

pub(super) fn render(rows: &[Row], rounds: usize, window: Duration) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut table = format!(
        "Medians of {rounds} rounds that take turns, {} s each, on {cores} cores shared by load, contestant and \
         server: only ratios mean anything. CPU is that of the contestant's own process. A round with a single \
         wrong answer counts as failed. p50 and p99 in µs, CPU in µs per call, memory in KiB beyond small calls \
         per call in flight.\n\n\
         | case | through | calls/s | p50 | p99 | CPU | vs pass-through | memory | result, or why not |\n\
         |---|---|--:|--:|--:|--:|--:|--:|---|\n",
        window.as_secs_f64()
    );
    let mut last = "";
    for Row { case, kind, cells, verdict } in rows {
        let shown = if case == last { "" } else { case };
        let _ = writeln!(table, "| {shown} | {} | {} | {verdict} |", kind.name(), cells.join(" | "));
        last = case;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cpu_us: f64, p50_us: f64) -> Report {
        serde_json::from_value(serde_json::json!({
            "scenario": "call", "era": "modern", "connections": 2, "calls": 1, "seconds": 1.0, "errors": 0,
            "per_second": 1.0, "p50_us": p50_us, "p99_us": 9.0, "cpu_us": cpu_us, "rss": 1, "rss_peak": 5000
        }))
        .unwrap()
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let outcomes = [
            (
                Kind::PassThrough,
                Outcome::new(&[report(10.0, 50.0), report(20.0, 50.0), report(40.0, 50.0)], 1000, 2),
            ),
            (
                Kind::Puerto,
                Outcome::new(&[report(15.0, 90.0), report(30.0, 120.0), report(80.0, 100.0)], 1000, 2),
            ),
            (Kind::FastMcp, Outcome::Absent("a | b".to_owned())),
        ];
        let rows = rows(&super::super::case::CASES[0], &outcomes);
        assert_eq!(rows[1].cells, ["1", "100", "9", "30.0", "1.50x", "2"]);
        assert_eq!(rows[1].verdict, "CPU **1.50x** (≤ 1.75x, aim 1.5): met");
        assert_eq!((rows[2].cells[0].as_str(), rows[2].verdict.as_str()), ("-", "a \\| b"));
    }
}
