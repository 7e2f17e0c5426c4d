//! Server-sent events, both ways (WHATWG HTML, 9.2). Only what MCP uses: data; an event with empty data
//! primes a stream and carries no message.

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::Parts;

/// What comes next of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data of the event under way.
    Data(Bytes),
    /// Its end.
    End,
}

/// An event outgrew the limit.
#[derive(Debug, thiserror::Error)]
#[error("an event is larger than {0} bytes")]
pub struct TooLarge(usize);

/// Reads events from chunks, however they are cut. Data is passed on as it comes and shares the memory of
/// its chunk.
#[derive(Debug)]
pub struct Decoder {
    chunk: Bytes,
    place: Place,
    /// The last line ended with a carriage return, and a line feed after it belongs to it.
    returned: bool,
    /// Bytes of data in the event under way.
    size: usize,
    limit: usize,
}

/// Where in a line.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the name of a field, which has begun with so many bytes of `data`.
    Name(usize),
    /// After `data:`.
    Space,
    /// In data.
    Data,
    /// In a comment, or a field of no concern.
    Other,
}

impl Decoder {
    /// With the largest event accepted, in bytes.
    pub fn new(limit: usize) -> Self {
        Self { chunk: Bytes::new(), place: Place::Name(0), returned: false, size: 0, limit }
    }

    /// Takes in more bytes, once those before have been read.
    pub fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// The next piece, or nothing where more bytes are wanted. What a stream that ends leaves unfinished is
    /// no event.
    pub fn piece(&mut self) -> Result<Option<Piece>, TooLarge> {
        while let Some(&byte) = self.chunk.first() {
            let paired = std::mem::take(&mut self.returned);
            match (byte, self.place) {
                (b'\n', _) if paired => self.chunk.advance(1),
                (b'\n' | b'\r', _) => {
                    self.chunk.advance(1);
                    self.returned = byte == b'\r';
                    let blank = matches!(std::mem::replace(&mut self.place, Place::Name(0)), Place::Name(0));
                    if blank && std::mem::take(&mut self.size) > 0 {
                        return Ok(Some(Piece::End));
                    }
                }
                (_, Place::Name(known)) => {
                    self.chunk.advance(1);
                    self.place = match (byte, known) {
                        (b':', 4) => Place::Space,
                        _ if b"data".get(known) == Some(&byte) => Place::Name(known + 1),
                        _ => Place::Other,
                    };
                    if self.size > 0 && matches!(self.place, Place::Space) {
                        return self.data(Bytes::from_static(b"\n")).map(Some);
                    }
                }
                (b' ', Place::Space) => {
                    self.chunk.advance(1);
                    self.place = Place::Data;
                }
                (_, Place::Space | Place::Data) => {
                    self.place = Place::Data;
                    let text = self.rest_of_line();
                    return self.data(text).map(Some);
                }
                (_, Place::Other) => drop(self.rest_of_line()),
            }
        }
        Ok(None)
    }

    fn rest_of_line(&mut self) -> Bytes {
        let end = memchr::memchr2(b'\n', b'\r', &self.chunk).unwrap_or(self.chunk.len());
        self.chunk.split_to(end)
    }

    fn data(&mut self, text: Bytes) -> Result<Piece, TooLarge> {
        self.size += text.len();
        if self.size > self.limit { Err(TooLarge(self.limit)) } else { Ok(Piece::Data(text)) }
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
        let (mut found, mut data) = (Vec::new(), Vec::new());
        for chunk in chunks {
            decoder.feed(Bytes::copy_from_slice(chunk));
            while let Some(piece) = decoder.piece().unwrap() {
                match piece {
                    Piece::Data(text) => data.extend_from_slice(&text),
                    Piece::End => found.push(String::from_utf8(std::mem::take(&mut data)).unwrap()),
                }
            }
        }
        found
    }

    #[test]
    fn reads_what_servers_send() {
        assert_eq!(events(&[b"event: message\ndata: {}\n\n"]), ["{}"]);
        assert_eq!(events(&[b"id: 1\ndata: \n\ndata:x\r\n\r\n: note\n\n"]), ["x"]);
        assert_eq!(events(&[b"data: a\ndata:  b\n\n"]), ["a\n b"]);
        assert_eq!(events(&[b"data: a\r\rdata: b\n\n"]), ["a", "b"]);
        assert_eq!(events(&[b"dat: 1\ndata2: 2\n:data: 3\ndata\ndata: 4\n\n"]), ["4"]);
        assert!(events(&[b"data: unfinished\n"]).is_empty());
    }

    #[test]
    fn an_event_has_a_limit_and_anything_else_takes_no_memory() {
        let mut decoder = Decoder::new(100);
        decoder.feed(Bytes::from_static(&[b'x'; 200]));
        assert_eq!(decoder.piece().unwrap(), None);
        decoder.feed(Bytes::from("\n".to_owned() + &"data: y\n".repeat(200)));
        let ended = std::iter::from_fn(|| decoder.piece().transpose()).find(Result::is_err);
        assert!(ended.is_some());
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(texts in prop::collection::vec("[a-z{}\":,]{1,20}", 1..6), crlf: bool, cut in 1usize..9) {
            let end = if crlf { "\r\n" } else { "\n" };
            let stream: String = texts.iter().map(|t| format!("data: {t}{end}{end}")).collect();
            let chunks: Vec<_> = stream.as_bytes().chunks(cut).collect();
            prop_assert_eq!(events(&chunks), texts);
        }

        #[test]
        fn what_is_written_reads_back(text in "[ -~\n]{1,50}") {
            prop_assume!(!text.trim().is_empty());
            let sent = event(Parts::from(text.clone())).whole();
            prop_assert_eq!(events(&[&sent]), [text.replace('\n', " ")]);
        }
    }
}
