//! Arguments mirrored into HTTP headers, `Mcp-Param-*` (specification 2026-07-28, transports, header
//! mirroring): which ones a tool's schema asks for, their text, and the comparison with what came.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

/// One argument that is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderParam {
    /// The header, `mcp-param-…` in lower case.
    pub header: String,
    /// The chain of properties that leads to the argument.
    pub path: Vec<String>,
}

/// The mirrored arguments of a tool, read from its definition. A tool that breaks a rule of the
/// specification must not be offered over HTTP; the error says which rule.
pub fn header_params(tool: &Bytes) -> Result<Vec<HeaderParam>, String> {
    if memchr::memmem::find(tool, b"x-mcp-header").is_none() {
        return Ok(Vec::new());
    }
    let tool: Value = serde_json::from_slice(tool).map_err(|e| e.to_string())?;
    let schema = tool.get("inputSchema").unwrap_or(&Value::Null);
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found)?;
    if count(schema) != found.len() {
        return Err("x-mcp-header stands where no chain of properties leads".into());
    }
    let mut names: Vec<_> = found.iter().map(|param| &param.header).collect();
    names.sort();
    names.dedup();
    if names.len() != found.len() {
        return Err("two arguments have the same x-mcp-header".into());
    }
    Ok(found)
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<HeaderParam>) -> Result<(), String> {
    if let Some(name) = schema.get("x-mcp-header") {
        let name = name.as_str().filter(|n| is_token(n)).ok_or("x-mcp-header is no header name")?;
        if !matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(format!(
                "x-mcp-header {name:?} is on something else than a string, an integer or a boolean"
            ));
        }
        found.push(HeaderParam {
            header: format!("mcp-param-{}", name.to_ascii_lowercase()),
            path: path.clone(),
        });
    }
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        collect(inner, path, found)?;
        path.pop();
    }
    Ok(())
}

fn count(schema: &Value) -> usize {
    match schema {
        Value::Object(map) => {
            usize::from(map.contains_key("x-mcp-header")) + map.values().map(count).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The text of a header for a value: as it is where that is plain visible ASCII, otherwise in the
/// sentinel `=?base64?…?=`.
pub fn encode(text: &str) -> String {
    let plain =
        text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim_matches(' ') == text && !text.is_empty();
    if plain && !(text.starts_with("=?base64?") && text.ends_with("?=")) {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", STANDARD.encode(text))
    }
}

/// The text that a header stands for; nothing where its base64 is malformed.
pub fn decode(header: &str) -> Option<Cow<'_, str>> {
    let header = header.trim_matches([' ', '\t']);
    match header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(header)),
    }
}

/// The text of the argument that a parameter mirrors; nothing where it is absent or null.
pub fn argument(param: &HeaderParam, arguments: &Value) -> Option<String> {
    let value = param.path.iter().try_fold(arguments, |value, name| value.get(name))?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Whether a header says the same as an argument; integers are compared as numbers.
pub fn same(header: &str, argument: &str) -> bool {
    decode(header).is_some_and(|text| {
        text == argument
            || matches!((text.parse::<i128>(), argument.parse::<i128>()), (Ok(a), Ok(b)) if a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(schema: &str) -> Bytes {
        format!(r#"{{"name":"t","inputSchema":{schema}}}"#).into()
    }

    #[test]
    fn finds_mirrored_arguments() {
        let params = header_params(&tool(
            r#"{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string","x-mcp-header":"Region"}}}}}"#,
        ));
        assert_eq!(
            params.unwrap(),
            [HeaderParam { header: "mcp-param-region".into(), path: vec!["a".into(), "b".into()] }]
        );
        assert!(header_params(&tool(r#"{"type":"object"}"#)).unwrap().is_empty());
    }

    #[test]
    fn refuses_what_the_specification_refuses() {
        for bad in [
            r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A b"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
            r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
        ] {
            assert!(header_params(&tool(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_survive_headers() {
        for text in ["plain", " led", "tail ", "ünï", "=?base64?eA==?=", "line\nbreak", ""] {
            let sent = encode(text);
            assert!(sent.bytes().all(|b| (0x20..0x7f).contains(&b)), "{sent}");
            assert!(same(&sent, text), "{text:?} as {sent:?}");
        }
        assert!(same(" x ", "x") && same("007", "7") && !same("=?base64?SGVsbG8?=", "Hello"));
        assert!(same("=?base64?SGVsbG8=", "=?base64?SGVsbG8="));
    }
}
