//! Alerting rules for Prometheus, made from the list of metrics: `deploy/prometheus/rules.yml`.

use std::fmt::Write as _;

use super::list::{
    CHECKPOINT_AGE, CHECKPOINT_COPIES, EVENTS_COUNT, HEALTHY_SERVICES, Metric, NOTIFICATIONS,
    OPERATION_DURATION, POINTS_LOST, QUEUE_DEPTH, RECORDS_LOST, SERVER_FAILING, SERVER_RESTARTS, SPANS_LOST,
    TESTS_STATUS, TOTAL_SERVICES,
};

/// A rule: when it is so for so long, somebody is told.
pub(super) struct Rule {
    alert: &'static str,
    pub(super) expr: String,
    lasting: &'static str,
    severity: &'static str,
    summary: &'static str,
    description: &'static str,
}

/// All of them, the gravest first.
pub(super) fn rules() -> Vec<Rule> {
    let count = format!("{}_count", OPERATION_DURATION.name);
    let bucket = format!("{}_bucket", OPERATION_DURATION.name);
    let mut all = vec![
        rule(
            "PuertoAbsent",
            "critical",
            "2m",
            format!("absent({})", name(TOTAL_SERVICES)),
            "Puerto is not scraped",
            "Nothing came from Puerto for two minutes: it is down, or its address has changed.",
        ),
        rule(
            "PuertoServiceDown",
            "critical",
            "5m",
            format!("{} - {} > 0", name(TOTAL_SERVICES), name(HEALTHY_SERVICES)),
            "{{ $value }} services are not well",
            "GET /health names them.",
        ),
        rule(
            "PuertoServerFailing",
            "warning",
            "2m",
            format!("{} == 1", name(SERVER_FAILING)),
            "Server {{ $labels.server }} of {{ $labels.tenant }} cannot serve",
            "`puerto logs {{ $labels.server }}` shows what it said last.",
        ),
        rule(
            "PuertoServerRestarts",
            "warning",
            "0m",
            format!("delta({}[15m]) > 3", name(SERVER_RESTARTS)),
            "Server {{ $labels.server }} of {{ $labels.tenant }} starts again and again",
            "It was started {{ $value }} times within 15 minutes.",
        ),
        rule(
            "PuertoErrors",
            "warning",
            "10m",
            format!(
                "sum by (tenant, server) (rate({count}{{error_type!~\"|cancelled\"}}[5m])) / sum by (tenant, server) (rate({count}[5m])) > 0.05"
            ),
            "One in twenty calls of {{ $labels.server }} fails",
            "Of {{ $labels.tenant }}: {{ $value | humanizePercentage }} of what was asked within five minutes.",
        ),
        rule(
            "PuertoSlow",
            "warning",
            "10m",
            format!(
                "histogram_quantile(0.99, sum by (le, tenant, server) (rate({bucket}{{mcp_method_name=\"tools/call\"}}[5m]))) > 10"
            ),
            "Calls of {{ $labels.server }} take long",
            "One in a hundred takes {{ $value | humanizeDuration }} or more.",
        ),
        rule(
            "PuertoRecordsLost",
            "critical",
            "0m",
            format!("delta({}[10m]) > 0", name(RECORDS_LOST)),
            "Records were not kept",
            "The disk or the database does not take them. GET /health tells more.",
        ),
        rule(
            "PuertoStoreBehind",
            "warning",
            "5m",
            format!("{} > 10000", name(QUEUE_DEPTH)),
            "{{ $value }} records and changes wait for the store",
            "The disk or the database is slower than what comes in; from 65,536 on records are lost.",
        ),
        rule(
            "PuertoStoreSilent",
            "critical",
            "2m",
            // No number is not equal to itself.
            format!("{0} != {0}", name(EVENTS_COUNT)),
            "Puerto's store does not answer",
            "Events and audit records cannot be read.",
        ),
        rule(
            "PuertoAuditUnsealed",
            "critical",
            "1m",
            format!("{} > 300", name(CHECKPOINT_AGE)),
            "The audit trail was not signed for {{ $value | humanizeDuration }}",
            "The file of audit.checkpoints cannot be written, or the store does not answer.",
        ),
    ];
    all.extend(sending());
    all.push(rule(
        "PuertoTestsFailing",
        "warning",
        "0m",
        format!("{} == 0", name(TESTS_STATUS)),
        "The newest tests have failed",
        "GET /events?type=tests shows their report.",
    ));
    all
}

/// What is sent to others and does not arrive.
fn sending() -> Vec<Rule> {
    vec![
        notifications_fail(),
        rule(
            "PuertoCheckpointsNotCopied",
            "critical",
            "5m",
            format!("increase({}{{result=\"failed\"}}[10m]) > 0", name(CHECKPOINT_COPIES)),
            "The {{ $labels.to }} of audit.copies does not take the audit trail's checkpoints",
            "What was done since could be written anew by whoever owns the machine. The log of Puerto says why.",
        ),
        rule(
            "PuertoSpansLost",
            "warning",
            "0m",
            format!("increase({}[10m]) > 0", name(SPANS_LOST)),
            "Spans were dropped",
            "The collector of telemetry.otlp is down, refuses them, or is slower than what is done.",
        ),
        rule(
            "PuertoDataPointsLost",
            "warning",
            "0m",
            format!("increase({}[10m]) > 0", name(POINTS_LOST)),
            "Metrics did not reach the collector",
            "The collector of telemetry.otlp is down or refuses them; telemetry.metrics: false sends it none.",
        ),
    ]
}

const fn name(metric: Metric) -> &'static str {
    metric.name
}

fn rule(
    alert: &'static str,
    severity: &'static str,
    lasting: &'static str,
    expr: String,
    summary: &'static str,
    description: &'static str,
) -> Rule {
    Rule { alert, expr, lasting, severity, summary, description }
}

fn notifications_fail() -> Rule {
    Rule {
        alert: "PuertoNotificationsFailing",
        severity: "critical",
        lasting: "0m",
        expr: format!("increase({}{{result=\"failed\"}}[10m]) > 0", NOTIFICATIONS.name),
        summary: "The channel {{ $labels.channel }} does not take what it is told of alerts",
        description: "puerto alerts sent --state dead says why, and puerto alerts test tries the channel out.",
    }
}

/// As YAML; each text as JSON has it, which YAML reads.
fn document() -> String {
    let mut text = String::from(
        "# Written by a test from the list of metrics (make monitoring); docs/metrics.md tells what they mean.\n\
         groups:\n  - name: puerto\n    rules:\n",
    );
    for rule in rules() {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels: {{ severity: {} }}\n        annotations:\n          summary: {}\n          description: {}\n",
            rule.alert,
            quoted(&rule.expr),
            rule.lasting,
            rule.severity,
            quoted(rule.summary),
            quoted(rule.description),
        )
        .unwrap();
    }
    text
}

#[test]
fn the_committed_rules_are_those_of_the_list() {
    expect_test::expect_file!["../../../../../deploy/prometheus/rules.yml"].assert_eq(&document());
}
