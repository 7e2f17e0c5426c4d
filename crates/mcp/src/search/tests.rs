//! Finding, describing and unwrapping.

use std::sync::Arc;

use puerto_core::ServerName;

use super::index::Index;
use super::*;
use crate::catalog::{Target, Tool};

fn tool(server: &str, definition: &Value) -> Tool {
    let key: Arc<str> = definition["name"].as_str().unwrap().into();
    let wire = Some(format!("{server}__{key}"));
    let target = Target { server: ServerName::new(server).unwrap(), key };
    Tool { target, wire, definition: definition.to_string().into() }
}

fn index() -> Index {
    let one = |name: &str, description: &str| json!({"name": name, "description": description, "inputSchema": {"type": "object"}});
    Index::build(vec![
        tool("git-hosting", &one("create_issue", "Open a new issue in a repository.")),
        tool("git-hosting", &one("listBranches", "Branches of a repository.")),
        tool("mailbox", &one("send_email", "Send an email to one or more people.")),
        tool("ledger", &one("get_invoice", "An invoice by its number.")),
        tool("files", &one("read_text_file", "Read the complete contents of a file.")),
    ])
}

#[test]
fn a_request_in_plain_words_finds_its_tool() {
    let index = index();
    let first =
        |request: &str| index.find(request, 3).first().map(|tool| tool.name.clone()).unwrap_or_default();
    assert_eq!(first("report a bug in the repo"), "git-hosting__create_issue");
    assert_eq!(first("which branches are there"), "git-hosting__listBranches");
    assert_eq!(first("mail Anna"), "mailbox__send_email");
    assert_eq!(first("show the bill"), "ledger__get_invoice");
    assert_eq!(first("what is in this document"), "files__read_text_file");
    assert!(index.find("zzz", 3).is_empty());
    assert!(index.find("the of and", 3).is_empty());
}

#[test]
fn the_short_form_says_how_to_call() {
    let schema = json!({"type": "object", "required": ["path"], "properties": {
        "path": {"type": "string"}, "head": {"type": ["integer", "null"]}, "mode": {"enum": ["a", "b"]}}});
    let index = Index::build(vec![tool(
        "files",
        &json!({"name": "read", "description": "x".repeat(300), "inputSchema": schema}),
    )]);
    let short = index.find("read", 1)[0].short(10);
    assert_eq!(short["name"], "files__read");
    assert_eq!(short["description"], "xxxxxxxxxx…");
    assert_eq!(short["arguments"], r#"head?: integer|null, mode?: "a"|"b", path: string"#);
}

fn request(arguments: &str) -> Frame {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"_meta":{{"x":1.50}},"name":"call_tool","arguments":{arguments},"more":[1]}}}}"#
    );
    Frame::parse(text.into()).unwrap()
}

#[test]
fn a_wrapped_call_becomes_the_call_that_is_meant() {
    let meant = |arguments: &str| {
        let frame = unwrapped(&request(arguments)).unwrap();
        String::from_utf8(frame.parts.clone().whole().to_vec()).unwrap()
    };
    let whole = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"_meta":{{"x":1.50}},"name":"a__b","arguments":{arguments},"more":[1]}}}}"#
        )
    };
    assert_eq!(meant(r#"{"name":"a__b","arguments":{"n":1.10}}"#), whole(r#"{"n":1.10}"#));
    assert_eq!(meant(r#"{ "arguments" : {"n":1e2} , "name" : "a__b" }"#), whole(r#"{"n":1e2}"#));
    assert_eq!(meant(r#"{"name":"a__b"}"#), whole("{}"));
    assert_eq!(meant(r#"{"name":"a__b","arguments":null}"#), whole("{}"));
    assert_eq!(meant(r#"{"name":"a__b","arguments":"{\"n\": 1}"}"#), whole(r#"{"n": 1}"#));
}

#[test]
fn what_is_no_call_is_refused_with_what_is_wanted() {
    for wrong in [
        "{}",
        "[]",
        "null",
        r#"{"name":1}"#,
        r#"{"name":"a","arguments":[1]}"#,
        r#"{"name":"a","arguments":"{\"n\":"}"#,
    ] {
        let refusal = unwrapped(&request(wrong)).unwrap_err();
        assert!(refusal.message.contains("call_tool wants"), "{wrong}: {}", refusal.message);
    }
}
