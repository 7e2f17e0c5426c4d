//! Events: reported in every form, read in pages, followed, and still there after the worst.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use puerto_testkit::http::{Answer, events};
use puerto_testkit::{Hub, postgres, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

fn config(store: &str) -> Value {
    json!({"tenants": {"default": {}, "acme": {}}, "store": {"url": store}})
}

/// A hub on each kind of store.
fn each() -> impl Iterator<Item = Hub> {
    ["sqlite://data/puerto.db".to_owned(), postgres()]
        .into_iter()
        .map(|store| Hub::start(PUERTO, &config(&store)))
}

fn ids(answer: &Answer) -> Vec<String> {
    let events = answer.json()["events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Posts events `0..count` of a type.
fn post_many(hub: &Hub, kind: &str, count: usize) {
    let lines: Vec<_> =
        (0..count).map(|n| json!({"type": kind, "id": n.to_string(), "payload": n}).to_string()).collect();
    let answer =
        hub.request("POST", "/events", &[("Content-Type", "application/x-ndjson")], &lines.join("\n"));
    assert_eq!((answer.status, &answer.json()["accepted"]), (201, &json!(count)), "{}", answer.body);
}

#[test]
fn an_event_is_answered_with_its_time_and_comes_back() {
    for hub in each() {
        let answer = hub.post("/events", r#"{"type":"error","payload":{"code": 1.0}}"#);
        let event = answer.json();
        assert_eq!(
            (answer.status, &event["type"], &event["severity"]),
            (201, &json!("error"), &json!("error"))
        );
        assert!(event["timestamp"].as_i64().unwrap() > 1_700_000_000_000, "{event}");
        assert!(answer.body.contains(r#""payload":{"code": 1.0}"#), "{}", answer.body);
        let listed = hub.get("/events?type=error").json();
        assert_eq!(listed["events"], json!([event]));
        // Another tenant has nothing of it.
        assert!(ids(&hub.get("/events?type=error&tenant=acme")).is_empty());
        let other = hub.post("/events?tenant=acme", r#"{"type":"success"}"#).json();
        assert_eq!((&other["tenant"], &other["severity"]), (&json!("acme"), &json!("info")));
        assert_eq!(hub.get("/events?type=success").json()["events"][0], other);
    }
}

#[test]
fn what_is_reported_twice_is_kept_once() {
    for hub in each() {
        let cloud = json!({"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.paid", "data": {"sum": 1}});
        let kind = [("Content-Type", "application/cloudevents+json")];
        let first = hub.request("POST", "/events", &kind, &cloud.to_string());
        let again = hub.request("POST", "/events", &kind, &cloud.to_string());
        assert_eq!((first.status, again.status, first.json()), (201, 200, again.json()));
        let batch = hub.request(
            "POST",
            "/events",
            &[("Content-Type", "application/cloudevents-batch+json")],
            &json!([cloud, {"specversion": "1.0", "id": "8", "source": "/shop", "type": "order.paid"}])
                .to_string(),
        );
        assert_eq!((&batch.json()["accepted"], &batch.json()["duplicates"]), (&json!(1), &json!(1)));
        let headers =
            [("ce-specversion", "1.0"), ("ce-id", "9"), ("ce-source", "/shop"), ("ce-type", "order.paid")];
        let binary = hub.request("POST", "/events", &headers, "text");
        assert_eq!((binary.status, &binary.json()["payload"]), (201, &json!("text")));
        assert_eq!(ids(&hub.get("/events?source=/shop")), ["9", "8", "7"]);

        let keyed = |body: &str| hub.request("POST", "/events", &[("Idempotency-Key", "k1")], body);
        let (one, two) = (keyed(r#"{"type":"tried"}"#), keyed(r#"{"type":"tried"}"#));
        assert_eq!((one.status, two.status, one.json()), (201, 200, two.json()));
        assert_eq!(hub.get("/events?type=tried").json()["events"].as_array().unwrap().len(), 1);
        let other = keyed(r#"{"type":"other"}"#);
        assert_eq!((other.status, &other.json()["code"]), (409, &json!("conflict")));
    }
}

#[test]
fn bad_bodies_are_refused_with_the_field_named_and_nothing_is_kept() {
    for hub in each() {
        for (body, status, named) in [
            ("", 400, "event:"),
            ("{}", 400, "type: is missing"),
            (r#"{"type":7}"#, 400, "type: must be a text"),
            (r#"[{"type":"kept"},{"typ":"x"}]"#, 400, "events[1].type: is missing"),
            (r#"{"type":"kept","severity":"high"}"#, 400, "severity:"),
            (r#"{"type":"kept","time":"noon"}"#, 400, "time:"),
        ] {
            let answer = hub.post("/events", body);
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(answer.status == status && detail.contains(named), "{body}: {}", answer.body);
        }
        let large = json!({"type": "kept", "payload": "x".repeat(70_000)}).to_string();
        assert_eq!(hub.post("/events", &large).status, 413);
        let huge = vec![json!({"type": "kept", "payload": "x".repeat(60_000)}); 80];
        let answer = hub.post("/events", &json!(huge).to_string());
        assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("too_large")), "{}", answer.body);
        let deep = format!(r#"{{"type":"kept","payload":{}{}}}"#, "[".repeat(50), "]".repeat(50));
        assert_eq!(hub.post("/events", &deep).status, 413);
        for query in
            ["severity=high", "since=noon", "limit=all", "after=1&before=2", "typ=x", "tenant=nobody"]
        {
            let status = hub.get(&format!("/events?{query}")).status;
            assert!(matches!(status, 400 | 404), "{query}: {status}");
        }
        assert_eq!(hub.request("GET", "/events/stream", &[("Last-Event-ID", "x")], "").status, 400);
        assert!(ids(&hub.get("/events?type=kept")).is_empty());
    }
}

#[test]
fn pages_hold_each_event_once_while_more_come() {
    for hub in each() {
        post_many(&hub, "n", 25);
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let page = hub.get(&format!("/events?type=n&limit=10{next}"));
            seen.extend(ids(&page));
            let Some(cursor) = page.header("x-next-cursor") else { break };
            next = format!("&before={cursor}");
            hub.post("/events", r#"{"type":"n","id":"late"}"#);
        }
        let expected: Vec<_> = (0..25).rev().map(|n| n.to_string()).collect();
        assert_eq!(seen, expected);
        let first = hub.get("/events?type=n&after=0&limit=3");
        assert_eq!(ids(&first), ["0", "1", "2"]);
        let then = format!("/events?type=n&after={}&limit=2", first.json()["next"]);
        assert_eq!(ids(&hub.get(&then)), ["3", "4"]);
    }
}

#[test]
fn a_stream_goes_on_where_its_reader_was() {
    for hub in each() {
        let mut live = events(&hub.address, "GET", "/events/stream?type=n,m", &[], "");
        post_many(&hub, "n", 3);
        let seen: Vec<_> = (0..3).map(|_| live.next_message().unwrap()).collect();
        assert_eq!(
            seen.iter().map(|event| &event["payload"]).collect::<Vec<_>>(),
            [&json!(0), &json!(1), &json!(2)]
        );
        drop(live);
        hub.post("/events", r#"{"type":"other"}"#);
        // Line ends between the parts of a payload reach the reader in one piece.
        hub.post("/events", "{\"type\":\"m\",\"payload\":{\n\"a\":\r\n1}}");
        let last = seen[0]["seq"].to_string();
        let mut again = events(&hub.address, "GET", "/events/stream?type=n", &[("Last-Event-ID", &last)], "");
        assert_eq!(again.next_message().unwrap()["payload"], 1);
        assert_eq!(again.next_message().unwrap()["payload"], 2);
        let (code, out, err) =
            hub.command(&["events", "--url", &format!("http://{}", hub.address), "--type", "n,m", "--json"]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["events"][0]["payload"], json!({"a": 1}));
    }
}

#[test]
fn a_reader_is_told_of_events_that_are_no_longer_kept() {
    let keep = json!({"tenants": {"default": {}}, "store": {"url": "sqlite://data/puerto.db"}});
    let hub = Hub::start(PUERTO, &keep);
    post_many(&hub, "n", 100);
    let last = hub.get("/events?type=n&after=0&limit=10").json()["next"].to_string();
    let (_, dir) = hub.stop();
    let mut fewer = keep;
    fewer["store"]["retention"] = json!({"events": {"rows": 20}});
    let hub = Hub::start_in(PUERTO, &fewer, dir);
    wait_until("old events are gone", || {
        (ids(&hub.get("/events?type=n&limit=1000")).len() < 30).then_some(())
    });
    let mut stream = events(&hub.address, "GET", "/events/stream", &[("Last-Event-ID", &last)], "");
    let gap = stream.next_message().unwrap();
    assert_eq!(gap["after"].to_string(), last);
    assert_eq!(stream.next_message().unwrap()["seq"], gap["next"]);
}

#[test]
fn the_hub_reports_what_it_notices_itself() {
    let servers = json!({
        "monitor": {"builtin": "monitor"},
        "broken": {"command": "/nowhere/at-all"},
    });
    let config = json!({"tenants": {"default": {"servers": servers}}, "orchestrator": {"max_retries": 1}});
    let hub = Hub::start(PUERTO, &config);
    let told = |kind: &str, subject: &str| {
        wait_until(&format!("{kind} of {subject} is told"), || {
            hub.get(&format!("/events?type={kind}&subject={subject}")).json().pointer("/events/0").cloned()
        })
    };
    assert_eq!(told("server.ready", "monitor")["severity"], "info");
    let failed = told("server.failed", "broken");
    assert_eq!((&failed["severity"], &failed["source"]), (&json!("error"), &json!("puerto")));
    assert!(failed["payload"]["why"].as_str().unwrap().contains("/nowhere/at-all"), "{failed}");
    hub.post("/api/servers/default/monitor/stop", "");
    told("server.stopped", "monitor");
    wait_until("the start is told", || (!ids(&hub.get("/events?type=hub.started")).is_empty()).then_some(()));
    std::fs::write(hub.dir.path().join("puerto.json"), "{").unwrap();
    assert_eq!(hub.post("/api/reload", "").status, 400);
    wait_until("the fault is told", || {
        (!ids(&hub.get("/events?type=configuration.*&severity=error")).is_empty()).then_some(())
    });
}

/// Whatever was answered is there after the hub was killed in the middle of its work, twenty times in a row.
#[test]
fn nothing_that_was_answered_is_lost_when_the_hub_is_killed() {
    for (store, rounds) in [("sqlite://data/puerto.db".to_owned(), 20), (postgres(), 3)] {
        let mut dir = Some(tempfile::TempDir::new().unwrap());
        let mut answered = 0;
        for round in 0..rounds {
            let hub = Hub::start_in(PUERTO, &config(&store), dir.take().unwrap());
            let (kept, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
            let posting: Vec<_> = (0..4)
                .map(|poster| {
                    let (address, kept, stop) = (hub.address.clone(), kept.clone(), stop.clone());
                    std::thread::spawn(move || {
                        post_until(&address, &format!("{round}-{poster}"), &kept, &stop);
                    })
                })
                .collect();
            wait_until("events are kept", || (kept.lock().unwrap().len() > 20).then_some(()));
            kill(&hub);
            stop.store(true, Ordering::Relaxed);
            posting.into_iter().for_each(|thread| drop(thread.join()));
            let Hub { dir: left, process, .. } = hub;
            drop(process);
            let hub = Hub::start_in(PUERTO, &config(&store), left);
            for id in kept.lock().unwrap().iter() {
                let found = hub.get(&format!("/events?source={id}"));
                assert_eq!(ids(&found).len(), 1, "{id} was answered and is not there");
                answered += 1;
            }
            dir = Some(hub.stop().1);
        }
        assert!(answered > 20 * rounds, "{answered}");
    }
}

/// Posts one event after the other; notes those that were answered.
fn post_until(address: &str, name: &str, kept: &Mutex<Vec<String>>, stop: &AtomicBool) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let source = format!("{name}-{n}");
        let body = json!({"type": "n", "source": source, "payload": "x".repeat(100)}).to_string();
        let ask = || puerto_testkit::http::request(address, "POST", "/events", &[], &body);
        // The hub is killed while it answers: no answer, and nothing is promised.
        let Ok(answer) = std::panic::catch_unwind(ask) else { return };
        if answer.status == 201 {
            kept.lock().unwrap().push(source);
        }
    }
}

fn kill(hub: &Hub) {
    let done = std::process::Command::new("kill").args(["-KILL", &hub.process.pid().to_string()]).status();
    assert!(done.unwrap().success());
}
