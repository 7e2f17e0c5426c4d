//! The head of an HTTP/1.1 answer, the two framings of its body, and the message within SSE.
//!
//! Only what MCP servers send: no continuation lines, no bodies that end with the connection.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use crate::Result;

/// The longest head and the longest chunk-size line taken.
const HEAD_MAX: usize = 64 << 10;
const LINE_MAX: usize = 1024;

#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The bytes of the head itself, the empty line included.
    pub(super) length: usize,
    pub(super) body: Framing,
    /// The body is a stream of events.
    pub(super) events: bool,
    /// Where the session's id stands, if there is one.
    pub(super) session: Option<Range<usize>>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// Reads a head from the start of `bytes`; `None` when there is not enough of it yet.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_MAX {
            Err("the head of an answer is too long".into())
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(&bytes[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
    let status: u16 = status.ok_or("not an HTTP/1.1 answer")?.parse()?;
    let mut head = Head { status, length: end + 4, body: Framing::Length(0), events: false, session: None };
    let mut framed = matches!(status, 100..200 | 204 | 304);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            (head.body, framed) = (Framing::Length(value.parse()?), true);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            (head.body, framed) = (Framing::Chunked, true);
        } else if name.eq_ignore_ascii_case("content-type") {
            head.events = value.starts_with("text/event-stream");
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            let start = value.as_ptr().addr() - bytes.as_ptr().addr();
            head.session = Some(start..start + value.len());
        }
    }
    if framed { Ok(Some(head)) } else { Err(format!("an answer ({status}) without length").into()) }
}

/// Takes chunked bodies apart, however they are cut into reads.
#[derive(Default)]
pub(super) struct Chunks {
    state: State,
    left: usize,
}

#[derive(Default)]
enum State {
    #[default]
    Size,
    Data,
    /// The line end after data.
    DataEnd,
    Trailers,
}

impl Chunks {
    /// Moves what it can from `bytes` to `body`; returns how much was taken and whether that is all.
    pub(super) fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool)> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if let State::Data = self.state {
                let count = self.left.min(rest.len());
                body.extend_from_slice(&rest[..count]);
                self.left -= count;
                at += count;
                if self.left > 0 {
                    return Ok((at, false));
                }
                self.state = State::DataEnd;
                continue;
            }
            let Some(end) = memmem::find(rest, b"\r\n") else {
                let long = rest.len() > LINE_MAX;
                return if long { Err("a chunk without size".into()) } else { Ok((at, false)) };
            };
            let line = std::str::from_utf8(&rest[..end])?;
            at += end + 2;
            match self.state {
                State::Size => {
                    let size = line.split(';').next().unwrap_or_default().trim();
                    self.left = usize::from_str_radix(size, 16)?;
                    self.state = if self.left == 0 { State::Trailers } else { State::Data };
                }
                State::Trailers if line.is_empty() => return Ok((at, true)),
                State::DataEnd if line.is_empty() => self.state = State::Size,
                State::DataEnd => return Err("a chunk longer than its size".into()),
                State::Trailers | State::Data => {}
            }
        }
    }
}

/// The last message in a stream of events: the answer comes after what else there is to say.
pub(super) fn last_event(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut last: Option<Cow<'_, [u8]>> = None;
    let mut current: Option<Cow<'_, [u8]>> = None;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            last = current.take().filter(|data| !data.is_empty()).or(last);
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            current = Some(match current {
                None => Cow::Borrowed(data),
                Some(before) => Cow::Owned([&before, data].join(&b'\n')),
            });
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nMcp-Session-Id: s-1 \r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
        for end in 0..bytes.len() - 3 {
            assert_eq!(head(&bytes[..end]).unwrap(), None);
        }
        let head = head(bytes).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.events), (200, bytes.len() - 3, true));
        assert_eq!(head.body, Framing::Chunked);
        assert_eq!(&bytes[head.session.unwrap()], b"s-1");
    }

    #[test]
    fn lengths_are_believed_and_their_absence_is_not() {
        let length = |bytes: &[u8]| head(bytes).map(|head| head.unwrap().body);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap(), Framing::Length(12));
        assert_eq!(length(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Framing::Length(0));
        assert!(length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(length(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let bytes = b"4;x=1\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\nnext";
        for cut in 1..bytes.len() {
            let (mut chunks, mut body, mut buffer) = (Chunks::default(), Vec::new(), Vec::new());
            let mut done = false;
            for piece in bytes.chunks(cut) {
                buffer.extend_from_slice(piece);
                if !done {
                    let taken;
                    (taken, done) = chunks.take(&buffer, &mut body).unwrap();
                    buffer.drain(..taken);
                }
            }
            assert!(done);
            assert_eq!((&body[..], &buffer[..]), (&b"Wikipedia in \r\n\r\nchunks."[..], &b"next"[..]));
        }
        assert!(Chunks::default().take(b"3\r\nabcd\r\n", &mut Vec::new()).is_err());
    }

    #[test]
    fn the_answer_is_the_last_event_that_says_something() {
        let check = |body: &str, expected: Option<&str>| {
            let data = last_event(body.as_bytes()).map(|data| String::from_utf8(data.into_owned()).unwrap());
            assert_eq!(data.as_deref(), expected);
        };
        check("event: message\r\ndata: {\"id\":1}\r\n\r\n", Some("{\"id\":1}"));
        check(
            "id: 7\ndata: \n\ndata: {\"method\":1}\n\n: ping\n\ndata:{\"a\":\ndata: 2}\n\n",
            Some("{\"a\":\n2}"),
        );
        check("data: {}\n\nid: 8\ndata:\n\n", Some("{}"));
        check(": nothing\n\n", None);
        check("data: cut off", None);
    }
}
