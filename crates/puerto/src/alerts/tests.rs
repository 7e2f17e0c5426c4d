//! Which events are judged.

use std::path::Path;

use puerto_core::Event;

use super::*;

/// Definitions of alerts whose rules each hold after so many events of a kind.
fn def(rules: &[(&str, u32)]) -> AlertsDef {
    let rule = |(kind, count): &(&str, u32)| json!({"name": kind, "events": {"type": kind, "count": count, "within": "1m"}});
    let rules: Vec<_> = rules.iter().map(rule).collect();
    serde_json::from_value(json!({"builtin": false, "rules": rules})).unwrap()
}

async fn alerts(store: &Store, def: &AlertsDef) -> Arc<Alerts> {
    let (feed, _) = Feed::start(store.clone());
    let alerts = Alerts::new(def, store.clone(), feed, Metrics::new()).await.unwrap();
    alerts.begin().await;
    alerts
}

async fn store() -> Store {
    tokio::task::spawn_blocking(|| Store::open("sqlite::memory:", Path::new(".")).unwrap()).await.unwrap()
}

async fn report(store: &Store, kind: &str, count: usize) {
    let event = || Event {
        id: puerto_core::RequestId::next().to_string(),
        source: "test".into(),
        kind: kind.into(),
        severity: Severity::Error,
        subject: None,
        time_us: None,
        payload: RawValue::from_string("{}".into()).unwrap(),
        extensions: None,
    };
    store.events_append(&TenantId::default(), (0..count).map(|_| event()).collect(), None).await.unwrap();
}

/// The rules that hold once what came was judged.
async fn holding(alerts: &Alerts) -> Vec<String> {
    alerts.keep().await.unwrap();
    let all = alerts.pipeline().alerts(None, now_ms());
    all.into_iter().map(|view| view.alert.rule).collect()
}

#[tokio::test]
async fn events_are_judged_that_come_before_anybody_looks() {
    let store = store().await;
    report(&store, "before", 2).await;
    let alerts = alerts(&store, &def(&[("before", 2), ("after", 2)])).await;
    report(&store, "after", 2).await;
    assert_eq!(holding(&alerts).await, ["after"]);
}

#[tokio::test]
async fn events_are_judged_that_a_hub_was_killed_with() {
    let (store, def) = (store().await, def(&[("bad", 3)]));
    drop(alerts(&store, &def).await);
    report(&store, "bad", 1).await;
    let killed = alerts(&store, &def).await;
    report(&store, "bad", 1).await;
    assert_eq!(holding(&killed).await, [""; 0]);
    report(&store, "bad", 1).await;
    assert_eq!(holding(&*alerts(&store, &def).await).await, ["bad"]);
}

#[tokio::test]
async fn a_rule_that_comes_later_is_about_what_comes_from_then_on() {
    for first in [&[][..], &[("another", 1)][..]] {
        for restarts in [false, true] {
            let (store, first, second) = (store().await, def(first), def(&[("late", 2), ("another", 1)]));
            let alerts = alerts(&store, &first).await;
            report(&store, "late", 2).await;
            report(&store, "another", 1).await;
            let had = !first.rules.is_empty();
            if restarts {
                drop(self::alerts(&store, &second).await);
            } else {
                alerts.adopt(&second, alerts.newest_event().await).unwrap();
                alerts.begin().await;
            }
            // It is known to the next one, however this one ends.
            let alerts = self::alerts(&store, &second).await;
            let before = Vec::from_iter(had.then_some("another"));
            assert_eq!(holding(&alerts).await, before, "what was not read is about the rule that was there");
            report(&store, "late", 1).await;
            let alerts = self::alerts(&store, &second).await;
            assert_eq!(holding(&alerts).await, before);
            report(&store, "late", 1).await;
            assert!(holding(&alerts).await.contains(&"late".into()));
        }
    }
}

#[tokio::test]
async fn a_restart_reads_few_events_again_however_many_came() {
    let store = store().await;
    let of_none = alerts(&store, &def(&[("another", 1)])).await;
    report(&store, "common", EVENTS_AHEAD as usize + 5).await;
    of_none.keep().await.unwrap();
    report(&store, "common", 5).await;
    of_none.keep().await.unwrap();
    let again = alerts(&store, &def(&[("another", 1)])).await;
    assert_eq!(again.unkept.lock().await.events, EVENTS_AHEAD + 5);
    // Another hub without rules, which judges nothing, writes nothing over it.
    let kept = store.alerts_snapshot().await.unwrap();
    let without = alerts(&store, &def(&[])).await;
    report(&store, "common", EVENTS_AHEAD as usize).await;
    without.keep().await.unwrap();
    assert_eq!(store.alerts_snapshot().await.unwrap(), kept);
}
