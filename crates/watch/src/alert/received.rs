//! Alerts as Prometheus sends them to an Alertmanager (API v2), and as an Alertmanager sends them to webhooks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Fault;

/// Alerts of one body.
pub const RECEIVED_MAX: usize = 1_000;
/// Labels, and annotations, of an alert.
const LABELS_MAX: usize = 64;
/// Length of a label's name, and of a value, in bytes.
const LABEL_NAME_LEN_MAX: usize = 256;
const LABEL_LEN_MAX: usize = 4_096;

/// An alert as somebody else raised it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What names it; `alertname` is among them.
    pub labels: BTreeMap<String, String>,
    /// What is said of it, such as `summary` and `description`.
    pub annotations: BTreeMap<String, String>,
    /// Since when it holds, in milliseconds since 1970, where that is said.
    pub starts_ms: Option<i64>,
    /// When it ends or has ended, where that is said.
    pub ends_ms: Option<i64>,
    /// Whether its sender says that it is over.
    pub is_over: bool,
    /// Where it comes from.
    pub generator: Option<String>,
}

/// One as it stands in either form; what else is in it does not matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    status: Option<serde_json::Value>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

/// The body of an Alertmanager's webhook.
#[derive(Deserialize)]
struct Hook<'a> {
    #[serde(borrow)]
    alerts: Vec<&'a RawValue>,
}

/// Reads a body: `[{labels, annotations, startsAt, endsAt, generatorURL}]` or `{version, status, alerts: […]}`. The present
/// moment says whether an end is past.
///
/// # Errors
/// Where it is neither, or one of its alerts is none, or there are too many; nothing of it counts then.
pub fn received(body: &[u8], now_ms: i64) -> Result<Vec<Received>, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| shape("body", "must be text in UTF-8"))?;
    let (name, alerts) = if text.trim_start().starts_with('[') {
        (
            "alerts",
            serde_json::from_str::<Vec<&RawValue>>(text).map_err(|error| shape("body", &words(&error)))?,
        )
    } else {
        let hook: Hook<'_> = serde_json::from_str(text).map_err(|error| shape("body", &words(&error)))?;
        ("alerts", hook.alerts)
    };
    limited(name, alerts.len(), "alerts", RECEIVED_MAX)?;
    let place = |at: usize| format!("{name}[{at}]");
    alerts.iter().enumerate().map(|(at, raw)| one(raw.get(), &place(at), now_ms)).collect()
}

fn one(text: &str, place: &str, now_ms: i64) -> Result<Received, Fault> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| shape(place, &words(&error)))?;
    for (name, texts) in [("labels", &raw.labels), ("annotations", &raw.annotations)] {
        let place = format!("{place}.{name}");
        limited(&place, texts.len(), "entries", LABELS_MAX)?;
        for (key, value) in texts {
            limited(&place, key.len(), "bytes of a name", LABEL_NAME_LEN_MAX)?;
            limited(&place, value.len(), "bytes of a value", LABEL_LEN_MAX)?;
        }
    }
    // An empty label is none, as Prometheus has it.
    let labels: BTreeMap<_, _> = raw.labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if !labels.contains_key("alertname") {
        return Err(shape(&format!("{place}.labels"), "there is no \"alertname\""));
    }
    if let Some(url) = &raw.generator_url {
        limited(&format!("{place}.generatorURL"), url.len(), "bytes", LABEL_LEN_MAX)?;
    }
    let starts_ms = moment(raw.starts_at.as_deref(), &format!("{place}.startsAt"))?;
    let ends_ms = moment(raw.ends_at.as_deref(), &format!("{place}.endsAt"))?;
    // In an Alertmanager's list of alerts a status is an object, which says nothing of an end.
    let said = raw.status.as_ref().and_then(|status| status.as_str());
    let is_over = said == Some("resolved") || ends_ms.is_some_and(|end| end <= now_ms);
    let generator = raw.generator_url.filter(|url| !url.is_empty());
    Ok(Received { labels, annotations: raw.annotations, starts_ms, ends_ms, is_over, generator })
}

/// A point in time. The first year of our era stands for none: so Go writes a time that was never set.
fn moment(given: Option<&str>, place: &str) -> Result<Option<i64>, Fault> {
    let Some(text) = given.filter(|text| !text.is_empty() && !text.starts_with("0001-01-01")) else {
        return Ok(None);
    };
    let at: Timestamp =
        text.parse().map_err(|_| shape(place, "is no point in time, as in \"2026-11-22T05:00:00Z\""))?;
    Ok(Some(at.as_millisecond()))
}

fn shape(at: &str, why: &str) -> Fault {
    Fault::Shape { at: at.to_owned(), why: why.to_owned() }
}

fn limited(at: &str, found: usize, unit: &'static str, limit: usize) -> Result<(), Fault> {
    if found <= limit { Ok(()) } else { Err(Fault::Size { at: at.to_owned(), found, unit, limit }) }
}

/// What serde says, without the place in a text that nobody sees.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    if error.is_data() { text.to_owned() } else { format!("is not valid JSON: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000;

    fn fault(body: &str) -> String {
        received(body.as_bytes(), NOW).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_are_read() {
        let v2 = r#"[{"labels":{"alertname":"Down","job":"shop","empty":""},"annotations":{"summary":"down"},
            "startsAt":"2026-11-18T02:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/g"},
            {"labels":{"alertname":"Old"},"endsAt":"2026-01-01T00:00:00+01:00"}]"#;
        let read = received(v2.as_bytes(), NOW).unwrap();
        assert_eq!(read[0].labels.keys().collect::<Vec<_>>(), ["alertname", "job"]);
        assert_eq!(
            (read[0].starts_ms, read[0].ends_ms, read[0].is_over),
            (Some(1_794_967_200_000), None, false)
        );
        assert_eq!(
            (read[0].generator.as_deref(), read[0].annotations["summary"].as_str()),
            (Some("http://p/g"), "down")
        );
        assert_eq!((read[1].ends_ms, read[1].is_over), (Some(1_767_222_000_000), true));

        let hook = r#"{"version":"4","groupKey":"{}","status":"firing","receiver":"puerto","alerts":[
            {"status":"resolved","labels":{"alertname":"Down"},"annotations":{},"startsAt":"2026-11-18T02:00:00.123Z",
             "endsAt":"2030-01-01T00:00:00Z","generatorURL":"","fingerprint":"abc"},
            {"status":"firing","labels":{"alertname":"Down","job":"b"},"endsAt":"0001-01-01T00:00:00Z"}]}"#;
        let read = received(hook.as_bytes(), NOW).unwrap();
        assert_eq!((read[0].is_over, read[1].is_over, &read[0].generator), (true, false, &None));
        // What an Alertmanager lists has an object for a status.
        let listed = r#"[{"labels":{"alertname":"Down"},"status":{"state":"active"}}]"#;
        assert!(!received(listed.as_bytes(), NOW).unwrap()[0].is_over);
        assert_eq!(received(b"[]", NOW), Ok(Vec::new()));
    }

    #[test]
    fn what_is_neither_is_refused_with_its_place() {
        assert_eq!(fault("{}"), "body: missing field `alerts`");
        assert!(fault("[{").starts_with("body: is not valid JSON"), "{}", fault("[{"));
        assert_eq!(fault("[{}]"), "alerts[0]: missing field `labels`");
        assert_eq!(fault(r#"[{"labels":{}}]"#), "alerts[0].labels: there is no \"alertname\"");
        assert!(fault(r#"[{"labels":{"a":1}}]"#).starts_with("alerts[0]: invalid type: integer"));
        let bad = r#"{"alerts":[{"labels":{"alertname":"x"}},{"labels":{"alertname":"x"},"endsAt":"soon"}]}"#;
        assert!(fault(bad).starts_with("alerts[1].endsAt: is no point in time"));
        let many = format!("[{}]", vec![r#"{"labels":{"alertname":"x"}}"#; RECEIVED_MAX + 1].join(","));
        assert_eq!(fault(&many), "alerts: 1001 alerts are more than the limit of 1000");
        let long = format!(r#"[{{"labels":{{"alertname":"{}"}}}}]"#, "x".repeat(5_000));
        assert!(fault(&long).starts_with("alerts[0].labels: 5000 bytes of a value"));
        assert!(received(b"\xff", NOW).is_err());
    }
}
