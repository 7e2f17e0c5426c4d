//! Spans of calls, as a collector gets them: one trace from the agent to the tool, whatever each side speaks. And metrics,
//! as it gets them: what a scrape says.

use std::collections::BTreeMap;

use puerto_testkit::collector::Collector;
use puerto_testkit::peers::understood;
use puerto_testkit::{Hub, scripted, scripted_http, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// The span that an agent is in when it calls.
const AGENT: &str = "00f067aa0ba902b7";

fn hub(servers: &Value, collector: &str) -> Hub {
    let telemetry =
        json!({"otlp": collector, "headers": {"x-key": "k"}, "service_name": "harbour", "metrics": false});
    let hub =
        Hub::start(PUERTO, &json!({"tenants": {"default": {"servers": servers}}, "telemetry": telemetry}));
    for name in servers.as_object().unwrap().keys() {
        hub.wait_for(&format!("default:{name}"), "ready");
    }
    hub
}

/// A trace of its own for each call of a test.
fn trace(number: usize) -> (String, String) {
    let id = format!("0af7651916cd43dd8448eb211c8{number:05x}");
    (id.clone(), format!("00-{id}-{AGENT}-01"))
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|one| one["key"] == key)?["value"]["stringValue"].as_str()
}

/// What a call gave its server as `traceparent`.
fn seen(answer: &Value) -> String {
    let result = if answer["result"]["seen"].is_null() { answer } else { &answer["result"] };
    let given = result["seen"]["_meta"]["traceparent"].as_str();
    given.unwrap_or_else(|| panic!("no traceparent in {answer}")).to_owned()
}

/// The spans of a trace, which must be two: ours below the agent's, and below that the one that the server is given.
fn check(collector: &Collector, id: &str, given: &str) -> (Value, Value) {
    let spans = collector.wait_for(id, 2);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let of = |kind: u8| spans.iter().find(|span| span["kind"] == kind).unwrap().clone();
    let (server, client) = (of(2), of(3));
    assert_eq!(server["parentSpanId"], AGENT);
    assert_eq!(client["parentSpanId"], server["spanId"]);
    assert_eq!(given, format!("00-{id}-{}-01", client["spanId"].as_str().unwrap()));
    let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(time(&server, "startTimeUnixNano") <= time(&client, "startTimeUnixNano"));
    assert!(time(&client, "endTimeUnixNano") <= time(&server, "endTimeUnixNano"));
    for span in [&server, &client] {
        assert_eq!(span["name"], "tools/call raw");
        assert_eq!(attribute(span, "mcp.method.name"), Some("tools/call"));
        assert_eq!(attribute(span, "gen_ai.tool.name"), Some("raw"));
        assert_eq!(attribute(span, "error.type"), None);
    }
    (server, client)
}

#[test]
fn a_call_from_agent_to_tool_is_one_trace_whatever_is_spoken() {
    let collector = Collector::start(&[]);
    let (_process, remote) = scripted_http("modern");
    let servers = json!({"old": scripted(&[]), "new": scripted(&["--era", "modern"]), "far": remote});
    let hub = hub(&servers, &collector.url);
    let session = hub.session("/mcp", "2025-11-25");
    let mut number = 0;
    for server in ["old", "new", "far"] {
        let tool = format!("{server}__raw");
        let mut next = || {
            number += 1;
            trace(number)
        };
        // Said in the message by a client of each era.
        let (id, traceparent) = next();
        let params = json!({"name": tool, "arguments": {}, "_meta": {"traceparent": traceparent}});
        let answer = hub.modern("/mcp", "tools/call", params.clone()).response();
        let (ours, theirs) = check(&collector, &id, &seen(&answer));
        assert_eq!(attribute(&ours, "mcp.protocol.version"), Some("2026-07-28"));
        assert_eq!(attribute(&ours, "jsonrpc.request.id"), Some("1"));
        assert_eq!(attribute(&ours, "mcp.session.id"), None);
        assert_eq!(attribute(&ours, "puerto.server"), Some(server));
        let spoken = if server == "old" { "2025-11-25" } else { "2026-07-28" };
        assert_eq!(attribute(&theirs, "mcp.protocol.version"), Some(spoken));
        let (id, traceparent) = next();
        let params = json!({"name": tool, "arguments": {}, "_meta": {"traceparent": traceparent}});
        let answer = session.ask("tools/call", params).response();
        let (ours, _) = check(&collector, &id, &seen(&answer));
        assert_eq!(attribute(&ours, "mcp.protocol.version"), Some("2025-11-25"));
        assert_eq!(attribute(&ours, "jsonrpc.request.id"), Some("q"));
        assert!(attribute(&ours, "mcp.session.id").is_some_and(|id| id != session.id));

        // Said by the header, over MCP in a session and over REST.
        let (id, traceparent) = next();
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("Mcp-Session-Id", &*session.id),
            ("traceparent", &*traceparent),
        ];
        let call = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        let answer = hub.request("POST", "/mcp", &headers, &call.to_string()).response();
        check(&collector, &id, &seen(&answer));
        let (id, traceparent) = next();
        let path = format!("/api/tools/{server}.raw");
        let answer = hub.request("POST", &path, &[("traceparent", &traceparent)], "{}").json();
        check(&collector, &id, &seen(&answer));
    }
    let request = collector.received().remove(0);
    let header =
        |name: &str| request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert_eq!((&*request.line, header("x-key")), ("POST /v1/traces", Some("k")));
    assert_eq!(header("content-type"), Some("application/json"));
    let service = &request.body["resourceSpans"][0]["resource"]["attributes"][0];
    assert_eq!(service["value"]["stringValue"], "harbour");
}

#[test]
fn spans_come_late_where_the_collector_was_busy_and_are_counted_where_it_refuses() {
    let collector = Collector::start(&[503, 429, 400]);
    let mut hub = hub(&json!({"old": scripted(&[])}), &collector.url);
    let (id, traceparent) = trace(1);
    let call = |hub: &Hub, traceparent: &str| {
        let params = json!({"name": "old__raw", "arguments": {}, "_meta": {"traceparent": traceparent}});
        hub.modern("/mcp", "tools/call", params).response()
    };
    let count = |hub: &Hub, name: &str| {
        let text = hub.get("/metrics/prometheus").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse::<u64>().unwrap()
    };
    call(&hub, &traceparent);
    wait_until("the spans were refused for good", || {
        (count(&hub, "puerto_spans_lost_total") == 2).then_some(())
    });
    // Tried three times, the same each time.
    let bodies: Vec<_> = collector.received().into_iter().map(|request| request.body).collect();
    assert!(bodies.len() == 3 && bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    assert_eq!(collector.wait_for(&id, 6).len(), 6);
    let (id, traceparent) = trace(2);
    call(&hub, &traceparent);
    collector.wait_for(&id, 2);
    wait_until("the spans were taken", || (count(&hub, "puerto_spans_sent_total") == 2).then_some(()));
    // A caller that does not gather its trace has none gathered; its server is told the same.
    let (quiet, traceparent) = trace(3);
    let given = seen(&call(&hub, &traceparent.replace("-01", "-00")));
    assert!(given.starts_with(&format!("00-{quiet}-")) && given.ends_with("-00"), "{given}");
    // What was done last is sent before the end.
    let (id, traceparent) = trace(4);
    call(&hub, &traceparent);
    hub.process.terminate();
    hub.process.wait();
    assert_eq!(collector.wait_for(&id, 2).len(), 2);
    assert!(collector.spans().iter().all(|span| span["traceId"] != *quiet));
}

#[test]
fn without_a_collector_the_trace_goes_on_all_the_same() {
    let hub = Hub::with_servers(PUERTO, &json!({"old": scripted(&[])}));
    let (id, traceparent) = trace(1);
    let params = json!({"name": "old__raw", "arguments": {}, "_meta": {"traceparent": traceparent}});
    let given = seen(&hub.modern("/mcp", "tools/call", params).response());
    assert!(given.starts_with(&format!("00-{id}-")) && !given.contains(AGENT), "{given}");
    let text = hub.get("/metrics/prometheus").body;
    assert!(text.contains("\npuerto_spans_sent_total 0\n"), "{text}");
}

/// Series by name and labels, those of histograms as a scrape has them.
type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// What a scrape says. A label that is empty is none.
fn scraped(hub: &Hub) -> Series {
    let text = hub.get("/metrics/prometheus").body;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once("=\""));
        let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
        ((name.to_owned(), labels.filter(|(_, value)| !value.is_empty()).collect()), value.parse().unwrap())
    });
    series.filter(|((name, _), _)| is_steady(name)).collect()
}

/// What a request with metrics says.
fn sent(request: &Value) -> Series {
    let mut all = Series::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    for metric in list(&request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]) {
        let name = metric["name"].as_str().unwrap();
        let kind = ["gauge", "sum", "histogram"].into_iter().find(|kind| !metric[*kind].is_null()).unwrap();
        for point in list(&metric[kind]["dataPoints"]) {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let labels = list(&point["attributes"]);
            let labels = labels.iter().map(|one| (text(&one["key"]), text(&one["value"]["stringValue"])));
            let labels: BTreeMap<_, _> = labels.collect();
            let mut add = |part: &str, labels: &BTreeMap<_, _>, value: f64| {
                assert!(
                    all.insert((format!("{name}{part}"), labels.clone()), value).is_none(),
                    "{name} twice"
                );
            };
            if kind != "histogram" {
                let value = number(&point["asInt"]).or_else(|| number(&point["asDouble"]));
                add("", &labels, value.unwrap());
                continue;
            }
            add("_count", &labels, number(&point["count"]).unwrap());
            add("_sum", &labels, number(&point["sum"]).unwrap());
            let (bounds, mut up_to) = (list(&point["explicitBounds"]), 0.0);
            let buckets = list(&point["bucketCounts"]);
            assert_eq!(buckets.len(), bounds.len() + 1);
            let bounds = bounds.iter().map(|bound| format!("{:?}", bound.as_f64().unwrap()));
            for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(buckets) {
                up_to += number(&count).unwrap();
                let mut labels = labels.clone();
                labels.insert("le".into(), bound);
                add("_bucket", &labels, up_to);
            }
        }
    }
    all.retain(|(name, _), _| is_steady(name));
    all
}

/// Whether it stays while nothing is done: no age, and no count of what is sent.
fn is_steady(name: &str) -> bool {
    !name.contains("_checkpoint_age_") && !name.starts_with("puerto_data_points_")
}

fn measured(collector: &str, interval: Option<&str>) -> Hub {
    let mut telemetry = json!({"otlp": collector, "headers": {"x-key": "k"}, "service_name": "harbour"});
    if let Some(interval) = interval {
        telemetry["metrics_interval"] = interval.into();
    }
    let files = json!({"builtin": "file", "options": {"roots": ["."]}});
    let servers = json!({"old": scripted(&[]), "files": files});
    let hub =
        Hub::start(PUERTO, &json!({"tenants": {"default": {"servers": servers}}, "telemetry": telemetry}));
    hub.wait_for("default:old", "ready");
    hub.wait_for("default:files", "ready");
    hub
}

/// Calls of the tool that a request with metrics has.
fn calls(request: &Value) -> f64 {
    let all = sent(request);
    let is_ours = |(name, labels): &(String, BTreeMap<String, String>)| {
        name == "mcp_server_operation_duration_seconds_count"
            && labels.get("gen_ai_tool_name").is_some_and(|tool| tool == "raw")
    };
    all.iter().filter(|(series, _)| is_ours(series)).map(|(_, count)| count).sum()
}

#[test]
fn a_collector_is_told_the_metrics_that_a_scraper_is_told() {
    let collector = Collector::start(&[]);
    let hub = measured(&collector.url, Some("1s"));
    for _ in 0..5 {
        hub.call("/mcp", "old__raw", json!({}));
    }
    // One that fails has a label more.
    hub.call("/mcp", "files__read_file", json!({"path": "nothing"}));
    hub.post("/events", &json!({"type": "tests", "payload": {"passed": 1, "failed": 0}}).to_string());
    hub.get("/check-services");
    let request = wait_until("what is sent is what is scraped", || {
        let (before, request) = (scraped(&hub), collector.metrics().pop()?);
        (calls(&request) >= 5.0 && sent(&request) == before).then_some(request)
    });
    let told = sent(&request);
    for name in [
        "mcp_healthy_services",
        "mcp_total_services",
        "mcp_events_count",
        "mcp_audits_count",
        "mcp_uptime_percent",
        "mcp_tests_status",
        "puerto_spans_sent_total",
    ] {
        assert!(told.contains_key(&(name.to_owned(), BTreeMap::new())), "no {name} in {told:?}");
    }
    assert!(told.len() > 30, "{told:?}");
    let received = collector.received();
    let received = received.iter().find(|request| request.line == "POST /v1/metrics").unwrap();
    let header = |name: &str| received.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value);
    assert_eq!((header("x-key"), header("content-type")), (Some("k"), Some("application/json")));
    let service = &request["resourceMetrics"][0]["resource"]["attributes"][0];
    assert_eq!(service["value"]["stringValue"], "harbour");

    // OpenTelemetry's own messages know every member, and understand the same.
    let understood = understood(&request);
    assert_eq!(sent(&understood), told);
    let metrics = |request: &Value| request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
    let find = |name: &str| {
        let all = metrics(&understood).as_array().unwrap().clone();
        all.into_iter().find(|metric| metric["name"] == name).unwrap()
    };
    let duration = find("mcp_server_operation_duration_seconds");
    assert_eq!(
        (&duration["unit"], &duration["description"]),
        (&json!("s"), &json!("Time from request to answer"))
    );
    let cumulative = "AGGREGATION_TEMPORALITY_CUMULATIVE";
    assert_eq!(duration["histogram"]["aggregationTemporality"], cumulative);
    let bytes = find("puerto_payload_bytes_total");
    assert_eq!((&bytes["unit"], &bytes["sum"]["isMonotonic"]), (&json!("By"), &json!(true)));
    assert_eq!(bytes["sum"]["aggregationTemporality"], cumulative);
    let point = &bytes["sum"]["dataPoints"][0];
    let time = |key: &str| point[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("startTimeUnixNano") < time("timeUnixNano"), "{point}");
}

#[test]
fn metrics_come_late_where_the_collector_was_busy_and_are_counted_where_it_refuses() {
    let collector = Collector::start(&[503, 400]);
    let hub = measured(&collector.url, Some("1s"));
    let count = |name: &str| {
        let text = hub.get("/metrics/prometheus").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse::<u64>().unwrap()
    };
    let lost = wait_until("metrics were refused for good", || {
        Some(count("puerto_data_points_lost_total")).filter(|lost| *lost > 0)
    });
    let first = collector.metrics();
    // The same, tried twice.
    assert_eq!(first[0], first[1]);
    wait_until("metrics were taken", || (count("puerto_data_points_sent_total") >= lost).then_some(()));
    assert_eq!(count("puerto_data_points_lost_total"), lost);
}

#[test]
fn metrics_are_sent_before_the_end() {
    let collector = Collector::start(&[]);
    let mut hub = measured(&collector.url, None);
    hub.get("/check-services");
    for _ in 0..3 {
        hub.call("/mcp", "old__raw", json!({}));
    }
    assert!(collector.metrics().is_empty(), "a minute has not passed");
    hub.process.terminate();
    hub.process.wait();
    let all = collector.metrics();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!((calls(&all[0]) - 3.0).abs() < 0.5, "{all:?}");
    let services = sent(&all[0])[&("mcp_healthy_services".to_owned(), BTreeMap::new())];
    assert!((services - 2.0).abs() < 0.5, "what was up until the end");
}
