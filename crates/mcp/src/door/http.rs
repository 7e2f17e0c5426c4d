//! Streamable HTTP: one URL for both eras. Which one a request belongs to is read from the request alone
//! (ARCHITECTURE.md, doors).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use http_body::{Body, Frame as BodyFrame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Interval};

use crate::door::duplex::BATCH_MAX;
use crate::door::{Reply, legacy, modern};
use crate::era::{Era, Revision};
use crate::frame::{Frame, Kind, Parts, Reader, batch};
use crate::hub::{Endpoint, Hub};
use crate::session::Session;
use crate::sse;
use crate::upstream::http::{PROTOCOL_VERSION, Payload, SESSION_ID};
use crate::wire::{self, Refusal};

/// How often a quiet stream shows that it is alive. Proxies close after 30 to 60 s of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Methods of this door.
const METHODS: &str = "POST, GET, DELETE";

/// The body of an answer.
pub enum Answer {
    /// Known in full.
    Whole(Payload),
    /// Events as they come.
    Events(Events),
}

/// A stream of events.
pub struct Events {
    messages: BoxStream<'static, Parts>,
    parts: VecDeque<Bytes>,
    alive: Interval,
    run_on: bool,
}

impl Events {
    /// Messages as events, after a first one that is written already. They run on where the client's leaving
    /// ends nothing.
    pub(super) fn new(messages: BoxStream<'static, Parts>, first: Option<Bytes>, run_on: bool) -> Self {
        let alive = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        Self { messages, parts: first.into_iter().collect(), alive, run_on }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Answer::Whole(payload) => Pin::new(payload).poll_frame(cx),
            Answer::Events(events) => events.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(payload) => payload.is_end_stream(),
            Answer::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(payload) => payload.size_hint(),
            Answer::Events(_) => SizeHint::default(),
        }
    }
}

impl Events {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, std::convert::Infallible>>> {
        if self.parts.is_empty() {
            match self.messages.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => {
                    self.parts = sse::event(message).into_vec().into();
                    self.alive.reset();
                }
                Poll::Ready(None) => {
                    self.run_on = false;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    return self.alive.poll_tick(cx).map(|_| Some(Ok(BodyFrame::data(sse::KEEP_ALIVE))));
                }
            }
        }
        Poll::Ready(self.parts.pop_front().map(|part| Ok(BodyFrame::data(part))))
    }
}

impl Drop for Events {
    /// In the legacy era a client that loses its stream has not cancelled: the call goes on to its end.
    fn drop(&mut self) {
        if self.run_on {
            let mut rest = std::mem::replace(&mut self.messages, futures_util::stream::empty().boxed());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { while rest.next().await.is_some() {} });
            }
        }
    }
}

/// Answers one HTTP request at an endpoint.
pub async fn serve<B>(hub: &Arc<Hub>, endpoint: Endpoint, request: Request<B>) -> Response<Answer>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let (head, body) = request.into_parts();
    match head.method {
        Method::POST => match read(body, &head.headers, hub.settings.body_max).await {
            Ok(got) => post(hub, endpoint, head.headers, got).await,
            Err(refusal) => whole(Reply::refused(&refusal, b"", true)),
        },
        Method::GET => get(hub, endpoint, &head.headers),
        Method::DELETE => Box::pin(delete(hub, &endpoint, &head.headers)).await,
        _ => not_allowed(METHODS),
    }
}

async fn read<B>(mut body: B, headers: &HeaderMap, limit: usize) -> Result<Got, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let too_large = || {
        let mut refusal = Refusal::new(
            wire::INVALID_REQUEST,
            format!("the body is larger than {limit} bytes (gateway.max_body_bytes)"),
        );
        refusal.http = 413;
        refusal
    };
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("application/json");
    if !kind.trim_start().get(..16).unwrap_or(kind).eq_ignore_ascii_case("application/json") {
        let mut refusal = Refusal::new(wire::INVALID_REQUEST, "Content-Type must be application/json");
        refusal.http = 415;
        return Err(refusal);
    }
    let expected = body.size_hint().exact().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    if expected > limit {
        return Err(too_large());
    }
    let mut reader = Reader::default();
    let (mut size, mut fault) = (0, None);
    let mut batch = None;
    while let Some(frame) = body.frame().await {
        let broken = |cause: B::Error| {
            Refusal::new(wire::INVALID_REQUEST, format!("the body broke off: {cause}")).bad_request()
        };
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        size += data.len();
        if size > limit {
            return Err(too_large());
        }
        let ended = body.is_end_stream();
        if reader.is_empty() && batch.is_none() {
            match data.iter().find(|b| !b.is_ascii_whitespace()) {
                Some(b'[') => batch = Some(BytesMut::new()),
                Some(_) => {}
                None => continue,
            }
        }
        match &mut batch {
            Some(batch) => batch.extend_from_slice(&data),
            // After a fault the rest is read all the same: a client that is still sending would not see the answer.
            None if fault.is_none() => fault = reader.feed(data).err(),
            None => {}
        }
        if ended {
            break;
        }
    }
    if let Some(batch) = batch {
        return Ok(Got::Batch(batch.freeze()));
    }
    fault.map_or_else(|| reader.finish(), Err).map(Got::Message).map_err(malformed)
}

/// What a body holds.
enum Got {
    Message(Frame),
    Batch(Bytes),
}

async fn post(hub: &Arc<Hub>, endpoint: Endpoint, headers: HeaderMap, got: Got) -> Response<Answer> {
    let frame = match got {
        Got::Message(frame) => frame,
        Got::Batch(text) => {
            return match batch(&text, BATCH_MAX) {
                Ok(items) => many(hub, endpoint, &headers, items).await,
                Err(fault) => whole(Reply::refused(&malformed(fault), b"", true)),
            };
        }
    };
    if frame.is_modern() || says_modern(&headers) {
        let reply = modern::answer(hub, &endpoint, frame, Some(&headers)).await;
        return respond(reply, headers, false).await;
    }
    match session(hub, &endpoint, &headers) {
        Some(Ok(session)) => {
            let hub = hub.clone();
            let above = traceparent(&headers).map(str::to_owned);
            let work =
                async move { legacy::answer(&hub, &endpoint, &session, frame, above.as_deref()).await };
            respond(RunOn(Some(Box::pin(work))).await, headers, true).await
        }
        Some(Err(refusal)) => whole(Reply::refused(&refusal, &frame.raw(frame.id), true)),
        None if frame.method_name() == "initialize" => Box::pin(initialize(hub, &endpoint, &frame)).await,
        None => {
            let text = "session required: initialize first and send Mcp-Session-Id, or send the modern _meta with every request";
            whole(Reply::refused(&Refusal::new(wire::INVALID_REQUEST, text), &frame.raw(frame.id), true))
        }
    }
}

fn malformed(fault: crate::scan::Fault) -> Refusal {
    Refusal::new(wire::PARSE_ERROR, format!("the body is no JSON-RPC message: {fault}"))
}

/// Whether the version header names the modern revision, or one that nobody knows: then the modern error
/// for it is the helpful one.
fn says_modern(headers: &HeaderMap) -> bool {
    let version = headers.get(PROTOCOL_VERSION).and_then(|v| v.to_str().ok());
    version.is_some_and(|text| Revision::parse(text).is_none_or(|revision| revision.era() == Era::Modern))
}

/// The place in a trace that a request comes from, as its header says; `_meta` is nearer to the message.
pub fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// The session that a request names.
fn session(hub: &Hub, endpoint: &Endpoint, headers: &HeaderMap) -> Option<Result<Arc<Session>, Refusal>> {
    let id = headers.get(&SESSION_ID)?;
    let tenant = &endpoint.tenant.view.id;
    let found = hub.sessions.get(id.to_str().unwrap_or_default(), tenant, &endpoint.scope);
    Some(found.map_err(|error| Refusal::from(&error)))
}

async fn initialize(hub: &Arc<Hub>, endpoint: &Endpoint, frame: &Frame) -> Response<Answer> {
    match legacy::initialize(hub, endpoint, frame).await {
        Ok((text, session)) => {
            let mut response = whole(Reply::ok(text));
            if let Ok(id) = HeaderValue::from_str(&session.id) {
                response.headers_mut().insert(SESSION_ID, id);
            }
            response
        }
        Err(refusal) => whole(Reply::refused(&refusal, &frame.raw(frame.id), true)),
    }
}

/// A batch: every answer in one array.
async fn many(
    hub: &Arc<Hub>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    items: Vec<Bytes>,
) -> Response<Answer> {
    let refuse =
        |text: &'static str| whole(Reply::refused(&Refusal::new(wire::INVALID_REQUEST, text), b"", true));
    let session = match session(hub, &endpoint, headers) {
        Some(Ok(session)) if session.handshake.revision == Revision::V2025_03_26 => session,
        Some(Err(refusal)) => return whole(Reply::refused(&refusal, b"", true)),
        _ => return refuse("batches belong to sessions of revision 2025-03-26 only"),
    };
    let answers = items.into_iter().map(|item| async {
        let reply = match Frame::parse(item) {
            Ok(frame) => legacy::answer(hub, &endpoint, &session, frame, traceparent(headers)).await,
            Err(fault) => Reply::refused(&malformed(fault), b"", true),
        };
        let mut messages: Vec<Parts> = reply.messages().collect().await;
        messages.pop()
    });
    let answers = futures_util::future::join_all(answers).await;
    let mut parts = Vec::new();
    for answer in answers.into_iter().flatten() {
        parts.push(Bytes::from_static(if parts.is_empty() { b"[" } else { b"," }));
        parts.extend(answer.into_vec());
    }
    if parts.is_empty() {
        return whole(Reply::Accepted);
    }
    parts.push(Bytes::from_static(b"]"));
    whole(Reply::ok(Parts::many(parts)))
}

fn get(hub: &Arc<Hub>, endpoint: Endpoint, headers: &HeaderMap) -> Response<Answer> {
    if !accepts(headers, "text/event-stream") {
        return not_allowed(METHODS);
    }
    match session(hub, &endpoint, headers) {
        Some(Ok(session)) => events(legacy::stream(hub, endpoint, session), false),
        Some(Err(refusal)) => whole(Reply::refused(&refusal, b"", true)),
        None => not_allowed(METHODS),
    }
}

async fn delete(hub: &Hub, endpoint: &Endpoint, headers: &HeaderMap) -> Response<Answer> {
    match session(hub, endpoint, headers) {
        Some(Ok(session)) => {
            hub.end_session(&session.id).await;
            empty(StatusCode::OK)
        }
        Some(Err(refusal)) => whole(Reply::refused(&refusal, b"", true)),
        None => not_allowed(METHODS),
    }
}

fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).peekable();
    let (family, _) = kind.split_once('/').unwrap_or_default();
    values.peek().is_none()
        || values.flat_map(|v| v.split(',')).any(|part| {
            let part = part.split(';').next().unwrap_or_default().trim();
            part == kind || part == "*/*" || part.strip_suffix("/*") == Some(family)
        })
}

/// A reply as HTTP. A client that takes no event stream gets the last message only. The request's headers
/// serve for the answer once they are read: their table was sized for the next request of the connection.
async fn respond(reply: Reply, headers: HeaderMap, run_on: bool) -> Response<Answer> {
    match reply {
        Reply::Stream(messages) if accepts(&headers, "text/event-stream") => events(messages, run_on),
        Reply::Stream(mut messages) => {
            let mut last = None;
            while let Some(message) = messages.next().await {
                let asks =
                    Frame::parse(message.clone().whole()).is_ok_and(|frame| frame.kind() == Kind::Request);
                if !asks {
                    last = Some(message);
                }
            }
            last.map_or_else(|| empty(StatusCode::ACCEPTED), |text| whole(Reply::ok(text)))
        }
        reply => whole_in(headers, reply),
    }
}

fn whole(reply: Reply) -> Response<Answer> {
    whole_in(HeaderMap::new(), reply)
}

fn whole_in(mut headers: HeaderMap, reply: Reply) -> Response<Answer> {
    let Reply::Whole { text, http, retry_after } = reply else { return empty(StatusCode::ACCEPTED) };
    let mut response = Response::new(Answer::Whole(text.into()));
    *response.status_mut() = StatusCode::from_u16(http).unwrap_or(StatusCode::OK);
    headers.clear();
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn events(messages: BoxStream<'static, Parts>, run_on: bool) -> Response<Answer> {
    event_stream(Events::new(messages, None, run_on))
}

pub(super) fn event_stream(events: Events) -> Response<Answer> {
    let mut response = Response::new(Answer::Events(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Payload::default()));
    *response.status_mut() = status;
    response
}

/// Refuses a method; these are allowed.
pub fn not_allowed(allowed: &'static str) -> Response<Answer> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Work that goes on when the client that waits for it leaves: in the legacy era a lost connection is no
/// cancellation (specification 2025-11-25, transports).
struct RunOn<F: Future + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future + Send> Future for RunOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let done = work.as_mut().poll(cx);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }
}

impl<F: Future + Send + 'static> Drop for RunOn<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}
