//! The listener: one address for MCP, REST and metrics. MCP goes to its door at once; everything else
//! passes through axum's router.

pub(crate) mod alerts;
mod apps;
pub(crate) mod archive;
pub(crate) mod audit;
mod body;
pub(crate) mod context;
mod entrance;
pub(crate) mod events;
pub(crate) mod guard;
mod line;
pub(crate) mod metrics;
pub(crate) mod problem;
pub(crate) mod rest;
pub(crate) mod services;
pub(crate) mod status_page;
mod steady;
pub(crate) mod tasks;
pub(crate) mod texts;
pub(crate) mod tools;

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as RestBody;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use puerto_core::{Code, Error, Result};
use puerto_mcp::door::{self, http::Answer};
use puerto_mcp::hub::{Endpoint, Hub};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt;

#[cfg(any(test, fuzzing))]
pub(crate) use apps::fuzz;
pub(crate) use apps::{AppView, Apps, AppsView, GatewayView};
use entrance::{Door, Entrance};
use guard::Guard;
use line::{Line, Lines, Patience, ROUND};
pub(crate) use metrics::readings;
use problem::Refused;
use steady::Steady;

/// Connections served at the same time. Beyond it new ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// Longest time for a client to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The body of any answer.
pub(crate) type Body = Either<Answer, RestBody>;

/// What every connection shares.
pub(crate) struct Edge {
    /// The hub.
    pub(crate) hub: Arc<Hub>,
    /// Everything that is not MCP.
    pub(crate) rest: axum::Router,
    /// Apps, for their connections.
    pub(crate) apps: Arc<Apps>,
    /// Who may call from where.
    pub(crate) guard: Guard,
}

/// Serves connections until told to stop, then lets those in flight finish within a limit.
pub(crate) async fn serve(
    edge: Arc<Edge>,
    listeners: Vec<TcpListener>,
    stop: CancellationToken,
    drain: Duration,
) {
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(edge.clone(), listener, stop.clone(), drain));
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(edge: Arc<Edge>, listener: TcpListener, stop: CancellationToken, drain: Duration) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut lines = Lines::default();
    let mut round = tokio::time::interval(ROUND);
    loop {
        let place = places.clone().acquire_owned();
        let (place, accepted) = tokio::select! {
            accepted = async { (place.await, listener.accept().await) } => accepted,
            () = stop.cancelled() => break,
            _ = round.tick() => {
                lines.look();
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let line = Line::new();
                lines.add(&line);
                connections.spawn(connection(edge.clone(), stream, line, Arc::new(place)));
            }
            Err(error) => {
                // Out of file descriptors, usually: those in use come back, so wait a little.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    lines.tell();
    let finished = tokio::time::timeout(drain, async { while connections.join_next().await.is_some() {} });
    if finished.await.is_err() {
        tracing::warn!(left = connections.len(), "connections were still busy when the drain limit passed");
    }
}

/// A connection's place among all that are served; one that becomes a WebSocket keeps it.
type Place = Arc<std::result::Result<OwnedSemaphorePermit, AcquireError>>;

async fn connection(edge: Arc<Edge>, stream: TcpStream, line: Arc<Line>, place: Place) {
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| {
        let (edge, place) = (edge.clone(), place.clone());
        async move { Ok::<_, Infallible>(guarded(&edge, request, &place).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(Patience(line.clone())).header_read_timeout(HEAD_TIMEOUT);
    let serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = Steady::new(serving, line.bell.clone());
    let mut told = false;
    // A connection that breaks concerns its client only; what it asked for is recorded as cancelled.
    let _ = poll_fn(|cx| {
        loop {
            let done = Pin::new(&mut serving).poll(cx);
            // Looked at last: who is told while polling is not woken for it.
            if done.is_ready() || told || !line.is_told() {
                return done;
            }
            told = true;
            serving.get().graceful_shutdown();
        }
    })
    .await;
}

/// Host and Origin first; then a fault of ours ends one request and not the process.
async fn guarded(edge: &Arc<Edge>, request: Request<Incoming>, place: &Place) -> Response<Body> {
    if let Err(error) = edge.guard.check(request.headers(), request.uri()) {
        return refused(error);
    }
    match AssertUnwindSafe(route(edge, request, place)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            refused(Error::hub(Code::Internal, "a fault in Puerto ended this request; the log says more"))
        }
    }
}

async fn route(edge: &Arc<Edge>, request: Request<Incoming>, place: &Place) -> Response<Body> {
    let hub = &edge.hub;
    if let Some((app, tenant)) = entrance::app(request.uri().path()) {
        let answer = apps::open(hub, &edge.apps, (app, tenant), request.method(), request.headers()).await;
        return answer.map_or_else(refused, |(answer, connection)| {
            upgraded(hub, request, place.clone(), |io| connection.serve(io));
            answer.map(Either::Left)
        });
    }
    let Some(entrance) = Entrance::find(hub, request.uri().path()) else {
        let answered = edge.rest.clone().oneshot(request.map(RestBody::new)).await;
        return answered.unwrap_or_else(|never| match never {}).map(Either::Right);
    };
    let profile = asked(request.uri(), "profile");
    let answer = match (entrance.door, hub.endpoint(entrance.tenant, entrance.server, profile)) {
        (_, Err(error)) => Err(error),
        (Door::Streamable, Ok(endpoint)) => Ok(door::http::serve(hub, endpoint, request).await),
        (Door::Sse, Ok(endpoint)) => sse(hub, endpoint, &request),
        (Door::Message, Ok(endpoint)) => Box::pin(message(hub, endpoint, request)).await,
        (Door::WebSocket, Ok(endpoint)) => websocket(hub, endpoint, request, place.clone()),
    };
    answer.map_or_else(refused, |response| response.map(Either::Left))
}

fn sse(hub: &Arc<Hub>, endpoint: Endpoint, request: &Request<Incoming>) -> Result<Response<Answer>> {
    if request.method() != Method::GET {
        // Clients that know both transports try this one second, when they are told so.
        return Ok(door::http::not_allowed("GET"));
    }
    let path = request.uri().path();
    let post = path.strip_suffix("sse").map(|folder| format!("{folder}message")).unwrap_or_default();
    door::sse::open(hub, endpoint, &post)
}

async fn message(hub: &Hub, endpoint: Endpoint, request: Request<Incoming>) -> Result<Response<Answer>> {
    if request.method() != Method::POST {
        return Ok(door::http::not_allowed("POST"));
    }
    let id = asked(request.uri(), "sessionId").unwrap_or_default().to_owned();
    door::sse::post(hub, &endpoint, &id, request.into_body()).await
}

/// What the query string says of a key. Ids and names need no escapes, so none are read.
fn asked<'a>(uri: &'a http::Uri, key: &str) -> Option<&'a str> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(name, value)| (name == key).then_some(value))
}

fn websocket(
    hub: &Arc<Hub>,
    endpoint: Endpoint,
    request: Request<Incoming>,
    place: Place,
) -> Result<Response<Answer>> {
    let answer = door::websocket::accept(request.method(), request.headers())?;
    let serving = hub.clone();
    upgraded(hub, request, place, |io| door::websocket::serve(serving, endpoint, io));
    Ok(answer)
}

/// Goes on with a connection once it is a WebSocket.
fn upgraded<F: Future<Output = ()> + Send>(
    hub: &Hub,
    mut request: Request<Incoming>,
    place: Place,
    serve: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) {
    let upgrade = hyper::upgrade::on(&mut request);
    hub.spawn(async move {
        if let Ok(io) = upgrade.await {
            serve(TokioIo::new(io)).await;
        }
        drop(place);
    });
}

fn refused(error: Error) -> Response<Body> {
    Refused::from(error).into_response().map(Either::Right)
}
