//! Tool search: on the endpoint of a profile of kind `search` three tools stand for all others, so that a list of
//! hundreds costs a model next to nothing. Nothing is remembered between the three: any client can use them, in
//! either era, in any order.

pub mod index;
mod thesaurus;
mod words;

use std::sync::Arc;

use bytes::Bytes;
use puerto_core::record::Kind as RecordKind;
use puerto_core::{Action, Ctx, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::frame::{Edits, Frame, Parts, Reader};
use crate::hub::Endpoint;
use crate::offer::ListKind;
use crate::scan::{Scanner, Span, unquoted};
use crate::wire::{self, INVALID_PARAMS, Refusal};

/// Tools that one search answers, where it asks for no other number.
const FOUND: usize = 8;
/// Tools that one search may ask for.
const FOUND_MAX: usize = 50;
/// Tools that one request may have described.
const DESCRIBED_MAX: usize = 20;
/// Characters of a tool's description that a search shows.
const SHOWN_MAX: usize = 240;
/// Longest request of a search, in characters. What models write has some ten words.
const QUERY_MAX: usize = 1000;

/// One of the three tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Finds tools.
    Search,
    /// Shows their definitions.
    Describe,
    /// Calls one.
    Call,
}

impl Own {
    /// All three.
    pub const ALL: [Own; 3] = [Own::Search, Own::Describe, Own::Call];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Own::Search => "search_tools",
            Own::Describe => "describe_tools",
            Own::Call => "call_tool",
        }
    }

    /// The one that a request calls on an endpoint that has them.
    pub fn called(endpoint: &Endpoint, frame: &Frame) -> Option<Self> {
        if !endpoint.searches() {
            return None;
        }
        let name = frame.text(frame.params.name)?;
        Self::ALL.into_iter().find(|own| own.name() == name)
    }

    /// Its definition. `servers` are those whose tools can be found.
    pub fn definition(self, servers: &[&str]) -> Bytes {
        let among = match servers {
            [] => String::new(),
            few if few.len() <= SERVERS_MAX => format!(" Servers: {}.", few.join(", ")),
            many => format!(" {} servers, among them {}.", many.len(), many[..SERVERS_MAX].join(", ")),
        };
        let (title, description, schema) = match self {
            Own::Search => (
                "Search tools",
                format!(
                    "Find tools by what they do, in plain words: \"create an issue in a repository\". Answers names, \
                     descriptions and arguments of the best matches, to be called with call_tool.{among}"
                ),
                json!({
                    "type": "object",
                    "properties": {
                        "query": {"type": "string", "maxLength": QUERY_MAX, "description": "What the tool should do"},
                        "limit": {"type": "integer", "minimum": 1, "maximum": FOUND_MAX, "default": FOUND, "description": "How many to answer"}
                    },
                    "required": ["query"]
                }),
            ),
            Own::Describe => (
                "Describe tools",
                "Whole definitions of tools, with the JSON Schema of their arguments. Needed only where the short form \
                 of search_tools leaves a question open."
                    .to_owned(),
                json!({
                    "type": "object",
                    "properties": {
                        "names": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": DESCRIBED_MAX, "description": "Names as search_tools gives them"}
                    },
                    "required": ["names"]
                }),
            ),
            Own::Call => (
                "Call a tool",
                "Call a tool that search_tools found; the answer is the tool's own.".to_owned(),
                json!({
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "description": "Its name, as search_tools gives it"},
                        "arguments": {"type": "object", "description": "Its arguments"}
                    },
                    "required": ["name"]
                }),
            ),
        };
        let looks = self != Own::Call;
        let definition = json!({
            "name": self.name(), "title": title, "description": description, "inputSchema": schema,
            "annotations": {"readOnlyHint": looks, "openWorldHint": !looks},
        });
        definition.to_string().into()
    }
}

/// Servers that the description of the search names.
const SERVERS_MAX: usize = 40;

#[derive(Deserialize)]
struct Query {
    query: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Names {
    names: Vec<Arc<str>>,
}

/// Answers `search_tools` or `describe_tools`.
pub async fn answer(
    ctx: &Ctx,
    endpoint: &Endpoint,
    own: Own,
    frame: &Frame,
    modern: bool,
) -> Result<Parts, Refusal> {
    let mut op = ctx.begin(RecordKind::Mcp("tools/call".into()));
    op.note(|record| {
        record.bytes_in = frame.parts.len() as u64;
        record.object = Some(own.name().into());
    });
    let allowed = ctx.require(Action::Read, &ctx.tenant.id).map_err(|e| Refusal::from(&e));
    let place = allowed.and_then(|()| ctx.tenant.quota.take().map_err(|e| Refusal::from(&e)));
    let _place = match place {
        Ok(place) => place,
        Err(refusal) => {
            refusal.record(&mut op);
            return Err(refusal);
        }
    };
    let catalog = endpoint.tenant.catalog(&endpoint.scope).await;
    let raw = frame.raw(frame.params.arguments);
    let found = match own {
        Own::Search => searched(&catalog, endpoint, &raw),
        _ => described(&catalog, endpoint, &raw),
    };
    let id = frame.raw(frame.id);
    let text = match found {
        Ok(found) => {
            op.end(Outcome::Ok);
            let text = Value::from(found);
            let kind = if modern { r#""resultType":"complete","# } else { "" };
            wire::result(
                &id,
                &format!(r#"{kind}"content":[{{"type":"text","text":{text}}}],"isError":false"#),
            )
        }
        // In words for the model, which can mend it.
        Err(why) => {
            op.end(Outcome::ToolError);
            wire::tool_failure(&id, &why, modern)
        }
    };
    Ok(text)
}

fn searched(catalog: &Catalog, endpoint: &Endpoint, raw: &[u8]) -> Result<String, String> {
    let asked: Query = serde_json::from_slice(raw)
        .map_err(|e| format!("search_tools wants {{\"query\": \"what the tool should do\"}}: {e}"))?;
    if asked.query.chars().count() > QUERY_MAX {
        return Err(format!("the query is longer than {QUERY_MAX} characters; say it in a few words"));
    }
    let limit = asked.limit.unwrap_or(FOUND).clamp(1, FOUND_MAX);
    let Some(index) = endpoint.scope.profile.as_ref().and_then(|profile| catalog.index(profile)) else {
        return Err("this endpoint has no tools to search".into());
    };
    let found = index.find(&asked.query, limit);
    let tools: Vec<_> = found.iter().map(|tool| tool.short(SHOWN_MAX)).collect();
    let mut answer = json!({"tools": tools, "searched": index.len()});
    if tools.is_empty() {
        answer["hint"] = "nothing fits; try other words, or fewer".into();
    }
    Ok(answer.to_string())
}

fn described(catalog: &Catalog, endpoint: &Endpoint, raw: &[u8]) -> Result<String, String> {
    let asked: Names = serde_json::from_slice(raw)
        .map_err(|e| format!("describe_tools wants {{\"names\": [\"server__tool\"]}}: {e}"))?;
    if asked.names.len() > DESCRIBED_MAX {
        return Err(format!("at most {DESCRIBED_MAX} tools are described at a time"));
    }
    let (mut definitions, mut unknown) = (Vec::new(), Vec::new());
    for name in &asked.names {
        let found = catalog.find(&endpoint.scope, ListKind::Tools, name).ok();
        match found.and_then(|found| catalog.definition(&found.target)) {
            Some(definition) => definitions.push(String::from_utf8_lossy(&definition).into_owned()),
            None => unknown.push(&**name),
        }
    }
    if definitions.is_empty() {
        return Err(format!("no tool is called {}; search_tools gives names", unknown.join(" or ")));
    }
    let unknown = match unknown.is_empty() {
        true => String::new(),
        false => format!(r#","unknown":{}"#, json!(unknown)),
    };
    Ok(format!(r#"{{"tools":[{}]{unknown}}}"#, definitions.join(",")))
}

/// The request that a request for `call_tool` stands for.
pub fn unwrapped(frame: &Frame) -> Result<Frame, Refusal> {
    let wrong = |why: &str| {
        let text = format!("call_tool wants {{\"name\": \"server__tool\", \"arguments\": {{…}}}}: {why}");
        Refusal::new(INVALID_PARAMS, text)
    };
    let whole = frame.parts.clone().whole();
    let (mut name, mut arguments) = (Span::default(), Span::default());
    if frame.raw(frame.params.arguments).first() != Some(&b'{') {
        return Err(wrong("it has no arguments"));
    }
    // The frame was scanned before, so what is in it is well-formed.
    let _ = Scanner::at(&whole, frame.params.arguments).object(|s, key| {
        let value = s.value()?;
        match key {
            "name" => name = value,
            "arguments" => arguments = value,
            _ => {}
        }
        Ok(())
    });
    if name.of(&whole).first() != Some(&b'"') {
        return Err(wrong("\"name\" is missing"));
    }
    let inner = match arguments.of(&whole).first() {
        None | Some(b'n') => Bytes::from_static(b"{}"),
        Some(b'{') => whole.slice(arguments.range()),
        // Some models write the arguments as a text that holds them.
        Some(b'"') => match unquoted(arguments.of(&whole)) {
            Some(text) if text.trim_start().starts_with('{') => {
                Bytes::copy_from_slice(text.trim().as_bytes())
            }
            _ => return Err(wrong("\"arguments\" is no object")),
        },
        Some(_) => return Err(wrong("\"arguments\" is no object")),
    };
    let mut edits = Edits::new();
    edits.set(frame.params.name, whole.slice(name.range()));
    edits.set(frame.params.arguments, inner);
    let mut reader = Reader::default();
    let fed = edits.apply(&Parts::one(whole)).into_vec().into_iter().try_for_each(|part| reader.feed(part));
    fed.and_then(|()| reader.finish()).map_err(|fault| wrong(&format!("\"arguments\" is no JSON: {fault}")))
}

#[cfg(test)]
mod tests;
