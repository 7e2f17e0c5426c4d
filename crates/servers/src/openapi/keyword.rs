//! The words of JSON Schema: which are taken over from a document, in which form, and how null is let in.

use serde_json::{Map, Value, json};

use super::schema::Way;

/// Levels of a value in a schema, such as a default.
const VALUE_DEPTH_MAX: usize = 8;
/// What becomes of a keyword.
pub(super) enum Keyword {
    Schema,
    Schemas,
    Named,
    Text,
    Number,
    Flag,
    List,
    Any,
}

/// Keywords that are taken over; all others are left out. The second half says nothing about answers that
/// would not break for somebody.
pub(super) fn keyword(name: &str, way: Way) -> Option<Keyword> {
    Some(match (name, way) {
        ("items", _) => Keyword::Schema,
        ("allOf" | "anyOf" | "oneOf", _) => Keyword::Schemas,
        ("properties", _) => Keyword::Named,
        ("title" | "description", _) => Keyword::Text,
        (_, Way::Output) => return None,
        ("additionalProperties" | "not" | "if" | "then" | "else" | "contains" | "propertyNames", _)
        | ("unevaluatedProperties" | "unevaluatedItems", _) => Keyword::Schema,
        ("prefixItems", _) => Keyword::Schemas,
        ("patternProperties" | "dependentSchemas", _) => Keyword::Named,
        ("pattern" | "contentEncoding" | "contentMediaType", _) => Keyword::Text,
        ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf", _)
        | ("minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties", _)
        | ("minContains" | "maxContains", _) => Keyword::Number,
        ("uniqueItems" | "deprecated", _) => Keyword::Flag,
        ("enum" | "examples", _) => Keyword::List,
        ("const" | "default", _) => Keyword::Any,
        _ => return None,
    })
}

/// Formats of JSON Schema; strict validators complain about others.
pub(super) const FORMATS: [&str; 12] = [
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uuid",
    "regex",
];
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Takes over the type, where it is one.
pub(super) fn kind_of(from: &Map<String, Value>, to: &mut Map<String, Value>) {
    let known = |kind: &&Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
    match from.get("type") {
        Some(kind @ Value::String(_)) if known(&kind) => drop(to.insert("type".into(), kind.clone())),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<_> = kinds.iter().filter(known).collect();
            if !kinds.is_empty() {
                to.insert("type".into(), json!(kinds));
            }
        }
        _ => {}
    }
}

/// The same schema, which null fits too.
pub(super) fn or_null(mut schema: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    let is_joined = ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|key| schema.contains_key(*key));
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push("null".into()),
        Some(kind @ Value::String(_)) if *kind != "null" => *kind = json!([kind, "null"]),
        None if is_joined => {
            return Map::from_iter([("anyOf".into(), json!([schema, {"type": "null"}]))]);
        }
        _ => {}
    }
    schema
}

/// Bytes of a value as JSON, roughly; counting ends where there are more than wanted, or too many levels.
pub(super) fn size(value: &Value, enough: usize, depth: usize) -> usize {
    if depth > VALUE_DEPTH_MAX {
        return enough + 1;
    }
    let mut total = 2;
    let mut add = |inner: usize| {
        total += inner + 1;
        total <= enough
    };
    let _ = match value {
        Value::String(text) => add(text.len()),
        Value::Array(items) => items.iter().all(|item| add(size(item, enough, depth + 1))),
        Value::Object(members) => {
            members.iter().all(|(key, item)| add(key.len() + size(item, enough, depth + 1)))
        }
        _ => add(8),
    };
    total
}
