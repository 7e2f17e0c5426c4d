//! To a syslog: one message, over a connection of its own where there is one. Nobody answers there; what is known is
//! that the message left, and over TCP that nobody has refused it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UdpSocket, UnixDatagram, lookup_host};
use tokio::time::{Instant, timeout};

use super::Outcome;
use crate::probe::{Address, Dial, Tls, Trust, words};
use crate::syslog::{Syslog, Way};

/// How long a receiver may take to close a connection after its message; most do at once, some never.
const GOODBYE: Duration = Duration::from_secs(1);

/// Hands a message over.
pub(super) async fn deliver(tls: &Tls, to: &Syslog, message: &str, deadline: Instant) -> Outcome {
    let sent = match &to.0 {
        Way::Udp(address) => datagram(address, message).await,
        Way::Tcp(address) => {
            let dial = Dial { tls, address, trust: &Trust::System, deadline };
            match dial.connect().await {
                Ok(stream) => framed(stream, message).await,
                Err(why) => return Outcome::Retry { after: None, why },
            }
        }
        Way::Unix(path) => local(path, message).await,
    };
    match sent {
        Ok(()) => Outcome::Sent,
        Err(error) => Outcome::Retry { after: None, why: format!("{to}: {}", words(&error)) },
    }
}

async fn datagram(to: &Address, message: &str) -> std::io::Result<()> {
    let found = lookup_host(to.to_string()).await?.next();
    let to = found.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(from).await?.send_to(message.as_bytes(), to).await.map(|_| ())
}

async fn framed(mut stream: tokio::net::TcpStream, message: &str) -> std::io::Result<()> {
    stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
    stream.shutdown().await?;
    // A receiver that did not want it resets the connection; silence is consent.
    timeout(GOODBYE, stream.read(&mut [0; 64])).await.unwrap_or(Ok(0)).map(|_| ())
}

async fn local(path: &Path, message: &str) -> std::io::Result<()> {
    UnixDatagram::unbound()?.send_to(message.as_bytes(), path).await.map(|_| ())
}
