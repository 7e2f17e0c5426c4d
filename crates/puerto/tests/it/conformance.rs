//! The official conformance suite, through the hub, in front of a fixture that is not ours.

use puerto_testkit::peers::conformance;
use puerto_testkit::{Fixture, Hub, root};
use serde_json::{Value, json};

use crate::PUERTO;

fn judge(server: &Value, requirements: &str, baseline: Option<&str>) {
    let hub = Hub::with_servers(PUERTO, &json!({"fixture": server}));
    let url = format!("http://{}/mcp/default/fixture", hub.address);
    let baseline = baseline.map(|name| root().join("crates/puerto/tests/conformance").join(name));
    let (good, text) = conformance(&url, requirements, baseline.as_deref());
    assert!(good, "{text}");
}

#[test]
fn legacy_clients_and_a_server_of_both_eras() {
    let fixture = Fixture::start(PUERTO, "both");
    judge(&json!({"url": fixture.url}), "2025-11-25", None);
}

#[test]
fn modern_clients_and_a_server_of_both_eras() {
    let fixture = Fixture::start(PUERTO, "both");
    judge(&json!({"url": fixture.url}), "2026-07-28", None);
}

#[test]
fn modern_clients_and_a_legacy_server() {
    let fixture = Fixture::start(PUERTO, "legacy");
    judge(&json!({"url": fixture.url}), "2026-07-28", Some("modern-client-legacy-server.yml"));
}

#[test]
fn legacy_clients_and_a_modern_server() {
    let fixture = Fixture::start(PUERTO, "modern");
    judge(&json!({"url": fixture.url}), "2025-11-25", Some("legacy-client-modern-server.yml"));
}

#[test]
fn legacy_clients_and_a_shared_legacy_process() {
    let program = Fixture::program(PUERTO);
    judge(&json!({"command": program, "args": ["--stdio", "--era", "legacy"]}), "2025-11-25", None);
}

#[test]
fn modern_clients_and_a_shared_modern_process() {
    let program = Fixture::program(PUERTO);
    judge(&json!({"command": program, "args": ["--stdio", "--era", "modern"]}), "2026-07-28", None);
}

#[test]
fn legacy_clients_and_a_legacy_server() {
    let fixture = Fixture::start(PUERTO, "legacy");
    judge(&json!({"url": fixture.url}), "2025-11-25", None);
}

#[test]
fn legacy_clients_and_a_shared_process_of_both_eras() {
    let program = Fixture::program(PUERTO);
    let server = json!({"command": program, "args": ["--stdio"]});
    judge(&server, "2025-11-25", Some("legacy-client-shared-process.yml"));
}

#[test]
fn modern_clients_and_a_shared_process_of_both_eras() {
    let program = Fixture::program(PUERTO);
    judge(&json!({"command": program, "args": ["--stdio"]}), "2026-07-28", None);
}
