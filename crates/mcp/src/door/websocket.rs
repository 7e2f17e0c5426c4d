//! A WebSocket, one message a frame, both eras. The listener has taken the upgrade; here it is a stream of bytes.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use puerto_core::{Code, Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::door::duplex::Duplex;
use crate::door::http::Answer;
use crate::frame::Parts;
use crate::hub::{Endpoint, Hub};
use crate::upstream::http::Payload;

/// The subprotocol that the official SDKs ask for.
pub const SUBPROTOCOL: &str = "mcp";
/// How often a quiet peer is asked whether it is there. Proxies close after 30 to 60 s of silence.
pub const HEARTBEAT: Duration = Duration::from_secs(20);
/// A peer that has been silent for so long has gone: three heartbeats were not answered.
pub const SILENCE: Duration = Duration::from_secs(65);

/// The answer to a request that wants a WebSocket.
pub fn accept(method: &Method, headers: &HeaderMap) -> Result<Response<Answer>> {
    let has = |name: HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
    };
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let asked = *method == Method::GET
        && has(CONNECTION, "upgrade")
        && has(UPGRADE, "websocket")
        && has(SEC_WEBSOCKET_VERSION, "13");
    let Some(key) = key.filter(|_| asked) else {
        return Err(Error::caller(
            Code::BadRequest,
            "this address is a WebSocket (version 13): connect to it with ws://",
        ));
    };
    let key = derive_accept_key(key.as_bytes());
    let mut response = Response::new(Answer::Whole(Payload::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // Base64 is plain ASCII.
    if let Ok(key) = HeaderValue::from_str(&key) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    if has(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

/// Time for a peer to take what is still on its way to it when its connection ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves one client until it closes, falls silent or no longer reads, or the hub stops.
pub async fn serve(
    hub: Arc<Hub>,
    endpoint: Endpoint,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let config = limits(hub.settings.body_max);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (mut client, mut messages) = Duplex::open(hub, endpoint);
    let (to, mut from) = socket.split();
    let mut writer = tokio::spawn(async move {
        let mut to = to;
        write(&mut to, &mut messages).await;
        let _ = to.close().await;
    });
    let mut heard = Instant::now();
    loop {
        let next = tokio::select! {
            next = from.next() => next,
            () = client.over() => break,
            () = tokio::time::sleep_until(heard + SILENCE) => break,
        };
        heard = Instant::now();
        match next {
            Some(Ok(message)) => {
                if let Some(text) = text(message) {
                    client.take(text).await;
                }
            }
            Some(Err(_)) | None => break,
        }
    }
    client.leave().await;
    // A peer that reads nothing takes no goodbye either.
    if tokio::time::timeout(GOODBYE, &mut writer).await.is_err() {
        writer.abort();
    }
}

/// What a socket accepts: nothing larger than a message may be.
pub fn limits(message_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(message_max))
        .max_frame_size(Some(message_max))
        .max_write_buffer_size(message_max.saturating_mul(2))
}

/// The MCP message in a frame; control frames hold none, and answer themselves.
pub fn text(message: Message) -> Option<Bytes> {
    match message {
        Message::Text(text) => Some(text.into()),
        Message::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// A message as the text that a frame must hold. What a server sends inside its strings is not looked at before and
/// may be none; the answer that it stands in must come all the same.
fn as_text(message: &Bytes) -> Utf8Bytes {
    Utf8Bytes::try_from(message.clone()).unwrap_or_else(|_| String::from_utf8_lossy(message).as_ref().into())
}

/// Carries messages to a peer, and asks a quiet one whether it is there.
pub async fn write<S>(to: &mut S, messages: &mut mpsc::Receiver<Parts>)
where
    S: futures_util::Sink<Message> + Unpin,
{
    let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        let message = tokio::select! {
            biased;
            message = messages.recv() => message,
            _ = heartbeat.tick() => {
                if to.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        // What else waits goes out in the same write.
        let Some(mut message) = message else { return };
        loop {
            if to.feed(Message::Text(as_text(&message.whole()))).await.is_err() {
                return;
            }
            match messages.try_recv() {
                Ok(more) => message = more,
                Err(_) => break,
            }
        }
        if to.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_with_bytes_that_are_no_text_comes_all_the_same() {
        let (to, mut messages) = mpsc::channel(2);
        for message in [&b"{\"id\":1,\"x\":\"\xff\"}"[..], b"{\"id\":2}"] {
            to.send(Parts::one(Bytes::copy_from_slice(message))).await.unwrap();
        }
        drop(to);
        let (sent, mut got) = mpsc::unbounded_channel();
        let sink = futures_util::sink::unfold(sent, |sent, message: Message| async move {
            sent.send(message).map(|()| sent)
        });
        write(&mut std::pin::pin!(sink), &mut messages).await;
        for expected in ["{\"id\":1,\"x\":\"\u{fffd}\"}", "{\"id\":2}"] {
            assert_eq!(got.recv().await, Some(Message::text(expected)));
        }
    }
}
