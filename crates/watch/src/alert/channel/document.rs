//! A notice as programs get it: the body of webhooks, the line on standard output, and what templates can name.

use std::collections::BTreeMap;

use puerto_core::Severity;
use serde::Serialize;

use super::words::{Words, span, stamp};
use crate::alert::{Alerted, Notice, Reason};

/// A notice. Members are added in later versions, and none goes.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    pub(super) version: &'static str,
    pub(super) key: &'a str,
    pub(super) tenant: &'a str,
    pub(super) channel: &'a str,
    pub(super) group: &'a str,
    pub(super) reason: Reason,
    pub(super) status: &'static str,
    pub(super) severity: Severity,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) title: &'a str,
    pub(super) text: String,
    pub(super) alerts: Vec<Alert<'a>>,
    pub(super) more: u32,
    pub(super) at: String,
}

/// One alert of it.
#[derive(Debug, Serialize)]
pub(super) struct Alert<'a> {
    pub(super) id: &'a str,
    pub(super) rule: &'a str,
    pub(super) subject: &'a str,
    pub(super) status: &'static str,
    pub(super) severity: Severity,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) summary: &'a str,
    pub(super) description: &'a str,
    pub(super) value: Option<f64>,
    pub(super) since: String,
    pub(super) until: Option<String>,
    /// How long it held, for people.
    pub(super) held: String,
}

/// `firing` or `resolved`, as Alertmanager has it.
pub(super) fn status(is_over: bool) -> &'static str {
    if is_over { "resolved" } else { "firing" }
}

impl<'a> Document<'a> {
    /// Of a notice and its words.
    pub(super) fn of(notice: &'a Notice, words: &'a Words) -> Self {
        Self {
            version: "1",
            key: &notice.key,
            tenant: notice.tenant.as_str(),
            channel: &notice.channel,
            group: &notice.group,
            reason: notice.reason,
            status: status(notice.is_over()),
            severity: notice.severity(),
            labels: &notice.labels,
            title: &words.title,
            text: words.text(),
            alerts: notice.alerts.iter().map(|alert| Alert::of(alert, notice.at_ms)).collect(),
            more: notice.more,
            at: stamp(notice.at_ms),
        }
    }

    /// As one line.
    pub(super) fn to_line(&self) -> String {
        serde_json::to_string(self).expect("maps have texts for keys")
    }
}

impl<'a> Alert<'a> {
    fn of(alert: &'a Alerted, at_ms: i64) -> Self {
        Self {
            id: &alert.id,
            rule: &alert.rule,
            subject: &alert.subject,
            status: status(alert.until_ms.is_some()),
            severity: alert.severity,
            labels: &alert.labels,
            summary: &alert.summary,
            description: &alert.description,
            value: alert.value,
            since: stamp(alert.since_ms),
            until: alert.until_ms.map(stamp),
            held: span(alert.until_ms.unwrap_or(at_ms).saturating_sub(alert.since_ms)),
        }
    }
}
