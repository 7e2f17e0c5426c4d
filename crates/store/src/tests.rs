//! What the store promises, through its public functions only, on real files.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use puerto_core::record::{Kind, Outcome, Record};
use puerto_core::trace::Trace;
use puerto_core::{Audited, Code, Digest, Origin, RequestId, ServerName, TenantId};
use puerto_testkit::postgres;
use rusqlite::Connection;

use crate::db::Db;
use crate::migrations::MIGRATIONS;
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
        audited: Audited::Acts,
        salt: Some([7; 16]),
        arguments: Some(Digest { sha256: [1; 32], is_whole: true, bytes: 2 }),
        result: None,
        texts: None,
        traced: None,
    }
}

fn shown(path: &Path) -> Box<str> {
    StoreError::shown(path)
}

/// A store of each kind, with what it lies in.
fn each() -> impl Iterator<Item = (Store, tempfile::TempDir)> {
    [URL.to_owned(), "sqlite::memory:".into(), postgres()].into_iter().map(|url| {
        let dir = tempfile::tempdir().unwrap();
        (Store::open(&url, dir.path()).unwrap(), dir)
    })
}

fn name(text: &str) -> ServerName {
    ServerName::new(text).unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::new(text).unwrap()
}

/// What the hub keeps of an operation.
fn draft(tenant: &str, server: &str, object: &str) -> Draft {
    Draft::of(record(tenant, server, object), Phase::Act)
}

fn parsed(row: &AuditRow) -> serde_json::Value {
    serde_json::from_str(row.document.get()).unwrap()
}

async fn objects(store: &Store, scope: &Scope, which: AuditFilter) -> Vec<String> {
    let rows = store.audit_list(scope, which).await.unwrap();
    rows.iter().filter_map(|row| parsed(row)["object"].as_str().map(Into::into)).collect()
}

/// Holds the writer inside a change until the sender is used or dropped.
async fn hold(store: &Store) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), StoreError>>) {
    let (release, held) = mpsc::channel();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let (store, held) = (store.clone(), std::sync::Mutex::new(held));
    let change = move |_: &mut Db| {
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
    for url in [URL.to_owned(), postgres()] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&url, dir.path()).unwrap();
        store.audit_append(vec![draft("default", "files", "read"), draft("default", "files", "write")]);
        store.catalog_save(&tenant("a"), &name("files"), r#"{"tools":[]}"#).await.unwrap();
        store.catalog_save(&tenant("a"), &name("files"), r#"{"tools":[1]}"#).await.unwrap();
        let key = store.secret_get_or_create("cursor").await.unwrap();
        store.close().await.unwrap();
        assert_eq!(store.flush().await, Err(StoreError::Closed));
        assert_eq!(store.close().await, Ok(()));

        let store = Store::open(&url, dir.path()).unwrap();
        let rows = store.audit_list(&Scope::all(), AuditFilter::default()).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [2, 1]);
        let expected = r#"{"action":"tools/call","actor":"local","arguments":{"bytes":2,"sha256":"0101010101010101010101010101010101010101010101010101010101010101"},"at_us":1700000000000001,"bytes_in":1,"bytes_out":9007199254740991,"decision":"allow","detail":"why","duration_us":42,"object":"read","origin":"upstream","outcome":"upstream_timeout","phase":"act","protocol":"2025-11-25","request":"rabc","seq":1,"server":"files","tenant":"default","trace":"00000000000000000000000000000007"}"#;
        assert_eq!(rows[1].document.get(), expected);
        let catalogs = store.catalogs_load(&Scope::all()).await.unwrap();
        assert_eq!(catalogs.len(), 1);
        assert_eq!(catalogs[0].document, r#"{"tools":[1]}"#);
        assert!(catalogs[0].at_us > 0);
        assert_eq!(store.secret_get_or_create("cursor").await.unwrap(), key);
        assert_ne!(store.secret_get_or_create("other").await.unwrap(), key);
    }
}

#[tokio::test]
async fn the_last_handle_dropped_writes_out_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.audit_append((0..2_000).map(|n| draft("default", "s", &n.to_string())).collect());
    drop(store);
    let store = Store::open(URL, dir.path()).unwrap();
    let newest = objects(&store, &Scope::all(), AuditFilter { limit: 1, ..AuditFilter::default() }).await;
    assert_eq!(newest, ["1999"]);
}

#[tokio::test]
async fn recent_records_page_and_filter_and_stay_in_their_scope() {
    for (store, _dir) in each() {
        for n in 0..10 {
            let (tenant, server) = (["a", "b"][n % 2], ["x", "y"][n / 5]);
            store.audit_append(vec![draft(tenant, server, &n.to_string())]);
        }
        store.flush().await.unwrap();
        let all = Scope::all();
        let page = store.audit_list(&all, AuditFilter { limit: 3, ..AuditFilter::default() }).await.unwrap();
        let before = page.last().map(|row| row.seq);
        assert_eq!(
            objects(&store, &all, AuditFilter { limit: 3, before, ..AuditFilter::default() }).await,
            ["6", "5", "4"]
        );
        let a = Scope::tenant(tenant("a"));
        assert_eq!(objects(&store, &a, AuditFilter::default()).await, ["8", "6", "4", "2", "0"]);
        let y = AuditFilter { server: Some("y".into()), ..AuditFilter::default() };
        assert_eq!(objects(&store, &a, y).await, ["8", "6"]);
        assert!(objects(&store, &Scope::tenant(tenant("c")), AuditFilter::default()).await.is_empty());
    }
}

#[tokio::test]
async fn catalogs_stay_in_their_scope_and_are_forgotten() {
    for (store, _dir) in each() {
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
    let batch: Vec<_> = (0..1_000).map(|_| draft("a", "x", "t")).collect();
    let batches = ROWS_WAITING_MAX / 1_000 + 3;
    for _ in 0..batches {
        store.audit_append(batch.clone());
    }
    assert_eq!(store.lost(), 3_000);
    drop(release);
    held.await.unwrap().unwrap();
    store.close().await.unwrap();
    assert_eq!(store.lost(), 3_000);
    store.audit_append(batch);
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
                    store.audit_append(vec![draft("a", "x", "t"); 10]);
                    let server = name(&format!("s{task}-{n}"));
                    store.catalog_save(&tenant("a"), &server, "{}").await.unwrap();
                    store
                        .audit_list(&Scope::all(), AuditFilter { limit: 5, ..AuditFilter::default() })
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
    let number = |sql: &str| -> i64 { other.query_row(sql, [], |row| row.get(0)).unwrap() };
    let (catalogs, records) = ("SELECT count(*) FROM catalogs", "SELECT size FROM audit_head");
    assert_eq!((number(catalogs), number(records), store.lost()), (320, 3_200, 0));
}

#[tokio::test]
async fn two_processes_share_one_database() {
    for url in [URL.to_owned(), postgres()] {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Store::open(&url, dir.path()).unwrap(), Store::open(&url, dir.path()).unwrap());
        let (key, same) =
            tokio::join!(one.secret_get_or_create("cursor"), two.secret_get_or_create("cursor"));
        assert_eq!(key.unwrap(), same.unwrap());
        one.audit_append(vec![draft("a", "x", "1")]);
        one.flush().await.unwrap();
        two.audit_append(vec![draft("a", "x", "2")]);
        two.flush().await.unwrap();
        assert_eq!(objects(&one, &Scope::all(), AuditFilter::default()).await, ["2", "1"]);
    }
}

#[tokio::test]
async fn a_failed_change_spoils_neither_its_neighbours_nor_the_store() {
    for (store, _dir) in each() {
        let bad = store.change(|db| db.execute("INSERT INTO nowhere VALUES (1)", &[]));
        let (tenant, server) = (tenant("a"), name("x"));
        let (bad, good) = tokio::join!(bad, store.catalog_save(&tenant, &server, "{}"));
        assert!(matches!(bad, Err(StoreError::Sql { .. })), "{bad:?}");
        good.unwrap();
        assert_eq!(store.catalogs_load(&Scope::all()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_change_that_fails_halfway_leaves_nothing() {
    for (store, _dir) in each() {
        let half = store.change(|db| {
            db.execute(
                "INSERT INTO keys (name, at, value) VALUES (?1, ?2, ?3)",
                &[&"half", &1_i64, &&b"x"[..]],
            )?;
            db.execute("INSERT INTO nowhere VALUES (1)", &[])
        });
        assert!(half.await.is_err());
        let there = store.read(|db| db.query("SELECT name FROM keys", &[], |row| row.get::<String>(0))).await;
        assert_eq!(there.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_locked_file_is_named_and_nothing_is_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.change(|db| db.execute("PRAGMA busy_timeout = 0", &[])).await.unwrap();
    let other = Connection::open(dir.path().join("data/puerto.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.audit_append(vec![draft("a", "x", "t")]);
    let refused = store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert_eq!(store.lost(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.catalogs_load(&Scope::all()).await.unwrap().is_empty());
    store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap();
}

/// Where SQLite undoes a whole commit by itself, nobody in it is told that anything was kept, and nothing is.
#[tokio::test]
async fn a_commit_that_the_disk_undoes_is_undone_for_everybody_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    let (release, held) = hold(&store).await;
    let (of, server) = (tenant("a"), name("x"));
    let first = store.catalog_save(&of, &server, "{}");
    // What SQLite does when the disk fails while pages are spilled.
    let failing = store.change(|db| {
        db.execute("ROLLBACK", &[])?;
        Err::<(), _>(StoreError::Full { place: "here".into() })
    });
    let last = store.catalog_save(&of, &server, "[]");
    store.audit_append(vec![draft("a", "x", "lost")]);
    let release = async {
        release.send(()).unwrap();
        held.await.unwrap()
    };
    let (first, failing, last, held) = tokio::join!(first, failing, last, release);
    held.unwrap();
    assert!(matches!(first, Err(StoreError::Undone { .. })), "{first:?}");
    assert!(matches!(failing, Err(StoreError::Full { .. } | StoreError::Undone { .. })), "{failing:?}");
    assert!(matches!(last, Err(StoreError::Undone { .. })), "{last:?}");
    assert!(store.catalogs_load(&Scope::all()).await.unwrap().is_empty());
    assert_eq!(store.audit_total().await.unwrap(), 0);
    store.audit_append(vec![draft("a", "x", "kept")]);
    store.catalog_save(&of, &server, "{}").await.unwrap();
    assert_eq!(store.audit_total().await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.change(|db| db.execute("PRAGMA max_page_count = 200", &[])).await.unwrap();
    let document = format!("\"{}\"", "x".repeat(20_000));
    let mut kept = 0;
    let full = loop {
        match store.catalog_save(&tenant("a"), &name(&format!("s{kept}")), &document).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::Full { place: shown(&dir.path().join("data/puerto.db")) });
    assert!(full.to_string().contains("free space"), "{full}");
    assert_eq!(
        puerto_core::Error::from(full).public(),
        "Puerto's own data cannot be written, since its disk is full"
    );
    assert!(kept > 5);
    store.change(|db| db.execute("PRAGMA max_page_count = 100000", &[])).await.unwrap();
    store.catalog_save(&tenant("a"), &name("more"), &document).await.unwrap();
    assert_eq!(store.catalogs_load(&Scope::all()).await.unwrap().len(), kept + 1);
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
    assert_eq!(refused(dir.path()), StoreError::Damaged { place: shown(&path) });

    let (dir, path) = with_file(|file| {
        Connection::open(file).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    });
    assert_eq!(refused(dir.path()), StoreError::Foreign { place: shown(&path) });

    let (dir, path) = with_file(|file| {
        drop(Store::open(URL, file.parent().unwrap().parent().unwrap()).unwrap());
        Connection::open(file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    });
    assert_eq!(
        refused(dir.path()),
        StoreError::Newer { place: shown(&path), found: 99, known: MIGRATIONS.len() as i64 }
    );

    let (dir, path) = with_file(|file| std::fs::create_dir(file).unwrap());
    assert!(matches!(refused(dir.path()), StoreError::Open { place, .. } if place == shown(&path)));
}

#[tokio::test]
async fn a_file_damaged_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    store.audit_append((0..5_000).map(|n| draft("a", "x", &n.to_string())).collect());
    store.close().await.unwrap();
    let file = dir.path().join("data/puerto.db");
    let mut bytes = std::fs::read(&file).unwrap();
    // The first half has the definitions of the tables, which are read at once.
    let half = bytes.len() / 2;
    bytes[half..].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    let damaged = store.audit_list(&Scope::all(), AuditFilter::default()).await.unwrap_err();
    assert_eq!(damaged, StoreError::Damaged { place: shown(&file) });
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
        assert_eq!(refused(dir.path()), StoreError::ReadOnly { place: shown(&path) });
    }
    // ... and what SQLite says of a read-only file system shows to all.
    let says = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    let error = StoreError::sqlite(&path, &says(rusqlite::ffi::SQLITE_READONLY_DBMOVED));
    assert_eq!(error, StoreError::ReadOnly { place: shown(&path) });
    assert_eq!(
        StoreError::sqlite(&path, &says(rusqlite::ffi::SQLITE_FULL)),
        StoreError::Full { place: shown(&path) }
    );
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
    for url in [
        "postgres://me:pass@127.0.0.1:1/db",
        "postgres://me:pass@127.0.0.1:port/db",
        "mysql://me:pass@host/db",
    ] {
        let refused = Store::open(url, Path::new("")).unwrap_err().to_string();
        assert!(!refused.contains("pass"), "{refused}");
    }
    let refused = Store::open("postgres://me@127.0.0.1:1/db", Path::new("")).unwrap_err().to_string();
    assert!(refused.starts_with("could not use postgres://127.0.0.1:1/db: error connecting"), "{refused}");
}

#[test]
fn a_database_of_postgres_that_is_not_ours_or_newer_is_refused_with_its_reason() {
    let (url, run) = (postgres(), |url: &str, sql: &str| {
        let store = Store::open(url, Path::new("")).unwrap();
        let sql = sql.to_owned();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(store.change(move |db| db.execute(&sql, &[]))).unwrap();
    });
    run(&url, "UPDATE version SET number = 99");
    let refused = Store::open(&url, Path::new("")).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused}");

    let url = postgres();
    run(&url, "ALTER TABLE version RENAME number TO other");
    let refused = Store::open(&url, Path::new("")).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let store = Store::open(&postgres(), Path::new("")).unwrap();
    store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap();
    assert_eq!(store.catalogs_load(&Scope::all()).await.unwrap().len(), 1);
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    store.read(move |db| db.query(others, &[], |_| Ok(()))).await.unwrap();
    // Whoever asks in that moment is told; the next one has a new connection.
    let lost = store.catalog_save(&tenant("a"), &name("y"), "{}").await;
    assert!(matches!(lost, Err(StoreError::Unreachable { .. } | StoreError::Sql { .. })), "{lost:?}");
    store.catalog_save(&tenant("a"), &name("z"), "{}").await.unwrap();
    assert_eq!(store.catalogs_load(&Scope::all()).await.unwrap().len(), 2);
}

#[test]
fn an_open_store_is_shared_freely() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Store>();
    check::<Arc<Store>>();
}

mod archive;
mod audit;
mod checks;
mod events;
mod outbox;
mod services;
mod tasks;
mod texts;
