//! Processes of servers: put to rest, replaced, bounded, and ended with the hub.

use std::path::Path;

use puerto_testkit::{Fixture, Hub, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// A server on a pipe with more keys in its definition.
fn on_pipe(more: Value) -> Value {
    let mut server = json!({"command": Fixture::program(PUERTO), "args": ["--stdio"]});
    server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"pipe": server})
}

fn pid(hub: &Hub) -> Option<u64> {
    hub.get("/api/servers/default/pipe").json()["pid"].as_u64()
}

fn echoes(hub: &Hub) {
    let answer = hub.call("/mcp/default/pipe", "echo", json!({"text": "hi"}));
    assert!(answer["result"].to_string().contains("hi"), "{answer}\n{}", hub.process.errors());
}

#[test]
fn a_server_that_nobody_uses_rests_and_the_next_call_wakes_it() {
    let hub = Hub::with_servers(PUERTO, &on_pipe(json!({"idle_timeout": 5})));
    let first = pid(&hub).unwrap();
    let tools = hub.tool_names("/mcp");
    hub.wait_for("default:pipe", "hibernating");
    wait_until("its process is gone", || (!Path::new(&format!("/proc/{first}")).exists()).then_some(()));
    assert_eq!(pid(&hub), None);
    assert_eq!(hub.tool_names("/mcp"), tools);
    hub.wait_for("default:pipe", "hibernating");
    echoes(&hub);
    assert_ne!(pid(&hub), Some(first));
    assert_eq!(hub.get("/api/servers/default/pipe").json()["restarts"], 0);
}

#[test]
fn a_server_that_rests_is_stopped_for_good_by_its_operator() {
    let servers = on_pipe(json!({"idle_timeout": 1}));
    let hub = Hub::start(PUERTO, &json!({"tenants": {"default": {"servers": servers}}}));
    hub.wait_for("default:pipe", "hibernating");
    assert_eq!(hub.post("/api/servers/default/pipe/stop", "").json()["status"], "stopped");
    let refused = hub.call("/mcp/default/pipe", "echo", json!({"text": "hi"}));
    assert!(refused["result"].to_string().contains("is stopped"), "{refused}");
    assert_eq!(hub.post("/api/servers/default/pipe/start", "").status, 200);
    echoes(&hub);
}

#[test]
fn an_old_process_is_replaced_and_no_call_is_lost() {
    let hub = Hub::with_servers(PUERTO, &on_pipe(json!({"max_lifetime": 1})));
    let first = wait_until("it runs", || pid(&hub));
    wait_until("the process is another one", || {
        echoes(&hub);
        pid(&hub).filter(|now| *now != first)
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_has_its_limits() {
    let limits = json!({"open_files": 128, "cpu_seconds": 600, "memory": 4096});
    let hub = Hub::with_servers(PUERTO, &on_pipe(json!({"limits": limits})));
    let text = std::fs::read_to_string(format!("/proc/{}/limits", pid(&hub).unwrap())).unwrap();
    let limit = |name: &str| {
        let line =
            text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max open files"), "128");
    assert_eq!(limit("Max cpu time"), "600");
    assert_eq!(limit("Max address space"), (4096u64 << 20).to_string());
    echoes(&hub);
}

#[test]
#[cfg(target_os = "linux")]
fn the_hub_takes_more_open_files_than_it_was_started_with_and_gives_its_children_what_they_expect() {
    let dir = tempfile::tempdir().unwrap();
    let starter = dir.path().join("starter");
    std::fs::write(&starter, format!("#!/bin/sh\nulimit -Sn 256\nexec {PUERTO} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&starter, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let hub = Hub::with_servers(starter.to_str().unwrap(), &on_pipe(json!({})));
    let soft = |pid: u64| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap().to_owned();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (own, child) = (soft(hub.process.pid().into()), soft(pid(&hub).unwrap()));
    assert!(own > 256, "{own}");
    assert_eq!(child, 256);
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_ends_with_a_hub_that_is_ended_by_force() {
    let hub = Hub::with_servers(PUERTO, &on_pipe(json!({})));
    let child = pid(&hub).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &hub.process.pid().to_string()]).status();
    assert!(killed.unwrap().success());
    wait_until("the child has ended", || {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // Nobody may be there to take note of its end.
        let ended =
            state.is_empty() || state.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z'));
        ended.then_some(())
    });
}

#[test]
fn a_server_that_answers_nothing_is_spared_subscriptions_too() {
    let hub = Hub::with_servers(PUERTO, &on_pipe(json!({"call_timeout": 1, "max_failures": 1})));
    let session = hub.session("/mcp", "2025-11-25");
    let slow = hub.call("/mcp/default/pipe", "wait", json!({"ms": 60_000}));
    assert!(slow["result"].to_string().contains("did not answer within 1 s"), "{slow}");
    let refused = session.ask("resources/subscribe", json!({"uri": "test://watched-resource"})).response();
    assert!(refused["error"].to_string().contains("is not called now"), "{refused}");
    assert_eq!(session.ask("logging/setLevel", json!({"level": "info"})).response()["result"], json!({}));
}

#[test]
fn subscriptions_outlive_the_process_of_a_legacy_server() {
    let hub = Hub::with_servers(PUERTO, &on_pipe(json!({"era": "legacy"})));
    let session = hub.session("/mcp", "2025-11-25");
    let mut stream = session.stream();
    let uri = json!({"uri": "test://watched-resource"});
    assert_eq!(session.ask("resources/subscribe", uri).response()["result"], json!({}));
    assert_eq!(hub.post("/api/servers/default/pipe/restart", "").status, 200);
    let told = std::thread::spawn(move || stream.next_message());
    wait_until("a change is told", || {
        hub.call("/mcp/default/pipe", "test_trigger_resource_update", json!({}));
        told.is_finished().then_some(())
    });
    assert_eq!(told.join().unwrap().unwrap()["method"], "notifications/resources/updated");
}
