//! An Alertmanager, by its API v2, or what takes alerts as one does.
//! (<https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>)

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::words::stamp;
use crate::alert::{Alerted, Notice};

/// How long an alert holds there when nobody says anything more. An Alertmanager that is told no end ends it by itself
/// after five minutes, which is before our next reminder.
const HOLDS_MS: i64 = 24 * 3_600_000;

pub(super) fn body(notice: &Notice, now_ms: i64) -> Value {
    notice.alerts.iter().map(|alert| one(alert, notice, now_ms)).collect()
}

fn one(alert: &Alerted, notice: &Notice, now_ms: i64) -> Value {
    let mut labels: BTreeMap<String, &str> =
        alert.labels.iter().map(|(key, value)| (name(key), value.as_str())).collect();
    // Its own name is what says that it is the same alert, so these stand over all others.
    for (key, value) in [
        ("alertname", alert.rule.as_str()),
        ("severity", alert.severity.name()),
        ("subject", &alert.subject),
        ("tenant", notice.tenant.as_str()),
    ] {
        labels.insert(key.to_owned(), value);
    }
    // An empty label is none.
    labels.retain(|_, value| !value.is_empty());
    let mut annotations = BTreeMap::from([("summary", alert.summary.clone())]);
    if !alert.description.is_empty() {
        annotations.insert("description", alert.description.clone());
    }
    if let Some(value) = alert.value {
        annotations.insert("value", value.to_string());
    }
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": stamp(alert.since_ms),
        "endsAt": stamp(alert.until_ms.unwrap_or(now_ms.saturating_add(HOLDS_MS))),
    })
}

/// A label's name as every Alertmanager takes it: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn name(given: &str) -> String {
    let mut name: String = given.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}
