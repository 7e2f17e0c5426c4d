//! `puerto check`: what it prints and how it ends.

use std::path::Path;
use std::process::{Command, Output};

/// Runs it in a directory, with nothing from our own environment that it would read.
fn puerto(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_puerto"));
    for name in ["PUERTO_CONFIG", "MCP_HUB_CONFIG", "MCP_HUB_PLUGINS_DIR", "LOG_LEVEL", "PUERTO_FILES"] {
        command.env_remove(name);
    }
    command.args(args).envs(env.iter().copied()).current_dir(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const GOOD: &str = r#"{ "tenants": { "default": { "servers": { "m": { "builtin": "monitor" } } } } }"#;
const BAD: &str = r#"{ "tenants": { "default": { "servers": { "m": { "bultin": "monitor" } } } } }"#;

#[test]
fn a_good_file_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let done = puerto(&root, &["check"], &[]);
    assert_eq!(text(&done.stdout), "config/servers.json: ok (1 tenant, 3 servers)\n");
    assert!(done.status.success() && done.stderr.is_empty());
    let done = puerto(&root, &["check", "--config", "config/ops-embedded.json"], &[]);
    assert_eq!(text(&done.stdout), "config/ops-embedded.json: ok (1 tenant, 3 servers)\n");
}

#[test]
fn without_a_file_the_built_in_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let done = puerto(dir.path(), &["check"], &[]);
    let said = text(&done.stdout);
    assert_eq!(said, "no config/servers.json, so the built-in configuration: ok (1 tenant, 1 server)\n");
    let done = puerto(dir.path(), &["check"], &[("PUERTO_CONFIG", "missing.json")]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("missing.json"));
}

#[test]
fn a_bad_file_is_explained_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.json"), BAD).unwrap();
    let done = puerto(dir.path(), &["check", "--config", "bad.json"], &[]);
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    let said = text(&done.stderr);
    assert!(said.contains("--> bad.json:1:49") && said.contains("did you mean \"builtin\"?"), "{said}");
    assert!(said.ends_with("bad.json: 1 problem\n"), "{said}");
}

#[test]
fn programs_get_one_json_object() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.json"), GOOD).unwrap();
    std::fs::write(dir.path().join("bad.json"), BAD).unwrap();
    let json = |file: &str| -> serde_json::Value {
        let done = puerto(dir.path(), &["check", "--json", "--config", file], &[("LOG_LEVEL", "loud")]);
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let good = json("good.json");
    assert_eq!((&good["ok"], &good["tenants"], &good["servers"]), (&true.into(), &1.into(), &1.into()));
    assert_eq!(good["problems"][0]["severity"], "warning");
    let bad = json("bad.json");
    assert_eq!(bad["ok"], false);
    let problem = &bad["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&1.into(), &49.into()));
    assert_eq!(problem["path"], "tenants.default.servers.m.bultin");
}

#[test]
fn the_schema_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let done = puerto(dir.path(), &["check", "--schema"], &[]);
    let committed = include_str!("../../../../api/config.schema.json");
    assert_eq!(text(&done.stdout), committed);
}
