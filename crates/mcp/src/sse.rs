//! Server-sent events, both ways (WHATWG HTML, 9.2). Only what MCP uses: data, id and retry; an event with
//! empty data primes a stream and carries no message.

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::Parts;

/// An event as read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; empty means `message`.
    pub name: String,
    /// Its data, lines joined.
    pub data: Bytes,
}

/// An event outgrew the limit.
#[derive(Debug, thiserror::Error)]
#[error("an event is larger than {0} bytes")]
pub struct TooLarge(usize);

/// Reads events from chunks, however they are cut.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    searched: usize,
    event: Event,
    data: BytesMut,
    has_data: bool,
    limit: usize,
}

impl Decoder {
    /// With the largest event accepted, in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            event: Event::default(),
            data: BytesMut::new(),
            has_data: false,
            limit,
        }
    }

    /// Takes in more bytes.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole event that has data.
    pub fn event(&mut self) -> Result<Option<Event>, TooLarge> {
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                let data = self.data.split().freeze();
                if std::mem::take(&mut self.has_data) && !data.is_empty() {
                    return Ok(Some(Event { data, ..event }));
                }
                continue;
            }
            self.field(line);
            if self.data.len() > self.limit {
                return Err(TooLarge(self.limit));
            }
        }
    }

    /// One line without its end: `\n`, `\r\n` or `\r`.
    fn line(&mut self) -> Result<Option<BytesMut>, TooLarge> {
        let Some(step) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return if self.searched > self.limit + 64 { Err(TooLarge(self.limit)) } else { Ok(None) };
        };
        let end = self.searched + step;
        let width = match (self.buffer[end], self.buffer.get(end + 1)) {
            (b'\r', Some(b'\n')) => 2,
            // A lone carriage return may be the first half of a pair that is still under way.
            (b'\r', None) => {
                self.searched = end;
                return Ok(None);
            }
            _ => 1,
        };
        let line = self.buffer.split_to(end);
        self.buffer.advance(width);
        self.searched = 0;
        Ok(Some(line))
    }

    fn field(&mut self, mut line: BytesMut) {
        let colon = memchr::memchr(b':', &line).unwrap_or(line.len());
        let name = line.split_to(colon);
        if !line.is_empty() {
            line.advance(1);
        }
        if line.first() == Some(&b' ') {
            line.advance(1);
        }
        match &name[..] {
            b"data" if self.has_data => {
                self.data.extend_from_slice(b"\n");
                self.data.extend_from_slice(&line);
            }
            b"data" => {
                self.has_data = true;
                self.data = line;
            }
            b"event" => self.event.name = String::from_utf8_lossy(&line).into_owned(),
            _ => {}
        }
    }
}

/// A comment that keeps a quiet stream open through proxies, and shows us a peer that has gone.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// A message as one event.
pub fn event(message: Parts) -> Parts {
    let mut parts = vec![Bytes::from_static(b"data: ")];
    parts.extend(one_line(message).into_vec());
    parts.push(Bytes::from_static(b"\n\n"));
    let small: usize = parts.iter().map(Bytes::len).sum();
    let parts = Parts::many(parts);
    if small <= 16 * 1024 { Parts::one(parts.whole()) } else { parts }
}

/// A message without line ends. In JSON they stand only between tokens, so a space does as well.
pub fn one_line(message: Parts) -> Parts {
    if !message.iter().any(|part| memchr::memchr2(b'\n', b'\r', part).is_some()) {
        return message;
    }
    let mut whole = BytesMut::from(&message.whole()[..]);
    whole.iter_mut().filter(|b| matches!(b, b'\n' | b'\r')).for_each(|b| *b = b' ');
    Parts::one(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::new(1000);
        let mut found = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk);
            while let Some(event) = decoder.event().unwrap() {
                found.push(format!("{}={}", event.name, String::from_utf8_lossy(&event.data)));
            }
        }
        found
    }

    #[test]
    fn reads_what_servers_send() {
        assert_eq!(events(&[b"event: message\ndata: {}\n\n"]), ["message={}"]);
        assert_eq!(events(&[b"id: 1\ndata: \n\ndata:x\r\n\r\n: note\n\n"]), ["=x"]);
        assert_eq!(events(&[b"data: a\ndata: b\n\n"]), ["=a\nb"]);
        assert_eq!(events(&[b"data: a\r\rdata: b\n\n"]), ["=a", "=b"]);
        assert!(events(&[b"data: unfinished\n"]).is_empty());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = Decoder::new(100);
        decoder.feed(&[b'x'; 200]);
        assert!(decoder.event().is_err());
        let mut decoder = Decoder::new(100);
        decoder.feed("data: y\n".repeat(200).as_bytes());
        assert!(decoder.event().is_err());
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(texts in prop::collection::vec("[a-z{}\":,]{1,20}", 1..6), crlf: bool, cut in 1usize..9) {
            let end = if crlf { "\r\n" } else { "\n" };
            let stream: String = texts.iter().map(|t| format!("data: {t}{end}{end}")).collect();
            let chunks: Vec<_> = stream.as_bytes().chunks(cut).collect();
            let expected: Vec<_> = texts.iter().map(|t| format!("={t}")).collect();
            prop_assert_eq!(events(&chunks), expected);
        }

        #[test]
        fn what_is_written_reads_back(text in "[ -~\n]{1,50}") {
            prop_assume!(!text.trim().is_empty());
            let sent = event(Parts::from(text.clone())).whole();
            prop_assert_eq!(events(&[&sent]), [format!("={}", text.replace('\n', " "))]);
        }
    }
}
