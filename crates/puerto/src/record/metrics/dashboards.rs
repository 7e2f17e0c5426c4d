//! Dashboards for Grafana, made from the list of metrics: `deploy/grafana/*.json`.

use expect_test::expect_file;
use serde_json::{Value, json};

use super::list::{
    ALERTS_FIRING, AUDITS_COUNT, CHECKPOINT_AGE, CHECKPOINT_COPIES, EVENTS_COUNT, EVENTS_INGESTED,
    HEALTHY_SERVICES, HUB_CPU, HUB_MEMORY, Metric, NOTIFICATIONS, OPERATION_DURATION, PAYLOAD_BYTES,
    POINTS_LOST, POINTS_SENT, QUEUE_DEPTH, RECORDS_LOST, SERVER_CPU, SERVER_FAILING, SERVER_MEMORY,
    SERVER_PROCESSES, SERVER_RESTARTS, SERVER_UP, SESSIONS_OPEN, SPANS_LOST, SPANS_SENT, TESTS_STATUS,
    TEXTS_LOST, TOTAL_SERVICES, UPTIME_PERCENT,
};

/// How a panel shows its numbers.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// The newest number, large.
    Stat,
    /// Lines over time.
    Lines,
    /// One row of colours a server.
    Matrix,
    /// One row of numbers a server.
    Table,
}

/// A panel: its queries with what each line is called.
pub(super) struct Panel {
    title: &'static str,
    shape: Shape,
    unit: &'static str,
    width: u64,
    pub(super) queries: Vec<(String, &'static str)>,
}

/// What a dashboard shows, in the tenants that are chosen.
pub(super) struct Dashboard {
    uid: &'static str,
    title: &'static str,
    pub(super) panels: Vec<Panel>,
}

const EACH: &str = "{{tenant}}/{{server}}";

fn panel(
    title: &'static str,
    shape: Shape,
    unit: &'static str,
    width: u64,
    queries: Vec<(String, &'static str)>,
) -> Panel {
    Panel { title, shape, unit, width, queries }
}

fn stat(title: &'static str, unit: &'static str, metric: Metric) -> Panel {
    panel(title, Shape::Stat, unit, 4, vec![(metric.name.into(), "")])
}

/// A metric in the chosen tenants.
fn chosen(metric: Metric) -> String {
    format!("{}{{tenant=~\"$tenant\"}}", metric.name)
}

/// Calls per second in the chosen tenants, in all or by labels; `also` narrows them.
fn calls(by: &str, also: &str) -> String {
    format!("sum{by}(rate({}_count{{tenant=~\"$tenant\"{also}}}[$__rate_interval]))", OPERATION_DURATION.name)
}

/// Share of what failed: 0 and not nothing where none did.
fn errors(by: &str) -> String {
    let (failed, all) = (calls(by, ", error_type!~\"|cancelled\""), calls(by, ""));
    format!("({failed} or 0 * {all}) / {all}")
}

/// Time within which this share of calls was answered.
fn quantile(share: &str, by: &str) -> String {
    format!(
        "histogram_quantile({share}, sum by (le{by}) (rate({}_bucket{{tenant=~\"$tenant\"}}[$__rate_interval])))",
        OPERATION_DURATION.name
    )
}

fn overview() -> Dashboard {
    let rate = |metric: Metric| format!("rate({}[$__rate_interval])", metric.name);
    Dashboard {
        uid: "puerto-overview",
        title: "Puerto",
        panels: vec![
            stat("Healthy services", "none", HEALTHY_SERVICES),
            stat("Services", "none", TOTAL_SERVICES),
            stat("Up", "percent", UPTIME_PERCENT),
            stat("Events", "short", EVENTS_COUNT),
            stat("Audit records", "short", AUDITS_COUNT),
            stat("Tests (1 passing, 0 failing, -1 unknown)", "none", TESTS_STATUS),
            panel(
                "Calls per second",
                Shape::Lines,
                "reqps",
                12,
                vec![(calls(" by (mcp_method_name) ", ""), "{{mcp_method_name}}")],
            ),
            panel("Share of errors", Shape::Lines, "percentunit", 12, vec![(errors(""), "errors")]),
            panel(
                "Duration of calls",
                Shape::Lines,
                "s",
                12,
                vec![
                    (quantile("0.5", ""), "half within"),
                    (quantile("0.95", ""), "95 % within"),
                    (quantile("0.99", ""), "99 % within"),
                ],
            ),
            panel(
                "Bytes per second",
                Shape::Lines,
                "Bps",
                12,
                vec![(
                    format!("sum by (direction) (rate({}[$__rate_interval]))", chosen(PAYLOAD_BYTES)),
                    "{{direction}}",
                )],
            ),
            panel(
                "Servers up",
                Shape::Lines,
                "none",
                8,
                vec![
                    (format!("sum({})", chosen(SERVER_UP)), "up"),
                    (format!("sum({})", chosen(SERVER_FAILING)), "cannot serve"),
                ],
            ),
            panel("Restarts", Shape::Lines, "none", 8, vec![(chosen(SERVER_RESTARTS), EACH)]),
            panel("Sessions open", Shape::Lines, "none", 8, vec![(SESSIONS_OPEN.name.into(), "sessions")]),
            panel("Events per second", Shape::Lines, "cps", 6, vec![(rate(EVENTS_INGESTED), "events")]),
            panel(
                "Waiting for the store",
                Shape::Lines,
                "none",
                6,
                vec![(QUEUE_DEPTH.name.into(), "waiting")],
            ),
            panel(
                "Not kept",
                Shape::Lines,
                "none",
                6,
                vec![(RECORDS_LOST.name.into(), "records"), (TEXTS_LOST.name.into(), "texts")],
            ),
            panel("Age of the audit's seal", Shape::Lines, "s", 6, vec![(CHECKPOINT_AGE.name.into(), "age")]),
            panel("Alerts", Shape::Lines, "none", 12, vec![(ALERTS_FIRING.name.into(), "{{severity}}")]),
            panel(
                "Notices per second",
                Shape::Lines,
                "cps",
                12,
                vec![(rate(NOTIFICATIONS), "{{channel}} {{result}}")],
            ),
            panel("Memory of the hub", Shape::Lines, "bytes", 12, vec![(HUB_MEMORY.name.into(), "hub")]),
            panel("Cores of the hub", Shape::Lines, "none", 12, vec![(rate(HUB_CPU), "hub")]),
            panel(
                "Copies of checkpoints per second",
                Shape::Lines,
                "cps",
                24,
                vec![(rate(CHECKPOINT_COPIES), "{{to}} {{result}}")],
            ),
            panel(
                "Spans per second",
                Shape::Lines,
                "cps",
                12,
                vec![(rate(SPANS_SENT), "sent"), (rate(SPANS_LOST), "lost")],
            ),
            panel(
                "Data points of metrics per second",
                Shape::Lines,
                "cps",
                12,
                vec![(rate(POINTS_SENT), "sent"), (rate(POINTS_LOST), "lost")],
            ),
        ],
    }
}

fn services() -> Dashboard {
    let each = " by (tenant, server) ";
    let table = vec![
        (chosen(SERVER_UP), "up"),
        (calls(each, ""), "calls per second"),
        (errors(each), "errors"),
        (quantile("0.95", ", tenant, server"), "95 % within"),
        (chosen(SERVER_RESTARTS), "restarts"),
    ];
    Dashboard {
        uid: "puerto-services",
        title: "Puerto: services",
        panels: vec![
            stat("Healthy services", "none", HEALTHY_SERVICES),
            stat("Services", "none", TOTAL_SERVICES),
            stat("Up", "percent", UPTIME_PERCENT),
            panel("Which serve", Shape::Matrix, "none", Dashboard::COLUMNS, vec![(chosen(SERVER_UP), EACH)]),
            panel(
                "Which cannot",
                Shape::Matrix,
                "none",
                Dashboard::COLUMNS,
                vec![(chosen(SERVER_FAILING), EACH)],
            ),
            panel("Each server now", Shape::Table, "none", Dashboard::COLUMNS, table),
            panel("Calls per second", Shape::Lines, "reqps", 12, vec![(calls(each, ""), EACH)]),
            panel("Share of errors", Shape::Lines, "percentunit", 12, vec![(errors(each), EACH)]),
            panel(
                "95 % of calls within",
                Shape::Lines,
                "s",
                12,
                vec![(quantile("0.95", ", tenant, server"), EACH)],
            ),
            panel("Restarts", Shape::Lines, "none", 12, vec![(chosen(SERVER_RESTARTS), EACH)]),
            panel("Memory", Shape::Lines, "bytes", 8, vec![(chosen(SERVER_MEMORY), EACH)]),
            panel(
                "Cores",
                Shape::Lines,
                "none",
                8,
                vec![(format!("rate({}[$__rate_interval])", chosen(SERVER_CPU)), EACH)],
            ),
            panel("Processes", Shape::Lines, "none", 8, vec![(chosen(SERVER_PROCESSES), EACH)]),
        ],
    }
}

/// All of them.
pub(super) fn all() -> [Dashboard; 2] {
    [overview(), services()]
}

impl Panel {
    fn height(&self) -> u64 {
        if self.shape == Shape::Stat { 4 } else { 8 }
    }

    fn json(&self, id: usize, x: u64, y: u64) -> Value {
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        let is_table = self.shape == Shape::Table;
        let targets: Vec<_> = self.queries.iter().zip('A'..).map(|((expr, legend), letter)| {
            json!({
                "refId": letter.to_string(), "datasource": source, "expr": expr, "legendFormat": legend,
                "instant": is_table, "range": !is_table, "format": if is_table { "table" } else { "time_series" },
            })
        }).collect();
        let kind = match self.shape {
            Shape::Stat => "stat",
            Shape::Lines => "timeseries",
            Shape::Matrix => "state-timeline",
            Shape::Table => "table",
        };
        let mut panel = json!({
            "id": id, "type": kind, "title": self.title, "datasource": source, "targets": targets,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height()},
            "fieldConfig": {"defaults": {"unit": self.unit}, "overrides": []},
        });
        if is_table {
            let hidden = json!({"Time": true, "__name__": true, "instance": true, "job": true});
            let columns = self
                .queries
                .iter()
                .zip('A'..)
                .map(|((_, name), letter)| (format!("Value #{letter}"), Value::from(*name)));
            let renamed: serde_json::Map<_, _> = columns.collect();
            panel["transformations"] = json!([
                {"id": "merge", "options": {}},
                {"id": "organize", "options": {"excludeByName": hidden, "renameByName": renamed}},
            ]);
        }
        panel
    }
}

impl Dashboard {
    /// Of Grafana's grid.
    const COLUMNS: u64 = 24;

    fn json(&self) -> Value {
        let (mut x, mut y, mut height) = (0, 0, 0);
        let mut panels = Vec::new();
        for (at, panel) in self.panels.iter().enumerate() {
            if x + panel.width > Self::COLUMNS {
                (x, y) = (0, y + height);
            }
            panels.push(panel.json(at + 1, x, y));
            (x, height) = (x + panel.width, panel.height());
        }
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        let tenants = format!("label_values({}, tenant)", SERVER_UP.name);
        json!({
            "uid": self.uid, "title": self.title, "tags": ["puerto"], "editable": true, "schemaVersion": 39,
            "refresh": "10s", "time": {"from": "now-1h", "to": "now"}, "timezone": "",
            "templating": {"list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "tenant", "type": "query", "datasource": source, "refresh": 2, "sort": 1,
                    "query": {"query": tenants, "refId": "tenant"}, "definition": tenants,
                    "multi": true, "includeAll": true, "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]},
            "panels": panels,
        })
    }
}

#[test]
fn the_committed_dashboards_are_those_of_the_list() {
    let files = [
        expect_file!["../../../../../deploy/grafana/overview.json"],
        expect_file!["../../../../../deploy/grafana/services.json"],
    ];
    for (file, dashboard) in files.into_iter().zip(all()) {
        file.assert_eq(&(serde_json::to_string_pretty(&dashboard.json()).unwrap() + "\n"));
    }
}
