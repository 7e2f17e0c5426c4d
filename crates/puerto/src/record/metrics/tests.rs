//! The list of metrics, and what is made from it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use expect_test::expect_file;
use puerto_core::{ServerName, TenantId};

use super::list::ALL;
use super::*;

const BEGIN: &str =
    "<!-- written by the test the_committed_table_is_that_of_the_list (make monitoring) -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_committed_table_is_that_of_the_list() {
    let mut table = String::from("\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for metric in ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let dash = |text: &str| if text.is_empty() { "–".to_owned() } else { text.to_owned() };
        let (unit, labels) = (dash(metric.unit), dash(&labels.join(", ")));
        writeln!(
            table,
            "| `{}` | {} | {unit} | {labels} | {} |",
            metric.name,
            metric.kind.name(),
            metric.help
        )
        .unwrap();
    }
    table.push('\n');
    let page = include_str!("../../../../../docs/metrics.md");
    let (head, rest) = page.split_once(BEGIN).expect("docs/metrics.md has the place of the table");
    let (_, tail) = rest.split_once(END).expect("docs/metrics.md has the end of the table");
    expect_file!["../../../../../docs/metrics.md"].assert_eq(&format!("{head}{BEGIN}{table}{END}{tail}"));
}

#[test]
fn every_metric_is_registered_as_the_list_says() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    let metrics = Metrics::new();
    metrics.series(&Key {
        kind: Kind::Mcp("ping".into()),
        tenant: "a".into(),
        server: None,
        tool: None,
        outcome: "ok",
    });
    let labels = ServerLabels { tenant: "a".into(), server: "s".into() };
    for family in [&metrics.state.up, &metrics.state.failing, &metrics.state.restarts] {
        family.get_or_create(&labels).set(1);
    }
    let taken =
        |owner| Taken { owner, memory: 1, cpu: Duration::ZERO, processes: 1, largest: None, busiest: None };
    let server = (TenantId::default(), ServerName::new("s").unwrap());
    metrics.takes(&[taken(Some(server)), taken(None)]);
    metrics.has_channels(["a"].into_iter());
    metrics.state.firing.get_or_create(&SeverityLabels { severity: "info" }).set(1);
    let mut text = String::new();
    encode(&mut text, &metrics.registry).unwrap();
    let text = Form::Text.of(text);
    let declared: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let expected: Vec<_> =
        ALL.iter().map(|metric| format!("{} {}", metric.name, metric.kind.name())).collect();
    assert_eq!(declared, expected.iter().map(String::as_str).collect());
    for metric in ALL {
        let sample = text.lines().find(|line| line.starts_with(metric.name)).unwrap();
        let found: Vec<_> =
            sample.split(['{', ',']).filter_map(|part| Some(part.split_once("=\"")?.0)).collect();
        let found: Vec<_> = found.into_iter().filter(|label| *label != "le").collect();
        assert_eq!(found, metric.labels, "{sample}");
    }
}

#[test]
fn rules_and_dashboards_ask_only_for_what_exists() {
    let queries = dashboards::all().into_iter().flat_map(|dashboard| dashboard.panels);
    let queries = queries.flat_map(|panel| panel.queries).map(|(query, _)| query);
    let mut silent: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    for query in queries.chain(rules::rules().into_iter().map(|rule| rule.expr)) {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("mcp_") || word.starts_with("puerto_")) {
            let is_of = |metric: &&list::Metric| metric.part(word).is_some() || metric.labels.contains(&word);
            let found = ALL.iter().find(is_of).unwrap_or_else(|| panic!("{query}: there is no {word}"));
            silent.remove(found.name);
        }
    }
    assert!(silent.is_empty(), "no rule and no dashboard shows {silent:?}");
}
