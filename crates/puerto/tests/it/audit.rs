//! The audit trail: every act is in it, and whoever changes it is found out.

use puerto_testkit::{Hub, postgres, scripted, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// A hub on a store, with a checkpoint each second.
pub(crate) fn hub_on(store: &str) -> Hub {
    let config = json!({
        "tenants": {"default": {"servers": {"monitor": {"builtin": "monitor"}}}, "acme": {}},
        "store": {"url": store},
        "audit": {"every_seconds": 1},
    });
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:monitor", "ready");
    hub
}

fn each() -> impl Iterator<Item = Hub> {
    ["sqlite://data/puerto.db".to_owned(), postgres()].into_iter().map(|store| hub_on(&store))
}

/// The newest record that fits, once it is there.
fn record(hub: &Hub, query: &str) -> Value {
    wait_until(&format!("the record {query} is there"), || {
        hub.get(&format!("/audit?{query}&limit=1")).json().pointer("/audit/0").cloned()
    })
}

/// The same, once it says how it ended: what falls between two batches has a record of its beginning first.
fn ended(hub: &Hub, query: &str) -> Value {
    wait_until(&format!("{query} has ended"), || {
        Some(record(hub, query)).filter(|r| r.get("outcome").is_some())
    })
}

fn puerto(hub: &Hub, arguments: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", hub.address);
    hub.command(&[&["audit"], arguments, &["--url", &url]].concat())
}

#[test]
fn acts_of_every_kind_are_recorded_with_their_decision_and_their_result() {
    for hub in each() {
        hub.call("/mcp", "monitor__get_uptime", json!({}));
        let call = ended(&hub, "action=tools/call");
        assert_eq!(
            (&call["decision"], &call["outcome"], &call["object"]),
            (&json!("allow"), &json!("ok"), &json!("get_uptime"))
        );
        assert_eq!((&call["arguments"]["bytes"], &call["actor"]), (&json!(2), &json!("local")));
        assert_eq!(call["result"]["sha256"].as_str().unwrap().len(), 64, "{call}");
        assert!(!call.to_string().contains("uptime_seconds"), "{call}");
        hub.post("/api/servers/default/monitor/stop", "");
        assert_eq!(ended(&hub, "action=server.stop")["outcome"], "ok");
        let failed = hub.post("/api/tools/monitor.get_uptime/call", "{}");
        assert_eq!(failed.status, 502);
        wait_until("the failure is recorded", || {
            (ended(&hub, "action=tools/call")["outcome"] == "upstream_down").then_some(())
        });
        // What only looks at something is not, unless the tenant wants it.
        hub.get("/api/servers/default/monitor");
        assert!(hub.get("/audit?action=server.read").json()["audit"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_call_that_goes_on_is_recorded_before_it_ends() {
    let hub = Hub::with_servers(PUERTO, &json!({"slow": scripted(&[])}));
    let go_on = hub.dir.path().join("go on");
    std::thread::scope(|scope| {
        scope.spawn(|| hub.call("/mcp", "slow__wait_for", json!({"path": go_on})));
        let begun = record(&hub, "action=tools/call");
        assert_eq!((&begun["phase"], &begun["decision"]), (&json!("decision"), &json!("allow")));
        assert!(begun.get("outcome").is_none(), "{begun}");
        std::fs::write(&go_on, "").unwrap();
        let ended = ended(&hub, "action=tools/call");
        assert_eq!(ended["phase"], "result");
        assert_eq!(ended["request"], begun["request"]);
    });
}

#[test]
fn reports_of_others_are_kept_and_bad_ones_refused_with_the_field_named() {
    for hub in each() {
        let answer = hub.post("/audit", r#"{"action":"deploy","agent":"bot","details":{"b":1,"a":[1.50]}}"#);
        let kept = answer.json();
        assert_eq!(
            (answer.status, &kept["details"], &kept["reporter"]),
            (201, &json!({"a": [1.5], "b": 1}), &json!("local"))
        );
        assert_eq!(hub.get("/audit?agent=bot").json()["audit"], json!([kept]));
        assert_eq!(hub.get("/audit?agent=bot&tenant=acme").json()["audit"], json!([]));
        for (body, named) in [
            ("", "body:"),
            ("{}", "missing field `action`"),
            (r#"{"action":"x"}"#, "missing field `agent`"),
            (r#"{"action":1,"agent":"y"}"#, "action:"),
            (r#"{"action":"","agent":"y"}"#, "action:"),
            (r#"{"action":"x","agent":"y","details":[]}"#, "details:"),
            (
                r#"{"action":"x","agent":"y","details":{"n":9007199254740993}}"#,
                "details: the number 9007199254740993",
            ),
            (r#"{"action":"x","agent":"y","more":1}"#, "more"),
        ] {
            let answer = hub.post("/audit", body);
            assert!(answer.status == 400 && answer.body.contains(named), "{body}: {}", answer.body);
        }
        assert_eq!(
            hub.post(
                "/audit",
                &json!({"action": "x", "agent": "y", "details": {"t": "x".repeat(70_000)}}).to_string()
            )
            .status,
            413
        );
    }
}

#[test]
fn other_programs_read_the_trail_as_events_of_ocsf() {
    let hub = hub_on("sqlite://data/puerto.db");
    hub.call("/mcp/default/monitor", "get_uptime", json!({}));
    hub.post("/audit", r#"{"action": "deploy", "agent": "bot", "details": {"version": 2}}"#);
    ended(&hub, "action=tools/call");
    let (code, events, err) = puerto(&hub, &["export", "--ocsf"]);
    assert_eq!(code, 0, "{err}");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The last of each: what begins in one look and ends in another has two.
    let of = |action: &str| events.iter().rfind(|event| event["api"]["operation"] == action).unwrap();
    assert!(
        events
            .iter()
            .all(|event| event["class_uid"] == 6003 && event["metadata"]["product"]["name"] == "Puerto")
    );
    let call = of("tools/call");
    assert_eq!((&call["status"], &call["resources"][0]["name"]), (&json!("Success"), &json!("get_uptime")));
    assert_eq!(call["dst_endpoint"]["svc_name"], "monitor");
    assert_eq!(call["unmapped"]["result"]["sha256"].as_str().unwrap().len(), 64);
    let told = of("deploy");
    assert_eq!((&told["status"], &told["unmapped"]["details"]["version"]), (&json!("Unknown"), &json!(2)));
    let refused = hub.get("/audit/export?form=csv");
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.contains("form"), "{}", refused.body);
}

#[test]
fn a_whole_trail_is_found_whole_and_proved_off_line() {
    for hub in each() {
        for n in 0..5 {
            hub.post("/audit", &json!({"action": "deploy", "agent": format!("bot {n}")}).to_string());
        }
        let key = hub.get("/audit/verify").json()["key"].as_str().unwrap().to_owned();
        let (code, proof, err) = puerto(&hub, &["prove", "2"]);
        assert_eq!(code, 0, "{err}");
        let (code, export, err) = puerto(&hub, &["export"]);
        assert_eq!(code, 0, "{err}");
        let found = hub.get("/audit/verify").json();
        assert_eq!((&found["ok"], &found["faults"]), (&json!(true), &json!([])));
        assert!(found["checkpoints"].as_u64().unwrap() > 0, "{found}");
        let (code, said, _) = puerto(&hub, &["verify"]);
        assert!(code == 0 && said.starts_with("the trail is whole: "), "{said}");
        let (dir, program) = (hub.dir.path().to_owned(), hub.program.clone());
        let (_, _dir) = hub.stop();
        // From here on there is no hub and no database.
        let verify = |name: &str, text: &str| {
            std::fs::write(dir.join(name), text).unwrap();
            puerto_testkit::hub::command(&program, &dir, &["audit", "verify", name, "--key", &key])
        };
        let (code, said, err) = verify("proof.json", &proof);
        assert!(code == 0 && said.starts_with("the trail is whole"), "{said}{err}");
        let (code, said, err) = verify("export.ndjson", &export);
        assert!(code == 0 && said.starts_with("the trail is whole"), "{said}{err}");
        let (code, _, err) = verify("proof.json", &proof.replace("bot", "cat"));
        assert!(code == 1 && err.contains("is not in the trail"), "{err}");
        for (forged, expected) in forgeries(&export) {
            let (code, said, err) = verify("export.ndjson", &forged);
            assert!(code == 1 && format!("{said}{err}").contains(expected), "{expected}: {said}{err}");
        }
    }
}

/// Exports that somebody has tampered with, and what is said of each.
fn forgeries(export: &str) -> Vec<(String, &'static str)> {
    let lines: Vec<&str> = export.lines().collect();
    let last = lines.len() - 1;
    let without = |gone: &[usize]| {
        let kept = lines.iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, line)| *line);
        kept.collect::<Vec<_>>().join("\n")
    };
    let swapped = |one: usize, other: usize| {
        let mut lines = lines.clone();
        lines.swap(one, other);
        lines.join("\n")
    };
    let mut twice = lines.clone();
    twice.insert(3, lines[2]);
    let cut: Vec<usize> = (last - 1..last).collect();
    vec![
        // Which ones are named depends on when checkpoints were made.
        (export.replacen("bot 1", "bot 9", 1), "that the checkpoint of"),
        (without(&[2]), "missing: record 2 is missing"),
        (without(&cut), "truncated: the trail ends with record"),
        (without(&[last]), "it was cut off"),
        (swapped(2, 3), "missing: record 2 is missing"),
        (twice.join("\n"), "moved: record 2 stands after record 2"),
        (export.replacen("puerto/audit\\n", "puerto/audit\\n1", 1), "checkpoint: checkpoint 1 is none"),
    ]
}

#[test]
fn a_trail_that_somebody_changed_is_named_by_the_hub() {
    let hub = hub_on("sqlite://data/puerto.db");
    for n in 0..5 {
        hub.post("/audit", &json!({"action": "deploy", "agent": format!("bot {n}")}).to_string());
    }
    let (_, dir) = hub.stop();
    let db = rusqlite::Connection::open(dir.path().join("data/puerto.db")).unwrap();
    let sql = "UPDATE audit_blocks SET packed = unhex(replace(hex(packed), hex('bot 3'), hex('bot 4')))
        WHERE instr(packed, 'bot 3') > 0";
    assert!(db.execute(sql, []).unwrap() > 0);
    drop(db);
    let hub = Hub::start_in(PUERTO, &json!({"tenants": {"default": {}}}), dir);
    let (code, said, _) = puerto(&hub, &["verify"]);
    assert!(code == 1 && said.contains("was changed: its text does not give its hash"), "{said}");
}

/// What a tenant requires to be recorded is refused where it cannot be.
#[test]
fn where_an_audit_is_required_and_cannot_be_kept_nothing_runs() {
    let config = json!({"tenants": {
        "default": {"audit": {"mode": "required"}, "servers": {"monitor": {"builtin": "monitor"}}},
        "free": {"servers": {"monitor": {"builtin": "monitor"}}},
    }});
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:monitor", "ready");
    hub.wait_for("free:monitor", "ready");
    let call = |tenant: &str| hub.call(&format!("/mcp/{tenant}"), "monitor__get_uptime", json!({}));
    assert!(call("default").get("error").is_none());
    // Another program holds the file, longer than we wait for it.
    let db = rusqlite::Connection::open(hub.dir.path().join("data/puerto.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    wait_until("calls are refused", || {
        call("default").to_string().contains("requires an audit").then_some(())
    });
    assert_eq!(call("free")["result"]["isError"], json!(false));
    db.execute_batch("ROLLBACK").unwrap();
    wait_until("calls are served again", || {
        (call("default")["result"]["isError"] == json!(false)).then_some(())
    });
}

/// The trail of a hub that was killed in the middle of its work is whole, and has what was answered.
#[test]
fn the_trail_survives_a_killed_hub() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let mut hub = hub_on(&store);
        for round in 0..3 {
            for n in 0..10 {
                let body = json!({"action": "deploy", "agent": format!("bot {round}-{n}")}).to_string();
                assert_eq!(hub.post("/audit", &body).status, 201);
                hub.call("/mcp", "monitor__get_uptime", json!({}));
            }
            let config = std::fs::read_to_string(hub.dir.path().join("puerto.json")).unwrap();
            let done =
                std::process::Command::new("kill").args(["-KILL", &hub.process.pid().to_string()]).status();
            assert!(done.unwrap().success());
            let Hub { dir, process, .. } = hub;
            drop(process);
            hub = Hub::start_text(PUERTO, &config, dir);
            hub.wait_for("default:monitor", "ready");
            let found = hub.get("/audit/verify").json();
            assert_eq!(found["ok"], true, "{found}");
            for n in 0..10 {
                assert_eq!(
                    hub.get(&format!("/audit?agent=bot%20{round}-{n}")).json()["audit"]
                        .as_array()
                        .unwrap()
                        .len(),
                    1
                );
            }
        }
    }
}
