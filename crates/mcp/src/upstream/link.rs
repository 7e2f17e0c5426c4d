//! A live connection to a server, whatever carries it: send a request, read what comes back for it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use puerto_core::{Code, Error, Result};

use crate::era::{Era, META_PREFIX, Revision};
use crate::frame::{Edits, Frame, Parts};
use crate::upstream::http::{Answering, Remote, RemoteSession};
use crate::upstream::local::{Local, Running};
use crate::upstream::pipe::{Pipe, Waiting};

/// What the hub calls itself towards servers when it asks on its own account.
pub const CLIENT_INFO: &str = concat!(r#"{"name":"puerto","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
/// What the hub can do as a client of its own: nobody stands behind it to be asked, but views of MCP Apps pass, and
/// servers may hide them from clients that do not say so (ext-apps 2026-01-26, negotiation).
pub const OWN_CAPABILITIES: &str =
    r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#;

/// A request on its way to a server.
#[derive(Debug)]
pub struct Request {
    /// The hub's id for it on this link, from [`Link::next_id`]; also its progress token.
    pub id: u64,
    /// Its method.
    pub method: Cow<'static, str>,
    /// The message.
    pub text: Parts,
    /// The name or URI in it, as the server knows it: mirrored into a header on modern HTTP.
    pub name: Option<Arc<str>>,
    /// More mirrored headers.
    pub headers: Vec<(String, String)>,
    /// The client session that can be asked questions meanwhile.
    pub asker: Option<u64>,
    /// Whether notifications that belong to it are wanted.
    pub notices: bool,
    /// The session of a legacy HTTP server in which it is sent.
    pub session: Option<Arc<RemoteSession>>,
}

/// A live connection.
#[derive(Debug, Clone)]
pub enum Link {
    /// To a child process or over a socket.
    Pipe(Arc<Pipe>),
    /// To a Streamable HTTP server.
    Http(Arc<Remote>),
    /// To a server in this process.
    Local(Arc<Local>),
}

impl Link {
    /// An id that no other request on this link has.
    pub fn next_id(&self) -> u64 {
        match self {
            Link::Pipe(pipe) => pipe.next_id(),
            Link::Http(remote) => remote.next_id(),
            Link::Local(_) => 1,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: Request) -> Result<Exchange> {
        match self {
            Link::Pipe(pipe) => pipe.send(request).await.map(Exchange::Pipe),
            Link::Http(remote) => remote.send(request).await.map(Exchange::Http),
            Link::Local(local) => Ok(Exchange::Local(local.send(request))),
        }
    }

    /// Sends a message that wants no answer: a notification, or the answer to a server's question.
    pub async fn tell(&self, text: Parts, session: Option<&Arc<RemoteSession>>) -> Result<()> {
        match self {
            Link::Pipe(pipe) => pipe.tell(text).await,
            Link::Http(remote) => remote.tell(text, session).await,
            Link::Local(_) => Ok(()),
        }
    }

    /// Asks on the hub's own account and waits for the answer. `members` are those of `params`.
    pub async fn ask(
        &self,
        era: Era,
        method: &'static str,
        members: &str,
        name: Option<&str>,
    ) -> Result<Frame> {
        let id = self.next_id();
        let request = Request {
            id,
            method: method.into(),
            text: request_text(era, id, method, members),
            name: name.map(Into::into),
            headers: Vec::new(),
            asker: None,
            notices: false,
            session: match self {
                Link::Http(remote) => remote.control(),
                _ => None,
            },
        };
        let mut exchange = self.send(request).await?;
        loop {
            let frame = exchange.next().await?;
            if frame.kind() == crate::frame::Kind::Response {
                return Ok(frame);
            }
        }
    }
}

/// The members of an object, as [`Link::ask`] wants them.
pub fn members_of(object: &serde_json::Value) -> String {
    let text = object.to_string();
    text[1..text.len() - 1].to_owned()
}

/// A request of the hub's own.
pub fn request_text(era: Era, id: u64, method: &str, members: &str) -> Parts {
    let meta = match era {
        Era::Legacy => String::new(),
        Era::Modern => {
            let comma = if members.is_empty() { "" } else { "," };
            format!("{comma}\"_meta\":{{{}}}", modern_meta(OWN_CAPABILITIES, CLIENT_INFO))
        }
    };
    let method = serde_json::Value::from(method);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{{{members}{meta}}}}}"#).into()
}

/// The members of `_meta` that make a request modern.
pub fn modern_meta(capabilities: &str, client_info: &str) -> String {
    let version = Revision::MODERN.text();
    format!(
        r#""{META_PREFIX}protocolVersion":"{version}","{META_PREFIX}clientCapabilities":{capabilities},"{META_PREFIX}clientInfo":{client_info}"#
    )
}

/// A request under way. Dropped before its end it is cancelled at the server too.
#[derive(Debug)]
pub enum Exchange {
    /// With a child process or over a socket.
    Pipe(Waiting),
    /// With a Streamable HTTP server.
    Http(Answering),
    /// With a server in this process.
    Local(Running),
}

impl Exchange {
    /// The next message for this request; the response is the last.
    pub async fn next(&mut self) -> Result<Frame> {
        match self {
            Exchange::Pipe(waiting) => waiting.next().await,
            Exchange::Http(answering) => answering.next().await,
            Exchange::Local(running) => Ok(running.next().await),
        }
    }
}

impl Exchange {
    /// The way back for a question that came with this request.
    pub fn asked(&self, question: &Frame) -> Option<Asked> {
        let id = question.share(question.id);
        match self {
            Exchange::Pipe(waiting) => {
                Some(Asked { link: Link::Pipe(waiting.pipe().clone()), session: None, id })
            }
            Exchange::Http(answering) => {
                Some(Asked { link: answering.link(), session: answering.session().cloned(), id })
            }
            Exchange::Local(_) => None,
        }
    }
}

/// The way back to a server that has asked something.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where it asked.
    pub link: Link,
    /// In which session.
    pub session: Option<Arc<RemoteSession>>,
    /// Its id for the question, as written.
    pub id: Bytes,
}

impl Asked {
    /// Sends the client's answer back under the server's id.
    pub async fn answer(self, answer: &Frame) -> Result<()> {
        let mut edits = Edits::new();
        edits.set(answer.id, self.id);
        self.link.tell(edits.apply(&answer.parts), self.session.as_ref()).await
    }

    /// Refuses.
    pub async fn refuse(self, number: i32, message: &'static str) -> Result<()> {
        let text = crate::wire::Refusal::new(number, message).render(&self.id, false);
        self.link.tell(text, self.session.as_ref()).await
    }
}

/// The error of a link that has closed.
pub fn closed(what: &str) -> Error {
    Error::upstream(Code::UpstreamDown, format!("the connection to the server closed {what}"))
}
