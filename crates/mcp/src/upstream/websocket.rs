//! A server behind a WebSocket: one message a frame.

use std::sync::Arc;

use futures_util::StreamExt;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Request, Uri};
use hyper_util::rt::TokioIo;
use puerto_core::{Code, Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::{Error as SocketError, handshake::client::generate_key};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::pipe::{Fitting, Pipe};
use super::pool::{Connector, Failure};
use super::{Event, LogRing};
use crate::door::websocket::{SILENCE, SUBPROTOCOL, limits, text, write};

/// Connects.
pub(super) async fn connect(
    connector: &Connector,
    uri: &Uri,
    headers: &HeaderMap,
    mut fitting: Fitting<'_>,
) -> Result<Arc<Pipe>> {
    let message_max = fitting.message_max;
    let socket = match open(connector, uri, headers, Some(SUBPROTOCOL), message_max).await {
        // A server that knows no subprotocols is asked again without.
        Err(Refused::Subprotocol) => open(connector, uri, headers, None, message_max).await,
        opened => opened,
    };
    let socket = socket.map_err(Refused::into_error)?;
    let (pipe, mut messages) = fitting.pipe(None);
    let (mut to, from) = socket.split();
    let hung_up = pipe.hang_up.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = write(&mut to, &mut messages) => {}
            () = hung_up.cancelled() => {}
        }
        let _ = futures_util::SinkExt::close(&mut to).await;
    });
    tokio::spawn(read(from, pipe.clone(), fitting.events, fitting.log));
    Ok(pipe)
}

enum Refused {
    Subprotocol,
    Connect(Failure),
    Socket(SocketError),
}

impl Refused {
    fn into_error(self) -> Error {
        let down = |text: &'static str| Error::upstream(Code::UpstreamDown, text);
        match self {
            Refused::Subprotocol => down("the server refused the subprotocol"),
            Refused::Connect(failure) => down("could not connect to the server").inside(failure),
            Refused::Socket(SocketError::Http(response)) => {
                let status = response.status().as_u16();
                let text = format!("the server answered HTTP {status} where a WebSocket was asked for");
                Error::upstream(Code::UpstreamProtocol, text)
            }
            Refused::Socket(cause) => down("the server did not open a WebSocket").inside(cause),
        }
    }
}

async fn open(
    connector: &Connector,
    uri: &Uri,
    headers: &HeaderMap,
    subprotocol: Option<&'static str>,
    message_max: usize,
) -> std::result::Result<WebSocketStream<impl AsyncRead + AsyncWrite + Unpin + use<>>, Refused> {
    let io = connector.connect(&as_http(uri)).await.map_err(Refused::Connect)?;
    let mut request = Request::new(());
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    for (name, value) in [
        ("host", authority),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", &generate_key()),
    ] {
        let value =
            HeaderValue::from_str(value).map_err(|e| Refused::Socket(SocketError::HttpFormat(e.into())))?;
        request.headers_mut().insert(name, value);
    }
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    let opened = client_async_with_config(request, TokioIo::new(io), Some(limits(message_max))).await;
    match opened {
        Ok((socket, _)) => Ok(socket),
        Err(SocketError::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol | SubProtocolError::InvalidSubProtocol,
        ))) => Err(Refused::Subprotocol),
        Err(cause) => Err(Refused::Socket(cause)),
    }
}

/// The address that the connection is made to: the connector knows TLS by the scheme.
fn as_http(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    let tls = matches!(uri.scheme_str(), Some("wss" | "https"));
    parts.scheme = Some(if tls { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

async fn read<S>(
    mut from: futures_util::stream::SplitStream<WebSocketStream<S>>,
    pipe: Arc<Pipe>,
    events: mpsc::Sender<Event>,
    log: Arc<LogRing>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut heard = Instant::now();
    let why = loop {
        let next = tokio::select! {
            next = from.next() => next,
            () = pipe.hang_up.cancelled() => return pipe.close("it was stopped"),
            () = tokio::time::sleep_until(heard + SILENCE) => {
                break format!("it has been silent for {} s", SILENCE.as_secs());
            }
        };
        heard = Instant::now();
        match next {
            Some(Ok(message)) => {
                if let Some(text) = text(message) {
                    pipe.read(&text, &events, &log);
                }
            }
            Some(Err(cause)) => break format!("the connection broke: {cause}"),
            None => break "it closed the connection".into(),
        }
    };
    pipe.close(why);
    let _ = events.send(Event::Closed).await;
}
