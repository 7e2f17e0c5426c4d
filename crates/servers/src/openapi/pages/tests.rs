//! Where answers go on, in the ways of common APIs, and pages joined.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, StatusCode};
use puerto_core::Secret;
use puerto_core::def::{AuthDef, OperationsDef};
use puerto_mcp::upstream::pool::Connector;
use serde_json::json;

use super::*;
use crate::openapi::credentials::Credentials;
use crate::openapi::{Api, Settings, Source, read};

fn api() -> Api {
    let query = |name: &str| json!({"name": name, "in": "query", "schema": {}});
    let parameters: Vec<_> = ["page", "cursor", "page_token", "q"].map(query).into();
    let document = json!({"openapi": "3.1.0", "paths": {"/pets": {"get": {"operationId": "it", "parameters": parameters}}}});
    let settings = Settings {
        source: Source::Url("http://127.0.0.1:1/".parse().unwrap()),
        base_url: None,
        operations: OperationsDef::default(),
        headers: BTreeMap::new(),
        auth: AuthDef::default(),
        pages: 1,
        response_max: 1000,
    };
    read(document.to_string().as_bytes(), &settings).unwrap()
}

/// The next page of `/pets?page=1&q=1`, as its target and the arguments that lead there.
fn found(link: Option<&str>, body: &Value) -> Option<(String, Value)> {
    let api = api();
    let auth =
        AuthDef { query: BTreeMap::from([("key".into(), Secret::new("s3cret"))]), ..AuthDef::default() };
    let credentials = Credentials::new(&BTreeMap::new(), &auth).unwrap();
    let client = Client::new(Connector::new(), "http://127.0.0.1:1/".parse().unwrap(), credentials, 1000);
    let arguments = RawValue::from_string(json!({"q": 1, "page": 1}).to_string()).unwrap();
    let draft = api.request("it", &arguments).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    link.map(|link| headers.insert(LINK, HeaderValue::from_str(link).unwrap()));
    let reply = Reply { status: StatusCode::OK, headers, body: body.to_string().into() };
    let next = next(&api.operations["it"], &client, &draft, &reply)?;
    Some((next.target, next.arguments.map_or(Value::Null, Value::Object)))
}

#[test]
fn the_next_page_is_found_in_common_ways() {
    let same = |target: &str, arguments: Value| Some((target.to_owned(), arguments));
    let second = || same("/pets?q=1&page=2", json!({"page": 2}));
    for (link, expected) in [
        ("<http://127.0.0.1:1/pets?q=1&page=2>; rel=\"next\"", second()),
        ("</pets?page=9>; rel=last, </pets?q=1&page=2>; title=\"a, b\"; rel=\"prefetch NEXT\"", second()),
        ("<?q=1&page=2&key=s3cret>; rel=next", second()),
        ("<other?page=2>; rel=next", same("/other?page=2", Value::Null)),
        ("</pets?page=1&q=1>; rel=next", None),
        ("<http://evil.example/pets?page=2>; rel=next", None),
        ("</pets?page=2>; rel=prev", None),
        ("broken", None),
    ] {
        assert_eq!(found(Some(link), &json!([])), expected, "{link}");
    }
    for (body, expected) in [
        (json!({"next": "http://127.0.0.1:1/pets?q=1&page=2"}), second()),
        (json!({"links": {"next": "/pets?q=1&page=2"}}), second()),
        (json!({"_links": {"next": {"href": "?q=1&page=2"}}}), second()),
        (json!({"@odata.nextLink": "/pets?q=1&page=2"}), second()),
        (json!({"next_page": 2}), same("/pets?q=1&page=2", json!({"page": 2}))),
        (json!({"next_cursor": "a b"}), same("/pets?page=1&q=1&cursor=a%20b", json!({"cursor": "a b"}))),
        (
            json!({"next_page_token": "007"}),
            same("/pets?page=1&q=1&page_token=007", json!({"page_token": "007"})),
        ),
        (json!({"nextPageToken": "no parameter for it"}), None),
        (json!({"next": "https://evil.example/pets?page=2"}), None),
        (json!({"next": "a word"}), None),
        (json!({"next": null, "next_cursor": ""}), None),
    ] {
        assert_eq!(found(None, &body), expected, "{body}");
    }
}

#[test]
fn pages_of_one_form_are_joined() {
    let join = |pages: &[&str]| {
        let mut joined = Joined::new(pages[0].as_bytes())?;
        pages[1..].iter().all(|page| joined.add(page.as_bytes())).then(|| joined.body())
    };
    for (pages, expected) in [
        (&["[1, 2.50]", "[3]"][..], Some("[1,2.50,3]")),
        (
            &[r#"{"items":[1],"next":2}"#, r#"{"items":[2],"next":null}"#],
            Some(r#"{"items":[1,2],"next":null}"#),
        ),
        (&[r#"{"a":[1]}"#, r#"{"b":[2]}"#], None),
        (&[r#"{"a":[1],"b":[2]}"#, r#"{"a":[1],"b":[2]}"#], None),
        (&["[1]", "{}"], None),
        (&["1", "2"], None),
    ] {
        assert_eq!(join(pages).as_deref(), expected.map(str::as_bytes), "{pages:?}");
    }
}
