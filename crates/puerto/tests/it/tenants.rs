//! Tenants share nothing, and their quotas hold.

use puerto_testkit::{Hub, odd, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text in {answer}"))
        .to_owned()
}

#[test]
fn nothing_crosses_between_tenants() {
    let tenant = |secret: &str| json!({"env": {"SECRET": secret}, "servers": {"odd": odd(&[])}});
    let hub = Hub::start(PUERTO, &json!({"tenants": {"default": tenant("one"), "other": tenant("two")}}));
    hub.wait_for("default:odd", "ready");
    hub.wait_for("other:odd", "ready");
    let environment = |path: &str| -> Value {
        serde_json::from_str(&text(&hub.call(path, "odd__env", json!({})))).unwrap()
    };
    let (one, two) = (environment("/mcp"), environment("/mcp/other"));
    assert_eq!((&one["SECRET"], &two["SECRET"]), (&json!("one"), &json!("two")));
    // Children see what they need of our environment, and nothing that a test or a shell happens to hold.
    assert!(
        one["PATH"].is_string() && one["CARGO_MANIFEST_DIR"].is_null() && one["CARGO"].is_null(),
        "{one}"
    );
    let pid = |path: &str| text(&hub.call(path, "odd__pid", json!({})));
    assert_ne!(pid("/mcp"), pid("/mcp/other"));
    let session = hub.session("/mcp/other", "2025-11-25");
    let foreign = [("Content-Type", "application/json"), ("Mcp-Session-Id", session.id.as_str())];
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(hub.request("POST", "/mcp", &foreign, ping).status, 404);
    assert_eq!(hub.request("POST", "/mcp/other/odd", &foreign, ping).status, 404);
    assert_eq!(session.send(ping).json()["result"], json!({}));
    // Nothing that is shown holds what the environment holds.
    for path in [
        "/api/servers/other/odd",
        "/api/tenants/other",
        "/health",
        "/metrics/prometheus",
        "/api/servers/other/odd/logs",
    ] {
        assert!(!hub.get(path).body.contains("two"), "{path}");
    }
}

fn with_quotas(quotas: Value) -> Hub {
    let hub = Hub::start(
        PUERTO,
        &json!({"tenants": {"default": {"quotas": quotas, "servers": {"odd": odd(&[])}}}}),
    );
    hub.wait_for("default:odd", "ready");
    hub
}

#[test]
fn calls_in_a_minute_are_limited() {
    let hub = with_quotas(json!({"requests_per_minute": 3}));
    let answers: Vec<_> = (0..4)
        .map(|_| hub.modern("/mcp", "tools/call", json!({"name": "odd__pid", "arguments": {}})))
        .collect();
    assert!(answers[..3].iter().all(|a| a.response()["result"].is_object()));
    let last = answers[3].response();
    assert_eq!(
        (&last["error"]["data"]["code"], &last["error"]["data"]["retryable"]),
        (&json!("quota_exceeded"), &json!(true))
    );
    assert!(
        last["error"]["data"]["retryAfterMs"].as_u64() > Some(0)
            && answers[3].header("retry-after").is_some(),
        "{last}"
    );
    let rest = hub.post("/api/tools/odd.pid/call", "{}");
    assert_eq!((rest.status, rest.header("retry-after").is_some()), (429, true));
    // A batch counts each of its calls, and legacy clients get their answer with HTTP 200.
    let session = hub.session("/mcp", "2025-03-26");
    let call =
        |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "odd__pid"}});
    let batch = session.send(&json!([call(1), call(2)]).to_string());
    assert_eq!(batch.status, 200);
    assert!(
        batch.json().as_array().unwrap().iter().all(|a| a["error"]["data"]["code"] == "quota_exceeded"),
        "{}",
        batch.body
    );
}

#[test]
fn calls_at_the_same_time_are_limited() {
    let hub = with_quotas(json!({"max_concurrent_requests": 1}));
    let address = hub.address.clone();
    let slow = std::thread::spawn(move || {
        let (text, _) = puerto_testkit::hub::modern_text(
            "tools/call",
            json!({"name": "odd__sleep", "arguments": {"seconds": 2}}),
        );
        let headers = [
            ("Content-Type", "application/json"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "odd__sleep"),
        ];
        puerto_testkit::http::request(&address, "POST", "/mcp", &headers, &text).response()
    });
    wait_until("the slow call runs", || {
        (hub.get("/api/tenants/default").json()["running"] == 1).then_some(())
    });
    let refused = hub.call("/mcp", "odd__pid", json!({}));
    assert_eq!(refused["error"]["data"]["code"], "quota_exceeded");
    assert!(refused["error"]["message"].as_str().unwrap().contains("max_concurrent_requests"));
    assert_eq!(text(&slow.join().unwrap()), "slept");
    assert!(hub.call("/mcp", "odd__pid", json!({}))["result"].is_object());
}

#[test]
fn tools_beyond_the_quota_are_left_out_and_reported() {
    let hub = with_quotas(json!({"max_tools_per_server": 2}));
    assert_eq!(hub.tool_names("/mcp").len(), 2);
    let notices = hub.get("/api/tenants/default").json()["notices"].to_string();
    assert!(notices.contains("max_tools_per_server"), "{notices}");
}

#[test]
fn what_one_tenant_has_the_other_does_not_know() {
    let tenant = |servers: Value| json!({"servers": servers});
    let config = json!({"tenants": {"alpha": tenant(json!({"tool": odd(&[])})),
        "beta": tenant(json!({"tool": odd(&[]), "extra": odd(&[])}))}});
    let hub = Hub::start(PUERTO, &config);
    for server in ["alpha:tool", "beta:tool", "beta:extra"] {
        hub.wait_for(server, "ready");
    }
    assert!(hub.tool_names("/mcp/alpha").iter().all(|name| name.starts_with("tool__")));
    assert_eq!(hub.tool_names("/mcp/beta").len(), 12);
    let called = hub.call("/mcp/alpha", "extra__pid", json!({}));
    assert!(called["error"]["code"].is_i64(), "{called}");
    for path in
        ["/mcp/alpha/extra", "/api/tools/extra.pid/call?tenant=alpha", "/mcp", "/api/tools/tool.pid/call"]
    {
        assert_eq!(hub.post(path, "{}").status, 404, "{path}");
    }
    assert_eq!(hub.get("/api/servers/alpha/extra").status, 404);
    assert!(hub.post("/api/tools/extra.pid/call?tenant=beta", "{}").json()["result"].is_object());
    let session = hub.session("/mcp/alpha", "2025-11-25");
    for path in ["/mcp/beta", "/mcp/beta/tool", "/mcp/alpha/tool"] {
        let headers = [("Mcp-Session-Id", session.id.as_str())];
        assert_eq!(hub.request("DELETE", path, &headers, "").status, 404, "{path}");
    }
    assert_eq!(session.ask("ping", json!({})).response()["result"], json!({}), "nobody else ended it");
}
