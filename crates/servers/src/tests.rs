//! Opening the built-in servers, and what all of them have in common.

use serde_json::Value;

use super::*;

#[test]
fn every_tool_has_schemas_that_clients_accept() {
    let dir = tempfile::tempdir().unwrap();
    let files = OptionsDef { roots: vec![".".into()], writable: true, ..OptionsDef::default() };
    let url = puerto_core::Secret::new("sqlite://new/demo.db");
    let db = OptionsDef { url: Some(url), writable: true, ..OptionsDef::default() };
    let mut names = Vec::new();
    for (name, options) in
        [(BuiltinName::Monitor, &OptionsDef::default()), (BuiltinName::File, &files), (BuiltinName::Db, &db)]
    {
        let server = open(name, options, dir.path()).unwrap();
        for tool in server.tools() {
            for schema in [&tool.input_schema, tool.output_schema.as_ref().unwrap()] {
                assert_eq!(schema["type"], "object", "{}", tool.name);
                assert!(schema["properties"].is_object(), "{}", tool.name);
                assert!(
                    schema.get("$ref").is_none() && schema.get("$defs").is_none(),
                    "{}: {schema}",
                    tool.name
                );
            }
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            for (argument, schema) in tool.input_schema["properties"].as_object().unwrap() {
                assert!(schema["description"].is_string(), "{}.{argument} has no description", tool.name);
                assert!(
                    !schema["type"].is_array() || argument == "params",
                    "{}.{argument}: {schema}",
                    tool.name
                );
            }
            assert!(tool.description.len() > 40 && !tool.title.is_empty(), "{}", tool.name);
            names.push(tool.name);
        }
        assert!(!server.about().instructions.is_empty());
    }
    assert_eq!(
        names,
        [
            "get_metrics",
            "list_processes",
            "get_uptime",
            "read",
            "list",
            "stat",
            "search",
            "write",
            "append",
            "move",
            "delete",
            "query",
            "schema",
            "list_tables",
            "insert",
            "execute"
        ]
    );
}

#[test]
fn a_server_refuses_options_of_another() {
    let base = Path::new(".");
    let roots = OptionsDef { roots: vec![".".into()], ..OptionsDef::default() };
    let url = OptionsDef { url: Some(puerto_core::Secret::new("sqlite://x")), ..OptionsDef::default() };
    let writable = OptionsDef { writable: true, ..OptionsDef::default() };
    let init = OptionsDef { init: Some("select 1".into()), ..OptionsDef::default() };
    for (name, options, expected) in [
        (
            BuiltinName::Monitor,
            &roots,
            "\"roots\" is not its own; remove it; \"roots\" belongs to the server \"file\"",
        ),
        (BuiltinName::Monitor, &writable, "\"writable\" is not its own; remove it; this server only reads"),
        (BuiltinName::File, &url, "\"url\" is not its own"),
        (BuiltinName::File, &init, "\"init\" is not its own"),
        (BuiltinName::Db, &roots, "\"roots\" is not its own"),
    ] {
        let error = open(name, options, base).err().unwrap().to_string();
        assert!(error.contains(expected), "{}: {error}", name.name());
    }
}

/// Holds an answer against the output schema of its tool; every test's calls go through here.
pub(crate) fn conforms(server: &dyn Builtin, tool: &str, value: &Value) {
    let schema = server.tools().into_iter().find(|one| one.name == tool).unwrap().output_schema.unwrap();
    if let Err(problem) = matches(&schema, value) {
        panic!("the answer of {tool} is not what its schema says: {problem}");
    }
}

/// The part of JSON Schema that our schemas use.
fn matches(schema: &Value, value: &Value) -> Result<(), String> {
    for any in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(any).and_then(Value::as_array)
            && !choices.iter().any(|choice| matches(choice, value).is_ok())
        {
            return Err(format!("{value} is none of {schema}"));
        }
    }
    let is_kind = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    let is_typed = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_kind),
        Some(kind) => is_kind(kind),
        None => true,
    };
    let is_listed = schema.get("enum").and_then(Value::as_array).is_none_or(|list| list.contains(value))
        && schema.get("const").is_none_or(|only| only == value);
    if !is_typed || !is_listed {
        return Err(format!("{value} is not {schema}"));
    }
    if let Some(object) = value.as_object() {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            object.get(name.as_str().unwrap()).ok_or_else(|| format!("{name} is missing in {value}"))?;
        }
        if let Some(properties) = schema.get("properties") {
            for (name, value) in object {
                matches(properties.get(name).ok_or_else(|| format!("{name} is not in the schema"))?, value)?;
            }
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().try_for_each(|value| matches(items, value))?;
    }
    Ok(())
}
