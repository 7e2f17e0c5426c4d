//! What has broken other SQL servers (reference: ops-sql-tasks, 2.3, 2.4 and 2.8), as far as SQLite has it.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const ENDLESS: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

/// Every file under a directory with its content; of the shared memory that readers use only its name.
fn files(dir: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            let name = entry.display().to_string();
            let content = if name.ends_with("-shm") { Vec::new() } else { std::fs::read(&entry).unwrap() };
            found.insert((name, content));
        }
    }
    found
}

#[tokio::test]
async fn query_changes_nothing_whatever_the_sql() {
    for writable in [false, true] {
        let (dir, db) = world(writable);
        let out = dir.path().join("stolen.db");
        let out = out.display();
        let before = files(dir.path());
        for sql in [
            "INSERT INTO customers (name) VALUES ('x')".to_owned(),
            "INSERT INTO customers (name) VALUES ('x') RETURNING id".into(),
            "UPDATE customers SET name = 'x'".into(),
            "DELETE FROM customers RETURNING *".into(),
            "REPLACE INTO customers (id, name) VALUES (1, 'x')".into(),
            "WITH x AS (SELECT 1) INSERT INTO customers (name) SELECT 'x' FROM x RETURNING id".into(),
            "/* read */ DROP TABLE customers".into(),
            "-- SELECT\nDROP TABLE customers".into(),
            "DROP/**/TABLE customers".into(),
            "CREATE TABLE t (a)".into(),
            "CREATE TEMP TABLE t (a)".into(),
            "CREATE TEMP VIEW v AS SELECT 1".into(),
            "CREATE VIRTUAL TABLE f USING fts5(a)".into(),
            "ALTER TABLE customers RENAME TO c".into(),
            format!("ATTACH '{out}' AS x"),
            format!("ATTACH DATABASE 'file:{out}?mode=rwc' AS x"),
            "DETACH main".into(),
            format!("VACUUM INTO '{out}'"),
            "VACUUM".into(),
            "REINDEX".into(),
            "ANALYZE".into(),
            "BEGIN".into(),
            "BEGIN IMMEDIATE".into(),
            "COMMIT".into(),
            "ROLLBACK".into(),
            "SAVEPOINT a".into(),
            "RELEASE a".into(),
            "EXPLAIN DELETE FROM customers".into(),
            "COMMIT; DROP TABLE customers; SELECT 1".into(),
            "SELECT 1; DROP TABLE customers".into(),
            "SELECT 1; SELECT 2".into(),
            "SELECT 1; PRAGMA query_only = 0".into(),
            "PRAGMA query_only = 0".into(),
            "PRAGMA query_only(0)".into(),
            "PRAGMA writable_schema = 1".into(),
            "PRAGMA main.writable_schema(on)".into(),
            "PRAGMA user_version = 7".into(),
            "PRAGMA journal_mode = wal".into(),
            "PRAGMA journal_mode(delete)".into(),
            "PRAGMA foreign_keys = 0".into(),
            "PRAGMA trusted_schema = 1".into(),
            "PRAGMA wal_checkpoint".into(),
            "PRAGMA wal_checkpoint(truncate)".into(),
            "PRAGMA optimize".into(),
            "PRAGMA incremental_vacuum".into(),
            "PRAGMA temp_store_directory = '/tmp'".into(),
            "PRAGMA hard_heap_limit = 0".into(),
            "PRAGMA cache_size = 1000000".into(),
            "PRAGMA mmap_size = 1".into(),
            "PRAGMA busy_timeout = 99999".into(),
            "PRAGMA case_sensitive_like = 1".into(),
            "PRAGMA shrink_memory".into(),
            "PRAGMA database_list".into(),
            "SELECT file FROM pragma_database_list".into(),
            "SELECT * FROM pragma_query_only".into(),
            "SELECT load_extension('/tmp/evil.so')".into(),
            "SELECT \"load_extension\"('/tmp/evil.so')".into(),
            "SELECT LOAD_EXTENSION('/tmp/evil.so', 'init')".into(),
            "SELECT readfile('/etc/hostname')".into(),
            format!("SELECT writefile('{out}', 'x')"),
            "SELECT edit('x', 'vi')".into(),
            "SELECT fts3_tokenizer('simple', x'00')".into(),
            "SELECT * FROM sqlite_dbpage".into(),
            "SELECT unhex('6161', ' ')".into(),
            "SELECT length(replace(printf('%.*c', 1000000, 'a'), 'a', printf('%.*c', 1000000, 'b')))".into(),
            "SELECT zeroblob(900000000)".into(),
            "SELECT length(randomblob(900000000))".into(),
            "SELECT length(printf('%.*c', 900000000, 'a'))".into(),
            "SELECT replace(hex(printf('%.*c', 8000000, 'a')), '6', '66666666')".into(),
            format!("SELECT {}1{}", "(".repeat(2_000), ")".repeat(2_000)),
            format!("SELECT {}1", "1 + ".repeat(3_000)),
            format!("SELECT 1{}", " UNION SELECT 1".repeat(200)),
            format!("SELECT '{}'", "a".repeat(300_000)),
            format!("SELECT 'a' LIKE '{}'", "%a".repeat(1_000)),
        ] {
            let shown: String = sql.chars().take(80).collect();
            let text = error(&db, "query", json!({ "sql": sql })).await;
            assert!(!text.is_empty() && !text.contains("demo.db"), "{shown}: {text}");
            assert!(text.chars().next().unwrap().is_lowercase() || !text.contains(". "), "{shown}: {text}");
        }
        assert_eq!(files(dir.path()), before, "not one byte changed, no file was made");
        assert!(query(&db, "SELECT count(*) FROM customers").await.is_ok(), "and it still answers");
    }
}

#[tokio::test]
async fn execute_stays_inside_the_database() {
    let (dir, db) = world(true);
    let out = dir.path().join("stolen.db");
    let out = out.display();
    let names = |dir: &Path| files(dir).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let before = names(dir.path());
    for (sql, expected) in [
        (format!("ATTACH '{out}' AS x"), "ATTACH, DETACH and VACUUM are not allowed"),
        (format!("VACUUM INTO '{out}'"), "not allowed"),
        ("VACUUM".into(), "not allowed"),
        ("BEGIN".into(), "transaction control is not allowed"),
        ("SAVEPOINT a".into(), "transaction control is not allowed"),
        ("CREATE TEMP TABLE t (a)".into(), "temporary tables are not allowed"),
        ("CREATE TABLE temp.t (a)".into(), "temporary tables are not allowed"),
        ("PRAGMA writable_schema = 1".into(), "PRAGMA writable_schema is not allowed here"),
        ("PRAGMA journal_mode = off".into(), "PRAGMA journal_mode is not allowed here"),
        ("PRAGMA user_version = 7".into(), "PRAGMA user_version is not allowed here"),
        (
            "INSERT INTO customers (name) VALUES (load_extension('x'))".into(),
            "load_extension() is not allowed",
        ),
        ("INSERT INTO customers (name, raw) VALUES ('x', zeroblob(9))".into(), "zeroblob() is not allowed"),
        (
            "CREATE VIRTUAL TABLE t USING csv(filename='/etc/passwd')".into(),
            "of the kind csv are not allowed",
        ),
        ("CREATE VIRTUAL TABLE t USING dbstat".into(), "of the kind dbstat are not allowed"),
        ("UPDATE sqlite_schema SET sql = 'x'".into(), "may not be modified"),
        ("DELETE FROM sqlite_schema".into(), "may not be modified"),
        ("DELETE FROM customers; DROP TABLE customers".into(), "one statement at a time"),
        ("PRAGMA table_info(customers)".into(), "use query to read"),
        ("EXPLAIN DELETE FROM customers".into(), "use query to read"),
    ] {
        let text = error(&db, "execute", json!({ "sql": sql })).await;
        assert!(text.contains(expected), "{sql}: {text}");
    }
    // A trigger is judged when it is fired, with everything that it does.
    let evil = "CREATE TRIGGER evil AFTER INSERT ON orders BEGIN SELECT load_extension('x'); END";
    let made = call(&db, "execute", &json!({ "sql": evil })).await;
    if made.is_ok() {
        let fired = error(&db, "insert", json!({ "table": "orders", "data": { "customer": 1 } })).await;
        assert!(fired.contains("load_extension"), "{fired}");
    }
    assert_eq!(names(dir.path()), before);
}

#[tokio::test]
async fn an_endless_query_stops_at_its_deadline() {
    let (_dir, db) = world(false);
    let text = error(&db, "query", json!({ "sql": ENDLESS, "timeout_ms": 50 })).await;
    assert!(text.contains("the statement was stopped after 50 ms; narrow it"), "{text}");
    // More endless queries than there are connections, and the server still answers afterwards.
    let all = (0..READERS + 2).map(|_| error(&db, "query", json!({ "sql": ENDLESS, "timeout_ms": 100 })));
    for text in futures_util::future::join_all(all).await {
        assert!(text.contains("was stopped after 100 ms") || text.contains("stayed busy"), "{text}");
    }
    assert_eq!(query(&db, "SELECT 1").await.unwrap()["rows"], json!([[1]]));
}

#[tokio::test]
async fn an_endless_query_stops_when_the_caller_leaves() {
    let (_dir, db) = world(false);
    let arguments =
        RawValue::from_string(json!({ "sql": ENDLESS, "timeout_ms": 60_000 }).to_string()).unwrap();
    for _ in 0..READERS + 1 {
        let cancel = CancellationToken::new();
        let (result, ()) = tokio::join!(db.call("query", &arguments, cancel.clone()), async {
            tokio::task::yield_now().await;
            cancel.cancel();
        });
        assert!(matches!(result, Err(CallError::Cancelled)));
    }
    // A call that is dropped without a word frees its connection too, or this would wait for a minute.
    for _ in 0..READERS + 1 {
        let mut call = db.call("query", &arguments, CancellationToken::new());
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    assert_eq!(query(&db, "SELECT 1").await.unwrap()["rows"], json!([[1]]));
}

#[tokio::test]
async fn an_endless_change_is_undone() {
    let (_dir, db) = world(true);
    let sql = format!("INSERT INTO orders (customer) {}", ENDLESS.replace("count(*)", "1"));
    let arguments = RawValue::from_string(json!({ "sql": sql }).to_string()).unwrap();
    let cancel = CancellationToken::new();
    let (result, ()) = tokio::join!(db.call("execute", &arguments, cancel.clone()), async {
        tokio::task::yield_now().await;
        cancel.cancel();
    });
    assert!(matches!(result, Err(CallError::Cancelled)));
    assert_eq!(query(&db, "SELECT count(*) FROM orders").await.unwrap()["rows"], json!([[0]]));
    assert!(call(&db, "insert", &json!({ "table": "orders", "data": { "customer": 1 } })).await.is_ok());
}

#[tokio::test]
async fn one_caller_leaves_nothing_behind_for_the_next() {
    let (_dir, db) = world(true);
    let failing = json!({ "table": "orders", "data": [{ "customer": 1 }, { "customer": 99 }] });
    for _ in 0..3 {
        assert!(error(&db, "insert", failing.clone()).await.contains("FOREIGN KEY"));
        assert!(call(&db, "execute", &json!({ "sql": "UPDATE customers SET name = name" })).await.is_ok());
    }
    assert_eq!(query(&db, "SELECT count(*) FROM orders").await.unwrap()["rows"], json!([[0]]));
    assert_eq!(query(&db, "PRAGMA foreign_keys").await.unwrap()["row_count"], 1);
}

#[tokio::test]
async fn a_long_question_does_not_keep_a_change_waiting() {
    let (_dir, db) = world(true);
    let slow = json!({ "sql": format!("SELECT count(*) FROM customers, ({ENDLESS})"), "timeout_ms": 500 });
    let (slow, quick) = tokio::join!(call(&db, "query", &slow), async {
        call(&db, "insert", &json!({ "table": "customers", "data": { "name": "Cy" } })).await
    });
    assert!(slow.unwrap_err().to_string().contains("was stopped after 500 ms"));
    assert_eq!(quick.unwrap()["rows_affected"], 1);
}

#[tokio::test]
async fn functions_that_look_at_no_deadline_end_soon() {
    let (_dir, db) = world(false);
    let text = "printf('%.*c', 1000000, 'a')";
    let set = "printf('%.*c', 1000000, 'b') || 'a'";
    let sql = format!(
        "SELECT length(trim({text}, {set})), instr({text}, {set}), length(replace({text}, {set}, ''))"
    );
    assert_eq!(query(&db, &sql).await.unwrap()["rows"], json!([[0, 0, 1_000_000]]));
}
