//! A server's answer as the client gets it.

use bytes::Bytes;
use serde_json::Value;

use crate::call::Client;
use crate::catalog::Catalog;
use crate::frame::{Edits, Frame, Parts};
use crate::route::{Route, Routed};
use crate::scan::{Fault, Scanner, Span, unquoted};
use crate::wire::{self, Refusal};

/// An answer and whom it is for.
pub(super) struct Answer<'a> {
    pub frame: &'a Frame,
    pub client: &'a Client,
    pub route: &'a Route,
    /// The client's id, as written.
    pub id: Bytes,
}

/// A result: its id changes, and what the other era does not know is added.
pub(super) fn result(answer: &Answer<'_>, wrapping: Option<&Catalog>) -> Parts {
    let frame = answer.frame;
    let found = &frame.result;
    let mut edits = Edits::new();
    edits.set(frame.id, answer.id.clone());
    let is_object = frame.raw(found.whole).first() == Some(&b'{');
    if answer.client.is_modern() && is_object {
        let mut added = String::new();
        if !found.result_type.is_some() {
            added.push_str(r#""resultType":"complete""#);
        }
        if answer.route.method == Routed::ResourcesRead && found.contents.is_some() {
            if !found.ttl.is_some() {
                added.push_str(if added.is_empty() { "" } else { "," });
                added.push_str(r#""ttlMs":0"#);
            }
            if !found.cache_scope.is_some() {
                added.push_str(if added.is_empty() { "" } else { "," });
                added.push_str(r#""cacheScope":"private""#);
            }
        }
        if !added.is_empty() {
            edits.add_members(found.whole, found.filled, &added);
        }
    } else if !answer.client.is_modern() && *frame.raw(found.result_type) == *b"\"input_required\"" {
        // The server was told that nobody can be asked; it asks all the same.
        let text = "the server wants to ask something, and this client cannot be asked across protocol eras";
        return wire::tool_failure(&answer.id, text, false);
    }
    if let Some(catalog) = wrapping {
        rewrite_uris(answer, catalog, &mut edits);
    } else if *answer.route.key != *answer.route.asked && found.contents.is_some() {
        rewrite_contents(answer, &mut edits);
    }
    edits.apply(&frame.parts)
}

/// An error: passed on with its data. Unknown resources are said in the number of the client's era.
pub(super) fn error(answer: &Answer<'_>) -> (Parts, u16) {
    let frame = answer.frame;
    let number = number(frame).unwrap_or(wire::INTERNAL_ERROR);
    let modern = answer.client.is_modern();
    if modern && number == wire::LEGACY_RESOURCE_NOT_FOUND && answer.route.method == Routed::ResourcesRead {
        return (Refusal::resource(&answer.route.asked).render(&answer.id, false), 200);
    }
    let http = if modern { wire::http_status(number) } else { 200 };
    let mut edits = Edits::new();
    if frame.id.is_some() {
        edits.set(frame.id, answer.id.clone());
        return (edits.apply(&frame.parts), http);
    }
    // An error without an id: the request is known from where it came.
    let error = String::from_utf8_lossy(&frame.raw(frame.error)).into_owned();
    let id = String::from_utf8_lossy(&answer.id).into_owned();
    (format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into(), http)
}

fn number(frame: &Frame) -> Option<i32> {
    crate::upstream::handshake::error_number(frame)
}

/// The contents of a resource that was read by another URI than its own carry that other URI.
fn rewrite_contents(answer: &Answer<'_>, edits: &mut Edits) {
    let asked = Value::from(&*answer.route.asked).to_string();
    let text = answer.frame.parts.clone().whole();
    let _ = Scanner::at(&text, answer.frame.result.contents).array(|s| {
        each_uri(s, &mut |span| {
            if unquoted(span.of(&text)).as_deref() == Some(&*answer.route.key) {
                edits.set(span, asked.clone());
            }
        })
    });
}

/// Links and embedded resources of a server whose URIs another server uses too.
fn rewrite_uris(answer: &Answer<'_>, catalog: &Catalog, edits: &mut Edits) {
    let text = answer.frame.parts.clone().whole();
    let found = &answer.frame.result;
    for list in [found.content, found.contents, found.messages] {
        if !list.is_some() || text[list.start as usize] != b'[' {
            continue;
        }
        let _ = Scanner::at(&text, list).array(|s| {
            each_uri(s, &mut |span| {
                if let Some(uri) = unquoted(span.of(&text)) {
                    let outward = catalog.outward_uri(&answer.route.server, &uri);
                    if outward != *uri {
                        edits.set(span, Value::from(outward).to_string());
                    }
                }
            })
        });
    }
}

/// Finds `uri` in a content block, in its `resource`, and in a message's `content`.
fn each_uri(scanner: &mut Scanner<'_>, found: &mut dyn FnMut(Span)) -> Result<(), Fault> {
    if scanner.peek() != Some(b'{') {
        return scanner.value().map(drop);
    }
    scanner
        .object(|s, key| match key {
            "uri" => {
                found(s.value()?);
                Ok(())
            }
            "resource" | "content" => each_uri(s, found),
            _ => s.value().map(drop),
        })
        .map(drop)
}
