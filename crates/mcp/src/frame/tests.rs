//! What is read from a message, and that editing it leaves the rest as it was.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

#[test]
fn finds_what_routing_needs() {
    let frame = parse(
        r#"{ "id" : 7, "jsonrpc":"2.0","method":"tools/call","x":{"id":1},"params":{"arguments":{"name":"no"},"name":"a__b",
        "_meta":{"progressToken":"p7","io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
    );
    assert_eq!(frame.kind(), Kind::Request);
    assert_eq!(*frame.raw(frame.id), *b"7");
    assert_eq!(frame.method_name(), "tools/call");
    assert_eq!(frame.text(frame.params.name).unwrap(), "a__b");
    assert_eq!(*frame.raw(frame.params.meta.progress_token), *b"\"p7\"");
    assert!(frame.is_modern());
}

#[test]
fn refuses_what_two_readers_could_read_differently() {
    for bad in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{},"_meta":null}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1],"params":{"name":"a"}}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#,
        r#"[]"#,
        "",
    ] {
        assert!(Frame::parse(Bytes::copy_from_slice(bad.as_bytes())).is_err(), "{bad}");
    }
}

/// It comes back in answers, so it must be JSON, though what is passed on is not looked at so closely.
#[test]
fn an_id_is_a_string_or_a_number() {
    for id in ["1\"x\":2", "01", "1e", "-", "\"\\x\"", "\"a\nb\"", "true", "[1]"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert!(Frame::parse(text.into()).is_err(), "{id}");
    }
    for id in ["1", "0", "-1.5e3", "\"\"", "\"a b\"", "\"\\u00e9é\""] {
        let frame = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id} ,"method":"ping"}}"#));
        assert_eq!(*frame.raw(frame.id), *id.as_bytes());
    }
}

#[test]
fn a_null_id_is_no_id() {
    let frame = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#);
    assert_eq!((frame.kind(), frame.id.is_some()), (Kind::Response, false));
}

#[test]
fn a_batch_is_cut_into_messages() {
    let text = Bytes::from_static(br#" [{"a":[1,2]}, {"b":"]"}] "#);
    let items = batch(&text, 10).unwrap();
    assert_eq!(items, [&br#"{"a":[1,2]}"#[..], br#"{"b":"]"}"#]);
    assert!(batch(&text, 1).is_err());
    assert!(batch(&Bytes::from_static(b"[]"), 1).is_err());
    assert!(batch(&Bytes::from_static(b"[{}"), 1).is_err());
}

#[test]
fn a_message_that_comes_byte_by_byte_is_kept_in_few_parts() {
    let text =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":"{}"}}}}"#, "y".repeat(50_000));
    let mut reader = Reader::default();
    for byte in text.bytes() {
        reader.feed(Bytes::copy_from_slice(&[byte])).unwrap();
    }
    let frame = reader.finish().unwrap();
    assert!(frame.parts.iter().count() <= 2);
    assert_eq!(frame.parts.clone().whole(), text);
}

/// Messages of every kind, and some that are none. A tilde becomes text that is hard to step over.
const MESSAGES: [&str; 12] = [
    r#"{"jsonrpc":"2.0","id":"a~b","method":"tools/call","params":{"name":"n","arguments":{"a":[1,{"b":"~"}]},"_meta":{"progressToken":12,"x":"~"}}}"#,
    r#" {"result" : {"content":[{"type":"text","text":"~"}],"isError":true,"resultType":"complete"} ,"id" : -12.5e3 , "jsonrpc" : "2.0" } "#,
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"structuredContent":{"~":["~",{"id":8}]}}}"#,
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"~"}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"~","progress":1}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    r#"{"jsonrpc":"2.0","id":1,"params":[1,"~"],"method":"ping","vendor":{"~":[[[{}]]]}}"#,
    r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"~"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":[1}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":1 2}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x"} {"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"~"#,
];

/// Everything that is read from a message.
fn seen(frame: &Frame) -> String {
    format!("{:?}", Message { parts: Parts::one(frame.parts.clone().whole()), ..Message::clone(frame) })
}

proptest! {
    /// Unknown members, number text, white space and key order survive; only what was edited changes.
    #[test]
    fn edits_change_nothing_else(
        before in "[a-z]{0,8}", number in r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?", filler in 0usize..40_000, id in any::<u32>(),
    ) {
        let text = format!(
            r#"{{"x{before}":{number},"jsonrpc":"2.0" , "id":{id},"method":"tools/call","params":{{"name":"n","arguments":{{"v":{number},"f":"{}"}},"z":[ {number} ]}},"y":1.10}}"#,
            "f".repeat(filler),
        );
        let frame = parse(&text);
        let mut edits = Edits::new();
        edits.set(frame.params.name, "\"m\"");
        edits.set(frame.id, "\"new\"");
        edits.add_members(frame.params.whole, frame.params.filled, r#""_meta":{}"#);
        let edited = edits.apply(&frame.parts).whole();
        let expected = text
            .replacen(&format!(r#""id":{id}"#), r#""id":"new""#, 1)
            .replacen(r#""params":{"name":"n""#, r#""params":{"name":"m""#, 1)
            .replacen(r#" ]},"y":"#, r#" ],"_meta":{}},"y":"#, 1);
        prop_assert_eq!(edited, expected.as_bytes());
    }

    /// However a message is cut into pieces, the same is read from it, or the same fault found.
    #[test]
    fn pieces_read_as_the_whole(
        text in prop::sample::select(&MESSAGES[..]), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), filler in 0usize..300,
    ) {
        let text = text.replace('~', &"\\\\\\\"é{[".repeat(filler));
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let (mut reader, mut at) = (Reader::default(), 0);
        let mut fed = Ok(());
        for cut in cuts {
            let piece = Bytes::copy_from_slice(&text.as_bytes()[at..cut]);
            fed = fed.and_then(|()| reader.feed(piece));
            at = cut;
        }
        match (fed.and_then(|()| reader.finish()), Frame::parse(text.clone().into())) {
            (Ok(cut), Ok(whole)) => prop_assert_eq!(seen(&cut), seen(&whole)),
            (Err(cut), Err(whole)) => prop_assert_eq!(cut.why, whole.why),
            (cut, whole) => prop_assert!(false, "{:?} but {:?}", cut, whole),
        }
    }
}
