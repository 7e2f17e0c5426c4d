//! A changed configuration, taken over while the hub runs.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use puerto_testkit::process::Process;
use puerto_testkit::{Fixture, Hub, odd, root, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

fn pipe(more: &str) -> Value {
    json!({"command": Fixture::program(PUERTO), "args": ["--stdio"], "metadata": {"note": more}})
}

fn write(hub: &Hub, servers: &Value) {
    let config = json!({"tenants": {"default": {"servers": servers}}});
    write_text(hub, &config.to_string());
}

/// As editors do: a new file takes the place of the old one.
fn write_text(hub: &Hub, text: &str) {
    let (new, file) = (hub.dir.path().join("new.json"), hub.dir.path().join("puerto.json"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn pid(hub: &Hub, server: &str) -> Option<u64> {
    hub.get(&format!("/api/servers/default/{server}")).json()["pid"].as_u64()
}

fn is_gone(pid: u64) {
    wait_until("the old process is gone", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

fn says(hub: &Hub, server: &str, text: &str) {
    let answer = hub.call("/mcp", &format!("{server}__echo"), json!({"text": text}));
    assert!(answer["result"].to_string().contains(text), "{answer}");
}

#[test]
fn only_what_changed_begins_anew() {
    let hub = Hub::with_servers(PUERTO, &json!({"same": pipe("a"), "other": pipe("a"), "gone": pipe("a")}));
    let (same, other, gone) = (pid(&hub, "same"), pid(&hub, "other").unwrap(), pid(&hub, "gone").unwrap());
    write(&hub, &json!({"same": pipe("a"), "other": pipe("b"), "new": pipe("a")}));
    hub.wait_for("default:new", "ready");
    hub.wait_for("default:other", "ready");
    assert_eq!(pid(&hub, "same"), same);
    is_gone(other);
    is_gone(gone);
    assert_eq!(hub.get("/api/servers/default/gone").status, 404);
    ["same", "other", "new"].into_iter().for_each(|server| says(&hub, server, "hi"));
    let tools = hub.tool_names("/mcp");
    assert!(tools.iter().any(|name| name == "new__echo") && !tools.iter().any(|name| name == "gone__echo"));
}

#[test]
fn a_file_with_a_fault_changes_nothing_and_is_told_of() {
    let hub = Hub::with_servers(PUERTO, &json!({"same": pipe("a")}));
    let before = pid(&hub, "same");
    let url = format!("http://{}", hub.address);
    write_text(
        &hub,
        "{ \"tenants\": { \"default\": { \"servers\": { \"same\": { \"comand\": \"x\" } } } } }",
    );
    let health = wait_until("the fault is told", || {
        let health = hub.get("/health").json();
        (health["components"]["configuration"]["status"] == "degraded").then_some(health)
    });
    assert!(health["components"]["configuration"]["detail"].to_string().contains("comand"), "{health}");
    let (_, said, _) = hub.command(&["status", "--url", &url]);
    assert!(said.contains("comand"), "{said}");
    let (code, _, errors) = hub.command(&["reload", "--url", &url]);
    assert!(code == 1 && errors.contains("comand"), "{errors}");
    assert_eq!(pid(&hub, "same"), before);
    says(&hub, "same", "still here");
    write(&hub, &json!({"same": pipe("a")}));
    wait_until("the fault is mended", || {
        (hub.get("/health").json()["components"]["configuration"]["status"] == "healthy").then_some(())
    });
    assert_eq!(pid(&hub, "same"), before);
}

#[test]
fn what_would_change_can_be_seen_first() {
    let hub = Hub::with_servers(PUERTO, &json!({"same": pipe("a"), "other": pipe("a")}));
    let url = format!("http://{}", hub.address);
    let (_, said, _) = hub.command(&["diff", "--url", &url]);
    assert_eq!(said.trim(), "2 unchanged");
    // Looking is logged like any other operation.
    wait_until("it is logged", || hub.process.errors().contains("configuration.read").then_some(()));
    // The hub would take this over by itself in a moment; what is seen either way names the server.
    write(&hub, &json!({"same": pipe("a"), "new": pipe("a")}));
    let changes = wait_until("the change is seen", || {
        let changes = hub.post("/api/reload?preview=true", "").json();
        let taken = hub.get("/api/servers/default/new").status == 200;
        (taken || changes["added"] == json!(["default:new"])).then_some(changes)
    });
    assert!(changes["added"].is_array(), "{changes}");
    hub.wait_for("default:new", "ready");
}

#[test]
fn a_call_under_way_finishes_at_the_old_process_and_unchanged_servers_lose_none() {
    let slow = |note: &str| {
        let mut server = odd(&[]);
        server["metadata"] = json!({"note": note});
        server
    };
    let hub = Hub::with_servers(PUERTO, &json!({"same": pipe("a"), "slow": slow("a")}));
    let (done, url) = (AtomicBool::new(false), format!("http://{}", hub.address));
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| hub.call("/mcp", "slow__sleep", json!({"seconds": 3})));
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    says(&hub, "same", "hi");
                }
            });
        }
        wait_until("the call is at its server", || {
            hub.get("/metrics/prometheus").body.contains("slow").then_some(())
        });
        for round in 0..100 {
            write(&hub, &json!({"same": pipe("a"), "slow": slow(&round.to_string())}));
            let (code, _, errors) = hub.command(&["reload", "--url", &url]);
            assert_eq!(code, 0, "{errors}");
        }
        let answer = under_way.join().unwrap();
        assert!(answer["result"].to_string().contains("slept"), "{answer}");
        done.store(true, Ordering::SeqCst);
    });
    hub.wait_for("default:slow", "ready");
    // A hundred lives of one server: all but the last are gone, and so is what they held.
    let children = || {
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()
        });
        all.filter(|parent| *parent == hub.process.pid()).count()
    };
    wait_until("two processes are left", || (children() == 2).then_some(()));
    let open = std::fs::read_dir(format!("/proc/{}/fd", hub.process.pid())).unwrap().count();
    assert!(open < 60, "{open} files are open");
}

#[test]
fn a_connection_that_stays_open_works_with_what_is_defined_now() {
    let hub = Hub::with_servers(PUERTO, &json!({"other": pipe("a"), "gone": pipe("a")}));
    let mut command = std::process::Command::new(root().join("peers/run"));
    command.arg("node").arg(root().join("crates/testkit/servers/app.mjs"));
    let mut socket = Process::start(command.arg(format!("ws://{}/ws/mcp", hub.address)));
    let mut ask = |method: &str, params: Value| -> Value {
        let text = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params});
        writeln!(socket.stdin(), "{text}").unwrap();
        loop {
            let message: Value = serde_json::from_str(&socket.line()).unwrap();
            if message["id"] == method {
                return message;
            }
        }
    };
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    assert!(ask("initialize", params)["result"].is_object());
    let call = |server: &str| json!({"name": format!("{server}__echo"), "arguments": {"text": "hi"}});
    assert!(ask("tools/call", call("other"))["result"].to_string().contains("hi"));
    write(&hub, &json!({"other": pipe("b"), "new": pipe("a")}));
    hub.wait_for("default:new", "ready");
    hub.wait_for("default:other", "ready");
    for server in ["other", "new"] {
        let answer = ask("tools/call", call(server));
        assert!(
            answer["result"]["isError"] != true && answer["result"].to_string().contains("hi"),
            "{answer}"
        );
    }
    let gone = ask("tools/call", call("gone"));
    assert!(gone["error"]["message"].is_string(), "{gone}");
}
