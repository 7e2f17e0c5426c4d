//! A server in this process, seen as a link: requests become calls of the [`Builtin`] trait, its answers
//! become messages like any other server's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::builtin::{Answer, Builtin, CallError};
use crate::era::Revision;
use crate::frame::{Frame, Parts};
use crate::offer::{About, Can, ListKind, Offer};
use crate::scan::Span;
use crate::upstream::link::Request;
use crate::wire::{self, Refusal};

/// A link to a server in this process.
pub struct Local {
    server: Arc<dyn Builtin>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", self.server.about().name)
    }
}

/// A call under way.
pub struct Running {
    work: BoxFuture<'static, Parts>,
    cancel: CancellationToken,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Running {
    /// The answer.
    pub async fn next(&mut self) -> Frame {
        let text = (&mut self.work).await.whole();
        Frame::parse(text).unwrap_or_else(|fault| {
            let text =
                Refusal::new(wire::INTERNAL_ERROR, format!("the built-in server wrote no JSON: {fault}"));
            Frame::parse(text.render(b"1", false).whole()).expect("a rendered refusal is a message")
        })
    }
}

impl Local {
    /// A link to this server.
    pub fn new(server: Arc<dyn Builtin>) -> Self {
        Self { server }
    }

    /// Sends a request.
    pub fn send(&self, request: Request) -> Running {
        let cancel = CancellationToken::new();
        let work = Box::pin(answer(self.server.clone(), request, cancel.clone()));
        Running { work, cancel }
    }

    /// Everything it offers; it never changes.
    pub fn offer(&self) -> Offer {
        let about = self.server.about();
        let lists: [String; 4] = [
            serde_json::to_string(&self.server.tools()),
            serde_json::to_string(&self.server.resources()),
            serde_json::to_string(&self.server.templates()),
            Ok(String::new()),
        ]
        .map(Result::unwrap_or_default);
        let has = |kind: ListKind| lists[kind as usize].len() > "[]".len();
        let can = Can {
            tools: has(ListKind::Tools),
            resources: has(ListKind::Resources) || has(ListKind::Templates),
            ..Can::default()
        };
        let mut capabilities = serde_json::Map::new();
        can.tools.then(|| capabilities.insert("tools".into(), Value::Object(Default::default())));
        can.resources.then(|| capabilities.insert("resources".into(), Value::Object(Default::default())));
        let info = serde_json::json!({"name": about.name, "title": about.title, "version": env!("CARGO_PKG_VERSION")});
        let mut offer = Offer::new(About {
            revision: Revision::MODERN,
            server_info: info.to_string().into(),
            capabilities: Value::Object(capabilities).to_string().into(),
            instructions: Some(about.instructions.into_owned()),
            can,
        });
        offer.notices = self.server.notices();
        for kind in ListKind::ALL {
            if !has(kind) {
                continue;
            }
            let text = Bytes::from(lists[kind as usize].clone());
            #[allow(clippy::cast_possible_truncation, reason = "a handful of definitions")]
            let whole = Span { start: 0, end: text.len() as u32 };
            if let Err(fault) = offer.take_page(kind, &text, whole) {
                offer.notices.push(fault.to_string());
            }
        }
        offer
    }
}

async fn answer(server: Arc<dyn Builtin>, request: Request, cancel: CancellationToken) -> Parts {
    let id = request.id.to_string();
    let id = id.as_bytes();
    let Ok(frame) = Frame::parse(request.text.whole()) else {
        return Refusal::new(wire::INVALID_REQUEST, "the request is malformed").render(id, false);
    };
    match &*request.method {
        "tools/call" => {
            let name = request.name.unwrap_or_default();
            let arguments = frame.raw(frame.params.arguments);
            let arguments = if arguments.is_empty() { b"{}" } else { &*arguments };
            let Ok(arguments) = serde_json::from_slice::<&RawValue>(arguments) else {
                return Refusal::new(wire::PARSE_ERROR, "the arguments are no JSON").render(id, false);
            };
            match server.call(&name, arguments, cancel).await {
                Ok(answer) => wire::result(id, &members(&answer)),
                Err(CallError::Unknown) => {
                    Refusal::new(wire::INVALID_PARAMS, format!("unknown tool: {name}")).render(id, false)
                }
                Err(error) => wire::tool_failure(id, &error.to_string(), false),
            }
        }
        "resources/read" => {
            let uri = request.name.unwrap_or_default();
            match server.read(&uri, cancel).await {
                Ok(contents) => {
                    let contents = serde_json::to_string(&contents).unwrap_or_else(|_| "[]".into());
                    wire::result(id, &format!(r#""contents":{contents}"#))
                }
                Err(CallError::Unknown) => Refusal::resource(&uri).render(id, false),
                Err(error) => Refusal::new(wire::INTERNAL_ERROR, error.to_string()).render(id, false),
            }
        }
        other => Refusal::method(other).render(id, false),
    }
}

/// The members of a tool's result.
fn members(answer: &Answer) -> String {
    let structured = answer.structured.as_ref().map(|raw| raw.get());
    let mut blocks: Vec<_> =
        structured.iter().map(|raw| format!(r#"{{"type":"text","text":{}}}"#, Value::from(*raw))).collect();
    blocks.extend(answer.content.iter().filter_map(|block| serde_json::to_string(block).ok()));
    let mut members = format!(r#""content":[{}]"#, blocks.join(","));
    if let Some(raw) = structured {
        members.push_str(&format!(r#","structuredContent":{raw}"#));
    }
    members.push_str(&format!(r#","isError":{}"#, answer.is_error));
    if !answer.meta.is_empty() {
        members.push_str(&format!(r#","_meta":{}"#, Value::Object(answer.meta.clone())));
    }
    members
}
