//! Newline-delimited messages over TCP. Where a token is asked for, the first line of a connection shows it
//! (ARCHITECTURE.md, doors): `{"jsonrpc":"2.0","id":1,"method":"puerto/authenticate","params":{"token":"…"}}`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use puerto_core::Secret;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stdio::serve_lines;
use crate::frame::Frame;
use crate::hub::{Endpoint, Hub};
use crate::lines::Lines;
use crate::wire::{self, Refusal};

/// The method of the line that shows a token.
pub const AUTHENTICATE: &str = "puerto/authenticate";
/// Time for a client to show its token.
const SHOW: Duration = Duration::from_secs(10);
/// Connections served at the same time. Beyond it new ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_000;
/// Longest line before the token is known: nobody unknown takes more memory.
const UNKNOWN_MAX: usize = 16 * 1024;

/// Serves connections until told to stop, then lets those under way finish what was asked.
pub async fn serve(
    hub: Arc<Hub>,
    endpoint: Endpoint,
    listener: TcpListener,
    token: Option<Secret>,
    stop: CancellationToken,
) {
    let (places, token) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), token.map(Arc::new));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned();
        let (place, accepted) = tokio::select! {
            accepted = async { (place.await, listener.accept().await) } => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (hub, endpoint, token) = (hub.clone(), endpoint.clone(), token.clone());
                connections.spawn(async move {
                    one(hub, endpoint, stream, token.as_deref()).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn one(hub: Arc<Hub>, endpoint: Endpoint, stream: TcpStream, token: Option<&Secret>) {
    let _ = stream.set_nodelay(true);
    let (input, mut output) = stream.into_split();
    let Some(token) = token else {
        let lines = Lines::new(input, hub.settings.body_max);
        return serve_lines(hub, endpoint, lines, output).await;
    };
    let mut lines = Lines::new(input, UNKNOWN_MAX);
    let first = tokio::time::timeout(SHOW, lines.next()).await;
    let Ok(Ok(Some(first))) = first else { return };
    let (answer, known) = shown(first, token);
    let written = output.write_all(&answer).await.is_ok();
    if known && written {
        lines.set_limit(hub.settings.body_max);
        serve_lines(hub, endpoint, lines, output).await;
    } else {
        tracing::warn!("a connection over TCP did not show the right token");
    }
}

#[derive(Deserialize)]
struct Shown {
    token: String,
}

/// The answer to the first line, and whether it showed the token.
fn shown(line: Bytes, token: &Secret) -> (Vec<u8>, bool) {
    let Ok(frame) = Frame::parse(line) else { return (Vec::new(), false) };
    let known = frame.method_name() == AUTHENTICATE
        && serde_json::from_slice::<Shown>(&frame.raw(frame.params.whole))
            .is_ok_and(|shown| token.is(&shown.token));
    let id = frame.raw(frame.id);
    let text = if known {
        wire::result(&id, "")
    } else {
        let text = format!("the first line must be {AUTHENTICATE} with the right params.token");
        Refusal::new(wire::INVALID_REQUEST, text).render(&id, true)
    };
    let mut line = text.whole().to_vec();
    line.push(b'\n');
    (line, known)
}
