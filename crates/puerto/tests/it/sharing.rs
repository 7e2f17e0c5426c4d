//! Who shares the process of a server: everybody in the tenant, or nobody with another session.

use std::path::Path;

use puerto_testkit::{Fixture, Hub, Session, peer, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

const LEGACY: &str = "2025-11-25";

fn hub(arguments: &[&str], more: Value) -> Hub {
    let arguments = [&["--stdio"], arguments].concat();
    let mut server =
        json!({"command": Fixture::program(PUERTO), "args": arguments, "sharing": "per_session"});
    server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Hub::with_servers(PUERTO, &json!({"own": server}))
}

fn server(hub: &Hub) -> Value {
    hub.get("/api/servers/default/own").json()
}

fn instances(hub: &Hub) -> Vec<Value> {
    server(hub)["instances"].as_array().cloned().unwrap_or_default()
}

fn pids(hub: &Hub) -> Vec<u64> {
    instances(hub).iter().map(|own| own["pid"].as_u64().unwrap()).collect()
}

fn is_gone(pid: u64) {
    wait_until("a process is gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

fn calls(session: &Session<'_>, tool: &str, arguments: Value) -> Value {
    session.ask("tools/call", json!({"name": tool, "arguments": arguments})).response()
}

fn echoes(session: &Session<'_>) {
    let answer = calls(session, "own__echo", json!({"text": "hi"}));
    assert_eq!(answer["result"]["structuredContent"]["text"], "hi", "{answer}");
}

#[test]
fn a_session_has_a_process_for_itself_that_ends_with_it() {
    let hub = hub(&[], json!({}));
    let shared = server(&hub)["pid"].as_u64().unwrap();
    let (one, other) = (hub.session("/mcp", LEGACY), hub.session("/mcp", LEGACY));
    assert!(pids(&hub).is_empty());
    [&one, &other, &one].into_iter().for_each(echoes);
    let own = pids(&hub);
    assert!(own.len() == 2 && own[0] != own[1] && !own.contains(&shared), "{own:?}, {shared}");
    // What belongs to no session shares the one from which the lists come.
    let answer = hub.call("/mcp", "own__echo", json!({"text": "modern"}));
    assert!(answer["result"].to_string().contains("modern"), "{answer}");
    assert_eq!((pids(&hub), server(&hub)["pid"].as_u64()), (own.clone(), Some(shared)));
    assert_eq!(one.end().status, 200);
    is_gone(own[0]);
    assert_eq!(pids(&hub), own[1..]);
    echoes(&other);
    let (code, _) = hub.stop();
    assert_eq!(code, Some(0));
    is_gone(own[1]);
}

#[test]
fn first_calls_side_by_side_share_one_instance() {
    let hub = hub(&[], json!({}));
    let session = hub.session("/mcp", LEGACY);
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| echoes(&session)))));
    assert_eq!(instances(&hub).len(), 1);
    // That one, and the one from which the lists come.
    assert_eq!(crate::hostile::children(hub.process.pid()), 2);
}

#[test]
fn a_subscription_outlives_the_instance_in_which_it_was_made() {
    let hub = hub(&[], json!({}));
    let session = hub.session("/mcp", LEGACY);
    let mut stream = session.stream();
    let uri = json!({"uri": "test://watched-resource"});
    assert_eq!(session.ask("resources/subscribe", uri).response()["result"], json!({}));
    let before = pids(&hub);
    assert_eq!(hub.post("/api/servers/default/own/restart", "").status, 200);
    let told = std::thread::spawn(move || stream.next_message());
    wait_until("a change is told", || {
        calls(&session, "own__test_trigger_resource_update", json!({}));
        told.is_finished().then_some(())
    });
    assert_eq!(told.join().unwrap().unwrap()["method"], "notifications/resources/updated");
    assert_ne!(pids(&hub), before);
}

#[test]
fn a_change_of_a_resource_is_told_to_the_session_in_which_it_happened() {
    let hub = hub(&[], json!({}));
    let (one, other) = (hub.session("/mcp", LEGACY), hub.session("/mcp", LEGACY));
    let (mut stream, mut others) = (one.stream(), other.stream());
    for session in [&one, &other] {
        let uri = json!({"uri": "test://watched-resource"});
        assert_eq!(session.ask("resources/subscribe", uri).response()["result"], json!({}));
    }
    calls(&one, "own__test_trigger_resource_update", json!({}));
    let told = stream.next_message().unwrap();
    assert_eq!(told["method"], "notifications/resources/updated", "{told}");
    assert_eq!(told["params"]["uri"], "test://watched-resource");
    // The other one has heard nothing until its stream ends with it.
    assert_eq!(other.end().status, 200);
    assert_eq!(others.next_message(), None);
}

#[test]
fn no_more_sessions_than_allowed_have_one() {
    let hub = hub(&[], json!({"max_instances": 1}));
    let (one, other) = (hub.session("/mcp", LEGACY), hub.session("/mcp", LEGACY));
    echoes(&one);
    let refused = calls(&other, "own__echo", json!({"text": "hi"}));
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(refused["result"]["isError"], true);
    assert_eq!(
        text,
        "server \"own\" has as many instances as it may (max_instances: 1), each for another session; try again when one has ended"
    );
    one.end();
    echoes(&other);
}

#[test]
fn what_stops_a_server_stops_its_instances() {
    let hub = hub(&[], json!({}));
    let session = hub.session("/mcp", LEGACY);
    echoes(&session);
    let own = pids(&hub)[0];
    assert_eq!(hub.post("/api/servers/default/own/stop", "").status, 200);
    is_gone(own);
    let refused = calls(&session, "own__echo", json!({"text": "hi"}));
    assert!(refused["result"].to_string().contains("is stopped"), "{refused}");
    assert_eq!(hub.post("/api/servers/default/own/start", "").status, 200);
    echoes(&session);
    assert_ne!(pids(&hub)[0], own);
}

#[test]
fn a_call_under_way_in_an_instance_outlives_a_change_of_its_server() {
    let hub = hub(&[], json!({}));
    let session = hub.session("/mcp", LEGACY);
    echoes(&session);
    let own = pids(&hub)[0];
    std::thread::scope(|scope| {
        let call = scope.spawn(|| calls(&session, "own__wait", json!({"ms": 1500})));
        let config = std::fs::read_to_string(hub.dir.path().join("puerto.json")).unwrap();
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config["tenants"]["default"]["servers"]["own"]["metadata"] = json!({"note": "changed"});
        std::fs::write(hub.dir.path().join("puerto.json"), config.to_string()).unwrap();
        wait_until("the change is taken over", || {
            (server(&hub)["metadata"]["note"] == "changed").then_some(())
        });
        let answer = call.join().unwrap();
        assert!(!answer["result"]["isError"].as_bool().unwrap_or_default(), "{answer}");
    });
    is_gone(own);
    echoes(&session);
}

#[test]
fn an_instance_of_a_server_of_one_era_is_reached_from_the_other() {
    let hub = hub(&["--era", "modern"], json!({}));
    let session = hub.session("/mcp", LEGACY);
    echoes(&session);
    assert_eq!(instances(&hub).len(), 1);
}

/// Answers the questions of a server that come on a session's stream, until the client was asked for its roots.
fn gives_roots(session: &Session<'_>, root: &str) {
    let mut stream = session.stream();
    loop {
        let message = stream.next_message().unwrap();
        if message["method"] == "roots/list" {
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"roots": [{"uri": root, "name": "r"}]}});
            assert_eq!(session.send(&answer.to_string()).status, 202);
            return;
        }
    }
}

#[test]
fn a_question_outside_of_every_call_finds_the_client_whose_process_asks() {
    let mut everything = peer("everything", &["stdio"]);
    everything["sharing"] = json!("per_session");
    let hub = Hub::with_servers(PUERTO, &json!({"everything": everything}));
    wait_until("the tool for roots is listed", || {
        hub.tool_names("/mcp").contains(&"everything__get-roots-list".to_owned()).then_some(())
    });
    let capabilities = || json!({"roots": {"listChanged": true}});
    for root in ["file:///first", "file:///second"] {
        let session = Session::open(&hub, "/mcp", LEGACY, capabilities());
        let answer = calls(&session, "everything__echo", json!({"message": "hello"}));
        assert!(answer["result"].to_string().contains("hello"), "{answer}");
        gives_roots(&session, root);
        wait_until("the server knows the client's roots", || {
            let roots = calls(&session, "everything__get-roots-list", json!({}));
            roots["result"].to_string().contains(root).then_some(())
        });
    }
}
