//! The one place where an error becomes an HTTP answer: problem+json (RFC 9457).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use puerto_core::quota::seconds_up;
use puerto_core::{Error, RequestId, Retry};
use schemars::JsonSchema;
use serde::Serialize;

/// The body of every error that REST answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// Names the kind of error; the same text for every occurrence.
    #[serde(rename = "type")]
    kind: String,
    /// The kind, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened, for people.
    detail: String,
    /// What can be done about it.
    hint: &'static str,
    /// The kind, for machines.
    code: &'static str,
    /// Whose fault: `caller`, `upstream` or `hub`.
    origin: &'static str,
    /// Whether the same request can succeed later.
    retryable: bool,
    /// Names this occurrence in logs and records.
    request_id: String,
}

/// An error with the id of its request.
#[derive(Debug)]
pub(crate) struct Refused(pub Error, pub RequestId);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error, RequestId::next())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(error, request) = self;
        if error.code().http_status() >= 500 {
            tracing::warn!(request = %request, code = error.code().name(), "{}", error.chain());
        }
        let code = error.code();
        let problem = Problem {
            kind: format!("urn:puerto:error:{}", code.name()),
            title: code.title(),
            status: code.http_status(),
            detail: error.public().to_owned(),
            hint: code.hint(),
            code: code.name(),
            origin: error.origin().name(),
            retryable: error.retry_hint() != Retry::Never,
            request_id: request.to_string(),
        };
        let text = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() =
            StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Retry::After(wait) = error.retry_hint() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(wait)));
        }
        if let Ok(id) = HeaderValue::from_str(&request.to_string()) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        response
    }
}
