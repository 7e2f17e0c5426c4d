//! From a document to tools: which operations there are, what they are called, what is said of them.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, Uri};
use puerto_core::def::OperationsDef;
use puerto_mcp::builtin::{Annotations, Tool};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::base::{self, Base, same_origin};
use super::body::essence;
use super::credentials::Credentials;
use super::document::{Document, cut, short};
use super::filter::{Filter, METHODS, Shown};
use super::inputs::{self, Place};
use super::request::Piece;
use super::schema::{Way, build, is_object};
use super::style::literal;
use super::{Api, Operation, Settings};

/// Tools of one document. The largest server of tools seen has about 500.
const TOOLS_MAX: usize = 1000;
/// Definitions of all tools of one document, in bytes; what lies beyond is left out.
const TOOLS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest name, so that it mostly fits behind the server's on the wire.
const NAME_MAX: usize = 48;
/// Characters of a tool's description, and of the advice for all of them.
const DESCRIPTION_MAX: usize = 1500;
/// Things that are reported; each is a line for people.
const NOTICES_MAX: usize = 100;

/// An operation that is wanted, before it is looked into.
struct Wanted<'d> {
    method: &'static str,
    path: &'d str,
    item: &'d Value,
    operation: &'d Value,
    name: String,
}

/// Reads a document. `document` is where it was read from, where that is an address. The reason of a failure
/// begins with "it".
pub(super) fn read(text: &[u8], settings: &Settings, address: Option<&Uri>) -> Result<Api, String> {
    let known = Credentials::new(&settings.headers, &settings.auth)?;
    let document = Document::parse(text)?;
    let fixed = settings.base_url.as_deref().map(Base::parse).transpose()?;
    let base = match &fixed {
        Some(base) => base.clone(),
        None => base::of(document.get("servers"), address)?,
    };
    let mut notices = Vec::new();
    let mut operations = BTreeMap::new();
    let mut bytes = 0;
    for wanted in named(wanted(&document, settings, &mut notices)?, &mut notices) {
        let own = match &fixed {
            Some(base) => Ok(base.clone()),
            None => own_base(&wanted, &base, address),
        };
        let made = own.and_then(|own| operation(&document, &wanted, own.path, &known, &mut notices));
        let (method, path) = (wanted.method.to_uppercase(), short(wanted.path));
        match made {
            Err(why) => notices.push(format!("{method} {path} is left out: {why}")),
            Ok(_) if operations.len() == TOOLS_MAX => {
                notices.push(format!("{method} {path} and what follows is left out: {TOOLS_MAX} tools are the most; choose with \"operations\""));
                break;
            }
            Ok(operation) => {
                bytes += serde_json::to_string(&operation.tool).map_or(0, |text| text.len());
                if bytes > TOOLS_BYTES_MAX {
                    notices.push(format!("{method} {path} and what follows is left out: the tools are too large together; choose with \"operations\""));
                    break;
                }
                operations.insert(wanted.name, operation);
            }
        }
    }
    if known.is_empty() && wants_credentials(&document) {
        notices.push("the document asks for credentials, and none are configured: see \"auth\"".into());
    }
    let further = notices.len().saturating_sub(NOTICES_MAX);
    notices.truncate(NOTICES_MAX);
    if further > 0 {
        notices.push(format!("and {further} further notices"));
    }
    let info = document.get("info");
    let text = |key: &str| cut(info[key].as_str().unwrap_or_default().trim(), DESCRIPTION_MAX).into_owned();
    Ok(Api { title: text("title"), about: text("description"), base, operations, notices })
}

/// The operations that the configuration asks for, by path and method.
fn wanted<'d>(
    document: &'d Document,
    settings: &Settings,
    notices: &mut Vec<String>,
) -> Result<Vec<Wanted<'d>>, String> {
    let Some(paths) = document.get("paths").as_object() else { return Err("it has no paths".into()) };
    let mut filter = Filter::new(&settings.operations)?;
    let mut all = Vec::new();
    for (path, item) in paths.iter().filter(|(path, _)| path.starts_with('/')) {
        let item = match document.settle(item) {
            Ok(item) => item,
            Err(why) => {
                notices.push(format!("{} is left out: {why}", short(path)));
                continue;
            }
        };
        if item.get("trace").is_some() {
            notices.push(format!("TRACE {} is left out: it would show the credentials", short(path)));
        }
        for method in METHODS {
            let Some(operation) = item.get(method).filter(|operation| operation.is_object()) else {
                continue;
            };
            let id = operation["operationId"].as_str().filter(|id| !id.is_empty());
            let name = plain_name(method, path, id);
            let tags = operation["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if filter.takes(&Shown { method, path, id, name: &name, tags }) {
                all.push(Wanted { method, path, item, operation, name });
            }
        }
    }
    notices.extend(filter.unused().map(|pattern| format!("no operation fits {:?}", short(pattern))));
    if all.is_empty() && settings.operations != OperationsDef::default() {
        notices.push("no operation is left: \"operations\" leaves out all of them".into());
    }
    Ok(all)
}

/// The name that an operation has where no other has it too.
fn plain_name(method: &str, path: &str, id: Option<&str>) -> String {
    let of = |text: &str| {
        let mut name = String::new();
        for c in text.chars() {
            match c {
                c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => name.push(c),
                _ if name.ends_with('_') => {}
                _ => name.push('_'),
            }
        }
        name.trim_matches('_').to_owned()
    };
    let name = id.map(of).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| of(&format!("{method} {path}")))
}

/// Gives each operation a name of its own. Names that fall together all get a suffix made of method and path,
/// so that none of them comes to mean another operation when one is added.
fn named<'d>(mut all: Vec<Wanted<'d>>, notices: &mut Vec<String>) -> Vec<Wanted<'d>> {
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    all.iter().for_each(|wanted| *groups.entry(wanted.name.clone()).or_default() += 1);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for wanted in &mut all {
        let shared = groups[&wanted.name] > 1;
        let route = format!("{} {}", wanted.method.to_uppercase(), wanted.path);
        let mut name = wanted.name.clone();
        if shared || name.len() > NAME_MAX {
            name = shortened(&name, &route);
        }
        while (name != wanted.name && groups.contains_key(&name)) || !taken.insert(name.clone()) {
            name = shortened(&name, &format!("{route} {name}"));
        }
        if shared {
            notices.push(format!(
                "{} is called {name:?}, since others are {:?} too",
                short(&route),
                wanted.name
            ));
        }
        wanted.name = name;
    }
    all
}

fn shortened(name: &str, full: &str) -> String {
    let digest = Sha256::digest(full.as_bytes());
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    // Names are ASCII here.
    format!("{}_{hash}", name[..name.len().min(NAME_MAX - 9)].trim_end_matches('_'))
}

/// The base of an operation that names servers of its own.
fn own_base(wanted: &Wanted<'_>, base: &Base, address: Option<&Uri>) -> Result<Base, String> {
    let servers = [&wanted.operation["servers"], &wanted.item["servers"]];
    let Some(servers) = servers.into_iter().find(|servers| servers.get(0).is_some()) else {
        return Ok(base.clone());
    };
    let own = base::of(servers, address)?;
    match same_origin(&own.origin, &base.origin) {
        true => Ok(own),
        false => Err(format!(
            "its server {} is another one; give it a server of its own with \"base_url\"",
            own.shown()
        )),
    }
}

fn operation(
    document: &Document,
    wanted: &Wanted<'_>,
    prefix: String,
    known: &Credentials,
    notices: &mut Vec<String>,
) -> Result<Operation, String> {
    let Wanted { method, path, item, operation, name } = wanted;
    let template = template(path)?;
    let variables = template.iter().filter_map(|piece| match piece {
        Piece::Variable(name) => Some(name.clone()),
        Piece::Text(_) => None,
    });
    let inputs = inputs::read(document, item, operation, &variables.collect::<Vec<_>>(), known)?;
    notices.extend(inputs.notices);
    let output_schema = output(document, operation);
    let summary =
        ["summary", "operationId"].iter().find_map(|key| operation[*key].as_str().filter(|t| !t.is_empty()));
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).map_err(|_| "its method is unknown")?;
    let tool = Tool {
        name: name.clone().into(),
        title: cut(summary.unwrap_or(name), 100).into_owned().into(),
        description: description(&method, path, operation).into(),
        input_schema: inputs.schema,
        output_schema,
        annotations: annotations(&method),
    };
    Ok(Operation {
        tool,
        method,
        prefix,
        template,
        params: inputs.params,
        body: inputs.body,
        required: inputs.required,
    })
}

/// What a model is told of an operation.
fn description(method: &Method, path: &str, operation: &Value) -> String {
    let text = |key: &str| operation[key].as_str().map(str::trim).filter(|text| !text.is_empty());
    let (summary, long) = (text("summary"), text("description"));
    let mut parts: Vec<String> = Vec::new();
    if operation["deprecated"] == true {
        parts.push("Deprecated.".into());
    }
    // Many documents say the same twice.
    parts.extend(
        summary.filter(|summary| !long.is_some_and(|long| long.starts_with(summary))).map(Into::into),
    );
    parts.extend(long.map(Into::into));
    let mut all = cut(&parts.join("\n\n"), DESCRIPTION_MAX).into_owned();
    if !all.is_empty() {
        all.push_str("\n\n");
    }
    all + &format!("{method} {}", cut(path, 200))
}

/// What a method says of what it does (RFC 9110, section 9.2).
fn annotations(method: &Method) -> Annotations {
    let reads = method.is_safe();
    Annotations {
        read_only_hint: reads,
        destructive_hint: [Method::PUT, Method::PATCH, Method::DELETE].contains(method),
        idempotent_hint: method.is_idempotent(),
        open_world_hint: true,
    }
}

/// The pieces of a path.
fn template(path: &str) -> Result<Vec<Piece>, String> {
    if path.contains(['?', '#']) {
        return Err("its path holds a query".into());
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("its path leads elsewhere".into());
    }
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("its path is malformed")?;
        pieces.push(Piece::Text(literal(before)));
        pieces.push(Piece::Variable(name.into()));
        rest = after;
    }
    pieces.push(Piece::Text(literal(rest)));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

/// The schema of the answer, where every good answer is one JSON object.
fn output(document: &Document, operation: &Value) -> Option<Value> {
    let responses = operation["responses"].as_object()?;
    let mut good = responses.iter().filter(|(status, _)| status.starts_with('2'));
    let (response, None) = (good.next()?.1, good.next()) else { return None };
    let content = document.settle(response).ok()?["content"].as_object()?;
    let mut medias = content.iter();
    let ((media, entry), None) = (medias.next()?, medias.next()) else { return None };
    let is_json = essence(media) == "application/json" || essence(media).ends_with("+json");
    let schema = entry.get("schema").filter(|schema| is_json && is_object(document, schema))?;
    let (mut schema, is_over, _) = build(document, Way::Output, |converter| converter.root(schema));
    schema.insert("type".into(), "object".into());
    schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    (!is_over).then_some(Value::Object(schema))
}

/// Whether any operation wants credentials.
fn wants_credentials(document: &Document) -> bool {
    let asks = |security: &Value| {
        security
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one.as_object().is_some_and(|one| !one.is_empty())))
    };
    let paths = document.get("paths").as_object().into_iter().flatten();
    asks(document.get("security"))
        || paths
            .flat_map(|(_, item)| item.as_object().into_iter().flatten())
            .any(|(_, op)| asks(&op["security"]))
}

impl Operation {
    /// Its arguments by name.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        let properties = self.tool.input_schema["properties"].as_object().into_iter().flatten();
        properties.map(|(name, _)| name.as_str())
    }

    /// Whether arguments that nobody knows are taken.
    pub(super) fn is_open(&self) -> bool {
        self.tool.input_schema["additionalProperties"] != false
    }

    /// The argument that a parameter of the query comes from.
    pub(super) fn argument_of(&self, query: &str) -> Option<&str> {
        let mut own = self.params.iter().filter(|param| param.place == Place::Query);
        own.find(|param| param.name == query).map(|param| param.argument.as_str())
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
