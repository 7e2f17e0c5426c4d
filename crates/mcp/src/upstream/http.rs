//! A Streamable HTTP server, either era, over one pooled client. Headers are built here and nothing of the
//! caller's is copied: no credential, cookie or session of one side ever reaches the other.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::TryFutureExt;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use http_body::{Body, Frame as BodyFrame, SizeHint};
use http_body_util::BodyExt;
use puerto_core::{Code, Error, Result};
use tokio::sync::mpsc;

use crate::era::{Era, Revision};
use crate::frame::{Frame, Kind, Parts, Reader};
use crate::headers::encode;
use crate::scan::Fault;
use crate::sse::{Decoder, Piece};
use crate::upstream::Event;
use crate::upstream::link::{CLIENT_INFO, Link, OWN_CAPABILITIES, Request, closed};
use crate::upstream::pool::{Connector, Failure, Pool, Reading};
use crate::upstream::watch::{AGAIN, AGAIN_MAX};

/// Header that names a legacy session.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Header that says where a stream goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Header that names the revision.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Header that mirrors the method.
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Header that mirrors the name or URI.
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A body in parts.
#[derive(Debug, Default)]
pub struct Payload {
    next: Option<Bytes>,
    rest: std::vec::IntoIter<Bytes>,
    left: u64,
    /// Where one comes from whose length is not known.
    more: Option<mpsc::Receiver<Bytes>>,
}

impl Payload {
    /// A body that comes piece by piece and ends when nobody holds the other end any more.
    pub fn streamed(from: mpsc::Receiver<Bytes>) -> Self {
        Self { more: Some(from), ..Self::default() }
    }
}

impl From<Parts> for Payload {
    fn from(parts: Parts) -> Self {
        let left = parts.len() as u64;
        let (next, rest) = parts.split_first();
        Self { next, rest, left, more: None }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Self::Error>>> {
        if let Some(more) = &mut self.more {
            return more.poll_recv(cx).map(|piece| piece.map(|piece| Ok(BodyFrame::data(piece))));
        }
        let rest = self.rest.next();
        let part = std::mem::replace(&mut self.next, rest);
        self.left -= part.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(part.map(|part| Ok(BodyFrame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.more.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.more.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.left) }
    }
}

/// One HTTP server.
pub struct Remote {
    pool: Arc<Pool>,
    path: Uri,
    headers: HeaderMap,
    /// The same with those of the modern era, which are filled in for each request, see [`filled`].
    modern: HeaderMap,
    /// The same with those of a session.
    session: HeaderMap,
    limit: usize,
    events: mpsc::Sender<Event>,
    next: AtomicU64,
    era: RwLock<Era>,
    /// Whether a modern server makes the legacy handshake too; found out when a legacy client first calls.
    dual: tokio::sync::OnceCell<bool>,
    control: RwLock<Option<Arc<RemoteSession>>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remote({:?}{})", self.pool, self.path)
    }
}

/// A session at a legacy server. It heals: when the server has forgotten it, it is opened anew.
#[derive(Debug)]
pub struct RemoteSession {
    /// The client's capabilities that it was opened with, as JSON.
    pub capabilities: String,
    /// The client's name in it, as JSON.
    pub client_info: String,
    state: ArcSwap<SessionState>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct SessionState {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

impl RemoteSession {
    /// One that is not open yet.
    pub fn new(capabilities: String, client_info: String) -> Self {
        Self { capabilities, client_info, state: ArcSwap::default(), opening: tokio::sync::Mutex::default() }
    }

    /// Takes over what the handshake settled.
    pub fn opened(&self, id: Option<HeaderValue>, revision: Revision) {
        // Revisions before 2025-06-18 know no version header, and ignore it.
        let version = Some(HeaderValue::from_static(revision.text()));
        self.state.store(Arc::new(SessionState { id, version }));
    }

    /// Its id at the server, where it has one.
    pub fn id(&self) -> Option<HeaderValue> {
        self.state.load().id.clone()
    }

    /// Whether a handshake has been made.
    pub fn is_open(&self) -> bool {
        self.state.load().version.is_some()
    }
}

impl Remote {
    /// A server at this address with these headers on every request.
    pub fn new(
        connector: Connector,
        uri: &Uri,
        extra: HeaderMap,
        limit: usize,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let pool = Pool::new(connector, uri);
        // Seven at most come with each request.
        let mut headers = HeaderMap::with_capacity(extra.len() + 7);
        headers.extend(extra);
        headers.entry(HOST).or_insert_with(|| pool.host());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let (mut modern, mut session) = (headers.clone(), headers.clone());
        modern.insert(PROTOCOL_VERSION, HeaderValue::from_static(Revision::MODERN.text()));
        for name in [MCP_METHOD, MCP_NAME, CONTENT_LENGTH] {
            modern.insert(name, HeaderValue::from_static(""));
        }
        for name in [PROTOCOL_VERSION, SESSION_ID, CONTENT_LENGTH] {
            session.insert(name, HeaderValue::from_static(""));
        }
        Self {
            modern,
            session,
            pool,
            path: path_of(uri),
            headers,
            limit,
            events,
            next: AtomicU64::new(1),
            era: RwLock::new(Era::Modern),
            dual: tokio::sync::OnceCell::new(),
            control: RwLock::default(),
        }
    }

    /// An id that no other request to this server has.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The session in which the hub asks on its own account.
    pub fn control(&self) -> Option<Arc<RemoteSession>> {
        self.control.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Settles the era, and the hub's own session where the era has sessions.
    pub fn settle(&self, era: Era, control: Option<Arc<RemoteSession>>) {
        *self.era.write().unwrap_or_else(std::sync::PoisonError::into_inner) = era;
        *self.control.write().unwrap_or_else(std::sync::PoisonError::into_inner) = control;
    }

    /// Whether the server speaks the legacy era too: between equal eras everything passes, questions
    /// included, so a legacy client is better served in its own.
    pub async fn speaks_legacy(self: &Arc<Self>) -> bool {
        if self.era() == Era::Legacy {
            return true;
        }
        // Boxed, since it happens once and every call would carry its size.
        *self.dual.get_or_init(|| Box::pin(self.makes_the_handshake())).await
    }

    async fn makes_the_handshake(self: &Arc<Self>) -> bool {
        let Ok((frame, id)) = self.initialize(Revision::LATEST_LEGACY, OWN_CAPABILITIES, CLIENT_INFO).await
        else {
            return false;
        };
        let Ok(about) = super::handshake::initialized(&frame) else { return false };
        let session = RemoteSession::new(OWN_CAPABILITIES.into(), CLIENT_INFO.into());
        session.opened(id, about.revision);
        self.end(&session).await;
        true
    }

    /// Never speak legacy with this server, whatever it could.
    pub fn only_modern(&self) {
        // Set before anybody could ask, so it cannot have been set otherwise.
        let _ = self.dual.set(false);
    }

    fn era(&self) -> Era {
        *self.era.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sends a request and reads the head of its answer. A forgotten session is opened again, once: with
    /// 404 the server has not looked at the request, so sending it again is safe.
    pub async fn send(self: &Arc<Self>, request: Request) -> Result<Answering> {
        let Some(session) = request.session.clone() else {
            let headers = match self.era() {
                Era::Legacy => self.headers.clone(),
                Era::Modern => self.modern_headers(&request)?,
            };
            let response = self.post(headers, request.text).await?;
            return Answering::new(self.clone(), request.id, None, response);
        };
        let (headers, used) = self.session_headers(&session).await?;
        let mut response = self.post(headers, request.text.clone()).await?;
        if response.status() == StatusCode::NOT_FOUND {
            drop(response);
            response = Box::pin(self.send_anew(&session, &used, request.text)).await?;
        }
        Answering::new(self.clone(), request.id, Some(session), response)
    }

    async fn send_anew(
        self: &Arc<Self>,
        session: &Arc<RemoteSession>,
        used: &SessionState,
        text: Parts,
    ) -> Result<Response<Reading>> {
        self.reopen(session, used.id.as_ref()).await?;
        let (headers, _) = self.session_headers(session).await?;
        self.post(headers, text).await
    }

    fn modern_headers(&self, request: &Request) -> Result<HeaderMap> {
        let mut headers = filled(&self.modern);
        let bad = || Error::caller(Code::InvalidArguments, "a name or argument cannot be sent as a header");
        let method = match &request.method {
            Cow::Borrowed(method) => HeaderValue::from_static(method),
            Cow::Owned(method) => HeaderValue::from_str(method).map_err(|_| bad())?,
        };
        headers.insert(MCP_METHOD, method);
        match &request.name {
            Some(name) => {
                headers.insert(MCP_NAME, HeaderValue::try_from(encode(name)).map_err(|_| bad())?);
            }
            None => drop(headers.remove(MCP_NAME)),
        }
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            headers.insert(name, HeaderValue::from_str(&encode(value)).map_err(|_| bad())?);
        }
        Ok(headers)
    }

    /// Sends a message that wants no answer.
    pub async fn tell(&self, text: Parts, session: Option<&Arc<RemoteSession>>) -> Result<()> {
        let mut headers = self.headers.clone();
        if let Some(session) = session {
            let state = session.state.load();
            put(&mut headers, &SESSION_ID, state.id.as_ref());
            put(&mut headers, &PROTOCOL_VERSION, state.version.as_ref());
        }
        let response = self.post(headers, text).await?;
        if response.status().is_success() { Ok(()) } else { Err(bad_status(response.status())) }
    }

    /// Opens the stream of a legacy session on which the server speaks unasked, or goes on with it after the
    /// event of an id. Nothing where it has none. A forgotten session is opened again, once.
    pub async fn listen(
        self: &Arc<Self>,
        session: &Arc<RemoteSession>,
        last_id: &[u8],
    ) -> Result<Option<Answering>> {
        let (response, used) = self.get(session, last_id).await?;
        let response = match response.status() {
            StatusCode::NOT_FOUND => {
                drop(response);
                self.reopen(session, used.id.as_ref()).await?;
                self.get(session, &[]).await?.0
            }
            _ => response,
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        Answering::new(self.clone(), 0, Some(session.clone()), response).map(Some)
    }

    async fn get(
        self: &Arc<Self>,
        session: &Arc<RemoteSession>,
        last_id: &[u8],
    ) -> Result<(Response<Reading>, Arc<SessionState>)> {
        let (mut headers, used) = self.session_headers(session).await?;
        headers.remove(CONTENT_TYPE);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        // An id that cannot be a header was none of ours to keep.
        if let Some(id) = HeaderValue::from_bytes(last_id).ok().filter(|id| !id.is_empty()) {
            headers.insert(LAST_EVENT_ID, id);
        }
        let response = self.request(Method::GET, headers, Payload::default()).await?;
        Ok((response, used))
    }

    /// Ends a legacy session at the server; it may not allow that, and that is all right.
    pub async fn end(&self, session: &RemoteSession) {
        let state = session.state.load_full();
        if state.id.is_none() {
            return;
        }
        let mut headers = self.headers.clone();
        put(&mut headers, &SESSION_ID, state.id.as_ref());
        put(&mut headers, &PROTOCOL_VERSION, state.version.as_ref());
        let _ = self.request(Method::DELETE, headers, Payload::default()).await;
    }

    /// The headers of a request in a session, and what they say of it.
    async fn session_headers(
        self: &Arc<Self>,
        session: &Arc<RemoteSession>,
    ) -> Result<(HeaderMap, Arc<SessionState>)> {
        if !session.is_open() {
            Box::pin(self.reopen(session, None)).await?;
        }
        let mut headers = filled(&self.session);
        let state = session.state.load_full();
        put(&mut headers, &SESSION_ID, state.id.as_ref());
        put(&mut headers, &PROTOCOL_VERSION, state.version.as_ref());
        Ok((headers, state))
    }

    /// Makes the handshake of a session, unless somebody else has made it meanwhile.
    async fn reopen(
        self: &Arc<Self>,
        session: &Arc<RemoteSession>,
        lost: Option<&HeaderValue>,
    ) -> Result<()> {
        let _alone = session.opening.lock().await;
        if session.is_open() && session.state.load().id.as_ref() != lost {
            return Ok(());
        }
        let (frame, id) =
            self.initialize(Revision::LATEST_LEGACY, &session.capabilities, &session.client_info).await?;
        let revision = super::handshake::initialized(&frame)?.revision;
        session.opened(id, revision);
        self.tell(super::handshake::INITIALIZED.to_owned().into(), Some(session)).await
    }

    /// Sends `initialize`; answers the message and the session's id.
    pub async fn initialize(
        self: &Arc<Self>,
        revision: Revision,
        capabilities: &str,
        client_info: &str,
    ) -> Result<(Frame, Option<HeaderValue>)> {
        let id = self.next_id();
        let text = super::handshake::initialize_text(id, revision, capabilities, client_info);
        let response = self.post(self.headers.clone(), text).await?;
        let session = response.headers().get(SESSION_ID).cloned();
        let mut answer = Answering::new(self.clone(), id, None, response)?;
        loop {
            let frame = answer.next().await?;
            if frame.kind() == Kind::Response {
                return Ok((frame, session));
            }
        }
    }

    fn post(
        &self,
        headers: HeaderMap,
        text: Parts,
    ) -> impl Future<Output = Result<Response<Reading>>> + Send + '_ {
        self.request(Method::POST, headers, text.into())
    }

    fn request(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Payload,
    ) -> impl Future<Output = Result<Response<Reading>>> + Send + '_ {
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        self.pool.send(request).map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Error {
        let text = match failure {
            Failure::Broken(_) => "the connection to the server broke",
            Failure::Connect(_) => {
                // Nobody listens there: the supervision takes over, so that further calls fail at once.
                let _ = self.events.try_send(Event::Closed);
                "could not connect to the server"
            }
        };
        Error::upstream(Code::UpstreamDown, text).inside(failure)
    }
}

/// What of a URL stands in the first line of a request.
pub fn path_of(url: &Uri) -> Uri {
    url.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// A copy of a template, for one request. The template has a `Content-Length` so that the copy has room for
/// the one that hyper adds: growing would move everything.
fn filled(template: &HeaderMap) -> HeaderMap {
    let mut headers = template.clone();
    headers.remove(CONTENT_LENGTH);
    headers
}

fn put(headers: &mut HeaderMap, name: &HeaderName, value: Option<&HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name.clone(), value.clone())),
        None => drop(headers.remove(name)),
    }
}

fn bad_status(status: StatusCode) -> Error {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": it wants credentials; set them under \"headers\" of the server"
        }
        _ => "",
    };
    Error::upstream(Code::UpstreamProtocol, format!("the server answered HTTP {}{hint}", status.as_u16()))
}

/// The answer to a request, as it comes.
#[derive(Debug)]
pub struct Answering {
    remote: Arc<Remote>,
    id: u64,
    session: Option<Arc<RemoteSession>>,
    status: StatusCode,
    body: Option<Reading>,
    events: Option<Box<Decoder>>,
    /// The stream was resumed, and what was read of its message before does not count.
    resumed: bool,
    over: bool,
}

impl Answering {
    fn new(
        remote: Arc<Remote>,
        id: u64,
        session: Option<Arc<RemoteSession>>,
        response: Response<Reading>,
    ) -> Result<Self> {
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if let Some(coding) = head.headers.get(http::header::CONTENT_ENCODING).filter(|c| *c != "identity") {
            let text = format!("the server compressed its answer ({coding:?}) although nobody asked it to");
            return Err(Error::upstream(Code::UpstreamProtocol, text));
        }
        let stream = kind.starts_with("text/event-stream");
        let json = kind.starts_with("application/json");
        let readable = json || (stream && head.status.is_success());
        if !readable {
            if head.status.is_success() {
                let text = format!("the server answered {kind:?} where JSON or an event stream was expected");
                return Err(Error::upstream(Code::UpstreamProtocol, text));
            }
            return Err(bad_status(head.status));
        }
        let events = stream.then(|| Box::new(Decoder::new(remote.limit)));
        Ok(Self {
            remote,
            id,
            session,
            status: head.status,
            body: Some(body),
            events,
            resumed: false,
            over: false,
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The session in which it runs.
    pub fn session(&self) -> Option<&Arc<RemoteSession>> {
        self.session.as_ref()
    }

    /// The link that it runs on.
    pub fn link(&self) -> Link {
        Link::Http(self.remote.clone())
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<Frame> {
        let read = self.message().await;
        if self.events.is_some() {
            let frame = read?;
            // A stream on which the server speaks unasked (id 0) has no answer.
            self.answered(self.id != 0 && frame.kind() == Kind::Response);
            return Ok(frame);
        }
        // One body: it must be the answer, and where HTTP says that something is wrong it must say so too.
        match read {
            Ok(frame)
                if frame.error.is_some() || self.status.is_success() && frame.result.whole.is_some() =>
            {
                self.over = true;
                Ok(frame)
            }
            Ok(_) | Err(_) if !self.status.is_success() => Err(bad_status(self.status)),
            Ok(_) => {
                Err(Error::upstream(Code::UpstreamProtocol, "the server sent a message that is no answer"))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one message, in the pieces that it comes in.
    async fn message(&mut self) -> Result<Frame> {
        let mut reader = Reader::default();
        while let Some(data) = self.data().await? {
            if std::mem::take(&mut self.resumed) {
                reader = Reader::default();
            }
            if reader.len() + data.len() > self.remote.limit {
                return Err(too_large(self.remote.limit));
            }
            reader.feed(data).map_err(malformed)?;
        }
        reader.finish().map_err(malformed)
    }

    /// More of the message under way; nothing at its end.
    async fn data(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(events) = &mut self.events {
                match events.piece().map_err(|e| too_large(self.remote.limit).inside(e))? {
                    Some(Piece::Data(data)) => return Ok(Some(data)),
                    Some(Piece::End) => return Ok(None),
                    None => {}
                }
            }
            let chunk = self.chunk().await;
            match (chunk, &mut self.events) {
                (chunk, None) => return chunk,
                (Ok(Some(chunk)), Some(events)) => events.feed(chunk),
                (Ok(None), Some(_)) => Box::pin(self.resume(closed("before it answered"))).await?,
                (Err(error), Some(_)) => Box::pin(self.resume(error)).await?,
            }
        }
    }

    /// More of the body; nothing at its end.
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(body) = &mut self.body {
            let frame = body.frame().await.transpose();
            let frame = frame.map_err(|cause| closed("in the middle of its answer").inside(cause))?;
            if frame.is_none() || body.is_end_stream() {
                self.body = None;
            }
            if let Some(Ok(data)) = frame.map(BodyFrame::into_data) {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Goes on with a stream that has ended before the answer, where the server has given its events ids: it may
    /// end a stream when it likes, and keeps what follows (specification 2025-11-25, transports). The call's own
    /// deadline bounds how long this goes on.
    async fn resume(&mut self, ended: Error) -> Result<()> {
        let (Some(events), Some(session)) = (&mut self.events, &self.session) else { return Err(ended) };
        if events.last_id().is_empty() || self.id == 0 {
            return Err(ended);
        }
        tokio::time::sleep(events.retry().unwrap_or(AGAIN).min(AGAIN_MAX)).await;
        let (response, _) = self.remote.get(session, events.last_id()).await?;
        if !response.status().is_success() {
            return Err(ended);
        }
        events.restart();
        self.body = Some(response.into_body());
        self.resumed = true;
        Ok(())
    }

    /// Where the stream was when it ended, and how long its server wants us to wait.
    pub fn left_off(&self) -> (Vec<u8>, Option<Duration>) {
        self.events.as_ref().map_or_else(Default::default, |e| (e.last_id().to_vec(), e.retry()))
    }

    /// After the answer nothing follows on a stream but its end, which the next call need not wait for.
    fn answered(&mut self, over: bool) {
        self.over = over;
        if over && let Some(body) = self.body.take() {
            body.run_out();
        }
    }
}

impl Drop for Answering {
    /// On a legacy server closing the stream cancels nothing: it has to be told.
    fn drop(&mut self) {
        let Some(session) = self.session.take().filter(|_| !self.over && self.id != 0) else { return };
        let remote = self.remote.clone();
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{}}}}}"#,
            self.id
        );
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = remote.tell(text.into(), Some(&session)).await;
            });
        }
    }
}

fn malformed(fault: Fault) -> Error {
    Error::upstream(Code::UpstreamProtocol, "the server answered something that is not JSON-RPC")
        .inside(fault)
}

fn too_large(limit: usize) -> Error {
    Error::upstream(Code::UpstreamProtocol, format!("the server's answer is larger than {limit} bytes"))
}

/// Follows a stream on which a server speaks unasked, until it ends; answers where it left off.
pub async fn follow(mut stream: Answering, events: &mpsc::Sender<Event>) -> (Vec<u8>, Option<Duration>) {
    while let Ok(frame) = stream.next().await {
        if frame.kind() == Kind::Request && frame.method_name() == "ping" {
            let _ = stream
                .remote
                .tell(crate::wire::result(&frame.raw(frame.id), ""), stream.session.as_ref())
                .await;
        }
        if let Some(event) = Event::from_notice(&frame)
            && events.send(event).await.is_err()
        {
            break;
        }
    }
    stream.left_off()
}
