//! The requests of both eras, made once and stamped with a new id for every call.

use clap::ValueEnum;
use hyper::Uri;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::line::{Line, Way};
use super::{Plan, Scenario};
use crate::text;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    /// 2026-07-28: every request stands for itself.
    Modern,
    /// 2025-11-25: a handshake, and a session if the server keeps one.
    Legacy,
}

/// The first id: all have ten digits, so that a new one fits where the old one stood.
const FIRST_ID: u64 = 1_000_000_000;
/// How many ids each connection has for itself.
const IDS: u64 = 50_000_000;
const LEGACY: &str = "2025-11-25";
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"puerto-bench","version":"0.1.0"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
const CLIENT: &str = r#""capabilities":{},"clientInfo":{"name":"puerto-bench","version":"0.1.0"}"#;

pub(super) fn first_id(connection: usize) -> u64 {
    FIRST_ID + connection as u64 * IDS
}

/// Bytes with an id in them, in as many places as there are.
pub(super) struct Stamped {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Stamped {
    /// `bytes` contain `id` wherever the id is to go.
    pub(super) fn new(bytes: Vec<u8>, id: u64) -> Self {
        let places = memmem::find_iter(&bytes, id.to_string().as_bytes()).collect();
        Self { bytes, places }
    }

    pub(super) fn with(&mut self, id: u64) -> &[u8] {
        let digits = id.to_string();
        for place in &self.places {
            self.bytes[*place..*place + digits.len()].copy_from_slice(digits.as_bytes());
        }
        &self.bytes
    }
}

/// The requests of one connection.
pub(super) struct Requests {
    url: Uri,
    way: Way,
    session: Option<String>,
    headers: String,
    first: Stamped,
    /// The request for a later page: it differs with every cursor.
    page: Vec<u8>,
    era: Era,
}

impl Requests {
    /// Requests to `url`, which is where the way wants them.
    pub(super) fn new(plan: &Plan, url: Uri, session: Option<&str>) -> Self {
        let (way, headers) = (plan.way, headers(plan, session));
        let body = body(plan, FIRST_ID);
        let first = Stamped::new(Line::wrapped(way, &url, &headers, &body), FIRST_ID);
        let session = session.map(str::to_owned);
        Self { url, way, session, headers, first, page: Vec::new(), era: plan.era }
    }

    /// The request for the first page, or for the one at `cursor`.
    pub(super) fn stamped(&mut self, id: u64, cursor: Option<&str>) -> &[u8] {
        let Some(cursor) = cursor else { return self.first.with(id) };
        let cursor = serde_json::Value::from(cursor);
        let meta = if self.era == Era::Modern { format!(",{META}") } else { String::new() };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{"cursor":{cursor}{meta}}}}}"#
        );
        self.page = Line::wrapped(self.way, &self.url, &self.headers, &body);
        &self.page
    }

    /// The session's id, if there is one.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The request that ends the session, if there is one.
    pub(super) fn delete(&self) -> Option<Vec<u8>> {
        let session = self.session.as_deref()?;
        let (path, host) = target(&self.url);
        Some(
            format!("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nMcp-Session-Id: {session}\r\n\r\n")
                .into_bytes(),
        )
    }
}

pub(super) fn initialize(way: Way, url: &Uri) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{LEGACY}",{CLIENT}}}}}"#
    );
    Line::wrapped(way, url, "", &body)
}

pub(super) fn initialized(way: Way, url: &Uri, session: Option<&str>) -> Vec<u8> {
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    Line::wrapped(way, url, &legacy_headers(session), body)
}

fn headers(plan: &Plan, session: Option<&str>) -> String {
    let tool = &plan.tool;
    match (plan.era, plan.scenario) {
        (Era::Legacy, _) => legacy_headers(session),
        (Era::Modern, Scenario::List) => {
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n".to_owned()
        }
        (Era::Modern, _) => {
            format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n")
        }
    }
}

/// The headers of a request within a session.
pub(super) fn legacy_headers(session: Option<&str>) -> String {
    let session = session.map(|session| format!("Mcp-Session-Id: {session}\r\n")).unwrap_or_default();
    format!("MCP-Protocol-Version: {LEGACY}\r\n{session}")
}

/// The text that `echo` is called with: with the id in it, an answer to another call is noticed.
pub(super) fn echo_text(id: u64) -> String {
    format!("call {id}: is the harbour open?")
}

fn body(plan: &Plan, id: u64) -> String {
    let arguments = match plan.scenario {
        Scenario::Call if plan.tool.ends_with("echo") => format!(r#"{{"text":"{}"}}"#, echo_text(id)),
        Scenario::Call => "{}".to_owned(),
        Scenario::Payload => format!(r#"{{"bytes":{}}}"#, plan.bytes),
        Scenario::Argument => format!(r#"{{"data":{}}}"#, text::quoted(plan.bytes)),
        Scenario::List => String::new(),
    };
    let tool = &plan.tool;
    let meta = plan.era == Era::Modern;
    match (plan.scenario, meta) {
        (Scenario::List, true) => {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{{META}}}}}"#)
        }
        (Scenario::List, false) => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#),
        (_, true) => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},{META}}}}}"#
        ),
        (_, false) => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        ),
    }
}

/// A request for `GET`, with these lines in its head.
pub(super) fn get(url: &Uri, headers: &str) -> Vec<u8> {
    let (path, host) = target(url);
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").into_bytes()
}

/// A request that posts a message.
pub(super) fn post(url: &Uri, headers: &str, body: &str) -> Vec<u8> {
    let (path, host) = target(url);
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn target(url: &Uri) -> (&str, &str) {
    let path = url.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    (path, url.authority().map_or("", hyper::http::uri::Authority::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stamped_wherever_the_first_stood() {
        let mut stamped = Stamped::new(b"{1000000000} [1000000000]".to_vec(), FIRST_ID);
        assert_eq!(stamped.with(1_234_567_890), b"{1234567890} [1234567890]");
        assert_eq!(stamped.with(FIRST_ID + 1), b"{1000000001} [1000000001]");
    }

    #[test]
    fn ids_of_all_connections_have_ten_digits() {
        let last = first_id(super::super::CONNECTIONS_MAX) - 1;
        assert_eq!((FIRST_ID.to_string().len(), last.to_string().len()), (10, 10));
    }
}
