//! Reads one message as it comes, in however many pieces, and notes where the members lie that routing
//! needs. Everything else is stepped over.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use crate::frame::Frame;
use crate::scan::{DEPTH_MAX, Fault, Skip, Span, scalar_end, string_end, unquoted};

/// Pieces below this are joined, in bytes.
const PIECE_MIN: usize = 4 * 1024;

/// A message that is being read.
#[derive(Debug, Default)]
pub struct Reader {
    frame: Frame,
    /// Bytes of the pieces before this one.
    before: usize,
    place: Place,
    next: Next,
    member: Member,
    version: bool,
    /// Members that were there, though they may have left no span.
    id: bool,
    params: bool,
    skip: Skip,
    escaped: bool,
    /// The beginning of a key, or of a value that is looked at, where a piece ended in it.
    cut: Vec<u8>,
    /// Small pieces after the first one.
    small: BytesMut,
    /// What ended the reading. Kept here, since steps that answer it themselves take longer.
    fault: Option<Fault>,
}

/// The object whose members are being read.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    Message,
    Params,
    Meta,
    Result,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Next {
    /// The bracket that opens the message.
    #[default]
    Open,
    /// A key, or the bracket that closes an object without members.
    First,
    /// A key.
    Key,
    /// The rest of a key.
    InKey,
    Colon,
    Value,
    /// The rest of a string or container.
    InValue,
    /// The rest of a number or literal.
    InScalar,
    /// A comma, or the bracket that closes the object.
    More,
    /// Nothing.
    End,
}

/// The member whose value comes or is under way.
#[derive(Debug, Clone, Copy)]
struct Member {
    start: u32,
    kind: Is,
}

impl Default for Member {
    fn default() -> Self {
        Self { start: 0, kind: Is::Other }
    }
}

/// What a member is to us.
#[derive(Debug, Clone, Copy)]
enum Is {
    /// Of no concern.
    Other,
    /// `jsonrpc`.
    Version,
    /// `id`.
    Id,
    /// `method`.
    Method,
    /// To be found again.
    At(fn(&mut Frame) -> &mut Span),
    /// An object whose members matter, or whatever stands in its place.
    Object(Place),
}

impl Reader {
    /// Takes in the next piece. Small ones are joined: whoever sends byte by byte must not make us keep a
    /// handle, and the buffer behind it, for each byte.
    pub fn feed(&mut self, piece: Bytes) -> Result<(), Fault> {
        self.scan(&piece)?;
        if piece.len() < PIECE_MIN && !self.frame.parts.is_empty() {
            self.small.extend_from_slice(&piece);
        } else {
            self.flush();
            self.frame.parts.push(piece);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.frame.parts.push(self.small.split().freeze());
        }
    }

    fn scan(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        if u32::try_from(self.before + piece.len()).is_err() {
            return Err(Fault { at: self.before, why: "the message is larger than 4 GiB" });
        }
        while let Some(after) = self.step(piece, at) {
            at = after;
        }
        if let Some(Fault { at, why }) = self.fault {
            return Err(Fault { at: self.before + at, why });
        }
        self.before += piece.len();
        Ok(())
    }

    /// Ends the reading.
    #[cold]
    fn fail(&mut self, at: usize, why: &'static str) -> Option<usize> {
        self.fault = Some(Fault { at, why });
        None
    }

    /// The message, once all of it has been fed.
    pub fn finish(mut self) -> Result<Frame, Fault> {
        if self.next != Next::End {
            return Err(Fault { at: self.before, why: "the text ends too early" });
        }
        if !self.version {
            return Err(Fault { at: 0, why: "\"jsonrpc\" must be \"2.0\"" });
        }
        self.flush();
        Ok(self.frame)
    }

    /// Bytes fed.
    pub fn len(&self) -> usize {
        self.before
    }

    /// Whether nothing has been fed.
    pub fn is_empty(&self) -> bool {
        self.before == 0
    }

    #[allow(clippy::cast_possible_truncation, reason = "feed takes no more than 4 GiB")]
    fn global(&self, at: usize) -> u32 {
        (self.before + at) as u32
    }

    /// Reads one element of the grammar; answers the place after it, or nothing at the end of the piece or where
    /// a fault is.
    fn step(&mut self, piece: &[u8], at: usize) -> Option<usize> {
        match self.next {
            Next::InKey => return self.key(piece, at, at),
            Next::InValue => return self.value(piece, at, at),
            Next::InScalar => return self.scalar(piece, at, at),
            _ => {}
        }
        let space = piece[at..].iter().take_while(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')).count();
        let at = at + space;
        let &byte = piece.get(at)?;
        let why = match (self.next, byte) {
            (Next::Open, b'{') => {
                self.next = Next::First;
                return Some(at + 1);
            }
            (Next::First | Next::Key, b'"') => {
                self.fill();
                self.escaped = false;
                return self.key(piece, at, at + 1);
            }
            (Next::Colon, b':') => {
                self.next = Next::Value;
                return Some(at + 1);
            }
            (Next::Value, _) => return self.begin(piece, at, byte),
            (Next::More, b',') => {
                self.next = Next::Key;
                return Some(at + 1);
            }
            (Next::First | Next::More, b'}') => {
                self.close(at + 1);
                return Some(at + 1);
            }
            (Next::Open, _) => "an object was expected",
            (Next::First | Next::Key, _) => "a key was expected",
            (Next::Colon, _) => "':' was expected",
            (Next::More, _) => "',' or '}' was expected",
            _ => "text after the end",
        };
        self.fail(at, why)
    }

    fn fill(&mut self) {
        match self.place {
            Place::Message => {}
            Place::Params => self.frame.params.filled = true,
            Place::Meta => self.frame.params.meta.filled = true,
            Place::Result => self.frame.result.filled = true,
        }
    }

    /// Reads a key from its quote, or goes on in one.
    fn key(&mut self, piece: &[u8], from: usize, at: usize) -> Option<usize> {
        let Some(end) = string_end(piece, at, &mut self.escaped) else {
            self.cut.extend_from_slice(&piece[from..]);
            self.next = Next::InKey;
            return None;
        };
        let raw = joined(&mut self.cut, &piece[from..end]);
        let plain = &raw[1..raw.len() - 1];
        self.member.kind = match meaning(self.place, plain) {
            // A key may be written with escapes; it is compared as it reads.
            Is::Other if memchr::memchr(b'\\', plain).is_some() => {
                let Some(key) = unquoted(&raw) else { return self.fail(at, "the key is no valid string") };
                meaning(self.place, key.as_bytes())
            }
            kind => kind,
        };
        self.next = Next::Colon;
        Some(self.at_once(piece, end, b':', Next::Value))
    }

    /// Takes the byte that mostly follows, where it does.
    fn at_once(&mut self, piece: &[u8], at: usize, expected: u8, then: Next) -> usize {
        let found = piece.get(at) == Some(&expected);
        if found {
            self.next = then;
        }
        at + usize::from(found)
    }

    /// Begins a value.
    fn begin(&mut self, piece: &[u8], at: usize, byte: u8) -> Option<usize> {
        if let Is::Object(place) = self.member.kind {
            let twice = match place {
                Place::Params => std::mem::replace(&mut self.params, true),
                _ => self.whole(place).is_some(),
            };
            if twice {
                return self.fail(at, "a member stands twice");
            }
            if byte == b'{' {
                let global = self.global(at);
                *self.whole(place) = Span { start: global, end: global + 1 };
                self.place = place;
                self.next = Next::First;
                return Some(at + 1);
            }
            self.member.kind = match place {
                Place::Meta => Is::At(|f| &mut f.params.meta.whole),
                Place::Result => Is::At(|f| &mut f.result.whole),
                // Positional or null params carry nothing for us; whoever needs a member will miss it.
                _ => Is::Other,
            };
        }
        self.member.start = self.global(at);
        match byte {
            b'"' | b'{' | b'[' => {
                if byte != b'"' && matches!(self.member.kind, Is::Method) {
                    return self.fail(at, "a string was expected");
                }
                self.skip = Skip::default();
                self.value(piece, at, at)
            }
            _ if matches!(self.member.kind, Is::Method) => self.fail(at, "a string was expected"),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.scalar(piece, at, at),
            _ => self.fail(at, "a value was expected"),
        }
    }

    fn value(&mut self, piece: &[u8], from: usize, at: usize) -> Option<usize> {
        let room = DEPTH_MAX
            - match self.place {
                Place::Message => 1,
                Place::Params | Place::Result => 2,
                Place::Meta => 3,
            };
        match self.skip.resume(piece, at, room) {
            Ok(end) => self.ended(piece, from, end, Next::InValue),
            Err(Fault { at, why }) => self.fail(at, why),
        }
    }

    fn scalar(&mut self, piece: &[u8], from: usize, at: usize) -> Option<usize> {
        self.ended(piece, from, scalar_end(piece, at), Next::InScalar)
    }

    /// A value has ended, or the piece has in the middle of it.
    fn ended(&mut self, piece: &[u8], from: usize, end: Option<usize>, rest: Next) -> Option<usize> {
        let looked_at = matches!(self.member.kind, Is::Version | Is::Id);
        let Some(end) = end else {
            if looked_at {
                self.cut.extend_from_slice(&piece[from..]);
            }
            self.next = rest;
            return None;
        };
        let span = Span { start: self.member.start, end: self.global(end) };
        let found = if looked_at {
            let raw = joined(&mut self.cut, &piece[from..end]);
            self.look(&raw, span)
        } else if let Is::Method = self.member.kind {
            once(&mut self.frame.method, span)
        } else if let Is::At(slot) = self.member.kind {
            once(slot(&mut self.frame), span)
        } else {
            Ok(())
        };
        if let Err(why) = found {
            return self.fail(from, why);
        }
        self.next = Next::More;
        Some(self.at_once(piece, end, b',', Next::Key))
    }

    /// Checks the members that must have a certain value.
    fn look(&mut self, raw: &[u8], span: Span) -> Result<(), &'static str> {
        if let Is::Version = self.member.kind {
            return match (raw, self.version) {
                (_, true) => Err("a member stands twice"),
                (b"\"2.0\"", _) => {
                    self.version = true;
                    Ok(())
                }
                _ => Err("\"jsonrpc\" must be \"2.0\""),
            };
        }
        if std::mem::replace(&mut self.id, true) {
            return Err("a member stands twice");
        }
        match raw {
            b"null" => Ok(()),
            _ if is_id(raw) => {
                self.frame.id = span;
                Ok(())
            }
            _ => Err("\"id\" must be a string or a number"),
        }
    }

    fn whole(&mut self, place: Place) -> &mut Span {
        match place {
            Place::Result => &mut self.frame.result.whole,
            Place::Meta => &mut self.frame.params.meta.whole,
            _ => &mut self.frame.params.whole,
        }
    }

    fn close(&mut self, end: usize) {
        let end = self.global(end);
        if self.place == Place::Message {
            self.next = Next::End;
            return;
        }
        self.whole(self.place).end = end;
        self.place = if self.place == Place::Meta { Place::Params } else { Place::Message };
        self.next = Next::More;
    }
}

/// What was cut off before, and its end.
fn joined<'a>(cut: &mut Vec<u8>, end: &'a [u8]) -> Cow<'a, [u8]> {
    if cut.is_empty() {
        return Cow::Borrowed(end);
    }
    let mut whole = std::mem::take(cut);
    whole.extend_from_slice(end);
    Cow::Owned(whole)
}

/// Whether a value is a string or a number. It comes back in answers of ours, so it is looked at more closely than
/// what is passed on.
fn is_id(raw: &[u8]) -> bool {
    match raw {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => true,
        [b'"', text @ .., b'"'] if text.iter().all(|b| matches!(b, b' '..=b'~') && *b != b'\\') => true,
        [b'"' | b'-' | b'0'..=b'9', ..] => serde_json::from_slice::<&RawValue>(raw).is_ok(),
        _ => false,
    }
}

/// Two members of one name let two readers see two messages, so they are refused where we read them.
fn once(slot: &mut Span, found: Span) -> Result<(), &'static str> {
    if slot.is_some() {
        return Err("a member stands twice");
    }
    *slot = found;
    Ok(())
}

fn meaning(place: Place, key: &[u8]) -> Is {
    match place {
        Place::Message => match key {
            b"jsonrpc" => Is::Version,
            b"id" => Is::Id,
            b"method" => Is::Method,
            b"params" => Is::Object(Place::Params),
            b"result" => Is::Object(Place::Result),
            b"error" => Is::At(|f| &mut f.error),
            _ => Is::Other,
        },
        Place::Params => of_params(key),
        Place::Meta => of_meta(key),
        Place::Result => of_result(key),
    }
}

fn of_params(key: &[u8]) -> Is {
    Is::At(match key {
        b"name" => |f| &mut f.params.name,
        b"arguments" => |f| &mut f.params.arguments,
        b"uri" => |f| &mut f.params.uri,
        b"ref" => |f| &mut f.params.reference,
        b"taskId" => |f| &mut f.params.task_id,
        b"cursor" => |f| &mut f.params.cursor,
        b"level" => |f| &mut f.params.level,
        b"requestId" => |f| &mut f.params.request_id,
        b"progressToken" => |f| &mut f.params.progress_token,
        b"protocolVersion" => |f| &mut f.params.protocol_version,
        b"capabilities" => |f| &mut f.params.capabilities,
        b"clientInfo" => |f| &mut f.params.client_info,
        b"notifications" => |f| &mut f.params.notifications,
        b"_meta" => return Is::Object(Place::Meta),
        _ => return Is::Other,
    })
}

fn of_meta(key: &[u8]) -> Is {
    Is::At(match key {
        b"io.modelcontextprotocol/protocolVersion" => |f| &mut f.params.meta.protocol_version,
        b"io.modelcontextprotocol/clientCapabilities" => |f| &mut f.params.meta.client_capabilities,
        b"io.modelcontextprotocol/clientInfo" => |f| &mut f.params.meta.client_info,
        b"io.modelcontextprotocol/logLevel" => |f| &mut f.params.meta.log_level,
        b"io.modelcontextprotocol/subscriptionId" => |f| &mut f.params.meta.subscription_id,
        b"progressToken" => |f| &mut f.params.meta.progress_token,
        b"traceparent" => |f| &mut f.params.meta.traceparent,
        _ => return Is::Other,
    })
}

fn of_result(key: &[u8]) -> Is {
    Is::At(match key {
        b"resultType" => |f| &mut f.result.result_type,
        b"isError" => |f| &mut f.result.is_error,
        b"ttlMs" => |f| &mut f.result.ttl,
        b"cacheScope" => |f| &mut f.result.cache_scope,
        b"content" => |f| &mut f.result.content,
        b"contents" => |f| &mut f.result.contents,
        b"messages" => |f| &mut f.result.messages,
        b"nextCursor" => |f| &mut f.result.next_cursor,
        _ => return Is::Other,
    })
}
