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
    assert_eq!(frame.raw(frame.id), b"7");
    assert_eq!(frame.method_name(), "tools/call");
    assert_eq!(frame.text(frame.params.name).unwrap(), "a__b");
    assert_eq!(frame.raw(frame.params.meta.progress_token), b"\"p7\"");
    assert!(frame.is_modern());
}

#[test]
fn refuses_what_two_readers_could_read_differently() {
    for bad in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{},"_meta":null}}"#,
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

#[test]
fn a_null_id_is_no_id() {
    let frame = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#);
    assert_eq!((frame.kind(), frame.id.is_some()), (Kind::Response, false));
}

#[test]
fn a_batch_is_cut_into_messages() {
    let text = Bytes::from_static(br#" [{"a":[1,2]}, {"b":"]"}] "#);
    let items = batch(&text, 10).unwrap().unwrap();
    assert_eq!(items, [&br#"{"a":[1,2]}"#[..], br#"{"b":"]"}"#]);
    assert!(batch(&text, 1).unwrap().is_err());
    assert!(batch(&Bytes::from_static(b"[]"), 1).unwrap().is_err());
    assert!(batch(&Bytes::from_static(b"{}"), 1).is_none());
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
        edits.add_members(&frame.bytes, frame.params.whole, r#""_meta":{}"#);
        let edited = edits.apply(&frame.bytes).whole();
        let expected = text
            .replacen(&format!(r#""id":{id}"#), r#""id":"new""#, 1)
            .replacen(r#""params":{"name":"n""#, r#""params":{"_meta":{},"name":"m""#, 1);
        prop_assert_eq!(edited, expected.as_bytes());
    }
}
