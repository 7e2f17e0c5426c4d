//! Servers and clients that behave as badly as they can: who calls them gets a clear answer, and nobody else
//! notices anything.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use puerto_testkit::play::{play, reply, shakes_hands};
use puerto_testkit::{Fixture, Hub, hostile, odd, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// A hostile server beside two calm ones.
fn among_others(hostile: Value) -> Hub {
    let mut server = hostile;
    // Long enough for a flood that passes through a busy machine.
    server["call_timeout"] = json!(5);
    Hub::with_servers(
        PUERTO,
        &json!({
            "hostile": server,
            "calm": {"builtin": "monitor"},
            "near": {"command": Fixture::program(PUERTO), "args": ["--stdio"]},
        }),
    )
}

fn others_are_well(hub: &Hub, after: &str) {
    let near = hub.call("/mcp", "near__echo", json!({"text": "hi"}));
    assert!(near["result"].to_string().contains("hi"), "after {after}: {near}");
    let calm = hub.call("/mcp", "calm__get_uptime", json!({}));
    assert!(calm["result"].to_string().contains("uptime_seconds"), "after {after}: {calm}");
}

/// Memory of the hub in use, in MiB.
fn resident(hub: &Hub) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_server_on_a_pipe_that_mistreats_its_callers_harms_nobody_else() {
    let hub = among_others(hostile());
    let late = "did not answer within 5 s";
    for (tool, said) in [
        ("never", late),
        ("garbage", "after garbage"),
        ("wrong_id", late),
        ("no_id", late),
        ("deep", late),
        ("null_result", "a result that is no object"),
        ("twice", "once"),
        ("notices", "after notices"),
        ("changes", "after changes"),
        ("errors", "after errors"),
        ("endless", "closed while the call was under way"),
        ("huge", "closed while the call was under way"),
        ("close", "closed while the call was under way"),
    ] {
        hub.wait_for("default:hostile", "ready");
        let answer = hub.call("/mcp", &format!("hostile__{tool}"), json!({}));
        assert!(answer["result"].to_string().contains(said), "{tool}: {answer}");
        others_are_well(&hub, tool);
        let fine = wait_until("it serves again", || {
            let fine = hub.call("/mcp", "hostile__ok", json!({}));
            fine["result"].to_string().contains("fine").then_some(fine)
        });
        assert_ne!(fine["result"]["isError"], true, "after {tool}: {fine}");
    }
    assert!(resident(&hub) < 250, "{} MiB are in use", resident(&hub));
    let log = hub.get("/api/servers/default/hostile/logs").body;
    assert!(log.contains("a line is longer than"), "the log does not say why the connection was ended");
}

#[test]
fn a_server_over_http_that_mistreats_its_callers_harms_nobody_else() {
    let url = play(|head, body| {
        let request: Value = serde_json::from_str(body).unwrap_or_default();
        if request["method"] != "tools/call" {
            return if head.starts_with("POST") {
                shakes_hands(body)
            } else {
                reply("405 No", "text/plain", "", "")
            };
        }
        let good = |text: &str| {
            let result = json!({"content": [{"type": "text", "text": text}]});
            json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()
        };
        let ok = |body: &str| reply("200 OK", "application/json", "", body);
        match request["params"]["arguments"]["how"].as_str().unwrap_or_default() {
            "html" => reply("200 OK", "text/html", "", "<h1>It works!</h1>"),
            "gzip" => reply("200 OK", "application/json", "Content-Encoding: gzip\r\n", "\u{1f}"),
            "garbage" => ok("not JSON"),
            "null" => ok(&json!({"jsonrpc": "2.0", "id": request["id"], "result": null}).to_string()),
            "no-id" => ok(r#"{"jsonrpc":"2.0","result":{"content":[]}}"#),
            "notice" => ok(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#),
            "early" => ok(&good("cut off")).replace("Content-Length: ", "Content-Length: 9"),
            "huge" => ok(&good("")).replace("Content-Length: ", "Content-Length: 99999999"),
            "500" => reply("500 Oh", "text/plain", "", "oh"),
            "401" => reply("401 Who", "text/plain", "", "who"),
            "empty" => reply(
                "200 OK",
                "text/event-stream",
                "",
                &format!("data: \n\n:\n\ndata: {}\n\n", good("after nothing")),
            ),
            "no-end" => reply("200 OK", "text/event-stream", "", "data: {\"jsonrpc\""),
            _ => ok(&good("fine")),
        }
    });
    let hub = among_others(json!({"transport": "http", "url": url}));
    for (how, said) in [
        ("html", "text/html"),
        ("gzip", "compressed"),
        ("garbage", "not JSON-RPC"),
        ("null", "a result that is no object"),
        ("no-id", "without the id"),
        ("notice", "no answer"),
        ("early", "in the middle of its answer"),
        ("huge", "in the middle of its answer"),
        ("500", "HTTP 500"),
        ("401", "wants credentials"),
        ("empty", "after nothing"),
        ("no-end", "before it answered"),
    ] {
        let answer = hub.call("/mcp", "hostile__slow", json!({"how": how}));
        assert!(answer["result"].to_string().contains(said), "{how}: {answer}");
        others_are_well(&hub, how);
        let fine = hub.call("/mcp", "hostile__slow", json!({}));
        assert!(fine["result"].to_string().contains("fine"), "after {how}: {fine}");
    }
}

#[test]
fn a_server_that_is_killed_under_load_comes_back_and_others_lose_nothing() {
    let hub = among_others(odd(&[]));
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    others_are_well(&hub, "a kill");
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    // It may fail, and it must say something.
                    let answer = hub.call("/mcp", "hostile__raw", json!({}));
                    assert!(answer["result"]["content"].is_array(), "{answer}");
                }
            });
        }
        let pid = || hub.get("/api/servers/default/hostile").json()["pid"].as_u64();
        for _ in 0..3 {
            let before = wait_until("it runs", pid);
            let calls_before = calls.load(Ordering::SeqCst);
            assert!(
                std::process::Command::new("kill")
                    .args(["-9", &before.to_string()])
                    .status()
                    .unwrap()
                    .success()
            );
            wait_until("it runs again", || pid().filter(|now| *now != before));
            wait_until("others were called meanwhile", || {
                (calls.load(Ordering::SeqCst) > calls_before + 4).then_some(())
            });
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_server_that_never_answers_is_spared_until_a_trial_succeeds() {
    let mut server = hostile();
    server["max_failures"] = json!(2);
    let hub = among_others(server);
    for _ in 0..2 {
        let answer = hub.call("/mcp", "hostile__never", json!({}));
        assert!(answer["result"].to_string().contains("did not answer within"), "{answer}");
    }
    let refused = hub.call("/mcp", "hostile__ok", json!({}));
    assert!(
        refused["result"].to_string().contains("is not called now: 2 calls in a row got no answer"),
        "{refused}"
    );
    let shown = hub.get("/api/servers/default/hostile").json();
    assert!(shown["status"] == "degraded" && shown["next_try_s"].as_f64().unwrap() > 0.0, "{shown}");
    assert!(shown["memory_bytes"].as_u64().unwrap() > 1 << 20, "{shown}");
    others_are_well(&hub, "a server that is spared");
    wait_until("a trial succeeds", || {
        let answer = hub.call("/mcp", "hostile__ok", json!({}));
        answer["result"].to_string().contains("fine").then_some(())
    });
    assert_eq!(hub.get("/api/servers/default/hostile").json()["status"], "ready");
}

/// Processes below one.
pub(crate) fn children(of: u32) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()
    });
    all.filter(|parent| *parent == of).count()
}

#[test]
fn clients_that_connect_and_vanish_leave_nothing_behind() {
    let hub = among_others(odd(&[]));
    let before = children(hub.process.pid());
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hostile__sleep", "arguments": {"seconds": 1}}});
    let vanish = |round: usize| {
        let mut stream = TcpStream::connect(&hub.address).unwrap();
        let host = &hub.address;
        let head = |path: &str, more: &str| format!("{path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let body = call.to_string();
        let text = match round % 5 {
            0 => String::new(),
            1 => "POST /mcp HTTP/1.1\r\nHost: loc".into(),
            2 => {
                head("POST /mcp", "Content-Type: application/json\r\nContent-Length: 100000\r\n")
                    + "{\"jsonrpc\""
            }
            3 => head("GET /sse", "Accept: text/event-stream\r\n"),
            _ => {
                head(
                    "POST /mcp",
                    &format!(
                        "Content-Type: application/json\r\nMcp-Method: tools/call\r\nMcp-Name: hostile__sleep\r\nMCP-Protocol-Version: 2026-07-28\r\nContent-Length: {}\r\n",
                        body.len()
                    ),
                ) + &body
            }
        };
        stream.write_all(text.as_bytes()).unwrap();
    };
    (0..200).for_each(vanish);
    let warm = resident(&hub);
    (0..1000).for_each(vanish);
    others_are_well(&hub, "a thousand clients that vanished");
    assert_eq!(children(hub.process.pid()), before);
    wait_until("their connections are closed", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", hub.process.pid())).unwrap().count();
        (open < 100).then_some(())
    });
    assert!(resident(&hub) < warm + 30, "{warm} MiB before, {} after", resident(&hub));
}

#[test]
fn a_client_that_does_not_read_delays_nobody() {
    let hub = among_others(odd(&[]));
    let session = hub.session("/mcp", "2025-11-25");
    // Answers of a megabyte each that nobody takes.
    let padding = "x".repeat(1 << 20);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hostile__raw", "arguments": {"padding": padding}}}).to_string();
    let slow: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = TcpStream::connect(&hub.address).unwrap();
            let (host, id, length) = (&hub.address, &session.id, body.len());
            write!(stream, "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMcp-Session-Id: {id}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        others_are_well(&hub, "answers that nobody reads");
        let answer = hub.call("/mcp", "hostile__raw", json!({}));
        assert!(answer["result"]["content"].is_array(), "{answer}");
    }
    drop(slow);
}
