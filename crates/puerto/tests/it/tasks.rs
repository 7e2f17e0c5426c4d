//! The registry, tasks and the context: what registers is there, what is asked for runs once and tells how it ended.

use puerto_testkit::{Fixture, Hub, postgres, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PUERTO;

fn config(store: &str) -> Value {
    json!({
        "tenants": {"default": {"servers": {"monitor": {"builtin": "monitor"}}}, "acme": {}},
        "store": {"url": store},
        "tasks": {"dir": "lists", "concurrency": 1},
    })
}

/// A directory with saved lists.
fn lists() -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("lists")).unwrap();
    let list =
        json!([{"type": "monitor", "action": "get_uptime"}, {"type": "monitor", "action": "get_metrics"}]);
    std::fs::write(dir.path().join("lists/nightly.json"), list.to_string()).unwrap();
    std::fs::write(dir.path().join("lists/servers.json"), "{}").unwrap();
    dir
}

fn each() -> impl Iterator<Item = Hub> {
    ["sqlite://data/puerto.db".to_owned(), postgres()].into_iter().map(|store| {
        let hub = Hub::start_in(PUERTO, &config(&store), lists());
        hub.wait_for("default:monitor", "ready");
        hub
    })
}

/// Asks for a task; answers its number.
fn post(hub: &Hub, body: Value) -> i64 {
    let answer = hub.post("/tasks", &body.to_string());
    assert_eq!((answer.status, &answer.json()["status"]), (201, &json!("queued")), "{}", answer.body);
    answer.json()["id"].as_i64().unwrap()
}

fn read(hub: &Hub, id: i64) -> Value {
    hub.get(&format!("/tasks/{id}")).json()
}

fn wait(hub: &Hub, id: i64, status: &str) -> Value {
    wait_until(&format!("task {id} is {status}; it is {}", read(hub, id)), || {
        Some(read(hub, id)).filter(|task| task["status"] == status)
    })
}

fn told(hub: &Hub, kind: &str) -> Value {
    wait_until(&format!("{kind} is told"), || {
        hub.get(&format!("/events?type={kind}")).json().pointer("/events/0").cloned()
    })
}

#[test]
fn what_registers_is_in_the_context_of_its_tenant() {
    for hub in each() {
        let body = json!({"type": "agent", "data": {"name": "bot", "model": "m", "n": 1}}).to_string();
        let first = hub.post("/register", &body);
        assert_eq!((first.status, &first.json()["status"]), (201, &json!("online")), "{}", first.body);
        let again = hub.post("/register", &body);
        assert_eq!((again.status, &again.json()["registered_at"]), (200, &first.json()["registered_at"]));
        let model = json!({"type": "model", "data": {"id": "m", "status": "loaded"}}).to_string();
        assert_eq!(hub.post("/register?tenant=acme", &model).json()["tenant"], "acme");
        let all = hub.get("/context").json();
        assert_eq!((&all["agents"][0]["model"], &all["agents"][0]["n"]), (&json!("m"), &json!(1)));
        assert_eq!(all["models"][0]["status"], "loaded");
        let acme = hub.get("/context?tenant=acme").json();
        assert_eq!((&acme["agents"], &acme["models"][0]["id"]), (&json!([]), &json!("m")));
        for name in ["tasks", "audit", "events"] {
            assert!(acme[name].is_array(), "{acme}");
        }
        assert_eq!(told(&hub, "agent.registered")["subject"], "bot");
        told(&hub, "model.registered");
        // A heartbeat is no news.
        let events = hub.get("/events?type=agent.registered").json();
        assert_eq!(events["events"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn bad_bodies_are_refused_with_the_field_named() {
    for hub in each() {
        let long = "x".repeat(300);
        for (path, body, status, named) in [
            ("/register", json!({}), 400, "type"),
            ("/register", json!({"type": "robot", "data": {}}), 400, "type:"),
            ("/register", json!({"type": "agent"}), 400, "data"),
            ("/register", json!({"type": "agent", "data": []}), 400, "data: must be an object"),
            ("/register", json!({"type": "agent", "data": {}}), 400, "data.name: is missing"),
            ("/register", json!({"type": "agent", "data": {"name": 7}}), 400, "data:"),
            ("/register", json!({"type": "agent", "data": {"id": long}}), 400, "data.id:"),
            ("/register", json!({"type": "agent", "data": {"name": "a"}, "more": 1}), 400, "more"),
            (
                "/register",
                json!({"type": "agent", "data": {"name": "a", "x": "x".repeat(70_000)}}),
                413,
                "limit",
            ),
            ("/tasks", json!({}), 400, "name"),
            ("/tasks", json!({"name": ""}), 400, "name:"),
            ("/tasks", json!({"name": "nightly", "priority": "urgent"}), 400, "priority:"),
            ("/tasks", json!({"name": "nightly", "priority": 1000}), 400, "priority:"),
            ("/tasks", json!({"name": "nightly", "concurrency": 0}), 400, "concurrency:"),
            ("/tasks", json!({"name": "nightly", "keep_going": "yes"}), 400, "keep_going:"),
            ("/tasks", json!({"name": "x", "tasks": [{"type": "monitor"}]}), 400, "tasks:"),
            ("/tasks", json!({"name": "x", "list": []}), 400, "list"),
            ("/tasks", json!({"name": "servers"}), 400, "servers.json"),
            ("/tasks", json!({"name": "daily", "priority": "high"}), 404, "lists there: nightly.json"),
            ("/tasks", json!({"name": "../puerto"}), 404, "lists there: nightly.json"),
            ("/clear", json!({"confirm": "yes"}), 400, "confirm:"),
            ("/clear", json!({}), 400, "registrations of all tenants; nothing was deleted"),
        ] {
            let answer = hub.post(path, &body.to_string());
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(answer.status == status && detail.contains(named), "{path} {body}: {}", answer.body);
        }
        for path in
            ["/tasks?status=late", "/tasks?limit=all", "/tasks/x", "/tasks/99", "/context?tenant=none"]
        {
            assert!(matches!(hub.get(path).status, 400 | 404), "{path}");
        }
        assert_eq!(hub.post("/tasks/99/cancel", "").status, 404);
        assert_eq!(hub.get("/tasks").json()["tasks"], json!([]));
    }
}

#[test]
fn a_task_runs_and_its_real_outcome_is_kept() {
    for hub in each() {
        let saved = post(&hub, json!({"name": "nightly", "priority": "high"}));
        let done = wait(&hub, saved, "done");
        assert_eq!((&done["file"], &done["priority"]), (&json!("nightly.json"), &json!("high")));
        assert_eq!((&done["good"], &done["items"][1]["action"]), (&json!(2), &json!("get_metrics")));
        assert!(done["items"][0]["duration_ms"].as_f64().unwrap() > 0.0, "{done}");
        let list = json!([
            {"type": "monitor", "action": "get_uptime"},
            {"type": "nobody", "action": "x"},
            {"type": "monitor", "action": "get_uptime"},
        ]);
        let given = post(&hub, json!({"name": "given", "tasks": list, "priority": 7}));
        let failed = wait(&hub, given, "failed");
        assert_eq!(
            (&failed["error"], &failed["priority"]),
            (&json!("1 done, 1 failed, 1 not begun"), &json!(7))
        );
        assert!(failed["items"][1]["error"].as_str().unwrap().contains("nobody"), "{failed}");
        assert!(failed["file"].is_null());
        let on = post(&hub, json!({"name": "given", "tasks": list, "keep_going": true, "concurrency": 3}));
        assert_eq!(wait(&hub, on, "failed")["good"], 2);
        let page = hub.get("/tasks?limit=2").json();
        assert_eq!((&page["tasks"][0]["id"], &page["next"]), (&json!(on), &json!(given)));
        assert_eq!(hub.get(&format!("/tasks?before={given}")).json()["tasks"][0]["id"], saved);
        assert_eq!(hub.get("/tasks?status=done").json()["tasks"].as_array().unwrap().len(), 1);
        assert_eq!(hub.get("/tasks?tenant=acme").json()["tasks"], json!([]));
        assert_eq!(hub.get(&format!("/tasks/{saved}?tenant=acme")).status, 404);
        assert_eq!(told(&hub, "task.done")["payload"]["good"], 2);
        assert_eq!(told(&hub, "task.failed")["severity"], "error");
        told(&hub, "task.started");
        // What it called was called by the task, and asked for by a person.
        let acts =
            |action: &str| hub.get(&format!("/audit?action={action}")).json()["audit"][0]["actor"].clone();
        wait_until("all is recorded", || (acts("task.run") == "task").then_some(()));
        assert_eq!((acts("tools/call"), acts("task.create")), (json!("task"), json!("local")));
    }
}

/// A hub whose tasks take as long as they are told to.
fn slow(fixture: &Fixture, store: &str, dir: TempDir) -> Hub {
    let mut config = config(store);
    config["tenants"]["default"]["servers"] = json!({"slow": {"url": fixture.url}});
    let hub = Hub::start_in(PUERTO, &config, dir);
    hub.wait_for("default:slow", "ready");
    hub
}

fn waiting(name: &str, ms: u64, priority: i64) -> Value {
    let items = [0, ms].map(|ms| json!({"type": "slow", "action": "wait", "params": {"ms": ms}}));
    json!({"name": name, "priority": priority, "tasks": items})
}

#[test]
fn tasks_wait_in_their_order_and_are_cancelled() {
    let fixture = Fixture::start(PUERTO, "both");
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let hub = slow(&fixture, &store, lists());
        let first = post(&hub, waiting("first", 600_000, 0));
        wait(&hub, first, "running");
        let (low, high) = (post(&hub, waiting("low", 0, -1)), post(&hub, waiting("high", 0, 1)));
        let never = post(&hub, waiting("never", 0, 50));
        let cancel = |id: i64| hub.post(&format!("/tasks/{id}/cancel"), "");
        assert_eq!(cancel(never).json()["status"], "cancelled");
        assert_eq!((cancel(never).status, read(&hub, low)["status"].clone()), (409, json!("queued")));
        wait_until("the first item has ended", || (read(&hub, first)["good"] == 1).then_some(()));
        let answer = cancel(first);
        assert_eq!((answer.status, &answer.json()["cancelling"]), (200, &json!(true)), "{}", answer.body);
        wait(&hub, first, "cancelled");
        let (low, high) = (wait(&hub, low, "done"), wait(&hub, high, "done"));
        assert!(high["started_at"].as_i64() <= low["started_at"].as_i64(), "{high} {low}");
        assert!(read(&hub, never)["started_at"].is_null());
        assert_eq!(told(&hub, "task.cancelled")["source"], "puerto");
    }
}

/// What was answered is there after the hub was killed: what waited runs, what ran is not run again.
#[test]
fn a_killed_hub_runs_what_waited_and_nothing_twice() {
    let fixture = Fixture::start(PUERTO, "both");
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let hub = slow(&fixture, &store, lists());
        let running = post(&hub, waiting("running", 600_000, 0));
        let queued: Vec<_> = (0..5).map(|n| post(&hub, waiting(&format!("queued {n}"), 0, n))).collect();
        wait_until("the first item has ended", || (read(&hub, running)["good"] == 1).then_some(()));
        let done =
            std::process::Command::new("kill").args(["-KILL", &hub.process.pid().to_string()]).status();
        assert!(done.unwrap().success());
        let Hub { dir, process, .. } = hub;
        drop(process);
        let hub = slow(&fixture, &store, dir);
        for id in queued {
            let task = wait(&hub, id, "done");
            assert_eq!((&task["good"], task["items"].as_array().unwrap().len()), (&json!(2), 2));
        }
        let task = wait(&hub, running, "interrupted");
        assert_eq!((&task["good"], task["items"].as_array().unwrap().len()), (&json!(1), 1), "{task}");
        assert!(task["error"].as_str().unwrap().contains("not run again"), "{task}");
        assert_eq!(told(&hub, "task.interrupted")["subject"], "running");
        // One that is stopped says so at once.
        let stopped = post(&hub, waiting("stopped", 600_000, 0));
        wait(&hub, stopped, "running");
        let (code, dir) = hub.stop();
        assert_eq!(code, Some(0));
        let hub = slow(&fixture, &store, dir);
        assert_eq!(read(&hub, stopped)["status"], "interrupted");
    }
}

#[test]
fn clearing_needs_a_word_and_leaves_the_audit() {
    for hub in each() {
        for tenant in ["default", "acme"] {
            hub.post(&format!("/events?tenant={tenant}"), r#"{"type":"order"}"#);
            let body = json!({"type": "agent", "data": {"name": "bot"}}).to_string();
            hub.post(&format!("/register?tenant={tenant}"), &body);
        }
        told(&hub, "agent.registered");
        let id = post(&hub, json!({"name": "nightly"}));
        wait(&hub, id, "done");
        told(&hub, "task.done");
        let newest = hub.get("/events?limit=1").json()["events"][0]["seq"].as_i64().unwrap();
        let refused = hub.post("/clear?tenant=acme", "");
        assert!(
            refused.status == 400 && refused.body.contains("0 tasks and 1 registrations of tenant"),
            "{refused:?}"
        );
        let cleared = hub.post("/clear?tenant=acme", r#"{"confirm":true}"#);
        assert_eq!((cleared.status, &cleared.json()["cleared"]["registrations"]), (200, &json!(1)));
        assert_eq!(hub.get("/context").json()["agents"].as_array().unwrap().len(), 1);
        assert_eq!(hub.get("/events?type=order").json()["events"].as_array().unwrap().len(), 1);
        let cleared = hub.post("/clear", r#"{"confirm":true}"#).json();
        assert_eq!(
            (&cleared["cleared"]["tasks"], &cleared["cleared"]["registrations"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(hub.get("/context").json()["agents"], json!([]));
        let event = told(&hub, "context.cleared");
        assert!(event["seq"].as_i64().unwrap() > newest, "{event} after {newest}");
        let recorded = wait_until("it is recorded", || {
            let found = hub.get("/audit?action=context.clear").json();
            let ended = found["audit"].as_array()?.iter().filter(|record| record.get("outcome").is_some());
            let ended: Vec<_> = ended.cloned().collect();
            (ended.len() >= 3).then_some(ended)
        });
        assert_eq!(recorded[0]["outcome"], "ok");
        assert_ne!(hub.get("/audit?action=task.create").json()["audit"], json!([]));
        assert!(post(&hub, json!({"name": "nightly"})) > id, "a number was given twice");
    }
}

#[test]
fn schedules_fire_in_real_time_and_leave_out_what_overlaps() {
    let fixture = Fixture::start(PUERTO, "both");
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let dir = lists();
        let slow = json!([{"type": "slow", "action": "wait", "params": {"ms": 600_000}}]);
        std::fs::write(dir.path().join("lists/slow.json"), slow.to_string()).unwrap();
        let every = |task: &str| json!({"cron": "* * * * * *", "task": task});
        let mut config = config(&store);
        config["tenants"]["default"]["servers"]["slow"] = json!({"url": fixture.url});
        config["tasks"]["concurrency"] = 4.into();
        config["tasks"]["schedules"] = json!({
            "quick": every("nightly"), "long": every("slow"), "gone": every("nowhere"),
            "off": {"cron": "* * * * * *", "task": "nightly", "enabled": false},
        });
        let hub = Hub::start_in(PUERTO, &config, dir);
        hub.wait_for("default:slow", "ready");
        let of = |schedule: &str| -> Vec<Value> {
            let tasks = hub.get("/tasks?limit=1000").json()["tasks"].as_array().cloned().unwrap();
            tasks.into_iter().filter(|task| task["schedule"] == schedule).collect()
        };
        let done = wait_until("three are done", || {
            let done: Vec<_> = of("quick").into_iter().filter(|task| task["status"] == "done").collect();
            (done.len() >= 3).then_some(done)
        });
        let created = |n: usize| done[n]["created_at"].as_i64().unwrap();
        assert!(created(0) - created(2) >= 1_000, "{done:?}");
        let skipped = wait_until("what overlaps is left out", || {
            let found = hub.get("/events?type=schedule.skipped&subject=long").json();
            found.pointer("/events/0").cloned()
        });
        assert!(skipped["payload"]["why"].as_str().unwrap().contains("not over"), "{skipped}");
        assert_eq!((of("long").len(), of("off").len()), (1, 0));
        let failed = told(&hub, "schedule.failed");
        assert!(failed["payload"]["why"].as_str().unwrap().contains("nowhere"), "{failed}");
        wait_until("it is recorded", || {
            (hub.get("/audit?action=task.create").json()["audit"][0]["actor"] == "schedule").then_some(())
        });
    }
}

#[test]
fn what_was_missed_without_a_hub_is_caught_up_where_that_is_wanted() {
    let mut config = config("sqlite://data/puerto.db");
    let yearly = |catch_up: &str| json!({"cron": "0 0 1 1 *", "task": "nightly", "catch_up": catch_up});
    config["tasks"]["schedules"] =
        json!({"last": yearly("last"), "none": yearly("none"), "new": yearly("last")});
    let (_, dir) = Hub::start_in(PUERTO, &config, lists()).stop();
    let db = rusqlite::Connection::open(dir.path().join("data/puerto.db")).unwrap();
    db.execute("INSERT INTO schedules VALUES ('last', 1), ('none', 1)", []).unwrap();
    drop(db);
    let hub = Hub::start_in(PUERTO, &config, dir);
    let all = |hub: &Hub| hub.get("/tasks").json()["tasks"].as_array().cloned().unwrap();
    let tasks = wait_until("what was missed is done", || {
        Some(all(&hub)).filter(|tasks| tasks.iter().any(|task| task["status"] == "done"))
    });
    assert_eq!((tasks.len(), &tasks[0]["schedule"]), (1, &json!("last")));
    // It is done once, also over the next start.
    let (_, dir) = hub.stop();
    let hub = Hub::start_in(PUERTO, &config, dir);
    let id = post(&hub, json!({"name": "nightly"}));
    wait(&hub, id, "done");
    assert_eq!(all(&hub).len(), 2);
}
