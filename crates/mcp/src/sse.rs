//! Server-sent events, both ways (WHATWG HTML, 9.2). An event with empty data primes a stream and carries
//! no message.

use std::time::Duration;

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
    /// The event's name was that of one which has ended.
    ended: bool,
    name: Vec<u8>,
    /// The id of the event under way, which counts once that has ended.
    id: Vec<u8>,
    last_id: Vec<u8>,
    retry: Option<Duration>,
    /// The value of a field beside the data, as far as it is kept, and whether that is all of it.
    value: Vec<u8>,
    cut: bool,
}

/// What may stand before the first line.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Where in a line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// At the beginning of the stream, behind so many bytes of a mark of byte order.
    Mark(usize),
    /// At its beginning.
    Start,
    /// In the name of a field, of which so many bytes were read.
    Name(Field, usize),
    /// After the colon.
    Space(Field),
    /// In the value of a field.
    Value(Field),
    /// In a comment, or a field of no concern.
    Other,
}

/// A field that is read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Data,
    Event,
    Id,
    Retry,
}

impl Field {
    const fn name(self) -> &'static [u8] {
        match self {
            Field::Data => b"data",
            Field::Event => b"event",
            Field::Id => b"id",
            Field::Retry => b"retry",
        }
    }

    const fn beginning_with(byte: u8) -> Option<Self> {
        match byte {
            b'd' => Some(Field::Data),
            b'e' => Some(Field::Event),
            b'i' => Some(Field::Id),
            b'r' => Some(Field::Retry),
            _ => None,
        }
    }
}

impl Decoder {
    /// Longest value of a field beside the data that is kept, in bytes. An id or a wait that is longer is none.
    const VALUE_MAX: usize = 1024;

    /// With the largest event accepted, in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            place: Place::Mark(0),
            returned: false,
            size: 0,
            limit,
            ended: false,
            name: Vec::new(),
            id: Vec::new(),
            last_id: Vec::new(),
            retry: None,
            value: Vec::new(),
            cut: false,
        }
    }

    /// Takes in more bytes, once those before have been read.
    pub fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Begins with another stream that goes on where this one broke off: what was not finished is gone, its id too,
    /// so that the server sends it again.
    pub fn restart(&mut self) {
        self.chunk = Bytes::new();
        self.place = Place::Mark(0);
        self.returned = false;
        self.size = 0;
        self.ended = true;
        self.id.clone_from(&self.last_id);
    }

    /// The name of the event under way, or of the one that has just ended; mostly it has none.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The id of the last event that has ended, for `Last-Event-ID`; empty where none had one.
    pub fn last_id(&self) -> &[u8] {
        &self.last_id
    }

    /// How long the server wants a client to wait before it comes again.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The next piece, or nothing where more bytes are wanted. What a stream that ends leaves unfinished is
    /// no event.
    pub fn piece(&mut self) -> Result<Option<Piece>, TooLarge> {
        while let Some(&byte) = self.chunk.first() {
            let paired = std::mem::take(&mut self.returned);
            match (byte, self.place) {
                (b'\n', _) if paired => self.chunk.advance(1),
                (_, Place::Mark(known)) => {
                    let marked = MARK.get(known) == Some(&byte);
                    self.chunk.advance(usize::from(marked));
                    // Part of a mark begins a field that nobody knows.
                    let other = if known == 0 || known == MARK.len() { Place::Start } else { Place::Other };
                    self.place = if marked { Place::Mark(known + 1) } else { other };
                }
                // A field without a colon has an empty value.
                (b'\n' | b'\r', Place::Name(field, known)) if known == field.name().len() => {
                    self.place = Place::Space(field);
                    if let Some(piece) = self.begin(field)? {
                        return Ok(Some(piece));
                    }
                }
                (b'\n' | b'\r', place) => {
                    self.chunk.advance(1);
                    self.returned = byte == b'\r';
                    self.place = Place::Start;
                    if let Place::Space(field) | Place::Value(field) = place {
                        self.settle(field);
                    }
                    if place == Place::Start && self.end() {
                        return Ok(Some(Piece::End));
                    }
                }
                (_, Place::Start) => {
                    self.chunk.advance(1);
                    self.place = Field::beginning_with(byte).map_or(Place::Other, |f| Place::Name(f, 1));
                }
                (_, Place::Name(field, known)) => {
                    self.chunk.advance(1);
                    self.place = match (byte, field.name().get(known)) {
                        (b':', None) => Place::Space(field),
                        (_, Some(next)) if *next == byte => Place::Name(field, known + 1),
                        _ => Place::Other,
                    };
                    if let Place::Space(field) = self.place
                        && let Some(piece) = self.begin(field)?
                    {
                        return Ok(Some(piece));
                    }
                }
                (b' ', Place::Space(field)) => {
                    self.chunk.advance(1);
                    self.place = Place::Value(field);
                }
                (_, Place::Space(Field::Data) | Place::Value(Field::Data)) => {
                    self.place = Place::Value(Field::Data);
                    let text = self.rest_of_line();
                    return self.data(text).map(Some);
                }
                (_, Place::Space(field) | Place::Value(field)) => {
                    self.place = Place::Value(field);
                    let text = self.rest_of_line();
                    let room = Self::VALUE_MAX - self.value.len();
                    self.cut |= text.len() > room;
                    self.value.extend_from_slice(&text[..text.len().min(room)]);
                }
                (_, Place::Other) => drop(self.rest_of_line()),
            }
        }
        Ok(None)
    }

    /// At an empty line: whether an event with data ends here.
    fn end(&mut self) -> bool {
        self.ended = true;
        self.last_id.clone_from(&self.id);
        std::mem::take(&mut self.size) > 0
    }

    /// At the colon of a field.
    fn begin(&mut self, field: Field) -> Result<Option<Piece>, TooLarge> {
        if std::mem::take(&mut self.ended) {
            self.name.clear();
        }
        if field != Field::Data {
            self.value.clear();
            self.cut = false;
        } else if self.size > 0 {
            return self.data(Bytes::from_static(b"\n")).map(Some);
        }
        Ok(None)
    }

    /// At the end of a field.
    fn settle(&mut self, field: Field) {
        match field {
            Field::Event => std::mem::swap(&mut self.name, &mut self.value),
            Field::Id if !self.cut && !self.value.contains(&0) => {
                std::mem::swap(&mut self.id, &mut self.value);
            }
            Field::Retry if !self.cut => self.retry = wait(&self.value).or(self.retry),
            Field::Data | Field::Id | Field::Retry => {}
        }
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

/// A number of milliseconds: ASCII digits and nothing else.
fn wait(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok().map(Duration::from_millis)
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
        assert_eq!(events(&[b"data: a\ndata\n\n"]), ["a\n"]);
        assert_eq!(events(&[b"\xef\xbb", b"\xbfdata: a\n\n"]), ["a"]);
        assert_eq!(events(&[b"dat: 1\ndata2: 2\n:data: 3\ndata\ndata: 4\n\n"]), ["4"]);
        assert!(events(&[b"data: unfinished\n"]).is_empty());
    }

    #[test]
    fn names_ids_and_waits_are_read_beside_the_data() {
        let mut decoder = Decoder::new(100);
        let mut ended = |chunk: &'static str| {
            decoder.feed(Bytes::from_static(chunk.as_bytes()));
            while !matches!(decoder.piece().unwrap(), Some(Piece::End) | None) {}
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(decoder.name()), text(decoder.last_id()), decoder.retry())
        };
        let wait = Some(Duration::from_millis(250));
        assert_eq!(ended("event: endpoint\ndata: /m\n\n"), ("endpoint".into(), String::new(), None));
        assert_eq!(ended("id: 7\nretry: 250\ndata: {}\n\n"), (String::new(), "7".into(), wait));
        assert_eq!(ended("eve: x\nretry: soon\ndata: {}\n\n"), (String::new(), "7".into(), wait));
        assert_eq!(ended("retry: +9\nid: a\0b\ndata: {}\n\n"), (String::new(), "7".into(), wait));
        assert_eq!(ended("id\ndata: {}\n\n"), (String::new(), String::new(), wait));
    }

    /// An id of an event that has not come whole would have the server go on behind it.
    #[test]
    fn a_stream_that_broke_off_leaves_nothing_but_the_id_of_its_last_event() {
        let mut decoder = Decoder::new(100);
        decoder.feed(Bytes::from_static(b"id: 7\ndata:\n\nid: 8\ndata: {\"a\""));
        while decoder.piece().unwrap().is_some() {}
        assert_eq!(decoder.last_id(), b"7");
        decoder.restart();
        decoder.feed(Bytes::from_static(b"data: {}\n\n"));
        assert_eq!(decoder.piece().unwrap(), Some(Piece::Data(Bytes::from_static(b"{}"))));
        assert_eq!((decoder.piece().unwrap(), decoder.last_id()), (Some(Piece::End), &b"7"[..]));
    }

    #[test]
    fn an_id_is_kept_whole_or_not_at_all() {
        let mut decoder = Decoder::new(100);
        decoder.feed(Bytes::from(format!("id: 7\n\nid: {}\ndata: {{}}\n\n", "x".repeat(2000))));
        while decoder.piece().unwrap() != Some(Piece::End) {}
        assert_eq!(decoder.last_id(), b"7");
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
