//! How the values of arguments are written into a request: lists and objects by their style (OpenAPI 3.1,
//! parameter object), and every character encoded that could mean something else there.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use super::inputs::Style;

/// All but the unreserved characters (RFC 3986, section 2.3).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What cannot stand in a path as it is; percent signs are taken for an encoding that is there already.
const LITERAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'|');

/// A value that can stand anywhere in a URL.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// A part of a path that the document itself wrote.
pub(super) fn literal(text: &str) -> String {
    utf8_percent_encode(text, LITERAL).to_string()
}

/// A value as far as styles tell values apart. Numbers keep their digits.
pub(super) enum Shown {
    Nothing,
    One(String),
    List(Vec<String>),
    Object(Vec<(String, String)>),
}

/// Reads a value.
pub(super) fn shown(raw: &RawValue) -> Shown {
    match raw.get().as_bytes().first() {
        Some(b'n') => Shown::Nothing,
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            Shown::List(items.into_iter().map(scalar).collect())
        }
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            let shown = members.into_iter().filter(|(_, value)| value.get() != "null");
            Shown::Object(shown.map(|(name, value)| (name, scalar(value))).collect())
        }
        _ => Shown::One(scalar(raw)),
    }
}

/// The text of a value: a string's own, any other's as JSON.
pub(super) fn scalar(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

/// A value in one piece, as paths and headers have it; each part goes through `write`.
pub(super) fn simple(raw: &RawValue, explode: bool, write: impl Fn(&str) -> String) -> Option<String> {
    let joined = |parts: Vec<String>| parts.join(",");
    Some(match shown(raw) {
        Shown::Nothing => return None,
        Shown::One(text) => write(&text),
        Shown::List(items) => joined(items.iter().map(|item| write(item)).collect()),
        Shown::Object(members) => {
            let mark = if explode { '=' } else { ',' };
            joined(
                members
                    .iter()
                    .map(|(name, value)| format!("{}{mark}{}", write(name), write(value)))
                    .collect(),
            )
        }
    })
}

/// A value as pairs of names and values, as queries, cookies and forms have it, encoded.
pub(super) fn pairs(name: &str, raw: &RawValue, style: Style, explode: bool) -> Vec<(String, String)> {
    let name = encoded(name);
    if style == Style::Json {
        return vec![(name, encoded(raw.get()))];
    }
    let mark = match style {
        Style::Space => "%20",
        Style::Pipe => "%7C",
        _ => ",",
    };
    match shown(raw) {
        Shown::Nothing => Vec::new(),
        Shown::One(text) => vec![(name, encoded(&text))],
        Shown::Object(_) if style == Style::Deep => {
            let mut all = Vec::new();
            deep(&name, raw, &mut all);
            all
        }
        Shown::List(items) if explode || style == Style::Deep => {
            items.iter().map(|item| (name.clone(), encoded(item))).collect()
        }
        Shown::List(items) if items.is_empty() => Vec::new(),
        Shown::List(items) => {
            vec![(name, items.iter().map(|item| encoded(item)).collect::<Vec<_>>().join(mark))]
        }
        Shown::Object(members) if explode => {
            members.iter().map(|(key, value)| (encoded(key), encoded(value))).collect()
        }
        Shown::Object(members) if members.is_empty() => Vec::new(),
        Shown::Object(members) => {
            let parts: Vec<_> =
                members.iter().flat_map(|(key, value)| [encoded(key), encoded(value)]).collect();
            vec![(name, parts.join(mark))]
        }
    }
}

/// `name[key]=value`, and further brackets for what lies deeper.
fn deep(name: &str, raw: &RawValue, all: &mut Vec<(String, String)>) {
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            for (key, value) in members {
                deep(&format!("{name}%5B{}%5D", encoded(&key)), value, all);
            }
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            items.into_iter().for_each(|item| deep(name, item, all));
        }
        Some(b'n') => {}
        _ => all.push((name.to_owned(), encoded(&scalar(raw)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    /// The table of the specification (OpenAPI 3.1, style examples), with values that need encoding.
    #[test]
    fn styles_are_those_of_the_specification() {
        let (list, object) = (r#"["blue","bl&ck",3]"#, r#"{"R":100,"G":2e2,"B":"1 5"}"#);
        for (style, explode, value, expected) in [
            (Style::Form, true, r#""a b/ü""#, "c=a%20b%2F%C3%BC"),
            (Style::Form, true, "12345678901234567890123", "c=12345678901234567890123"),
            (Style::Form, true, "true", "c=true"),
            (Style::Form, true, "null", ""),
            (Style::Form, true, r#""""#, "c="),
            (Style::Form, true, list, "c=blue&c=bl%26ck&c=3"),
            (Style::Form, false, list, "c=blue,bl%26ck,3"),
            (Style::Form, false, "[]", ""),
            (Style::Form, true, object, "B=1%205&G=2e2&R=100"),
            (Style::Form, false, object, "c=B,1%205,G,2e2,R,100"),
            (Style::Space, false, list, "c=blue%20bl%26ck%203"),
            (Style::Pipe, false, list, "c=blue%7Cbl%26ck%7C3"),
            (Style::Pipe, true, list, "c=blue&c=bl%26ck&c=3"),
            (Style::Deep, true, object, "c%5BB%5D=1%205&c%5BG%5D=2e2&c%5BR%5D=100"),
            (Style::Deep, true, r#"{"a":{"b":[1,2]},"n":null}"#, "c%5Ba%5D%5Bb%5D=1&c%5Ba%5D%5Bb%5D=2"),
            (Style::Json, false, r#"{"a":1}"#, "c=%7B%22a%22%3A1%7D"),
        ] {
            let pairs = pairs("c", &raw(value), style, explode);
            let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(text.join("&"), expected, "{style:?} {explode} {value}");
        }
        for (explode, value, expected) in [
            (false, list, "blue,bl%26ck,3"),
            (false, object, "B,1%205,G,2e2,R,100"),
            (true, object, "B=1%205,G=2e2,R=100"),
            (false, r#""a/../b?#%""#, "a%2F..%2Fb%3F%23%25"),
        ] {
            assert_eq!(simple(&raw(value), explode, encoded).unwrap(), expected, "{explode} {value}");
        }
    }

    #[test]
    fn literals_keep_what_is_encoded_already() {
        assert_eq!(literal("/a b/%7Bx/ü"), "/a%20b/%7Bx/%C3%BC");
    }
}
