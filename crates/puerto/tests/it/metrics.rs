//! Metrics: what they say, and a real Prometheus that scrapes them, takes the rules and answers the dashboards' queries.

use std::collections::BTreeSet;

use puerto_testkit::prometheus::{Prometheus, promtool};
use puerto_testkit::{Hub, heavy, odd, postgres, root, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

fn report(hub: &Hub, kind: &str, payload: Value) {
    assert_eq!(hub.post("/events", &json!({"type": kind, "payload": payload}).to_string()).status, 201);
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn a_few_numbers_are_told_as_json_and_to_prometheus() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let servers = json!({"well": odd(&[]), "ill": {"command": "/no/such/program"}, "off": {"command": "x", "enabled": false}});
        let config = json!({"tenants": {"default": {"servers": servers}}, "store": {"url": store}, "orchestrator": {"max_retries": 0}});
        let hub = Hub::start(PUERTO, &config);
        hub.wait_for("default:well", "ready");
        hub.wait_for("default:ill", "failed");
        // Both are watched, each in its rhythm; this does not wait for it.
        hub.get("/check-services");
        let before = hub.get("/metrics").json();
        assert_eq!(before["testsStatus"], "unknown");
        report(&hub, "tests", json!({"passed": 3, "failed": 1}));
        assert_eq!(hub.get("/metrics").json()["testsStatus"], "failing");
        report(&hub, "tests", json!({"passed": 4, "failed": 0}));
        hub.post("/audit", r#"{"action":"deploy","agent":"builder","details":{}}"#);
        let numbers = hub.get("/metrics").json();
        assert_eq!((&numbers["healthyServices"], &numbers["totalServices"]), (&json!(1), &json!(2)));
        // One of two was well, however often each was checked.
        let uptime = numbers["uptimePercent"].as_f64().unwrap();
        assert!(uptime > 0.0 && uptime < 100.0, "{uptime}");
        assert_eq!(numbers["testsStatus"], "passing");
        assert!(numbers["eventsCount"].as_i64() >= Some(2) && numbers["auditsCount"].as_i64() >= Some(1));
        assert!(numbers["timestamp"].as_i64() > Some(1_700_000_000_000));
        assert_eq!(numbers.as_object().unwrap().len(), 7);

        let text = hub.get("/metrics/prometheus").body;
        for (name, expected) in
            [("mcp_healthy_services", 1.0), ("mcp_total_services", 2.0), ("mcp_tests_status", 1.0)]
        {
            assert!((value(&text, name) - expected).abs() < 1e-9, "{name} in {text}");
        }
        assert!((1.0..100.0).contains(&value(&text, "mcp_uptime_percent")));
        assert!(value(&text, "mcp_events_count") >= 2.0 && value(&text, "mcp_audits_count") >= 1.0);
        assert!(
            value(&text, "mcp_events_ingested_total") >= 2.0 && value(&text, "mcp_event_queue_depth") >= 0.0
        );
        assert!((0.0..60.0).contains(&value(&text, "mcp_audit_checkpoint_age_seconds")));
        assert!(text.contains(r#"puerto_server_failing{tenant="default",server="ill"} 1"#), "{text}");
        assert!(text.contains(r#"puerto_server_failing{tenant="default",server="off"} 0"#), "{text}");
    }
}

#[test]
fn each_scraper_gets_the_text_that_it_reads() {
    let hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[])}));
    hub.call("/mcp", "odd__pid", json!({}));
    wait_until("the call is counted", || {
        hub.get("/metrics/prometheus").body.contains("puerto_payload_bytes_total{").then_some(())
    });
    let plain = hub.get("/metrics/prometheus");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.header("vary"), Some("accept"));
    assert!(!plain.body.contains("# EOF") && !plain.body.contains("# UNIT"), "{}", plain.body);
    assert!(plain.body.contains("# TYPE puerto_payload_bytes_total counter"), "{}", plain.body);
    let open = hub.request("GET", "/metrics/prometheus", &[("Accept", "application/openmetrics-text")], "");
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.body.ends_with("# EOF\n") && open.body.contains("# TYPE puerto_payload_bytes counter"));

    let (_, said) = promtool(&["check", "metrics"], &plain.body);
    // The names are fixed; what promtool would have instead is a matter of taste.
    let tastes = ["mcp_audits_count", "mcp_events_count"];
    let faults: Vec<_> =
        said.lines().filter(|line| !tastes.iter().any(|name| line.starts_with(name))).collect();
    assert!(faults.is_empty(), "{faults:?} in {}", plain.body);
    let rules = root().join("deploy/prometheus/rules.yml");
    let (is_well, said) = promtool(&["check", "rules", rules.to_str().unwrap()], "");
    assert!(is_well, "{said}");
}

/// Every query of the committed dashboards, with what Grafana puts in place of its variables.
fn queries() -> BTreeSet<String> {
    let of = |file: &str| {
        let text = std::fs::read_to_string(root().join("deploy/grafana").join(file)).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let panels = dashboard["panels"].as_array().unwrap().clone();
        panels.into_iter().flat_map(|panel| panel["targets"].as_array().unwrap().clone())
    };
    let targets = ["overview.json", "services.json"].into_iter().flat_map(of);
    targets
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            query.replace("$tenant", ".*").replace("$__rate_interval", "30s")
        })
        .collect()
}

#[test]
fn prometheus_scrapes_and_every_query_of_the_dashboards_returns_data() {
    let files = json!({"builtin": "file", "options": {"roots": ["."]}});
    let hub = Hub::with_servers(PUERTO, &json!({"odd": odd(&[]), "files": files}));
    report(&hub, "tests", json!({"passed": 1, "failed": 0}));
    // What was not checked yet is not well, and a rule says so.
    assert_eq!(hub.get("/check-services").json()["unhealthy"], 0);
    let prometheus = Prometheus::start(&hub.address, &root().join("deploy/prometheus/rules.yml"));
    let mut silent = queries();
    assert!(silent.len() > 20, "{silent:?}");
    wait_until("the target is up", || {
        (prometheus.query("up{job=\"puerto\"}").first()?["value"][1] == "1").then_some(())
    });
    wait_until("every query returns data", || {
        hub.call("/mcp", "odd__pid", json!({}));
        hub.call("/mcp", "files__read_file", json!({"path": "nothing"}));
        silent.retain(|query| {
            let found = prometheus.query(query);
            !found.iter().any(|one| one["value"][1] != "NaN")
        });
        silent.is_empty().then_some(())
    });
    // What it scraped is what the hub says of itself.
    assert_eq!(prometheus.query("mcp_total_services")[0]["value"][1], "2");
    // Every call of `files` failed, which one rule is there to notice. No other has anything to say.
    let rules = wait_until("the rule on errors notices them", || {
        hub.call("/mcp", "files__read_file", json!({"path": "nothing"}));
        let found = prometheus.get("/api/v1/rules");
        let rules = found["data"]["groups"][0]["rules"].as_array().unwrap().clone();
        let noticed = |rule: &Value| rule["name"] == "PuertoErrors" && rule["state"] == "pending";
        rules.iter().any(noticed).then_some(rules)
    });
    assert!(rules.len() > 8);
    for rule in rules.iter().filter(|rule| rule["name"] != "PuertoErrors") {
        assert!(rule["health"] != "err", "{rule}");
        assert_eq!(rule["state"], "inactive", "{rule}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_servers_take_is_read_with_all_that_they_have_started() {
    let files = json!({"builtin": "file", "options": {"roots": ["."]}});
    let hub = Hub::with_servers(PUERTO, &json!({"heavy": heavy(PUERTO, 64), "files": files}));
    let taken = |name: &str| {
        let text = hub.get("/metrics/prometheus").body;
        let wanted = format!("puerto_server_{name}{{tenant=\"default\",server=\"heavy\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&*wanted)?.parse::<f64>().ok())
    };
    wait_until("its memory is read", || taken("memory_bytes").filter(|bytes| *bytes > 64e6));
    let (processes, cpu) = (taken("processes").unwrap(), taken("cpu_seconds_total").unwrap());
    assert!(processes >= 3.0 && cpu > 0.0, "{processes} {cpu}");
    let view = hub.get("/api/servers/default/heavy").json();
    assert!(view["memory_bytes"].as_f64() > Some(64e6), "{view}");
    let text = hub.get("/metrics/prometheus").body;
    assert!(
        value(&text, "puerto_hub_memory_bytes{}") > 1e6
            && value(&text, "puerto_hub_cpu_seconds_total{}") > 0.0
    );
    // It lives in the hub, and takes nothing of its own.
    assert!(!text.contains("puerto_server_memory_bytes{tenant=\"default\",server=\"files\"}"), "{text}");
    assert_eq!(hub.post("/api/servers/default/heavy/stop", "").status, 200);
    wait_until("it takes nothing", || taken("memory_bytes").filter(|bytes| *bytes < 1.0));
    assert!(taken("processes") < Some(1.0) && taken("cpu_seconds_total") >= Some(cpu));
}
