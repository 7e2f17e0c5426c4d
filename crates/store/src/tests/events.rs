//! What the table of events promises, on each kind of store.

use puerto_core::def::KeepDef;
use puerto_core::{Event, Severity};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;

fn event(id: impl std::fmt::Display, kind: &str) -> Event {
    Event {
        id: id.to_string(),
        source: "shop".into(),
        kind: kind.into(),
        severity: Severity::named(kind).unwrap_or(Severity::Info),
        subject: None,
        time_us: None,
        payload: to_raw_value(&json!({"Text": format!("number {id}")})).unwrap(),
        extensions: None,
    }
}

async fn ids(store: &Store, which: EventFilter) -> Vec<String> {
    let rows = store.events_list(&Scope::all(), which).await.unwrap();
    rows.into_iter().map(|row| row.event.id).collect()
}

#[tokio::test]
async fn events_come_back_as_they_were_kept() {
    for (store, _dir) in each() {
        let mut full = event(1, "error");
        full.subject = Some("order 1".into());
        full.time_us = Some(5);
        full.payload = serde_json::from_str(r#"{"b": 1.0, "a":18446744073709551616}"#).unwrap();
        full.extensions = Some(to_raw_value(&json!({"trace": "t"})).unwrap());
        let appended = store.events_append(&tenant("a"), vec![full, event(2, "info")], None).await.unwrap();
        assert!(appended.kept.iter().all(|kept| kept.is_new) && !appended.is_repeated);
        let rows = store.events_list(&Scope::tenant(tenant("a")), EventFilter::default()).await.unwrap();
        let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, [appended.kept[1].seq, appended.kept[0].seq]);
        let shown = serde_json::to_string(&rows[1]).unwrap();
        let at = appended.kept[0].at_us / 1000;
        let expected = format!(
            r#"{{"seq":{},"id":"1","type":"error","severity":"error","source":"shop","subject":"order 1","tenant":"a","timestamp":{at},"time":0,"payload":{{"b": 1.0, "a":18446744073709551616}},"extensions":{{"trace":"t"}}}}"#,
            seqs[1]
        );
        assert_eq!(shown, expected);
        assert!(
            store.events_list(&Scope::tenant(tenant("b")), EventFilter::default()).await.unwrap().is_empty()
        );
        assert_eq!(store.events_count(&Scope::all()).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn an_event_that_comes_again_is_kept_once() {
    for (store, _dir) in each() {
        let a = tenant("a");
        let first = store.events_append(&a, vec![event(1, "info")], None).await.unwrap().kept[0];
        let again = store.events_append(&a, vec![event(2, "info"), event(1, "error")], None).await.unwrap();
        assert_eq!(again.kept[1], Kept { is_new: false, ..first });
        assert!(again.kept[0].is_new);
        // The same names mean another event to another tenant.
        assert!(
            store.events_append(&tenant("b"), vec![event(1, "info")], None).await.unwrap().kept[0].is_new
        );
        assert_eq!(ids(&store, EventFilter::default()).await, ["1", "2", "1"]);
    }
}

#[tokio::test]
async fn a_request_that_comes_again_gets_its_answer_again() {
    for (store, _dir) in each() {
        let key = |digest| Some(Key { name: "k".into(), digest: [digest; 32] });
        let a = tenant("a");
        let first = store.events_append(&a, vec![event(1, "info"), event(2, "info")], key(1)).await.unwrap();
        let again = store.events_append(&a, vec![event(8, "info"), event(9, "info")], key(1)).await.unwrap();
        assert!(again.is_repeated);
        let seqs =
            |appended: &Appended| appended.kept.iter().map(|kept| (kept.seq, kept.at_us)).collect::<Vec<_>>();
        assert_eq!(seqs(&first), seqs(&again));
        let other = store.events_append(&a, vec![event(3, "info")], key(2)).await.unwrap_err();
        assert_eq!(other, StoreError::KeyReused { key: "k".into() });
        assert_eq!(puerto_core::Error::from(other).code(), Code::Conflict);
        assert_eq!(ids(&store, EventFilter::default()).await, ["2", "1"]);
    }
}

#[tokio::test]
async fn events_page_and_filter() {
    for (store, _dir) in each() {
        let kinds = ["info", "warning", "error", "order.paid", "order.sent", "orders"];
        let all: Vec<_> = (0..12).map(|n| event(n, kinds[n % 6])).collect();
        let seqs: Vec<_> = store
            .events_append(&tenant("a"), all, None)
            .await
            .unwrap()
            .kept
            .iter()
            .map(|kept| kept.seq)
            .collect();
        let base = EventFilter::default();
        let page = |limit, before, after| EventFilter { limit, before, after, ..base.clone() };
        assert_eq!(ids(&store, page(3, None, None)).await, ["11", "10", "9"]);
        assert_eq!(ids(&store, page(2, Some(seqs[9]), None)).await, ["8", "7"]);
        assert_eq!(ids(&store, page(2, None, Some(seqs[3]))).await, ["4", "5"]);
        let of = |kinds: &[&str]| EventFilter {
            kinds: kinds.iter().map(ToString::to_string).collect(),
            ..base.clone()
        };
        assert_eq!(ids(&store, of(&["order.*"])).await, ["10", "9", "4", "3"]);
        assert_eq!(ids(&store, of(&["orders", "error"])).await, ["11", "8", "5", "2"]);
        assert_eq!(ids(&store, of(&["*"])).await.len(), 12);
        assert_eq!(
            ids(&store, EventFilter { severity: Some(Severity::Warning), ..base.clone() }).await,
            ["8", "7", "2", "1"]
        );
        assert_eq!(
            ids(&store, EventFilter { text: Some("NUMBER 1".into()), ..base.clone() }).await,
            ["11", "10", "1"]
        );
        assert!(ids(&store, EventFilter { text: Some("number_".into()), ..base.clone() }).await.is_empty());
        assert!(ids(&store, EventFilter { source: Some("other".into()), ..base.clone() }).await.is_empty());
        assert!(ids(&store, EventFilter { until_us: Some(1), ..base.clone() }).await.is_empty());
        assert_eq!(ids(&store, EventFilter { since_us: Some(1), limit: 1, ..base }).await, ["11"]);
    }
}

#[tokio::test]
async fn news_are_told_after_they_are_kept() {
    for (store, _dir) in each() {
        let mut news = store.events_news();
        let kept = store.events_append(&tenant("a"), vec![event(1, "info")], None).await.unwrap().kept[0];
        news.changed().await.unwrap();
        assert_eq!(*news.borrow_and_update(), kept.seq);
        store.events_append(&tenant("a"), vec![event(1, "info")], None).await.unwrap();
        assert!(!news.has_changed().unwrap());
    }
}

#[tokio::test]
async fn old_events_go_and_numbers_are_never_given_twice() {
    for (store, _dir) in each() {
        let a = tenant("a");
        for n in 0..5 {
            let batch = (0..1_000).map(|i| event(n * 1_000 + i, "info")).collect();
            store.events_append(&a, batch, None).await.unwrap();
        }
        let none = KeepDef { days: 0, rows: 0, megabytes: 0 };
        assert_eq!(store.events_trim(&none).await.unwrap(), 0);
        assert_eq!(store.events_trim(&KeepDef { days: 1, ..none.clone() }).await.unwrap(), 0);
        assert_eq!(store.events_trim(&KeepDef { rows: 700, ..none.clone() }).await.unwrap(), 4_300);
        assert_eq!(
            ids(&store, EventFilter { after: Some(0), limit: 1, ..EventFilter::default() }).await,
            ["4300"]
        );
        let newest = store.events_newest().await.unwrap();
        store.change(|db| db.execute("UPDATE events SET at = 1", &[])).await.unwrap();
        assert_eq!(store.events_trim(&KeepDef { days: 1, ..none.clone() }).await.unwrap(), 700);
        assert_eq!((store.events_oldest().await.unwrap(), store.events_newest().await.unwrap()), (None, 0));
        let next = store.events_append(&a, vec![event(1, "info")], None).await.unwrap().kept[0].seq;
        assert!(next > newest, "{next} after {newest}");
        assert_eq!(store.events_newest().await.unwrap(), next);
        let large = Event { payload: to_raw_value(&"x".repeat(50_000)).unwrap(), ..event(2, "info") };
        for n in 0..50 {
            let large = Event { id: format!("large {n}"), ..large.clone() };
            store.events_append(&a, vec![large], None).await.unwrap();
        }
        let gone = store.events_trim(&KeepDef { megabytes: 1, ..none }).await.unwrap();
        assert!((29..=32).contains(&gone), "{gone}");
    }
}

#[tokio::test]
async fn the_number_of_all_events_is_known_without_counting_them() {
    for (store, _dir) in each() {
        assert_eq!((store.events_total().await.unwrap(), store.audit_total().await.unwrap()), (0, 0));
        let many = |ids: std::ops::Range<i32>| ids.map(|id| event(id, "info")).collect::<Vec<_>>();
        store.events_append(&tenant("a"), many(0..30), None).await.unwrap();
        assert_eq!(store.events_total().await.unwrap(), 30);
        // Ten of these are there already.
        store.events_append(&tenant("a"), many(20..40), None).await.unwrap();
        store.events_append(&tenant("b"), many(0..5), None).await.unwrap();
        assert_eq!((store.events_total().await.unwrap(), store.events_ingested()), (45, 45));
        store.events_trim(&KeepDef { rows: 12, ..KeepDef::default() }).await.unwrap();
        assert_eq!(store.events_total().await.unwrap(), 12);
        assert_eq!(store.events_total().await.unwrap(), store.events_count(&Scope::all()).await.unwrap());
        store.audit_append(vec![Draft::of(record("a", "s", "t"), Phase::Act)]);
        store.flush().await.unwrap();
        assert_eq!((store.audit_total().await.unwrap(), store.waiting()), (1, 0));
    }
}
