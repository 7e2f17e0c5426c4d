//! What the watch costs: events, checks beside the blackbox exporter of Prometheus, and the audit trail beside none.

mod checks;
mod events;
mod trail;

use std::fmt::Write;
use std::path::Path;

use super::stage::Stage;
use crate::Result;

/// What is measured, by the beginning of the names of its cases.
const PARTS: [&str; 3] = ["events", "checks", "audit"];

/// A line of the table.
struct Line {
    case: String,
    who: &'static str,
    found: String,
    cpu_us: Option<f64>,
    rss: Option<u64>,
    /// What is asked, and whether it is so.
    goal: Option<(String, bool)>,
}

impl Line {
    fn new(case: &str, who: &'static str, found: String) -> Self {
        Self { case: case.to_owned(), who, found, cpu_us: None, rss: None, goal: None }
    }

    fn cpu(self, cpu_us: f64) -> Self {
        Self { cpu_us: Some(cpu_us), ..self }
    }

    fn rss(self, bytes: u64) -> Self {
        Self { rss: Some(bytes), ..self }
    }

    fn goal(self, asked: &str, is_met: bool) -> Self {
        Self { goal: Some((asked.to_owned(), is_met)), ..self }
    }
}

/// Measures those of the parts whose name holds `only`, and shows them as a table; nothing where that is none.
pub(super) async fn measure(stage: &Stage, peers: Option<&Path>, is_quick: bool, only: &str) -> String {
    let mut text = String::new();
    for part in PARTS.into_iter().filter(|part| part.contains(only)) {
        eprintln!("the watch: {part}");
        let lines = match part {
            "events" => events::measure(stage, is_quick).await,
            "checks" => checks::measure(stage, peers, is_quick).await,
            _ => trail::measure(stage, is_quick).await,
        };
        match lines {
            Ok(lines) => lines.iter().for_each(|line| text.push_str(&shown(line))),
            Err(error) => {
                let _ = writeln!(text, "| {part} | | not measured: {error} | | | |");
            }
        }
    }
    match text.is_empty() {
        true => text,
        false => format!(
            "\n## The watch\n\n| case | who | found | CPU µs each | RSS MiB | target |\n|---|---|---|--:|--:|---|\n{text}"
        ),
    }
}

fn shown(line: &Line) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let rss = line.rss.map(|bytes| bytes as f64 / f64::from(1 << 20));
    let goal = line.goal.as_ref().map(|(asked, is_met)| {
        let verdict = if *is_met { "met" } else { "**missed**" };
        format!("{asked}: {verdict}")
    });
    let Line { case, who, found, cpu_us, .. } = line;
    format!(
        "| {case} | {who} | {found} | {} | {} | {} |\n",
        number(*cpu_us),
        number(rss),
        goal.unwrap_or_default()
    )
}

/// A number out of an answer.
fn figure(answer: &serde_json::Value, name: &str) -> Result<f64> {
    answer[name].as_f64().ok_or_else(|| format!("the answer has no {name}: {answer}").into())
}
