//! The envelope. With serde_json as the judge: of a text that is JSON the shallow reader takes exactly what is one
//! JSON-RPC message without members that stand twice, and finds its members where they are. A text that is no JSON it
//! may take all the same: inside values that are stepped over it checks brackets, the ends of strings and depth only.
//! In pieces a message reads as in one, and edits leave everything else byte for byte.
#![no_main]

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use puerto_fuzz::{pieces, stretched};
use puerto_mcp::frame::{Edits, Frame, Kind, Message, Meta, Outcome, Params, Parts, Reader, batch};
use puerto_mcp::scan::{DEPTH_MAX, Fault, Scanner, Span};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Messages of a batch here.
const BATCH_MAX: usize = 8;

const PARAMS: [(&str, fn(&Params) -> Span); 13] = [
    ("name", |p| p.name),
    ("arguments", |p| p.arguments),
    ("uri", |p| p.uri),
    ("ref", |p| p.reference),
    ("taskId", |p| p.task_id),
    ("cursor", |p| p.cursor),
    ("level", |p| p.level),
    ("requestId", |p| p.request_id),
    ("progressToken", |p| p.progress_token),
    ("protocolVersion", |p| p.protocol_version),
    ("capabilities", |p| p.capabilities),
    ("clientInfo", |p| p.client_info),
    ("notifications", |p| p.notifications),
];

const META: [(&str, fn(&Meta) -> Span); 7] = [
    ("io.modelcontextprotocol/protocolVersion", |m| m.protocol_version),
    ("io.modelcontextprotocol/clientCapabilities", |m| m.client_capabilities),
    ("io.modelcontextprotocol/clientInfo", |m| m.client_info),
    ("io.modelcontextprotocol/logLevel", |m| m.log_level),
    ("io.modelcontextprotocol/subscriptionId", |m| m.subscription_id),
    ("progressToken", |m| m.progress_token),
    ("traceparent", |m| m.traceparent),
];

const RESULT: [(&str, fn(&Outcome) -> Span); 8] = [
    ("resultType", |r| r.result_type),
    ("isError", |r| r.is_error),
    ("ttlMs", |r| r.ttl),
    ("cacheScope", |r| r.cache_scope),
    ("content", |r| r.content),
    ("contents", |r| r.contents),
    ("messages", |r| r.messages),
    ("nextCursor", |r| r.next_cursor),
];

/// Where members stand, by their path.
type Places = BTreeMap<String, Range<usize>>;

fuzz_target!(|input: &[u8]| {
    let text = stretched(input);
    let whole = Frame::parse(Bytes::copy_from_slice(&text));
    judged(&text, &whole);
    for way in 0..3 {
        match (whole_of(&pieces(&text, way)), &whole) {
            (Ok(cut), Ok(whole)) => {
                assert_eq!(cut.parts.clone().whole(), text);
                assert_eq!(places(&cut), places(whole), "cut in way {way}");
                edited(&text, &cut);
            }
            (Err(cut), Err(whole)) => assert_eq!(cut.why, whole.why, "cut in way {way}"),
            (cut, whole) => panic!("cut in way {way}: {cut:?} but {whole:?}"),
        }
    }
    if let Ok(frame) = &whole {
        edited(&text, frame);
    }
    values(&text);
});

fn whole_of(pieces: &[Bytes]) -> Result<Frame, Fault> {
    let mut reader = Reader::default();
    for piece in pieces {
        reader.feed(piece.clone())?;
    }
    reader.finish()
}

/// What is read is what serde_json reads, where that reads anything.
fn judged(text: &[u8], read: &Result<Frame, Fault>) {
    let is_json = serde_json::from_slice::<&RawValue>(text).is_ok();
    match (read, is_json.then(|| expected(text))) {
        (Ok(frame), Some(Ok(expected))) => assert_eq!(places(frame), expected),
        (Err(fault), Some(Ok(_))) => panic!("{fault}, but it is a message"),
        (Ok(_), Some(Err(why))) => panic!("taken as a message, but {why}"),
        (Err(fault), _) => assert!(fault.at <= text.len(), "{fault}"),
        (Ok(_), None) => {}
    }
    let Ok(frame) = read else { return };
    // It comes back in our own answers, so it is JSON whatever the rest is.
    let id = frame.raw(frame.id);
    assert!(id.is_empty() || serde_json::from_slice::<&RawValue>(&id).is_ok(), "{id:?} is no id");
    let kind = match (frame.method.is_some(), frame.id.is_some()) {
        (true, true) => Kind::Request,
        (true, false) => Kind::Notification,
        (false, _) if frame.result.whole.is_some() || frame.error.is_some() => Kind::Response,
        (false, _) => Kind::Nothing,
    };
    assert_eq!(frame.kind(), kind);
    for range in places(frame).into_values() {
        let span = Span { start: range.start as u32, end: range.end as u32 };
        if let Ok(string) = serde_json::from_slice::<String>(&text[range]) {
            assert_eq!(frame.text(span).as_deref(), Some(&*string));
        }
    }
}

/// The members that a frame knows.
fn places(frame: &Message) -> Places {
    let Message { id, method, params, result, error, .. } = frame;
    let top = [("id", *id), ("method", *method), ("error", *error)];
    let wholes = [("params", params.whole), ("_meta", params.meta.whole), ("result", result.whole)];
    let all = top.into_iter().chain(wholes).map(|(name, span)| (name.to_owned(), span));
    let all = all
        .chain(PARAMS.iter().map(|(name, at)| (format!("params/{name}"), at(params))))
        .chain(META.iter().map(|(name, at)| (format!("_meta/{name}"), at(&params.meta))))
        .chain(RESULT.iter().map(|(name, at)| (format!("result/{name}"), at(result))));
    all.filter(|(_, span)| span.is_some()).map(|(name, span)| (name, span.range())).collect()
}

/// The same by serde_json, or why the text is no message.
fn expected(text: &[u8]) -> Result<Places, &'static str> {
    if depth(text) > DEPTH_MAX {
        return Err("it is nested too deeply");
    }
    let mut found = Places::new();
    let (mut version, mut id, mut params) = (false, false, false);
    for (key, value) in members(text).ok_or("it is no object")? {
        let (raw, range) = (value.get(), place(text, value));
        match key.as_str() {
            "jsonrpc" if raw == "\"2.0\"" && !version => version = true,
            "jsonrpc" => return Err("its version is another, or stands twice"),
            "id" => {
                if std::mem::replace(&mut id, true) || raw.starts_with(['{', '[', 't', 'f']) {
                    return Err("its id is none, or stands twice");
                }
                if raw != "null" {
                    once(&mut found, "id".into(), range)?;
                }
            }
            "method" if !raw.starts_with('"') => return Err("its method is no text"),
            "method" | "error" => once(&mut found, key, range)?,
            "result" => {
                once(&mut found, key, range)?;
                inner(&mut found, "result", value, text, &RESULT.map(|(name, _)| name))?;
            }
            "params" => {
                if std::mem::replace(&mut params, true) {
                    return Err("its params stand twice");
                }
                if raw.starts_with('{') {
                    once(&mut found, key, range)?;
                    inner(&mut found, "params", value, text, &PARAMS.map(|(name, _)| name))?;
                    for (_, meta) in members_of(value).filter(|(key, _)| key == "_meta") {
                        once(&mut found, "_meta".into(), place(text, meta))?;
                        inner(&mut found, "_meta", meta, text, &META.map(|(name, _)| name))?;
                    }
                }
            }
            _ => {}
        }
    }
    if version { Ok(found) } else { Err("it has no version") }
}

fn inner(
    found: &mut Places,
    within: &str,
    object: &RawValue,
    text: &[u8],
    known: &[&str],
) -> Result<(), &'static str> {
    for (key, value) in members_of(object).filter(|(key, _)| known.contains(&key.as_str())) {
        once(found, format!("{within}/{key}"), place(text, value))?;
    }
    Ok(())
}

fn once(found: &mut Places, name: String, range: Range<usize>) -> Result<(), &'static str> {
    if found.insert(name, range).is_some() { Err("a member stands twice") } else { Ok(()) }
}

/// Every member of an object, those that stand twice too.
fn members(text: &[u8]) -> Option<Vec<(String, &RawValue)>> {
    struct All;
    impl<'de> Visitor<'de> for All {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(member) = map.next_entry()? {
                all.push(member);
            }
            Ok(all)
        }
    }
    serde_json::Deserializer::from_slice(text).deserialize_map(All).ok()
}

fn members_of(value: &RawValue) -> impl Iterator<Item = (String, &RawValue)> {
    members(value.get().as_bytes()).into_iter().flatten()
}

/// Where a value stands in the text that it was read from.
fn place(text: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + value.get().len()
}

/// How deep containers are nested in a text that is JSON.
fn depth(text: &[u8]) -> u32 {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_u32, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open -= 1,
            _ => {}
        }
    }
    deepest
}

/// Edits change what they name and nothing else, and what they make of a message is one.
fn edited(text: &[u8], frame: &Frame) {
    let (mut edits, mut plain) = (Edits::new(), Vec::new());
    let mut set = |span: Span, new: &'static str| {
        edits.set(span, new);
        plain.push((span.range(), new.to_owned()));
    };
    let Message { id, params, result, .. } = &**frame;
    for (span, new) in [(*id, "\"new\""), (params.name, "\"m\""), (params.meta.progress_token, "41")] {
        if span.is_some() {
            set(span, new);
        }
    }
    let objects = [
        (params.whole, params.filled),
        (params.meta.whole, params.meta.filled),
        (result.whole, result.filled),
    ];
    for (object, filled) in objects {
        if frame.raw(object).first() == Some(&b'{') {
            edits.add_members(object, filled, "\"added\":1");
            let end = object.end as usize - 1;
            plain.push((end..end, if filled { ",\"added\":1" } else { "\"added\":1" }.to_owned()));
        }
    }
    let edited = edits.apply(&frame.parts).whole();
    plain.sort_by_key(|(range, _)| range.start);
    let (mut expected, mut at) = (Vec::new(), 0);
    for (range, new) in plain {
        expected.extend_from_slice(&text[at..range.start]);
        expected.extend_from_slice(new.as_bytes());
        at = range.end;
    }
    expected.extend_from_slice(&text[at..]);
    assert_eq!(edited, expected);
    if serde_json::from_slice::<&RawValue>(text).is_ok() {
        assert!(serde_json::from_slice::<&RawValue>(&edited).is_ok(), "no JSON any more: {edited:?}");
    }
    let again = Frame::parse(edited).expect("an edited message is a message");
    assert_eq!(again.kind(), frame.kind());
    assert_eq!(again.method_name(), frame.method_name());
    assert_eq!(again.id.is_some(), *again.raw(again.id) == *b"\"new\"");
}

/// Values and batches end where serde_json says, and what is cut out of them shares their bytes.
fn values(text: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<&RawValue>(text)
        && depth(text) <= DEPTH_MAX
    {
        let mut scanner = Scanner::new(text);
        assert_eq!(scanner.value().map(Span::range), Ok(place(text, value)));
        assert_eq!(scanner.end(), Ok(()));
    }
    let shared = Bytes::copy_from_slice(text);
    let items = batch(&shared, BATCH_MAX);
    if let Ok(expected) = serde_json::from_slice::<Vec<&RawValue>>(text) {
        let fits = (1..=BATCH_MAX).contains(&expected.len()) && depth(text) <= DEPTH_MAX;
        assert_eq!(items.is_ok(), fits, "{items:?}");
        for (item, expected) in items.iter().flatten().zip(expected) {
            assert_eq!(item, expected.get().as_bytes());
        }
    }
    let parts = Parts::many(pieces(text, 1));
    for span in [0..text.len(), text.len() / 3..text.len() / 2] {
        let span = Span { start: span.start as u32, end: span.end as u32 };
        assert_eq!(*parts.raw(span), *span.of(text));
        assert_eq!(parts.share(span), span.of(text));
    }
}
