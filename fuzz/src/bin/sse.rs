//! Server-sent events. What is read does not depend on how the stream is cut, and is what the standard says (WHATWG
//! HTML, 9.2.6) but for two things: an event whose data begins with empty lines begins with its first byte, and one
//! without any is none. What is written is read back.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use puerto_fuzz::pieces;
use puerto_mcp::frame::Parts;
use puerto_mcp::sse::{Decoder, Piece, event, one_line};

/// Largest event here, small enough to be met.
const LIMIT: usize = 200;
/// Longest id, in bytes (`Decoder::VALUE_MAX`).
const VALUE_MAX: usize = 1024;

/// What a reader knows when an event has ended.
#[derive(Debug, Default, PartialEq)]
struct Event {
    data: Vec<u8>,
    name: Vec<u8>,
    last_id: Vec<u8>,
    retry: Option<Duration>,
}

/// All of a stream, and whether it was read to its end.
#[derive(Debug, Default, PartialEq)]
struct Stream {
    events: Vec<Event>,
    fits: bool,
}

fuzz_target!(|stream: &[u8]| {
    let whole = read(&[Bytes::copy_from_slice(stream)]);
    assert_eq!(whole, expected(stream));
    for way in 0..3 {
        assert_eq!(read(&pieces(stream, way)), whole, "cut in way {way}");
    }
    for way in 1..3 {
        written(stream, Parts::many(pieces(stream, way)));
    }
});

fn read(chunks: &[Bytes]) -> Stream {
    let mut decoder = Decoder::new(LIMIT);
    let (mut read, mut data) = (Stream::default(), Vec::new());
    for chunk in chunks {
        decoder.feed(chunk.clone());
        loop {
            match decoder.piece() {
                Ok(Some(Piece::Data(text))) => data.extend_from_slice(&text),
                Ok(Some(Piece::End)) => read.events.push(Event {
                    data: std::mem::take(&mut data),
                    name: decoder.name().to_vec(),
                    last_id: decoder.last_id().to_vec(),
                    retry: decoder.retry(),
                }),
                Ok(None) => break,
                Err(_) => return read,
            }
        }
    }
    Stream { fits: true, ..read }
}

/// The same, line by line and in the order of the standard.
fn expected(stream: &[u8]) -> Stream {
    let stream = stream.strip_prefix("\u{feff}".as_bytes()).unwrap_or(stream);
    let (mut found, mut now, mut id, mut rest) = (Stream::default(), Event::default(), Vec::new(), stream);
    loop {
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let line = &rest[..end.unwrap_or(rest.len())];
        let colon = line.iter().position(|b| *b == b':');
        let (field, value) = colon.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        // A line that has no end may still be longer than an event may be.
        if field == b"data" && (colon.is_some() || end.is_some()) {
            now.data.extend((!now.data.is_empty()).then_some(b'\n'));
            now.data.extend_from_slice(value);
        }
        if now.data.len() > LIMIT {
            return found;
        }
        let Some(end) = end else { return Stream { fits: true, ..found } };
        match field {
            b"event" => now.name = value[..value.len().min(VALUE_MAX)].to_vec(),
            b"id" if value.len() <= VALUE_MAX && !value.contains(&0) => id = value.to_vec(),
            b"retry" => now.retry = wait(value).or(now.retry),
            _ => {}
        }
        if line.is_empty() {
            now.last_id.clone_from(&id);
            let next = Event { last_id: id.clone(), retry: now.retry, ..Event::default() };
            let ended = std::mem::replace(&mut now, next);
            found.events.extend((!ended.data.is_empty()).then_some(ended));
        }
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
    }
}

/// ASCII digits that stand for a number of milliseconds.
fn wait(value: &[u8]) -> Option<Duration> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok().map(Duration::from_millis)
}

/// A message goes out on one line, however it lies in memory, and comes back as it went.
fn written(message: &[u8], parts: Parts) {
    let line: Vec<_> = message.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect();
    assert_eq!(one_line(parts.clone()).whole(), line);
    let mut decoder = Decoder::new(usize::MAX);
    decoder.feed(event(parts).whole());
    let mut data = Vec::new();
    while let Ok(Some(Piece::Data(text))) = decoder.piece() {
        data.extend_from_slice(&text);
    }
    assert_eq!(data, line);
    // Text of JSON is still that of the same value: in it, line ends stand between tokens only.
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(message) {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).ok(), Some(value));
    }
}
