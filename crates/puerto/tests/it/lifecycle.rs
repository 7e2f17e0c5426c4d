//! Servers come, crash and go; lists and other servers do not suffer from it.

use puerto_testkit::peers::client;
use puerto_testkit::process::{Process, alive_in_group};
use puerto_testkit::{Hub, odd, root, scripted, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::time::Duration;

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
    for host in ["0.0.0.0", "::", "[::]"] {
        let (code, _, err) =
            refused(&format!(r#"{{"tenants":{{"default":{{}}}},"gateway":{{"host":"{host}","port":0}}}}"#));
        assert!(code == 1 && err.contains("loopback") && err.contains("tunnel"), "{host}: {err}");
    }
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

#[test]
fn a_server_that_cannot_start_again_backs_off_until_it_can() {
    let dir = tempfile::TempDir::new().unwrap();
    let dies = dir.path().join("dies");
    let hub = Hub::with_servers(PUERTO, &json!({"tool": scripted(&["--die-if", dies.to_str().unwrap()])}));
    let first = hub.get("/api/servers/default/tool").json();
    std::fs::write(&dies, "").unwrap();
    hub.call("/mcp", "tool__crash", json!({}));
    let down = wait_until("it backs off", || {
        let server = hub.get("/api/servers/default/tool").json();
        (server["status"] == "backing_off").then_some(server)
    });
    assert!(down["error"].is_string() && down["next_try_s"].is_number(), "{down}");
    std::fs::remove_file(&dies).unwrap();
    hub.wait_for("default:tool", "ready");
    let second = hub.get("/api/servers/default/tool").json();
    assert!(first["pid"] != second["pid"] && second["restarts"].as_u64() >= Some(1), "{second}");
    assert!(hub.call("/mcp", "tool__raw", json!({}))["result"].is_object());
}

/// What "at once" may take on a busy machine; every wait that must not be in it is far longer.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The result, which must come at once.
#[allow(clippy::disallowed_types, reason = "real time is what is judged here")]
fn at_once<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = std::time::Instant::now();
    let done = work();
    assert!(began.elapsed() < AT_ONCE, "{what} took {:?}", began.elapsed());
    done
}

#[test]
fn a_server_that_hangs_is_given_up_and_then_holds_nobody_up() {
    let dir = tempfile::TempDir::new().unwrap();
    let hangs = dir.path().join("hangs");
    std::fs::write(&hangs, "").unwrap();
    let servers = json!({"good": scripted(&[]), "bad": scripted(&["--hang-if", hangs.to_str().unwrap()])});
    let config = json!({"tenants": {"default": {"servers": servers}},
        "orchestrator": {"startup_timeout": 15, "max_retries": 0}});
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:good", "ready");
    hub.wait_for("default:bad", "failed");
    assert_eq!(at_once("a list", || hub.tool_names("/mcp")).len(), 5);
    let call = at_once("a call", || hub.call("/mcp", "good__raw", json!({})));
    assert!(call["result"].is_object(), "{call}");
    let session = at_once("a handshake", || hub.session("/mcp", "2025-11-25"));
    assert!(at_once("a ping", || session.ask("ping", json!({}))).response()["result"].is_object());
    assert_eq!(hub.get("/health").json()["status"], "degraded");
}

/// A server whose own child outlives it, where only the server itself is told to end.
#[test]
fn stopping_ends_what_a_server_has_started() {
    let script = root().join("crates/testkit/servers/scripted.py");
    let line = format!("sleep 1000 & exec python3 {}", script.display());
    let server = json!({"command": "sh", "args": ["-c", line]});
    let hub = Hub::with_servers(PUERTO, &json!({"one": server, "two": server}));
    let group = |name: &str| {
        let server = hub.get(&format!("/api/servers/default/{name}")).json();
        u32::try_from(server["pid"].as_u64().unwrap()).unwrap()
    };
    let (one, two) = (group("one"), group("two"));
    assert_eq!((alive_in_group(one), alive_in_group(two)), (2, 2), "each has a group of its own");
    assert_eq!(hub.post("/api/servers/default/one/stop", "").json()["status"], "stopped");
    // A killed process is gone a moment after the signal that kills it.
    let gone = |group| wait_until("nothing is left", || (alive_in_group(group) == 0).then_some(()));
    gone(one);
    assert_eq!(alive_in_group(two), 2);
    assert_eq!(hub.stop().0, Some(0));
    gone(two);
}

#[test]
fn a_call_that_is_at_its_server_ends_before_the_hub_does() {
    let mut hub = Hub::with_servers(PUERTO, &json!({"tool": scripted(&[])}));
    let go_on = hub.dir.path().join("go on");
    let answer = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let params = json!({"name": "tool__wait_for", "arguments": {"path": go_on}});
            let (text, _) = puerto_testkit::hub::modern_text("tools/call", params);
            let headers = [
                ("Content-Type", "application/json"),
                ("MCP-Protocol-Version", "2026-07-28"),
                ("Mcp-Method", "tools/call"),
                ("Mcp-Name", "tool__wait_for"),
            ];
            hub.request("POST", "/mcp", &headers, &text).response()
        });
        wait_until("the call is at its server", || {
            let received = text(&hub.call("/mcp", "tool__received", json!({})));
            received.contains(r#""wait_for""#).then_some(())
        });
        hub.process.terminate();
        wait_until("the hub is stopping", || hub.process.errors().contains("stopping").then_some(()));
        std::fs::write(&go_on, "").unwrap();
        call.join().unwrap()
    });
    assert_eq!(text(&answer), "it is there");
    assert_eq!(hub.process.wait().code(), Some(0));
}

#[test]
fn open_streams_do_not_hold_up_the_end() {
    let mut hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[])}));
    let session = hub.session("/mcp", "2025-11-25");
    let mut stream = session.stream();
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listen = hub.modern_events("/mcp", "subscriptions/listen", filter);
    assert_eq!(listen.next_message().unwrap()["method"], "notifications/subscriptions/acknowledged");
    hub.process.terminate();
    let last = listen.next_message().expect("the stream ends with its answer");
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    assert_eq!((listen.next_message(), stream.next_message()), (None, None));
    assert_eq!(at_once("the end", || hub.process.wait()).code(), Some(0));
}

#[test]
fn built_in_servers_serve_both_eras_over_http() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.txt"), "hello").unwrap();
    let url = format!("sqlite://{}", dir.path().join("x.db").display());
    for (arguments, tool, given) in [
        (vec!["monitor"], "get_metrics", r#"{"mem":true}"#),
        (vec!["file", "--root", dir.path().to_str().unwrap()], "read", r#"{"path":"/a.txt"}"#),
        (vec!["db", "--url", &url, "--writable"], "query", r#"{"sql":"SELECT 1 AS one"}"#),
    ] {
        let mut command = Command::new(PUERTO);
        let mut server =
            Process::start(command.arg("serve").args(&arguments).args(["--http", "127.0.0.1:0"]));
        let line = server.line();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        for (era, protocol) in [("modern", "2026-07-28"), ("legacy", "2025-11-25")] {
            let done = client("ts2", &["--era", era, "--call", tool, given, "--url", url]);
            assert_eq!(done["protocolVersion"], protocol, "{done}");
            let result = &done["calls"][0]["result"];
            assert!(result["content"].is_array() && result["isError"] != true, "{done}");
        }
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_hub_that_is_told_to_end_ends_well() {
    for signal in ["-TERM", "-INT"] {
        let mut hub = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
        let told = Command::new("kill").args([signal, &hub.process.pid().to_string()]).status();
        assert!(told.unwrap().success());
        assert_eq!(at_once("the end", || hub.process.wait()).code(), Some(0), "{signal}");
    }
}
