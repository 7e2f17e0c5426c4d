//! One JSON-RPC message: its bytes and where in them the members lie that routing needs. Parsed once,
//! shallowly; everything else stays as it came and is passed on byte for byte.

mod parts;
mod reader;

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use crate::scan::{Fault, Scanner, Span, unquoted};
pub use parts::{Edits, Parts};
pub use reader::Reader;

/// One message. It goes from hand to hand on its way, so it is one pointer.
#[derive(Debug, Clone, Default)]
pub struct Frame(Box<Message>);

impl Deref for Frame {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}

impl DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut Message {
        &mut self.0
    }
}

/// What a frame knows of its message.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The text.
    pub parts: Parts,
    /// `id`, as written. Absent on notifications, and on errors to what could not be read.
    pub id: Span,
    /// `method`, with its quotes. Absent on responses.
    pub method: Span,
    /// `params` of a request or notification.
    pub params: Params,
    /// `result` of a response.
    pub result: Outcome,
    /// `error` of a response.
    pub error: Span,
}

/// `params` and the members of it that routing needs. Each span is a value, as written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Params {
    /// The object.
    pub whole: Span,
    /// Whether it is an object with members.
    pub filled: bool,
    /// `name` (`tools/call`, `prompts/get`).
    pub name: Span,
    /// `arguments` (`tools/call`, `prompts/get`).
    pub arguments: Span,
    /// `uri` (`resources/*`, `notifications/resources/updated`).
    pub uri: Span,
    /// `ref` (`completion/complete`).
    pub reference: Span,
    /// `taskId` (`tasks/*`).
    pub task_id: Span,
    /// `cursor` (lists).
    pub cursor: Span,
    /// `level` (`logging/setLevel`, `notifications/message`).
    pub level: Span,
    /// `requestId` (`notifications/cancelled`).
    pub request_id: Span,
    /// `progressToken` (`notifications/progress`).
    pub progress_token: Span,
    /// `protocolVersion` (`initialize`).
    pub protocol_version: Span,
    /// `capabilities` (`initialize`).
    pub capabilities: Span,
    /// `clientInfo` (`initialize`).
    pub client_info: Span,
    /// `notifications` (`subscriptions/listen`).
    pub notifications: Span,
    /// `_meta`.
    pub meta: Meta,
}

/// `_meta` and the keys of it that routing needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meta {
    /// The value; an object, or whatever a careless client sent in its place.
    pub whole: Span,
    /// Whether it is an object with members.
    pub filled: bool,
    /// `io.modelcontextprotocol/protocolVersion`: its presence makes a request modern.
    pub protocol_version: Span,
    /// `io.modelcontextprotocol/clientCapabilities`.
    pub client_capabilities: Span,
    /// `io.modelcontextprotocol/clientInfo`.
    pub client_info: Span,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Span,
    /// `io.modelcontextprotocol/subscriptionId`.
    pub subscription_id: Span,
    /// `progressToken`.
    pub progress_token: Span,
    /// `traceparent`.
    pub traceparent: Span,
}

/// `result` and the members of it that the hub reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// The value; an object in MCP.
    pub whole: Span,
    /// Whether it is an object with members.
    pub filled: bool,
    /// `resultType`.
    pub result_type: Span,
    /// `isError` (`tools/call`).
    pub is_error: Span,
    /// `ttlMs`.
    pub ttl: Span,
    /// `cacheScope`.
    pub cache_scope: Span,
    /// `content` (`tools/call`).
    pub content: Span,
    /// `contents` (`resources/read`).
    pub contents: Span,
    /// `messages` (`prompts/get`).
    pub messages: Span,
    /// `nextCursor` (lists).
    pub next_cursor: Span,
}

impl Frame {
    /// Reads one message. A batch is not one message: see [`batch`].
    pub fn parse(bytes: Bytes) -> Result<Self, Fault> {
        let mut reader = Reader::default();
        reader.feed(bytes)?;
        reader.finish()
    }
}

impl Message {
    /// What kind of message it is.
    pub fn kind(&self) -> Kind {
        match (self.method.is_some(), self.id.is_some()) {
            (true, true) => Kind::Request,
            (true, false) => Kind::Notification,
            (false, _) if self.result.whole.is_some() || self.error.is_some() => Kind::Response,
            (false, _) => Kind::Nothing,
        }
    }

    /// The raw text at a span.
    pub fn raw(&self, span: Span) -> Cow<'_, [u8]> {
        self.parts.raw(span)
    }

    /// The raw text at a span, sharing the frame's memory.
    pub fn share(&self, span: Span) -> Bytes {
        self.parts.share(span)
    }

    /// The string that a span holds.
    pub fn text(&self, span: Span) -> Option<Cow<'_, str>> {
        match self.parts.raw(span) {
            Cow::Borrowed(raw) => unquoted(raw),
            Cow::Owned(raw) => unquoted(&raw).map(|text| Cow::Owned(text.into_owned())),
        }
    }

    /// The method's name; a request with a method that is no plain string has none we know.
    pub fn method_name(&self) -> Cow<'_, str> {
        self.text(self.method).unwrap_or_default()
    }

    /// Whether the sender speaks the modern era in this message.
    pub fn is_modern(&self) -> bool {
        self.params.meta.protocol_version.is_some()
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer.
    Request,
    /// Wants none.
    Notification,
    /// Is an answer.
    Response,
    /// None of these.
    Nothing,
}

/// The members of a batch (revision 2025-03-26).
pub fn batch(bytes: &Bytes, limit: usize) -> Result<Vec<Bytes>, Fault> {
    let mut scanner = Scanner::new(bytes);
    let mut items = Vec::new();
    scanner.array(|s| {
        let span = s.value()?;
        if items.len() == limit {
            return Err(Fault { at: span.start as usize, why: "too many messages in one batch" });
        }
        items.push(bytes.slice(span.range()));
        Ok(())
    })?;
    scanner.end()?;
    if items.is_empty() {
        return Err(Fault { at: 0, why: "the batch is empty" });
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
