//! The server `monitor` as its callers see it.

use serde_json::{Value, json};

use super::*;

async fn call(server: &Monitor, tool: &str, arguments: &Value) -> Result<Value, CallError> {
    let arguments = RawValue::from_string(arguments.to_string()).unwrap();
    let answer = server.call(tool, &arguments, CancellationToken::new()).await?;
    let value = serde_json::from_str(answer.structured.unwrap().get()).unwrap();
    crate::tests::conforms(server, tool, &value);
    Ok(value)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn metrics_hold_only_what_was_asked_for() {
    let server = Monitor::open().unwrap();
    let load = call(&server, "get_metrics", &json!({ "load": true })).await.unwrap();
    assert_eq!(keys(&load), ["load", "measured_at"]);
    let two =
        call(&server, "get_metrics", &json!({ "mem": true, "disk": true, "cpu": false })).await.unwrap();
    assert_eq!(keys(&two), ["disk", "measured_at", "mem"]);
    for nothing in [json!({}), json!({ "cpu": false, "gpu": false })] {
        let all = call(&server, "get_metrics", &nothing).await.unwrap();
        assert_eq!(keys(&all), ["cpu", "disk", "gpu", "load", "measured_at", "mem", "net"]);
    }
}

#[tokio::test]
async fn metrics_are_the_real_figures() {
    let server = Monitor::open().unwrap();
    let all = call(&server, "get_metrics", &json!({})).await.unwrap();
    let mem = &all["mem"];
    assert!(mem["total_bytes"].as_u64().unwrap() > 64 << 20);
    assert!(mem["used_bytes"].as_u64().unwrap() <= mem["total_bytes"].as_u64().unwrap());
    let cores = all["cpu"]["cores"].as_u64().unwrap() as usize;
    assert!(cores > 0);
    assert_eq!(all["cpu"]["core_usage_percent"].as_array().unwrap().len(), cores);
    let usage = all["cpu"]["usage_percent"].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&usage), "{usage}");
    assert!(all["cpu"]["sample_ms"].as_u64().unwrap() >= 200);
    // A machine without NVIDIA's library says so and why.
    let gpu = &all["gpu"];
    assert_eq!(gpu["available"] == false, gpu["reason"].is_string(), "{gpu}");
}

#[tokio::test(start_paused = true)]
async fn samples_are_taken_as_far_apart_as_they_must_be() {
    let counter = Sampled::new(0);
    let count = || counter.read(|n| *n += 1, |n, window| (*n, window.as_millis()));
    let first = count().await.unwrap();
    assert_eq!(first, (2, 200), "the first question takes two samples");
    assert_eq!(count().await.unwrap(), first, "asked again at once, the figures still hold");
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    assert_eq!(count().await.unwrap(), (3, 5000), "later one more sample is enough");
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(count().await.unwrap(), (5, 200), "after a long silence two are taken again");
}

#[tokio::test]
async fn processes_are_sorted_limited_and_found_by_name() {
    let server = Monitor::open().unwrap();
    let by_mem = call(&server, "list_processes", &json!({ "sort": "mem", "limit": 500 })).await.unwrap();
    let list = by_mem["processes"].as_array().unwrap();
    let memory: Vec<u64> = list.iter().map(|process| process["memory_bytes"].as_u64().unwrap()).collect();
    assert!(memory.is_sorted_by(|a, b| a >= b));
    let me =
        list.iter().find(|process| process["pid"] == std::process::id()).expect("this test is a process");
    assert!(
        me["memory_bytes"].as_u64().unwrap() > 0 && me["started_at"].is_string() && me["parent_pid"].is_u64()
    );

    let one = call(&server, "list_processes", &json!({ "limit": 1, "sort": "pid" })).await.unwrap();
    assert_eq!(one["processes"].as_array().unwrap().len(), 1);
    assert_eq!(one["truncated"], one["total"].as_u64().unwrap() > 1);

    let name = me["name"].as_str().unwrap().to_uppercase();
    let mine = call(&server, "list_processes", &json!({ "name": name })).await.unwrap();
    assert!(mine["processes"].as_array().unwrap().iter().any(|process| process["pid"] == std::process::id()));
    let nobody = call(&server, "list_processes", &json!({ "name": "no such process at all" })).await.unwrap();
    assert_eq!((nobody["total"].as_u64(), &nobody["truncated"]), (Some(0), &json!(false)));
}

#[tokio::test]
async fn a_process_shows_neither_command_line_nor_environment() {
    let server = Monitor::open().unwrap();
    let all = call(&server, "list_processes", &json!({ "limit": 500 })).await.unwrap();
    for process in all["processes"].as_array().unwrap() {
        assert_eq!(
            keys(process),
            ["cpu_percent", "memory_bytes", "name", "parent_pid", "pid", "started_at", "state"]
        );
    }
}

#[tokio::test]
async fn wrong_arguments_are_explained() {
    let server = Monitor::open().unwrap();
    for (tool, arguments, expected) in [
        ("get_metrics", json!({ "ram": true }), "unknown field `ram`, expected one of `cpu`, `mem`"),
        (
            "get_metrics",
            json!({ "cpu": "yes" }),
            "at \"cpu\": invalid type: string \"yes\", expected a boolean",
        ),
        ("list_processes", json!({ "limit": 501 }), "\"limit\" must be between 1 and 500, not 501"),
        (
            "list_processes",
            json!({ "sort": "size" }),
            "unknown variant `size`, expected one of `cpu`, `mem`, `pid`, `name`",
        ),
        ("get_uptime", json!({ "a": 1 }), "unknown field `a`"),
    ] {
        let error = call(&server, tool, &arguments).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{tool} {arguments}: {error}");
    }
    assert!(matches!(call(&server, "reboot", &json!({})).await, Err(CallError::Unknown)));
}

#[tokio::test]
async fn resources_hold_what_the_tools_answer() {
    let server = Monitor::open().unwrap();
    for resource in server.resources() {
        let contents = server.read(&resource.uri, CancellationToken::new()).await.unwrap();
        let puerto_mcp::builtin::Body::Text(text) = &contents[0].body else {
            panic!("{} is text", resource.uri)
        };
        assert!(serde_json::from_str::<Value>(text).unwrap().is_object());
        assert_eq!(
            (contents[0].uri.as_str(), contents[0].mime_type.as_str()),
            (&*resource.uri, "application/json")
        );
    }
    assert!(matches!(server.read("monitor://x", CancellationToken::new()).await, Err(CallError::Unknown)));
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once() {
    let server = Monitor::open().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let arguments = RawValue::from_string("{}".into()).unwrap();
    assert!(matches!(server.call("get_metrics", &arguments, cancel).await, Err(CallError::Cancelled)));
}
