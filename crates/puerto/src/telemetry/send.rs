//! Sends requests to a collector, and again where it has too much to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use puerto_mcp::frame::Parts;
use puerto_mcp::upstream::http::Payload;
use puerto_mcp::upstream::pool::Pool;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::Counts;

/// Longest wait for an answer (OpenTelemetry's own default).
const ANSWER: Duration = Duration::from_secs(10);
/// Tries of one request; with the pauses between them about a minute.
const TRIES: u32 = 7;
/// Pause before the second try; it doubles, up to the longest, which also bounds what a collector asks for.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Largest answer of a collector; it says how much of a request it refused, and why.
const REPLY_MAX: usize = 64 * 1024;

/// What requests are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

impl Signal {
    /// What is added to the address of a collector.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
        }
    }

    /// What is told, once, where a collector takes nothing of it.
    const fn dropped(self) -> &'static str {
        match self {
            Signal::Traces => "spans were dropped: the collector of telemetry.otlp does not take them",
            Signal::Metrics => {
                "metrics were not taken by the collector of telemetry.otlp; \"metrics\": false in telemetry sends it none"
            }
        }
    }
}

/// What sends, of one signal.
pub(super) struct Sender {
    signal: Signal,
    pool: Arc<Pool>,
    target: Uri,
    headers: HeaderMap,
    counts: Counts,
    is_failing: AtomicBool,
}

/// Why a request was not taken.
enum Untaken {
    /// It may be taken later, after this long where the collector says so.
    Later(String, Option<Duration>),
    /// It never will be.
    Never(String),
}

impl Sender {
    /// To a path, over connections that others may use too.
    pub(super) fn new(
        signal: Signal,
        pool: Arc<Pool>,
        target: Uri,
        headers: HeaderMap,
        counts: Counts,
    ) -> Self {
        Self { signal, pool, target, headers, counts, is_failing: AtomicBool::new(false) }
    }

    /// Sends a request with so many spans or data points, and counts what became of them.
    pub(super) async fn deliver(&self, body: Bytes, count: u64) {
        match self.send(&body).await {
            Ok(refused) => {
                self.is_failing.store(false, Ordering::Relaxed);
                self.counts.sent.inc_by(count.saturating_sub(refused));
                self.counts.lost.inc_by(refused.min(count));
            }
            Err(why) => {
                self.counts.lost.inc_by(count);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(why, "{}", self.signal.dropped());
                }
            }
        }
    }

    /// Sends a request until it is taken or hope is gone; answers how much of it was refused.
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

/// How many spans or data points a collector says that it refused; a number, or a text with one in it.
fn refused(reply: &[u8]) -> u64 {
    let reply: Value = serde_json::from_slice(reply).unwrap_or_default();
    let told = &reply["partialSuccess"];
    let counts = ["rejectedSpans", "rejectedDataPoints"].map(|name| &told[name]);
    let read = |count: &Value| count.as_u64().or_else(|| count.as_str()?.parse().ok());
    counts.into_iter().find_map(read).unwrap_or_default()
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
            (r#"{"partialSuccess":{"rejectedDataPoints":"4"}}"#, 4),
        ] {
            assert_eq!(refused(reply.as_bytes()), count, "{reply}");
        }
    }
}
