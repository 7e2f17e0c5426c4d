//! Real servers of others, gathered in one tenant: everything is listed, and answers as when asked directly.

use std::process::Command;

use puerto_testkit::process::Process;
use puerto_testkit::{Hub, peer, root, wait_until};
use serde_json::{Value, json};
use std::io::Write;

use crate::PUERTO;

/// Asks a server on its pipe, without us in between.
fn directly(definition: &Value, calls: &[(&str, Value)]) -> (Vec<String>, Vec<Value>) {
    let arguments = definition["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap());
    let mut command = Command::new(definition["command"].as_str().unwrap());
    command.args(arguments);
    for (name, value) in definition["env"].as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap());
    }
    let mut server = Process::start(&mut command);
    let ask = |server: &mut Process, id: usize, method: &str, params: Value| -> Value {
        let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(server.stdin(), "{text}").unwrap();
        loop {
            let message: Value = serde_json::from_str(&server.line()).unwrap();
            if message["id"] == id && message["method"].is_null() {
                return message["result"].clone();
            }
        }
    };
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"roots": {}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}, "clientInfo": {"name": "t", "version": "1"}});
    ask(&mut server, 0, "initialize", params);
    writeln!(server.stdin(), r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#).unwrap();
    // server-everything offers more once it has asked for roots; a listing that repeats is settled.
    let mut before = Vec::new();
    let tools = wait_until("the list of tools is settled", || {
        let listed = ask(&mut server, 1, "tools/list", json!({}));
        let mut names: Vec<_> = listed["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        let settled = names == before;
        before = names;
        settled.then(|| before.clone())
    });
    let results = calls.iter().enumerate().map(|(at, (name, arguments))| {
        ask(&mut server, at + 2, "tools/call", json!({"name": name, "arguments": arguments}))
    });
    (tools, results.collect())
}

/// What differs between two calls by nature.
fn without_volatile(mut result: Value) -> Value {
    let object = result.as_object_mut().unwrap();
    for key in ["resultType", "_meta", "ttlMs", "cacheScope"] {
        object.remove(key);
    }
    if object.get("isError") == Some(&json!(false)) {
        object.remove("isError");
    }
    result
}

fn same_as_directly(name: &str, definition: Value, calls: &[(&str, Value)]) {
    let hub =
        Hub::with_servers(PUERTO, &json!({name: definition.clone(), "monitor": {"builtin": "monitor"}}));
    let (tools, results) = directly(&definition, calls);
    let listed = wait_until("everything is listed", || {
        let all = hub.tool_names("/mcp");
        let own: Vec<_> =
            all.iter().filter_map(|n| n.strip_prefix(&format!("{name}__"))).map(String::from).collect();
        (own.len() >= tools.len()).then_some(own)
    });
    for tool in &tools {
        assert!(listed.contains(tool), "{tool} is not in {listed:?}");
    }
    for ((tool, arguments), direct) in calls.iter().zip(results) {
        let through = hub.call("/mcp", &format!("{name}__{tool}"), arguments.clone());
        assert_eq!(without_volatile(through["result"].clone()), without_volatile(direct), "{tool}");
        let legacy = hub
            .session("/mcp", "2025-11-25")
            .ask("tools/call", json!({"name": format!("{name}__{tool}"), "arguments": arguments}));
        assert_eq!(
            without_volatile(legacy.response()["result"].clone()),
            without_volatile(through["result"].clone()),
            "{tool}"
        );
    }
}

#[test]
fn everything_over_a_pipe() {
    let calls = [
        ("echo", json!({"message": "höla"})),
        ("get-sum", json!({"a": 2, "b": 40})),
        ("get-tiny-image", json!({})),
    ];
    same_as_directly("everything", peer("everything", &["stdio"]), &calls);
}

#[test]
fn everything_over_http() {
    // The server binds the port it is given; a port that was free a moment ago is the nearest to a free one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut command = Command::new(root().join("peers/run"));
    command.args(["everything", "streamableHttp"]).env("PORT", &port);
    let _server = Process::start(&mut command);
    wait_until("the server listens", || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok());
    let hub = Hub::with_servers(PUERTO, &json!({"web": {"url": format!("http://127.0.0.1:{port}/mcp")}}));
    let (tools, results) = directly(&peer("everything", &["stdio"]), &[("echo", json!({"message": "x"}))]);
    let listed = hub.tool_names("/mcp/default/web");
    // Without capabilities to be asked the server offers four tools less.
    let asked = |name: &&String| {
        !(name.starts_with("trigger-")
            || name.as_str() == "get-roots-list"
            || name.as_str() == "simulate-research-query")
    };
    for tool in tools.iter().filter(asked) {
        assert!(listed.contains(tool), "{tool} is not in {listed:?}");
    }
    let through = hub.call("/mcp", "web__echo", json!({"message": "x"}));
    assert_eq!(without_volatile(through["result"].clone()), without_volatile(results[0].clone()));
}

#[test]
fn filesystem() {
    let dir = tempfile::TempDir::new().unwrap();
    let dir_path = dir.path().canonicalize().unwrap();
    let file = dir_path.join("a.txt");
    std::fs::write(&file, "1.10 ü\n").unwrap();
    let calls = [("read_text_file", json!({"path": file})), ("list_directory", json!({"path": dir_path}))];
    same_as_directly("files", peer("filesystem", &[dir_path.to_str().unwrap()]), &calls);
}

#[test]
fn memory() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut definition = peer("memory", &[]);
    definition["env"] = json!({"MEMORY_FILE_PATH": dir.path().join("m.json")});
    same_as_directly(
        "memory",
        definition,
        &[("read_graph", json!({})), ("search_nodes", json!({"query": "x"}))],
    );
}

#[test]
fn sqlite() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("s.db");
    // Each call runs once directly and twice through the hub, and must always answer the same.
    let calls = [
        ("create_table", json!({"query": "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text)"})),
        ("write_query", json!({"query": "INSERT OR REPLACE INTO t VALUES (1, 'höla'), (2, NULL)"})),
        ("read_query", json!({"query": "SELECT *, 9007199254740993 AS large FROM t ORDER BY id"})),
        ("read_query", json!({"query": "DELETE FROM t"})),
        ("list_tables", json!({})),
    ];
    same_as_directly("sqlite", peer("sqlite", &["--db-path", file.to_str().unwrap()]), &calls);
}

#[test]
fn time_of_both_eras() {
    let convert = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let calls = [("convert_time", convert)];
    same_as_directly("time", peer("time", &["--local-timezone", "UTC"]), &calls);
}

#[test]
fn git_of_both_eras() {
    let repository = tempfile::TempDir::new().unwrap();
    let path = repository.path().to_str().unwrap();
    assert!(Command::new("git").args(["init", "-q", path]).status().unwrap().success());
    same_as_directly("git", peer("git", &[]), &[("git_status", json!({"repo_path": path}))]);
}

/// The same MCP App twice: its view has one URI, and each server shows its own.
#[test]
fn views_of_mcp_apps_reach_their_hosts() {
    let hub =
        Hub::with_servers(PUERTO, &json!({"one": peer("basic-app", &[]), "two": peer("basic-app", &[])}));
    let tools = hub.modern("/mcp", "tools/list", json!({})).response()["result"]["tools"].clone();
    let view = |server: &str| {
        let name = format!("{server}__get-time");
        let tool = tools.as_array().unwrap().iter().find(|tool| tool["name"] == *name);
        tool.unwrap_or_else(|| panic!("{tools}"))["_meta"]["ui"]["resourceUri"].as_str().unwrap().to_owned()
    };
    let own = hub.modern("/mcp/default/two", "tools/list", json!({})).response();
    let own = own["result"]["tools"][0]["_meta"]["ui"]["resourceUri"].as_str().unwrap().to_owned();
    assert_eq!(view("two"), own.replace("ui://", "ui://two/"));
    assert_ne!(view("one"), view("two"));
    let session = hub.session("/mcp", "2025-11-25");
    let modern = hub.modern("/mcp", "resources/read", json!({"uri": view("two")})).response();
    let legacy = session.ask("resources/read", json!({"uri": view("two")})).response();
    for answer in [modern, legacy] {
        let content = &answer["result"]["contents"][0];
        assert_eq!(content["uri"], view("two"), "{answer}");
        assert_eq!(content["mimeType"], "text/html;profile=mcp-app");
        assert!(content["text"].as_str().unwrap().contains("<script"));
    }
    // Both servers have it by this name, so it is nobody's.
    let bare = hub.modern("/mcp", "resources/read", json!({"uri": own})).response();
    assert!(bare["error"]["message"].as_str().unwrap().contains("not found"), "{bare}");
    let called = hub.call("/mcp", "two__get-time", json!({}));
    assert!(called["result"]["content"].is_array(), "{called}");
}
