//! JSON-RPC answers: the one place where an [`Error`] becomes a number. The numbers depend on the era,
//! so they are not in the table of codes (specification 2026-07-28, basic, errors).

use std::borrow::Cow;

use bytes::Bytes;
use puerto_core::{Code, Error, Op, Origin, Outcome, Retry};

use crate::era::Revision;
use crate::frame::Parts;

/// An error as JSON-RPC says it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The number.
    pub number: i32,
    /// The HTTP status that goes with it on Streamable HTTP.
    pub http: u16,
    /// For people.
    pub message: Cow<'static, str>,
    /// `data`, as JSON text.
    pub data: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u64>,
    /// For records: what it is.
    pub code: Code,
    /// For records: whose fault.
    pub origin: Origin,
}

/// The text is no JSON.
pub const PARSE_ERROR: i32 = -32700;
/// The message is no request.
pub const INVALID_REQUEST: i32 = -32600;
/// There is no such method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// The params do not fit.
pub const INVALID_PARAMS: i32 = -32602;
/// A fault inside.
pub const INTERNAL_ERROR: i32 = -32603;
/// A header is missing or differs from the body.
pub const HEADER_MISMATCH: i32 = -32020;
/// The client lacks a capability.
pub const MISSING_CAPABILITY: i32 = -32021;
/// The revision is not supported.
pub const UNSUPPORTED_VERSION: i32 = -32022;
/// What revisions up to 2025-11-25 said for an unknown resource.
pub const LEGACY_RESOURCE_NOT_FOUND: i32 = -32002;

impl Refusal {
    /// With a number and its HTTP status.
    pub fn new(number: i32, message: impl Into<Cow<'static, str>>) -> Self {
        let code = match number {
            INVALID_PARAMS => Code::InvalidArguments,
            METHOD_NOT_FOUND | LEGACY_RESOURCE_NOT_FOUND => Code::NotFound,
            INTERNAL_ERROR => Code::Internal,
            _ => Code::BadRequest,
        };
        let origin = if number == INTERNAL_ERROR { Origin::Hub } else { Origin::Caller };
        Self {
            number,
            http: http_status(number),
            message: message.into(),
            data: None,
            retry_after: None,
            code,
            origin,
        }
    }

    /// With the HTTP status 400, for faults found before the method is looked at.
    #[must_use]
    pub fn bad_request(mut self) -> Self {
        self.http = 400;
        self
    }

    /// With `data`.
    #[must_use]
    pub fn data(mut self, json: String) -> Self {
        self.data = Some(json);
        self
    }

    /// A header that is missing, malformed or unlike the body.
    pub fn header(message: String) -> Self {
        Self::new(HEADER_MISMATCH, message)
    }

    /// A method that is not there in this era.
    pub fn method(name: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("method not found: {name}"))
    }

    /// A revision that is not spoken per request.
    pub fn version(requested: &str) -> Self {
        let requested = serde_json::Value::from(requested);
        Self::new(UNSUPPORTED_VERSION, "unsupported protocol version")
            .data(format!(r#"{{"supported":["{}"],"requested":{requested}}}"#, Revision::MODERN.text()))
    }

    /// A resource that is not there; the data names it.
    pub fn resource(uri: &str) -> Self {
        let uri = serde_json::Value::from(uri);
        Self::new(INVALID_PARAMS, format!("resource not found: {uri}")).data(format!(r#"{{"uri":{uri}}}"#))
    }

    /// Ends an operation that was refused.
    pub fn record(&self, op: &mut Op) {
        op.note(|record| record.detail = Some(self.message.as_ref().into()));
        op.end(Outcome::Error(self.code, self.origin));
    }

    /// The whole message. `id` is the request's, as written; without one it is left out, or null for
    /// readers of the legacy era.
    pub fn render(&self, id: &[u8], null_id: bool) -> Parts {
        let message = serde_json::Value::from(&*self.message);
        let data = self.data.as_ref().map(|d| format!(r#","data":{d}"#)).unwrap_or_default();
        let id = match (id.is_empty(), null_id) {
            (true, true) => r#""id":null,"#.into(),
            (true, false) => String::new(),
            (false, _) => format!(r#""id":{},"#, String::from_utf8_lossy(id)),
        };
        let number = self.number;
        format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{number},"message":{message}{data}}}}}"#).into()
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let (number, http) = match error.code() {
            Code::BadRequest | Code::TooLarge => (INVALID_REQUEST, error.code().http_status()),
            Code::InvalidArguments | Code::NotFound => (INVALID_PARAMS, 200),
            Code::SessionNotFound | Code::OriginRefused | Code::MethodNotAllowed => {
                (INVALID_REQUEST, error.code().http_status())
            }
            Code::Internal => (INTERNAL_ERROR, 200),
            // Numbers of our own lie outside the range that JSON-RPC reserves; the HTTP status they
            // would have is the most telling one. Sent with 200: clients read the body only then.
            other => (i32::from(other.http_status()), 200),
        };
        let (retryable, after) = match error.retry_hint() {
            Retry::Never => (false, None),
            Retry::Yes => (true, None),
            Retry::After(wait) => (true, Some(wait)),
        };
        let wait = after.map(|w| format!(r#","retryAfterMs":{}"#, w.as_millis())).unwrap_or_default();
        Self {
            number,
            http,
            message: error.public().to_owned().into(),
            data: Some(format!(
                r#"{{"code":"{}","origin":"{}","retryable":{retryable}{wait}}}"#,
                error.code().name(),
                error.origin().name()
            )),
            retry_after: after.map(puerto_core::quota::seconds_up),
            code: error.code(),
            origin: error.origin(),
        }
    }
}

/// The HTTP status of a JSON-RPC error on the modern Streamable HTTP (specification 2026-07-28, transports).
pub fn http_status(number: i32) -> u16 {
    match number {
        PARSE_ERROR | INVALID_REQUEST | HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_VERSION => 400,
        METHOD_NOT_FOUND => 404,
        _ => 200,
    }
}

/// A result message; `members` are those of the result object, without braces.
pub fn result(id: &[u8], members: &str) -> Parts {
    let mut text = Vec::with_capacity(members.len() + id.len() + 40);
    for part in [&br#"{"jsonrpc":"2.0","id":"#[..], id, br#","result":{"#, members.as_bytes(), b"}}"] {
        text.extend_from_slice(part);
    }
    Parts::one(text.into())
}

/// A result whose bulk is ready to send.
pub fn result_around(id: &[u8], head: &str, bulk: Bytes, tail: &str) -> Parts {
    let mut start = Vec::with_capacity(head.len() + id.len() + 40);
    for part in [&br#"{"jsonrpc":"2.0","id":"#[..], id, br#","result":{"#, head.as_bytes()] {
        start.extend_from_slice(part);
    }
    Parts::many(vec![start.into(), bulk, Bytes::from(format!("{tail}}}}}"))])
}

/// A tool's result that says that the tool could not be reached, in words for the model.
pub fn tool_failure(id: &[u8], text: &str, modern: bool) -> Parts {
    let text = serde_json::Value::from(text);
    let kind = if modern { r#""resultType":"complete","# } else { "" };
    result(id, &format!(r#"{kind}"content":[{{"type":"text","text":{text}}}],"isError":true"#))
}
