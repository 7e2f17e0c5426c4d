//! `puerto stdio`: what a client starts as a command. It joins the hub that runs, so that all clients share
//! its servers; where none runs it is a hub by itself.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use puerto_core::def::{HubDef, LogLevel};
use puerto_core::{Code, Error, Result};
use puerto_mcp::frame::{Frame, Kind, Parts};
use puerto_mcp::headers::encode;
use puerto_mcp::sse::{Decoder, Piece, TooLarge, one_line};
use puerto_mcp::upstream::http::{MCP_METHOD, MCP_NAME, PROTOCOL_VERSION, Payload, SESSION_ID, path_of};
use puerto_mcp::upstream::pool::{Connector, Pool, Reading};
use puerto_mcp::wire::{INTERNAL_ERROR, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::client::Client;
use super::{failed, start_logging};
use crate::cli::Stdio;
use crate::compose;

/// Time to find out whether a hub runs. It is on this machine, so it answers at once or not at all.
const LOOK: Duration = Duration::from_millis(500);
/// Messages that may wait for the client to read them.
const OUT_QUEUE: usize = 256;

/// Runs the command.
pub(crate) async fn run(args: &Stdio) -> ExitCode {
    let (mut def, source) = match super::load(&args.config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // Standard error of a command is shown to nobody or mixed into a client's own log.
    def.logging.level = def.logging.level.max(LogLevel::Warn);
    if source == super::BUILT_IN {
        // Clients start commands in `/` or wherever they please: nothing is left behind there.
        def.store.url = puerto_core::Secret::new("sqlite::memory:");
    }
    start_logging(&def.logging);
    let base = format!("http://{}:{}", def.gateway.host, def.gateway.port);
    let served = if !args.alone && hub_runs(&base).await {
        join(&base, args, def.gateway.max_body_bytes).await
    } else {
        by_itself(&def, args).await
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Whether a hub answers at an address.
pub(super) async fn hub_runs(base: &str) -> bool {
    let found = tokio::time::timeout(LOOK, async { Client::new(base).get("/").await }).await;
    matches!(found, Ok(Ok(about)) if about["name"] == "puerto")
}

async fn by_itself(def: &HubDef, args: &Stdio) -> Result<()> {
    let mut told = super::up::Stop::heard()?;
    let works = compose::start(def, &super::env).await?;
    let endpoint = works.hub.endpoint(Some(&args.tenant), args.server.as_deref(), args.profile.as_deref())?;
    let serving =
        puerto_mcp::door::stdio::serve(works.hub.clone(), endpoint, tokio::io::stdin(), tokio::io::stdout());
    tokio::select! {
        () = serving => {}
        () = told.told() => {}
    }
    works.stop().await;
    Ok(())
}

/// One client, carried to a running hub.
struct Bridge {
    pool: Arc<Pool>,
    path: Uri,
    limit: usize,
    out: mpsc::Sender<Bytes>,
    session: Mutex<Option<HeaderValue>>,
    version: Mutex<Option<HeaderValue>>,
    running: Mutex<HashMap<Bytes, AbortHandle>>,
}

async fn join(base: &str, args: &Stdio, limit: usize) -> Result<()> {
    let server = args.server.as_ref().map(|server| format!("/{server}")).unwrap_or_default();
    let profile = args.profile.as_ref().map(|profile| format!("?profile={profile}")).unwrap_or_default();
    let url: Uri = format!("{base}/mcp/{}{server}{profile}", args.tenant)
        .parse()
        .map_err(|_| Error::caller(Code::BadRequest, "tenant, server or profile cannot stand in a URL"))?;
    let mut told = super::up::Stop::heard()?;
    let (out, mut lines) = mpsc::channel::<Bytes>(OUT_QUEUE);
    let bridge = Arc::new(Bridge {
        pool: Pool::new(Connector::new(), &url),
        path: path_of(&url),
        limit,
        out,
        session: Mutex::default(),
        version: Mutex::default(),
        running: Mutex::default(),
    });
    let writer = tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(line) = lines.recv().await {
            if stdout.write_all(&line).await.is_err() || stdout.flush().await.is_err() {
                return;
            }
        }
    });
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = read(&bridge, &mut tasks) => {}
        () = told.told() => {}
    }
    bridge.end().await;
    tasks.shutdown().await;
    drop(bridge);
    let _ = writer.await;
    Ok(())
}

async fn read(bridge: &Arc<Bridge>, tasks: &mut JoinSet<()>) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = BytesMut::new();
    let mut asked = JoinSet::new();
    loop {
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line = buffer.split_to(end + 1).freeze();
            let line = line.slice_ref(line.trim_ascii());
            if !line.is_empty() {
                bridge.take(line, &mut asked, tasks).await;
            }
        }
        while asked.try_join_next().is_some() {}
        let too_long = buffer.len() > bridge.limit;
        if too_long || !matches!(stdin.read_buf(&mut buffer).await, Ok(1..)) {
            break;
        }
    }
    // What was asked before the input ended is still answered.
    while asked.join_next().await.is_some() {}
}

impl Bridge {
    async fn take(self: &Arc<Self>, line: Bytes, asked: &mut JoinSet<()>, streams: &mut JoinSet<()>) {
        let Ok(frame) = Frame::parse(line.clone()) else {
            // The hub says what is wrong with it.
            return self.carry(line, HeaderMap::new(), Bytes::new()).await;
        };
        let method = frame.method_name().into_owned();
        let modern_cancel = method == "notifications/cancelled" && self.session().is_none();
        if modern_cancel {
            let id = frame.share(frame.params.request_id);
            if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
                running.abort();
            }
            return;
        }
        let headers = self.headers(&frame, &method);
        let id = frame.share(frame.id);
        if matches!(&*method, "initialize" | "notifications/initialized") || frame.kind() != Kind::Request {
            self.carry(line, headers, id).await;
            if method == "notifications/initialized" && self.session().is_some() {
                let this = self.clone();
                streams.spawn(async move { this.listen().await });
            }
            return;
        }
        let this = self.clone();
        let kept = id.clone();
        let handle = asked.spawn(async move {
            this.carry(line, headers, id.clone()).await;
            this.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(kept, handle);
    }

    fn session(&self) -> Option<HeaderValue> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The headers that Streamable HTTP wants beside the message.
    fn headers(&self, frame: &Frame, method: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: http::HeaderName, value: Option<HeaderValue>| {
            value.map(|value| headers.insert(name, value))
        };
        if frame.is_modern() {
            let text = |text: &str| HeaderValue::from_str(&encode(text)).ok();
            put(PROTOCOL_VERSION, frame.text(frame.params.meta.protocol_version).and_then(|v| text(&v)));
            put(MCP_METHOD, text(method));
            let named = if frame.params.name.is_some() { frame.params.name } else { frame.params.uri };
            put(MCP_NAME, frame.text(named).and_then(|name| text(&name)));
        } else {
            put(SESSION_ID, self.session());
            put(PROTOCOL_VERSION, self.version.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        headers
    }

    /// Carries one message over and every message that comes back.
    async fn carry(&self, line: Bytes, headers: HeaderMap, id: Bytes) {
        if let Err(error) = self.try_carry(line, headers).await
            && !id.is_empty()
        {
            let refusal = Refusal::new(
                INTERNAL_ERROR,
                format!("the running hub could not be reached: {}", error.chain()),
            );
            self.send(refusal.render(&id, false)).await;
        }
    }

    async fn try_carry(&self, line: Bytes, headers: HeaderMap) -> Result<()> {
        let response = self.request(Method::POST, headers, line).await?;
        if let Some(id) = response.headers().get(SESSION_ID) {
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.clone());
        }
        self.messages(response).await
    }

    async fn request(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Reading>> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let mut request = Request::new(Payload::from(Parts::one(body)));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        self.pool.send(request).await.map_err(|e| Error::upstream(Code::Unavailable, "no answer").inside(e))
    }

    async fn messages(&self, response: Response<Reading>) -> Result<()> {
        let broke = |e: hyper::Error| Error::upstream(Code::Unavailable, "the answer broke off").inside(e);
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let mut body = response.into_body();
        if !kind.starts_with("text/event-stream") {
            let whole = body.collect().await.map_err(broke)?.to_bytes();
            if kind.starts_with("application/json") && !whole.is_empty() {
                self.note_version(&whole);
                self.send(Parts::one(whole)).await;
            }
            return Ok(());
        }
        let mut events = Decoder::new(self.limit);
        let mut message = Parts::default();
        let large = |e: TooLarge| Error::upstream(Code::TooLarge, e.to_string());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(broke)?.into_data() {
                events.feed(data);
            }
            while let Some(piece) = events.piece().map_err(large)? {
                match piece {
                    Piece::Data(data) => message.push(data),
                    Piece::End => self.send(std::mem::take(&mut message)).await,
                }
            }
        }
        Ok(())
    }

    /// The revision that the handshake settles goes with every later message.
    fn note_version(&self, whole: &[u8]) {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if version.is_none() && self.session().is_some() {
            let answer: serde_json::Value = serde_json::from_slice(whole).unwrap_or_default();
            *version =
                answer["result"]["protocolVersion"].as_str().and_then(|v| HeaderValue::from_str(v).ok());
        }
    }

    /// The session's own stream.
    async fn listen(&self) {
        let mut headers = HeaderMap::new();
        self.session().map(|id| headers.insert(SESSION_ID, id));
        if let Ok(response) = self.request(Method::GET, headers, Bytes::new()).await
            && let Err(error) = self.messages(response).await
        {
            tracing::warn!(error = %error.chain(), "the hub's own stream ended");
        }
    }

    async fn end(&self) {
        if let Some(id) = self.session() {
            let mut headers = HeaderMap::new();
            headers.insert(SESSION_ID, id);
            let _ = tokio::time::timeout(LOOK, self.request(Method::DELETE, headers, Bytes::new())).await;
        }
    }

    async fn send(&self, message: Parts) {
        let mut line = BytesMut::from(&one_line(message).whole()[..]);
        line.extend_from_slice(b"\n");
        let _ = self.out.send(line.freeze()).await;
    }
}
