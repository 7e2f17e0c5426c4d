//! Sends spans, many at once, and again where the collector has too much to do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use puerto_mcp::frame::Parts;
use puerto_mcp::upstream::http::Payload;
use puerto_mcp::upstream::pool::Pool;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::SpanCounts;
use super::span::{self, Service, Span};

/// Spans of one request: some 300 KB.
const SPANS_AT_ONCE: usize = 512;
/// How long the first of them waits for company.
const COMPANY: Duration = Duration::from_secs(1);
/// Longest wait for an answer (OpenTelemetry's own default).
const ANSWER: Duration = Duration::from_secs(10);
/// Tries of one request; with the pauses between them about a minute.
const TRIES: u32 = 7;
/// Pause before the second try; it doubles, up to the longest, which also bounds what a collector asks for.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Largest answer of a collector; it says how many spans it refused, and why.
const REPLY_MAX: usize = 64 * 1024;

/// What sends.
pub(super) struct Exporter {
    pub(super) from: mpsc::Receiver<Span>,
    pub(super) pool: Arc<Pool>,
    /// The path that spans are posted to.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) service: Service,
    pub(super) counts: SpanCounts,
}

/// Why a request was not taken.
enum Untaken {
    /// It may be taken later, after this long where the collector says so.
    Later(String, Option<Duration>),
    /// It never will be.
    Never(String),
}

impl Exporter {
    /// Runs until nobody takes spans any more and all of them were sent.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        let mut is_failing = false;
        while self.from.recv_many(&mut batch, SPANS_AT_ONCE).await > 0 {
            let until = Instant::now() + COMPANY;
            while batch.len() < SPANS_AT_ONCE {
                let room = SPANS_AT_ONCE - batch.len();
                match timeout_at(until, self.from.recv_many(&mut batch, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            let body: Bytes = span::request(&self.service, &batch).into();
            let count = batch.len() as u64;
            batch.clear();
            match self.send(&body).await {
                Ok(refused) => {
                    is_failing = false;
                    self.counts.sent.inc_by(count.saturating_sub(refused));
                    self.counts.lost.inc_by(refused.min(count));
                }
                Err(why) => {
                    self.counts.lost.inc_by(count);
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(
                            why,
                            "spans were dropped: the collector of telemetry.otlp does not take them"
                        );
                    }
                }
            }
        }
    }

    /// Sends a request until it is taken or hope is gone; answers how many spans were refused.
    async fn send(&self, body: &Bytes) -> Result<u64, String> {
        let mut pause = PAUSE;
        for tried in 1.. {
            let (why, after) = match timeout(ANSWER, self.once(body)).await {
                Ok(Ok(refused)) => return Ok(refused),
                Ok(Err(Untaken::Never(why))) => return Err(why),
                Ok(Err(Untaken::Later(why, after))) => (why, after),
                Err(_) => (format!("it did not answer within {} s", ANSWER.as_secs()), None),
            };
            if tried == TRIES {
                return Err(why);
            }
            // Not all hubs at once.
            let spread = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            sleep(after.map_or(spread, |after| after.min(PAUSE_MAX))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(0)
    }

    async fn once(&self, body: &Bytes) -> Result<u64, Untaken> {
        let mut request = Request::new(Payload::from(Parts::one(body.clone())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("puerto/", env!("CARGO_PKG_VERSION"))));
        headers.extend(self.headers.clone());
        let sent = self.pool.send(request).await;
        let (head, body) = sent.map_err(|failure| Untaken::Later(failure.to_string(), None))?.into_parts();
        let text = Limited::new(body, REPLY_MAX).collect().await.map(http_body_util::Collected::to_bytes);
        match head.status {
            status if status.is_success() => Ok(refused(&text.unwrap_or_default())),
            // The ones of the protocol's table of what may be tried again.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = head.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                Err(Untaken::Later(format!("it answered {}", head.status), after.map(Duration::from_secs)))
            }
            status => Err(Untaken::Never(format!("it answered {status}"))),
        }
    }
}

/// How many spans a collector says that it refused; a number, or a text with one in it.
fn refused(reply: &[u8]) -> u64 {
    let reply: Value = serde_json::from_slice(reply).unwrap_or_default();
    let count = &reply["partialSuccess"]["rejectedSpans"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_refuses_is_read() {
        for (reply, count) in [
            ("{}", 0),
            ("", 0),
            ("\u{0}protobuf", 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":2}}"#, 2),
        ] {
            assert_eq!(refused(reply.as_bytes()), count, "{reply}");
        }
    }
}
