//! Servers come, crash and go; lists and other servers do not suffer from it.

use puerto_testkit::process::{Process, alive_in_group};
use puerto_testkit::{Hub, odd, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use crate::PUERTO;

fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text in {answer}"))
        .to_owned()
}

fn pid(hub: &Hub) -> u32 {
    text(&hub.call("/mcp/default/odd", "pid", json!({}))).parse().unwrap()
}

#[test]
fn a_crashed_process_comes_back_by_itself() {
    let hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[]), "monitor": {"builtin": "monitor"}}));
    let first = pid(&hub);
    let crashed = hub.call("/mcp/default/odd", "crash", json!({}));
    assert!(
        crashed["result"]["isError"] == true
            && text(&crashed).contains("closed while the call was under way"),
        "{crashed}"
    );
    let other = hub.call("/mcp", "monitor__get_uptime", json!({}));
    assert_eq!(other["result"]["isError"], false);
    wait_until("a new process serves", || {
        let answer = hub.call("/mcp/default/odd", "pid", json!({}));
        (answer["result"]["isError"] != true && text(&answer) != first.to_string()).then_some(())
    });
    let server = hub.get("/api/servers/default/odd").json();
    assert_eq!((&server["status"], &server["restarts"]), (&json!("ready"), &json!(1)));
}

#[test]
fn stopping_leaves_no_process() {
    let hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[])}));
    let group = pid(&hub);
    assert!(alive_in_group(group) >= 1);
    assert_eq!(hub.post("/api/servers/default/odd/stop", "").json()["status"], "stopped");
    assert_eq!(alive_in_group(group), 0);
    assert_eq!(hub.post("/api/servers/default/odd/start", "").json()["status"], "ready");
    let group = pid(&hub);
    let (code, _) = hub.stop();
    assert_eq!((code, alive_in_group(group)), (Some(0), 0));
}

#[test]
fn calls_in_flight_finish_before_it_stops() {
    let mut hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[])}));
    let address = hub.address.clone();
    let (sent, params) = puerto_testkit::hub::modern_text(
        "tools/call",
        json!({"name": "sleep", "arguments": {"seconds": 1.5}}),
    );
    let headers = [
        ("Content-Type", "application/json"),
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "sleep"),
    ];
    assert_eq!(params.as_deref(), Some("sleep"));
    let call = std::thread::spawn(move || {
        puerto_testkit::http::request(&address, "POST", "/mcp/default/odd", &headers, &sent).response()
    });
    wait_until("the call is under way", || {
        (hub.get("/api/tenants/default").json()["running"].is_null()).then_some(())
    });
    hub.process.terminate();
    assert_eq!(text(&call.join().unwrap()), "slept");
    assert_eq!(hub.process.wait().code(), Some(0));
}

#[test]
fn lists_are_answered_after_a_restart_before_the_server_is_back() {
    let store = json!({"url": "sqlite://kept.db"});
    let config =
        |server: Value| json!({"tenants": {"default": {"servers": {"odd": server}}}, "store": store});
    let hub = Hub::start(PUERTO, &config(odd(&[])));
    hub.wait_for("default:odd", "ready");
    let (code, dir) = hub.stop();
    assert_eq!(code, Some(0));
    let hub = Hub::start_in(PUERTO, &config(odd(&["--hang"])), dir);
    assert!(hub.tool_names("/mcp").contains(&"odd__raw".to_owned()));
    let server = hub.get("/api/servers/default/odd").json();
    assert_eq!((&server["status"], &server["stale"]), (&json!("starting"), &json!(true)));
}

#[test]
fn a_server_that_is_down_holds_up_no_list() {
    let servers = json!({"gone": {"command": "/nonexistent/program"}, "web": {"url": "http://127.0.0.1:1/mcp"}, "monitor": {"builtin": "monitor"}});
    let hub = Hub::start(
        PUERTO,
        &json!({"tenants": {"default": {"servers": servers}}, "orchestrator": {"max_retries": 0}}),
    );
    for server in ["default:gone", "default:web"] {
        hub.wait_for(server, "failed");
    }
    assert_eq!(hub.tool_names("/mcp").len(), 3);
    let server = hub.get("/api/servers/default/gone").json();
    assert!(server["error"].as_str().unwrap().contains("is it installed and on PATH?"), "{server}");
    let call = hub.call("/mcp", "gone__x", json!({}));
    assert!(call["result"]["isError"] == true && text(&call).contains("has failed"), "{call}");
    assert_eq!(hub.get("/health").json()["status"], "degraded");
    let legacy =
        hub.session("/mcp", "2025-11-25").ask("tools/call", json!({"name": "gone__x", "arguments": {}}));
    assert_eq!(legacy.response()["result"]["isError"], true);
}

#[test]
fn only_this_machine_is_served() {
    let dir = tempfile::TempDir::new().unwrap();
    let refused = |config: &str| {
        std::fs::write(dir.path().join("c.json"), config).unwrap();
        puerto_testkit::hub::command(PUERTO.as_ref(), dir.path(), &["up", "--config", "c.json"])
    };
    let (code, _, err) = refused(r#"{"tenants":{"default":{}},"gateway":{"host":"0.0.0.0"}}"#);
    assert!(code == 1 && err.contains("loopback") && err.contains("tunnel"), "{err}");
}

#[test]
fn an_occupied_port_is_said_before_any_server_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = tempfile::TempDir::new().unwrap();
    let (code, _, err) = puerto_testkit::hub::command(PUERTO.as_ref(), dir.path(), &["up", "--port", &port]);
    assert!(code == 1 && err.contains("is another hub running?"), "{err}");
    assert!(!dir.path().join("data").exists());
}

/// A built-in server alone, on a pipe: both eras, and an end with its input.
#[test]
fn built_in_servers_run_alone() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.txt"), "hello").unwrap();
    let root = dir.path().to_str().unwrap();
    let url = format!("sqlite://{}", dir.path().join("x.db").display());
    for (arguments, tool) in [
        (vec!["serve", "monitor"], "get_uptime"),
        (vec!["serve", "file", "--root", root], "read"),
        (vec!["serve", "db", "--url", &url, "--writable"], "list_tables"),
    ] {
        let mut server = Process::start(Command::new(PUERTO).args(&arguments).current_dir(dir.path()));
        let (modern, _) = puerto_testkit::hub::modern_text("tools/list", json!({}));
        writeln!(server.stdin(), "{modern}").unwrap();
        let listed: Value = serde_json::from_str(&server.line()).unwrap();
        assert!(listed["result"]["tools"].as_array().unwrap().iter().any(|t| t["name"] == tool), "{listed}");
        let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        writeln!(server.stdin(), "{initialize}").unwrap();
        let opened: Value = serde_json::from_str(&server.line()).unwrap();
        assert_eq!(opened["result"]["protocolVersion"], "2025-06-18");
        server.close_stdin();
        assert!(server.wait().success());
    }
    let (code, _, err) = puerto_testkit::hub::command(PUERTO.as_ref(), dir.path(), &["serve", "db"]);
    assert!(code == 1 && err.contains("url"), "{err}");
}

#[test]
fn a_built_in_server_runs_alone_over_http() {
    let server = Process::start(Command::new(PUERTO).args(["serve", "monitor", "--http", "127.0.0.1:0"]));
    let line = server.line();
    let (address, path) = line.split("http://").nth(1).and_then(|url| url.split_once('/')).unwrap();
    let (text, _) = puerto_testkit::hub::modern_text("tools/list", json!({}));
    let headers = [
        ("Content-Type", "application/json"),
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/list"),
    ];
    let listed =
        puerto_testkit::http::request(address, "POST", &format!("/{path}"), &headers, &text).response();
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 3);
}

/// `mcpServers` entries start `puerto stdio`; this is what such a client does, byte by byte.
#[test]
fn a_client_entry_with_puerto_stdio_works() {
    let dir = tempfile::TempDir::new().unwrap();
    let entry = json!({"mcpServers": {"puerto": {"command": PUERTO, "args": ["stdio", "--alone"]}}});
    let entry = &entry["mcpServers"]["puerto"];
    let arguments: Vec<_> = entry["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let mut child = Command::new(entry["command"].as_str().unwrap())
        .args(arguments)
        .current_dir(dir.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let initialize = json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    writeln!(stdin, "{initialize}\n{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}}")
        .unwrap();
    let opened: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&opened["id"], &opened["result"]["serverInfo"]["name"]), (&json!("i"), &json!("puerto")));
    writeln!(stdin, "{}", json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "monitor__get_uptime", "arguments": {}}})).unwrap();
    let called = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|m| m["id"] == 2)
        .unwrap();
    assert_eq!(called["result"]["isError"], false);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
