//! Compares a configuration with the JSON Schema generated from `HubDef`, so that every mistake is told
//! at once and with its place; serde alone stops at the first. Knows the keywords that schemars
//! writes for our definitions, and a test holds it to that.

use std::collections::BTreeMap;

use puerto_core::ServerName;
use puerto_core::def::HubDef;
use serde_json::Value as Json;

use super::json::{Member, Node, Span, Value};
use super::known;
use super::problem::{Path, Problem, Report};

/// The pattern of every name; it is checked by the type that the names become.
pub(super) const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_-]*$";

/// Longest value repeated in a message.
const FOUND_MAX: usize = 40;

/// The schema of the configuration file.
pub(crate) fn schema() -> Json {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.into_generator().into_root_schema_for::<HubDef>().to_value()
}

/// Judges a whole configuration. Expanded texts become numbers and truth values where those are wanted.
pub(crate) fn validate(schema: &Json, root: &mut Node, report: &mut Report<'_>) {
    Validator { root: schema, report }.value(&Place { schema, name: "HubDef" }, root, &Path::Root);
}

/// A schema, and the definition that it comes from.
struct Place<'s> {
    schema: &'s Json,
    name: &'s str,
}

struct Validator<'s, 'r, 't> {
    root: &'s Json,
    report: &'r mut Report<'t>,
}

impl<'s> Validator<'s, '_, '_> {
    /// Follows references and the "or null" of optional values to the schema that says something.
    fn settle(&self, place: &Place<'s>) -> Place<'s> {
        let Place { mut schema, mut name } = *place;
        loop {
            if let Some(reference) = schema["$ref"].as_str() {
                name = reference.rsplit('/').next().unwrap_or(name);
                schema = &self.root["$defs"][name];
            } else if let Some(choices) = schema["anyOf"].as_array() {
                match choices.iter().find(|choice| choice["type"] != "null") {
                    Some(choice) => schema = choice,
                    None => return Place { schema, name },
                }
            } else {
                return Place { schema, name };
            }
        }
    }

    fn value(&mut self, place: &Place<'s>, node: &mut Node, path: &Path<'_>) {
        let may_be_null = allows_null(place.schema);
        let place = self.settle(place);
        if matches!(node.value, Value::Unknown) || (may_be_null && node.value == Value::Null) {
            return;
        }
        if place.schema.get("not").is_some() {
            let problem = Problem::error("this part of Puerto comes in a later version")
                .help("leave the section empty");
            return self.report.add(node.span, path, problem);
        }
        if let Some(words) = words(place.schema) {
            return self.word(&place, &words, node, path);
        }
        let wanted = kinds(place.schema);
        coerce(&wanted, node);
        if !wanted.is_empty() && !wanted.iter().any(|kind| is_kind(kind, &node.value)) {
            let problem = Problem::error(wrong(path)).expected(self.found(node), kind_text(&wanted));
            let problem = match example(&wanted, node) {
                Some(help) => problem.help(help),
                None => problem,
            };
            return self.report.add(node.span, path, problem);
        }
        match &mut node.value {
            Value::Object(members) => self.object(&place, members, node.span, path),
            Value::List(items) => {
                let inner = Place { schema: &place.schema["items"], name: "" };
                for (at, item) in items.iter_mut().enumerate() {
                    self.value(&inner, item, &Path::Item(path, at));
                }
            }
            Value::Number(_) => self.range(&place, node, path),
            _ => {}
        }
    }

    fn object(&mut self, place: &Place<'s>, members: &mut [Member], span: Span, path: &Path<'_>) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for member in members {
            let path = Path::Key(path, &member.key);
            if let Some(first) = seen.get(&member.key) {
                let line = self.report.text[..first.start].matches('\n').count() + 1;
                let problem = Problem::error(format!("{:?} is defined twice", member.key));
                let problem = problem.help(format!("the first is in line {line}; keep one of them"));
                self.report.add(member.key_span, &path, problem);
                continue;
            }
            seen.insert(member.key.clone(), member.key_span);
            if let Some(schema) = place.schema["properties"].get(&member.key) {
                self.value(&Place { schema, name: "" }, &mut member.node, &path);
            } else if let Some(schema) = place.schema["patternProperties"].get(NAME_PATTERN) {
                if let Err(error) = ServerName::new(&member.key) {
                    // The same rule for servers and tenants; the type's own word for it is the server's.
                    let message = error.to_string().replace("server name", "the name");
                    self.report.add(member.key_span, &path, Problem::error(message));
                }
                self.value(&Place { schema, name: "" }, &mut member.node, &path);
            } else {
                match &place.schema["additionalProperties"] {
                    Json::Bool(false) => {
                        let problem = unknown_key(place, &member.key);
                        self.report.add(member.key_span, &path, problem);
                    }
                    schema => self.value(&Place { schema, name: "" }, &mut member.node, &path),
                }
            }
        }
        let required = place.schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
        for key in required.filter(|key| !seen.contains_key(*key)) {
            // A misspelt key is told of already.
            let meant = |given: &String| {
                known::nearest(given, [key]).is_some()
                    || known::foreign_key(place.name, given)
                        .is_some_and(|help| help.contains(&format!("{key:?}")))
            };
            if seen.keys().any(meant) {
                continue;
            }
            let problem = Problem::error(format!("{} lacks the key {key:?}", known::noun(place.name)));
            let problem = match place.schema["properties"][key]["description"].as_str() {
                Some(text) => problem.help(format!("{key:?} holds: {text}")),
                None => problem,
            };
            self.report.add(Span { start: span.start, end: span.start + 1 }, path, problem);
        }
    }

    /// One of a closed set of words.
    fn word(&mut self, place: &Place<'s>, words: &[&'s str], node: &Node, path: &Path<'_>) {
        let given = node.text();
        if given.is_some_and(|given| words.contains(&given)) {
            return;
        }
        let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
        let mut problem = Problem::error(wrong(path)).expected(self.found(node), either(&quoted));
        if let Some(given) = given {
            let foreign = known::foreign_value(place.name, given).map(str::to_owned);
            let near =
                || known::nearest(given, words.iter().copied()).map(|word| format!("did you mean {word:?}?"));
            problem.help = foreign.or_else(near);
        }
        self.report.add(node.span, path, problem);
    }

    fn range(&mut self, place: &Place<'s>, node: &Node, path: &Path<'_>) {
        let Value::Number(number) = &node.value else { return };
        let limit = |keyword: &str| place.schema[keyword].as_i64();
        let (low, mut high) = (limit("minimum"), limit("maximum"));
        if high.is_none() && place.schema["format"] == "uint32" {
            high = Some(u32::MAX.into());
        }
        let value = number.as_i64().unwrap_or(i64::MAX);
        if low.is_none_or(|low| value >= low) && high.is_none_or(|high| value <= high) {
            return;
        }
        let expected = match (low, high) {
            (Some(low), Some(high)) if low == high => format!("{low}"),
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!("{low} or more"),
            (_, high) => format!("{} or less", high.unwrap_or(i64::MAX)),
        };
        let mut problem = Problem::error(wrong(path)).expected(self.found(node), expected);
        problem.help = place.schema["description"].as_str().map(|text| text.replace('\n', " "));
        self.report.add(node.span, path, problem);
    }

    /// What stands there, as written: an expanded value may be a secret.
    fn found(&self, node: &Node) -> String {
        let kind = match &node.value {
            Value::Object(_) => return "an object { … }".into(),
            Value::List(_) => return "a list [ … ]".into(),
            Value::Null => return "null".into(),
            Value::Bool(_) | Value::Unknown => "",
            Value::Number(_) => "the number ",
            Value::Text(_) | Value::Expanded(_) => "the text ",
        };
        let raw = &self.report.text[node.span.start..node.span.end];
        let shown: String = raw.chars().take(FOUND_MAX).collect();
        let cut = if shown.len() < raw.len() { "…" } else { "" };
        format!("{kind}{shown}{cut}")
    }
}

fn unknown_key(place: &Place<'_>, key: &str) -> Problem {
    let names: Vec<&str> =
        place.schema["properties"].as_object().into_iter().flatten().map(|(k, _)| &**k).collect();
    let problem = Problem::error(format!("unknown key {key:?} in {}", known::noun(place.name)));
    if let Some(help) = known::foreign_key(place.name, key) {
        problem.help(help)
    } else if let Some(near) = known::nearest(key, names.iter().copied()) {
        problem.help(format!("did you mean {near:?}?"))
    } else {
        problem.help(format!("known keys are {}", names.join(", ")))
    }
}

fn wrong(path: &Path<'_>) -> String {
    match path.last() {
        Some(key) => format!("{key:?} has a wrong value"),
        None => "the configuration has a wrong form".into(),
    }
}

/// The words of a closed set, where the schema is one.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(list) = schema["enum"].as_array() {
        return Some(list.iter().filter_map(Json::as_str).collect());
    }
    let choices = schema["oneOf"].as_array()?;
    let word = |choice| words_of(choice);
    Some(choices.iter().flat_map(word).collect())
}

fn words_of(choice: &Json) -> Vec<&str> {
    let listed = choice["enum"].as_array().into_iter().flatten();
    choice["const"].as_str().into_iter().chain(listed.filter_map(Json::as_str)).collect()
}

fn kinds(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn allows_null(schema: &Json) -> bool {
    let choices = schema["anyOf"].as_array();
    choices.is_some_and(|choices| choices.iter().any(|choice| choice["type"] == "null"))
}

fn is_kind(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => matches!(value, Value::Object(_)),
        "array" => matches!(value, Value::List(_)),
        "string" => matches!(value, Value::Text(_) | Value::Expanded(_)),
        "boolean" => matches!(value, Value::Bool(_)),
        "null" => *value == Value::Null,
        "integer" => matches!(value, Value::Number(number) if number.is_i64() || number.is_u64()),
        _ => matches!(value, Value::Number(_)),
    }
}

/// `"${PORT}"` is a text in the file and may stand for a number or a truth value.
fn coerce(wanted: &[&str], node: &mut Node) {
    let Value::Expanded(text) = &node.value else { return };
    if wanted.contains(&"string") {
        return;
    }
    if let Ok(number) = text.trim().parse::<serde_json::Number>()
        && wanted.iter().any(|kind| matches!(*kind, "integer" | "number"))
    {
        node.value = Value::Number(number);
    } else if let Ok(truth) = text.trim().parse()
        && wanted.contains(&"boolean")
    {
        node.value = Value::Bool(truth);
    }
}

fn kind_text(kinds: &[&str]) -> String {
    let names = kinds.iter().filter(|kind| **kind != "null" || kinds.len() == 1).map(|kind| match *kind {
        "object" => "an object { … }".to_owned(),
        "array" => "a list [ … ]".to_owned(),
        "string" => "a text in double quotes".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        other => other.to_owned(),
    });
    either(&names.collect::<Vec<_>>())
}

/// How the value would look in the wanted form, where that is plain.
fn example(wanted: &[&str], node: &Node) -> Option<String> {
    match &node.value {
        // It may be a secret and is not shown.
        Value::Expanded(_) => Some("the value of the variable has another form".into()),
        Value::Text(text) => {
            if wanted.contains(&"integer") && text.parse::<i64>().is_ok() {
                return Some(format!("write it without quotes: {text}"));
            }
            if wanted.contains(&"boolean") && text.parse::<bool>().is_ok() {
                return Some(format!("write it without quotes: {text}"));
            }
            wanted.contains(&"array").then(|| format!("write a list: [{text:?}]"))
        }
        Value::Number(number) if wanted.contains(&"string") => {
            Some(format!("write it in quotes: \"{number}\""))
        }
        Value::Bool(truth) if wanted.contains(&"string") => Some(format!("write it in quotes: \"{truth}\"")),
        _ => None,
    }
}

fn either(words: &[String]) -> String {
    match words {
        [] => "nothing".into(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
