//! A request on its way through: to the server that owns its object, and every message that comes back for
//! it. The text is patched, never rebuilt: id, name, progress token and the protocol's own `_meta` keys
//! change, everything else passes byte for byte.

mod incoming;
mod outgoing;
pub mod questions;

use std::sync::Arc;

use puerto_core::ctx::Op;
use puerto_core::quota::Place;
use puerto_core::record::Kind as RecordKind;
use puerto_core::{Action, Code, Ctx, Error, Origin, Outcome, Result};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::digest::{self, Said};
use crate::era::Era;
use crate::frame::{Edits, Frame, Kind, Parts};
use crate::headers::{argument, same};
use crate::hub::Endpoint;
use crate::offer::ListKind;
use crate::route::{Route, Routed};
use crate::session::{Level, Session};
use crate::upstream::http::RemoteSession;
use crate::upstream::link::{Exchange, Link, Request};
use crate::upstream::{Event, Live, Upstream};
use crate::wire::{self, Refusal};
use incoming::Answer;
use outgoing::Outgoing;

/// Longest id of a request that its span tells.
const REQUEST_ID_MAX: usize = 64;
/// Of an error that a server answered with, so much is kept with the record, in characters.
const DETAIL_MAX: usize = 500;

/// Who asks, and in which era.
#[derive(Debug, Clone)]
pub enum Client {
    /// A request that stands alone.
    Modern,
    /// A request within a session.
    Legacy(Arc<Session>),
}

impl Client {
    /// Whether it speaks the modern era.
    pub fn is_modern(&self) -> bool {
        matches!(self, Client::Modern)
    }
}

/// What goes back to the client, in order; after the last one nothing follows.
#[derive(Debug)]
pub enum Out {
    /// A notification or a question.
    Message(Parts),
    /// The answer.
    Last {
        /// The message.
        text: Parts,
        /// The HTTP status that goes with it, where nothing was sent before it.
        http: u16,
    },
}

/// A request under way. Dropped before its end it is cancelled and recorded as such.
#[derive(Debug)]
pub struct Call {
    sent: bool,
    /// The server was, or is about to be, asked.
    passed: bool,
    exchange: Option<Exchange>,
    failed: Option<Error>,
    ended_by: Option<Error>,
    upstream: Arc<Upstream>,
    live: Option<Arc<Live>>,
    client: Client,
    route: Route,
    mirrored: Vec<(String, String)>,
    frame: Frame,
    ctx: Ctx,
    op: Op,
    /// The salt of its record, where digests are made for the audit trail.
    salt: Option<[u8; 16]>,
    log_level: Option<Level>,
    wrapping: Option<Arc<Catalog>>,
    endpoint: Endpoint,
    _quota: Place,
    place: Option<OwnedSemaphorePermit>,
}

/// Header values of a modern request over HTTP, to be compared with its arguments.
pub type HeaderLookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// Begins a call: everything that needs no waiting. Its server is reached when the first message is wanted,
/// and what fails from then on becomes part of the messages.
pub fn begin(
    endpoint: &Endpoint,
    mut ctx: Ctx,
    client: Client,
    method: Routed,
    frame: Frame,
    headers: Option<HeaderLookup<'_>>,
) -> Result<Box<Call>, Refusal> {
    let mut op = ctx.begin(RecordKind::Mcp(method.method().into()));
    op.note(|record| record.bytes_in = frame.parts.len() as u64);
    let allowed = ctx.require(Action::Use, &ctx.tenant.id).map_err(|e| Refusal::from(&e));
    let catalog = endpoint.catalog();
    let route = match allowed.and_then(|()| Route::find(&endpoint.scope, &catalog, method, &frame)) {
        Ok(route) => route,
        Err(refusal) => {
            refusal.record(&mut op);
            return Err(refusal);
        }
    };
    let mut salt = None;
    op.note(|record| {
        record.server = Some(route.server.shared());
        record.object = Some(route.key.clone());
        // What came by REST has no id of its caller.
        if let (Some(traced), Some(_)) = (&mut record.traced, record.protocol) {
            traced.request_id = request_id(&frame);
        }
        if record.is_for_audit() {
            digest::note_arguments(record, &frame, ctx.texts());
        }
        salt = record.salt;
    });
    let quota = match ctx.tenant.quota.take() {
        Ok(place) => place,
        Err(error) => {
            op.fail(&error);
            return Err(Refusal::from(&error));
        }
    };
    let item = match method {
        Routed::ToolsCall if catalog.mirrors(&route.server) => {
            catalog.item(&route.server, ListKind::Tools, &route.key)
        }
        _ => None,
    };
    let mirrored = match item.map_or(Ok(Vec::new()), |item| mirror(&item.headers, &frame, headers)) {
        Ok(mirrored) => mirrored,
        Err(refusal) => {
            refusal.record(&mut op);
            return Err(refusal);
        }
    };
    let log_level = match &client {
        Client::Modern => frame.text(frame.params.meta.log_level).and_then(|text| Level::parse(&text)),
        Client::Legacy(session) => Some(session.level().unwrap_or(Level::Debug)),
    };
    if let Client::Legacy(session) = &client {
        session.begin(frame.share(frame.id), ctx.cancel.get_or_insert_default().clone());
    }
    let upstream = endpoint.tenant.upstream(&route.server).map_err(|e| Refusal::from(&e))?.clone();
    ctx.deadline = tokio::time::Instant::now() + upstream.def.call_limit();
    Ok(Box::new(Call {
        sent: false,
        passed: false,
        exchange: None,
        failed: None,
        ended_by: None,
        upstream,
        live: None,
        client,
        wrapping: (endpoint.scope.server.is_none() && catalog.wraps(&route.server)).then_some(catalog),
        route,
        mirrored,
        frame,
        ctx,
        op,
        salt,
        log_level,
        endpoint: endpoint.clone(),
        _quota: quota,
        place: None,
    }))
}

/// The id of a request for its span; the client chooses it.
fn request_id(frame: &Frame) -> Option<Box<str>> {
    let raw = frame.raw(frame.id);
    let id = std::str::from_utf8(&raw).ok()?.trim_matches('"');
    (id.len() <= REQUEST_ID_MAX).then(|| id.into())
}

/// The texts of mirrored arguments; where headers came with the request they must say the same.
fn mirror(
    params: &[crate::headers::HeaderParam],
    frame: &Frame,
    headers: Option<HeaderLookup<'_>>,
) -> Result<Vec<(String, String)>, Refusal> {
    let arguments: serde_json::Value =
        serde_json::from_slice(&frame.raw(frame.params.arguments)).unwrap_or_default();
    let mut mirrored = Vec::new();
    for param in params {
        let value = argument(param, &arguments);
        if let Some(header) = headers {
            let agrees = match (header(&param.header), &value) {
                (None, None) => true,
                (Some(header), Some(value)) => same(&header, value),
                _ => false,
            };
            if !agrees {
                return Err(Refusal::header(format!(
                    "header {} must say the same as the argument {:?}",
                    param.header,
                    param.path.join(".")
                )));
            }
        }
        mirrored.extend(value.map(|value| (param.header.clone(), value)));
    }
    Ok(mirrored)
}

impl Call {
    /// Reaches the server; a failure becomes the call's only message.
    async fn send(&mut self) {
        let deadline = self.ctx.deadline;
        let cancel = self.ctx.cancel.clone();
        let sent = tokio::select! {
            biased;
            sent = tokio::time::timeout_at(deadline, self.try_send()) => sent.unwrap_or_else(|_| Err(too_slow(&self.upstream))),
            () = cancelled(cancel.as_ref()) => Err(Error::caller(Code::Cancelled, "the client cancelled")),
        };
        match sent {
            Ok(exchange) => self.exchange = Some(exchange),
            Err(error) => self.failed = Some(error),
        }
    }

    async fn try_send(&mut self) -> Result<Exchange> {
        if let Client::Legacy(session) = &self.client {
            self.upstream = self.upstream.serving(session, &self.endpoint.tenant.keeper)?;
        }
        self.upstream.pass()?;
        let live = self.take_place().await?;
        self.passed = true;
        let era = questions::era_for(&self.client, &live).await;
        let session = remote_session(&self.client, &self.upstream, &live, era).await;
        let id = live.link.next_id();
        let child = match &live.link {
            Link::Local(_) => None,
            _ => self.op.ask(self.route.server.shared(), live.about.revision.text()),
        };
        let text = outgoing::text(&Outgoing {
            id,
            frame: &self.frame,
            route: &self.route,
            client: &self.client,
            link: &live.link,
            era,
            trace: child.unwrap_or(self.ctx.trace),
        });
        let request = Request {
            id,
            method: self.route.method.method().into(),
            text,
            name: (self.route.method != Routed::Complete).then(|| self.route.key.clone()),
            headers: self.mirrored.clone(),
            asker: match &self.client {
                Client::Legacy(session) if era == Era::Legacy => Some(session.number),
                _ => None,
            },
            notices: self.frame.params.meta.progress_token.is_some() || self.log_level.is_some(),
            session,
        };
        self.ctx.decided(&mut self.op)?;
        let exchange = live.link.send(request).await?;
        self.live = Some(live);
        Ok(exchange)
    }

    /// A place at the server. Where its process is put to rest or replaced in just this moment, the next one has one.
    async fn take_place(&mut self) -> Result<Arc<Live>> {
        let live = self.upstream.live(self.ctx.deadline).await?;
        match live.place().await {
            Ok(place) => {
                self.place = Some(place);
                Ok(live)
            }
            Err(_) if live.is_over() => {
                let live = self.upstream.live(self.ctx.deadline).await?;
                self.place = Some(live.place().await?);
                Ok(live)
            }
            Err(error) => Err(error),
        }
    }

    /// The next message for the client.
    pub async fn next(&mut self) -> Out {
        loop {
            if !std::mem::replace(&mut self.sent, true) {
                self.send().await;
            }
            let frame = match self.receive().await {
                Ok(frame) => frame,
                Err(error) => return self.fail(error),
            };
            match frame.kind() {
                Kind::Response => {
                    if self.tries_another(&frame) {
                        continue;
                    }
                    if !frame.error.is_some() && frame.raw(frame.result.whole).first() != Some(&b'{') {
                        let text = "the server answered with a result that is no object";
                        return self.fail(Error::upstream(Code::UpstreamProtocol, text));
                    }
                    // Over HTTP it need not have one to get here.
                    if !frame.error.is_some() && !frame.id.is_some() {
                        let text = "the server answered without the id of the request";
                        return self.fail(Error::upstream(Code::UpstreamProtocol, text));
                    }
                    return self.finish(&frame);
                }
                Kind::Notification => {
                    if let Some(text) = self.notification(&frame) {
                        return Out::Message(text);
                    }
                }
                Kind::Request => {
                    if let Some(text) = Box::pin(self.question(&frame)).await {
                        return Out::Message(text);
                    }
                }
                Kind::Nothing => {}
            }
        }
    }

    async fn receive(&mut self) -> Result<Frame> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(exchange) = &mut self.exchange else {
            return Err(Error::hub(Code::Internal, "the call is over"));
        };
        tokio::select! {
            biased;
            next = tokio::time::timeout_at(self.ctx.deadline, exchange.next()) => next.unwrap_or_else(|_| Err(too_slow(&self.upstream))),
            () = cancelled(self.ctx.cancel.as_ref()) => Err(Error::caller(Code::Cancelled, "the client cancelled")),
        }
    }

    /// A resource that nobody lists may belong to several servers: where one does not know it, the next is asked.
    fn tries_another(&mut self, frame: &Frame) -> bool {
        if !frame.error.is_some() || self.route.others.is_empty() {
            return false;
        }
        let next = self.route.others.remove(0);
        let Ok(upstream) = self.endpoint.tenant.upstream(&next.server) else { return false };
        // The one before has answered, though not what was wanted.
        self.upstream.note(true);
        self.upstream = upstream.clone();
        self.route.server = next.server;
        self.route.key = next.key;
        self.exchange = None;
        self.place = None;
        (self.sent, self.passed) = (false, false);
        self.op.note(|record| record.server = Some(self.route.server.shared()));
        true
    }

    /// The error that ended it, where it got no answer.
    pub fn take_error(&mut self) -> Option<Error> {
        self.ended_by.take()
    }

    fn fail(&mut self, error: Error) -> Out {
        self.exchange = None;
        // A server that was not asked, or whose caller has gone, has not failed.
        let silent =
            matches!(error.code(), Code::UpstreamTimeout | Code::UpstreamDown | Code::UpstreamProtocol);
        if std::mem::take(&mut self.passed) && silent {
            self.upstream.note(false);
        }
        self.op.fail(&error);
        let last = self.failure(&error);
        self.ended_by = Some(error);
        last
    }

    fn failure(&self, error: &Error) -> Out {
        let id = self.frame.raw(self.frame.id);
        let ours = error.origin() != Origin::Caller;
        if self.route.method == Routed::ToolsCall && ours {
            return Out::Last {
                text: wire::tool_failure(&id, error.public(), self.client.is_modern()),
                http: 200,
            };
        }
        let refusal = Refusal::from(error);
        Out::Last { text: refusal.render(&id, !self.client.is_modern()), http: refusal.http }
    }

    fn finish(&mut self, frame: &Frame) -> Out {
        self.exchange = None;
        self.upstream.note(true);
        let answer =
            Answer { frame, client: &self.client, route: &self.route, id: self.frame.share(self.frame.id) };
        let (text, http) = match frame.error.is_some() {
            true => incoming::error(&answer),
            false => (incoming::result(&answer, self.wrapping.as_deref()), 200),
        };
        let (said, outcome, detail) = if frame.error.is_some() {
            let detail = String::from_utf8_lossy(&frame.raw(frame.error)).chars().take(DETAIL_MAX).collect();
            (frame.error, Outcome::Error(Code::UpstreamError, Origin::Upstream), Some(detail))
        } else if *frame.raw(frame.result.is_error) == *b"true" {
            (frame.result.whole, Outcome::ToolError, None)
        } else {
            (frame.result.whole, Outcome::Ok, None)
        };
        let room = self.ctx.texts();
        let noted = self.salt.map(|salt| Said::new(&frame.parts, said, &salt, room));
        self.op.end_with(outcome, |record| {
            record.bytes_out = text.len() as u64;
            record.detail = detail;
            if let Some(noted) = noted {
                noted.note(record);
            }
        });
        Out::Last { text, http }
    }

    /// What of a notification reaches the client.
    fn notification(&self, frame: &Frame) -> Option<Parts> {
        let method = frame.method_name();
        if let Some(event) = Event::from_notice(frame) {
            if let Some(live) = &self.live {
                live.announce(event);
            }
            return None;
        }
        match &*method {
            "notifications/progress" => {
                let token = self.frame.params.meta.progress_token;
                if !token.is_some() {
                    return None;
                }
                let mut edits = Edits::new();
                edits.set(frame.params.progress_token, self.frame.share(token));
                Some(edits.apply(&frame.parts))
            }
            "notifications/message" => {
                let wanted = self.log_level?;
                let level = frame.text(frame.params.level).and_then(|text| Level::parse(&text))?;
                (level >= wanted).then(|| frame.parts.clone())
            }
            "notifications/elicitation/complete" if !self.client.is_modern() => Some(frame.parts.clone()),
            _ => None,
        }
    }

    /// A question of the server, as the client gets it; where it cannot be asked, the server is told.
    async fn question(&mut self, frame: &Frame) -> Option<Parts> {
        let asked = self.exchange.as_ref()?.asked(frame)?;
        questions::pass_on(&self.client, asked, frame).await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Client::Legacy(session) = &self.client {
            session.finish(&self.frame.raw(self.frame.id));
        }
    }
}

/// The session at a legacy HTTP server: the client's own, or the hub's for modern clients, which have none.
async fn remote_session(
    client: &Client,
    upstream: &Arc<Upstream>,
    live: &Arc<Live>,
    era: Era,
) -> Option<Arc<RemoteSession>> {
    let Link::Http(remote) = &live.link else { return None };
    match (client, era) {
        (_, Era::Modern) => None,
        (Client::Modern, Era::Legacy) => remote.control(),
        (Client::Legacy(session), Era::Legacy) => {
            Some(questions::own_session(session, upstream, live, remote).await)
        }
    }
}

/// Waits until somebody cancels; for ever where nobody can.
async fn cancelled(cancel: Option<&CancellationToken>) {
    match cancel {
        Some(cancel) => cancel.cancelled().await,
        None => std::future::pending().await,
    }
}

fn too_slow(upstream: &Upstream) -> Error {
    let limit = upstream.def.call_limit().as_secs();
    let text = format!("server {:?} did not answer within {limit} s (call_timeout)", upstream.name.as_str());
    Error::upstream(Code::UpstreamTimeout, text)
}

#[cfg(test)]
mod tests;
