//! Over HTTP: one request, over a connection of its own. No redirect is followed, since a notice and what it is signed
//! with are for one receiver.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, Request as HttpRequest, StatusCode};
use http_body_util::Full;
use jiff::fmt::rfc2822;
use puerto_core::def::ChannelKind;
use serde_json::Value;
use tokio::time::Instant;

use super::Outcome;
use crate::alert::channel::{Channel, Request};
use crate::probe::{Answer, Origin, Sending, Tls, Trust, told_by};

/// What is read of an answer, in bytes: receivers say why in some words.
const RECEIPT_MAX: usize = 16 * 1024;

/// Sends a request and judges the answer.
pub(super) async fn deliver(
    tls: &Tls,
    channel: &Channel,
    origin: &Origin,
    trust: &Trust,
    request: Request,
) -> Outcome {
    let mut sent = HttpRequest::new(Full::new(request.body));
    *sent.method_mut() = request.method;
    *sent.uri_mut() = request.url;
    *sent.headers_mut() = request.headers;
    let deadline = Instant::now() + channel.timeout();
    let sending = Sending { tls, origin, trust, deadline, body_max: RECEIPT_MAX };
    match sending.send(sent).await {
        Ok(answer) => judge(channel.kind(), &answer, SystemTime::now()),
        Err(why) => Outcome::Retry { after: None, why },
    }
}

fn judge(kind: ChannelKind, answer: &Answer, now: SystemTime) -> Outcome {
    let status = answer.status;
    // A workflow of Teams answers 200 and says in its body what went wrong behind it.
    let hidden = kind == ChannelKind::Teams && told(answer).contains("HTTP error 429");
    if status.is_success() && !hidden {
        return Outcome::Sent;
    }
    let after = asked(&answer.headers, &answer.body, now);
    let why = match told(answer) {
        said if said.is_empty() => format!("the receiver answered {}", status.as_u16()),
        said => format!("the receiver answered {}: {said}", status.as_u16()),
    };
    let is_passing = status.is_server_error()
        || hidden
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        );
    if is_passing { Outcome::Retry { after, why } } else { Outcome::Refused { why } }
}

/// What the receiver says, cut and harmless.
fn told(answer: &Answer) -> String {
    told_by(String::from_utf8_lossy(&answer.body).trim())
}

/// How long the receiver asks to wait: by the header, in seconds or as a date, or in the body, as Discord and Telegram
/// say it.
fn asked(headers: &HeaderMap, body: &[u8], now: SystemTime) -> Option<Duration> {
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = match header {
        Some(text) => text.parse().ok().or_else(|| {
            let at = rfc2822::parse(text).ok()?.timestamp().as_second();
            let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
            Some((at - i64::try_from(now).ok()?) as f64)
        }),
        None => {
            let body: Value = serde_json::from_slice(body).ok()?;
            body["retry_after"].as_f64().or_else(|| body["parameters"]["retry_after"].as_f64())
        }
    };
    Duration::try_from_secs_f64(seconds?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, header: &str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(RETRY_AFTER, header.parse().unwrap());
        }
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }

    fn judged(status: u16, header: &str, body: &str) -> Outcome {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        judge(ChannelKind::Discord, &answer(status, header, body), now)
    }

    fn later(seconds: Option<f64>, why: &str) -> Outcome {
        Outcome::Retry { after: seconds.map(Duration::from_secs_f64), why: why.into() }
    }

    #[test]
    fn answers_say_whether_to_come_again() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judged(status, "", "ok"), Outcome::Sent);
        }
        assert_eq!(judged(503, "", ""), later(None, "the receiver answered 503"));
        assert_eq!(judged(503, "7", "busy"), later(Some(7.0), "the receiver answered 503: busy"));
        assert_eq!(
            judged(429, "Wed, 18 Nov 2026 11:06:45 GMT", ""),
            later(Some(5.0), "the receiver answered 429")
        );
        assert_eq!(judged(429, "yesterday", ""), later(None, "the receiver answered 429"));
        assert!(matches!(judged(429, "-1", ""), Outcome::Retry { after: None, .. }));
        let discord = r#"{"retry_after":0.5}"#;
        assert!(
            matches!(judged(429, "", discord), Outcome::Retry { after: Some(after), .. } if after.as_millis() == 500)
        );
        let telegram = r#"{"ok":false,"parameters":{"retry_after":9}}"#;
        assert!(
            matches!(judged(429, "", telegram), Outcome::Retry { after: Some(after), .. } if after.as_secs() == 9)
        );
        for status in [301, 400, 401, 403, 404, 410] {
            assert!(matches!(judged(status, "", ""), Outcome::Refused { .. }), "{status}");
        }
        assert_eq!(
            judged(400, "", "no\r\n\u{1b}[31mway"),
            Outcome::Refused { why: "the receiver answered 400: no[31mway".into() }
        );
        let teams = answer(
            200,
            "",
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429",
        );
        assert!(matches!(judge(ChannelKind::Teams, &teams, SystemTime::now()), Outcome::Retry { .. }));
    }
}
