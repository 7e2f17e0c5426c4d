//! What a tool answers for an answer of the API: JSON as structured content, text as text, pictures as
//! pictures, and a status that is no success as an error that the model can read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use puerto_mcp::builtin::{Answer, Block, Body, Contents};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Operation;
use super::body::essence;
use super::client::Reply;
use super::credentials::Credentials;
use super::document::cut;
use super::pages::Next;

/// Characters of the body of an error.
const ERROR_MAX: usize = 4000;
/// Levels of JSON that pass as JSON; what is nested deeper passes as text. The wire takes 128.
const DEPTH_MAX: usize = 100;
/// Characters of an address of further pages.
const NEXT_MAX: usize = 1000;
/// Headers that are told where there is no body.
const TOLD: [&str; 6] =
    ["location", "content-type", "content-length", "last-modified", "etag", "retry-after"];

/// What the tool answers.
pub(super) fn answer(
    operation: &Operation,
    reply: &Reply,
    next: Option<&Next>,
    known: &Credentials,
) -> Answer {
    if !reply.status.is_success() {
        return Answer { content: vec![text(failure(reply, known))], is_error: true, ..Answer::default() };
    }
    let mut answer = good(operation, reply);
    if operation.tool.output_schema.is_some() && answer.structured.is_none() {
        // The schema demands nothing, but that there is an object.
        answer.structured = raw("{\"result\":null}".into());
    }
    if let Some(next) = next {
        let (words, hint) = match &next.arguments {
            Some(arguments) => {
                let arguments = Value::Object(arguments.clone());
                (format!("There is more: call again with {arguments}"), json!({"arguments": arguments}))
            }
            None => {
                let url = cut(&known.off(&next.target), NEXT_MAX).into_owned();
                (format!("There is more at {url}"), json!({"url": url}))
            }
        };
        answer.content.push(text(words));
        answer.meta.insert("puerto/next".into(), hint);
    }
    answer
}

fn good(operation: &Operation, reply: &Reply) -> Answer {
    let media = media(&reply.headers);
    let one = |block: Block| Answer { content: vec![block], ..Answer::default() };
    if reply.body.is_empty() {
        return one(text(bare(reply)));
    }
    if is_json(&media)
        && let Some(structured) = structured(&reply.body)
    {
        return structured.into();
    }
    let data = || STANDARD.encode(&reply.body);
    match media.split('/').next().unwrap_or_default() {
        "image" if media != "image/svg+xml" => one(Block::Image { data: data(), mime_type: media }),
        "audio" => one(Block::Audio { data: data(), mime_type: media }),
        _ => match std::str::from_utf8(&reply.body) {
            Ok(body) if is_text(&media) => one(text(body.to_owned())),
            _ => {
                let uri = format!("openapi:/{}/answer", operation.tool.name);
                let mime_type = if media.is_empty() { "application/octet-stream".into() } else { media };
                one(Block::Resource { resource: Contents { uri, mime_type, body: Body::Blob(data()) } })
            }
        },
    }
}

/// What is said of an answer without a body.
fn bare(reply: &Reply) -> String {
    let mut said = format!("HTTP {}, without a body", reply.status);
    for name in TOLD {
        if let Some(value) = reply.headers.get(name).and_then(|value| value.to_str().ok()) {
            said.push_str(&format!("\n{name}: {}", cut(value, NEXT_MAX)));
        }
    }
    said
}

/// What is said of an answer that is no success. Some APIs repeat what they were sent.
fn failure(reply: &Reply, known: &Credentials) -> String {
    if reply.body.is_empty() {
        return known.hide(&bare(reply));
    }
    let mut said = format!("HTTP {}", reply.status);
    if let Some(after) = reply.headers.get("retry-after").and_then(|value| value.to_str().ok()) {
        said.push_str(&format!("\nretry-after: {}", cut(after, 100)));
    }
    let media = media(&reply.headers);
    match std::str::from_utf8(&reply.body) {
        Ok(body) if is_json(&media) || is_text(&media) => said + "\n" + &cut(&known.hide(body), ERROR_MAX),
        _ => format!("{said}\nwith {} bytes of {}", reply.body.len(), cut(&media, 100)),
    }
}

fn text(text: String) -> Block {
    Block::Text { text }
}

/// A body of JSON as one object, byte for byte; nothing where it is none.
fn structured(body: &[u8]) -> Option<Box<RawValue>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    if depth(&value) > DEPTH_MAX {
        return None;
    }
    let own: Box<RawValue> = serde_json::from_slice(body).ok()?;
    if value.is_object() { Some(own) } else { raw(format!("{{\"result\":{}}}", own.get())) }
}

fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

pub(super) fn media(headers: &HeaderMap) -> String {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence).unwrap_or_default()
}

pub(super) fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "text/json") || media.ends_with("+json")
}

fn is_text(media: &str) -> bool {
    let known = ["", "application/xml", "application/yaml", "application/x-yaml", "application/javascript"];
    media.starts_with("text/")
        || media.ends_with("+xml")
        || is_json(media)
        || media == "application/x-www-form-urlencoded"
        || media.ends_with("ndjson")
        || known.contains(&media)
}

#[cfg(test)]
mod tests;
