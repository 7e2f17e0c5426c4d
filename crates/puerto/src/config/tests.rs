//! What people see: configurations above a dashed line, what Puerto says of them below. The cases are
//! plain text files in `tests/`; `UPDATE_EXPECT=1 cargo test -p puerto` (or `make schema`, for the schema
//! alone) writes down what is said now.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use proptest::prelude::*;
use puerto_core::def::{LogLevel, Separator, ServerDef, Transport};
use puerto_core::{Secret, ServerName};

use super::*;

const LINE: &str = "----------\n";

/// The environment of every case.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "9000",
        "TOKEN" => "s3cret-value",
        "EMPTY" => "",
        "YES" => "true",
        "LINE_BREAK" => "s3cret-value\n",
        _ => return None,
    };
    Some(value.into())
}

fn none(_: &str) -> Option<String> {
    None
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is said of a text.
fn said(text: &str) -> String {
    let done = load_text("servers.json", text, &env);
    let problems = match &done {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    };
    let mut said = String::new();
    for problem in problems {
        writeln!(said, "{problem}\n").unwrap();
    }
    said + if done.is_ok() { "ok\n" } else { "refused\n" }
}

#[test]
fn every_case_is_answered_as_written_down() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests");
    let mut cases: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    for case in cases {
        let whole = std::fs::read_to_string(&case).unwrap();
        let given = whole.split(LINE).next().unwrap();
        let said = said(given);
        assert!(!said.contains("s3cret"), "{} shows a secret:\n{said}", case.display());
        expect_file![&case].assert_eq(&format!("{given}{LINE}{said}"));
    }
}

#[test]
fn the_committed_schema_is_the_one_of_the_definitions() {
    expect_file![root().join("api/config.schema.json")].assert_eq(&format!("{:#}\n", schema()));
}

/// The validator knows a part of JSON Schema: this fails when a definition needs more of it.
#[test]
fn the_validator_knows_every_keyword_of_the_schema() {
    fn walk(schema: &serde_json::Value, unknown: &mut Vec<String>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match keyword.as_str() {
                "$schema" | "title" | "description" | "default" | "type" | "required" | "const" | "enum"
                | "minimum" | "maximum" | "$ref" | "not" => {}
                // Names of servers are looked up among those that are defined (`shape.rs`), patterns are read there.
                "pattern" | "minLength" | "maxLength" => {}
                "format"
                    if ["uint", "uint8", "uint16", "uint32", "uint64", "double"]
                        .contains(&value.as_str().unwrap()) => {}
                "properties" | "$defs" => value.as_object().unwrap().values().for_each(|s| walk(s, unknown)),
                "patternProperties" => {
                    assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), [NAME_PATTERN]);
                    value.as_object().unwrap().values().for_each(|s| walk(s, unknown));
                }
                "items" | "additionalProperties" => walk(value, unknown),
                "oneOf" | "anyOf" => value.as_array().unwrap().iter().for_each(|s| walk(s, unknown)),
                other => unknown.push(other.into()),
            }
        }
    }
    use super::schema::NAME_PATTERN;
    let mut unknown = Vec::new();
    walk(&schema(), &mut unknown);
    assert!(unknown.is_empty(), "unknown to the validator: {unknown:?}");
}

#[test]
fn the_examples_load_without_a_word() {
    for (name, servers) in [
        ("servers.json", ["files", "monitor", "sqlite-demo"]),
        ("ops.json", ["db", "file", "monitor"]),
        ("ops-embedded.json", ["db", "file", "monitor"]),
    ] {
        let loaded = load(&root().join("config").join(name), &none).unwrap();
        assert_eq!(loaded.warnings, []);
        let tenant = loaded.def.tenants.values().next().unwrap();
        assert!(tenant.servers.keys().map(ServerName::as_str).eq(servers), "{name}");
    }
    let builtin = load_from(&Origin::Builtin, &none).unwrap();
    assert_eq!((builtin.warnings.len(), builtin.def.tenants.len()), (0, 1));
}

#[test]
fn the_tasks_are_exactly_the_three_asked_for() {
    let text = std::fs::read_to_string(root().join("config/tasks.json")).unwrap();
    let exact = r#"[{"type":"monitor","action":"get_metrics","params":{"cpu":true,"mem":true}},{"type":"file","action":"read","params":{"path":"/logs/app.log"}},{"type":"db","action":"insert","params":{"table":"events","data":{"level":"info","msg":"todo ok"}}}]"#;
    assert_eq!(text.trim_end(), exact);
    assert!(root().join("config/sample/logs/app.log").is_file());
}

#[test]
fn everything_of_the_design_loads() {
    let text = r#"
    { "version": "1.0.0",
      "tenants": { "default": {
        "description": "x", "env": {}, "quotas": { "max_servers": 10, "max_tools_per_server": 100, "max_concurrent_requests": 50, "requests_per_minute": 0 },
        "servers": {
          "monitor":     { "transport": "builtin", "builtin": "monitor" },
          "sqlite-demo": { "type": "database", "transport": "builtin", "builtin": "db", "options": { "url": "sqlite://data/demo.db" } },
          "files":       { "transport": "stdio", "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "."], "env": {}, "sharing": "shared", "enabled": true,
                           "capabilities": ["tools"], "metadata": { "description": "x" } },
          "remote":      { "transport": "http", "url": "https://example.com/mcp", "headers": {}, "era": "auto" } } } },
      "gateway": { "host": "127.0.0.1", "port": 8080, "separator": "__" },
      "orchestrator": { "auto_start": true, "max_retries": 3, "startup_timeout": 30, "idle_timeout": 0 },
      "logging": { "level": "INFO", "format": "text" },
      "store": { "url": "sqlite://data/puerto.db" }, "services": [], "alerts": {}, "models": {}, "access": {}, "apps": { "dir": "plugins" } }"#;
    let loaded = load_text("x", text, &none).unwrap();
    assert_eq!(loaded.warnings, []);
    let tenant = &loaded.def.tenants["default"];
    let transports: Vec<_> = tenant.servers.values().filter_map(ServerDef::transport).collect();
    assert_eq!(transports, [Transport::Stdio, Transport::Builtin, Transport::Http, Transport::Builtin]);
    assert_eq!(loaded.def.gateway.separator, Separator::DoubleUnderscore);
}

#[test]
fn variables_are_filled_in_and_become_what_is_wanted() {
    let text = r#"{
        "tenants": { "default": {
            "env": { "A": "x ${TOKEN} ${TOKEN}", "B": "$${TOKEN} $TOKEN $$ ${EMPTY}", "C": "${NONE:-a:-b}${EMPTY:-c}${NONE:-}" },
            "servers": { "s": { "command": "${NONE:-npx}", "enabled": "${YES}", "call_timeout": "${NONE:-7}" } } } },
        "gateway": { "port": "${PORT}", "mcp_port": "${NONE:-9001}" } }"#;
    let def = load_text("x", text, &env).unwrap().def;
    let tenant = &def.tenants["default"];
    let values: Vec<_> = tenant.env.values().map(Secret::reveal).collect();
    assert_eq!(values, ["x s3cret-value s3cret-value", "${TOKEN} $TOKEN $$ ", "a:-bc"]);
    let server = &tenant.servers["s"];
    assert_eq!(
        (server.command.as_deref(), server.enabled, server.call_timeout),
        (Some("npx"), true, Some(7))
    );
    assert_eq!((def.gateway.port, def.gateway.mcp_port), (9000, Some(9001)));
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = r#"{ "tenants": { "default": {} }, "logging": { "level": "ERROR" }, "apps": { "dir": "a" } }"#;
    let with = |level: &'static str| {
        let env = move |name: &str| match name {
            "LOG_LEVEL" => Some(level.to_owned()),
            "MCP_HUB_PLUGINS_DIR" => Some("b".into()),
            _ => None,
        };
        load_text("x", text, &env).unwrap()
    };
    let loaded = with("warning");
    assert_eq!((loaded.def.logging.level, loaded.def.apps.dir.as_str()), (LogLevel::Warn, "b"));
    assert_eq!(with("").def.logging.level, LogLevel::Error);
    let odd = with("debug,hyper=info");
    assert_eq!(odd.def.logging.level, LogLevel::Error);
    assert!(odd.warnings[0].to_string().contains("LOG_LEVEL"), "{}", odd.warnings[0]);
}

#[test]
fn whoever_names_a_file_gets_that_file() {
    let two = |name: &str| match name {
        "PUERTO_CONFIG" => Some("p.json".to_owned()),
        "MCP_HUB_CONFIG" => Some("m.json".to_owned()),
        _ => None,
    };
    let old = |name: &str| (name == "MCP_HUB_CONFIG").then(|| "m.json".to_owned());
    let file = |name: &str| Origin::File(name.into());
    assert_eq!(locate(Some(Path::new("f.json")), &two), file("f.json"));
    assert_eq!(locate(None, &two), file("p.json"));
    assert_eq!(locate(None, &old), file("m.json"));
    assert_eq!(locate(None, &|_| Some(String::new())), Origin::Builtin);
    let missing = load(Path::new("does/not/exist.json"), &none).unwrap_err();
    assert!(missing[0].to_string().contains("does/not/exist.json"), "{}", missing[0]);
}

#[test]
fn what_cannot_be_read_is_said_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.json");
    let said = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        load(&file, &none).unwrap_err().remove(0).to_string()
    };
    assert!(said(b"{\n\"a\": \"\xff\" }").contains("line 2 of the configuration is not UTF-8"));
    assert!(said(&vec![b' '; BYTES_MAX + 1]).contains("larger than"));
    assert!(said("[".repeat(100_000).as_bytes()).contains("nested deeper than 64"));
    assert!(load(dir.path(), &none).unwrap_err()[0].to_string().contains("name the file in it"));
}

/// Any JSON value, four levels deep.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same value with comments, trailing commas and odd spacing.
fn decorated(value: &serde_json::Value, noise: &mut impl Iterator<Item = &'static str>) -> String {
    let mut gap = || noise.next().unwrap_or("");
    match value {
        serde_json::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| decorated(item, noise)).collect();
            let comma = if items.is_empty() { "" } else { "," };
            format!("[{}{}{comma}]", noise.next().unwrap_or(""), items.join(", /* , ] */ "))
        }
        serde_json::Value::Object(members) => {
            let mut text = format!("{{{}", gap());
            for (key, value) in members {
                let key = serde_json::Value::from(key.as_str());
                let (before, after) = (noise.next().unwrap_or(""), noise.next().unwrap_or(""));
                write!(text, "{before}{key}{after}:{},", decorated(value, noise)).unwrap();
            }
            text + "}"
        }
        leaf => format!("{}{leaf}{}", gap(), gap()),
    }
}

/// Every node's text, read alone, gives the same node.
fn check_places(text: &str, node: &json::Node) {
    let part = &text[node.span.start..node.span.end];
    let alone = json::read(part).unwrap();
    assert_eq!(alone.to_json(), node.to_json(), "{part}");
    for member in node.members() {
        let key = &text[member.key_span.start..member.key_span.end];
        assert_eq!(serde_json::from_str::<String>(key).unwrap(), member.key);
        check_places(text, &member.node);
    }
    node.items().iter().for_each(|item| check_places(text, item));
}

proptest! {
    #[test]
    fn reading_agrees_with_serde_and_knows_places(value in any_json(), seed in any::<u8>()) {
        const NOISE: [&str; 6] = ["", " ", "\n\t", "// a \" { [ ,\n", "/* } ä */", "\r\n"];
        let strict = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(json::read(&strict).unwrap().to_json(), serde_json::from_str::<serde_json::Value>(&strict).unwrap());
        let mut noise = NOISE.into_iter().cycle().skip(seed.into());
        let loose = decorated(&value, &mut noise);
        let read = json::read(&loose).unwrap();
        prop_assert_eq!(read.to_json(), json::read(&strict).unwrap().to_json());
        check_places(&loose, &read);
    }

    #[test]
    fn nothing_makes_it_panic(text in "[\\PC\\n\"{}\\[\\],:/*$\\\\]{0,80}", cut in 0usize..2000) {
        let _ = said(&text);
        // Whatever stands before it, a cut file is told of and not misread.
        let whole = std::fs::read_to_string(root().join("config/servers.json")).unwrap();
        let end = (0..=cut.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap();
        let spliced = format!("{}{text}{}", &whole[..end], &whole[end..]);
        let _ = said(&spliced);
    }

    #[test]
    fn arbitrary_bytes_do_not_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = said(&String::from_utf8_lossy(&bytes));
    }
}

/// A configuration may come from somewhere else, and what is wrong in it is repeated.
#[test]
fn what_is_told_of_a_configuration_cannot_deceive_a_terminal() {
    let text =
        "{ \"tenants\": { \"default\": { \"servers\": { \"a\": { \"url\": \"\u{9b}2J\u{202e}://x\" } } } } }";
    let problem = load_text("it.json", text, &none).unwrap_err().remove(0).to_string();
    assert!(problem.contains("\\u{9b}2J\\u{202e}://"), "{problem}");
    assert!(!problem.contains(['\u{9b}', '\u{202e}']), "{problem}");
}

/// Every place that repeats what stands there, with a variable in it.
#[test]
fn a_value_of_the_environment_is_not_shown() {
    let with = |rest: &str| format!("{{ \"tenants\": {{ \"default\": {{}} }}, {rest} }}");
    let server =
        |def: &str| format!("{{ \"tenants\": {{ \"default\": {{ \"servers\": {{ \"a\": {def} }} }} }} }}");
    let service = |def: &str| with(&format!(r#""services": [{{ "name": "a", "url": "http://h", {def} }}]"#));
    for text in [
        service(r#""conditions": ["${TOKEN}"]"#),
        service(r#""conditions": ["[${TOKEN}] == 1"]"#),
        service(r#""interval": "${TOKEN}""#),
        service(r#""parents": ["${TOKEN}"]"#),
        service(r#""tenant": "${TOKEN}""#),
        service(r#""headers": { "X": "${TOKEN}\n" }"#),
        service(r#""tls": { "server_name": "${TOKEN} x" }"#),
        service(r#""maintenance": [{ "start": "${TOKEN}", "duration": "${TOKEN}", "zone": "${TOKEN}" }]"#),
        with(r#""services": [{ "name": "${TOKEN} x", "url": "${TOKEN}" }]"#),
        with(r#""services": [{ "name": "a", "url": "${TOKEN}://x" }]"#),
        with(r#""version": "${TOKEN}""#),
        with(r#""gateway": { "host": "${TOKEN}" }"#),
        with(r#""gateway": { "port": "${TOKEN}" }"#),
        with(r#""gateway": { "allowed_origins": ["${TOKEN}"] }"#),
        with(r#""store": { "url": "${TOKEN}" }"#),
        with(r#""logging": { "level": "${TOKEN}" }"#),
        server(r#"{ "url": "${TOKEN}" }"#),
        server(r#"{ "command": "run --token ${TOKEN}" }"#),
        server(r#"{ "builtin": "db", "options": { "url": "${TOKEN}" } }"#),
        server(r#"{ "url": "http://h", "headers": { "X": "${TOKEN}\n" } }"#),
        server(r#"{ "url": "http://h", "transport": "${TOKEN}" }"#),
    ] {
        let said = said(&text);
        assert!(said.contains("-->") && !said.contains("s3cret"), "{text}: {said}");
    }
}
