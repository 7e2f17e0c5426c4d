//! Requests and answers between every pair of eras: what changes, and that nothing else does.

use bytes::Bytes;
use proptest::prelude::*;
use puerto_core::trace::Trace;
use puerto_core::{ServerName, TenantId};
use serde_json::Value;

use super::*;
use crate::catalog::Scope;
use crate::era::Revision;
use crate::session::{Handshake, Sessions};
use crate::upstream::http::Remote;
use crate::upstream::pool::Connector;

fn frame(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn link() -> Link {
    let (events, _) = tokio::sync::mpsc::channel(1);
    let uri = http::Uri::from_static("http://127.0.0.1:1/mcp");
    Link::Http(Arc::new(Remote::new(Connector::new(), &uri, http::HeaderMap::new(), 1 << 20, events)))
}

fn legacy_client() -> Client {
    let handshake = Handshake {
        revision: Revision::V2025_11_25,
        capabilities: Bytes::from_static(br#"{"elicitation":{}}"#),
        client_info: Bytes::from_static(br#"{"name":"old","version":"1"}"#),
        client: None,
    };
    let sessions = Sessions::new(1, std::time::Duration::from_secs(1));
    Client::Legacy(sessions.open(TenantId::default(), Scope::default(), handshake).unwrap())
}

fn route(frame: &Frame, key: &str) -> Route {
    Route {
        method: Routed::ToolsCall,
        server: ServerName::new("s").unwrap(),
        key: key.into(),
        span: frame.params.name,
        asked: frame.text(frame.params.name).unwrap().into(),
        others: Vec::new(),
    }
}

fn sent(text: &str, client: &Client, era: Era) -> String {
    let frame = frame(text);
    let route = route(&frame, "echo");
    let out = Outgoing {
        id: 41,
        frame: &frame,
        route: &route,
        client,
        link: &link(),
        era,
        trace: Trace::start(puerto_core::RequestId::next()),
    };
    String::from_utf8(outgoing::text(&out).whole().to_vec()).unwrap()
}

fn meta(text: &str) -> serde_json::Map<String, Value> {
    let all: Value = serde_json::from_str(text).unwrap();
    all["params"]["_meta"].as_object().cloned().unwrap_or_default()
}

const MODERN: &str = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"s__echo","arguments":{"n":1.10},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"progressToken":"p","com.acme/x":[1e400]}}}"#;
const LEGACY: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"s__echo","arguments":{"n":1.10}}}"#;

#[test]
fn between_modern_peers_meta_passes_with_the_callers_own_capabilities() {
    let text = sent(MODERN, &Client::Modern, Era::Modern);
    assert!(
        text.contains(r#""id":41"#) && text.contains(r#""name":"echo""#) && text.contains(r#""n":1.10"#),
        "{text}"
    );
    assert!(text.contains(r#""progressToken":41"#) && text.contains(r#""com.acme/x":[1e400]"#), "{text}");
    assert!(text.contains(r#""io.modelcontextprotocol/clientCapabilities":{"sampling":{}}"#), "{text}");
    assert!(text.contains("\"traceparent\":\"00-"), "{text}");
}

#[test]
fn towards_a_legacy_server_the_protocols_own_keys_stay_here() {
    let text = sent(MODERN, &Client::Modern, Era::Legacy);
    assert!(!text.contains("io.modelcontextprotocol/"), "{text}");
    assert!(text.contains(r#""progressToken":41"#) && text.contains(r#""com.acme/x":[1e400]"#), "{text}");
}

#[test]
fn towards_a_modern_server_they_are_made_for_a_legacy_client() {
    let text = sent(LEGACY, &legacy_client(), Era::Modern);
    let meta = meta(&text);
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], serde_json::json!({}));
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "old");
    assert!(text.contains(r#""n":1.10"#), "{text}");
}

#[test]
fn a_careless_meta_is_replaced_not_doubled() {
    let text = sent(&LEGACY.replace(r#""name""#, r#""_meta":null,"name""#), &legacy_client(), Era::Modern);
    assert_eq!(text.matches("_meta").count(), 1, "{text}");
    assert!(Frame::parse(text.into()).is_ok());
}

fn received(answer: &str, client: &Client) -> String {
    let asked = frame(MODERN);
    let route = route(&asked, "echo");
    let frame = frame(answer);
    let answer = Answer { frame: &frame, client, route: &route, id: asked.share(asked.id) };
    let text =
        if frame.error.is_some() { incoming::error(&answer).0 } else { incoming::result(&answer, None) };
    String::from_utf8(text.whole().to_vec()).unwrap()
}

#[test]
fn a_legacy_result_is_completed_for_a_modern_client() {
    let text = received(r#"{"result":{"content":[]},"jsonrpc":"2.0","id":41}"#, &Client::Modern);
    assert_eq!(text, r#"{"result":{"content":[],"resultType":"complete"},"jsonrpc":"2.0","id":"a"}"#);
    let text = received(r#"{"result":{},"jsonrpc":"2.0","id":41}"#, &Client::Modern);
    assert_eq!(text, r#"{"result":{"resultType":"complete"},"jsonrpc":"2.0","id":"a"}"#);
}

#[test]
fn a_question_that_cannot_be_asked_becomes_words_for_the_model() {
    let asks = r#"{"jsonrpc":"2.0","id":41,"result":{"resultType":"input_required","requestState":"x"}}"#;
    assert!(received(asks, &legacy_client()).contains(r#""isError":true"#));
    assert!(received(asks, &Client::Modern).contains(r#""requestState":"x""#));
}

#[test]
fn errors_keep_their_data_and_get_the_clients_id() {
    let text = received(
        r#"{"jsonrpc":"2.0","id":41,"error":{"code":-32021,"message":"m","data":{"requiredCapabilities":{}}}}"#,
        &Client::Modern,
    );
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32021,"message":"m","data":{"requiredCapabilities":{}}}}"#
    );
    let text = received(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"m"}}"#, &Client::Modern);
    assert_eq!(text, r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":"m"}}"#);
}

/// JSON text whose numbers and key order no reader may touch.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        Just("null".to_owned()),
        Just("[ ]".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec(("[a-z]{1,6}", inner), 0..5).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arguments_and_unknown_members_reach_the_server_as_they_are(arguments in value(), vendor in value(), modern_server: bool, modern_client: bool) {
        let own = if modern_client { r#","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"# } else { "" };
        let text = format!(r#"{{"jsonrpc":"2.0","vendor":{vendor},"id":1,"method":"tools/call","params":{{"later":{vendor},"name":"s__echo","arguments":{arguments},"_meta":{{"com.acme/k":{vendor}{own}}}}}}}"#);
        let client = if modern_client { Client::Modern } else { legacy_client() };
        let era = if modern_server { Era::Modern } else { Era::Legacy };
        let sent = sent(&text, &client, era);
        for part in [format!(r#""arguments":{arguments}"#), format!(r#""vendor":{vendor}"#), format!(r#""later":{vendor}"#), format!(r#""com.acme/k":{vendor}"#)] {
            prop_assert!(sent.contains(&part), "{} lacks {}", sent, part);
        }
        prop_assert!(Frame::parse(sent.into()).is_ok());
    }

    #[test]
    fn results_reach_the_client_as_they_are(content in value(), vendor in value(), last: bool, modern_client: bool) {
        let (before, after) = if last { ("", r#","id":41"#) } else { (r#""id":41,"#, "") };
        let text = format!(r#"{{{before}"jsonrpc":"2.0","vendor":{vendor},"result":{{"structuredContent":{content},"x":{vendor}}}{after}}}"#);
        let client = if modern_client { Client::Modern } else { legacy_client() };
        let got = received(&text, &client);
        for part in [format!(r#""structuredContent":{content}"#), format!(r#""vendor":{vendor}"#), format!(r#""x":{vendor}"#)] {
            prop_assert!(got.contains(&part), "{} lacks {}", got, part);
        }
    }
}
