//! Sending what is in the outbox: each notice at least once, those of one group and channel in their order, no channel
//! faster than it wants, and what cannot be sent later and later until it is given up.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use puerto_core::Severity;
use puerto_store::{NoticeFilter, NoticeRow, NoticeState, Scope};
use puerto_watch::alert::{Notice, Outcome, retry};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Alerts, LOOK, now_ms};

/// How long a notice is held that is being sent; longer than any channel takes.
const HOLD: Duration = Duration::from_secs(300);
/// Notices that are sent at the same time.
const SENDING_MAX: usize = 64;
/// What channels are limited by.
const MINUTE_MS: i64 = 60_000;
/// How often old notices are looked for.
const TRIM: Duration = Duration::from_secs(600);

impl Alerts {
    /// Sends what is due, for as long as it is polled.
    pub(super) async fn send(self: Arc<Self>) {
        self.let_go().await;
        let mut sending = JoinSet::new();
        let mut trimmed = None::<tokio::time::Instant>;
        loop {
            if trimmed.is_none_or(|at| at.elapsed() >= TRIM) {
                trimmed = Some(tokio::time::Instant::now());
                if let Err(error) = self.store.notices_trim(now_ms() * 1000).await {
                    tracing::warn!(%error, "could not delete old notices");
                }
            }
            let room = u32::try_from(SENDING_MAX - sending.len()).unwrap_or_default();
            let due = if room == 0 {
                Ok(Vec::new())
            } else {
                self.store.notices_due(now_ms() * 1000, HOLD, room).await
            };
            let due = due.unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox of alerts could not be read");
                Vec::new()
            });
            let is_quiet = due.is_empty();
            for row in due {
                let this = self.clone();
                sending.spawn(async move { this.attempt(row).await });
            }
            if is_quiet {
                tokio::select! {
                    Some(_) = sending.join_next() => {}
                    () = self.news.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    }

    /// What a hub held that ended by force is due again. Another hub on the same database may send it twice then.
    async fn let_go(&self) {
        let (everything, mut before) = (Scope::all(), None);
        loop {
            let which = NoticeFilter { state: Some(NoticeState::Waiting), before, ..NoticeFilter::default() };
            let Ok(rows) = self.store.notices_list(&everything, which).await else { return };
            let Some(last) = rows.last() else { return };
            before = Some(last.seq);
            for row in &rows {
                let _ = self.store.notice_later(&row.key, row.next_us, None).await;
            }
        }
    }

    /// One attempt for one notice.
    async fn attempt(&self, row: NoticeRow) {
        let Ok(notice) = serde_json::from_str::<Notice>(&row.document) else {
            return self.note(&row, Outcome::Refused { why: "it cannot be read".into() }).await;
        };
        let Ok(channel) = self.channel(&row.channel) else {
            let why = format!("there is no channel {:?} any longer", row.channel);
            return self.note(&row, Outcome::Refused { why }).await;
        };
        if let Some(at_ms) = self.is_too_soon(&row.channel, channel.limit()) {
            let _ = self.store.notice_later(&row.key, at_ms * 1000, None).await;
            return;
        }
        let outcome = self.sender.send(&channel, &notice).await;
        self.note(&row, outcome).await;
    }

    /// When a channel takes the next notice, where it does not take it now.
    fn is_too_soon(&self, channel: &str, limit: u32) -> Option<i64> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let times = sent.entry(channel.to_owned()).or_default();
        let now = now_ms();
        times.retain(|at| *at + MINUTE_MS > now);
        if times.len() >= limit.max(1) as usize {
            return times.first().map(|first| first + MINUTE_MS);
        }
        times.push(now);
        None
    }

    /// Notes what became of an attempt.
    async fn note(&self, row: &NoticeRow, outcome: Outcome) {
        let now = now_ms();
        let (result, noted) = match outcome {
            Outcome::Sent => {
                self.tell_sent(row, None);
                ("sent", self.store.notice_sent(&row.key).await)
            }
            Outcome::Refused { why } => {
                self.tell_sent(row, Some(&why));
                ("failed", self.store.notice_dead(&row.key, &why).await)
            }
            Outcome::Retry { after, why } => {
                let attempts = u32::try_from(row.attempts + 1).unwrap_or(u32::MAX);
                let waited = Duration::from_millis(u64::try_from(now - row.since_us / 1000).unwrap_or(0));
                match retry(attempts, waited, after, fastrand::f64()) {
                    Some(wait) => {
                        tracing::warn!(
                            channel = row.channel,
                            why,
                            ?wait,
                            "a notice could not be sent; it is tried again"
                        );
                        let at = now + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                        ("retry", self.store.notice_later(&row.key, at * 1000, Some(&why)).await)
                    }
                    None => {
                        self.tell_sent(row, Some(&why));
                        ("failed", self.store.notice_dead(&row.key, &why).await)
                    }
                }
            }
        };
        self.metrics.notified(&row.channel, result);
        if let Err(error) = noted {
            // It is held, and sent again when that is over: twice is better than never.
            tracing::error!(%error, "it could not be noted what became of a notice");
        }
    }

    fn tell_sent(&self, row: &NoticeRow, failed: Option<&str>) {
        let Ok(tenant) = puerto_core::TenantId::new(&row.tenant) else { return };
        let (kind, severity) = match failed {
            None => ("notification.sent", Severity::Info),
            Some(_) => ("notification.failed", Severity::Error),
        };
        if let Some(why) = failed {
            tracing::error!(channel = row.channel, why, "a notice was given up");
        }
        let payload = json!({"key": row.key, "channel": row.channel, "why": failed});
        self.feed.tell(&tenant, kind, severity, Some(&row.channel), &payload);
    }
}
