//! Tool search, and two thousand tools of a hundred servers.

use puerto_testkit::{Fixture, Hub, Session, root};
use serde_json::{Map, Value, json};

use crate::PUERTO;

/// Tools of real kinds of service, and requests for them in plain words with what would be right.
fn data(name: &str) -> Value {
    let text = std::fs::read(root().join("crates/puerto/tests/search").join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A hub with a server for each service.
fn hub(tenant: &Value) -> Hub {
    let services = data("services.json");
    let file = root().join("crates/puerto/tests/search/services.json");
    let program = Fixture::program(PUERTO).with_file_name("service");
    let server = |name: &String| (name.clone(), json!({"command": program, "args": [file, name]}));
    let servers: Map<_, _> = services.as_object().unwrap().keys().map(server).collect();
    assert_eq!(servers.len(), 100);
    let mut tenant = tenant.clone();
    tenant["servers"] = servers.into();
    let hub = Hub::start(PUERTO, &json!({"tenants": {"default": tenant}}));
    for name in services.as_object().unwrap().keys() {
        hub.wait_for(&format!("default:{name}"), "ready");
    }
    hub
}

/// What one of the three tools answers, as JSON.
fn own(hub: &Hub, tool: &str, arguments: Value) -> Value {
    let answer = hub.call("/mcp?profile=lean", tool, arguments);
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap_or_else(|_| json!({"said": text}))
}

#[test]
fn two_thousand_tools_of_a_hundred_servers_are_listed_searched_filtered_and_changed() {
    let hub = hub(&json!({
        "overrides": {"tools": {"*.delete*": {"enabled": false}}},
        "profiles": {"lean": {"kind": "search"}, "few": {"tools": ["*.list*"]}},
    }));
    let services = data("services.json");
    let tools = services.as_object().unwrap().iter().flat_map(|(service, described)| {
        let tools = described["tools"].as_array().unwrap().iter();
        tools.map(move |tool| format!("{service}.{}", tool[0].as_str().unwrap()))
    });
    let (off, on): (Vec<_>, Vec<_>) =
        tools.partition(|name| name.split_once('.').unwrap().1.starts_with("delete"));
    assert!(on.len() + off.len() == 2000 && off.len() > 20, "{} and {}", on.len(), off.len());

    let mut cursor = None;
    let mut listed = Vec::new();
    loop {
        let params = cursor.map_or(json!({}), |cursor: Value| json!({"cursor": cursor}));
        let page = hub.modern("/mcp", "tools/list", params).response();
        listed.extend(page["result"]["tools"].as_array().unwrap().clone());
        cursor = page["result"].get("nextCursor").cloned();
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed.len(), on.len());
    let few = hub.tool_names("/mcp?profile=few");
    assert!(!few.is_empty() && few.iter().all(|name| name.contains("__list")), "{few:?}");
    assert_eq!(hub.tool_names("/mcp?profile=lean"), ["call_tool", "describe_tools", "search_tools"]);

    for requests in ["requests.json", "requests-more.json"] {
        let requests = data(requests);
        let requests = requests.as_array().unwrap();
        let missed: Vec<_> = requests.iter().filter_map(|request| missed(&hub, request)).collect();
        assert_eq!(requests.len(), 50);
        assert!(missed.len() <= 5, "{} missed: {missed:#?}", missed.len());
    }
}

/// Exact counts of o200k_base (gpt-tokenizer 4.0.0) of the names, descriptions and schemas of each service.
#[test]
fn the_estimate_of_tokens_is_near_what_a_tokenizer_counts() {
    let hub = hub(&json!({}));
    let cost = hub.get("/api/tools?cost=1").json()["cost"].clone();
    let exact = data("tokens.json");
    let (mut sum, mut estimated) = (0.0, 0.0);
    for (service, exact) in exact.as_object().unwrap() {
        // Eight a tool stand for what frames it in what a model is shown.
        let one = cost["servers"][format!("default:{service}")].as_f64().unwrap() - 160.0;
        let exact = exact.as_f64().unwrap();
        assert!((0.85..1.15).contains(&(one / exact)), "{service}: {one} and {exact}");
        (sum, estimated) = (sum + exact, estimated + one);
    }
    assert!((0.95..1.05).contains(&(estimated / sum)), "{estimated} and {sum}");
}

/// A request, and what was found first where nothing of it is right.
fn missed(hub: &Hub, request: &Value) -> Option<(String, Vec<String>)> {
    let answer = own(hub, "search_tools", json!({"query": request["request"], "limit": 3}));
    let name = |tool: &Value| tool["name"].as_str().unwrap().replace("__", ".");
    let names: Vec<_> = answer["tools"].as_array().unwrap().iter().map(name).collect();
    let right = request["right"].as_array().unwrap();
    let is_right = names.iter().any(|name| right.contains(&json!(name)));
    (!is_right).then(|| (request["request"].to_string(), names))
}

#[test]
fn three_tools_stand_for_all_in_both_eras() {
    let hub = Hub::start(
        PUERTO,
        &json!({"tenants": {"default": {
            "servers": {"one": {"command": Fixture::program(PUERTO), "args": ["--stdio"]}, "monitor": {"builtin": "monitor"}},
            "profiles": {"lean": {"kind": "search", "tools": ["!one.greet"], "pinned": ["monitor.get_uptime"]}},
        }}}),
    );
    hub.wait_for("default:one", "ready");
    let path = "/mcp?profile=lean";
    assert_eq!(hub.tool_names(path), ["call_tool", "describe_tools", "monitor__get_uptime", "search_tools"]);
    let found = own(&hub, "search_tools", json!({"query": "processor load and memory"}));
    assert_eq!(found["tools"][0]["name"], "monitor__get_metrics", "{found}");
    let described = own(&hub, "describe_tools", json!({"names": ["one.echo", "one__nothing"]}));
    assert_eq!(
        (&described["tools"][0]["name"], &described["unknown"]),
        (&json!("one__echo"), &json!(["one__nothing"]))
    );
    let wrapped = |name: &str| json!({"name": name, "arguments": {"text": "through", "n": 1.10}});
    let answer = hub.call(path, "call_tool", wrapped("one__echo"));
    assert!(answer["result"].to_string().contains("through"), "{answer}");
    let outside = hub.call(path, "call_tool", wrapped("one__greet"));
    assert!(outside["error"]["message"].as_str().unwrap().contains("not in the profile"), "{outside}");
    let session = Session::open(&hub, path, "2025-11-25", json!({}));
    let params = json!({"name": "call_tool", "arguments": wrapped("one.echo")});
    let answer = session.ask("tools/call", params).response();
    assert!(answer["result"].to_string().contains("through"), "{answer}");
    // What goes wrong is told in words that a model can act upon.
    for (tool, arguments, wanted) in [
        ("search_tools", json!({}), "search_tools wants"),
        ("search_tools", json!({"query": "x".repeat(2000)}), "longer than"),
        ("describe_tools", json!({"names": ["nobody__x"]}), "no tool is called nobody__x"),
    ] {
        let said = hub.call(path, tool, arguments);
        assert!(said["result"]["isError"] == true && said.to_string().contains(wanted), "{said}");
    }
    let wrong = hub.call(path, "call_tool", json!({"arguments": {}}));
    assert!(wrong["error"]["message"].as_str().unwrap().contains("call_tool wants"), "{wrong}");
    // Elsewhere there are no such tools.
    assert!(hub.call("/mcp", "search_tools", json!({"query": "x"}))["error"].is_object());
}
