//! Whatever a document or the arguments hold, nothing breaks and no value leaves its place.

use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::tests::{one, settings};
use super::*;
use crate::openapi::read;

/// A schema, a parameter or anything else that a document may hold.
fn any_part() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("type"),
        Just("object"),
        Just("array"),
        Just("string"),
        Just("properties"),
        Just("items"),
        Just("$ref"),
        Just("#/paths/~1a"),
        Just("#/x"),
        Just("allOf"),
        Just("oneOf"),
        Just("required"),
        Just("nullable"),
        Just("in"),
        Just("path"),
        Just("query"),
        Just("name"),
        Just("schema"),
        Just("content"),
        Just("application/json"),
        Just("get"),
        Just("requestBody"),
        Just("parameters"),
        Just("responses"),
        Just("200"),
        Just("style"),
        Just("deepObject"),
        Just("/a/{x}"),
    ];
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|all| Value::Object(
                all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_makes_it_panic(part in any_part(), arguments in any_part()) {
        let document = json!({"openapi": "3.0.0", "paths": {"/a/{x}": {"get": part, "parameters": [part]}, "/a": part}, "x": part, "servers": [part]});
        let arguments = RawValue::from_string(arguments.to_string()).unwrap();
        if let Ok(api) = read(document.to_string().as_bytes(), &settings()) {
            for tool in api.tools() {
                let _ = api.request(&tool.name, &arguments);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &settings());
        let _ = read(&[b"openapi: 3.0.0\npaths:\n", &bytes[..]].concat(), &settings());
    }

    /// Whatever is given, the path keeps its segments and holds no character that could end it.
    #[test]
    fn no_value_leaves_its_segment(x in "\\PC{0,20}", q in "\\PC{0,20}") {
        let api = one("get", "/a/{x}/b", json!({"parameters": [{"name": "q", "in": "query", "schema": {}}]}));
        let raw = RawValue::from_string(json!({"x": x, "q": q}).to_string()).unwrap();
        if let Ok(draft) = api.request("get_a_x_b", &raw) {
            let (path, query) = draft.target.split_once('?').unwrap();
            prop_assert_eq!(path.split('/').count(), 4);
            prop_assert!(path.starts_with("/a/") && path.ends_with("/b") && !path.contains("/./") && !path.contains("/../"));
            prop_assert!(query.starts_with("q=") && !query.contains(['&', '#', '?', ' ']));
            prop_assert!(draft.target.is_ascii());
        } else {
            prop_assert!(["", ".", ".."].contains(&x.as_str()));
        }
    }
}
