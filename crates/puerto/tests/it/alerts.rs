//! Alerts of a running hub, at receivers that are real.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use puerto_core::TenantId;
use puerto_core::def::Measure;
use puerto_testkit::smtp::{MailServer, Speaks};
use puerto_testkit::{Fixture, Hub, Secure, Web, heavy, postgres, wait_until};
use puerto_watch::anomaly::Detectors;
use serde_json::{Value, json};

use crate::PUERTO;

/// A hub with a webhook, waits that take no time, and further settings.
fn config(store: &str, hook: &Web, services: Value, more: Value) -> Value {
    let mut alerts = json!({
        "channels": {"hook": {"type": "webhook", "url": format!("{}hook", hook.url())}},
        "route": {"channels": ["hook"], "group_wait": "1s", "group_interval": "1s"},
        // Children that are checked later than their parent have come back by then.
        "grace": "1m",
    });
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    alerts[key][name] = value.clone();
                }
            }
            other => alerts[key] = other.clone(),
        }
    }
    json!({"tenants": {"default": {}}, "store": {"url": store}, "services": services, "alerts": alerts})
}

fn service(name: &str, web: &Web) -> Value {
    json!({"name": name, "url": web.url(), "interval": "200ms", "timeout": "200ms", "failures": 1, "successes": 1})
}

/// What a receiver got: why, and what each is about.
fn told(hook: &Web) -> Vec<(String, Vec<String>)> {
    let bodies = hook.requests().into_iter().filter(|heard| heard.path() == "/hook");
    bodies.map(|heard| summary(&heard.json())).collect()
}

fn summary(body: &Value) -> (String, Vec<String>) {
    let alerts = body["alerts"].as_array().unwrap_or_else(|| panic!("no alerts in {body}"));
    let subjects = alerts.iter().map(|alert| alert["subject"].as_str().unwrap().to_owned()).collect();
    (body["reason"].as_str().unwrap().to_owned(), subjects)
}

fn only(reason: &str, subject: &str) -> (String, Vec<String>) {
    (reason.into(), vec![subject.into()])
}

fn alerts(hub: &Hub) -> Vec<Value> {
    hub.get("/alerts").json()["alerts"].as_array().unwrap().clone()
}

fn wait_told(hook: &Web, count: usize) -> Vec<(String, Vec<String>)> {
    wait_until(&format!("{count} notices came; there are {:?}", told(hook)), || {
        Some(told(hook)).filter(|told| told.len() >= count)
    })
}

#[test]
fn a_hundred_children_behind_a_dead_parent_are_one_notice() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let (hook, parent) = (Web::start(), Web::start());
        // Patient ones: a machine that stands still for a moment is no outage.
        let service = |name: &str| {
            let mut def = service(name, &parent);
            (def["interval"], def["timeout"]) = ("1s".into(), "1s".into());
            def
        };
        let mut services = vec![service("database")];
        for number in 0..100 {
            let mut child = service(&format!("child-{number}"));
            child["parents"] = json!(["database"]);
            services.push(child);
        }
        let hub = Hub::start(
            PUERTO,
            &config(&store, &hook, json!(services), json!({"route": {"group_wait": "8s"}})),
        );
        let healthy = || hub.get("/metrics").json()["healthyServices"].clone();
        wait_until("all are well", || (healthy() == 101).then_some(()));
        parent.says(|says| says.status = 500);
        wait_until("all have fallen", || (alerts(&hub).len() == 101).then_some(()));
        assert_eq!(wait_told(&hook, 1), [only("fired", "database")]);
        let held = alerts(&hub).into_iter().filter(|alert| alert["held"][0]["because"] == "parent").count();
        assert_eq!(held, 100);
        parent.says(|says| says.status = 200);
        wait_until("all are back", || alerts(&hub).is_empty().then_some(()));
        assert_eq!(wait_told(&hook, 2), [only("fired", "database"), only("resolved", "database")]);
        let over = hook.wait_for("/hook", 2)[1].json()["alerts"][0].clone();
        assert!(over["until"].is_string() && over["held"].is_string(), "{over}");
    }
}

/// In real time what `alert/tests/nine.rs` of `watch` plays on a clock of its own.
#[test]
fn nine_services_and_all_that_is_told_of_them() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let (hook, expired) = (Web::start(), Secure::start(2025));
        let [database, killed, slow, flaps, odd, fine] = std::array::from_fn(|_| Web::start());
        // Patient ones: a machine that is busy is no outage.
        let service = |name: &str, web: &Web, more: Value| {
            let mut def = service(name, web);
            for (key, value) in [("interval", "500ms"), ("timeout", "500ms")] {
                def[key] = value.into();
            }
            def["failures"] = 2.into();
            def.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            def
        };
        let behind = |name: &str, parent: &str| service(name, &database, json!({"parents": [parent]}));
        let changing = json!({"interval": "200ms", "timeout": "200ms", "failures": 1});
        let secured = json!({"url": expired.url(), "tls": {"ca_file": expired.authority()}});
        let services = json!([
            service("database", &database, json!({})),
            behind("api", "database"),
            behind("shop", "api"),
            service("killed", &killed, json!({})),
            service("slow", &slow, json!({})),
            service("flaps", &flaps, changing),
            service("odd", &odd, json!({})),
            service("fine", &fine, json!({})),
            service("cert", &fine, secured),
        ]);
        let more = json!({
            "channels": {"boss": {"type": "webhook", "url": format!("{}boss", hook.url())}},
            "escalate": [{"after": "3s", "channels": ["boss"]}],
            // Those of which nobody is to hear have time to learn that their parent is down.
            "route": {"group_by": ["service"],
                "routes": [{"match": {"service": "api|shop|fine"}, "group_wait": "10s"}]},
        });
        let hub = Hub::start(PUERTO, &config(&store, &hook, services, more));
        let state = |name: &str| hub.get(&format!("/api/services/default/{name}")).json();
        let wait = |name: &str, wanted: &str| {
            wait_until(&format!("{name} is {wanted}"), || {
                Some(state(name)).filter(|service| service["state"] == wanted)
            })
        };
        // Why somebody was told of a service, one after the other.
        let of = |path: &str, name: &str| -> Vec<String> {
            let heard = hook.requests().into_iter().filter(|heard| heard.path() == path);
            let told = heard.map(|heard| summary(&heard.json()));
            told.filter(|(_, subjects)| subjects.iter().all(|one| one == name))
                .map(|(reason, _)| reason)
                .collect()
        };
        let wait_of = |path: &str, name: &str, wanted: &[&str]| {
            let what = format!("{path} hears of {name}: {wanted:?}");
            wait_until(&what, || (of(path, name) == wanted).then_some(()));
        };
        for name in ["database", "api", "shop", "killed", "slow", "flaps", "odd", "fine"] {
            wait(name, "ok");
        }
        let why = wait("cert", "down")["last"]["error"].clone();
        assert!(why.as_str().unwrap().starts_with("the certificate expired on 2025-01-01"), "{why}");
        wait_of("/hook", "cert", &["fired"]);
        let id = alerts(&hub)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(hub.post(&format!("/alerts/{id}/ack"), r#"{"reason": "renewing"}"#).status, 200);

        let address = killed.address();
        drop(killed);
        database.says(|says| says.status = 500);
        slow.says(|says| says.answers = false);
        odd.says(|says| says.status = 503);
        flaps.says(|says| says.next = [500, 200].repeat(500).into());
        for name in ["database", "api", "shop", "killed", "slow", "odd"] {
            wait(name, "down");
        }
        wait("flaps", "flapping");
        wait_until("it is told", || of("/hook", "flaps").contains(&"fired".to_owned()).then_some(()));
        flaps.says(|says| says.next.clear());
        let fell = ["database", "killed", "slow", "odd"];
        for name in fell {
            wait_of("/boss", name, &["escalated"]);
            assert_eq!(of("/hook", name), ["fired"]);
        }
        let held: Vec<_> = alerts(&hub)
            .into_iter()
            .filter(|alert| alert["held"][0]["because"] == "parent")
            .map(|alert| alert["subject"].clone())
            .collect();
        assert_eq!(
            (held.len(), held.contains(&json!("api")), held.contains(&json!("shop"))),
            (2, true, true)
        );

        let _killed = Web::start_at(address);
        database.says(|says| says.status = 200);
        slow.says(|says| says.answers = true);
        odd.says(|says| says.status = 200);
        for name in fell {
            wait_of("/hook", name, &["fired", "resolved"]);
            wait_of("/boss", name, &["escalated", "resolved"]);
        }
        let over = hook.wait_for("/boss", 8).pop().unwrap().json()["alerts"][0].clone();
        assert!(over["until"].is_string() && over["held"].is_string(), "{over}");
        let silent = ["api", "shop", "fine"].map(|name| of("/hook", name).len() + of("/boss", name).len());
        assert_eq!(
            (silent, of("/hook", "cert"), of("/boss", "cert").len()),
            ([0; 3], vec!["fired".into()], 0)
        );
        let uptime = |name: &str| state(name)["uptime"]["24h"].as_f64().unwrap();
        assert!(uptime("fine") > uptime("killed") && uptime("cert") < 1.0, "{}", uptime("fine"));
        assert!((1.0..100.0).contains(&uptime("killed")), "{}", uptime("killed"));
    }
}

#[test]
fn with_nothing_configured_standard_output_tells_what_is_down() {
    let web = Web::start();
    web.says(|says| says.status = 500);
    let config = json!({
        "tenants": {"default": {"servers": {"gone": {"command": "no-such-program"}}}},
        "services": [service("web", &web)],
        "alerts": {"route": {"group_wait": "1s", "group_by": ["service"]}},
    });
    let hub = Hub::start(PUERTO, &config);
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 2 {
        let Ok(line) = serde_json::from_str::<Value>(&hub.process.line()) else { continue };
        assert_eq!((&line["severity"], &line["channel"]), (&json!("critical"), &json!("stdout")), "{line}");
        told.insert(line["alerts"][0]["summary"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, ["gone is down".to_owned(), "web is down".into()].into());
}

#[test]
fn what_nobody_takes_comes_later_and_nothing_is_lost_when_the_hub_is_killed() {
    let (hook, web) = (Web::start(), Web::start());
    hook.says(|says| says.status = 503);
    let config = config("sqlite://data/puerto.db", &hook, json!([service("web", &web)]), json!({}));
    let hub = Hub::start(PUERTO, &config);
    web.says(|says| says.status = 500);
    let waiting = |hub: &Hub| {
        let found = hub.get("/alerts/notifications?state=waiting").json();
        found["notifications"].as_array().unwrap().first().filter(|one| one["attempts"] != 0).cloned()
    };
    let first = wait_until("it was tried", || waiting(&hub));
    assert!(first["error"].as_str().unwrap().contains("503"), "{first}");
    // Killed while it waits, and once more after it has begun again.
    let mut dir = kill(hub);
    let hub = Hub::start_in(PUERTO, &config, dir);
    let kept = wait_until("it still waits", || waiting(&hub));
    assert_eq!(kept["key"], first["key"]);
    dir = kill(hub);
    hook.says(|says| says.status = 200);
    let before = told(&hook).len();
    let hub = Hub::start_in(PUERTO, &config, dir);
    let after = wait_told(&hook, before + 1);
    assert_eq!(after[before], only("fired", "web"));
    wait_until("it is noted", || {
        let sent = hub.get("/alerts/notifications?state=sent").json();
        (sent["notifications"][0]["key"] == first["key"]).then_some(())
    });
    let metrics = hub.get("/metrics/prometheus").body;
    assert!(metrics.contains("mcp_notifications_total{channel=\"hook\",result=\"sent\"} 1"), "{metrics}");
    assert!(metrics.contains("mcp_alerts_firing{severity=\"critical\"} 1"), "{metrics}");
    web.says(|says| says.status = 200);
    assert_eq!(wait_told(&hook, before + 2)[before + 1], only("resolved", "web"));
    let events = hub.get("/events?type=alert.*,notification.*&after=0").json();
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    for kind in ["alert.fired", "alert.resolved", "notification.sent"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

#[test]
fn whatever_moment_it_is_killed_in_every_alert_that_was_taken_is_told() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let hook = Web::start();
        let config = config(&store, &hook, json!([]), json!({"route": {"group_wait": "0s"}}));
        let mut hub = Hub::start(PUERTO, &config);
        let expected: Vec<_> = (0..8).map(|number| format!("alert-{number}")).collect();
        for name in &expected {
            let raised = json!([{"labels": {"alertname": name}}]).to_string();
            assert_eq!(hub.post("/api/v2/alerts", &raised).status, 200);
            hub = Hub::start_in(PUERTO, &config, kill(hub));
        }
        wait_until(&format!("all are told; there are {:?}", told(&hook)), || {
            let told = told(&hook);
            expected.iter().all(|name| told.contains(&only("fired", name))).then_some(())
        });
        // One that comes twice has the same key.
        let keys: std::collections::BTreeSet<_> =
            hook.requests().iter().map(|heard| heard.json()["key"].to_string()).collect();
        assert_eq!(keys.len(), expected.len());
    }
}

/// Ends a hub as a power cut would, and answers its directory.
fn kill(hub: Hub) -> tempfile::TempDir {
    let pid = hub.process.pid().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    hub.stop().1
}

#[test]
fn somebody_works_on_it_and_others_are_told_of_what_nobody_does() {
    let (hook, web, other) = (Web::start(), Web::start(), Web::start());
    let more = json!({
        "channels": {"boss": {"type": "webhook", "url": format!("{}boss", hook.url())}},
        "escalate": [{"after": "8s", "channels": ["boss"]}],
        "route": {"group_by": ["service"]},
    });
    let services = json!([service("web", &web), service("other", &other)]);
    let hub = Hub::start(PUERTO, &config("sqlite://data/puerto.db", &hook, services, more));
    web.says(|says| says.status = 500);
    wait_told(&hook, 1);
    let of_web = || alerts(&hub).into_iter().find(|alert| alert["subject"] == "web").unwrap();
    let id = of_web()["id"].as_str().unwrap().to_owned();
    assert_eq!(hub.post(&format!("/alerts/{id}/ack"), "{}").status, 400);
    assert_eq!(hub.post("/alerts/none/ack", r#"{"reason":"mine"}"#).status, 404);
    let url = format!("http://{}", hub.address);
    let (code, said, wrong) =
        hub.command(&["alerts", "ack", &id, "--reason", "on it", "--who", "ada", "--url", &url]);
    assert!(code == 0 && said.contains("web is down"), "{said}{wrong}");
    assert_eq!(of_web()["acknowledged"]["who"], "ada");
    wait_until("it is in the trail", || {
        let audit = hub.get("/audit?action=alert.acknowledge").json();
        audit["audit"].as_array().unwrap().iter().any(|record| record["outcome"] == "ok").then_some(())
    });
    // Of the one that nobody works on the boss hears.
    other.says(|says| says.status = 500);
    let boss = hook.wait_for("/boss", 1);
    assert_eq!(summary(&boss[0].json()), only("escalated", "other"));
    web.says(|says| says.status = 200);
    other.says(|says| says.status = 200);
    wait_until("both are over", || {
        let told = told(&hook);
        (told.contains(&only("resolved", "web")) && told.contains(&only("resolved", "other"))).then_some(())
    });
    assert_eq!(summary(&hook.wait_for("/boss", 2)[1].json()), only("resolved", "other"));
    // The acknowledgement ended with the alert.
    web.says(|says| says.status = 500);
    wait_until("it fell again", || alerts(&hub).first().filter(|a| a["acknowledged"].is_null()).map(drop));
}

#[test]
fn a_silence_keeps_quiet_until_it_is_ended() {
    let (hook, web) = (Web::start(), Web::start());
    let hub = Hub::start(
        PUERTO,
        &config("sqlite://data/puerto.db", &hook, json!([service("web", &web)]), json!({})),
    );
    let url = format!("http://{}", hub.address);
    let (code, said, wrong) =
        hub.command(&["alerts", "silence", "service=we*", "--for", "1h", "--reason", "work", "--url", &url]);
    assert!(code == 0, "{said}{wrong}");
    web.says(|says| says.status = 500);
    let held = wait_until("it is held", || {
        alerts(&hub).first().filter(|alert| alert["stage"] == "firing").map(|alert| alert["held"].clone())
    });
    assert_eq!(held[0]["because"], "silenced", "{held}");
    let (code, said, _) = hub.command(&["alerts", "list", "--url", &url]);
    assert!(code == 1 && said.contains("silenced") && said.contains("web is down"), "{said}");
    let silences = hub.get("/alerts/silences").json();
    let id = silences["silences"][0]["id"].as_str().unwrap();
    assert_eq!(hub.request("DELETE", "/alerts/silences/none", &[], "").status, 404);
    assert_eq!(told(&hook), []);
    let (code, ..) = hub.command(&["alerts", "silence", "--end", id, "--url", &url]);
    assert_eq!(code, 0);
    assert_eq!(wait_told(&hook, 1), [only("fired", "web")]);
    for (body, why) in [
        (r#"{"match":{},"for":"1h","reason":"x"}"#, "matchers"),
        (r#"{"match":{"a":"b"},"reason":"x"}"#, "how long"),
        (r#"{"match":{"a":"b"},"for":"1h","reason":" "}"#, "a reason"),
        (r#"{"match":{"a":"b"},"for":"soon","reason":"x"}"#, "for"),
    ] {
        let answer = hub.post("/alerts/silences", body);
        assert!(answer.status == 400 && answer.body.contains(why), "{}", answer.body);
    }
}

#[test]
fn what_flaps_is_told_of_once() {
    let (hook, web) = (Web::start(), Web::start());
    let flapping = service("web", &web);
    let more = json!({"route": {"group_interval": "1h"}});
    let hub = Hub::start(PUERTO, &config("sqlite://data/puerto.db", &hook, json!([flapping]), more));
    // It answers differently each time that it is asked.
    web.says(|says| says.next = [500, 200].repeat(1_000).into());
    wait_until("it flaps", || {
        (hub.get("/api/services/default/web").json()["state"] == "flapping").then_some(())
    });
    let told = wait_until("it is told", || {
        Some(told(&hook)).filter(|told| told.iter().any(|(reason, _)| reason == "fired"))
    });
    assert!(told.len() <= 3, "{told:?}");
}

#[test]
fn alerts_of_others_are_told_and_channels_are_tried_out() {
    let hook = Web::start();
    let mail = MailServer::start(Speaks::Plain, None);
    let channel = json!({"type": "email", "smtp": {"host": "127.0.0.1", "port": mail.port(), "tls": "none"},
        "from": "puerto@example.com", "to": ["ada@example.com"]});
    let more = json!({
        "channels": {"mail": channel, "closed": {"type": "webhook", "url": "http://127.0.0.1:1/"},
            "strict": {"type": "webhook", "url": format!("{}strict", hook.url())}},
        "route": {"channels": ["mail", "hook"], "group_wait": "0s"},
    });
    let hub = Hub::start(PUERTO, &config("sqlite://data/puerto.db", &hook, json!([]), more));
    let raised = r#"[{"labels":{"alertname":"DiskFull","severity":"critical","instance":"host-1"},
        "annotations":{"summary":"the disk of host-1 is full"}}]"#;
    assert_eq!(hub.post("/api/v2/alerts", raised).json()["received"], 1);
    let got = mail.mail();
    assert!(got.subject.contains("the disk of host-1 is full"), "{got:?}");
    assert_eq!(wait_told(&hook, 1), [only("fired", "host-1")]);
    let over = raised.replace("\"annotations\"", "\"endsAt\":\"2020-01-01T00:00:00Z\",\"annotations\"");
    hub.post("/api/v2/alerts", &over);
    assert!(mail.mail().subject.contains("RESOLVED"));
    let bad = hub.post("/api/v2/alerts", r#"[{"labels":{}}]"#);
    assert!(bad.status == 400 && bad.body.contains("alertname"), "{}", bad.body);

    let url = format!("http://{}", hub.address);
    let test = |channel: &str| hub.command(&["alerts", "test", channel, "--url", &url]);
    assert_eq!(test("mail").0, 0);
    assert!(mail.mail().subject.contains("TEST"));
    let (code, said, _) = test("closed");
    assert!(code == 1 && said.contains("not sent"), "{said}");
    let (code, _, wrong) = test("pigeon");
    assert!(code == 1 && wrong.contains("there are closed, hook, mail, stdout"), "{wrong}");
}

#[test]
fn what_is_given_up_can_be_sent_again() {
    let hook = Web::start();
    hook.says(|says| says.status = 400);
    let hub = Hub::start(
        PUERTO,
        &config("sqlite://data/puerto.db", &hook, json!([]), json!({"route": {"group_wait": "0s"}})),
    );
    hub.post("/api/v2/alerts", r#"[{"labels":{"alertname":"DiskFull"}}]"#);
    let dead = wait_until("it is given up", || {
        let found = hub.get("/alerts/notifications?state=dead&channel=hook").json();
        found["notifications"].as_array().unwrap().first().cloned()
    });
    assert!(dead["error"].as_str().unwrap().contains("400"), "{dead}");
    hook.says(|says| says.status = 200);
    let url = format!("http://{}", hub.address);
    let (code, _, wrong) =
        hub.command(&["alerts", "sent", "--again", dead["key"].as_str().unwrap(), "--url", &url]);
    assert_eq!(code, 0, "{wrong}");
    wait_until("it is sent", || {
        let sent = hub.get("/alerts/notifications?state=sent").json();
        (sent["notifications"][0]["key"] == dead["key"]).then_some(())
    });
    assert_eq!(told(&hook).len(), 2);
    assert_eq!(hub.get("/alerts/notifications?state=lost").status, 400);
}

#[test]
fn rules_about_events_and_metrics_hold() {
    let hook = Web::start();
    let rules = json!([
        {"name": "logins", "events": {"type": "login.failed", "count": 3, "within": "1m"}},
        {"name": "kept", "metric": {"name": "mcp_events_count", "above": 2}},
        {"name": "quiet", "absent": {"event": "backup.done"}, "for": "1s"},
    ]);
    let hub =
        Hub::start(PUERTO, &config("sqlite://data/puerto.db", &hook, json!([]), json!({"rules": rules})));
    for _ in 0..3 {
        assert_eq!(hub.post("/events", r#"{"type":"login.failed","payload":{}}"#).status, 201);
    }
    wait_until("all three hold", || {
        let found = alerts(&hub);
        let mut names: Vec<_> = found.iter().map(|alert| alert["rule"].as_str().unwrap()).collect();
        names.sort_unstable();
        (names == ["kept", "logins", "quiet"]).then_some(())
    });
    wait_until("the backup is done", || {
        // It is missed again a second later.
        hub.post("/events", r#"{"type":"backup.done","payload":{}}"#);
        alerts(&hub).iter().all(|alert| alert["rule"] != "quiet").then_some(())
    });
}

#[test]
fn another_configuration_is_taken_over_while_alerts_hold() {
    let (hook, web) = (Web::start(), Web::start());
    web.says(|says| says.status = 500);
    let first = config("sqlite://data/puerto.db", &hook, json!([service("web", &web)]), json!({}));
    let hub = Hub::start(PUERTO, &first);
    assert_eq!(wait_told(&hook, 1), [only("fired", "web")]);
    let mut second = first;
    second["alerts"]["channels"]["boss"] = json!({"type": "webhook", "url": format!("{}boss", hook.url())});
    second["alerts"]["route"]["channels"] = json!(["boss"]);
    std::fs::write(hub.dir.path().join("puerto.json"), second.to_string()).unwrap();
    assert_eq!(summary(&hook.wait_for("/boss", 1)[0].json()), only("fired", "web"));
}

#[test]
fn a_history_is_played_back() {
    let hub = Hub::start(PUERTO, &json!({"tenants": {"default": {}}}));
    let history = r#"{"at": "2026-01-09T00:00:00Z", "service": {"name": "db", "state": "down"}}
        {"at": "2026-01-09T00:00:05Z", "service": {"name": "web", "state": "down", "parents": ["db"]}}
        {"at": "2026-01-09T00:10:00Z", "service": {"name": "db", "state": "ok"}}"#;
    std::fs::write(hub.dir.path().join("history.ndjson"), history).unwrap();
    let simulate = |more: &[&str]| {
        hub.command(&[&["alerts", "simulate", "history.ndjson", "--config", "puerto.json"], more].concat())
    };
    let (code, said, wrong) = simulate(&[]);
    assert_eq!(code, 0, "{wrong}");
    for part in [
        "00:00:30.000Z  to stdout: Fired, critical: db is down",
        "web (service-down): db, which it depends on, is down",
        "db is down (over after 600 s)",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let (_, said, _) = simulate(&["--json", "--after", "1m"]);
    let first: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert!(first["held"]["because"].is_string(), "{first}");
    std::fs::write(hub.dir.path().join("history.ndjson"), "{}").unwrap();
    let (code, _, wrong) = simulate(&[]);
    assert!(code == 1 && wrong.contains("line 1"), "{wrong}");
}

#[test]
fn a_budget_that_is_spent_too_fast_is_told_and_a_restart_forgets_nothing_of_it() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let (hook, web, fine) = (Web::start(), Web::start(), Web::start());
        let promising = |name: &str, web: &Web, limit: &str| {
            let mut def = service(name, web);
            (def["interval"], def["timeout"]) = (limit.into(), limit.into());
            def["objectives"] = json!([{"target": 99.9}]);
            def
        };
        // A single bad check would spend the budget of the other one: it has time to answer.
        let services = json!([promising("web", &web, "200ms"), promising("fine", &fine, "5s")]);
        let rules = json!([
            {"name": "burning", "burn": {"urgency": "page"}, "severity": "critical"},
            {"name": "at-risk", "burn": {"urgency": "ticket"}},
        ]);
        let config = config(&store, &hook, services, json!({"builtin": false, "rules": rules}));
        let hub = Hub::start(PUERTO, &config);
        wait_until("both are well", || (hub.get("/metrics").json()["healthyServices"] == 2).then_some(()));
        web.says(|says| says.status = 500);
        let asked = web.heard().len();
        wait_until("enough checks have failed", || (web.heard().len() > asked + 10).then_some(()));
        // Burn rates are read with the first samples of a hub, and then each minute.
        let hub = Hub::start_in(PUERTO, &config, hub.stop().1);
        assert_eq!(wait_told(&hook, 1), [only("fired", "web")]);
        let found = alerts(&hub);
        assert_eq!(
            (found.len(), &found[0]["rule"], &found[0]["severity"]),
            (1, &json!("burning"), &json!("critical"))
        );
        assert_eq!(found[0]["labels"]["objective"], "99.9", "{}", found[0]);
    }
}

/// Leaves in a directory what a hub has learnt of these readings, the last of which was just now.
fn learnt(dir: &Path, subject: &str, measure: Measure, readings: &[f64]) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (now, each) = (i64::try_from(now.as_millis()).unwrap(), 10_000);
    let mut detectors = Detectors::default();
    for (value, before) in readings.iter().zip((0..i64::try_from(readings.len()).unwrap()).rev()) {
        detectors.take(&(TenantId::default(), subject.into(), measure), now - before * each, *value);
    }
    std::fs::create_dir_all(dir.join("data")).unwrap();
    std::fs::write(dir.join("data/anomalies.json"), detectors.snapshot()).unwrap();
}

#[test]
fn a_tool_that_takes_longer_than_it_ever_did_is_out_of_the_ordinary() {
    let hook = Web::start();
    let dir = tempfile::TempDir::new().unwrap();
    learnt(dir.path(), "pipe.wait", Measure::Latency, &[20.0; 400]);
    let mut config = config("sqlite://data/puerto.db", &hook, json!([]), json!({}));
    config["tenants"]["default"]["servers"] =
        json!({"pipe": {"command": Fixture::program(PUERTO), "args": ["--stdio"]}});
    let hub = Hub::start_in(PUERTO, &config, dir);
    let alert = wait_until("it is found", || {
        hub.call("/mcp", "pipe__wait", json!({"ms": 500}));
        alerts(&hub).first().cloned()
    });
    assert_eq!((&alert["rule"], &alert["severity"]), (&json!("anomaly"), &json!("info")), "{alert}");
    assert_eq!(alert["summary"], "latency of pipe.wait is out of the ordinary");
    let why = alert["description"].as_str().unwrap();
    assert!(why.contains(" ms is outside of ") && why.contains("by the last half hour"), "{why}");
    assert_eq!(wait_told(&hook, 1), [only("fired", "pipe.wait")]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_leak_that_goes_on_while_the_hub_is_started_anew_is_told() {
    const MEBIBYTE: f64 = 1_048_576.0;
    let hook = Web::start();
    let dir = tempfile::TempDir::new().unwrap();
    // A day of little, and all but the last of the readings that it takes to be believed.
    let mut readings = vec![8.0 * MEBIBYTE; 26 * 360];
    readings.extend(vec![300.0 * MEBIBYTE; 29]);
    learnt(dir.path(), "heavy", Measure::Memory, &readings);
    let rules = json!([{"name": "leak", "anomaly": {"measures": ["memory"], "subjects": ["heavy"]}}]);
    let mut config =
        config("sqlite://data/puerto.db", &hook, json!([]), json!({"builtin": false, "rules": rules}));
    config["tenants"]["default"]["servers"] = json!({"heavy": heavy(PUERTO, 128)});
    let hub = Hub::start_in(PUERTO, &config, dir);
    assert_eq!(wait_told(&hook, 1), [only("fired", "heavy")]);
    let alert = hook.requests().pop().unwrap().json()["alerts"][0].clone();
    assert_eq!((&alert["labels"]["rule"], &alert["labels"]["measure"]), (&json!("leak"), &json!("memory")));
    assert!(alert["value"].as_f64() > Some(16.0 * MEBIBYTE), "{alert}");
    // What it has learnt meanwhile is kept when it stops.
    let (_, dir) = hub.stop();
    let kept = std::fs::read_to_string(dir.path().join("data/anomalies.json")).unwrap();
    assert!(Detectors::restore(&kept).is_ok() && kept.contains("this hub"), "{kept}");
}
