//! Documents in, tools and requests out: no network.

#![allow(clippy::needless_pass_by_value, reason = "a test reads better with its JSON in place")]

use puerto_core::Secret;
use puerto_core::def::{AuthDef, OperationsDef};
use puerto_mcp::builtin::CallError;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;
use crate::openapi::{Source, read};

pub(super) fn settings() -> Settings {
    Settings {
        source: Source::Url("https://api.example.com/v1/openapi.json".parse().unwrap()),
        base_url: None,
        operations: OperationsDef::default(),
        headers: BTreeMap::new(),
        auth: AuthDef::default(),
        pages: 1,
        response_max: 1000,
    }
}

fn api_with(paths: Value, settings: &Settings) -> Api {
    let document = json!({"openapi": "3.1.0", "info": {"title": "Pets"}, "paths": paths});
    read(document.to_string().as_bytes(), settings).unwrap()
}

fn api(paths: Value) -> Api {
    api_with(paths, &settings())
}

/// An API with one operation, `GET /it` or as it says.
pub(super) fn one(method: &str, path: &str, operation: Value) -> Api {
    api(json!({path: {method: operation}}))
}

fn names(api: &Api) -> Vec<String> {
    api.tools().iter().map(|tool| tool.name.clone().into_owned()).collect()
}

/// Method, target, headers and body of the request of the only tool, or why there is none.
fn asked(api: &Api, arguments: Value) -> String {
    let raw = RawValue::from_string(arguments.to_string()).unwrap();
    match api.request(&names(api)[0], &raw) {
        Ok(draft) => {
            let headers: Vec<_> = draft
                .headers
                .iter()
                .map(|(name, value)| format!(" {name}: {}", value.to_str().unwrap()))
                .collect();
            let body = String::from_utf8(draft.body.to_vec()).unwrap();
            let body = if body.is_empty() { String::new() } else { format!(" {body}") };
            format!("{} {}{}{body}", draft.method, draft.target, headers.concat())
        }
        Err(CallError::Failed(why)) => why,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn names_come_from_ids_and_else_from_routes() {
    let api = api(json!({
        "/pets": {"get": {"operationId": "pets.list"}, "post": {}},
        "/pets/{id}": {"get": {"operationId": "read pet/by-id!"}, "delete": {"operationId": "größe"}},
        "/a/{x}-{y}": {"get": {"operationId": ""}},
        "/long": {"get": {"operationId": "x".repeat(100)}},
    }));
    let long = format!("{}_", "x".repeat(39));
    let names = names(&api);
    assert_eq!(names[..5], ["get_a_x_-_y", "gr_e", "pets_list", "post_pets", "read_pet_by-id"]);
    assert!(names[5].starts_with(&long) && names[5].len() == 48, "{}", names[5]);
}

#[test]
fn names_that_fall_together_get_a_suffix_that_stays() {
    let pair = json!({"/a": {"get": {"operationId": "list"}}, "/b": {"get": {"operationId": "list"}}});
    let both = api(pair.clone());
    let first = names(&both);
    assert!(first.iter().all(|name| name.starts_with("list_") && name.len() == 13), "{first:?}");
    assert_eq!(both.notices().len(), 2, "{:?}", both.notices());
    let mut more = pair;
    more["/0"] = json!({"get": {"operationId": "list"}});
    more["/c"] = json!({"get": {"operationId": first[0]}});
    let all = names(&api(more));
    assert_eq!(all.len(), 4);
    assert!(all.contains(&first[1]) && all.contains(&first[0]), "{first:?} {all:?}");
}

#[test]
fn parameters_and_body_become_one_object() {
    let api = one(
        "post",
        "/pets/{id}/{kind}",
        json!({
            "operationId": "it",
            "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}, "description": "which pet"},
                {"name": "id", "in": "query", "schema": {"type": "string"}},
                {"name": "filter[name]", "in": "query", "required": true, "schema": {"type": "string"}},
                {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                {"name": "session", "in": "cookie", "schema": {"type": "string"}},
            ],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {
                "type": "object", "required": ["id", "name"],
                "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "made": {"type": "string", "readOnly": true}},
            }}}},
        }),
    );
    let schema = &api.tools()[0].input_schema;
    let arguments: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(arguments, ["X-Trace", "filter_name", "id", "id_path", "id_query", "kind", "name", "session"]);
    assert_eq!(schema["required"], json!(["id_path", "filter_name", "kind", "id", "name"]));
    assert_eq!(schema["properties"]["id_path"], json!({"type": "integer", "description": "which pet"}));
    assert_eq!(schema["additionalProperties"], false);
    let all = json!({"id_path": 7, "kind": "a/b", "id": 1, "name": "x", "filter_name": "a&b", "X-Trace": "t", "session": "s s", "id_query": "q"});
    assert_eq!(
        asked(&api, all),
        "POST /pets/7/a%2Fb?id=q&filter%5Bname%5D=a%26b x-trace: t cookie: session=s%20s content-type: application/json {\"id\":1,\"name\":\"x\"}"
    );
    assert!(
        asked(&api, json!({"kind": "x"})).contains("missing: \"id_path\", \"filter_name\", \"id\", \"name\"")
    );
}

#[test]
fn bodies_of_every_kind_are_written() {
    let body =
        |content: Value| one("post", "/it", json!({"requestBody": {"required": true, "content": content}}));
    let object = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {}}, "c": {}}});
    for (content, arguments, expected) in [
        (json!({"application/json": {"schema": object}}), json!({"a": 1}), "application/json {\"a\":1}"),
        (json!({"application/json": {"schema": object}}), json!({}), "application/json {}"),
        (
            json!({"application/merge-patch+json": {"schema": object}}),
            json!({"a": null}),
            "application/merge-patch+json {\"a\":null}",
        ),
        (
            json!({"application/json": {"schema": {"type": "array"}}}),
            json!({"body": [1, 2]}),
            "application/json [1,2]",
        ),
        (
            json!({"application/json": {"schema": {"oneOf": [object, {"type": "string"}]}}}),
            json!({"body": "x"}),
            "application/json \"x\"",
        ),
        (json!({"*/*": {}}), json!({"body": {"x": 1.50}}), "application/json {\"x\":1.5}"),
        (
            json!({"application/json": {"schema": {"allOf": [object, {"type": "object", "properties": {"d": {}}}]}}}),
            json!({"a": 1, "d": 2}),
            "application/json {\"a\":1,\"d\":2}",
        ),
        (
            json!({"application/json": {"schema": {"type": "object", "properties": {"a": {}}, "additionalProperties": true}}}),
            json!({"a": 1, "other": 2}),
            "application/json {\"a\":1,\"other\":2}",
        ),
        (
            json!({"application/x-www-form-urlencoded": {"schema": object}}),
            json!({"a": "x y&z", "b": [1, 2], "c": {"d": 1}}),
            "application/x-www-form-urlencoded a=x%20y%26z&b=1&b=2&c=%7B%22d%22%3A1%7D",
        ),
        (
            json!({"application/x-www-form-urlencoded": {"schema": object, "encoding": {"c": {"style": "deepObject"}}}}),
            json!({"c": {"d": 1}}),
            "application/x-www-form-urlencoded c%5Bd%5D=1",
        ),
        (
            json!({"text/plain": {"schema": {"type": "string"}}}),
            json!({"body": "line\n"}),
            "text/plain line\n",
        ),
    ] {
        let said = asked(&body(content.clone()), arguments);
        assert_eq!(said, format!("POST /it content-type: {expected}"), "{content}");
    }
    let multipart = body(json!({"multipart/form-data": {"schema": object}}));
    assert!(names(&multipart).is_empty());
    assert!(multipart.notices()[0].contains("POST /it is left out: its body is multipart/form-data"));
    let optional =
        one("post", "/it", json!({"requestBody": {"content": {"application/json": {"schema": object}}}}));
    assert_eq!(asked(&optional, json!({})), "POST /it");
}

/// A body whose parts hold each other is one argument, and found out soon.
#[test]
fn a_body_of_endless_parts_is_one_argument() {
    let part = json!({"$ref": "#/paths/~1it/post/requestBody/content/application~1json/schema"});
    let schema = json!({"allOf": [part, part]});
    let body = json!({"requestBody": {"content": {"application/json": {"schema": schema}}}});
    assert_eq!(
        asked(&one("post", "/it", body), json!({"body": 1})),
        "POST /it content-type: application/json 1"
    );
    let parameters: Vec<_> = (0..600).map(|n| json!({"name": format!("p{n}"), "in": "query"})).collect();
    let many = one("get", "/it", json!({"parameters": parameters}));
    assert!(many.notices()[0].contains("more than 500 parameters"), "{:?}", many.notices());
}

#[test]
fn a_number_keeps_its_digits() {
    let api = one("put", "/it/{n}", json!({"requestBody": {"content": {"application/json": {}}}}));
    let raw = RawValue::from_string(r#"{"n": 12345678901234567890123, "body": {"x": 1.50}}"#.into()).unwrap();
    let draft = api.request(&names(&api)[0], &raw).unwrap();
    assert_eq!((draft.target.as_str(), &*draft.body), ("/it/12345678901234567890123", &b"{\"x\": 1.50}"[..]));
}

#[test]
fn values_of_the_path_stay_in_their_segment() {
    let api = one("get", "/a/{x}/b", json!({}));
    let with = |x: &str| asked(&api, json!({"x": x}));
    for (given, sent) in [
        ("../c", "GET /a/..%2Fc/b"),
        ("?q=1#f", "GET /a/%3Fq%3D1%23f/b"),
        ("%2e%2e", "GET /a/%252e%252e/b"),
        ("a\\b\r\n", "GET /a/a%5Cb%0D%0A/b"),
        ("...", "GET /a/.../b"),
    ] {
        assert_eq!(with(given), sent);
    }
    for given in ["..", "."] {
        assert!(with(given).contains("would lead to another path"), "{given}: {}", with(given));
    }
    assert!(with("").contains("must not be empty"));
    // A piece of the document and a value may make one of the two together.
    let joined = one("get", "/a/.{x}/c", json!({}));
    assert!(asked(&joined, json!({"x": "."})).contains("another path"));
    assert_eq!(asked(&joined, json!({"x": "b"})), "GET /a/.b/c");
}

#[test]
fn operations_that_cannot_be_sent_are_left_out_and_said() {
    for (path, operation, why) in [
        ("/a?b={c}", json!({}), "holds a query"),
        ("/a/../b", json!({}), "leads elsewhere"),
        ("/a/{b", json!({}), "malformed"),
        ("/a", json!({"parameters": [{"name": "x", "in": "query", "style": "label"}]}), "style \"label\""),
        (
            "/a/{x}",
            json!({"parameters": [{"name": "x", "in": "path", "style": "matrix"}]}),
            "style \"matrix\"",
        ),
        ("/a", json!({"parameters": [{"name": "x"}]}), "nothing says where"),
        ("/a", json!({"parameters": [{"in": "query"}]}), "has no name"),
        ("/a", json!({"parameters": [{"$ref": "other.json#/x"}]}), "out of the document"),
        ("/a", json!({"servers": [{"url": "https://evil.example/"}]}), "lead away"),
    ] {
        let api = one("get", path, operation);
        assert!(names(&api).is_empty(), "{path}");
        assert!(api.notices()[0].contains(why), "{path}: {:?}", api.notices());
    }
    let trace = one("trace", "/a", json!({}));
    assert!(names(&trace).is_empty() && trace.notices()[0].contains("TRACE /a"));
}

#[test]
fn a_document_without_paths_or_with_a_foreign_server_is_refused() {
    let said =
        |document: Value, settings: &Settings| read(document.to_string().as_bytes(), settings).unwrap_err();
    assert!(said(json!({"openapi": "3.1.0"}), &settings()).contains("no paths"));
    let foreign = json!({"openapi": "3.1.0", "paths": {}, "servers": [{"url": "https://evil.example"}]});
    assert!(said(foreign.clone(), &settings()).contains("\"base_url\": \"https://evil.example\""));
    let allowed = Settings { base_url: Some("https://evil.example/v2/".into()), ..settings() };
    assert_eq!(read(foreign.to_string().as_bytes(), &allowed).unwrap().address(), "https://evil.example/v2");
    let filtered = Settings {
        operations: OperationsDef { include: vec!["FETCH /x".into()], exclude: vec![] },
        ..settings()
    };
    assert!(said(json!({"openapi": "3.1.0", "paths": {}}), &filtered).contains("begins with no method"));
}

#[test]
fn only_what_is_chosen_becomes_a_tool() {
    let paths = json!({
        "/pets": {"get": {"operationId": "pets.list", "tags": ["pets"]}, "post": {"operationId": "pets.add", "tags": ["pets"]}},
        "/users": {"get": {"operationId": "users.list"}},
    });
    let list = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    let operations = OperationsDef { include: list(&["tag:pets", "nobody"]), exclude: list(&["POST *"]) };
    let api = api_with(paths, &Settings { operations, ..settings() });
    assert_eq!(names(&api), ["pets_list"]);
    assert_eq!(api.notices(), ["no operation fits \"nobody\""]);
}

#[test]
fn what_the_operator_sets_is_no_argument() {
    let secret = |name: &str| BTreeMap::from([(name.to_owned(), Secret::new("s3cret"))]);
    let auth = AuthDef { query: secret("api_key"), header: secret("X-Key"), ..AuthDef::default() };
    let parameters = json!([
        {"name": "api_key", "in": "query", "required": true, "schema": {}},
        {"name": "x-key", "in": "header", "required": true, "schema": {}},
        {"name": "q", "in": "query", "schema": {}},
    ]);
    let paths = json!({"/it": {"get": {"parameters": parameters}}});
    let api = api_with(paths.clone(), &Settings { auth, ..settings() });
    assert_eq!(asked(&api, json!({"q": 1})), "GET /it?q=1");
    assert!(asked(&api, json!({"api_key": "mine"})).contains("no argument \"api_key\"; known are \"q\""));
    let asks = json!({"openapi": "3.0.0", "paths": paths, "security": [{"key": []}]}).to_string();
    assert!(read(asks.as_bytes(), &settings()).unwrap().notices()[0].contains("asks for credentials"));
}

#[test]
fn tools_say_what_they_do() {
    let tool = |method: &str, operation: Value| one(method, "/it", operation).tools().remove(0);
    for (method, hints) in [
        ("get", [true, false, true]),
        ("head", [true, false, true]),
        ("post", [false, false, false]),
        ("put", [false, true, true]),
        ("patch", [false, true, false]),
        ("delete", [false, true, true]),
    ] {
        let own = tool(method, json!({})).annotations;
        assert_eq!([own.read_only_hint, own.destructive_hint, own.idempotent_hint], hints, "{method}");
        assert!(own.open_world_hint);
    }
    let told = tool("get", json!({"summary": "List", "description": "All of them.", "deprecated": true}));
    assert_eq!(
        (&*told.title, &*told.description),
        ("List", "Deprecated.\n\nList\n\nAll of them.\n\nGET /it")
    );
    assert_eq!(tool("get", json!({})).description, "GET /it");
    let answers = |responses: Value| tool("get", json!({"responses": responses})).output_schema;
    let content =
        |schema: Value| json!({"description": "", "content": {"application/json": {"schema": schema}}});
    let object = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    assert_eq!(
        answers(json!({"200": content(object.clone()), "404": {}})),
        Some(json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}))
    );
    assert_eq!(answers(json!({"200": content(json!({"type": "array"}))})), None);
    assert_eq!(answers(json!({"200": content(object.clone()), "204": {}})), None);
    assert_eq!(answers(json!({"200": {"content": {"text/html": {}}}})), None);
    assert_eq!(answers(json!({"default": content(object)})), None);
}

#[test]
fn our_own_document_becomes_tools() {
    let text = include_bytes!("../../../../../api/openapi.json");
    let api = read(text, &settings()).unwrap();
    assert!(names(&api).contains(&"tenant_read".to_owned()), "{:?}", names(&api));
    assert_eq!(api.notices(), [""; 0]);
    assert_eq!(api.address(), "https://api.example.com");
}
