//! Answers of an API, and what the tool makes of them.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use puerto_core::Secret;
use puerto_core::def::AuthDef;
use puerto_mcp::builtin::{Annotations, Tool};
use serde_json::Map;

use super::*;

fn operation(output_schema: Option<Value>) -> Operation {
    let annotations = Annotations {
        read_only_hint: true,
        destructive_hint: false,
        idempotent_hint: true,
        open_world_hint: true,
    };
    let tool = Tool {
        name: "it".into(),
        title: "".into(),
        description: "".into(),
        input_schema: json!({}),
        output_schema,
        annotations,
    };
    Operation {
        tool,
        method: Method::GET,
        prefix: String::new(),
        template: Vec::new(),
        params: Vec::new(),
        body: None,
        required: Vec::new(),
    }
}

fn reply(status: u16, media: &str, body: &[u8]) -> Reply {
    let mut headers = HeaderMap::new();
    if !media.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(media).unwrap());
    }
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body) }
}

fn made(reply: &Reply) -> (Option<String>, Value, bool) {
    let made = answer(&operation(None), reply, None, &Credentials::default());
    let structured = made.structured.map(|raw| raw.get().to_owned());
    (structured, serde_json::to_value(&made.content).unwrap(), made.is_error)
}

#[test]
fn each_kind_of_answer_has_its_block() {
    let json = "application/json; charset=utf-8";
    for (media, body, structured, content) in [
        (json, &b" {\"a\": 1.50} "[..], Some("{\"a\": 1.50}"), json!([])),
        (json, b"[1, 2]", Some("{\"result\":[1, 2]}"), json!([])),
        ("application/problem+json", b"null", Some("{\"result\":null}"), json!([])),
        (json, b"{broken", None, json!([{"type": "text", "text": "{broken"}])),
        (json, b"\"\\ud800\"", None, json!([{"type": "text", "text": "\"\\ud800\""}])),
        ("text/html", b"<p>", None, json!([{"type": "text", "text": "<p>"}])),
        ("", b"words", None, json!([{"type": "text", "text": "words"}])),
        ("image/svg+xml", b"<svg/>", None, json!([{"type": "text", "text": "<svg/>"}])),
        (
            "image/png",
            b"\x89PNG",
            None,
            json!([{"type": "image", "data": "iVBORw==", "mimeType": "image/png"}]),
        ),
        ("audio/wav", b"RIFF", None, json!([{"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}])),
        (
            "application/zip",
            b"PK\x03\x04",
            None,
            json!([{"type": "resource", "resource": {"uri": "openapi:/it/answer", "mimeType": "application/zip", "blob": "UEsDBA=="}}]),
        ),
        (
            "text/plain",
            b"\xff",
            None,
            json!([{"type": "resource", "resource": {"uri": "openapi:/it/answer", "mimeType": "text/plain", "blob": "/w=="}}]),
        ),
        ("", b"", None, json!([{"type": "text", "text": "HTTP 200 OK, without a body"}])),
    ] {
        let expected = (structured.map(str::to_owned), content, false);
        assert_eq!(made(&reply(200, media, body)), expected, "{media} {}", String::from_utf8_lossy(body));
    }
}

#[test]
fn what_is_nested_too_deep_passes_as_text() {
    let body = format!("{}{}", "[".repeat(110), "]".repeat(110));
    let (structured, content, _) = made(&reply(200, "application/json", body.as_bytes()));
    assert_eq!((structured, &content[0]["text"]), (None, &Value::from(body)));
}

#[test]
fn a_promised_object_is_always_there() {
    let operation = operation(Some(json!({"type": "object"})));
    for body in [&b""[..], b"<p>"] {
        let made = answer(&operation, &reply(200, "text/html", body), None, &Credentials::default());
        assert_eq!(made.structured.unwrap().get(), "{\"result\":null}");
        assert!(!made.content.is_empty());
    }
}

#[test]
fn failures_are_told_in_words_and_without_secrets() {
    let auth = AuthDef { bearer: Some(Secret::new("s3cret-token")), ..AuthDef::default() };
    let known = Credentials::new(&Default::default(), &auth).unwrap();
    let said = |reply: &Reply| {
        let made = answer(&operation(Some(json!({}))), reply, None, &known);
        assert!(made.is_error && made.structured.is_none());
        let Block::Text { text } = made.content[0].clone() else { panic!("{:?}", made.content) };
        text
    };
    let body = br#"{"detail": "no such pet, Bearer s3cret-token"}"#;
    assert_eq!(
        said(&reply(404, "application/json", body)),
        "HTTP 404 Not Found\n{\"detail\": \"no such pet, Bearer (hidden)\"}"
    );
    assert_eq!(said(&reply(500, "", b"")), "HTTP 500 Internal Server Error, without a body");
    assert_eq!(said(&reply(502, "image/png", b"\x89")), "HTTP 502 Bad Gateway\nwith 1 bytes of image/png");
    let mut later = reply(429, "text/plain", b"slow down");
    later.headers.insert("retry-after", HeaderValue::from_static("30"));
    assert_eq!(said(&later), "HTTP 429 Too Many Requests\nretry-after: 30\nslow down");
    let long = said(&reply(500, "text/html", "ä".repeat(10_000).as_bytes()));
    assert!(long.chars().count() < ERROR_MAX + 50 && long.ends_with('…'), "{}", long.len());
}

#[test]
fn where_it_goes_on_is_said_twice() {
    let arguments = Map::from_iter([("page".into(), 2.into())]);
    let next = Next { target: "/pets?page=2".into(), arguments: Some(arguments) };
    let reply = reply(200, "application/json", b"[]");
    let made = answer(&operation(None), &reply, Some(&next), &Credentials::default());
    assert_eq!(made.content, [text("There is more: call again with {\"page\":2}".into())]);
    assert_eq!(Value::Object(made.meta), json!({"puerto/next": {"arguments": {"page": 2}}}));
    let elsewhere = Next { target: "/more".into(), arguments: None };
    let made = answer(&operation(None), &reply, Some(&elsewhere), &Credentials::default());
    assert_eq!(Value::Object(made.meta), json!({"puerto/next": {"url": "/more"}}));
}
