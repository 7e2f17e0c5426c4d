//! PagerDuty, by its Events API v2. All notices of a group are of one incident.
//! (<https://developer.pagerduty.com/docs/send-alert-event>)

use puerto_core::Secret;
use serde_json::{Value, json};

use super::cut::{Room, Unit, plain};
use super::document::Document;
use super::email::digest;
use super::words::{Words, stamp};
use crate::alert::Notice;

/// Characters of a summary, of a key, and of where it comes from.
const PAGERDUTY_SUMMARY_MAX: usize = 1_024;
const PAGERDUTY_KEY_MAX: usize = 255;
/// Alerts that are told in full; an event may have 512 KB.
const PAGERDUTY_ALERTS_MAX: usize = 50;
const PAGERDUTY_TEXT_MAX: usize = 64 * 1024;

pub(super) fn body(words: &Words, notice: &Notice, key: &Secret) -> Value {
    let room = |limit| Room { limit, unit: Unit::Utf16, escape: plain };
    let mut event = json!({
        "routing_key": key.reveal(),
        "event_action": if notice.is_over() { "resolve" } else { "trigger" },
        "dedup_key": dedup_key(notice),
    });
    if notice.is_over() {
        return event;
    }
    let document = Document::of(notice, words);
    let shown = &document.alerts[..document.alerts.len().min(PAGERDUTY_ALERTS_MAX)];
    let subject = notice.alerts.first().map_or("", |alert| alert.subject.as_str());
    let source = if subject.is_empty() { notice.tenant.as_str() } else { subject };
    event["payload"] = json!({
        "summary": room(PAGERDUTY_SUMMARY_MAX).line(&words.title),
        "source": room(PAGERDUTY_KEY_MAX).line(source),
        "severity": notice.severity(),
        "timestamp": stamp(notice.at_ms),
        "group": room(PAGERDUTY_KEY_MAX).line(notice.tenant.as_str()),
        "class": notice.alerts.first().map(|alert| room(PAGERDUTY_KEY_MAX).line(&alert.rule)),
        "custom_details": {
            "text": room(PAGERDUTY_TEXT_MAX).blocks(&words.blocks, words.unsaid),
            "alerts": shown,
            "more": notice.alerts.len() - shown.len() + notice.more as usize,
        },
    });
    event["client"] = "Puerto".into();
    event
}

/// One for a group; a long one is shortened so that it stays itself.
fn dedup_key(notice: &Notice) -> String {
    let key = format!("{}/{}", notice.tenant, notice.group);
    if key.chars().count() <= PAGERDUTY_KEY_MAX { key } else { digest(&key) }
}
