//! The REST interface, walked as a program would.

use puerto_testkit::{Fixture, Hub, odd, scripted};
use serde_json::{Value, json};

use crate::PUERTO;

fn hub() -> Hub {
    Hub::with_servers(
        PUERTO,
        &json!({"monitor": {"builtin": "monitor", "metadata": {"description": "this machine"}}}),
    )
}

#[test]
fn says_what_it_is_and_how_it_is() {
    let hub = hub();
    let about = hub.get("/").json();
    assert_eq!((&about["name"], &about["status"]), (&json!("puerto"), &json!("running")));
    let page = hub.request("GET", "/", &[("Accept", "text/html")], "");
    assert!(page.body.contains("<title>Puerto</title>"));
    let health = hub.get("/health").json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["components"]["servers"]["status"], "healthy");
}

#[test]
fn tenants_and_servers_are_started_and_stopped() {
    let hub = hub();
    assert_eq!(hub.get("/api/tenants").json(), json!({"tenants": {"default": "running"}, "total": 1}));
    let tenant = hub.get("/api/tenants/default").json();
    assert_eq!((&tenant["status"], &tenant["tools"]), (&json!("running"), &json!(3)));
    assert_eq!(hub.get("/api/servers").json(), json!({"servers": {"default:monitor": "ready"}, "total": 1}));

    assert_eq!(hub.post("/api/tenants/default/stop", "").json()["status"], "stopped");
    let gone = hub.post("/api/tools/monitor.get_uptime/call", "{}");
    assert_eq!((gone.status, &gone.json()["origin"]), (502, &json!("upstream")));
    assert_eq!(hub.post("/api/tenants/default/start", "").json()["status"], "running");

    let server = hub.get("/api/servers/default/monitor").json();
    assert_eq!(
        (&server["status"], &server["transport"], &server["tools"]),
        (&json!("ready"), &json!("builtin"), &json!(3))
    );
    assert_eq!(server["metadata"]["description"], "this machine");
    for (verb, status) in [("stop", "stopped"), ("start", "ready"), ("restart", "ready")] {
        assert_eq!(
            hub.post(&format!("/api/servers/default/monitor/{verb}"), "").json()["status"],
            status,
            "{verb}"
        );
    }
    assert_eq!(hub.get("/api/servers/default/monitor/logs?lines=5").status, 200);
}

#[test]
fn tools_are_listed_and_called_in_both_forms() {
    let hub = hub();
    let tools = hub.get("/api/tools").json();
    assert_eq!(tools["total"], 3);
    let names: Vec<_> = tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert!(names.contains(&json!("monitor.get_metrics")), "{names:?}");
    assert_eq!(hub.get("/api/tenants/default/tools").json()["tools"], tools["tools"]);
    for path in [
        "/api/tools/monitor.get_metrics/call",
        "/api/tools/monitor.get_metrics",
        "/api/tools/monitor__get_metrics/call",
    ] {
        let called = hub.post(path, r#"{"mem":true}"#).json();
        assert_eq!(called["tool"], "monitor.get_metrics", "{path}");
        let total = &called["result"]["structuredContent"]["mem"];
        assert!(total.to_string().contains("bytes"), "{called}");
    }
}

#[test]
fn mistakes_are_problems_that_say_what_to_do() {
    let hub = hub();
    let problem = |answer: puerto_testkit::http::Answer, status: u16, code: &str| {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("application/problem+json")),
            "{answer:?}"
        );
        let body = answer.json();
        assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)));
        assert!(body["hint"].is_string() && body["detail"].is_string() && body["request_id"].is_string());
    };
    problem(hub.get("/api/tenants/nobody"), 404, "not_found");
    problem(hub.get("/api/servers/default/nobody"), 404, "not_found");
    problem(hub.post("/api/servers/nobody/monitor/start", ""), 404, "not_found");
    problem(hub.post("/api/tools/nobody.x/call", "{}"), 404, "not_found");
    problem(hub.post("/api/tools/monitor.nothing/call", "{}"), 404, "not_found");
    problem(hub.post("/api/tools/monitor.get_uptime/call", "{"), 400, "bad_request");
    problem(hub.post("/api/tools/monitor.get_uptime/call", "[1]"), 400, "invalid_arguments");
    problem(hub.get("/nowhere"), 404, "not_found");
    problem(hub.get("/mcp/nobody"), 404, "not_found");
    problem(hub.request("DELETE", "/health", &[], ""), 405, "method_not_allowed");
}

#[test]
fn pages_of_others_cannot_call() {
    let hub = hub();
    for headers in [
        [("Host", "evil.example"), ("Accept", "*/*")],
        [("Origin", "http://evil.example"), ("Accept", "*/*")],
    ] {
        for path in ["/health", "/mcp", "/api/tools"] {
            let refused = hub.request("GET", path, &headers, "");
            assert_eq!(
                (refused.status, refused.json()["code"].clone()),
                (403, json!("origin_refused")),
                "{path}"
            );
        }
    }
    let own = format!("http://{}", hub.address);
    assert_eq!(hub.request("GET", "/health", &[("Origin", &own)], "").status, 200);
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let config = json!({"tenants": {"default": {"servers": {"monitor": {"builtin": "monitor"}}}}, "gateway": {"max_body_bytes": 2000}});
    let hub = Hub::start(PUERTO, &config);
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(5000));
    assert_eq!(hub.post("/api/tools/monitor.get_uptime", &large).status, 413);
    assert_eq!(hub.post("/mcp", &large).status, 413);
}

#[test]
fn operations_are_counted_and_kept() {
    let hub = hub();
    let path = "/mcp/default/monitor";
    let trace = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let params = json!({"name": "get_uptime", "arguments": {}, "_meta": {"traceparent": trace, "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"}}});
    hub.modern(path, "tools/call", params);
    hub.call(path, "nothing", json!({}));
    let records = puerto_testkit::wait_until("both calls are kept", || {
        let records = hub.get("/api/records").json()["records"].as_array().unwrap().clone();
        let calls: Vec<Value> = records.into_iter().filter(|r| r["kind"] == "tools/call").collect();
        (calls.len() == 2).then_some(calls)
    });
    let (bad, good) = (&records[0], &records[1]);
    assert_eq!(
        (&good["server"], &good["object"], &good["outcome"], &good["client"]),
        (&json!("monitor"), &json!("get_uptime"), &json!("ok"), &json!("tester"))
    );
    assert_eq!(good["trace"], "0af7651916cd43dd8448eb211c80319c");
    let digits = good["request"].as_str().unwrap().strip_prefix('r').unwrap();
    assert_eq!(good["span"], format!("{digits:0>16}"));
    assert!(
        good["bytes_in"].as_u64() > Some(0)
            && good["bytes_out"].as_u64() > Some(0)
            && good["duration_us"].as_u64() > Some(0)
    );
    assert_eq!((&bad["outcome"], &bad["origin"]), (&json!("upstream_error"), &json!("upstream")));
    let metrics = hub.get("/metrics/prometheus").body;
    for line in [
        r#"mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call",gen_ai_tool_name="get_uptime",tenant="default",server="monitor",error_type=""} 1"#,
        r#"puerto_server_up{tenant="default",server="monitor"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    let (code, out, _) = hub.command(&["logs", "--url", &format!("http://{}", hub.address)]);
    assert!(code == 0 && out.contains("get_uptime") && out.contains("tester"), "{out}");
}

#[test]
fn the_command_line_asks_a_running_hub() {
    let hub = hub();
    let url = format!("http://{}", hub.address);
    let run = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--url", &url]).collect();
        hub.command(&arguments)
    };
    assert!(run(&["servers"]).1.contains("monitor"));
    assert!(run(&["tools"]).1.contains("monitor.get_metrics"));
    assert!(run(&["status"]).1.starts_with("healthy"));
    let (code, out, _) = run(&["call", "monitor.get_uptime", "--json"]);
    assert_eq!(
        (code, serde_json::from_str::<Value>(&out).unwrap()["tool"].clone()),
        (0, json!("monitor.get_uptime"))
    );
    let (code, _, err) = run(&["call", "monitor.nothing"]);
    assert!(code == 1 && err.contains("error:") && err.contains("hint:"), "{err}");
    let (code, _, err) = hub.command(&["status", "--url", "http://127.0.0.1:1"]);
    assert!(code == 1 && err.contains("puerto up"), "{err}");
}

#[test]
fn what_a_server_writes_to_standard_error_can_be_read() {
    let hub = Hub::with_servers(PUERTO, &json!({"talker": scripted(&["--say", "here I am"])}));
    let logs = hub.get("/api/servers/default/talker/logs?lines=5").json();
    assert!(logs["lines"].to_string().contains("here I am"), "{logs}");
    assert_eq!(logs["total"], logs["lines"].as_array().unwrap().len());
    assert_eq!(hub.get("/api/servers/default/talker/logs?lines=0").json()["total"], 0);
}

#[test]
fn a_restart_gives_a_new_process_and_stop_none() {
    let hub = Hub::with_servers(PUERTO, &json!({"tool": scripted(&[])}));
    let server = || hub.get("/api/servers/default/tool").json();
    let first = server();
    assert!(first["pid"].is_u64() && first["stale"] == false, "{first}");
    assert_eq!(hub.post("/api/servers/default/tool/restart", "").json(), json!({"status": "ready"}));
    assert_ne!(server()["pid"], first["pid"]);
    assert_eq!(hub.post("/api/servers/default/tool/stop", "").json(), json!({"status": "stopped"}));
    assert!(server()["pid"].is_null(), "{}", server());
    assert_eq!(hub.get("/api/tenants/default").json()["status"], "stopped");
}

#[test]
fn an_error_of_a_tool_is_an_answer_and_no_problem() {
    let hub = Hub::with_servers(
        PUERTO,
        &json!({"fixture": {"command": Fixture::program(PUERTO), "args": ["--stdio"]}}),
    );
    let failed = hub.post("/api/tools/fixture.test_error_handling/call", "{}");
    assert_eq!((failed.status, &failed.json()["result"]["isError"]), (200, &json!(true)), "{failed:?}");
    let empty = hub.post("/api/tools/fixture.echo", "");
    assert_eq!(empty.status, 200, "no body stands for no arguments: {empty:?}");
}

/// A problem in every header and member that programs rely on.
#[track_caller]
fn is_problem(answer: &puerto_testkit::http::Answer, status: u16) {
    let kind = answer.header("content-type");
    assert_eq!((answer.status, kind), (status, Some("application/problem+json")), "{answer:?}");
    let problem = answer.json();
    assert_eq!(answer.header("x-request-id"), problem["request_id"].as_str(), "{answer:?}");
    assert_eq!(problem["type"], format!("urn:puerto:error:{}", problem["code"].as_str().unwrap()));
}

#[test]
fn every_kind_of_wrong_request_is_a_problem() {
    let hub = hub();
    let call = "/api/tools/monitor.get_uptime/call";
    for body in ["[1]", "{", "7", "\"text\"", "{} {}", "null", "\u{7f}"] {
        is_problem(&hub.post(call, body), 400);
    }
    for path in [
        "/api/tools?tenant=nobody",
        "/api/records?tenant=nobody",
        "/api/tenants/..%2Fdefault",
        "/api/servers/default/%00",
    ] {
        is_problem(&hub.get(path), 404);
    }
    for (method, path, allowed) in
        [("DELETE", "/health", "GET"), ("GET", call, "POST"), ("POST", "/api/tools", "GET")]
    {
        let answer = hub.request(method, path, &[], "");
        assert!(answer.header("allow").is_some_and(|methods| methods.contains(allowed)), "{answer:?}");
        is_problem(&answer, 405);
    }
    for origin in ["null", "file://", "http://127.0.0.1.evil.example"] {
        is_problem(&hub.request("GET", "/metrics/prometheus", &[("Origin", origin)], ""), 403);
    }
}

#[test]
fn a_query_that_makes_no_sense_is_a_problem() {
    let hub = hub();
    for path in [
        "/api/servers/default/monitor/logs?lines=many",
        "/api/records?limit=all",
        "/api/tools?tenent=default",
    ] {
        is_problem(&hub.get(path), 400);
    }
}

#[test]
fn every_metric_is_there_once_something_was_called() {
    let hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[])}));
    hub.call("/mcp", "odd__pid", json!({}));
    let metrics =
        puerto_testkit::wait_until("the call is counted and the process of the server read", || {
            let metrics = hub.get("/metrics/prometheus").body;
            ["tools/call", "puerto_server_processes{"]
                .iter()
                .all(|part| metrics.contains(part))
                .then_some(metrics)
        });
    let table = include_str!("../../../../docs/metrics.md").lines().filter(|line| line.starts_with("| `"));
    let names: Vec<_> = table.filter_map(|line| line.split('`').nth(1)).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} is not in\n{metrics}");
    }
}
