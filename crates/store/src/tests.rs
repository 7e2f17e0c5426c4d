//! What the store promises, through its public functions only, on real files.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use puerto_core::record::{Kind, Outcome, Record};
use puerto_core::trace::Trace;
use puerto_core::{Code, Origin, RequestId, ServerName, TenantId};
use rusqlite::Connection;

use crate::queue::ROWS_WAITING_MAX;
use crate::*;

const URL: &str = "sqlite://data/puerto.db";

fn record(tenant: &str, server: &str, object: &str) -> Record {
    Record {
        at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
        request: RequestId::from_number(0xabc),
        trace: Trace { trace_id: 7, span_id: u64::MAX, parent_id: 0, flags: 1 },
        kind: Kind::Mcp("tools/call".into()),
        tenant: tenant.into(),
        caller: "local".into(),
        client: None,
        protocol: Some("2025-11-25"),
        server: Some(server.into()),
        object: Some(object.into()),
        outcome: Outcome::Error(Code::UpstreamTimeout, Origin::Upstream),
        duration: Duration::from_micros(42),
        bytes_in: 1,
        bytes_out: u64::MAX,
        detail: Some("why".into()),
    }
}

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::new(text).unwrap()
}

async fn objects(store: &Store, scope: &Scope, which: Recent) -> Vec<String> {
    let rows = store.records_recent(scope, which).await.unwrap();
    rows.into_iter().filter_map(|row| row.object).collect()
}

/// Holds the writer inside a change until the sender is used or dropped.
async fn hold(store: &Store) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), StoreError>>) {
    let (release, held) = mpsc::channel();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let (store, held) = (store.clone(), std::sync::Mutex::new(held));
    let change = move |_: &Connection| {
        entered.send(()).unwrap();
        let _ = held.lock().unwrap().recv();
        Ok(())
    };
    let task = tokio::spawn(async move { store.change(change).await });
    inside.await.unwrap();
    (release, task)
}

#[tokio::test]
async fn what_was_flushed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.records_append(vec![record("default", "files", "read"), record("default", "files", "write")]);
    store.catalog_save(&tenant("a"), &name("files"), r#"{"tools":[]}"#).await.unwrap();
    store.catalog_save(&tenant("a"), &name("files"), r#"{"tools":[1]}"#).await.unwrap();
    let key = store.secret_get_or_create("cursor").await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.flush().await, Err(StoreError::Closed));
    assert_eq!(store.close().await, Ok(()));

    let store = Store::open(URL, dir.path()).unwrap();
    let rows = store.records_recent(&Scope::all(), Recent::default()).await.unwrap();
    assert_eq!(rows.len(), 2);
    let row = &rows[1];
    assert_eq!((row.request.as_str(), row.at_us, row.duration_us), ("rabc", 1_700_000_000_000_001, 42));
    assert_eq!(
        (row.trace.as_str(), row.span.as_str()),
        ("00000000000000000000000000000007", "ffffffffffffffff")
    );
    assert_eq!((row.outcome.as_str(), row.origin.as_deref()), ("upstream_timeout", Some("upstream")));
    assert_eq!((row.bytes_out, row.detail.as_deref()), (i64::MAX, Some("why")));
    let catalogs = store.catalogs_load(&Scope::all()).await.unwrap();
    assert_eq!(catalogs.len(), 1);
    assert_eq!(catalogs[0].document, r#"{"tools":[1]}"#);
    assert!(catalogs[0].at_us > 0);
    assert_eq!(store.secret_get_or_create("cursor").await.unwrap(), key);
    assert_ne!(store.secret_get_or_create("other").await.unwrap(), key);
}

#[tokio::test]
async fn the_last_handle_dropped_writes_out_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.records_append((0..2_000).map(|n| record("default", "s", &n.to_string())).collect());
    drop(store);
    let store = Store::open(URL, dir.path()).unwrap();
    let newest = objects(&store, &Scope::all(), Recent { limit: 1, ..Recent::default() }).await;
    assert_eq!(newest, ["1999"]);
}

#[tokio::test]
async fn recent_records_page_and_filter_and_stay_in_their_scope() {
    for url in [URL, "sqlite::memory:"] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(url, dir.path()).unwrap();
        for n in 0..10 {
            let (tenant, server) = (["a", "b"][n % 2], ["x", "y"][n / 5]);
            store.records_append(vec![record(tenant, server, &n.to_string())]);
        }
        store.flush().await.unwrap();
        let all = Scope::all();
        let page = store.records_recent(&all, Recent { limit: 3, ..Recent::default() }).await.unwrap();
        let before = page.last().map(|row| row.id);
        assert_eq!(
            objects(&store, &all, Recent { limit: 3, before, ..Recent::default() }).await,
            ["6", "5", "4"]
        );
        let a = Scope::tenant(tenant("a"));
        assert_eq!(objects(&store, &a, Recent::default()).await, ["8", "6", "4", "2", "0"]);
        let y = Recent { server: Some(name("y")), ..Recent::default() };
        assert_eq!(objects(&store, &a, y).await, ["8", "6"]);
        assert!(objects(&store, &Scope::tenant(tenant("c")), Recent::default()).await.is_empty());
    }
}

#[tokio::test]
async fn a_record_keeps_nothing_of_the_one_before() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    let full = record("default", "files", "read");
    let bare = Record {
        kind: Kind::Control("server.read"),
        caller: "other".into(),
        client: Some("program".into()),
        protocol: None,
        server: None,
        object: None,
        outcome: Outcome::Ok,
        detail: None,
        ..full.clone()
    };
    store.records_append(vec![full.clone(), full.clone(), bare.clone(), full, bare]);
    store.flush().await.unwrap();
    let rows = store.records_recent(&Scope::all(), Recent::default()).await.unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            let parts = [&row.client, &row.protocol, &row.server, &row.object, &row.origin, &row.detail];
            (row.kind.as_str(), row.caller.as_str(), row.outcome.as_str(), parts.map(Option::is_some))
        })
        .collect();
    let full = ("tools/call", "local", "upstream_timeout", [false, true, true, true, true, true]);
    let bare = ("server.read", "other", "ok", [true, false, false, false, false, false]);
    assert_eq!(seen, [bare, full, bare, full, full]);
}

#[tokio::test]
async fn catalogs_stay_in_their_scope_and_are_forgotten() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    for (of, server) in [("a", "x"), ("b", "x"), ("a", "y")] {
        store.catalog_save(&tenant(of), &name(server), "{}").await.unwrap();
    }
    store.catalog_remove(&tenant("a"), &name("y")).await.unwrap();
    let names = |list: Vec<Catalog>| -> Vec<String> {
        list.iter().map(|c| format!("{}/{}", c.tenant, c.server)).collect()
    };
    assert_eq!(names(store.catalogs_load(&Scope::all()).await.unwrap()), ["a/x", "b/x"]);
    assert_eq!(names(store.catalogs_load(&Scope::tenant(tenant("b"))).await.unwrap()), ["b/x"]);
    let large = "x".repeat(CATALOG_BYTES_MAX + 1);
    let refused = store.catalog_save(&tenant("a"), &name("x"), &large).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }));
    assert_eq!(puerto_core::Error::from(refused).code(), Code::TooLarge);
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    let (release, held) = hold(&store).await;
    // Polled once, each has queued its change. (A task may poll some sixty tokio futures in one go.)
    let save = |n: usize| {
        let store = store.clone();
        async move { store.catalog_save(&tenant("a"), &name(&format!("s{n}")), "{}").await }
    };
    let mut saves: Vec<_> = (0..50).map(|n| Box::pin(save(n))).collect();
    std::future::poll_fn(|cx| {
        assert!(saves.iter_mut().all(|save| save.as_mut().poll(cx).is_pending()));
        std::task::Poll::Ready(())
    })
    .await;
    release.send(()).unwrap();
    held.await.unwrap().unwrap();
    for save in saves {
        save.await.unwrap();
    }
    assert_eq!(store.commits(), 2);
    assert_eq!(store.catalogs_load(&Scope::all()).await.unwrap().len(), 50);
}

#[tokio::test]
async fn records_without_room_are_counted_and_nobody_waits() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    let (release, held) = hold(&store).await;
    let batch: Vec<_> = (0..1_000).map(|_| record("a", "x", "t")).collect();
    let batches = ROWS_WAITING_MAX / 1_000 + 3;
    for _ in 0..batches {
        store.records_append(batch.clone());
    }
    assert_eq!(store.lost(), 3_000);
    drop(release);
    held.await.unwrap().unwrap();
    store.close().await.unwrap();
    assert_eq!(store.lost(), 3_000);
    store.records_append(batch);
    assert_eq!(store.lost(), 4_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_lose_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    store.records_append(vec![record("a", "x", "t"); 10]);
                    let server = name(&format!("s{task}-{n}"));
                    store.catalog_save(&tenant("a"), &server, "{}").await.unwrap();
                    store
                        .records_recent(&Scope::all(), Recent { limit: 5, ..Recent::default() })
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // Another connection sees all that was answered, while this store is still open.
    let other = Connection::open(dir.path().join("data/puerto.db")).unwrap();
    let count = |table: &str| -> i64 {
        other.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("catalogs"), count("records"), store.lost()), (320, 3_200, 0));
}

#[tokio::test]
async fn two_processes_share_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Store::open(URL, dir.path()).unwrap(), Store::open(URL, dir.path()).unwrap());
    let (key, same) = tokio::join!(one.secret_get_or_create("cursor"), two.secret_get_or_create("cursor"));
    assert_eq!(key.unwrap(), same.unwrap());
    one.records_append(vec![record("a", "x", "1")]);
    one.flush().await.unwrap();
    two.records_append(vec![record("a", "x", "2")]);
    two.flush().await.unwrap();
    assert_eq!(objects(&one, &Scope::all(), Recent::default()).await, ["2", "1"]);
}

#[tokio::test]
async fn only_the_newest_records_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_keeping(URL, dir.path(), 3_000).unwrap();
    for n in 0..20 {
        store.records_append((0..512).map(|i| record("a", "x", &(n * 512 + i).to_string())).collect());
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    let db = Connection::open(dir.path().join("data/puerto.db")).unwrap();
    let (count, newest): (i64, String) = db
        .query_row(
            "SELECT count(*), (SELECT object FROM records ORDER BY id DESC LIMIT 1) FROM records",
            [],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .unwrap();
    assert!((3_000..=3_000 + 1_024).contains(&count), "{count}");
    assert_eq!(newest, "10239");
}

#[tokio::test]
async fn a_failed_change_spoils_neither_its_neighbours_nor_the_store() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    let bad = store.change(|db| db.execute("INSERT INTO nowhere VALUES (1)", []));
    let (tenant, server) = (tenant("a"), name("x"));
    let (bad, good) = tokio::join!(bad, store.catalog_save(&tenant, &server, "{}"));
    assert!(matches!(bad, Err(StoreError::Sql { .. })), "{bad:?}");
    good.unwrap();
    assert_eq!(store.catalogs_load(&Scope::all()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_locked_file_is_named_and_nothing_is_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.change(|db| db.busy_timeout(Duration::ZERO)).await.unwrap();
    let other = Connection::open(dir.path().join("data/puerto.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.records_append(vec![record("a", "x", "t")]);
    let refused = store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert_eq!(store.lost(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.catalogs_load(&Scope::all()).await.unwrap().is_empty());
    store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap();
}

#[tokio::test]
async fn a_panicking_writer_answers_everyone_with_closed() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    let died: Result<(), _> = store.change(|_| panic!("on purpose")).await;
    assert_eq!(died, Err(StoreError::Closed));
    assert_eq!(store.flush().await, Err(StoreError::Closed));
}

fn refused(dir: &Path) -> StoreError {
    Store::open(URL, dir).unwrap_err()
}

fn with_file(fill: impl FnOnce(&Path)) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let file = dir.path().join("data/puerto.db");
    fill(&file);
    (dir, file)
}

#[test]
fn a_file_that_is_not_ours_is_refused_with_its_reason() {
    let (dir, path) =
        with_file(|file| std::fs::write(file, "hello, I am a text file, not a database").unwrap());
    assert_eq!(refused(dir.path()), StoreError::Damaged { path });

    let (dir, path) = with_file(|file| {
        Connection::open(file).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    });
    assert_eq!(refused(dir.path()), StoreError::Foreign { path });

    let (dir, path) = with_file(|file| {
        drop(Store::open(URL, file.parent().unwrap().parent().unwrap()).unwrap());
        Connection::open(file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    });
    assert_eq!(refused(dir.path()), StoreError::Newer { path, found: 99, known: 1 });

    let (dir, path) = with_file(|file| std::fs::create_dir(file).unwrap());
    assert!(matches!(refused(dir.path()), StoreError::Open { path: named, .. } if named == path));
}

#[tokio::test]
async fn a_file_damaged_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.records_append((0..5_000).map(|n| record("a", "x", &n.to_string())).collect());
    store.close().await.unwrap();
    let file = dir.path().join("data/puerto.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8192..].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    let damaged = store.records_recent(&Scope::all(), Recent::default()).await.unwrap_err();
    assert_eq!(damaged, StoreError::Damaged { path: file });
    assert!(damaged.to_string().contains("move it away"), "{damaged}");
}

#[test]
fn a_read_only_file_is_refused_with_its_reason() {
    // The administrator may write everything, so the file's mode shows only to others ...
    let (dir, path) = with_file(|file| {
        drop(Store::open(URL, file.parent().unwrap().parent().unwrap()).unwrap());
        let mut mode = std::fs::metadata(file).unwrap().permissions();
        mode.set_readonly(true);
        std::fs::set_permissions(file, mode).unwrap();
    });
    if std::fs::OpenOptions::new().write(true).open(&path).is_err() {
        assert_eq!(refused(dir.path()), StoreError::ReadOnly { path: path.clone() });
    }
    // ... and what SQLite says of a read-only file system shows to all.
    let says = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    let error = StoreError::sql(&path, &says(rusqlite::ffi::SQLITE_READONLY_DBMOVED));
    assert_eq!(error, StoreError::ReadOnly { path: path.clone() });
    assert_eq!(StoreError::sql(&path, &says(rusqlite::ffi::SQLITE_FULL)), StoreError::Full { path });
}

#[cfg(unix)]
#[tokio::test]
async fn others_may_not_read_our_data() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap();
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/puerto.db"), mode("data/puerto.db-wal")), (0o700, 0o600, 0o600));
}

#[test]
fn addresses() {
    for bad in ["", "data/puerto.db", "sqlite://", "sqlite:data.db", "sqlite://a?mode=ro", "file:a.db"] {
        assert!(matches!(Store::open(bad, Path::new("")), Err(StoreError::Url { .. })), "{bad}");
    }
    let secret = Store::open("postgres://me:pass@host/db", Path::new("")).unwrap_err().to_string();
    assert!(!secret.contains("pass"), "{secret}");
}

#[test]
fn an_open_store_is_shared_freely() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Store>();
    check::<Arc<Store>>();
}
