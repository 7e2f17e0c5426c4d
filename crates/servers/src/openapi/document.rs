//! An OpenAPI document as it was read: JSON or YAML, its version, and the references inside it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::yaml;

/// Largest document, in bytes. The largest public ones have about 12 MB.
pub(super) const DOCUMENT_MAX: usize = 16 * 1024 * 1024;
/// References that may lead from one to the next.
const CHAIN_MAX: usize = 16;

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    root: Value,
    /// Whether its schemas are those of OpenAPI 3.0, a dialect of their own; from 3.1 on they are JSON Schema.
    pub(super) is_3_0: bool,
}

impl Document {
    /// Reads a text. The reason of a failure is for people, and begins with "it".
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let root = match text.chars().next() {
            None => return Err("it is empty".into()),
            Some('<') => {
                return Err(
                    "it is a page and no OpenAPI document; the document itself is often at /openapi.json"
                        .into(),
                );
            }
            Some('{') => serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?,
            Some(_) => yaml::read(text)?,
        };
        let Value::Object(members) = &root else {
            return Err("it is no OpenAPI document, which is an object".into());
        };
        let is_3_0 = is_3_0(members)?;
        Ok(Self { root, is_3_0 })
    }

    /// A member of the document.
    pub(super) fn get(&self, key: &str) -> &Value {
        &self.root[key]
    }

    /// What a reference leads to.
    pub(super) fn at(&self, reference: &str) -> Result<&Value, String> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return Err(format!("{:?} leads out of the document, which is not followed", short(reference)));
        };
        let missing = || format!("{:?} leads nowhere", short(reference));
        let pointer = percent_decode_str(fragment).decode_utf8().map_err(|_| missing())?;
        if !pointer.starts_with('/') {
            return Err(missing());
        }
        self.root.pointer(&pointer).ok_or_else(missing)
    }

    /// A value, or what its reference leads to, by however many further ones.
    pub(super) fn settle<'a>(&'a self, value: &'a Value) -> Result<&'a Value, String> {
        Ok(self.follow(value)?.1)
    }

    /// The same, with the last reference on the way.
    pub(super) fn follow<'a>(&'a self, value: &'a Value) -> Result<(Option<&'a str>, &'a Value), String> {
        let (mut last, mut value) = (None, value);
        for _ in 0..CHAIN_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok((last, value)) };
            last = Some(reference);
            value = self.at(reference)?;
        }
        Err(format!("{:?} leads in a circle", short(last.unwrap_or_default())))
    }
}

fn is_3_0(members: &Map<String, Value>) -> Result<bool, String> {
    if let Some(version) = members.get("swagger") {
        let version = version.as_str().map_or_else(|| version.to_string(), Into::into);
        let version = short(&version);
        return Err(format!(
            "it is Swagger {version}, and Puerto reads OpenAPI 3.0 and 3.1; convert it to one of these first"
        ));
    }
    let version = match members.get("openapi") {
        Some(Value::String(version)) => Cow::Borrowed(version.as_str()),
        // Without quotes, YAML makes a number of "3.1".
        Some(Value::Number(version)) => Cow::Owned(version.to_string()),
        _ => return Err("it is no OpenAPI document: \"openapi\" does not say which version it is".into()),
    };
    match version.split('.').take(2).collect::<Vec<_>>()[..] {
        ["3", "0"] | ["3"] => Ok(true),
        ["3", "1" | "2"] => Ok(false),
        _ => Err(format!("it is OpenAPI {}, and Puerto reads 3.0 and 3.1", short(&version))),
    }
}

/// A text of the document as a message shows it.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    cut(text, 100)
}

/// The first characters of a text, and a sign where there are more.
pub(super) fn cut(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Document::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn versions_and_forms_are_told_apart() {
        assert!(Document::parse(b"{\"openapi\": \"3.0.3\"}").unwrap().is_3_0);
        assert!(!Document::parse("\u{feff}\nopenapi: 3.1.0\n".as_bytes()).unwrap().is_3_0);
        assert!(!Document::parse(b"openapi: 3.1\n").unwrap().is_3_0);
        for (text, why) in [
            ("", "empty"),
            ("<!doctype html>", "a page"),
            ("{\"openapi\": ", "no JSON: EOF"),
            ("openapi: [", "no YAML"),
            ("[]", "no OpenAPI document"),
            ("hello", "no OpenAPI document"),
            ("{\"swagger\": \"2.0\"}", "Swagger 2.0"),
            ("swagger: 2.0", "Swagger 2.0"),
            ("{\"info\": {}}", "which version"),
            ("{\"openapi\": \"4.0.0\"}", "OpenAPI 4.0.0"),
        ] {
            assert!(fault(text).contains(why), "{text}: {}", fault(text));
        }
        assert!(Document::parse(b"\xff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn references_stay_inside() {
        let text = r##"{"openapi": "3.1.0", "a": {"$ref": "#/b~1c"}, "b/c": {"$ref": "#/d%20e"}, "d e": {"x": 1},
            "loop": {"$ref": "#/loop"}}"##;
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.settle(document.get("a")).unwrap()["x"], 1);
        for (reference, why) in [
            ("other.json#/a", "out of the document"),
            ("https://example.com/a", "out of the document"),
            ("#/nobody", "nowhere"),
            ("#anchor", "nowhere"),
            ("#", "nowhere"),
        ] {
            assert!(document.at(reference).unwrap_err().contains(why), "{reference}");
        }
        assert!(document.settle(document.get("loop")).unwrap_err().contains("circle"));
    }
}
