//! Every way in times every way out, with real clients and servers where they exist.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use puerto_testkit::peers::client;
use puerto_testkit::play::{play, reply, shakes_hands};
use puerto_testkit::process::Process;
use puerto_testkit::{Fixture, Hub, peer, root, wait_until};
use serde_json::json;

use crate::PUERTO;

/// A port that was free a moment ago: servers of others take no listener.
fn port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A built-in server on its own, over TCP; answers its address as it says it.
fn sidecar(arguments: &[&str], token: Option<&str>) -> (Process, String) {
    let mut command = Command::new(PUERTO);
    command.arg("serve").args(arguments).args(["--listen", "127.0.0.1:0"]).current_dir(root());
    if let Some(token) = token {
        command.args(["--token-env", "SIDECAR_TOKEN"]).env("SIDECAR_TOKEN", token);
    }
    let process = Process::start(&mut command);
    let url = process.line().rsplit(' ').next().unwrap().to_owned();
    assert!(url.starts_with("tcp://127.0.0.1:"), "{url}");
    (process, url)
}

/// The official server of everything, over HTTP+SSE.
fn everything_over_sse() -> (Process, String) {
    let port = port();
    let mut command = Command::new(root().join("peers/run"));
    command.args(["everything", "sse"]).env("PORT", &port);
    let server = Process::start(&mut command);
    wait_until("the server listens", || TcpStream::connect(format!("127.0.0.1:{port}")).ok());
    (server, format!("http://127.0.0.1:{port}/sse"))
}

#[test]
fn every_client_reaches_every_kind_of_server() {
    let fixture = Fixture::start(PUERTO, "both");
    let far = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    let (_everything, sse) = everything_over_sse();
    let (_sidecar, tcp) = sidecar(&["monitor"], Some("s3cret"));
    let database = tempfile::NamedTempFile::new().unwrap();
    let hub = Hub::with_servers(
        PUERTO,
        &json!({
            "pipe": peer("everything", &["stdio"]),
            "sqlite": peer("sqlite", &["--db-path", database.path().to_str().unwrap()]),
            "web": {"transport": "http", "url": fixture.url},
            "sse": {"transport": "sse", "url": sse},
            "found": {"url": sse},
            "tcp": {"url": tcp, "token": "s3cret"},
            "socket": {"url": format!("ws://{}/ws/mcp/default/monitor", far.address)},
            "inside": {"builtin": "monitor"},
            "api": {"file": root().join("api/openapi.json"), "base_url": format!("http://{}", far.address)},
        }),
    );
    let calls = [
        ("pipe__echo", r#"{"message":"hi"}"#, "hi"),
        ("sqlite__read_query", r#"{"query":"SELECT 'hi'"}"#, "hi"),
        ("web__echo", r#"{"text":"hi"}"#, "hi"),
        ("sse__echo", r#"{"message":"hi"}"#, "hi"),
        ("found__echo", r#"{"message":"hi"}"#, "hi"),
        ("tcp__get_uptime", "{}", "uptime_seconds"),
        ("socket__get_uptime", "{}", "uptime_seconds"),
        ("inside__get_uptime", "{}", "uptime_seconds"),
        ("api__server_read", r#"{"tenant":"default","server":"monitor"}"#, "ready"),
    ];
    let address = &hub.address;
    let (http, sse, socket) =
        (format!("http://{address}/mcp"), format!("http://{address}/sse"), format!("ws://{address}/ws/mcp"));
    // `puerto stdio` finds the hub that it joins by the port of its configuration.
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let joins = json!({"tenants": {"default": {"servers": {}}}, "gateway": {"port": port}});
    let file = hub.dir.path().join("joins.json");
    std::fs::write(&file, joins.to_string()).unwrap();
    let ways: [(&str, &[&str]); 8] = [
        ("ts1", &["--url", &http]),
        ("ts2", &["--url", &http]),
        ("ts1", &["--transport", "sse", "--url", &sse]),
        ("ts2", &["--era", "legacy", "--transport", "sse", "--url", &sse]),
        ("py1", &["--transport", "sse", "--url", &sse]),
        ("py2", &["--era", "legacy", "--transport", "sse", "--url", &sse]),
        ("ts1", &["--transport", "websocket", "--url", &socket]),
        ("py2", &["--stdio", PUERTO, "stdio", "--config", file.to_str().unwrap()]),
    ];
    for (name, way) in ways {
        let mut arguments: Vec<&str> = Vec::new();
        calls.iter().for_each(|(tool, given, _)| arguments.extend(["--call", tool, given]));
        arguments.extend(way);
        let document = client(name, &arguments);
        for (at, (tool, _, expected)) in calls.iter().enumerate() {
            let tools = document["tools"].as_array().unwrap();
            assert!(tools.contains(&json!(tool)), "{name} {way:?} does not see {tool}: {tools:?}");
            let result = document["calls"][at]["result"].to_string();
            assert!(result.contains(expected), "{name} {way:?} {tool}: {document}");
        }
    }
}

#[test]
fn both_eras_are_spoken_over_sockets() {
    let far = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    let (_sidecar, tcp) = sidecar(&["monitor"], None);
    let socket = format!("ws://{}/ws/mcp/default/monitor", far.address);
    let sse = format!("http://{}/mcp/default/monitor/sse", far.address);
    let hub = Hub::with_servers(
        PUERTO,
        &json!({
            "tcp": {"url": tcp}, "tcp-legacy": {"url": tcp, "era": "legacy"},
            "socket": {"url": socket}, "socket-legacy": {"url": socket, "era": "legacy"},
            "sse": {"transport": "sse", "url": sse},
        }),
    );
    for (server, protocol) in [
        ("tcp", "2026-07-28"),
        ("tcp-legacy", "2025-11-25"),
        ("socket", "2026-07-28"),
        ("socket-legacy", "2025-11-25"),
        ("sse", "2025-11-25"),
    ] {
        let shown = hub.get(&format!("/api/servers/default/{server}")).json();
        assert_eq!(shown["protocol"], protocol, "{server}");
        let answer = hub.call(&format!("/mcp/default/{server}"), "get_uptime", json!({}));
        assert!(answer["result"].to_string().contains("uptime_seconds"), "{server}: {answer}");
    }
}

#[test]
fn a_server_over_tcp_wants_its_token() {
    let (_sidecar, url) = sidecar(&["monitor"], Some("right"));
    let servers = json!({"right": {"url": url, "token": "right"}, "wrong": {"url": url, "token": "left"}, "none": {"url": url}});
    let hub = Hub::start(
        PUERTO,
        &json!({"tenants": {"default": {"servers": servers}}, "orchestrator": {"max_retries": 0}}),
    );
    hub.wait_for("default:right", "ready");
    hub.wait_for("default:wrong", "failed");
    hub.wait_for("default:none", "failed");
    let why = |name: &str| hub.get(&format!("/api/servers/default/{name}")).json()["error"].to_string();
    assert!(why("wrong").contains("refused the token"), "{}", why("wrong"));
    assert!(why("none").contains("puerto/authenticate"), "{}", why("none"));
    let lists = hub.get("/api/servers/default/wrong").body + &hub.process.errors();
    assert!(!lists.contains("left"), "a token is shown: {lists}");
}

#[test]
fn without_a_token_a_sidecar_serves_this_machine_only() {
    let (code, _, errors) = puerto_testkit::hub::command(
        PUERTO.as_ref(),
        &root(),
        &["serve", "monitor", "--listen", "0.0.0.0:0"],
    );
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("--token-env") && errors.contains("loopback"), "{errors}");
}

/// Opens a stream of HTTP+SSE; answers it and where its client posts.
fn open(hub: &Hub, path: &str) -> (BufReader<TcpStream>, String) {
    let mut stream = TcpStream::connect(&hub.address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", hub.address)
        .unwrap();
    let mut stream = BufReader::new(stream);
    let post = loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(post) = line.strip_prefix("data: ") {
            break post.trim().to_owned();
        }
    };
    (stream, post)
}

#[test]
fn a_stream_of_events_is_a_session_and_ends_with_it() {
    let hub = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    let (mut stream, post) = open(&hub, "/mcp/default/monitor/sse");
    assert!(post.starts_with("/mcp/default/monitor/message?sessionId="), "{post}");
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    assert_eq!(hub.post(&post, &initialize.to_string()).status, 202);
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
    assert!(line.contains("2024-11-05"), "{line}");
    // Another endpoint, and an id that nobody has.
    let foreign = post.replace("/mcp/default/monitor/", "/");
    assert_eq!(hub.post(&foreign, "{}").status, 404);
    assert_eq!(hub.post("/message?sessionId=x", "{}").status, 404);
    assert_eq!(hub.request("POST", "/sse", &[], "{}").status, 405);
    drop(stream);
    wait_until("the session has ended with its stream", || {
        (hub.post(&post, "{}").status == 404).then_some(())
    });
}

#[test]
fn a_websocket_is_refused_to_pages_of_others_and_to_plain_requests() {
    let hub = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    let upgrade = |more: &[(&str, &str)]| {
        let mut stream = TcpStream::connect(&hub.address).unwrap();
        write!(stream, "GET /ws/mcp HTTP/1.1\r\nHost: {}\r\n", hub.address).unwrap();
        more.iter().for_each(|(name, value)| write!(stream, "{name}: {value}\r\n").unwrap());
        write!(stream, "\r\n").unwrap();
        let mut head = [0; 512];
        let length = stream.read(&mut head).unwrap();
        String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned()
    };
    let asks = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert!(upgrade(&asks).contains("101"), "{}", upgrade(&asks));
    let mut foreign = asks.to_vec();
    foreign.push(("Origin", "http://evil.example"));
    assert!(upgrade(&foreign).contains("403"), "{}", upgrade(&foreign));
    assert!(upgrade(&[("Connection", "close")]).contains("400"));
}

/// Three sidecars and a run: the set-up of config/ops.json, on free ports.
#[test]
fn tasks_run_against_three_processes_with_the_right_token() {
    let dir = tempfile::TempDir::new().unwrap();
    let database = format!("sqlite://{}", dir.path().join("ops.db").display());
    let file = ["file", "--root", "config/sample"];
    let db = ["db", "--url", &database, "--writable", "--init-file", "config/sample/events.sql"];
    let sidecars = [&["monitor"][..], &file, &db].map(|arguments| sidecar(arguments, Some("s3cret")));
    let mut config = std::fs::read_to_string(root().join("config/ops.json")).unwrap();
    for ((_, url), written) in sidecars.iter().zip(["7001", "7002", "7003"]) {
        config = config.replace(&format!("\"tcp://127.0.0.1:{written}\""), &format!("{url:?}"));
    }
    config = config.replacen("\"version\"", "\"store\": {\"url\": \"sqlite::memory:\"},\n\"version\"", 1);
    std::fs::write(dir.path().join("ops.json"), config).unwrap();
    let run = |token: &str| {
        let mut command = Command::new(PUERTO);
        command.args(["run", "config/tasks.json", "--json", "--config"]).arg(dir.path().join("ops.json"));
        let done = command.current_dir(root()).env("PUERTO_TOKEN", token).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout) + &text(&done.stderr))
    };
    let (code, said) = run("s3cret");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("guess");
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("refused the token") && !said.contains("guess"), "{said}");
}

#[test]
fn an_answer_whose_stream_breaks_off_is_gone_on_with() {
    let id = std::sync::Mutex::new(0);
    let url = play(move |head, body| {
        let request: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let events = |events: &str| reply("200 OK", "text/event-stream", "", events);
        if request["method"] == "tools/call" {
            *id.lock().unwrap() = request["id"].as_u64().unwrap();
            // An id, a wait, and the beginning of an event that is lost.
            return events("id: 41\nretry: 20\ndata: \n\ndata: {\"jsonrpc\":\"2.0\",\"id\"");
        }
        if head.starts_with("GET") && head.to_lowercase().contains("last-event-id: 41") {
            let result = json!({"content": [{"type": "text", "text": "at last"}]});
            let answer = json!({"jsonrpc": "2.0", "id": *id.lock().unwrap(), "result": result});
            return events(&format!("id: 42\ndata: {answer}\n\n"));
        }
        if head.starts_with("GET") {
            reply("405 Method Not Allowed", "text/plain", "", "")
        } else {
            shakes_hands(body)
        }
    });
    let hub = Hub::with_servers(PUERTO, &json!({"s": {"transport": "http", "url": url}}));
    let answer = hub.call("/mcp/default/s", "slow", json!({}));
    assert!(answer["result"].to_string().contains("at last"), "{answer}");
    let answer = hub.session("/mcp/default/s", "2025-11-25").ask("tools/call", json!({"name": "slow"}));
    assert!(answer.response()["result"].to_string().contains("at last"), "{answer:?}");
}

#[test]
fn a_session_that_the_server_forgot_is_opened_again_with_its_stream() {
    let opened = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = opened.clone();
    let url = play(move |head, body| {
        let current = format!("mcp-session-id: s{}", count.load(std::sync::atomic::Ordering::SeqCst));
        let lower = head.to_lowercase();
        if body.contains("\"initialize\"") {
            let now = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            return shakes_hands(body).replace("s1", &format!("s{now}"));
        }
        if head.starts_with("GET") {
            // The first stream ends at once, and takes its session with it.
            if count.load(std::sync::atomic::Ordering::SeqCst) == 1 {
                return if lower.contains("last-event-id: 7") {
                    reply("404 Not Found", "text/plain", "", "")
                } else {
                    reply("200 OK", "text/event-stream", "", "id: 7\nretry: 20\ndata: \n\n")
                };
            }
            return reply("405 Method Not Allowed", "text/plain", "", "");
        }
        if lower.contains("mcp-session-id") && !lower.contains(&current) {
            return reply("404 Not Found", "text/plain", "", "");
        }
        shakes_hands(body)
    });
    let hub = Hub::with_servers(PUERTO, &json!({"s": {"transport": "http", "url": url}}));
    wait_until("the session is opened again", || {
        (opened.load(std::sync::atomic::Ordering::SeqCst) == 2).then_some(())
    });
    assert_eq!(hub.get("/api/servers/default/s").json()["restarts"], 0);
}
