//! Where clients come in. A door knows a transport; what a request means is decided once for all doors, in
//! `modern` and `legacy`.

pub mod duplex;
pub mod http;
pub mod legacy;
mod listen;
pub mod modern;
pub mod sse;
pub mod stdio;
pub mod tcp;
pub mod websocket;

use futures_util::stream::{self, BoxStream, StreamExt};
use puerto_core::Ctx;
use puerto_core::def::Capability;
use puerto_core::record::Kind as RecordKind;

use crate::call::{self, Call, Client, HeaderLookup, Out};
use crate::frame::{Frame, Parts};
use crate::hub::Endpoint;
use crate::offer::{Can, ListKind};
use crate::route::Routed;
use crate::search::{self, Own};
use crate::wire::Refusal;

/// What a door sends for one message of a client.
pub enum Reply {
    /// Nothing: it was a notification or an answer, and it was taken.
    Accepted,
    /// One message.
    Whole {
        /// It.
        text: Parts,
        /// The HTTP status that goes with it.
        http: u16,
        /// Seconds after which trying again makes sense.
        retry_after: Option<u64>,
    },
    /// Several messages, the answer last.
    Stream(BoxStream<'static, Parts>),
}

impl Reply {
    /// A good answer.
    pub fn ok(text: Parts) -> Self {
        Self::Whole { text, http: 200, retry_after: None }
    }

    /// A refusal of the request with this id.
    pub fn refused(refusal: &Refusal, id: &[u8], null_id: bool) -> Self {
        Self::Whole {
            text: refusal.render(id, null_id),
            http: refusal.http,
            retry_after: refusal.retry_after,
        }
    }

    /// Every message of it, for doors that carry messages one by one.
    pub fn messages(self) -> BoxStream<'static, Parts> {
        match self {
            Reply::Accepted => stream::empty().boxed(),
            Reply::Whole { text, .. } => stream::iter([text]).boxed(),
            Reply::Stream(messages) => messages,
        }
    }
}

/// Answers a request that leads to a server, or one for the tools with which others are found.
pub async fn routed(
    endpoint: &Endpoint,
    ctx: Ctx,
    client: Client,
    method: Routed,
    frame: Frame,
    headers: Option<HeaderLookup<'_>>,
) -> Result<Reply, Refusal> {
    let own = if method == Routed::ToolsCall { Own::called(endpoint, &frame) } else { None };
    match own {
        None => Ok(relay(call::begin(endpoint, ctx, client, method, frame, headers)?).await),
        Some(Own::Call) => match search::unwrapped(&frame) {
            // Its headers speak of the tool that was called and not of the one that is meant.
            Ok(meant) => Ok(relay(call::begin(endpoint, ctx, client, method, meant, None)?).await),
            Err(refusal) => {
                refusal.record(&mut ctx.begin(RecordKind::Mcp(method.method().into())));
                Err(refusal)
            }
        },
        Some(own) => {
            let answered = Box::pin(search::answer(&ctx, endpoint, own, &frame, client.is_modern())).await;
            answered.map(Reply::ok)
        }
    }
}

/// Carries a call to its end. Where the answer is the first thing that comes it is sent as one message;
/// a stream is opened only for what precedes it.
pub async fn relay(mut call: Box<Call>) -> Reply {
    match call.next().await {
        Out::Last { text, http } => Reply::Whole { text, http, retry_after: None },
        Out::Message(first) => {
            let rest = stream::unfold(Some(call), |call| async move {
                let mut call = call?;
                Some(match call.next().await {
                    Out::Message(text) => (text, Some(call)),
                    Out::Last { text, .. } => (text, None),
                })
            });
            Reply::Stream(stream::iter([first]).chain(rest).boxed())
        }
    }
}

/// What an endpoint can do: everything that its servers can. An endpoint that gathers servers always has
/// the three lists, since a server may come up at any moment.
pub fn abilities(endpoint: &Endpoint) -> Can {
    let gathers = endpoint.scope.server.is_none();
    let mut can = Can { tools: gathers, resources: gathers, prompts: gathers, ..Can::default() };
    for upstream in endpoint.upstreams() {
        let Some(offer) = upstream.offer() else {
            can = Can { tools: true, resources: true, prompts: true, ..can };
            continue;
        };
        let one = offer.about.can;
        let takes = |kind| upstream.def.capabilities.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        can = Can {
            tools: can.tools || one.tools && takes(Capability::Tools),
            resources: can.resources || one.resources && takes(Capability::Resources),
            prompts: can.prompts || one.prompts && takes(Capability::Prompts),
            subscribe: can.subscribe || one.subscribe,
            completions: can.completions || one.completions,
            logging: can.logging || one.logging,
            list_changed: true,
        };
    }
    can
}

/// Whether an endpoint answers a list of this kind.
pub fn has_list(endpoint: &Endpoint, kind: ListKind) -> bool {
    abilities(endpoint).lists(kind)
}

/// The abilities as a `capabilities` object.
fn capabilities(can: Can) -> String {
    let mut members = Vec::new();
    if can.tools {
        members.push(r#""tools":{"listChanged":true}"#.to_owned());
    }
    if can.resources {
        members.push(format!(r#""resources":{{"subscribe":{},"listChanged":true}}"#, can.subscribe));
    }
    if can.prompts {
        members.push(r#""prompts":{"listChanged":true}"#.to_owned());
    }
    if can.completions {
        members.push(r#""completions":{}"#.to_owned());
    }
    if can.logging {
        members.push(r#""logging":{}"#.to_owned());
    }
    format!("{{{}}}", members.join(","))
}

/// Who answers at an endpoint, and its advice: the server itself at its own endpoint, Puerto elsewhere.
fn identity(endpoint: &Endpoint) -> (String, Option<String>) {
    let own =
        endpoint.scope.server.as_ref().and_then(|server| endpoint.tenant.upstreams.get(server)?.offer());
    match own {
        Some(offer) => {
            let info = String::from_utf8_lossy(&offer.about.server_info).into_owned();
            (
                if info.is_empty() { crate::list::SERVER_INFO.into() } else { info },
                offer.about.instructions.clone(),
            )
        }
        None => {
            let profile = endpoint.scope.profile.as_ref();
            let profile = profile.and_then(|name| endpoint.tenant.view.def.profiles.get(name));
            let about = profile.and_then(|profile| profile.description.clone());
            // Joining the advice of every server would fill the model's context; each tool says what it is for.
            let servers: Vec<_> = endpoint.upstreams().map(|up| up.name.as_str()).collect();
            let how = match endpoint.searches() {
                true => "Find tools with search_tools and call them with call_tool.",
                false => "Tools of several servers, each named server and tool together.",
            };
            let names = (!servers.is_empty()).then(|| format!("{how} Servers: {}.", servers.join(", ")));
            let advice: Vec<_> = about.into_iter().chain(names).collect();
            (crate::list::SERVER_INFO.into(), (!advice.is_empty()).then(|| advice.join(" ")))
        }
    }
}
