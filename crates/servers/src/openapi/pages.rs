//! Answers that go on elsewhere: where the next page is, and pages joined into one answer. Known are the
//! header `Link` (RFC 8288) and the members that common APIs use; what is not known is a single page.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use http::header::LINK;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Operation;
use super::answer::{is_json, media};
use super::client::{Client, Reply};
use super::request::Draft;
use super::style::encoded;

/// Members that hold the address of the next page.
const ADDRESSES: [&str; 8] = [
    "/next",
    "/links/next",
    "/_links/next",
    "/@odata.nextLink",
    "/nextLink",
    "/next_url",
    "/paging/next",
    "/pagination/next",
];
/// Members that hold what the next page is asked for with, and the parameter that takes it.
const CURSORS: [(&str, &str); 13] = [
    ("/next_cursor", "cursor"),
    ("/nextCursor", "cursor"),
    ("/meta/next_cursor", "cursor"),
    ("/pagination/next_cursor", "cursor"),
    ("/response_metadata/next_cursor", "cursor"),
    ("/next_page_token", "page_token"),
    ("/nextPageToken", "pageToken"),
    ("/next_token", "next_token"),
    ("/nextToken", "nextToken"),
    ("/continuationToken", "continuationToken"),
    ("/metadata/continue", "continue"),
    ("/next_page", "page"),
    ("/nextPage", "page"),
];

/// Where an answer goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Next {
    /// Its path and query, at the same origin.
    pub(super) target: String,
    /// The arguments that lead there, where only such are different.
    pub(super) arguments: Option<Map<String, Value>>,
}

/// Where an answer goes on, if it does and says so in a known way.
pub(super) fn next(operation: &Operation, client: &Client, draft: &Draft, reply: &Reply) -> Option<Next> {
    if draft.method != Method::GET || !reply.status.is_success() {
        return None;
    }
    let links = reply.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let body: Value = match is_json(&media(&reply.headers)) {
        true => serde_json::from_slice(&reply.body).unwrap_or_default(),
        false => Value::Null,
    };
    let target = links
        .filter_map(link)
        .next()
        .and_then(|address| client.target(address, &draft.target).ok())
        .or_else(|| addressed(&body, client, draft))
        .or_else(|| continued(&body, operation, draft))?;
    let target = client.credentials.off(&target);
    if target == client.credentials.off(&draft.target) {
        return None;
    }
    let arguments = arguments(operation, &draft.target, &target);
    Some(Next { target, arguments })
}

/// The address with the relation `next` in a header `Link`.
fn link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((address, after)) = rest.split_once('<').and_then(|(_, inner)| inner.split_once('>')) {
        // The next link begins with a comma and a bracket; a comma may stand in a quoted text too.
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split(';').any(|param| {
            let Some((name, value)) = param.split_once('=') else { return false };
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|one| one.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(address);
        }
        rest = &after[end..];
    }
    None
}

/// The address that a body names.
fn addressed(body: &Value, client: &Client, draft: &Draft) -> Option<String> {
    ADDRESSES.iter().find_map(|pointer| {
        let found = body.pointer(pointer)?;
        let address = found.as_str().or_else(|| found["href"].as_str())?;
        let is_address =
            address.starts_with("http") && address.contains("://") || address.starts_with(['/', '?']);
        client.target(address, &draft.target).ok().filter(|_| is_address)
    })
}

/// The same request with the cursor that a body names.
fn continued(body: &Value, operation: &Operation, draft: &Draft) -> Option<String> {
    CURSORS.iter().find_map(|(pointer, param)| {
        operation.argument_of(param)?;
        let cursor = match body.pointer(pointer)? {
            Value::String(cursor) if !cursor.is_empty() => cursor.clone(),
            Value::Number(cursor) => cursor.to_string(),
            _ => return None,
        };
        let (path, _) = draft.target.split_once('?').unwrap_or((&draft.target, ""));
        let kept =
            query(&draft.target).filter(|(_, name, _)| name != param).map(|(pair, ..)| pair.to_owned());
        let own = format!("{}={}", encoded(param), encoded(&cursor));
        Some(format!("{path}?{}", kept.chain([own]).collect::<Vec<_>>().join("&")))
    })
}

/// The parameters of a query: as written, and name and value decoded.
fn query(target: &str) -> impl Iterator<Item = (&str, String, String)> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs =
        target.split_once('?').map_or("", |(_, query)| query).split('&').filter(|pair| !pair.is_empty());
    pairs.map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (pair, decoded(name), decoded(value))
    })
}

/// The arguments that are different in another address of the same operation.
pub(super) fn arguments(operation: &Operation, from: &str, to: &str) -> Option<Map<String, Value>> {
    let path = |target: &str| target.split('?').next().unwrap_or_default().to_owned();
    if path(from) != path(to) {
        return None;
    }
    let before: Vec<_> = query(from).map(|(_, name, value)| (name, value)).collect();
    let mut all = Map::new();
    for (_, name, value) in query(to) {
        if before.contains(&(name.clone(), value.clone())) {
            continue;
        }
        let argument = operation.argument_of(&name)?;
        let is_number = !value.starts_with('0') || value == "0";
        let value = value.parse::<u64>().ok().filter(|_| is_number).map_or(Value::String(value), Into::into);
        all.insert(argument.into(), value);
    }
    (!all.is_empty()).then_some(all)
}

/// Pages in one answer.
#[derive(Debug)]
pub(super) enum Joined {
    /// Lists, one after the other.
    List(Vec<Box<RawValue>>),
    /// Objects with one list each; all else is that of the last.
    Object { name: String, items: Vec<Box<RawValue>>, last: BTreeMap<String, Box<RawValue>> },
}

impl Joined {
    /// From the first page, where it has a form that can be joined.
    pub(super) fn new(body: &[u8]) -> Option<Self> {
        if let Ok(items) = serde_json::from_slice(body) {
            return Some(Joined::List(items));
        }
        let last: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let mut lists = last.iter().filter(|(_, value)| value.get().starts_with('['));
        let (Some((name, items)), None) = (lists.next(), lists.next()) else { return None };
        let items = serde_json::from_str(items.get()).ok()?;
        Some(Joined::Object { name: name.clone(), items, last })
    }

    /// With a further page; false where it has another form.
    pub(super) fn add(&mut self, body: &[u8]) -> bool {
        match (self, Self::new(body)) {
            (Joined::List(items), Some(Joined::List(more))) => items.extend(more),
            (
                Joined::Object { name, items, last },
                Some(Joined::Object { name: other, items: more, last: newest }),
            ) if *name == other => {
                items.extend(more);
                *last = newest;
            }
            _ => return false,
        }
        true
    }

    /// As one body.
    pub(super) fn body(self) -> Bytes {
        let written = match self {
            Joined::List(items) => serde_json::to_vec(&items),
            Joined::Object { name, items, mut last } => {
                if let Ok(items) = serde_json::value::to_raw_value(&items) {
                    last.insert(name, items);
                }
                serde_json::to_vec(&last)
            }
        };
        written.unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests;
