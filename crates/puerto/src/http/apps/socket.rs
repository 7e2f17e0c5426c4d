//! The connection that a page works over: a WebSocket with one JSON message a frame, `{type, data, timestamp,
//! message_id}` both ways. Calls run side by side; each is the same call as over REST.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::{HeaderMap, Method, Response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use puerto_core::{Code, Error, RequestId, Result, ServerName, TenantId};
use puerto_mcp::door::http::Answer;
use puerto_mcp::door::websocket::{self, SILENCE};
use puerto_mcp::frame::Parts;
use puerto_mcp::hub::Hub;
use puerto_mcp::operate;
use puerto_mcp::tenant::{Change, Keeper};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::Apps;
use crate::http::rest::START_LIMIT;
use crate::http::tools::{ToolView, tool_named, tools_of};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

/// Calls that one connection may have under way.
const APP_CALLS_MAX: usize = 32;
/// Messages that a page leaves unread; then what it wants next waits.
const APP_QUEUE: usize = 256;
/// Longest wait for a page that reads nothing.
const APP_WRITE: Duration = Duration::from_secs(30);
/// Longest time for a page to read the last messages of its connection.
const APP_LEAVE: Duration = Duration::from_secs(2);

/// A message from a page, as it comes.
#[derive(Debug, Deserialize)]
struct Heard {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    /// Comes back as the `correlation_id` of the answer.
    #[serde(default)]
    message_id: Value,
}

/// What a page says to call a tool.
#[derive(Debug, Deserialize)]
struct Wanted {
    tool_name: String,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
}

/// Reads an object. By itself serde would take a list of the same values too.
fn object<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    match text.trim_ascii_start().first() {
        Some(b'[') => Err(serde::de::Error::custom("a list is no object")),
        _ => serde_json::from_slice(text),
    }
}

/// What a page wants.
#[derive(Debug)]
enum Wish {
    Call { wanted: Wanted, correlation_id: Value },
    State,
    Pong,
}

impl Wish {
    /// Reads a message; where it is none, what to tell the page.
    fn read(text: &[u8]) -> std::result::Result<Self, String> {
        let heard: Heard = object(text).map_err(|cause| {
            format!("a message is a JSON object with \"type\", \"data\" and \"message_id\": {cause}")
        })?;
        match &*heard.kind {
            "tool_call" => {
                let data = heard.data.as_deref().map_or("null", RawValue::get);
                let wanted = object(data.as_bytes()).map_err(|cause| {
                    format!("the data of a tool_call is {{\"tool_name\", \"arguments\"}}: {cause}")
                })?;
                Ok(Self::Call { wanted, correlation_id: heard.message_id })
            }
            "app_ready" => Ok(Self::State),
            "ping" => Ok(Self::Pong),
            other => Err(format!("no message of type {other:?}; there are tool_call, app_ready and ping")),
        }
    }
}

/// A message to a page.
#[derive(Debug, Serialize)]
struct Said<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: T,
    /// Milliseconds since 1970.
    timestamp: u64,
    message_id: String,
}

/// `app_state`.
#[derive(Debug, Serialize)]
struct AppState<'a> {
    app_id: &'a ServerName,
    tenant_id: &'a TenantId,
    available_tools: Vec<ToolView>,
    /// State by server.
    servers_status: BTreeMap<String, &'static str>,
}

/// `tool_result`.
#[derive(Debug, Serialize)]
struct ToolResult {
    tool_name: String,
    result: Box<RawValue>,
    correlation_id: Value,
}

/// `tool_error`.
#[derive(Debug, Serialize)]
struct ToolError {
    tool_name: String,
    error: String,
    correlation_id: Value,
}

/// A connection that a page has asked for and may have.
pub(crate) struct Connection {
    hub: Arc<Hub>,
    app: ServerName,
    tenant: TenantId,
    /// Of the tenant: who hears its changes outlives its configuration.
    keeper: Arc<Keeper>,
    _open: Open,
}

/// One of the open connections, while it lives.
struct Open(Arc<Apps>);

impl Open {
    fn new(apps: Arc<Apps>) -> Self {
        apps.open.fetch_add(1, Ordering::Relaxed);
        Self(apps)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer to a page that wants a connection for an app and a tenant, and the connection.
pub(crate) async fn open(
    hub: &Arc<Hub>,
    apps: &Arc<Apps>,
    (app, tenant): (&str, &str),
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Response<Answer>, Connection)> {
    apps.with(app, |_| Ok(())).await?;
    let app = ServerName::new(app).map_err(|_| Error::not_found("app", app))?;
    let tenant = hub.tenant(tenant)?;
    let answer = websocket::accept(method, headers)?;
    let (hub, keeper) = (hub.clone(), tenant.keeper.clone());
    let tenant = tenant.view.id.clone();
    let connection = Connection { hub, app, tenant, keeper, _open: Open::new(apps.clone()) };
    Ok((answer, connection))
}

impl Connection {
    /// Serves the page until it closes, falls silent or no longer reads, or the hub stops.
    pub(crate) async fn serve(self, io: TokioIo<Upgraded>) {
        let config = websocket::limits(self.hub.settings.body_max);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let (mut to, from) = socket.split();
        let (out, mut messages) = mpsc::channel(APP_QUEUE);
        let writer = tokio::spawn(async move {
            websocket::write(&mut to, &mut messages).await;
            let _ = to.close().await;
        });
        let ending = writer.abort_handle();
        let mut page = Page { connection: self, out, calls: JoinSet::new() };
        // Nothing more is read: what it still gets is the reason, or the answers of calls in flight.
        if page.work(from).await.is_err() {
            page.calls.shutdown().await;
        } else {
            let stopping = page.connection.hub.stopping.clone();
            let answers = async { while page.calls.join_next().await.is_some() {} };
            tokio::select! {
                () = answers => {}
                () = stopping.cancelled() => {}
            }
        }
        drop(page);
        if tokio::time::timeout(APP_LEAVE, writer).await.is_err() {
            ending.abort();
        }
    }
}

/// A page at work. An error ends it: it has gone, or it reads nothing.
struct Page {
    connection: Connection,
    out: mpsc::Sender<Parts>,
    calls: JoinSet<()>,
}

/// The page has gone.
struct Gone;

type Work<T = ()> = std::result::Result<T, Gone>;

impl Page {
    /// Works until the page goes, or the hub takes in nothing new.
    async fn work<S>(&mut self, mut from: S) -> Work
    where
        S: futures_util::Stream<Item = std::result::Result<Message, SocketError>> + Unpin,
    {
        let mut changes = self.connection.keeper.changes();
        let draining = self.connection.hub.draining.clone();
        self.tell_state().await?;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                next = from.next() => {
                    heard = Instant::now();
                    match next {
                        Some(Ok(message)) => self.hear(message).await?,
                        Some(Err(SocketError::Capacity(fault))) => {
                            let limit = self.connection.hub.settings.body_max;
                            let text = format!("{fault}; gateway.max_body_bytes is {limit}");
                            let _ = self.refuse(Code::TooLarge, &text).await;
                            return Err(Gone);
                        }
                        Some(Err(_)) | None => return Err(Gone),
                    }
                }
                change = changes.next() => match change {
                    // How everything is now tells more than what is left.
                    Some(Change::Missed) => self.tell_state().await?,
                    Some(change) => {
                        if let Some(event) = event(&change) {
                            self.tell("server_event", event).await?;
                        }
                    }
                    None => return Err(Gone),
                },
                Some(_) = self.calls.join_next(), if !self.calls.is_empty() => {}
                () = self.out.closed() => return Err(Gone),
                () = tokio::time::sleep_until(heard + SILENCE) => return Err(Gone),
                () = draining.cancelled() => return Ok(()),
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Work {
        let Some(text) = websocket::text(message) else { return Ok(()) };
        match Wish::read(&text) {
            Ok(Wish::Call { wanted, correlation_id }) => self.call(wanted, correlation_id).await,
            Ok(Wish::State) => self.tell_state().await,
            Ok(Wish::Pong) => self.tell("pong", json!({})).await,
            Err(why) => self.refuse(Code::BadRequest, &why).await,
        }
    }

    async fn call(&mut self, wanted: Wanted, correlation_id: Value) -> Work {
        if self.calls.len() >= APP_CALLS_MAX {
            let error = format!("this connection has {APP_CALLS_MAX} calls under way; wait for one of them");
            let said = ToolError { tool_name: wanted.tool_name, error, correlation_id };
            return self.tell("tool_error", said).await;
        }
        let (hub, out) = (self.connection.hub.clone(), self.out.clone());
        let (tenant, app) = (self.connection.tenant.clone(), self.connection.app.clone());
        self.calls.spawn(async move {
            let Wanted { tool_name, arguments } = wanted;
            let called = AssertUnwindSafe(called(&hub, &tenant, &app, &tool_name, arguments)).catch_unwind();
            let done = called.await.unwrap_or_else(|_| {
                Err(Error::hub(Code::Internal, "a fault in Puerto ended this call; the log says more"))
            });
            let text = match done {
                Ok(result) => said("tool_result", ToolResult { tool_name, result, correlation_id }),
                Err(error) => {
                    let error = error.public().to_owned();
                    said("tool_error", ToolError { tool_name, error, correlation_id })
                }
            };
            // A page that has gone is told nothing.
            let _ = out.send(text).await;
        });
        Ok(())
    }

    async fn tell_state(&self) -> Work {
        let Connection { hub, app, tenant, .. } = &self.connection;
        // The configuration may have changed since the connection was opened.
        let Ok(tenant) = hub.tenant(tenant.as_str()) else {
            let _ = self.refuse(Code::NotFound, "this tenant is no longer defined").await;
            return Err(Gone);
        };
        let state = AppState {
            app_id: app,
            tenant_id: &tenant.view.id,
            available_tools: tools_of(&tenant, None, false).await,
            servers_status: tenant
                .upstreams
                .values()
                .map(|up| (up.name.to_string(), up.state().name()))
                .collect(),
        };
        self.tell("app_state", state).await
    }

    async fn refuse(&self, code: Code, details: &str) -> Work {
        self.tell("error", json!({"error": code.name(), "details": details})).await
    }

    async fn tell(&self, kind: &'static str, data: impl Serialize) -> Work {
        self.out.send_timeout(said(kind, data), APP_WRITE).await.map_err(|_| Gone)
    }
}

/// Calls a tool for an app.
async fn called(
    hub: &Hub,
    tenant: &TenantId,
    app: &ServerName,
    name: &str,
    arguments: Option<Box<RawValue>>,
) -> Result<Box<RawValue>> {
    let tenant = hub.tenant(tenant.as_str())?;
    let mut ctx = hub.ctx(&tenant, START_LIMIT);
    ctx.client = Some(format!("app {app}").into());
    let tool = tool_named(&tenant, name)?;
    let none = || RawValue::from_string("{}".to_owned());
    let arguments = match arguments {
        Some(given) if given.get() != "null" => given,
        _ => none().map_err(|e| Error::hub(Code::Internal, "an empty object is JSON").inside(e))?,
    };
    operate::tool_call(&tenant, ctx, &tool.server, &tool.tool, &arguments).await
}

/// A change, as a page is told of it.
/// A change as a page hears of it. Profiles are for clients of MCP.
fn event(change: &Change) -> Option<Value> {
    match change {
        Change::State { server, state } => Some(json!({"server": server, "event": "state", "status": state})),
        Change::List { server, kind } => {
            Some(json!({"server": server, "event": "list", "list": kind.member()}))
        }
        Change::Updated { server, uri } => Some(json!({"server": server, "event": "resource", "uri": uri})),
        Change::Profile { .. } | Change::Missed => None,
    }
}

fn said(kind: &'static str, data: impl Serialize) -> Parts {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let message =
        Said { kind, data, timestamp: now.as_millis() as u64, message_id: RequestId::next().to_string() };
    // Texts, numbers and JSON that was parsed: this cannot fail.
    Parts::one(Bytes::from(serde_json::to_vec(&message).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_objects_and_nothing_else() {
        let call = br#"{"type":"tool_call","data":{"tool_name":"a.b"},"message_id":1}"#;
        assert!(matches!(Wish::read(call), Ok(Wish::Call { correlation_id, .. }) if correlation_id == 1));
        for bad in [
            &br#"["tool_call",{"tool_name":"a.b"},1]"#[..],
            br#"{"type":"tool_call","data":["a.b",{}]}"#,
            br#"{"type":"tool_call"}"#,
            br#"{"type":"other"}"#,
            b"1",
            b"",
        ] {
            assert!(Wish::read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
