//! What an operation takes: parameters of the path, the query, headers and cookies, and a body, told apart
//! in the request and joined into one object of arguments.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::body::{self, Body, GivenBody, Kind, Shape, is_json};
use super::credentials::Credentials;
use super::document::{Document, cut, short};
use super::schema::{Converter, Way, build, left_open};

/// Longest name of an argument; Anthropic refuses longer ones.
const ARGUMENT_MAX: usize = 64;
/// Characters of a parameter's description.
const DESCRIPTION_MAX: usize = 600;
/// Parameters of one operation, and members of a body that become arguments of their own.
pub(super) const ARGUMENTS_MAX: usize = 500;
/// Headers that belong to the connection or to the body. OpenAPI itself ignores the first three.
const NOT_ARGUMENTS: [&str; 16] = [
    "accept",
    "content-type",
    "authorization",
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
            Place::Cookie => "cookie",
        }
    }
}

/// How lists and objects are written (OpenAPI 3.1, style values).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Form,
    Space,
    Pipe,
    Deep,
    /// As JSON.
    Json,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Param {
    /// What the tool calls it.
    pub(super) argument: String,
    /// What the API calls it.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) required: bool,
}

/// What an operation takes.
pub(super) struct Inputs {
    pub(super) params: Vec<Param>,
    pub(super) body: Option<Body>,
    /// JSON Schema of all arguments.
    pub(super) schema: Value,
    pub(super) required: Vec<String>,
    pub(super) notices: Vec<String>,
}

/// A parameter as the document has it.
struct Given<'d> {
    param: Param,
    schema: Option<&'d Value>,
    description: Option<&'d str>,
}

/// Reads what an operation takes. `names` are the variables of its path.
pub(super) fn read(
    document: &Document,
    item: &Value,
    operation: &Value,
    names: &[String],
    known: &Credentials,
) -> Result<Inputs, String> {
    let mut params = parameters(document, item, operation, names, known)?;
    let mut body = match operation.get("requestBody") {
        Some(body) => body::read(document, document.settle(body)?)?,
        None => None,
    };
    let wanted: Vec<(&str, &str)> = params
        .iter()
        .map(|given| (given.param.name.as_str(), given.param.place.name()))
        .chain(body.iter().flat_map(|body| match &body.flat {
            Some(flat) => flat.properties.keys().map(|name| (*name, "body")).collect(),
            None => vec![("body", "body")],
        }))
        .collect();
    let mut names = arguments(&wanted).into_iter();
    for given in &mut params {
        given.param.argument = names.next().unwrap_or_default();
    }
    if let Some(body) = &mut body {
        body.body.shape = match &body.flat {
            Some(flat) => Shape::Members {
                members: flat
                    .properties
                    .keys()
                    .map(|name| (names.next().unwrap_or_default(), (*name).into()))
                    .collect(),
                open: flat.open.is_some(),
            },
            None => Shape::Whole(names.next().unwrap_or_default()),
        };
    }
    let required = required(&params, body.as_ref());
    let (schema, is_over, mut notices) =
        build(document, Way::Input, |converter| schema(converter, &params, body.as_ref(), &required));
    notices.dedup();
    if is_over {
        notices.push("their schema is too large".into());
    }
    let name = operation["operationId"].as_str().unwrap_or("an operation");
    Ok(Inputs {
        params: params.into_iter().map(|given| given.param).collect(),
        body: body.map(|given| given.body),
        schema: Value::Object(schema),
        required,
        notices: notices.iter().map(|why| left_open(name, why)).collect(),
    })
}

fn parameters<'d>(
    document: &'d Document,
    item: &'d Value,
    operation: &'d Value,
    names: &[String],
    known: &Credentials,
) -> Result<Vec<Given<'d>>, String> {
    let mut found: Vec<Given<'d>> = Vec::new();
    let of = |owner: &'d Value| owner["parameters"].as_array().into_iter().flatten();
    for parameter in of(item).chain(of(operation)) {
        let Some(given) = parameter_of(document, document.settle(parameter)?, known)? else { continue };
        let Param { name, place, .. } = &given.param;
        if *place == Place::Path && !names.contains(name) {
            continue;
        }
        // The operation's own stands in place of the one of its path.
        found.retain(|other| (&other.param.name, &other.param.place) != (name, place));
        found.push(given);
        if found.len() > ARGUMENTS_MAX {
            return Err(format!("it has more than {ARGUMENTS_MAX} parameters"));
        }
    }
    for name in names {
        if !found.iter().any(|given| given.param.place == Place::Path && given.param.name == *name) {
            let param = Param {
                argument: String::new(),
                name: name.clone(),
                place: Place::Path,
                style: Style::Simple,
                explode: false,
                required: true,
            };
            found.push(Given { param, schema: None, description: None });
        }
    }
    Ok(found)
}

fn parameter_of<'d>(
    document: &'d Document,
    given: &'d Value,
    known: &Credentials,
) -> Result<Option<Given<'d>>, String> {
    let name = given["name"].as_str().filter(|name| !name.is_empty()).ok_or("a parameter has no name")?;
    let lower = name.to_ascii_lowercase();
    let place = match given["in"].as_str() {
        Some("path") => Place::Path,
        Some("query") if known.query.iter().any(|(taken, _)| taken == name) => return Ok(None),
        Some("query") => Place::Query,
        Some("header") if NOT_ARGUMENTS.contains(&&*lower) || known.headers.contains_key(&lower) => {
            return Ok(None);
        }
        Some("header") => Place::Header,
        Some("cookie") if known.headers.contains_key("cookie") => return Ok(None),
        Some("cookie") => Place::Cookie,
        _ => return Err(format!("nothing says where its parameter {:?} goes", short(name))),
    };
    let usual = if matches!(place, Place::Query | Place::Cookie) { "form" } else { "simple" };
    let style = given["style"].as_str().unwrap_or(usual);
    let content = given["content"].as_object().and_then(|content| content.iter().next());
    let parsed = match (place, style) {
        _ if content.is_some_and(|(media, _)| is_json(media)) => Style::Json,
        (Place::Path | Place::Header, "simple") => Style::Simple,
        (Place::Query | Place::Cookie, "form") => Style::Form,
        (Place::Query, "spaceDelimited") => Style::Space,
        (Place::Query, "pipeDelimited") => Style::Pipe,
        (Place::Query, "deepObject") => Style::Deep,
        _ => {
            let (name, style) = (short(name), short(style));
            return Err(format!(
                "its parameter {name:?} is written in the style {style:?}, which Puerto does not know"
            ));
        }
    };
    let schema = match content {
        Some((_, media)) => media.get("schema"),
        None => given.get("schema"),
    };
    let own = given["description"].as_str();
    let of_schema = || document.settle(schema?).ok()?["description"].as_str();
    let param = Param {
        argument: String::new(),
        name: name.into(),
        place,
        style: parsed,
        explode: given["explode"].as_bool().unwrap_or(style == "form"),
        required: place == Place::Path || given["required"] == true,
    };
    Ok(Some(Given { param, schema, description: own.or_else(of_schema) }))
}

/// Names of arguments for names of parameters, each with its place. Where two parameters have one name, each
/// gets its place behind it; what stands in the body keeps its own.
fn arguments(wanted: &[(&str, &str)]) -> Vec<String> {
    let legal = |name: &str| {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' })
            .collect();
        let plain = plain.trim_matches('_');
        if plain.is_empty() { "value".to_owned() } else { plain.chars().take(ARGUMENT_MAX - 10).collect() }
    };
    // A name that is legal as it is stays as it is, underscores and all.
    let plain: Vec<String> = wanted
        .iter()
        .map(|(name, _)| {
            let is_legal = name.len() <= ARGUMENT_MAX - 10
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
            if is_legal && !name.is_empty() { (*name).to_owned() } else { legal(name) }
        })
        .collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    plain.iter().for_each(|name| *count.entry(name).or_default() += 1);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    // Names that are alone keep theirs, whatever the others become.
    taken.extend(count.iter().filter(|(_, count)| **count == 1).map(|(name, _)| (*name).to_owned()));
    let mut named = Vec::new();
    for ((_, place), name) in wanted.iter().zip(&plain) {
        if count[name.as_str()] == 1 {
            named.push(name.clone());
            continue;
        }
        let first = if *place == "body" { name.clone() } else { format!("{name}_{place}") };
        let mut argument = first.clone();
        let mut number = 1;
        while !taken.insert(argument.clone()) {
            number += 1;
            argument = format!("{first}_{number}");
        }
        named.push(argument);
    }
    named
}

fn required(params: &[Given<'_>], body: Option<&GivenBody<'_>>) -> Vec<String> {
    let mut required: Vec<String> = params
        .iter()
        .filter(|given| given.param.required)
        .map(|given| given.param.argument.clone())
        .collect();
    if let Some(given) = body.filter(|given| given.body.required) {
        match (&given.body.shape, &given.flat) {
            (Shape::Members { members, .. }, Some(flat)) => {
                let wanted = members.iter().filter(|(_, name)| flat.required.contains(&**name));
                required.extend(wanted.map(|(argument, _)| argument.clone()));
            }
            (Shape::Whole(argument), _) => required.push(argument.clone()),
            _ => {}
        }
    }
    required
}

fn schema(
    converter: &mut Converter<'_>,
    params: &[Given<'_>],
    body: Option<&GivenBody<'_>>,
    required: &[String],
) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut further = Value::Bool(false);
    for Given { param, schema, description } in params {
        let schema = schema.map_or_else(|| json!({"type": "string"}), |schema| converter.schema(schema));
        properties.insert(param.argument.clone(), described(schema, *description));
    }
    if let Some(given) = body {
        match (&given.body.shape, &given.flat) {
            (Shape::Members { members, .. }, Some(flat)) => {
                for (argument, name) in members {
                    let schema = converter.schema(flat.properties[name.as_str()]);
                    properties.insert(argument.clone(), described(schema, None));
                }
                if let Some(open) = flat.open {
                    further = converter.schema(open);
                }
            }
            (Shape::Whole(argument), _) => {
                let text = given.description.unwrap_or("The body of the request.");
                let mut schema = converter.schema(given.schema);
                if given.body.kind == Kind::Text {
                    schema = json!({"type": "string"});
                }
                properties.insert(argument.clone(), described(schema, Some(text)));
            }
            _ => {}
        }
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema.insert("additionalProperties".into(), further);
    schema
}

/// With a description of its own; what may be anything is an object without words.
fn described(schema: Value, description: Option<&str>) -> Value {
    let mut schema = if schema.is_object() { schema } else { json!({}) };
    if let Some(text) = description.filter(|text| !text.trim().is_empty()) {
        schema["description"] = cut(text.trim(), DESCRIPTION_MAX).into();
    }
    schema
}
