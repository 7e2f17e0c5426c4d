//! Streamable HTTP of both eras on bare hyper, with just enough checking to notice a gateway that
//! forgets a header: numbers measured against it are numbers of the protocol.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Collected, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::answer::{Reply, Server, error};
use super::message::{MODERN, Message};
use crate::Result;

/// The one legacy session: sessions hold nothing here.
const SESSION: &str = "bench-session";
/// The largest request body taken.
const BODY_MAX: usize = 64 << 20;

type Answer = Response<Either<Full<Bytes>, Silent>>;

/// A stream that says nothing and has no end.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

pub(super) async fn serve(listener: TcpListener, server: Server) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = server.clone();
        tokio::spawn(async move {
            let joined = Mutex::default();
            let service = service_fn(|request| answer(&server, &joined, request));
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Answers one request. Its body is joined in `joined`, which the requests of a connection have by turns: memory
/// that comes and goes with each large body would be faults, page by page.
async fn answer(
    server: &Server,
    joined: &Mutex<Vec<u8>>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    match head.method {
        Method::POST => {}
        Method::GET => return Ok(stream()),
        Method::DELETE => return Ok(empty(StatusCode::OK)),
        _ => return Ok(empty(StatusCode::METHOD_NOT_ALLOWED)),
    }
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return Ok(empty(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let (reply, opening) = {
        let mut joined = joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.clear();
        join(body, &mut joined);
        let short = server.shorten(&joined);
        let Ok(message) = Message::parse(short.as_deref().unwrap_or(&joined)) else {
            return Ok(json(StatusCode::BAD_REQUEST, error("null", -32700, "not a message")));
        };
        if let Err((status, code, reason)) = check(&head.headers, &message) {
            let id = message.id.map_or("null", |id| id.get());
            return Ok(json(status, error(id, code, reason)));
        }
        (server.answer(&message), message.method == "initialize")
    };
    let mut answer = match reply {
        Reply::Now(bytes) => json(StatusCode::OK, bytes),
        Reply::After(time, bytes) => {
            tokio::time::sleep(time).await;
            json(StatusCode::OK, bytes)
        }
        Reply::Accepted => empty(StatusCode::ACCEPTED),
        // Ends with the connection: hyper drops the future when the client leaves.
        Reply::Never => std::future::pending().await,
    };
    if opening {
        answer.headers_mut().insert("mcp-session-id", HeaderValue::from_static(SESSION));
    }
    Ok(answer)
}

fn join(body: Collected<Bytes>, joined: &mut Vec<u8>) {
    let mut body = body.aggregate();
    while body.has_remaining() {
        let piece = body.chunk();
        joined.extend_from_slice(piece);
        let length = piece.len();
        body.advance(length);
    }
}

/// The headers that each era requires.
fn check(headers: &HeaderMap, message: &Message<'_>) -> Result<(), (StatusCode, i32, &'static str)> {
    let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    if message.is_modern() {
        let version = header("mcp-protocol-version") == Some(MODERN.as_bytes());
        let method = header("mcp-method") == Some(message.method.as_bytes());
        let name =
            message.method != "tools/call" || header("mcp-name") == Some(message.params.name.as_bytes());
        return match version && method && name {
            true => Ok(()),
            false => Err((StatusCode::BAD_REQUEST, -32020, "headers and body differ")),
        };
    }
    match header("mcp-session-id") {
        _ if message.method == "initialize" => Ok(()),
        Some(session) if session == SESSION.as_bytes() => Ok(()),
        Some(_) => Err((StatusCode::NOT_FOUND, -32000, "session not found")),
        None => Err((StatusCode::BAD_REQUEST, -32000, "session required")),
    }
}

/// A session's own stream.
fn stream() -> Answer {
    let mut response = Response::new(Either::Right(Silent));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn json(status: StatusCode, bytes: Vec<u8>) -> Answer {
    let mut response = Response::new(Either::Left(Full::from(bytes)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}
