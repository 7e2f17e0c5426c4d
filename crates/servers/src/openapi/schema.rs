//! Schemas of a document as JSON Schema 2020-12 that stands alone. References are replaced by what they
//! lead to; what contains itself is kept under `$defs`, and so is everything where the schema would grow
//! too large otherwise.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::document::{Document, cut, short};
use super::keyword::{FORMATS, Keyword, keyword, kind_of, or_null, size};

/// Largest schema whose references are replaced, in bytes. Above it each part stands once, under `$defs`.
const INLINE_MAX: usize = 16 * 1024;
/// Largest schema of one tool's arguments. What lies beyond is left open.
pub(super) const SCHEMA_MAX: usize = 32 * 1024;
/// Largest schema of an answer: it only helps to read what comes anyway, and a larger one is left out.
const ANSWER_MAX: usize = 8 * 1024;
/// Levels of a schema.
const DEPTH_MAX: usize = 40;
/// Parts (`allOf`) that are looked at to tell what a schema describes; they can be joined in each other without end.
pub(super) const PARTS_MAX: usize = 50;
/// Names that an object may require.
const REQUIRED_MAX: usize = 1000;
/// Characters of a description of one member.
const DESCRIPTION_MAX: usize = 600;

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Arguments: without what the API alone sets.
    Input,
    /// Answers. Strict clients refuse an answer that breaks its schema, and many APIs do not keep what they
    /// promise: so it says which members there are, and demands nothing.
    Output,
}

/// Makes one schema.
pub(super) struct Converter<'d> {
    document: &'d Document,
    way: Way,
    inlines: bool,
    left: usize,
    /// Whether something had to be left out for want of room.
    pub(super) is_over: bool,
    /// The references that are being followed.
    stack: Vec<String>,
    depth: usize,
    /// Names under `$defs`, by reference.
    names: BTreeMap<String, String>,
    /// How often each of them was wanted.
    wanted: BTreeMap<String, usize>,
    waiting: VecDeque<String>,
    /// What could not be followed.
    pub(super) notices: Vec<String>,
}

/// Makes a schema by a function that is called a second time where the first result is too large.
pub(super) fn build(
    document: &Document,
    way: Way,
    make: impl Fn(&mut Converter<'_>) -> Map<String, Value>,
) -> (Map<String, Value>, bool, Vec<String>) {
    let mut last = None;
    let room = match way {
        Way::Input => [INLINE_MAX, SCHEMA_MAX],
        Way::Output => [ANSWER_MAX; 2],
    };
    for (inlines, left) in [true, false].into_iter().zip(room) {
        let mut converter = Converter {
            document,
            way,
            inlines,
            left,
            is_over: false,
            stack: Vec::new(),
            depth: 0,
            names: BTreeMap::new(),
            wanted: BTreeMap::new(),
            waiting: VecDeque::new(),
            notices: Vec::new(),
        };
        let mut schema = make(&mut converter);
        converter.define(&mut schema);
        let is_over = converter.is_over;
        last = Some((schema, is_over, converter.notices));
        if !is_over {
            break;
        }
    }
    last.expect("there are two rounds")
}

impl Converter<'_> {
    /// One schema, wherever it stands.
    pub(super) fn schema(&mut self, from: &Value) -> Value {
        if self.is_over && self.inlines || self.depth == DEPTH_MAX {
            self.is_over = true;
            return json!({});
        }
        self.depth += 1;
        let schema = match from {
            Value::Bool(_) => from.clone(),
            Value::Object(members) => match members.get("$ref").and_then(Value::as_str) {
                Some(reference) => self.reference(from, reference, members),
                None => Value::Object(self.object(members)),
            },
            _ => json!({}),
        };
        self.depth -= 1;
        schema
    }

    /// A schema that stands at the root: its own reference is always replaced.
    pub(super) fn root(&mut self, from: &Value) -> Map<String, Value> {
        let document = self.document;
        match document.follow(from) {
            Ok((reference, Value::Object(members))) => {
                self.stack.extend(reference.map(Into::into));
                let schema = self.members(members);
                self.stack.truncate(self.stack.len() - usize::from(reference.is_some()));
                schema
            }
            Ok(_) => Map::new(),
            Err(why) => {
                self.notices.push(why);
                Map::new()
            }
        }
    }

    fn reference(&mut self, from: &Value, first: &str, beside: &Map<String, Value>) -> Value {
        let document = self.document;
        let (reference, target) = match document.follow(from) {
            Ok((reference, target)) => (reference.unwrap_or(first), target),
            Err(why) => {
                self.notices.push(why);
                return json!({});
            }
        };
        let is_open = self.stack.iter().any(|open| open == reference) || self.stack.len() == DEPTH_MAX;
        let mut schema = match (self.inlines && !is_open && !self.names.contains_key(reference), target) {
            (true, Value::Object(members)) => {
                self.stack.push(reference.into());
                let schema = self.object(members);
                self.stack.pop();
                schema
            }
            (true, _) => return self.schema(target),
            (false, _) => {
                let name = self.name(reference);
                self.spend(name.len() + 20);
                Map::from_iter([("$ref".into(), format!("#/$defs/{name}").into())])
            }
        };
        // What stands beside a reference describes this use of it.
        for key in ["title", "description", "default", "deprecated"] {
            if let Some(kind) = keyword(key, self.way)
                && let Some(value) = beside.get(key)
            {
                self.take(&mut schema, key, value, &kind);
            }
        }
        Value::Object(schema)
    }

    /// The name of a reference under `$defs`, which will be defined.
    fn name(&mut self, reference: &str) -> String {
        if let Some(name) = self.names.get(reference) {
            return name.clone();
        }
        let last = reference.rsplit('/').next().unwrap_or_default();
        let legal = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        let plain: String = last.chars().map(legal).take(64).collect();
        let mut name = plain.clone();
        while let Some(times) = self.wanted.get_mut(&name) {
            *times += 1;
            name = format!("{plain}_{times}");
        }
        self.wanted.insert(name.clone(), 1);
        self.names.insert(reference.into(), name.clone());
        self.waiting.push_back(reference.into());
        name
    }

    /// Adds `$defs` with everything that is referred to.
    fn define(&mut self, schema: &mut Map<String, Value>) {
        let mut defs = Map::new();
        while let Some(reference) = self.waiting.pop_front() {
            let document = self.document;
            let Ok(target) = document.at(&reference) else { continue };
            self.stack = vec![reference.clone()];
            let defined = self.schema(target);
            defs.insert(self.names[&reference].clone(), defined);
        }
        if !defs.is_empty() {
            schema.insert("$defs".into(), Value::Object(defs));
        }
    }

    fn object(&mut self, from: &Map<String, Value>) -> Map<String, Value> {
        let schema = self.members(from);
        let may_be_null = self.document.is_3_0 && from.get("nullable") == Some(&Value::Bool(true));
        if may_be_null || self.way == Way::Output { or_null(schema) } else { schema }
    }

    fn members(&mut self, from: &Map<String, Value>) -> Map<String, Value> {
        let mut to = Map::new();
        if !self.spend(4) {
            return to;
        }
        for (key, value) in from {
            if let Some(kind) = keyword(key, self.way) {
                self.take(&mut to, key, value, &kind);
            }
        }
        kind_of(from, &mut to);
        if self.way == Way::Input {
            self.demands(from, &mut to);
        }
        if let Some(choices) = to.remove("oneOf") {
            // Loosened, two choices may both fit.
            let key = if self.way == Way::Output { "anyOf" } else { "oneOf" };
            to.insert(key.into(), choices);
        }
        to
    }

    /// Takes over one keyword, where its value has the right form and there is room.
    fn take(&mut self, to: &mut Map<String, Value>, key: &str, value: &Value, kind: &Keyword) {
        let taken = match (kind, value) {
            (Keyword::Schema, Value::Object(_) | Value::Bool(_)) => self.schema(value),
            (Keyword::Schemas, Value::Array(items)) if !items.is_empty() => {
                let choices = items.iter().map_while(|item| self.spend(4).then(|| self.schema(item)));
                let choices: Vec<_> = choices.collect();
                // Some of the choices alone would refuse what the others allow.
                if choices.len() < items.len() {
                    return;
                }
                choices.into()
            }
            (Keyword::Named, Value::Object(members)) => {
                let mut named = Map::new();
                for (name, schema) in members {
                    if !self.spend(name.len() + 4) {
                        break;
                    }
                    if key != "properties" || !self.is_hidden(schema) {
                        named.insert(name.clone(), self.schema(schema));
                    }
                }
                Value::Object(named)
            }
            (Keyword::Text, Value::String(text)) => {
                let text = cut(text, DESCRIPTION_MAX);
                if !self.spend(text.len() + key.len()) {
                    return;
                }
                text.into()
            }
            (Keyword::Number, Value::Number(_))
            | (Keyword::Flag, Value::Bool(_))
            | (Keyword::List, Value::Array(_))
            | (Keyword::Any, _) => {
                if !self.spend(size(value, self.left, 0) + key.len()) {
                    return;
                }
                value.clone()
            }
            _ => return,
        };
        to.insert(key.into(), taken);
    }

    /// Whether only the other side may set or see a member.
    fn is_hidden(&self, schema: &Value) -> bool {
        let key = if self.way == Way::Input { "readOnly" } else { "writeOnly" };
        self.document.settle(schema).is_ok_and(|schema| schema[key] == true)
    }

    /// What an argument must be, beyond its type.
    fn demands(&mut self, from: &Map<String, Value>, to: &mut Map<String, Value>) {
        let properties = to.get("properties").and_then(Value::as_object);
        let written = from.get("properties").and_then(Value::as_object);
        // What is required and left out cannot be given.
        let is_hidden = |name: &&str| {
            written.is_some_and(|all| all.contains_key(*name))
                && !properties.is_some_and(|all| all.contains_key(*name))
        };
        let required = from.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<_> =
            required.filter_map(Value::as_str).take(REQUIRED_MAX).filter(|name| !is_hidden(name)).collect();
        if !required.is_empty() && self.spend(required.iter().map(|name| name.len() + 3).sum()) {
            to.insert("required".into(), json!(required));
        }
        if let Some(format) =
            from.get("format").and_then(Value::as_str).filter(|format| FORMATS.contains(format))
        {
            to.insert("format".into(), format.into());
        }
        if to.get("multipleOf").is_some_and(|step| step.as_f64().is_none_or(|step| step <= 0.0)) {
            to.remove("multipleOf");
        }
        for (limit, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
            if from.get(exclusive) == Some(&Value::Bool(true))
                && let Some(value) = to.remove(limit)
            {
                to.insert(exclusive.into(), value);
            }
        }
    }

    /// Takes room; false where there is none left.
    fn spend(&mut self, bytes: usize) -> bool {
        let Some(left) = self.left.checked_sub(bytes) else {
            self.is_over = true;
            return false;
        };
        self.left = left;
        true
    }
}

/// Whether a schema describes objects only.
pub(super) fn is_object(document: &Document, schema: &Value) -> bool {
    is_object_within(document, schema, &mut { PARTS_MAX })
}

fn is_object_within(document: &Document, schema: &Value, left: &mut usize) -> bool {
    let Ok(schema) = document.settle(schema) else { return false };
    *left = left.saturating_sub(1);
    if schema["nullable"] == true || *left == 0 {
        return false;
    }
    match &schema["type"] {
        Value::String(kind) => kind == "object",
        Value::Null => {
            let mut parts = schema["allOf"].as_array().into_iter().flatten();
            schema["properties"].is_object() || parts.any(|part| is_object_within(document, part, left))
        }
        _ => false,
    }
}

/// What a notice says of something that could not be followed.
pub(super) fn left_open(name: &str, why: &str) -> String {
    format!("a part of the arguments of {:?} may be anything: {why}", short(name))
}

#[cfg(test)]
mod tests;
