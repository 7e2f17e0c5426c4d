//! What becomes of a text that people wrote, and of the file around it.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn draft(command: &str, args: &[&str]) -> Draft {
    Draft {
        command: Some(command.into()),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        ..Draft::default()
    }
}

fn check(text: Option<&str>, tenant: &str, expected: &Expect) {
    let long = Draft {
        env: vec![
            ("DATA".into(), "/srv/a/rather/long/directory/of/data".into()),
            ("MODE".into(), "fast".into()),
        ],
        ..draft("npx", &["-y", "@modelcontextprotocol/server-filesystem"])
    };
    let servers = [("git".to_owned(), draft("uvx", &["mcp-server-git"])), ("files".to_owned(), long)];
    let done = with_servers("it.json", text, tenant, &servers).unwrap();
    expected.assert_eq(&done);
    config::load_text("it.json", &done, &|_| None).unwrap();
}

#[test]
fn a_fresh_file_is_whole() {
    check(
        None,
        "default",
        &expect![[r#"
            // Puerto's configuration; every key is explained in docs/configuration.md.
            {
              "version": "1.0.0",
              "tenants": {
                "default": {
                  "servers": {
                    "git": { "command": "uvx", "args": ["mcp-server-git"] },
                    "files": {
                      "command": "npx",
                      "args": ["-y", "@modelcontextprotocol/server-filesystem"],
                      "env": { "DATA": "/srv/a/rather/long/directory/of/data", "MODE": "fast" }
                    }
                  }
                }
              }
            }
        "#]],
    );
}

#[test]
fn comments_and_layout_stay() {
    check(
        Some(
            r#"// Mine.
{
    "tenants": {
        "default": {
            "servers": {
                "m": { "builtin": "monitor" }, // the machine, and a comma: ,
                // "old": { "command": "x" },
            },
            "quotas": {},
        },
    },
}
"#,
        ),
        "default",
        &expect![[r#"
            // Mine.
            {
                "tenants": {
                    "default": {
                        "servers": {
                            "m": { "builtin": "monitor" }, // the machine, and a comma: ,
                            // "old": { "command": "x" },
                            "git": { "command": "uvx", "args": ["mcp-server-git"] },
                            "files": {
                                "command": "npx",
                                "args": ["-y", "@modelcontextprotocol/server-filesystem"],
                                "env": { "DATA": "/srv/a/rather/long/directory/of/data", "MODE": "fast" }
                            },
                        },
                        "quotas": {},
                    },
                },
            }
        "#]],
    );
}

#[test]
fn a_comma_in_a_comment_is_none() {
    let text = "{\n  \"a\": 1 // one, two\n}\n";
    let source = Source::json("it.json", text.into()).unwrap();
    let done = append(text, &source.root, &[("b".into(), Layout::Compact(vec![("c".into(), 2.into())]))]);
    expect![[r#"
        {
          "a": 1, // one, two
          "b": { "c": 2 }
        }
    "#]]
    .assert_eq(&done);
}

#[test]
fn a_comment_keeps_the_white_space_at_its_end() {
    let text = "{\n  \"a\": 1 // one\u{a0}\n}\n";
    let source = Source::json("it.json", text.into()).unwrap();
    let done = append(text, &source.root, &[("b".into(), Layout::Compact(vec![("c".into(), 2.into())]))]);
    assert_eq!(done, "{\n  \"a\": 1, // one\u{a0}\n  \"b\": { \"c\": 2 }\n}\n");
}

#[test]
fn one_line_becomes_several() {
    check(
        Some(r#"{ "tenants": { "default": { "servers": { "m": { "builtin": "monitor" } } } } }"#),
        "default",
        &expect![[r#"
            { "tenants": { "default": { "servers": {
              "m": { "builtin": "monitor" },
              "git": { "command": "uvx", "args": ["mcp-server-git"] },
              "files": {
                "command": "npx",
                "args": ["-y", "@modelcontextprotocol/server-filesystem"],
                "env": { "DATA": "/srv/a/rather/long/directory/of/data", "MODE": "fast" }
              }
            } } } }"#]],
    );
}

#[test]
fn a_tenant_is_made_where_it_is_missing() {
    check(
        Some("{\r\n\t\"tenants\": {\r\n\t\t\"default\": {}\r\n\t}\r\n}\r\n"),
        "other",
        &expect![[
            "{\r\n\t\"tenants\": {\r\n\t\t\"default\": {},\r\n\t\t\"other\": {\r\n\t\t\t\"servers\": {\r\n\t\t\t\t\"git\": { \"command\": \"uvx\", \"args\": [\"mcp-server-git\"] },\r\n\t\t\t\t\"files\": {\r\n\t\t\t\t\t\"command\": \"npx\",\r\n\t\t\t\t\t\"args\": [\"-y\", \"@modelcontextprotocol/server-filesystem\"],\r\n\t\t\t\t\t\"env\": { \"DATA\": \"/srv/a/rather/long/directory/of/data\", \"MODE\": \"fast\" }\r\n\t\t\t\t}\r\n\t\t\t}\r\n\t\t}\r\n\t}\r\n}\r\n"
        ]],
    );
    let text = "{ \"tenants\": { \"default\": {\n} } }";
    let done = with_servers("it.json", Some(text), "default", &[("a".into(), draft("x", &[]))]).unwrap();
    config::load_text("it.json", &done, &|_| None).unwrap();
}

#[test]
fn what_is_no_object_is_told_with_its_place() {
    let text = "{ \"tenants\": { \"default\": { \"servers\": [] } } }";
    let problem = with_servers("it.json", Some(text), "default", &[]).unwrap_err();
    assert_eq!((problem.line, problem.column, &*problem.path), (1, 40, "tenants.default.servers"));
}

#[test]
fn the_file_before_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/it.json");
    assert_eq!(write(&path, "one").unwrap(), None);
    assert_eq!(write(&path, "two").unwrap(), Some(dir.path().join("deep/it.json.bak-1")));
    assert_eq!(write(&path, "three").unwrap(), Some(dir.path().join("deep/it.json.bak-2")));
    let read = |name: &str| std::fs::read_to_string(dir.path().join("deep").join(name)).unwrap();
    assert_eq!(
        (&*read("it.json"), &*read("it.json.bak-1"), &*read("it.json.bak-2")),
        ("three", "one", "two")
    );
    assert_eq!(std::fs::read_dir(dir.path().join("deep")).unwrap().count(), 3);
}

/// What may stand between two words of JSON.
fn between() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        " ",
        "\n",
        "\n  ",
        "\t",
        "\r\n",
        " // a, }\n",
        " /* , { */ ",
        "//x\n\n    ",
    ])
}

/// An object as text, with every layout that people could think of.
fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (between(), "[a-d]{1,3}", between(), between(), inner, between());
    (prop::collection::vec(member, 0..4), any::<bool>(), between()).prop_map(|(members, comma, end)| {
        let mut text = String::from("{");
        let count = members.len();
        for (at, (a, key, b, c, value, d)) in members.into_iter().enumerate() {
            // The number keeps keys apart.
            text += &format!("{a}\"{key}{at}\"{b}:{c}{value}{d}");
            text += if at + 1 < count || comma { "," } else { "" };
        }
        text + end + "}"
    })
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_but_members_comes(
        text in (between(), object(prop_oneof![object(Just("1".to_owned())), Just("[1, 2]".to_owned())]), between())
            .prop_map(|(a, b, c)| format!("{a}{b}{c}")),
        many in 1..3usize,
    ) {
        let source = Source::json("it.json", text.clone()).unwrap();
        let new: Vec<_> =
            (0..many).map(|at| (format!("new{at}"), Layout::Compact(vec![("x".into(), at.into())]))).collect();
        // At the top, or in the last object below it.
        let below = source.root.members().iter().map(|m| &m.node).rfind(|n| matches!(n.value, Value::Object(_)));
        for home in [Some(&source.root), below].into_iter().flatten() {
            let done = append(&text, home, &new);
            let after = Source::json("it.json", done.clone()).map_err(|p| TestCaseError::fail(format!("{p}\n{done}")))?;
            let mut wanted = source.root.to_json();
            let object = match std::ptr::eq(home, &source.root) {
                true => &mut wanted,
                false => {
                    let key = &source.root.members().iter().find(|m| std::ptr::eq(&m.node, home)).unwrap().key;
                    &mut wanted[key]
                }
            };
            for at in 0..many {
                object[format!("new{at}")] = serde_json::json!({ "x": at });
            }
            prop_assert_eq!(after.root.to_json(), wanted, "{}", done);
            // Comments are among what stays: only white space and commas may differ.
            let bare = |text: &str| text.replace([' ', '\t', '\r', '\n', ','], "");
            let head = bare(&text[..home.span.end - 1]);
            prop_assert!(bare(&done).starts_with(&head), "{}", done);
        }
    }
}
