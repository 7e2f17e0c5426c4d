//! The examples that people begin with run as they are.

use std::path::Path;

use puerto_testkit::hub::command;
use puerto_testkit::{Hub, peer, root, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PUERTO;

/// The example of the design, with real servers in the places of its placeholders.
#[test]
fn the_configuration_example_starts() {
    let dir = TempDir::new().unwrap();
    let program = peer("filesystem", &[dir.path().to_str().unwrap()]);
    let text = format!(
        r#"{{ "version": "1.0.0",
  "tenants": {{ "default": {{
    "description": "an example", "env": {{}}, "quotas": {{ "max_servers": 10, "max_tools_per_server": 100, "max_concurrent_requests": 50, "requests_per_minute": 0 }},
    "servers": {{
      "monitor":     {{ "transport": "builtin", "builtin": "monitor" }}, // comments and trailing commas are fine
      "sqlite-demo": {{ "type": "database", "transport": "builtin", "builtin": "db", "options": {{ "url": "sqlite://data/demo.db", "writable": true }} }},
      "files":       {{ "transport": "stdio", "command": {}, "args": {}, "env": {{}}, "sharing": "shared", "enabled": true,
                       "capabilities": ["tools"], "metadata": {{ "description": "files" }} }},
      "remote":      {{ "transport": "http", "url": "https://mcp.invalid/mcp", "headers": {{}}, "era": "auto", "enabled": false }} }} }} }},
  "gateway": {{ "host": "127.0.0.1", "port": 8080, "separator": "__" }},
  "orchestrator": {{ "auto_start": true, "max_retries": 3, "startup_timeout": 30, "idle_timeout": 0 }},
  "logging": {{ "level": "INFO", "format": "json" }},
  "store": {{ "url": "sqlite://data/puerto.db" }}, "services": [], "alerts": {{}}, "models": {{}}, "access": {{}}, "apps": {{ "dir": "plugins" }}, }}"#,
        program["command"], program["args"]
    );
    std::fs::write(dir.path().join("puerto.json"), &text).unwrap();
    let (code, out, err) = command(Path::new(PUERTO), dir.path(), &["check", "--config", "puerto.json"]);
    assert!(code == 0 && out.contains("ok (1 tenant, 4 servers)"), "{out}{err}");
    let hub = Hub::start_text(PUERTO, &text, dir);
    for server in ["monitor", "sqlite-demo", "files"] {
        hub.wait_for(&format!("default:{server}"), "ready");
    }
    let names = hub.tool_names("/mcp");
    assert!(
        names.contains(&"sqlite-demo__query".into()) && names.contains(&"files__read_text_file".into()),
        "{names:?}"
    );
    let line = wait_until("an operation is logged as JSON", || {
        let errors = hub.process.errors();
        errors.lines().find(|line| line.contains("tools/list")).map(String::from)
    });
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["outcome"], "ok");
}

fn copy_examples() -> TempDir {
    let dir = TempDir::new().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(root().join("config"))
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(copied.success());
    dir
}

#[test]
fn the_three_task_list_runs() {
    let dir = copy_examples();
    let run = |arguments: &[&str]| command(Path::new(PUERTO), dir.path(), arguments);
    let list = ["run", "config/tasks.json", "--config", "config/ops-embedded.json"];
    let (code, out, err) = run(&list);
    assert!(
        code == 0 && out.contains("[3/3] db.insert ok") && err.contains("3 done, 0 failed"),
        "{out}{err}"
    );
    let (code, out, _) = run(&[&list[..], &["--json", "--concurrency", "3"]].concat());
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(code == 0 && lines.len() == 3 && lines.iter().all(|line| line["ok"] == true), "{out}");
    let tasks = r#"[{"type":"db","action":"query","params":{"sql":"select count(*) as n from events"}}]"#;
    std::fs::write(dir.path().join("count.json"), tasks).unwrap();
    let (_, out, _) = run(&["run", "count.json", "--config", "config/ops-embedded.json", "--json"]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["result"]["structuredContent"]["rows"], json!([[2]]), "{out}");
}

#[test]
fn a_failing_task_stops_the_list_unless_told_otherwise() {
    let dir = copy_examples();
    let tasks = r#"[{"type":"file","action":"read","params":{"path":"/nowhere"}},{"type":"monitor","action":"get_uptime"},{"type":"nobody","action":"x"}]"#;
    std::fs::write(dir.path().join("tasks.json"), tasks).unwrap();
    let run = |more: &[&str]| {
        command(
            Path::new(PUERTO),
            dir.path(),
            &[&["run", "tasks.json", "--config", "config/ops-embedded.json"], more].concat(),
        )
    };
    let (code, out, err) = run(&[]);
    assert!(
        code == 1 && out.contains("file.read FAILED") && err.contains("0 done, 1 failed, 2 not begun"),
        "{out}{err}"
    );
    let (code, out, err) = run(&["--keep-going"]);
    assert!(
        code == 1 && out.contains("monitor.get_uptime ok") && out.contains("servers here: db, file, monitor"),
        "{out}"
    );
    assert!(err.contains("1 done, 2 failed"), "{err}");
    std::fs::write(dir.path().join("tasks.json"), "[{\"type\":\"db\",\n\"acton\":\"x\"}]").unwrap();
    let (code, _, err) = run(&[]);
    assert!(code == 1 && err.contains("tasks.json:2:") && err.contains("acton"), "{err}");
}
