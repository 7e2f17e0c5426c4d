//! What the outbox of alerts promises, on each kind of store.

use super::*;

const SECOND: i64 = 1_000_000;

/// How long a hub holds what it sends.
fn hold() -> Duration {
    Duration::from_secs(60)
}

/// A notice of a tenant for the channel `chat`.
fn notice(of: &str, key: &str, group: &str) -> NewNotice {
    NewNotice {
        key: key.into(),
        tenant: tenant(of),
        channel: "chat".into(),
        group: group.into(),
        document: format!(r#"{{"key":"{key}"}}"#),
        decided_us: 100 * SECOND,
    }
}

fn keys(rows: &[NoticeRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

async fn list(store: &Store, which: NoticeFilter) -> Vec<NoticeRow> {
    store.notices_list(&Scope::all(), which).await.unwrap()
}

#[tokio::test]
async fn what_is_decided_is_kept_once_and_with_its_state() {
    for (store, _dir) in each() {
        assert_eq!(store.alerts_snapshot().await.unwrap(), None);
        let new = store.alerts_decide("one", vec![notice("a", "k1", "g"), notice("a", "k2", "h")]).await;
        assert_eq!(new.unwrap(), 2);
        assert!(store.notice_sent("k1").await.unwrap());
        // The same decision made again, as after a restart: what was sent stays so.
        let again = vec![notice("a", "k1", "g"), notice("a", "k3", "g")];
        assert_eq!(store.alerts_decide("two", again).await.unwrap(), 1);
        assert_eq!(store.alerts_snapshot().await.unwrap().as_deref(), Some("two"));
        let rows = list(&store, NoticeFilter::default()).await;
        assert_eq!(keys(&rows), ["k3", "k2", "k1"]);
        assert_eq!(
            (rows[2].state, rows[2].attempts, rows[2].document.as_str()),
            (NoticeState::Sent, 1, r#"{"key":"k1"}"#)
        );
        assert!(rows[2].ended_us.is_some() && rows[1].ended_us.is_none());
        assert_eq!(
            (rows[1].decided_us, rows[1].since_us, rows[1].next_us),
            (100 * SECOND, 100 * SECOND, 100 * SECOND)
        );
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_whole() {
    for (store, _dir) in each() {
        store.alerts_decide("one", Vec::new()).await.unwrap();
        let mut large = notice("a", "k2", "g");
        large.document = "x".repeat(NOTICE_BYTES_MAX + 1);
        let refused = store.alerts_decide("two", vec![notice("a", "k1", "g"), large]).await.unwrap_err();
        assert_eq!(puerto_core::Error::from(refused).code(), Code::TooLarge);
        assert_eq!(store.alerts_snapshot().await.unwrap().as_deref(), Some("one"));
        assert!(list(&store, NoticeFilter::default()).await.is_empty());
    }
}

#[tokio::test]
async fn a_notice_is_held_by_one_and_let_go_when_its_holder_is_silent() {
    for (store, _dir) in each() {
        let all = vec![notice("a", "k1", "g"), notice("a", "k2", "h"), notice("b", "k3", "g")];
        store.alerts_decide("", all).await.unwrap();
        assert!(store.notices_due(99 * SECOND, hold(), 9).await.unwrap().is_empty(), "before its time");
        let now = 100 * SECOND;
        assert_eq!(keys(&store.notices_due(now, hold(), 2).await.unwrap()), ["k1", "k2"]);
        assert_eq!(keys(&store.notices_due(now, hold(), 2).await.unwrap()), ["k3"]);
        assert!(store.notices_due(now + 59 * SECOND, hold(), 2).await.unwrap().is_empty());
        assert!(store.notice_sent("k2").await.unwrap());
        // Its hub died.
        let later = store.notices_due(now + 60 * SECOND, hold(), 9).await.unwrap();
        assert_eq!((keys(&later), later[0].attempts), (vec!["k1", "k3"], 0));
    }
}

#[tokio::test]
async fn two_hubs_take_each_notice_once() {
    let dir = tempfile::tempdir().unwrap();
    let url = postgres();
    let (one, two) = (Store::open(&url, dir.path()).unwrap(), Store::open(&url, dir.path()).unwrap());
    let all = (0..100).map(|n| notice("a", &format!("k{n:02}"), &format!("g{n}"))).collect();
    one.alerts_decide("", all).await.unwrap();
    let take = async |store: &Store| {
        let mut taken = Vec::new();
        loop {
            match &store.notices_due(100 * SECOND, hold(), 7).await.unwrap()[..] {
                [] => return taken,
                some => taken.extend(some.iter().map(|notice| notice.key.clone())),
            }
        }
    };
    let (mut taken, other) = tokio::join!(take(&one), take(&two));
    taken.extend(other);
    taken.sort();
    assert_eq!(taken, (0..100).map(|n| format!("k{n:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_notices_of_a_group_leave_in_their_order() {
    for (store, _dir) in each() {
        let other = NewNotice { channel: "mail".into(), ..notice("a", "k3", "g") };
        let all = vec![notice("a", "k1", "g"), notice("a", "k2", "g"), other, notice("b", "k4", "g")];
        store.alerts_decide("", all).await.unwrap();
        let (now, later) = (100 * SECOND, 500 * SECOND);
        assert_eq!(keys(&store.notices_due(now, hold(), 9).await.unwrap()), ["k1", "k3", "k4"]);
        for key in ["k3", "k4"] {
            store.notice_sent(key).await.unwrap();
        }
        assert!(store.notice_later("k1", later, Some("503")).await.unwrap());
        assert!(store.notices_due(now + SECOND, hold(), 9).await.unwrap().is_empty(), "overtaken");
        let due = store.notices_due(later, hold(), 1).await.unwrap();
        assert_eq!((keys(&due), due[0].attempts, due[0].error.as_deref()), (vec!["k1"], 1, Some("503")));
        assert!(store.notice_dead("k1", "410").await.unwrap());
        assert_eq!(
            keys(&store.notices_due(now, hold(), 9).await.unwrap()),
            ["k2"],
            "what was given up holds nobody up"
        );
        // Put off without an attempt, as by a limit.
        assert!(store.notice_later("k2", now + SECOND, None).await.unwrap());
        let due = store.notices_due(now + SECOND, hold(), 9).await.unwrap();
        assert_eq!((keys(&due), due[0].attempts), (vec!["k2"], 0));
    }
}

#[tokio::test]
async fn what_was_given_up_waits_again_when_somebody_says_so() {
    for (store, _dir) in each() {
        store.alerts_decide("", vec![notice("a", "k1", "g")]).await.unwrap();
        let (a, b, now) = (Scope::tenant(tenant("a")), Scope::tenant(tenant("b")), 900 * SECOND);
        assert_eq!(store.notice_again(&a, "k1", now).await.unwrap(), None, "it waits");
        assert!(store.notice_dead("k1", "no such chat").await.unwrap());
        assert!(
            !store.notice_dead("k1", "again").await.unwrap()
                && !store.notice_later("k1", 0, None).await.unwrap()
        );
        let dead = store.notice_read(&a, "k1").await.unwrap().unwrap();
        assert_eq!(
            (dead.state, dead.error.as_deref(), dead.attempts),
            (NoticeState::Dead, Some("no such chat"), 1)
        );
        assert!(dead.ended_us.is_some());
        assert_eq!(store.notice_read(&b, "k1").await.unwrap(), None);
        assert_eq!(store.notice_again(&b, "k1", now).await.unwrap(), None, "another tenant's");
        let again = store.notice_again(&a, "k1", now).await.unwrap().unwrap();
        assert_eq!(
            (again.state, again.attempts, again.since_us, again.ended_us),
            (NoticeState::Waiting, 0, now, None)
        );
        assert_eq!(keys(&store.notices_due(now, hold(), 9).await.unwrap()), ["k1"]);
        assert!(store.notice_sent("k1").await.unwrap() && !store.notice_sent("k1").await.unwrap());
    }
}

#[tokio::test]
async fn notices_page_filter_and_count_within_their_scope() {
    for (store, _dir) in each() {
        let mut all: Vec<_> = (1..=4).map(|n| notice(["a", "b"][n % 2], &format!("k{n}"), "g")).collect();
        all[3].channel = "mail".into();
        store.alerts_decide("", all).await.unwrap();
        store.notice_sent("k1").await.unwrap();
        let page = list(&store, NoticeFilter { limit: 3, ..NoticeFilter::default() }).await;
        assert_eq!(keys(&page), ["k4", "k3", "k2"]);
        let rest = NoticeFilter { before: Some(page[2].seq), ..NoticeFilter::default() };
        assert_eq!(keys(&list(&store, rest).await), ["k1"]);
        let waiting = NoticeFilter { state: Some(NoticeState::Waiting), ..NoticeFilter::default() };
        assert_eq!(keys(&list(&store, waiting).await), ["k4", "k3", "k2"]);
        let mail = NoticeFilter { channel: Some("mail".into()), ..NoticeFilter::default() };
        assert_eq!(keys(&list(&store, mail).await), ["k4"]);
        let b = Scope::tenant(tenant("b"));
        assert_eq!(keys(&store.notices_list(&b, NoticeFilter::default()).await.unwrap()), ["k3", "k1"]);
        let counted = |rows: Vec<NoticeCount>| -> Vec<String> {
            rows.iter()
                .map(|row| format!("{} {} {} {}", row.tenant, row.channel, row.state.name(), row.count))
                .collect()
        };
        assert_eq!(
            counted(store.notices_count(&Scope::all()).await.unwrap()),
            ["a chat waiting 1", "a mail waiting 1", "b chat sent 1", "b chat waiting 1"]
        );
        assert_eq!(counted(store.notices_count(&b).await.unwrap()), ["b chat sent 1", "b chat waiting 1"]);
    }
}

#[tokio::test]
async fn a_channel_that_nobody_reads_gets_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.alerts_decide("", vec![notice("a", "first", "g")]).await.unwrap();
    let more = format!(
        "INSERT INTO notices (key, tenant, channel, line, document, state, decided, since, attempts, next, claimed)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {NOTICES_WAITING_MAX} - 1)
         SELECT 'k' || n, 'a', 'chat', 'g', '', 'waiting', 0, 0, 0, 0, 0 FROM n"
    );
    store.change(move |db| db.execute(&more, &[])).await.unwrap();
    assert_eq!(
        store.alerts_decide("", vec![notice("a", "more", "g"), notice("b", "other", "g")]).await.unwrap(),
        2
    );
    let more = store.notice_read(&Scope::all(), "more").await.unwrap().unwrap();
    assert_eq!(more.state, NoticeState::Dead);
    assert!(more.error.unwrap().starts_with("10000 notices wait for this channel already"));
    let other = store.notice_read(&Scope::all(), "other").await.unwrap().unwrap();
    assert_eq!(other.state, NoticeState::Waiting);
}

#[tokio::test]
async fn old_notices_go_and_those_that_wait_stay() {
    for (store, _dir) in each() {
        store.alerts_decide("", (0..6).map(|n| notice("a", &format!("k{n}"), "g")).collect()).await.unwrap();
        for key in ["k1", "k2", "k4"] {
            store.notice_sent(key).await.unwrap();
        }
        store.notice_dead("k3", "why").await.unwrap();
        let now = store::micros(SystemTime::now());
        assert_eq!(store.notices_trim(now).await.unwrap(), 0);
        assert_eq!(store.notices_delete(now, 3).await.unwrap(), 1);
        assert_eq!(keys(&list(&store, NoticeFilter::default()).await), ["k5", "k4", "k3", "k2", "k0"]);
        let in_a_year = now + 365 * 86_400 * SECOND;
        assert_eq!(store.notices_trim(in_a_year).await.unwrap(), 3);
        assert_eq!(keys(&list(&store, NoticeFilter::default()).await), ["k5", "k0"]);
        // Nor does clearing what was told take what is still to be told.
        store.context_clear(&Scope::all()).await.unwrap();
        assert_eq!(keys(&list(&store, NoticeFilter::default()).await), ["k5", "k0"]);
    }
}
