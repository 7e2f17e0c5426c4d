//! YAML as JSON, by the core schema of YAML 1.2. Anchors, aliases and merge keys are followed, within a
//! limit on what they grow to; keys are texts, as in JSON.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Values that a document may have, aliases followed. The largest public documents have about a million.
const NODES_MAX: usize = 2_000_000;
/// Levels of a document, as in JSON.
const DEPTH_MAX: usize = 120;

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("it is no YAML: {error}"))?;
        let place = |why: &str| format!("it cannot be read: {why}, at line {}", span.start.line());
        let is_over = builder.take(event).map_err(place)?;
        if is_over {
            break;
        }
    }
    builder.root.ok_or_else(|| "it is empty".into())
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// By the parser's number for them.
    anchors: std::collections::HashMap<usize, Value>,
    nodes: usize,
    root: Option<Value>,
}

/// A list or mapping whose end has not come.
struct Open {
    anchor: usize,
    value: Container,
}

enum Container {
    List(Vec<Value>),
    /// The key of the value that comes next.
    Map(Map<String, Value>, Option<String>),
}

impl Builder {
    /// Takes one event; true at the end of the first document.
    fn take(&mut self, event: Event<'_>) -> Result<bool, &'static str> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1)?;
                if let Some(Open { value: Container::Map(_, key @ None), .. }) = self.open.last_mut() {
                    *key = Some(text.into_owned());
                    return Ok(false);
                }
                let is_text = tag.is_some_and(|tag| tag.suffix == "str");
                let value = match style {
                    ScalarStyle::Plain if !is_text => plain(&text),
                    _ => Value::String(text.into_owned()),
                };
                self.put(value, anchor)?;
            }
            Event::SequenceStart(anchor, ..) => self.begin(anchor, Container::List(Vec::new()))?,
            Event::MappingStart(anchor, ..) => self.begin(anchor, Container::Map(Map::new(), None))?,
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, value }) = self.open.pop() else {
                    return Err("an end without a start");
                };
                let value = match value {
                    Container::List(items) => Value::Array(items),
                    Container::Map(members, _) => Value::Object(merged(members)),
                };
                self.put(value, anchor)?;
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).ok_or("an alias that stands for itself")?;
                let (nodes, depth) = measure(value);
                if self.open.len() + depth > DEPTH_MAX {
                    return Err("it is nested too deep");
                }
                self.spend(nodes)?;
                let value = self.anchors[&anchor].clone();
                self.put(value, 0)?;
            }
            Event::DocumentEnd => return Ok(true),
            _ => {}
        }
        Ok(false)
    }

    fn begin(&mut self, anchor: usize, value: Container) -> Result<(), &'static str> {
        self.spend(1)?;
        if self.open.len() == DEPTH_MAX {
            return Err("it is nested too deep");
        }
        if let Some(Open { value: Container::Map(_, None), .. }) = self.open.last() {
            return Err("a key that is no text");
        }
        self.open.push(Open { anchor, value });
        Ok(())
    }

    fn put(&mut self, value: Value, anchor: usize) -> Result<(), &'static str> {
        if anchor > 0 {
            self.spend(measure(&value).0)?;
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.value) {
            None => self.root = Some(value),
            Some(Container::List(items)) => items.push(value),
            Some(Container::Map(members, key)) => match (key.take(), value) {
                (Some(name), value) => drop(members.insert(name, value)),
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err("a key that is no text"),
            },
        }
        Ok(())
    }

    fn spend(&mut self, nodes: usize) -> Result<(), &'static str> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX { Err("it has too many values") } else { Ok(()) }
    }
}

/// How many values there are, and on how many levels.
fn measure(value: &Value) -> (usize, usize) {
    let all = |inner: &mut dyn Iterator<Item = &Value>| {
        inner.map(measure).fold((1, 1), |(nodes, depth), (n, d)| (nodes + n, depth.max(d + 1)))
    };
    match value {
        Value::Array(items) => all(&mut items.iter()),
        Value::Object(members) => all(&mut members.values()),
        _ => (1, 1),
    }
}

/// With the members that a merge key brings; own members win.
fn merged(mut members: Map<String, Value>) -> Map<String, Value> {
    let sources = match members.remove("<<") {
        Some(Value::Object(source)) => vec![Value::Object(source)],
        Some(Value::Array(sources)) => sources,
        _ => return members,
    };
    for source in sources {
        let Value::Object(source) = source else { continue };
        for (key, value) in source {
            members.entry(key).or_insert(value);
        }
    }
    members
}

/// What a text without quotes stands for (YAML 1.2.2, section 10.3.2).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.into()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Into::into);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Into::into);
    }
    // Rust reads "inf", "NaN" and "infinity" as numbers too.
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !bare.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_becomes_what_json_would_be() {
        for (yaml, expected) in [
            ("a: 1\nb: [x, 'y', \"z\\n\"]\n", json!({"a": 1, "b": ["x", "y", "z\n"]})),
            ("200: ok\ntrue: yes\n", json!({"200": "ok", "true": "yes"})),
            (
                "[~, null, true, False, no, 1.5, -2, +3, 0x1F, 0o17, 1e3, .5]",
                json!([null, null, true, false, "no", 1.5, -2, 3, 31, 15, 1000.0, 0.5]),
            ),
            (
                "[3.0.3, 2020-01-01, inf, .inf, '1', !!str 1, 1_000]",
                json!(["3.0.3", "2020-01-01", "inf", ".inf", "1", "1", "1_000"]),
            ),
            ("a: |\n  x\n  y\nb: >\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y\n"})),
            (
                "a: &x {k: 1}\nb: *x\nc: {<<: *x, k: 2, l: 3}\nd: {<<: *x}",
                json!({"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2, "l": 3}, "d": {"k": 1}}),
            ),
            ("a:\nb: ''\n", json!({"a": null, "b": ""})),
        ] {
            assert_eq!(read(yaml), Ok(expected), "{yaml}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for (yaml, why) in [
            ("a: [1, 2", "no YAML"),
            ("", "empty"),
            ("? [a]\n: b", "key that is no text"),
            ("a: &x [*x]", ""),
            (&"[".repeat(500), ""),
        ] {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(why), "{yaml}: {error}");
        }
    }

    /// Nine levels, each ten times the one before.
    #[test]
    fn aliases_do_not_grow_without_end() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{inner}]\n");
        }
        assert!(read(&bomb).unwrap_err().contains("too many values"));
    }
}
