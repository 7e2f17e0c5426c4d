//! Values between SQLite and JSON. How a column is written follows from its declared type alone, so all
//! its rows look the same:
//!
//! - JSON, JSONB: the value itself; what is not JSON stays text;
//! - BIGINT, INT8, NUMERIC, DECIMAL and their like: numbers as strings, exact in every client;
//! - everything else: integers and reals as JSON numbers, written with all their digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rusqlite::types::{Value as SqlValue, ValueRef};
use serde::de::IgnoredAny;
use serde_json::Value;

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Numbers as JSON numbers.
    Plain,
    /// Numbers as strings.
    Exact,
    /// Text that holds JSON as what it holds.
    Json,
}

impl Shape {
    /// Follows from the declared type; an expression has none.
    pub(super) fn of(declared: Option<&str>) -> Self {
        let name =
            declared.unwrap_or_default().split('(').next().unwrap_or_default().trim().to_ascii_uppercase();
        match name.as_str() {
            "JSON" | "JSONB" => Shape::Json,
            "INT8" | "UNSIGNED BIG INT" | "NUMBER" | "MONEY" | "DEC" => Shape::Exact,
            name if ["BIGINT", "NUMERIC", "DECIMAL"].iter().any(|exact| name.starts_with(exact)) => {
                Shape::Exact
            }
            _ => Shape::Plain,
        }
    }
}

/// Appends a value as JSON. False when it would take more than `room` bytes, and then `out` holds
/// nothing usable after its old end.
pub(super) fn write(out: &mut Vec<u8>, value: ValueRef<'_>, shape: Shape, room: usize) -> bool {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Integer(n) => number(out, &n, shape),
        ValueRef::Real(n) if n.is_finite() => number(out, &n, shape),
        // JSON has no word for these.
        ValueRef::Real(n) => out.extend_from_slice(if n > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" }),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) if bytes.len() > room => return false,
        ValueRef::Blob(bytes) => blob(out, bytes),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if shape == Shape::Json && is_json(text) => compact(out, text),
            Ok(text) => string(out, text),
            // SQLite does not check; a replacement character would not be what is stored.
            Err(_) => blob(out, bytes),
        },
    }
    true
}

fn number(out: &mut Vec<u8>, n: &impl serde::Serialize, shape: Shape) {
    let quote: &[u8] = if shape == Shape::Exact { b"\"" } else { b"" };
    out.extend_from_slice(quote);
    serde_json::to_writer(&mut *out, n).expect("a finite number is written to memory");
    out.extend_from_slice(quote);
}

/// Appends a text as JSON.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is written to memory");
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"$base64\":\"");
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.extend_from_slice(b"\",\"bytes\":");
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b'}');
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// JSON without the white space between its parts: a line break would end the message on a transport
/// whose messages are lines. Numbers and names keep their text.
fn compact(out: &mut Vec<u8>, json: &str) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

/// A JSON value as SQLite stores it: arrays and objects as JSON text, `{"$base64": ...}` as a blob.
pub(super) fn to_sql(value: &Value) -> Result<SqlValue, String> {
    Ok(match value {
        Value::Null => SqlValue::Null,
        Value::Bool(is) => SqlValue::Integer((*is).into()),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => SqlValue::Integer(n),
            (None, Some(n), _) => {
                return Err(format!("{n} is larger than a 64-bit integer; pass it as text"));
            }
            (None, None, Some(n)) => SqlValue::Real(n),
            (None, None, None) => return Err(format!("{n} is not a number that sqlite can hold")),
        },
        Value::String(text) => SqlValue::Text(text.clone()),
        Value::Object(object) => match object.get("$base64") {
            Some(Value::String(text)) => SqlValue::Blob(
                BASE64
                    .decode(text)
                    .map_err(|error| format!("\"$base64\" is not base64: {error}").to_lowercase())?,
            ),
            _ => SqlValue::Text(value.to_string()),
        },
        Value::Array(_) => SqlValue::Text(value.to_string()),
    })
}

#[cfg(test)]
mod tests;
