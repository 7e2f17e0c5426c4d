//! One keep-alive connection: a request out, its answer in.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::response::{self, Chunks, Framing};
use crate::Result;

const READ: usize = 64 << 10;

pub(super) struct Connection {
    stream: TcpStream,
    /// What has arrived and was not taken yet.
    input: Vec<u8>,
    body: Vec<u8>,
    session: Option<String>,
}

/// What came back, borrowed from the connection.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) session: Option<&'a str>,
    pub(super) body: &'a [u8],
    events: bool,
}

impl Connection {
    pub(super) async fn open(url: &Uri) -> Result<Self> {
        let authority = url.authority().ok_or("the URL names no host")?;
        let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::with_capacity(READ), body: Vec::new(), session: None })
    }

    pub(super) async fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// What has arrived and was not taken yet.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Notes that this much of the input was taken.
    pub(super) fn took(&mut self, bytes: usize) {
        self.input.drain(..bytes);
    }

    /// Waits for the head of an answer whose body is read by somebody else; answers its status.
    pub(super) async fn receive_head(&mut self) -> Result<u16> {
        loop {
            if let Some(head) = response::head(&self.input)? {
                self.input.drain(..head.length);
                return Ok(head.status);
            }
            self.read().await?;
        }
    }

    pub(super) async fn receive(&mut self) -> Result<Answer<'_>> {
        let head = loop {
            if let Some(head) = response::head(&self.input)? {
                if head.status >= 200 {
                    break head;
                }
                self.input.drain(..head.length);
            } else {
                self.read().await?;
            }
        };
        if let Some(at) = head.session {
            self.keep_session(at)?;
        }
        self.input.drain(..head.length);
        self.body.clear();
        match head.body {
            Framing::Length(length) => self.receive_exactly(length).await?,
            Framing::Chunked => self.receive_chunks().await?,
        }
        let (status, session) = (head.status, self.session.as_deref());
        Ok(Answer { status, session, body: &self.body, events: head.events })
    }

    fn keep_session(&mut self, at: Range<usize>) -> Result<()> {
        let session = std::str::from_utf8(&self.input[at])?;
        if self.session.as_deref() != Some(session) {
            self.session = Some(session.to_owned());
        }
        Ok(())
    }

    async fn receive_exactly(&mut self, length: usize) -> Result<()> {
        let here = length.min(self.input.len());
        self.body.extend(self.input.drain(..here));
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body[here..]).await?;
        Ok(())
    }

    async fn receive_chunks(&mut self) -> Result<()> {
        let mut chunks = Chunks::default();
        loop {
            let (taken, done) = chunks.take(&self.input, &mut self.body)?;
            self.input.drain(..taken);
            if done {
                return Ok(());
            }
            self.read().await?;
        }
    }

    pub(super) async fn read(&mut self) -> Result<()> {
        self.input.reserve(READ);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err("the connection was closed before the answer was complete".into()),
            _ => Ok(()),
        }
    }
}

impl<'a> Answer<'a> {
    /// A message that came without HTTP around it.
    pub(super) fn message_only(body: &'a [u8]) -> Self {
        Self { status: 200, session: None, body, events: false }
    }

    /// The JSON-RPC message, taken out of its event if it came in one.
    pub(super) fn message(&self) -> Result<Cow<'a, [u8]>> {
        match self.events {
            true => response::last_event(self.body).ok_or_else(|| "a stream without an answer".into()),
            false => Ok(Cow::Borrowed(self.body)),
        }
    }
}

impl fmt::Display for Answer<'_> {
    /// As much as a person needs to see what went wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(300)];
        write!(f, "{} {}", self.status, String::from_utf8_lossy(shown).replace(['\n', '\r'], " "))
    }
}
