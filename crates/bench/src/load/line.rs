//! The ways to an endpoint: Streamable HTTP, HTTP+SSE, a WebSocket. Each sends a message and waits for its answer.

use std::borrow::Cow;

use clap::ValueEnum;
use hyper::Uri;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::connection::{Answer, Connection};
use super::request::{get, post};
use super::response::{self, Chunks};
use crate::Result;

/// How a client comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// Streamable HTTP.
    #[default]
    Streamable,
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// A WebSocket, one message a frame.
    Websocket,
}

/// The key of every handshake: nobody here needs it to differ.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The longest frame taken.
const FRAME_MAX: usize = 64 << 20;

/// An open way.
pub(super) enum Line {
    Streamable(Connection),
    Sse { posts: Connection, events: Events },
    Socket(Socket),
}

impl Line {
    /// Opens one; answers it and where it wants posts.
    pub(super) async fn open(url: &Uri, way: Way) -> Result<(Self, Uri)> {
        match way {
            Way::Streamable => Ok((Line::Streamable(Connection::open(url).await?), url.clone())),
            Way::Sse => {
                let mut events = Events::open(url).await?;
                let path = String::from_utf8(events.next().await?)?;
                let authority = url.authority().ok_or("the URL names no host")?;
                let to: Uri = match path.starts_with('/') {
                    true => format!("http://{authority}{path}").parse()?,
                    false => path.parse()?,
                };
                Ok((Line::Sse { posts: Connection::open(&to).await?, events }, to))
            }
            Way::Websocket => Ok((Line::Socket(Socket::open(url).await?), url.clone())),
        }
    }

    /// What goes over the line for a message; `headers` are for posts.
    pub(super) fn wrapped(way: Way, to: &Uri, headers: &str, body: &str) -> Vec<u8> {
        match way {
            Way::Streamable | Way::Sse => post(to, headers, body),
            Way::Websocket => frame(body.as_bytes()),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Line::Streamable(connection) => connection.send(bytes).await,
            Line::Sse { posts, .. } => {
                posts.send(bytes).await?;
                match posts.receive().await? {
                    answer if matches!(answer.status, 200 | 202) => Ok(()),
                    answer => Err(format!("a post was refused: {answer}").into()),
                }
            }
            Line::Socket(socket) => socket.connection.send(bytes).await,
        }
    }

    /// The next message; of Streamable HTTP the answer to the request.
    pub(super) async fn receive(&mut self) -> Result<Answer<'_>> {
        match self {
            Line::Streamable(connection) => connection.receive().await,
            Line::Sse { events, .. } => {
                events.message = events.next().await?;
                Ok(Answer::message_only(&events.message))
            }
            Line::Socket(socket) => {
                socket.next().await?;
                Ok(Answer::message_only(&socket.message))
            }
        }
    }
}

/// The stream of HTTP+SSE.
pub(super) struct Events {
    connection: Connection,
    chunks: Chunks,
    text: Vec<u8>,
    message: Vec<u8>,
}

impl Events {
    async fn open(url: &Uri) -> Result<Self> {
        let mut connection = Connection::open(url).await?;
        connection.send(&get(url, "Accept: text/event-stream\r\n")).await?;
        let status = connection.receive_head().await?;
        match status {
            200 => Ok(Self { connection, chunks: Chunks::default(), text: Vec::new(), message: Vec::new() }),
            other => Err(format!("the stream was refused: {other}").into()),
        }
    }

    /// The data of the next event that has some.
    async fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            let end = [&b"\n\n"[..], b"\r\n\r\n"]
                .into_iter()
                .filter_map(|end| Some(memmem::find(&self.text, end)? + end.len()))
                .min();
            if let Some(end) = end {
                let data = response::last_event(&self.text[..end]).map(Cow::into_owned);
                self.text.drain(..end);
                match data {
                    Some(data) => return Ok(data),
                    None => continue,
                }
            }
            let (taken, over) = self.chunks.take(self.connection.input(), &mut self.text)?;
            self.connection.took(taken);
            if over {
                return Err("the stream ended".into());
            }
            if taken == 0 {
                self.connection.read().await?;
            }
        }
    }
}

/// A WebSocket (RFC 6455), as far as one that answers needs it.
pub(super) struct Socket {
    connection: Connection,
    message: Vec<u8>,
}

impl Socket {
    async fn open(url: &Uri) -> Result<Self> {
        let mut connection = Connection::open(url).await?;
        let headers = format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Protocol: mcp\r\n"
        );
        connection.send(&get(url, &headers)).await?;
        match connection.receive_head().await? {
            101 => Ok(Self { connection, message: Vec::new() }),
            other => Err(format!("the WebSocket was refused: {other}").into()),
        }
    }

    /// Reads the next message; answers pings on the way.
    async fn next(&mut self) -> Result<()> {
        self.message.clear();
        loop {
            let Some((kind, head, length)) = frame_head(self.connection.input())? else {
                self.connection.read().await?;
                continue;
            };
            while self.connection.input().len() < head + length {
                self.connection.read().await?;
            }
            let payload = &self.connection.input()[head..head + length];
            match kind & 0x0f {
                0 | 1 => self.message.extend_from_slice(payload),
                9 => {
                    let mut pong = frame(payload);
                    pong[0] = 0x8a;
                    self.connection.send(&pong).await?;
                }
                _ => return Err("the WebSocket was closed".into()),
            }
            self.connection.took(head + length);
            if matches!(kind, 0x80 | 0x81) {
                return Ok(());
            }
        }
    }
}

/// A text frame of a client; its mask is zero, which changes nothing.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The first byte of a server's frame, the length of its head, and of its payload.
fn frame_head(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let [kind, short, ..] = *bytes else { return Ok(None) };
    let (head, length) = match short {
        126 => match bytes.get(2..4) {
            Some(length) => (4, usize::from(u16::from_be_bytes(length.try_into()?))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(length.try_into()?))?),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    match length {
        0..=FRAME_MAX => Ok(Some((kind, head, length))),
        _ => Err("a frame is too long".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_back() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = frame(&vec![b'x'; length]);
            // A server's frame has no mask.
            let at = bytes.len() - length - 4;
            bytes.drain(at..at + 4);
            bytes[1] &= 0x7f;
            assert_eq!(frame_head(&bytes).unwrap(), Some((0x81, bytes.len() - length, length)));
        }
        assert_eq!(frame_head(&[0x81, 127, 0]).unwrap(), None);
        assert!(frame_head(&[0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
