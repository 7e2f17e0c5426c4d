//! Newline-delimited messages over any pair of streams: `puerto stdio`, and the built-in servers on their
//! own, over standard streams or TCP.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::door::duplex::Duplex;
use crate::hub::{Endpoint, Hub};
use crate::lines::{self, Lines, TooLong};
use crate::wire::{self, Refusal};

/// Serves one client until its input ends, the hub stops, or it no longer reads.
pub async fn serve(
    hub: Arc<Hub>,
    endpoint: Endpoint,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let lines = Lines::new(input, hub.settings.body_max);
    serve_lines(hub, endpoint, lines, output).await;
}

/// The same, where lines were read before.
pub(super) async fn serve_lines(
    hub: Arc<Hub>,
    endpoint: Endpoint,
    mut lines: Lines<impl AsyncRead + Unpin>,
    output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (mut client, mut messages) = Duplex::open(hub, endpoint);
    let writer = tokio::spawn(async move { lines::write(output, &mut messages).await });
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = client.over() => break,
        };
        match line {
            Ok(Some(line)) => client.take(line).await,
            Ok(None) => break,
            Err(too_long) => {
                client.refuse(&refusal(&too_long)).await;
                break;
            }
        }
    }
    client.finish().await;
    let _ = writer.await;
}

fn refusal(too_long: &TooLong) -> Refusal {
    Refusal::new(wire::INVALID_REQUEST, format!("{too_long} (gateway.max_body_bytes)"))
}
