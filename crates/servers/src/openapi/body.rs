//! The body of an operation: which of its media types a tool writes, and whether its members become
//! arguments of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document::{Document, short};
use super::inputs::{ARGUMENTS_MAX, Style};
use super::schema::PARTS_MAX;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Form,
    Text,
}

/// Where the parts of a body come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// From one argument.
    Whole(String),
    /// From arguments of their own, each with its name in the body.
    Members {
        members: Vec<(String, String)>,
        /// Whether arguments that nobody knows belong to it too.
        open: bool,
    },
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) kind: Kind,
    pub(super) media: String,
    pub(super) required: bool,
    pub(super) shape: Shape,
    /// Members of a form that are written otherwise than usual.
    pub(super) encodings: BTreeMap<String, (Style, bool)>,
}

/// A body as the document has it.
pub(super) struct GivenBody<'d> {
    pub(super) body: Body,
    pub(super) schema: &'d Value,
    pub(super) description: Option<&'d str>,
    pub(super) flat: Option<Flat<'d>>,
}

/// Reads a body; nothing where the document says nothing of it. The reason of a failure begins with "its".
pub(super) fn read<'d>(document: &'d Document, given: &'d Value) -> Result<Option<GivenBody<'d>>, String> {
    let Some(content) = given["content"].as_object().filter(|content| !content.is_empty()) else {
        return Ok(None);
    };
    let of = |kind: Kind| {
        content.iter().find(|(media, _)| kind_of(media) == Some(kind)).map(|found| (kind, found))
    };
    let Some((kind, (media, entry))) = [Kind::Json, Kind::Form, Kind::Text].into_iter().find_map(of) else {
        let media: Vec<_> = content.keys().map(|media| essence(media)).take(3).collect();
        return Err(format!("its body is {}, which a tool cannot send", short(&media.join(", "))));
    };
    let schema = &entry["schema"];
    let flat = match kind {
        Kind::Text => None,
        _ => flat(document, schema, &mut { PARTS_MAX })
            .filter(|flat| (1..=ARGUMENTS_MAX).contains(&flat.properties.len())),
    };
    if kind == Kind::Form && flat.is_none() {
        return Err("its form has no fields that are known".into());
    }
    let media = if media.contains('*') { "application/json".to_owned() } else { media.clone() };
    let body = Body {
        kind,
        media,
        required: given["required"] == true,
        shape: Shape::Whole(String::new()),
        encodings: encodings(&entry["encoding"]),
    };
    Ok(Some(GivenBody { body, schema, description: given["description"].as_str(), flat }))
}

/// How a body of a media type is written, where a tool can write it.
fn kind_of(media: &str) -> Option<Kind> {
    match &*essence(media) {
        _ if is_json(media) => Some(Kind::Json),
        "application/x-www-form-urlencoded" => Some(Kind::Form),
        essence if essence.starts_with("text/") => Some(Kind::Text),
        _ => None,
    }
}

fn encodings(given: &Value) -> BTreeMap<String, (Style, bool)> {
    let style = |entry: &Value| {
        let style = match entry["style"].as_str()? {
            "form" => Style::Form,
            "spaceDelimited" => Style::Space,
            "pipeDelimited" => Style::Pipe,
            "deepObject" => Style::Deep,
            _ => return None,
        };
        Some((style, entry["explode"].as_bool().unwrap_or(style == Style::Form)))
    };
    let all = given.as_object().into_iter().flatten();
    all.filter_map(|(name, entry)| Some((name.clone(), style(entry)?))).collect()
}

/// The members of an object whose schema says nothing about how they go together.
#[derive(Default)]
pub(super) struct Flat<'d> {
    pub(super) properties: BTreeMap<&'d str, &'d Value>,
    pub(super) required: BTreeSet<&'d str>,
    /// What further members must be, where there may be some.
    pub(super) open: Option<&'d Value>,
}

fn flat<'d>(document: &'d Document, schema: &'d Value, left: &mut usize) -> Option<Flat<'d>> {
    let schema = document.settle(schema).ok()?.as_object()?;
    let joined =
        ["oneOf", "anyOf", "not", "if", "patternProperties", "dependentSchemas", "dependentRequired"];
    let is_object = schema.get("type").is_none_or(|kind| kind == "object");
    *left = left.saturating_sub(1);
    if *left == 0 || !is_object || joined.iter().any(|key| schema.contains_key(*key)) {
        return None;
    }
    let mut all = Flat::default();
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        let part = flat(document, part, left)?;
        all.properties.extend(part.properties);
        all.required.extend(part.required);
        all.open = all.open.or(part.open);
    }
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let shown = |schema: &Value| document.settle(schema).is_ok_and(|schema| schema["readOnly"] != true);
    all.properties
        .extend(properties.filter(|(_, schema)| shown(schema)).map(|(name, schema)| (&**name, schema)));
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    all.required.extend(required.filter_map(Value::as_str));
    let further = schema.get("additionalProperties").filter(|further| **further != Value::Bool(false));
    all.open = all.open.or(further);
    Some(all)
}

/// A media type without its parameters, in lower case.
pub(super) fn essence(media: &str) -> String {
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a media type is JSON, or may be.
pub(super) fn is_json(media: &str) -> bool {
    let essence = essence(media);
    matches!(&*essence, "application/json" | "text/json" | "*/*" | "application/*")
        || essence.ends_with("+json")
}
