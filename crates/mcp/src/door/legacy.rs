//! Messages of the legacy revisions: a handshake, then a session that remembers.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt};
use puerto_core::def::Sharing;
use puerto_core::record::Kind as RecordKind;
use puerto_core::{Ctx, Outcome, Result};
use tokio::time::Instant;

use crate::call::{Client, questions};
use crate::catalog::Target;
use crate::door::modern::{LIMIT, client_name};
use crate::door::{Reply, abilities, capabilities, identity};
use crate::era::{Era, Revision};
use crate::frame::{Frame, Kind, Parts};
use crate::hub::{Endpoint, Hub};
use crate::list;
use crate::offer::ListKind;
use crate::route::{Routed, resource_targets};
use crate::session::{self, Handshake, Level, Session};
use crate::tenant::{Change, Tenant};
use crate::upstream::State;
use crate::upstream::link::Link;
use crate::wire::{self, INVALID_PARAMS, Refusal};

/// Makes the handshake; answers it and the session that was opened.
pub async fn initialize(
    hub: &Hub,
    endpoint: &Endpoint,
    frame: &Frame,
) -> Result<(Parts, Arc<Session>), Refusal> {
    let ctx = hub.ctx(&endpoint.tenant, LIMIT);
    let mut op = ctx.begin(RecordKind::Mcp("initialize".into()));
    let opened = handshake(hub, endpoint, frame);
    let session = match opened {
        Ok(session) => session,
        Err(refusal) => {
            refusal.record(&mut op);
            return Err(refusal);
        }
    };
    endpoint.tenant.catalog(&endpoint.scope).await;
    let (info, advice) = identity(endpoint);
    let advice = advice
        .map(|text| format!(r#","instructions":{}"#, serde_json::Value::from(text)))
        .unwrap_or_default();
    let can = capabilities(abilities(endpoint));
    let version = session.handshake.revision.text();
    op.note(|record| {
        record.client = session.handshake.client.clone();
        record.protocol = Some(version);
    });
    op.end(Outcome::Ok);
    let members =
        format!(r#""protocolVersion":"{version}","capabilities":{can},"serverInfo":{info}{advice}"#);
    Ok((wire::result(&frame.raw(frame.id), &members), session))
}

fn handshake(hub: &Hub, endpoint: &Endpoint, frame: &Frame) -> Result<Arc<Session>, Refusal> {
    let params = &frame.params;
    if frame.kind() != Kind::Request {
        return Err(Refusal::new(wire::INVALID_REQUEST, "initialize: \"id\" is missing"));
    }
    let Some(asked) = frame.text(params.protocol_version) else {
        return Err(Refusal::new(INVALID_PARAMS, "initialize: \"protocolVersion\" is missing"));
    };
    let revision =
        Revision::parse(&asked).filter(|r| r.era() == Era::Legacy).unwrap_or(Revision::LATEST_LEGACY);
    let object = |span: crate::scan::Span| match frame.raw(span).first() {
        Some(b'{') => bytes::Bytes::copy_from_slice(&frame.raw(span)),
        _ => bytes::Bytes::from_static(b"{}"),
    };
    let handshake = Handshake {
        revision,
        capabilities: object(params.capabilities),
        client_info: object(params.client_info),
        client: client_name(frame, params.client_info),
    };
    let tenant = endpoint.tenant.view.id.clone();
    hub.sessions.open(tenant, endpoint.scope.clone(), handshake).map_err(|e| Refusal::from(&e))
}

/// Answers one message within a session. `above` is the `traceparent` of what it came in, where that has one.
pub async fn answer(
    hub: &Arc<Hub>,
    endpoint: &Endpoint,
    session: &Arc<Session>,
    frame: Frame,
    above: Option<&str>,
) -> Reply {
    match frame.kind() {
        Kind::Request => request(hub, endpoint, session, frame, above).await,
        Kind::Notification => {
            if frame.method_name() == "notifications/cancelled" {
                session.cancel(&frame.raw(frame.params.request_id));
            }
            Reply::Accepted
        }
        Kind::Response => {
            if let Some(asked) = session.asked(&frame.raw(frame.id))
                && let Err(error) = Box::pin(asked.answer(&frame)).await
            {
                tracing::debug!(error = %error.chain(), "an answer of a client did not reach its server");
            }
            Reply::Accepted
        }
        Kind::Nothing => {
            let refusal = Refusal::new(
                wire::INVALID_REQUEST,
                "the message is neither request nor notification nor response",
            );
            Reply::refused(&refusal, &frame.raw(frame.id), true)
        }
    }
}

async fn request(
    hub: &Arc<Hub>,
    endpoint: &Endpoint,
    session: &Arc<Session>,
    frame: Frame,
    above: Option<&str>,
) -> Reply {
    let method = frame.method_name().into_owned();
    let id = frame.share(frame.id);
    let mut ctx = hub.ctx(&endpoint.tenant, LIMIT);
    ctx.follow(frame.text(frame.params.meta.traceparent).as_deref().or(above));
    ctx.session = Some(session.number);
    ctx.client = session.handshake.client.clone();
    ctx.protocol = Some(session.handshake.revision.text());
    if let Some(routed) = Routed::parse(&method) {
        let client = Client::Legacy(session.clone());
        let reply = super::routed(endpoint, ctx, client, routed, frame, None).await;
        return reply.unwrap_or_else(|refusal| Reply::refused(&plain(refusal), &id, true));
    }
    let answered = match ListKind::ALL.into_iter().find(|kind| kind.method() == method) {
        Some(kind) => list::answer(hub, &ctx, endpoint, kind, &frame, false).await,
        None => Box::pin(own(hub, endpoint, session, &ctx, &method, &frame)).await,
    };
    match answered {
        Ok(text) => Reply::ok(text),
        Err(refusal) => Reply::refused(&plain(refusal), &id, true),
    }
}

/// In a session every answer to a request goes with HTTP 200.
fn plain(mut refusal: Refusal) -> Refusal {
    refusal.http = 200;
    if refusal.number == INVALID_PARAMS && refusal.data.as_ref().is_some_and(|d| d.starts_with(r#"{"uri""#)) {
        refusal.number = wire::LEGACY_RESOURCE_NOT_FOUND;
    }
    refusal
}

/// Methods that the hub answers itself.
async fn own(
    hub: &Hub,
    endpoint: &Endpoint,
    session: &Arc<Session>,
    ctx: &Ctx,
    method: &str,
    frame: &Frame,
) -> Result<Parts, Refusal> {
    let name: &'static str = match method {
        "ping" => "ping",
        "logging/setLevel" => "logging/setLevel",
        "resources/subscribe" => "resources/subscribe",
        "resources/unsubscribe" => "resources/unsubscribe",
        _ => "unknown",
    };
    let mut op = ctx.begin(RecordKind::Mcp(name.into()));
    let done = match name {
        "ping" => Ok(()),
        "logging/setLevel" => set_level(endpoint, session, frame).await,
        "resources/subscribe" => subscribe(endpoint, session, ctx, frame).await,
        "resources/unsubscribe" => unsubscribe(endpoint, session, frame).await,
        _ => Err(Refusal::method(method)),
    };
    let _ = hub;
    match done {
        Ok(()) => {
            op.end(Outcome::Ok);
            Ok(wire::result(&frame.raw(frame.id), ""))
        }
        Err(refusal) => {
            refusal.record(&mut op);
            Err(refusal)
        }
    }
}

async fn set_level(endpoint: &Endpoint, session: &Arc<Session>, frame: &Frame) -> Result<(), Refusal> {
    let level = frame.text(frame.params.level).and_then(|text| Level::parse(&text));
    let level = level.ok_or_else(|| {
        Refusal::new(INVALID_PARAMS, "logging/setLevel: \"level\" is no severity of RFC 5424")
    })?;
    session.set_level(level);
    // One that answers nothing is left alone: what it logs is filtered here all the same.
    let answering = endpoint.upstreams().filter(|up| !matches!(up.state(), State::Degraded { .. }));
    let served = answering.filter_map(|up| up.served(session));
    let tell = served.filter_map(|up| up.connected().map(|live| (up, live))).map(|(up, live)| async move {
        if questions::era_for(&Client::Legacy(session.clone()), &live).await == Era::Modern
            || !live.about.can.logging
        {
            return;
        }
        match &live.link {
            // Opening the client's own session hands the severity on, where it is new.
            Link::Http(remote) => {
                let own = questions::own_session(session, &up, &live, remote).await;
                questions::set_level(&live, Some(own), level).await;
            }
            _ => questions::set_level(&live, None, level).await,
        }
    });
    join_all(tell).await;
    Ok(())
}

async fn subscribe(
    endpoint: &Endpoint,
    session: &Arc<Session>,
    ctx: &Ctx,
    frame: &Frame,
) -> Result<(), Refusal> {
    let uri = uri(frame)?;
    let targets = resource_targets(endpoint, &uri);
    let serving = |target: &Target| {
        let upstream = endpoint.tenant.upstream(&target.server)?;
        upstream.serving(session, &endpoint.tenant.keeper)
    };
    // An instance that begins with this takes over what the session has subscribed to: not yet this one.
    let _ = targets.first().map(serving);
    if !session.subscribe(&uri) {
        return Ok(());
    }
    let mut refusal = Refusal::resource(&uri);
    for target in targets {
        let subscribed = match serving(&target) {
            Ok(upstream) => upstream.subscribe(&target.key, ctx.deadline).await,
            Err(error) => Err(error),
        };
        match subscribed {
            Ok(()) => return Ok(()),
            Err(error) => refusal = Refusal::from(&error),
        }
    }
    session.unsubscribe(&uri);
    Err(refusal)
}

async fn unsubscribe(endpoint: &Endpoint, session: &Session, frame: &Frame) -> Result<(), Refusal> {
    let uri = uri(frame)?;
    if session.unsubscribe(&uri) {
        for target in resource_targets(endpoint, &uri).into_iter().take(1) {
            let upstream = endpoint.tenant.upstream(&target.server).ok();
            if let Some(upstream) = upstream.and_then(|up| up.served(session)) {
                upstream.unsubscribe(&target.key).await;
            }
        }
    }
    Ok(())
}

fn uri(frame: &Frame) -> Result<String, Refusal> {
    let missing = || Refusal::new(INVALID_PARAMS, "\"uri\" is missing");
    frame.text(frame.params.uri).map(std::borrow::Cow::into_owned).ok_or_else(missing)
}

/// The session's own stream: what is meant for the client and belongs to none of its requests. It ends
/// with the session.
pub fn stream(hub: &Arc<Hub>, endpoint: Endpoint, session: Arc<Session>) -> BoxStream<'static, Parts> {
    let changes = endpoint.tenant.keeper.changes();
    stream::unfold(
        (changes, endpoint, session, hub.clone()),
        |(mut changes, endpoint, session, hub)| async move {
            let texts = loop {
                session.touch();
                let mut inbox = session.received().await;
                tokio::select! {
                    message = inbox.recv() => break vec![message?],
                    change = changes.next() => {
                        let texts = told(&hub, &endpoint, &session, &change?);
                        if !texts.is_empty() {
                            break texts;
                        }
                    }
                    () = session.ended.cancelled() => return None,
                    () = hub.draining.cancelled() => return None,
                    // An open stream is use enough to keep a session.
                    () = tokio::time::sleep_until(Instant::now() + LIMIT) => {}
                }
            };
            Some((stream::iter(texts), (changes, endpoint, session, hub)))
        },
    )
    .flatten()
    .boxed()
}

fn told(hub: &Hub, endpoint: &Endpoint, session: &Session, change: &Change) -> Vec<Parts> {
    let listed = |noun| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{noun}/list_changed"}}"#).into();
    if let Some(kind) = endpoint.list_changed(change) {
        return vec![listed(kind.listed_with())];
    }
    match change {
        Change::Updated { server, uri } => {
            // Of a server with an instance for each session only the session's own counts, and tells it alone.
            let now = hub.tenant(endpoint.tenant.view.id.as_str());
            let own = |tenant: &Tenant| {
                tenant.upstream(server).is_ok_and(|up| up.def.sharing == Sharing::PerSession)
            };
            let updated = if now.is_ok_and(|tenant| own(&tenant)) {
                None
            } else {
                session.updated(&endpoint.catalog(), server, uri)
            };
            updated.into_iter().collect()
        }
        Change::Missed => {
            let resources = session.subscriptions();
            let resources = resources.iter().map(|uri| session::resource_updated(uri));
            ["tools", "prompts", "resources"].map(listed).into_iter().chain(resources).collect()
        }
        Change::List { .. } | Change::Profile { .. } | Change::State { .. } => Vec::new(),
    }
}
