//! Requests of 2026-07-28: each stands alone, and each is checked in the order that the specification and
//! its conformance suite expect.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use puerto_core::record::Kind as RecordKind;
use puerto_core::{Ctx, Outcome};

use crate::call::{self, Client};
use crate::door::{Reply, abilities, capabilities, has_list, identity, listen};
use crate::era::{Era, Revision};
use crate::frame::{Frame, Kind};
use crate::headers::{decode, same};
use crate::hub::{Endpoint, Hub};
use crate::list;
use crate::offer::ListKind;
use crate::route::Routed;
use crate::scan::{Scanner, unquoted};
use crate::upstream::http::{MCP_METHOD, MCP_NAME, PROTOCOL_VERSION};
use crate::wire::{self, INVALID_PARAMS, Refusal};

/// Characters of a client's name that are kept; the client chooses it.
const CLIENT_NAME_MAX: usize = 80;
/// Longest time for operations that no server's own limit bounds.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Answers one message. `headers` are those of the HTTP request, absent on other transports.
pub async fn answer(hub: &Arc<Hub>, endpoint: &Endpoint, frame: Frame, headers: Option<&HeaderMap>) -> Reply {
    match frame.kind() {
        Kind::Request => {}
        // Over HTTP a client of this era sends only requests; what else it may say needs no answer.
        Kind::Notification | Kind::Response => return Reply::Accepted,
        Kind::Nothing => {
            let refusal = Refusal::new(
                wire::INVALID_REQUEST,
                "the message is neither request nor notification nor response",
            );
            return Reply::refused(&refusal, &frame.raw(frame.id), false);
        }
    }
    let method = frame.method_name().into_owned();
    if let Err(refusal) = check(&frame, &method, headers) {
        let mut op = hub.ctx(&endpoint.tenant, LIMIT).begin(RecordKind::Mcp(known(&method)));
        refusal.record(&mut op);
        return Reply::refused(&refusal, &frame.raw(frame.id), false);
    }
    let ctx = context(hub, endpoint, &frame, headers);
    dispatch(hub, endpoint, ctx, &method, frame, headers).await
}

/// The name of a method for records; what a client makes up must not become a label.
fn known(method: &str) -> std::borrow::Cow<'static, str> {
    let all = ["server/discover", "subscriptions/listen", "initialize", "ping"];
    let lists = ListKind::ALL.map(ListKind::method);
    let routed = Routed::parse(method).map(Routed::method);
    let found = routed.or_else(|| all.into_iter().chain(lists).find(|m| *m == method));
    found.unwrap_or("unknown").into()
}

fn context(hub: &Hub, endpoint: &Endpoint, frame: &Frame, headers: Option<&HeaderMap>) -> Ctx {
    let mut ctx = hub.ctx(&endpoint.tenant, LIMIT);
    let meta = &frame.params.meta;
    let given = frame.text(meta.traceparent);
    ctx.follow(given.as_deref().or_else(|| super::http::traceparent(headers?)));
    ctx.client = client_name(frame, meta.client_info);
    ctx.protocol = Some(Revision::MODERN.text());
    ctx
}

thread_local! {
    /// The implementation object read last, and the name in it: a client sends it with every request.
    static LAST_CLIENT: RefCell<(Vec<u8>, Option<Arc<str>>)> = const { RefCell::new((Vec::new(), None)) };
}

/// `name` in an implementation object.
pub fn client_name(frame: &Frame, info: crate::scan::Span) -> Option<Arc<str>> {
    let raw = frame.raw(info);
    LAST_CLIENT.with_borrow_mut(|(text, name)| {
        if *text != *raw {
            *name = name_in(&raw);
            // Longer ones are read anew each time.
            raw[..raw.len().min(1024)].clone_into(text);
        }
        name.clone()
    })
}

fn name_in(raw: &[u8]) -> Option<Arc<str>> {
    let mut name = crate::scan::Span::default();
    if raw.first() == Some(&b'{') {
        let _ = Scanner::new(raw).object(|s, key| {
            let value = s.value()?;
            if key == "name" {
                name = value;
            }
            Ok(())
        });
    }
    let name = unquoted(name.of(raw))?;
    let end = name.char_indices().nth(CLIENT_NAME_MAX).map_or(name.len(), |(at, _)| at);
    Some(name[..end].into())
}

/// Header present, `_meta` complete, header equal, version supported, mirrored headers equal.
fn check(frame: &Frame, method: &str, headers: Option<&HeaderMap>) -> Result<(), Refusal> {
    let meta = &frame.params.meta;
    let header = headers.map(|headers| one(headers, &PROTOCOL_VERSION)).transpose()?.flatten();
    if headers.is_some() && header.is_none() {
        return Err(Refusal::header("header MCP-Protocol-Version is missing".into()));
    }
    let missing = |key: &str| {
        Refusal::new(
            INVALID_PARAMS,
            format!("params._meta[\"io.modelcontextprotocol/{key}\"] is missing or malformed"),
        )
        .bad_request()
    };
    let version = frame.text(meta.protocol_version).ok_or_else(|| missing("protocolVersion"))?;
    if frame.raw(meta.client_capabilities).first() != Some(&b'{') {
        return Err(missing("clientCapabilities"));
    }
    if header.is_some_and(|header| header != version) {
        return Err(Refusal::header(format!(
            "header MCP-Protocol-Version and the request's _meta differ (\"{version}\")"
        )));
    }
    if Revision::parse(&version).is_none_or(|revision| revision.era() == Era::Legacy) {
        return Err(Refusal::version(&version));
    }
    if let Some(level) = frame.text(meta.log_level)
        && crate::session::Level::parse(&level).is_none()
    {
        return Err(Refusal::new(INVALID_PARAMS, format!("unknown log level \"{level}\"")));
    }
    headers.map_or(Ok(()), |headers| mirrored(frame, method, headers))
}

fn mirrored(frame: &Frame, method: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    match one(headers, &MCP_METHOD)? {
        Some(header) if header == method => {}
        // Methods of the other era are refused as such rather than for a header they never had.
        _ if known(method) == "unknown" || matches!(method, "initialize" | "ping") => {}
        Some(_) => return Err(Refusal::header("header Mcp-Method differs from the request's method".into())),
        None => return Err(Refusal::header("header Mcp-Method is missing".into())),
    }
    let mirrored = match method {
        "tools/call" | "prompts/get" => frame.params.name,
        "resources/read" => frame.params.uri,
        _ => return Ok(()),
    };
    let Some(name) = frame.text(mirrored) else { return Ok(()) };
    match one(headers, &MCP_NAME)? {
        Some(header) if same(header, &name) => Ok(()),
        Some(header) if decode(header).is_none() => {
            Err(Refusal::header("header Mcp-Name is no valid base64".into()))
        }
        Some(_) => Err(Refusal::header("header Mcp-Name differs from the request".into())),
        None => Err(Refusal::header("header Mcp-Name is missing".into())),
    }
}

/// A header that may stand once.
fn one<'a>(headers: &'a HeaderMap, name: &::http::HeaderName) -> Result<Option<&'a str>, Refusal> {
    // Where no header at all stands twice, this one does not either.
    if headers.len() != headers.keys_len() && headers.get_all(name).iter().nth(1).is_some() {
        return Err(Refusal::header(format!("header {name} stands twice")));
    }
    headers
        .get(name)
        .map(|value| {
            value
                .to_str()
                .map(str::trim)
                .map_err(|_| Refusal::header(format!("header {name} is not plain ASCII")))
        })
        .transpose()
}

async fn dispatch(
    hub: &Arc<Hub>,
    endpoint: &Endpoint,
    ctx: Ctx,
    method: &str,
    frame: Frame,
    headers: Option<&HeaderMap>,
) -> Reply {
    let id = frame.share(frame.id);
    if let Some(routed) = Routed::parse(method) {
        let lookup = |name: &str| headers?.get(name)?.to_str().ok().map(Into::into);
        let lookup: Option<call::HeaderLookup<'_>> = headers.map(|_| &lookup as _);
        let reply = super::routed(endpoint, ctx, Client::Modern, routed, frame, lookup).await;
        return reply.unwrap_or_else(|refusal| Reply::refused(&refusal, &id, false));
    }
    if let Some(kind) = ListKind::ALL.into_iter().find(|kind| kind.method() == method) {
        if !has_list(endpoint, kind) {
            return Reply::refused(&Refusal::method(method), &id, false);
        }
        return match list::answer(hub, &ctx, endpoint, kind, &frame, true).await {
            Ok(text) => Reply::ok(text),
            Err(refusal) => Reply::refused(&refusal, &id, false),
        };
    }
    match method {
        "server/discover" => {
            let mut op = ctx.begin(RecordKind::Mcp("server/discover".into()));
            let reply = discover(endpoint, &id).await;
            op.end(Outcome::Ok);
            reply
        }
        "subscriptions/listen" => Box::pin(listen::open(hub, endpoint, &ctx, &frame)).await,
        _ => {
            let refusal = Refusal::method(method);
            refusal.record(&mut ctx.begin(RecordKind::Mcp(known(method))));
            Reply::refused(&refusal, &id, false)
        }
    }
}

async fn discover(endpoint: &Endpoint, id: &[u8]) -> Reply {
    endpoint.tenant.catalog(&endpoint.scope).await;
    let (info, advice) = identity(endpoint);
    let advice = advice
        .map(|text| format!(r#""instructions":{},"#, serde_json::Value::from(text)))
        .unwrap_or_default();
    let can = capabilities(abilities(endpoint));
    let version = Revision::MODERN.text();
    Reply::ok(wire::result(
        id,
        &format!(
            r#""resultType":"complete","supportedVersions":["{version}"],"capabilities":{can},{advice}"ttlMs":5000,"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{info}}}"#
        ),
    ))
}
