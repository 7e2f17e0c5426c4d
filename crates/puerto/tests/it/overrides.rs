//! What a tenant changes in what its servers offer, and the named subsets of it.

use puerto_testkit::{Fixture, Hub, Session, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

fn servers() -> Value {
    json!({"one": {"command": Fixture::program(PUERTO), "args": ["--stdio"]}, "monitor": {"builtin": "monitor"}})
}

fn start(more: Value) -> Hub {
    let mut tenant = json!({"servers": servers()});
    tenant.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let hub = Hub::start(PUERTO, &json!({"tenants": {"default": tenant}}));
    hub.wait_for("default:one", "ready");
    hub.wait_for("default:monitor", "ready");
    hub
}

fn listed(hub: &Hub, path: &str, method: &str, name: &str) -> Option<Value> {
    let answer = hub.modern(path, method, json!({})).response();
    let member = method.split('/').next().unwrap();
    let all = answer["result"][member].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
    all.into_iter().find(|item| item["name"] == name)
}

#[test]
fn tools_prompts_and_resources_are_switched_off_renamed_and_described() {
    let hub = start(json!({"overrides": {
        "tools": {
            "one.test_*": {"enabled": false},
            "one.test_simple_text": {"enabled": true},
            "one.echo": {"name": "say", "title": "Say it", "description": "Says it again.", "annotations": {"readOnlyHint": true}},
        },
        "prompts": {"one.test_simple_prompt": {"enabled": false}},
        "resources": {"one.test://static-text": {"enabled": false}, "one.test://static-binary": {"name": "bytes"}},
    }}));
    let tools = hub.tool_names("/mcp");
    assert!(tools.contains(&"one__say".to_owned()) && tools.contains(&"one__test_simple_text".to_owned()));
    assert!(!tools.iter().any(|name| name == "one__echo" || name == "one__test_error_handling"), "{tools:?}");
    for (path, name) in [("/mcp", "one__say"), ("/mcp/default/one", "say")] {
        let tool = listed(&hub, path, "tools/list", name).unwrap();
        assert_eq!(
            (&tool["title"], &tool["description"]),
            (&json!("Say it"), &json!("Says it again.")),
            "{tool}"
        );
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        let answer = hub.call(path, name, json!({"text": "hello"}));
        assert!(answer["result"].to_string().contains("hello"), "{answer}");
        let off = hub.call(path, &name.replace("say", "test_error_handling"), json!({}));
        assert!(off["error"]["message"].as_str().unwrap().contains("switched off"), "{off}");
    }
    let refused = hub.post("/api/tools/one.test_error_handling/call", "{}");
    assert!(refused.status == 404 && refused.body.contains("switched off"), "{refused:?}");
    assert_eq!(hub.post("/api/tools/one.say/call", r#"{"text":"x"}"#).json()["tool"], "one.echo");
    assert_eq!(listed(&hub, "/mcp", "prompts/list", "one__test_simple_prompt"), None);
    let prompt = hub.modern("/mcp", "prompts/get", json!({"name": "one__test_simple_prompt"})).response();
    assert!(prompt["error"]["message"].as_str().unwrap().contains("switched off"), "{prompt}");
    let resource = hub.modern("/mcp", "resources/read", json!({"uri": "test://static-text"})).response();
    assert!(resource["error"]["message"].as_str().unwrap().contains("not found"), "{resource}");
    assert!(listed(&hub, "/mcp", "resources/list", "bytes").is_some());
    // What runs is recorded under the server's own name for it.
    wait_until("the call is recorded", || hub.get("/api/records").body.contains("\"echo\"").then_some(()));
    assert!(!hub.get("/api/records").body.contains("\"say\""));
}

#[test]
fn all_tools_can_be_seen_with_those_that_are_switched_off() {
    let hub = start(
        json!({"overrides": {"tools": {"one.echo": {"enabled": false}, "one.nothing": {"enabled": false}}}}),
    );
    let names = |path: &str| hub.get(path).json()["tools"].clone();
    let has = |tools: &Value, enabled: bool| {
        tools.as_array().unwrap().iter().any(|tool| tool["name"] == "one.echo" && tool["enabled"] == enabled)
    };
    assert!(!has(&names("/api/tools"), true) && !has(&names("/api/tools"), false));
    assert!(has(&names("/api/tools?all=1"), false));
    let (_, said, _) = hub.command(&["tools", "--all", "--url", &format!("http://{}", hub.address)]);
    assert!(said.contains("(switched off)"), "{said}");
    // An override that names nothing is told of.
    let notices = hub.get("/api/tenants/default").json()["notices"].to_string();
    assert!(notices.contains("nothing") && notices.contains("an override names"), "{notices}");
}

#[test]
fn a_profile_shows_and_reaches_its_subset_over_every_door() {
    let hub = start(
        json!({"profiles": {"small": {"description": "Only echo.", "tools": ["one.echo", "monitor.*", "!monitor.list_*"], "prompts": []}}}),
    );
    let path = "/mcp/default?profile=small";
    assert_eq!(hub.tool_names(path), ["monitor__get_metrics", "monitor__get_uptime", "one__echo"]);
    let out = hub.call(path, "one__greet", json!({"name": "x"}));
    assert!(out["error"]["message"].as_str().unwrap().contains("not in the profile"), "{out}");
    assert!(hub.call(path, "one__echo", json!({"text": "in"}))["result"].to_string().contains("in"));
    let session = Session::open(&hub, path, "2025-11-25", json!({}));
    assert!(session.opened["result"]["instructions"].as_str().unwrap().starts_with("Only echo."));
    assert_eq!(
        session.ask("tools/list", json!({})).response()["result"]["tools"].as_array().unwrap().len(),
        3
    );
    // A session of one profile is none of another endpoint.
    let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", &*session.id)];
    let elsewhere =
        hub.request("POST", "/mcp/default", &headers, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(elsewhere.status, 404);
    let base = format!("http://{}", hub.address);
    let socket = format!("ws://{}/ws/mcp/default?profile=small", hub.address);
    let sse = format!("{base}/mcp/default/sse?profile=small");
    for way in [["--transport", "websocket", "--url", &socket], ["--transport", "sse", "--url", &sse]] {
        let seen = puerto_testkit::peers::client("ts1", &way);
        assert_eq!(seen["tools"].as_array().unwrap().len(), 3, "{way:?}: {seen}");
    }
    let file = hub.dir.path().join("alone.json");
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(hub.dir.path().join("puerto.json")).unwrap()).unwrap();
    config["store"] = json!({"url": "sqlite::memory:"});
    std::fs::write(&file, config.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let alone = ["--stdio", PUERTO, "stdio", "--alone", "--profile", "small", "--config", file];
    assert_eq!(puerto_testkit::peers::client("ts1", &alone)["tools"].as_array().unwrap().len(), 3);
    assert_eq!(hub.get("/mcp/default?profile=other").status, 404);
    assert_eq!(hub.get("/mcp/default/one?profile=small").status, 400);
    let (_, entry, _) =
        hub.command(&["export", "--client", "cursor", "--profile", "small", "--config", file]);
    assert!(entry.contains("/mcp?profile=small"), "{entry}");
}

#[test]
fn overrides_are_taken_over_while_servers_and_sessions_go_on() {
    let hub = start(json!({"profiles": {"small": {"tools": ["one.echo"]}}}));
    let pid = hub.get("/api/servers/default/one").json()["pid"].clone();
    let session = hub.session("/mcp", "2025-11-25");
    let narrow = Session::open(&hub, "/mcp?profile=small", "2025-11-25", json!({}));
    let (mut stream, mut narrow_stream) = (session.stream(), narrow.stream());
    let config = json!({"tenants": {"default": {"servers": servers(),
        "overrides": {"tools": {"one.echo": {"name": "say"}}}, "profiles": {"small": {"tools": ["one.echo", "one.greet"]}}}}});
    let (new, file) = (hub.dir.path().join("new.json"), hub.dir.path().join("puerto.json"));
    std::fs::write(&new, config.to_string()).unwrap();
    std::fs::rename(new, file).unwrap();
    for stream in [&mut stream, &mut narrow_stream] {
        let told = stream.next_message().unwrap();
        assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    }
    assert!(hub.tool_names("/mcp").contains(&"one__say".to_owned()));
    assert_eq!(hub.tool_names("/mcp?profile=small"), ["one__greet", "one__say"]);
    assert_eq!(hub.get("/api/servers/default/one").json()["pid"], pid);
    let (_, said, _) = hub.command(&["diff", "--url", &format!("http://{}", hub.address)]);
    assert_eq!(said.trim(), "2 unchanged");
}

#[test]
fn lists_say_what_they_cost_a_model() {
    let hub = start(json!({"profiles": {"small": {"tools": ["one.echo"]}, "lean": {"kind": "search"}}}));
    let answer = hub.get("/api/tools?cost=1").json();
    let cost = &answer["cost"];
    let sum: u64 =
        answer["tools"].as_array().unwrap().iter().map(|tool| tool["tokens"].as_u64().unwrap()).sum();
    assert_eq!(cost["tokens"], sum);
    assert_eq!(
        cost["servers"]["default:one"].as_u64().unwrap()
            + cost["servers"]["default:monitor"].as_u64().unwrap(),
        sum
    );
    let of = |profile: &str| cost["profiles"][format!("default:{profile}")].as_u64().unwrap();
    assert!(of("small") < of("lean") && of("lean") < sum / 3, "{cost}");
    let only = hub.get("/api/tools?cost=1&profile=small").json();
    assert_eq!((&only["total"], only["cost"]["tokens"].as_u64().unwrap()), (&json!(1), of("small")));
    let (_, said, _) = hub.command(&["tools", "--cost", "--url", &format!("http://{}", hub.address)]);
    assert!(said.contains("TOKENS") && said.contains("profile default:lean"), "{said}");
    assert_eq!(hub.get("/api/tools?profile=none").status, 404);
}
