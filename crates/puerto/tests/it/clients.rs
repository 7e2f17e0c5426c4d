//! Real clients of others against the hub: official SDKs of both languages and both lines, and FastMCP's.

use puerto_testkit::peers::client;
use puerto_testkit::{Fixture, Hub};
use serde_json::{Value, json};

use crate::PUERTO;

const CALL: [&str; 3] = ["--call", "fixture__echo", r#"{"text":"hi"}"#];

/// What every client must have seen.
fn check(document: &Value, protocol: &str) {
    assert_eq!(document["protocolVersion"], protocol, "{document}");
    let tools = document["tools"].as_array().unwrap();
    assert!(
        tools.contains(&json!("fixture__echo")) && tools.contains(&json!("monitor__get_metrics")),
        "{tools:?}"
    );
    assert!(
        document["resources"].as_array().unwrap().iter().any(|uri| uri == "test://static-text"),
        "{document}"
    );
    assert!(
        document["prompts"].as_array().unwrap().iter().any(|name| name == "fixture__test_simple_prompt"),
        "{document}"
    );
    assert!(document["calls"][0]["result"].to_string().contains("hi"), "{document}");
}

fn with_fixture(run: impl FnOnce(&Hub)) {
    let fixture = Fixture::start(PUERTO, "both");
    run(&Hub::with_servers(
        PUERTO,
        &json!({"fixture": {"url": fixture.url}, "monitor": {"builtin": "monitor"}}),
    ));
}

fn over_http(name: &str, more: &[&str], protocol: &str) {
    with_fixture(|hub| {
        let url = format!("http://{}/mcp", hub.address);
        let arguments: Vec<_> = ["--url", &url].iter().chain(more).chain(&CALL).copied().collect();
        check(&client(name, &arguments), protocol);
    });
}

#[test]
fn typescript_1_over_http() {
    over_http("ts1", &[], "2025-11-25");
}

#[test]
fn typescript_2_over_http_in_both_eras() {
    over_http("ts2", &["--era", "auto"], "2026-07-28");
    over_http("ts2", &["--era", "legacy"], "2025-11-25");
}

#[test]
fn python_1_over_http() {
    over_http("py1", &[], "2025-11-25");
}

#[test]
fn python_2_over_http_in_both_eras() {
    over_http("py2", &["--era", "auto"], "2026-07-28");
    over_http("py2", &["--era", "legacy"], "2025-11-25");
}

#[test]
fn fastmcp_over_http() {
    over_http("fastmcp", &[], "2026-07-28");
}

/// `puerto stdio` as a client's configuration starts it: with a hub to join, and by itself.
#[test]
fn every_client_over_a_pipe() {
    let fixture = Fixture::start(PUERTO, "both");
    let servers = json!({"fixture": {"url": fixture.url}, "monitor": {"builtin": "monitor"}});
    let hub = Hub::with_servers(PUERTO, &servers);
    let port: u16 = hub.address.rsplit(':').next().unwrap().parse().unwrap();
    let file = hub.dir.path().join("stdio.json");
    let config = json!({"tenants": {"default": {"servers": servers}}, "gateway": {"port": port}, "store": {"url": format!("sqlite://{}", hub.dir.path().join("alone.db").display())}});
    std::fs::write(&file, config.to_string()).unwrap();
    for (name, protocol) in [
        ("ts1", "2025-11-25"),
        ("ts2", "2026-07-28"),
        ("py1", "2025-11-25"),
        ("py2", "2026-07-28"),
        ("fastmcp", "2026-07-28"),
    ] {
        let arguments: Vec<_> = CALL
            .iter()
            .copied()
            .chain(["--stdio", PUERTO, "stdio", "--config", file.to_str().unwrap()])
            .collect();
        check(&client(name, &arguments), protocol);
    }
    let alone: Vec<_> = CALL
        .iter()
        .copied()
        .chain(["--stdio", PUERTO, "stdio", "--alone", "--config", file.to_str().unwrap()])
        .collect();
    check(&client("ts1", &alone), "2025-11-25");
    check(&client("py2", &alone), "2026-07-28");
}

/// Questions pass between equal eras: as requests in sessions, as `input_required` without.
#[test]
fn questions_reach_clients_of_the_same_era() {
    with_fixture(|hub| {
        let url = format!("http://{}/mcp/default/fixture", hub.address);
        for name in ["ts1", "py1"] {
            let done = client(
                name,
                &[
                    "--url",
                    &url,
                    "--answer-questions",
                    "--call",
                    "test_elicitation",
                    r#"{"message":"who?"}"#,
                    "--call",
                    "test_sampling",
                    r#"{"prompt":"say"}"#,
                ],
            );
            assert_eq!(done["questions"].as_array().map(Vec::len), Some(2), "{name}: {done}");
            assert!(
                done["calls"].as_array().unwrap().iter().all(|call| call["error"].is_null()),
                "{name}: {done}"
            );
        }
        for name in ["ts2", "py2"] {
            let done = client(
                name,
                &[
                    "--url",
                    &url,
                    "--answer-questions",
                    "--call",
                    "test_input_required_result_elicitation",
                    "{}",
                ],
            );
            assert_eq!(done["questions"].as_array().map(Vec::len), Some(1), "{name}: {done}");
            assert!(done["calls"][0]["error"].is_null(), "{name}: {done}");
        }
    });
}

#[test]
fn progress_reaches_clients_of_both_eras() {
    with_fixture(|hub| {
        let url = format!("http://{}/mcp/default/fixture", hub.address);
        for name in ["ts1", "py1", "py2"] {
            let done =
                client(name, &["--url", &url, "--progress", "--call", "test_tool_with_progress", "{}"]);
            let progress =
                done["calls"][0]["progress"].as_array().or(done["progress"].as_array()).map_or(0, Vec::len);
            assert!(progress >= reports_min(name), "{name}: {done}");
        }
    });
}

/// Reports of progress that a client shows, of three. A TypeScript client does an answer at once and a notification a moment
/// later, so it forgets those that it reads together with the answer; on a busy machine that happens.
fn reports_min(name: &str) -> usize {
    if name.starts_with("ts") { 1 } else { 3 }
}

/// Each era that a client can be told to speak, over HTTP and both ways of a pipe, with a process behind.
fn in_every_era(name: &str, eras: &[&str]) {
    let servers = json!({"fixture": {"command": Fixture::program(PUERTO), "args": ["--stdio"]}});
    let hub = Hub::with_servers(PUERTO, &servers);
    let port: u16 = hub.address.rsplit(':').next().unwrap().parse().unwrap();
    let file = hub.dir.path().join("stdio.json");
    let store = format!("sqlite://{}", hub.dir.path().join("alone.db").display());
    let config = json!({"tenants": {"default": {"servers": servers}}, "gateway": {"port": port}, "store": {"url": store}});
    std::fs::write(&file, config.to_string()).unwrap();
    let (url, file) = (format!("http://{}/mcp", hub.address), file.to_str().unwrap());
    let ways: [&[&str]; 3] = [
        &["--url", &url],
        &["--stdio", PUERTO, "stdio", "--config", file],
        &["--stdio", PUERTO, "stdio", "--alone", "--config", file],
    ];
    let asked = [
        "--progress",
        "--call",
        "fixture__echo",
        r#"{"é":[1,null]}"#,
        "--call",
        "fixture__test_tool_with_progress",
        "{}",
    ];
    for era in eras {
        for way in ways {
            let done = client(name, &[&["--era", era], &asked[..], way].concat());
            let what = format!("{era} {way:?}: {done}");
            let protocol = if *era == "modern" { "2026-07-28" } else { "2025-11-25" };
            assert_eq!(
                (&done["protocolVersion"], &done["serverInfo"]["name"]),
                (&json!(protocol), &json!("puerto")),
                "{what}"
            );
            let counts = ["resources", "resourceTemplates", "prompts"]
                .map(|kind| done[kind].as_array().unwrap().len());
            assert_eq!(counts, [3, 1, 5], "{what}");
            assert!(done["calls"][0]["result"]["content"].to_string().contains('é'), "{what}");
            let progress = done["calls"][1]["progress"].as_array().unwrap();
            assert!(progress.len() >= reports_min(name), "{what}");
            let told: Vec<_> = progress.iter().filter_map(|report| report["progress"].as_f64()).collect();
            assert_eq!(told, [0.0, 50.0, 100.0][..told.len()], "{what}");
        }
    }
}

#[test]
fn typescript_1_by_every_way() {
    in_every_era("ts1", &["legacy"]);
}

#[test]
fn typescript_2_in_every_era_by_every_way() {
    in_every_era("ts2", &["modern", "legacy"]);
}

#[test]
fn python_1_by_every_way() {
    in_every_era("py1", &["legacy"]);
}

#[test]
fn python_2_in_every_era_by_every_way() {
    in_every_era("py2", &["modern", "legacy"]);
}

#[test]
fn fastmcp_in_every_era_by_every_way() {
    in_every_era("fastmcp", &["modern", "legacy"]);
}

/// What the client answers is what the server is told.
#[test]
fn answers_reach_the_server_that_asked() {
    for (name, era) in [("ts1", "legacy"), ("py1", "legacy"), ("ts2", "modern"), ("py2", "modern")] {
        let fixture = Fixture::start(PUERTO, era);
        let hub = Hub::with_servers(PUERTO, &json!({"fixture": {"url": fixture.url}}));
        let url = format!("http://{}/mcp", hub.address);
        let elicit = ["--call", "fixture__test_elicitation", r#"{"message":"who?"}"#];
        let sample = ["--call", "fixture__test_sampling", r#"{"prompt":"what?"}"#];
        let first = ["--era", era, "--answer-questions"];
        let done = client(name, &[&first[..], &elicit, &sample, &["--url", &url]].concat());
        assert_eq!(
            done["questions"],
            json!(["elicitation/create", "sampling/createMessage"]),
            "{name}: {done}"
        );
        let told =
            [0, 1].map(|n| done["calls"][n]["result"]["content"][0]["text"].as_str().unwrap_or_default());
        assert!(told[0].starts_with("User response: action=accept"), "{name}: {done}");
        assert_eq!(told[1], "LLM response: answer of the model", "{name}: {done}");
    }
}
