//! A server behind a TCP address: newline-delimited messages, as over standard streams.

use std::sync::Arc;

use puerto_core::{Code, Error, Result, Secret};
use tokio::net::TcpStream;

use super::link::{Link, members_of};
use super::pipe::{Fitting, Pipe};
use super::stdio;
use crate::door::tcp::AUTHENTICATE;
use crate::era::Era;

/// Where a server is.
#[derive(Debug, Clone)]
pub struct Address {
    /// Name or address of the machine.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the server wants to be shown first.
    pub token: Option<Secret>,
}

/// Connects, and shows the token where there is one.
pub(super) async fn connect(address: &Address, mut fitting: Fitting<'_>) -> Result<Arc<Pipe>> {
    let Address { host, port, token } = address;
    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|cause| {
        Error::upstream(Code::UpstreamDown, format!("could not connect to {host}:{port}")).inside(cause)
    })?;
    let _ = stream.set_nodelay(true);
    let (input, output) = stream.into_split();
    let (pipe, messages) = fitting.pipe(None);
    let Fitting { message_max, events, log, .. } = fitting;
    tokio::spawn(stdio::write(output, messages, pipe.clone()));
    let reading = stdio::read(input, pipe.clone(), message_max, events, log);
    let hung_up = pipe.hang_up.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = reading => {}
            () = hung_up.cancelled() => {}
        }
    });
    if let Some(token) = token {
        let shown = members_of(&serde_json::json!({"token": token.reveal()}));
        let link = Link::Pipe(pipe.clone());
        let answer = link.ask(Era::Legacy, AUTHENTICATE, &shown, None).await?;
        if answer.error.is_some() {
            return Err(Error::upstream(Code::UpstreamDown, "the server refused the token"));
        }
    }
    Ok(pipe)
}
