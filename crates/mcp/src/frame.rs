//! One JSON-RPC message: its bytes and where in them the members lie that routing needs. Parsed once,
//! shallowly; everything else stays as it came and is passed on byte for byte.

use bytes::{Bytes, BytesMut};

use crate::scan::{Fault, Scanner, Span, text_of};

/// One message.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The text.
    pub bytes: Bytes,
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
        let mut frame = Self {
            id: Span::default(),
            method: Span::default(),
            params: Params::default(),
            result: Outcome::default(),
            error: Span::default(),
            bytes: Bytes::new(),
        };
        let mut version = Span::default();
        let mut scanner = Scanner::new(&bytes);
        scanner.object(|s, key| {
            match key {
                "jsonrpc" => once(&mut version, s.value()?)?,
                "id" => once(&mut frame.id, s.value()?)?,
                "method" => once(&mut frame.method, s.string_value()?)?,
                "params" => frame.params = params(s)?,
                "result" => frame.result = outcome(s)?,
                "error" => once(&mut frame.error, s.value()?)?,
                _ => drop(s.value()?),
            }
            Ok(())
        })?;
        scanner.end()?;
        if version.of(&bytes) != b"\"2.0\"" {
            return Err(Fault { at: version.start as usize, why: "\"jsonrpc\" must be \"2.0\"" });
        }
        if frame.id.is_some() && !is_id(frame.id.of(&bytes)) {
            return Err(Fault { at: frame.id.start as usize, why: "\"id\" must be a string or a number" });
        }
        if frame.id.of(&bytes) == b"null" {
            frame.id = Span::default();
        }
        frame.bytes = bytes;
        Ok(frame)
    }

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
    pub fn raw(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// The raw text at a span, sharing the frame's memory.
    pub fn share(&self, span: Span) -> Bytes {
        self.bytes.slice(span.range())
    }

    /// The string that a span holds.
    pub fn text(&self, span: Span) -> Option<std::borrow::Cow<'_, str>> {
        text_of(&self.bytes, span)
    }

    /// The method's name; a request with a method that is no plain string has none we know.
    pub fn method_name(&self) -> std::borrow::Cow<'_, str> {
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

/// The members of a batch (revision 2025-03-26), or nothing when the text is no array.
pub fn batch(bytes: &Bytes, limit: usize) -> Option<Result<Vec<Bytes>, Fault>> {
    let mut scanner = Scanner::new(bytes);
    (scanner.peek() == Some(b'[')).then(|| {
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
    })
}

impl Scanner<'_> {
    fn string_value(&mut self) -> Result<Span, Fault> {
        self.peek();
        self.string()
    }
}

/// Two members of one name let two readers see two messages, so they are refused where we read them.
fn once(slot: &mut Span, found: Span) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(twice(found));
    }
    *slot = found;
    Ok(())
}

fn twice(found: Span) -> Fault {
    Fault { at: found.start as usize, why: "a member stands twice" }
}

fn is_id(raw: &[u8]) -> bool {
    matches!(raw.first(), Some(b'"' | b'-' | b'0'..=b'9')) || raw == b"null"
}

fn params(scanner: &mut Scanner<'_>) -> Result<Params, Fault> {
    let mut found = Params::default();
    if scanner.peek() != Some(b'{') {
        // Positional or null params carry nothing for us; whoever needs a member will miss it.
        scanner.value()?;
        return Ok(found);
    }
    found.whole = scanner.object(|s, key| {
        let slot = match key {
            "name" => &mut found.name,
            "arguments" => &mut found.arguments,
            "uri" => &mut found.uri,
            "ref" => &mut found.reference,
            "taskId" => &mut found.task_id,
            "cursor" => &mut found.cursor,
            "level" => &mut found.level,
            "requestId" => &mut found.request_id,
            "progressToken" => &mut found.progress_token,
            "protocolVersion" => &mut found.protocol_version,
            "capabilities" => &mut found.capabilities,
            "clientInfo" => &mut found.client_info,
            "notifications" => &mut found.notifications,
            "_meta" => {
                let before = found.meta.whole;
                found.meta = if s.peek() == Some(b'{') {
                    meta(s)?
                } else {
                    Meta { whole: s.value()?, ..Meta::default() }
                };
                return if before.is_some() { Err(twice(found.meta.whole)) } else { Ok(()) };
            }
            _ => return s.value().map(drop),
        };
        once(slot, s.value()?)
    })?;
    Ok(found)
}

fn meta(scanner: &mut Scanner<'_>) -> Result<Meta, Fault> {
    let mut found = Meta::default();
    found.whole = scanner.object(|s, key| {
        let slot = match key {
            "io.modelcontextprotocol/protocolVersion" => &mut found.protocol_version,
            "io.modelcontextprotocol/clientCapabilities" => &mut found.client_capabilities,
            "io.modelcontextprotocol/clientInfo" => &mut found.client_info,
            "io.modelcontextprotocol/logLevel" => &mut found.log_level,
            "io.modelcontextprotocol/subscriptionId" => &mut found.subscription_id,
            "progressToken" => &mut found.progress_token,
            "traceparent" => &mut found.traceparent,
            _ => return s.value().map(drop),
        };
        once(slot, s.value()?)
    })?;
    Ok(found)
}

fn outcome(scanner: &mut Scanner<'_>) -> Result<Outcome, Fault> {
    let mut found = Outcome::default();
    if scanner.peek() != Some(b'{') {
        found.whole = scanner.value()?;
        return Ok(found);
    }
    found.whole = scanner.object(|s, key| {
        let slot = match key {
            "resultType" => &mut found.result_type,
            "isError" => &mut found.is_error,
            "ttlMs" => &mut found.ttl,
            "cacheScope" => &mut found.cache_scope,
            "content" => &mut found.content,
            "contents" => &mut found.contents,
            "messages" => &mut found.messages,
            "nextCursor" => &mut found.next_cursor,
            _ => return s.value().map(drop),
        };
        once(slot, s.value()?)
    })?;
    Ok(found)
}

/// Changes to a frame: spans and what stands there instead. A span without length inserts.
#[derive(Debug, Default)]
pub struct Edits {
    list: Vec<(Span, Bytes)>,
}

/// Above this length an edited message stays in parts that share the original's memory; below it, one
/// copy is cheaper than several parts.
const COPY_MAX: usize = 16 * 1024;

impl Edits {
    /// None yet.
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(6) }
    }

    /// Puts a text in place of a span.
    pub fn set(&mut self, span: Span, text: impl Into<Bytes>) {
        self.list.push((span, text.into()));
    }

    /// Inserts a text before the byte at a place.
    pub fn insert(&mut self, at: u32, text: impl Into<Bytes>) {
        self.list.push((Span::point(at), text.into()));
    }

    /// Adds members to an object: `"a":1,"b":2`, without a comma at either end.
    pub fn add_members(&mut self, text: &[u8], object: Span, members: &str) {
        let empty = Scanner::at(text, Span::point(object.start + 1)).peek() == Some(b'}');
        let comma = if empty { "" } else { "," };
        self.insert(object.start + 1, format!("{members}{comma}"));
    }

    /// The edited text. Edits must not overlap; those at one place apply in the order of their making.
    pub fn apply(mut self, bytes: &Bytes) -> Parts {
        self.list.sort_by_key(|(span, _)| span.start);
        if self.list.is_empty() {
            return Parts::one(bytes.clone());
        }
        if bytes.len() <= COPY_MAX {
            let added: usize = self.list.iter().map(|(_, text)| text.len()).sum();
            let mut whole = BytesMut::with_capacity(bytes.len() + added);
            let mut at = 0;
            for (span, text) in &self.list {
                whole.extend_from_slice(&bytes[at..span.start as usize]);
                whole.extend_from_slice(text);
                at = span.end as usize;
            }
            whole.extend_from_slice(&bytes[at..]);
            return Parts::one(whole.freeze());
        }
        let mut parts = Vec::with_capacity(2 * self.list.len() + 1);
        let mut at = 0;
        for (span, text) in self.list {
            parts.push(bytes.slice(at..span.start as usize));
            parts.push(text);
            at = span.end as usize;
        }
        parts.push(bytes.slice(at..));
        parts.retain(|part| !part.is_empty());
        Parts(Repr::Many(parts))
    }
}

/// A text in one or more parts, to be sent one after the other.
#[derive(Debug, Clone)]
pub struct Parts(Repr);

#[derive(Debug, Clone)]
enum Repr {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Parts {
    /// A whole text.
    pub fn one(bytes: Bytes) -> Self {
        Self(Repr::One(bytes))
    }

    /// Several.
    pub fn many(parts: Vec<Bytes>) -> Self {
        Self(Repr::Many(parts))
    }

    /// Each part.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        match &self.0 {
            Repr::One(one) => std::slice::from_ref(one),
            Repr::Many(many) => many.as_slice(),
        }
        .iter()
    }

    /// Bytes in all parts.
    pub fn len(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One text.
    pub fn whole(self) -> Bytes {
        match self.0 {
            Repr::One(one) => one,
            Repr::Many(many) => {
                let mut whole = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        }
    }

    /// The parts, in order.
    pub fn into_vec(self) -> Vec<Bytes> {
        match self.0 {
            Repr::One(one) => vec![one],
            Repr::Many(many) => many,
        }
    }
}

impl From<String> for Parts {
    fn from(text: String) -> Self {
        Self::one(text.into())
    }
}

#[cfg(test)]
mod tests;
