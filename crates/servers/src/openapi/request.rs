//! The request that a call of a tool becomes. Whatever the arguments are, it goes to the operation's own
//! path: no value leaves its segment, its parameter or its header.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::Operation;
use super::body::{Body, Kind, Shape};
use super::document::short;
use super::inputs::{Param, Place, Style};
use super::style::{encoded, pairs, scalar, simple};

/// Longest path and query; many servers refuse more.
const TARGET_MAX: usize = 8 * 1024;

/// A request without the credentials that go with it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// What the operation adds to every request's headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A piece of an operation's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As the document wrote it, encoded.
    Text(String),
    /// The parameter of this name.
    Variable(String),
}

type Arguments<'a> = BTreeMap<String, &'a RawValue>;

/// Makes the request of a call. The reason of a failure is for the model.
pub(super) fn draft(operation: &Operation, given: &RawValue) -> Result<Draft, String> {
    let arguments: Arguments<'_> =
        serde_json::from_str(given.get()).map_err(|_| "the arguments must be an object".to_owned())?;
    check(operation, &arguments)?;
    let target = target(operation, &arguments)?;
    let mut headers = headers(&operation.params, &arguments)?;
    let mut body = Bytes::new();
    if let Some(def) = &operation.body
        && let Some((media, written)) = self::body(operation, def, &arguments)
    {
        let media = HeaderValue::from_str(&media).map_err(|_| "the body's media type cannot be sent")?;
        headers.insert(CONTENT_TYPE, media);
        body = written.into();
    }
    Ok(Draft { method: operation.method.clone(), target, headers, body })
}

/// What the schema says too, for clients that do not look at it.
fn check(operation: &Operation, arguments: &Arguments<'_>) -> Result<(), String> {
    let known: Vec<&str> = operation.arguments().collect();
    if !operation.is_open()
        && let Some(unknown) = arguments.keys().find(|name| !known.contains(&name.as_str()))
    {
        let known = if known.is_empty() { "none".into() } else { quoted(known.into_iter()) };
        return Err(format!("there is no argument {:?}; known are {known}", short(unknown)));
    }
    let missing: Vec<_> = operation.required.iter().filter(|name| !arguments.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(format!(
            "required arguments are missing: {}",
            quoted(missing.into_iter().map(String::as_str))
        ));
    }
    Ok(())
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn value<'a>(param: &Param, arguments: &Arguments<'a>) -> Option<&'a RawValue> {
    arguments.get(&param.argument).copied()
}

fn target(operation: &Operation, arguments: &Arguments<'_>) -> Result<String, String> {
    let mut target = operation.prefix.clone();
    for piece in &operation.template {
        match piece {
            Piece::Text(text) => target.push_str(text),
            Piece::Variable(name) => {
                let mut own = operation.params.iter().filter(|param| param.place == Place::Path);
                let param =
                    own.find(|param| param.name == *name).ok_or("the path has an unknown variable")?;
                target.push_str(&segment(param, arguments)?);
            }
        }
    }
    // Several variables may make one segment, so what came of them is looked at as a whole.
    if target.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("the arguments would lead to another path".into());
    }
    if target.is_empty() {
        target.push('/');
    }
    let mut mark = '?';
    for param in operation.params.iter().filter(|param| param.place == Place::Query) {
        let Some(raw) = value(param, arguments) else { continue };
        for (name, value) in pairs(&param.name, raw, param.style, param.explode) {
            target.push(mark);
            target.push_str(&format!("{name}={value}"));
            mark = '&';
        }
    }
    if target.len() > TARGET_MAX {
        return Err(format!("the arguments of path and query are longer than {TARGET_MAX} bytes together"));
    }
    Ok(target)
}

/// A value that stays in its segment of the path.
fn segment(param: &Param, arguments: &Arguments<'_>) -> Result<String, String> {
    let raw = value(param, arguments);
    let text = match param.style {
        Style::Json => raw.map(|raw| encoded(raw.get())),
        _ => raw.and_then(|raw| simple(raw, param.explode, encoded)),
    };
    match text.as_deref() {
        None | Some("") => {
            Err(format!("the argument {:?} must not be empty: it is part of the path", param.argument))
        }
        Some("." | "..") => Err(format!("the argument {:?} would lead to another path", param.argument)),
        _ => Ok(text.unwrap_or_default()),
    }
}

fn headers(params: &[Param], arguments: &Arguments<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut cookies = Vec::new();
    for param in params {
        let Some(raw) = value(param, arguments) else { continue };
        let bad = || format!("the argument {:?} cannot be sent in a header", param.argument);
        match param.place {
            Place::Header => {
                let text = match param.style {
                    Style::Json => Some(raw.get().to_owned()),
                    _ => simple(raw, param.explode, str::to_owned),
                };
                let Some(text) = text else { continue };
                let name = HeaderName::from_bytes(param.name.as_bytes()).map_err(|_| bad())?;
                headers.insert(name, HeaderValue::from_str(&text).map_err(|_| bad())?);
            }
            Place::Cookie => {
                let all = pairs(&param.name, raw, param.style, param.explode);
                cookies.extend(all.into_iter().map(|(name, value)| format!("{name}={value}")));
            }
            Place::Path | Place::Query => {}
        }
    }
    if !cookies.is_empty() {
        let text = HeaderValue::from_str(&cookies.join("; ")).map_err(|_| "the cookies cannot be sent")?;
        headers.insert(COOKIE, text);
    }
    Ok(headers)
}

/// The body and its media type; nothing where none is given. What is JSON passes byte for byte.
fn body(operation: &Operation, def: &Body, arguments: &Arguments<'_>) -> Option<(String, String)> {
    let members = match &def.shape {
        Shape::Whole(argument) => {
            let raw = arguments.get(argument)?;
            let text = if def.kind == Kind::Text { scalar(raw) } else { raw.get().to_owned() };
            return Some((def.media.clone(), text));
        }
        Shape::Members { members, open } => {
            let mut given: Vec<(&str, &RawValue)> = members
                .iter()
                .filter_map(|(argument, name)| Some((name.as_str(), *arguments.get(argument)?)))
                .collect();
            if *open {
                let known: Vec<&str> = operation.arguments().collect();
                let further = arguments.iter().filter(|(name, _)| !known.contains(&name.as_str()));
                given.extend(further.map(|(name, raw)| (name.as_str(), *raw)));
            }
            given
        }
    };
    if members.is_empty() && !def.required {
        return None;
    }
    let text = match def.kind {
        Kind::Form => {
            let written = members.iter().flat_map(|(name, raw)| {
                let (style, explode) =
                    def.encodings.get(*name).copied().unwrap_or(match raw.get().as_bytes().first() {
                        // An object of a form is JSON where nothing else is said (OpenAPI 3.1, encoding object).
                        Some(b'{') => (Style::Json, false),
                        _ => (Style::Form, true),
                    });
                pairs(name, raw, style, explode)
            });
            written.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        }
        _ => {
            let written =
                members.iter().map(|(name, raw)| format!("{}:{}", serde_json::Value::from(*name), raw.get()));
            format!("{{{}}}", written.collect::<Vec<_>>().join(","))
        }
    };
    Some((def.media.clone(), text))
}
