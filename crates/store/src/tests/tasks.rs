//! What the tables of registrations, tasks and schedules promise, on each kind of store.

use std::time::Duration;

use puerto_core::{Event, Severity};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::*;

fn task(name: &str, priority: i64) -> NewTask {
    NewTask {
        name: name.into(),
        priority,
        file: None,
        schedule: None,
        list: "[]".into(),
        total: 2,
        concurrency: 1,
        keep_going: false,
    }
}

fn item(place: i64, error: Option<&str>) -> Item {
    let error = error.map(Into::into);
    Item { place, server: "monitor".into(), action: "get_uptime".into(), error, duration_us: 5 }
}

fn ended(status: Status) -> TaskEnd {
    TaskEnd { status, error: None }
}

fn data(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

#[tokio::test]
async fn what_registers_again_is_the_same() {
    for (store, _dir) in each() {
        let (a, all) = (tenant("a"), Scope::all());
        let text = r#"{"name":"m", "n": 1.0}"#;
        let first = store.registry_save(&a, Noun::Model, "m", data(text)).await.unwrap();
        assert!(first.before.is_none());
        let again = store.registry_save(&a, Noun::Model, "m", data("{}")).await.unwrap();
        assert_eq!(again.before.unwrap().data.get(), text);
        assert_eq!(again.now.registered_us, first.now.registered_us);
        assert!(again.now.seen_us >= first.now.seen_us);
        // Another kind, another tenant: something else.
        store.registry_save(&a, Noun::Agent, "m", data("{}")).await.unwrap();
        store.registry_save(&tenant("b"), Noun::Model, "m", data("{}")).await.unwrap();
        assert_eq!(store.registry_list(&all, Noun::Model).await.unwrap().len(), 2);
        assert_eq!(store.registry_list(&Scope::tenant(a), Noun::Agent).await.unwrap().len(), 1);
        assert_eq!(store.registry_list(&Scope::tenant(tenant("c")), Noun::Agent).await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn tasks_are_taken_in_their_order_once_and_end_as_they_did() {
    for (store, _dir) in each() {
        let (a, all) = (tenant("a"), Scope::all());
        assert!(store.task_take("one").await.unwrap().is_none());
        for (name, priority) in [("low", -10), ("first", 0), ("second", 0), ("high", 10)] {
            let made = store.task_create(&a, task(name, priority)).await.unwrap();
            assert_eq!((made.status, made.tenant.as_str()), (Status::Queued, "a"));
        }
        let mut taken = Vec::new();
        for owner in ["one", "two", "one", "two"] {
            taken.push(store.task_take(owner).await.unwrap().unwrap());
        }
        assert!(store.task_take("one").await.unwrap().is_none());
        let names: Vec<_> = taken.iter().map(|row| row.task.name.as_str()).collect();
        assert_eq!(names, ["high", "first", "second", "low"]);
        let high = taken[0].id;
        store.task_items(high, vec![item(1, Some("why")), item(0, None)]).await.unwrap();
        assert!(store.task_end("two", high, ended(Status::Failed)).await.unwrap().is_none());
        let end = store.task_end("one", high, ended(Status::Failed)).await.unwrap().unwrap();
        assert_eq!((end.good, end.failed, end.status), (1, 1, Status::Failed));
        assert!(end.ended_us >= end.started_us && end.started_us >= Some(end.created_us));
        let (_, items) = store.task_read(&all, high).await.unwrap().unwrap();
        assert_eq!(items, [item(0, None), item(1, Some("why"))]);
        assert!(store.task_read(&Scope::tenant(tenant("b")), high).await.unwrap().is_none());
        let which = TaskFilter { status: Some(Status::Running), limit: 2, ..TaskFilter::default() };
        let page = store.tasks_list(&all, which.clone()).await.unwrap();
        assert_eq!(page.iter().map(|row| &*row.task.name).collect::<Vec<_>>(), ["second", "first"]);
        let rest = TaskFilter { before: Some(page[1].id), ..which };
        assert_eq!(store.tasks_list(&all, rest).await.unwrap()[0].task.name, "low");
    }
}

#[tokio::test]
async fn a_task_whose_hub_is_silent_is_interrupted_and_may_still_say_how_it_ended() {
    for (store, _dir) in each() {
        let id = store.task_create(&tenant("a"), task("t", 0)).await.unwrap().id;
        store.task_take("dead").await.unwrap().unwrap();
        assert!(store.tasks_interrupt(Duration::from_hours(1)).await.unwrap().is_empty());
        let found = store.tasks_interrupt(Duration::ZERO).await.unwrap();
        assert_eq!((found[0].id, found[0].status), (id, Status::Interrupted));
        assert!(store.task_take("me").await.unwrap().is_none(), "run twice");
        let end = store.task_end("dead", id, ended(Status::Done)).await.unwrap().unwrap();
        assert_eq!((end.status, end.error), (Status::Done, None));
    }
}

#[tokio::test]
async fn a_task_is_cancelled_as_it_is() {
    for (store, _dir) in each() {
        let (a, all) = (tenant("a"), Scope::all());
        let mut made = Vec::new();
        for name in ["one", "two"] {
            made.push(store.task_create(&a, task(name, 0)).await.unwrap().id);
        }
        store.task_take("me").await.unwrap().unwrap();
        let (before, now) = store.task_cancel(&all, made[0]).await.unwrap().unwrap();
        assert!(before == Status::Running && now.status == Status::Running && now.is_cancelling);
        assert_eq!(store.tasks_beat("me", &made).await.unwrap(), [made[0]]);
        let end = store.task_end("me", made[0], ended(Status::Cancelled)).await.unwrap().unwrap();
        assert!(!end.is_cancelling);
        let (before, now) = store.task_cancel(&all, made[1]).await.unwrap().unwrap();
        assert_eq!((before, now.status), (Status::Queued, Status::Cancelled));
        let (before, _) = store.task_cancel(&all, made[1]).await.unwrap().unwrap();
        assert_eq!(before, Status::Cancelled);
        assert!(store.task_cancel(&Scope::tenant(tenant("b")), made[0]).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn no_more_wait_than_may_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    for _ in 0..QUEUED_MAX {
        store.change(|db| crate::tasks::create(db, &tenant("a"), &task("t", 0))).await.unwrap();
    }
    let refused = store.task_create(&tenant("a"), task("t", 0)).await.unwrap_err();
    assert_eq!(puerto_core::Error::from(refused).code(), Code::Busy);
    store.task_create(&tenant("b"), task("t", 0)).await.unwrap();
    for round in 1..=10 {
        let more = format!(
            "INSERT INTO tasks SELECT id + {round}0000, tenant, name, priority, 'done', file, schedule, created, started,
             ended, total, good, failed, error, cancelling, concurrency, keep_going, owner, beat, list FROM tasks
             WHERE status = 'queued'"
        );
        assert_eq!(store.tasks_trim().await.unwrap(), 0);
        store.change(move |db| db.execute(&more, &[])).await.unwrap();
    }
    assert_eq!(store.tasks_trim().await.unwrap(), 10);
    assert_eq!(store.tasks_trim().await.unwrap(), 0);
}

#[tokio::test]
async fn a_schedule_fires_once_for_a_moment() {
    for (store, _dir) in each() {
        let a = tenant("a");
        let of = || NewTask { schedule: Some("s".into()), ..task("t", 0) };
        assert!(store.schedules_load().await.unwrap().is_empty());
        assert!(matches!(store.schedule_fire("s", 5, &a, of(), true).await.unwrap(), Fired::Made(_)));
        assert!(matches!(store.schedule_fire("s", 5, &a, of(), true).await.unwrap(), Fired::Before));
        assert!(matches!(store.schedule_fire("s", 6, &a, of(), true).await.unwrap(), Fired::Overlaps));
        assert!(matches!(store.schedule_fire("s", 7, &a, of(), false).await.unwrap(), Fired::Made(_)));
        assert_eq!(store.schedules_load().await.unwrap()["s"], 7);
        assert_eq!(store.tasks_list(&Scope::all(), TaskFilter::default()).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn what_is_cleared_is_counted_and_no_number_comes_again() {
    for (store, _dir) in each() {
        let mut newest = (0, 0);
        for of in ["a", "b"] {
            let of = tenant(of);
            let event = Event {
                id: "1".into(),
                source: "shop".into(),
                kind: "info".into(),
                severity: Severity::Info,
                subject: None,
                time_us: None,
                payload: to_raw_value(&json!({})).unwrap(),
                extensions: None,
            };
            let key = Key { name: "k".into(), digest: [0; 32] };
            newest.0 = store.events_append(&of, vec![event], Some(key)).await.unwrap().kept[0].seq;
            newest.1 = store.task_create(&of, task("t", 0)).await.unwrap().id;
            store.registry_save(&of, Noun::Agent, "m", data("{}")).await.unwrap();
            store.audit_append(vec![draft(of.as_str(), "s", "x")]);
        }
        let a = Scope::tenant(tenant("a"));
        let one = Contents { events: 1, tasks: 1, registrations: 1 };
        assert_eq!(store.context_count(&a).await.unwrap(), one);
        assert_eq!(store.context_clear(&a).await.unwrap(), one);
        assert_eq!(store.context_count(&a).await.unwrap(), Contents::default());
        store.task_take("me").await.unwrap().unwrap();
        // What runs goes on.
        let rest = Contents { tasks: 0, ..one };
        assert_eq!(store.context_count(&Scope::all()).await.unwrap(), rest);
        assert_eq!(store.context_clear(&Scope::all()).await.unwrap(), rest);
        store.task_end("me", newest.1, ended(Status::Done)).await.unwrap().unwrap();
        assert_eq!(store.context_clear(&Scope::all()).await.unwrap().tasks, 1);
        assert_eq!(objects(&store, &Scope::all(), AuditFilter::default()).await.len(), 2);
        assert!(store.task_create(&tenant("a"), task("t", 0)).await.unwrap().id > newest.1);
    }
}
