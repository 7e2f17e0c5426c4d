//! What `db` answers. What it must refuse is in `attacks.rs`.

mod attacks;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const INIT: &str = r#"
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, big BIGINT, price DECIMAL(10,2), doc JSON, raw BLOB);
    INSERT INTO customers VALUES (1, 'Ann', 9007199254740993, 5.10, '{"a": [1, 2]}', x'0001ff');
    INSERT INTO customers VALUES (2, 'Bo', 1, 7, NULL, NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers(id), n INT DEFAULT 1);
    CREATE INDEX orders_customer ON orders (customer);
    CREATE VIEW names AS SELECT name FROM customers;
    CREATE TABLE "odd ""table" ("a b" TEXT, "select" INT);
"#;

pub(super) fn options(writable: bool, init: Option<&str>) -> OptionsDef {
    let url = Some(puerto_core::Secret::new("sqlite://data/demo.db"));
    OptionsDef { url, init: init.map(str::to_owned), writable, ..OptionsDef::default() }
}

/// A database with data, opened as told.
pub(super) fn world(writable: bool) -> (TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let made = Db::open(&options(true, Some(INIT)), dir.path()).unwrap();
    let db = if writable { made } else { Db::open(&options(false, None), dir.path()).unwrap() };
    (dir, db)
}

pub(super) async fn call(db: &Db, tool: &str, arguments: &Value) -> Result<Value, CallError> {
    let arguments = RawValue::from_string(arguments.to_string()).unwrap();
    let answer = db.call(tool, &arguments, CancellationToken::new()).await?;
    let value = serde_json::from_str(answer.structured.unwrap().get()).unwrap();
    crate::tests::conforms(db, tool, &value);
    Ok(value)
}

pub(super) async fn query(db: &Db, sql: &str) -> Result<Value, CallError> {
    call(db, "query", &json!({ "sql": sql })).await
}

pub(super) async fn error(db: &Db, tool: &str, arguments: Value) -> String {
    match call(db, tool, &arguments).await {
        Err(CallError::Failed(text)) => text,
        other => {
            let arguments: String = arguments.to_string().chars().take(200).collect();
            panic!("{tool} {arguments} should fail, is ok: {}", other.is_ok())
        }
    }
}

#[tokio::test]
async fn rows_are_faithful() {
    let (_dir, db) = world(false);
    let result = query(&db, "SELECT * FROM customers ORDER BY id").await.unwrap();
    assert_eq!(
        result["columns"],
        json!([
            { "name": "id", "type": "INTEGER", "nullable": false },
            { "name": "name", "type": "TEXT", "nullable": false },
            { "name": "big", "type": "BIGINT", "nullable": true },
            { "name": "price", "type": "DECIMAL(10,2)", "nullable": true },
            { "name": "doc", "type": "JSON", "nullable": true },
            { "name": "raw", "type": "BLOB", "nullable": true },
        ])
    );
    assert_eq!(
        result["rows"],
        json!([
            [1, "Ann", "9007199254740993", "5.1", { "a": [1, 2] }, { "$base64": "AAH/", "bytes": 3 }],
            [2, "Bo", "1", "7", null, null],
        ])
    );
    assert_eq!(
        (&result["row_count"], &result["truncated"], &result["truncated_by"]),
        (&json!(2), &json!(false), &json!(null))
    );
    assert!(result["bytes"].as_u64().unwrap() > 50 && result["elapsed_ms"].is_u64());
}

#[tokio::test]
async fn column_names_may_repeat_and_expressions_have_no_type() {
    let (_dir, db) = world(false);
    let result = query(&db, "SELECT 1 AS a, 'x' AS a, max(9223372036854775807) AS big, 1e999").await.unwrap();
    assert_eq!(result["columns"][0], json!({ "name": "a", "type": null }));
    assert_eq!(result["columns"][1]["name"], "a");
    assert_eq!(result["rows"], json!([[1, "x", 9_223_372_036_854_775_807_i64, "Infinity"]]));
    let none = query(&db, "SELECT id FROM customers WHERE 0").await.unwrap();
    assert_eq!((&none["rows"], &none["columns"][0]["name"]), (&json!([]), &json!("id")));
}

#[tokio::test]
async fn everything_that_reads_is_allowed() {
    let (_dir, db) = world(false);
    for sql in [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT * FROM c",
        "VALUES (1), (2)",
        "EXPLAIN QUERY PLAN SELECT * FROM orders WHERE customer = 1",
        "EXPLAIN SELECT 1",
        "PRAGMA table_info(customers)",
        "pragma main.table_xinfo('customers')",
        "PRAGMA user_version",
        "PRAGMA index_list(orders)",
        "PRAGMA foreign_key_list(orders)",
        "SELECT name FROM pragma_table_info('customers')",
        "SELECT * FROM pragma_table_list",
        "SELECT sql FROM sqlite_schema",
        "SELECT * FROM names",
        "SELECT value FROM json_each('[1,2]')",
        "SELECT json_extract(doc, '$.a[0]') FROM customers",
        "SELECT printf('%05d', 3), upper('x'), date('now'), random(), abs(-1)",
        "SELECT row_number() OVER (ORDER BY id) FROM customers",
        "SELECT count(*) FROM customers JOIN orders ON customer = customers.id",
        "-- a comment first\nSELECT 1",
        "/* one */ SELECT /* two */ 1 -- three",
        "SELECT 1;",
        "SELECT 1; -- a tail that is only a comment",
        "SELECT 1;  ;",
        "SELECT 'attach database drop table; --'",
    ] {
        if let Err(error) = query(&db, sql).await {
            panic!("{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn parameters_are_bound_by_place_or_name() {
    let (_dir, db) = world(false);
    let rows = async |sql: &str, params: Value| {
        call(&db, "query", &json!({ "sql": sql, "params": params }))
            .await
            .map(|result| result["rows"].clone())
    };
    let evil = "'; DROP TABLE customers; --";
    assert_eq!(rows("SELECT ?, ?", json!([evil, null])).await.unwrap(), json!([[evil, null]]));
    assert_eq!(
        rows("SELECT :a, @b, $c", json!({ "a": 1, "@b": true, "c": 2.5 })).await.unwrap(),
        json!([[1, 1, 2.5]])
    );
    assert_eq!(rows("SELECT ?1, ?1", json!([7])).await.unwrap(), json!([[7, 7]]));
    let blob = json!({ "$base64": "AAH/" });
    assert_eq!(rows("SELECT ?, ?", json!([blob, [1, "a"]])).await.unwrap()[0][1], r#"[1,"a"]"#);
    for (sql, params, expected) in [
        ("SELECT ?", json!([]), "the sql has 1 parameters, \"params\" has 0 values"),
        ("SELECT ?", json!({ "a": 1 }), "the sql has ? without a name; give \"params\" as an array"),
        ("SELECT :a", json!({ "b": 1 }), "\"params\" has no value for \"a\""),
        ("SELECT :a", json!({ "a": 1, "b": 1 }), "the sql has no parameter \":b\""),
        ("SELECT ?", json!([u64::MAX]), "params[0]: 18446744073709551615 is larger than a 64-bit integer"),
        ("SELECT ?", json!("a"), "\"params\" must be an array (for ?) or an object (for :name)"),
        ("SELECT ?", json!(null), "the sql has 1 parameters, give \"params\""),
    ] {
        let text = rows(sql, params).await.unwrap_err().to_string();
        assert!(text.contains(expected), "{sql}: {text}");
    }
}

#[tokio::test]
async fn rows_and_bytes_are_capped_and_it_says_so() {
    let (_dir, db) = world(false);
    let many = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000) SELECT x";
    let result = query(&db, &format!("{many} FROM c")).await.unwrap();
    assert_eq!(
        (&result["row_count"], &result["truncated"], &result["truncated_by"]),
        (&json!(1000), &json!(true), &json!("rows"))
    );
    let two = call(&db, "query", &json!({ "sql": "VALUES (1), (2)", "max_rows": 2 })).await.unwrap();
    assert_eq!((&two["row_count"], &two["truncated"]), (&json!(2), &json!(false)));
    let wide = json!({ "sql": format!("{many}, printf('%.*c', 1000, 'a') FROM c"), "max_rows": 10_000 });
    let wide = call(&db, "query", &wide).await.unwrap();
    assert_eq!(wide["truncated_by"], "bytes");
    let bytes = wide["bytes"].as_u64().unwrap() as usize;
    assert!(bytes <= query::RESULT_BYTES_MAX && bytes > query::RESULT_BYTES_MAX - 2000, "{bytes}");
    let text = error(&db, "query", json!({ "sql": "SELECT printf('%.*c', 2000000, 'a')" })).await;
    assert!(text.contains("the first row alone has more than 1048576 bytes"), "{text}");
    for (field, value) in [("max_rows", 10_001), ("max_rows", 0), ("timeout_ms", 60_001)] {
        let text = error(&db, "query", json!({ "sql": "SELECT 1", field: value })).await;
        assert!(text.contains(&format!("\"{field}\" must be between 1 and")), "{text}");
    }
}

#[tokio::test]
async fn the_schema_is_told() {
    let (_dir, db) = world(false);
    let list = call(&db, "list_tables", &json!({})).await.unwrap();
    let names: Vec<_> =
        list["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["customers", "names", "odd \"table", "orders"]);
    assert_eq!(list["tables"][1], json!({ "name": "names", "kind": "view", "columns": 1 }));
    let one = call(&db, "schema", &json!({ "table": "ORDERS" })).await.unwrap();
    let orders = &one["tables"][0];
    assert_eq!(
        orders["columns"][0],
        json!({ "name": "id", "type": "INTEGER", "nullable": false, "primary_key": true })
    );
    assert_eq!(orders["columns"][2]["default"], "1");
    assert_eq!(
        orders["foreign_keys"],
        json!([{ "column": "customer", "references_table": "customers", "references_column": "id" }])
    );
    assert_eq!(
        orders["indexes"],
        json!([{ "name": "orders_customer", "unique": false, "columns": ["customer"] }])
    );
    assert!(orders["sql"].as_str().unwrap().starts_with("CREATE TABLE orders"));
    assert_eq!(call(&db, "schema", &json!({})).await.unwrap()["tables"].as_array().unwrap().len(), 4);
    let text = error(&db, "schema", json!({ "table": "customer" })).await;
    assert!(text.contains("there is no table \"customer\"; there are customers, names,"), "{text}");
}

#[tokio::test]
async fn the_schema_is_a_resource() {
    let (_dir, db) = world(false);
    let read = |uri: &'static str| db.read(uri, CancellationToken::new());
    let text = |contents: Vec<Contents>| match contents.into_iter().next().unwrap().body {
        puerto_mcp::builtin::Body::Text(text) => serde_json::from_str::<Value>(&text).unwrap(),
        puerto_mcp::builtin::Body::Blob(_) => panic!("the schema is text"),
    };
    let all = text(read("db://schema").await.unwrap());
    assert_eq!(all["tables"].as_array().unwrap().len(), 4);
    let odd = text(read("db://schema/odd%20%22table").await.unwrap());
    assert_eq!(odd["tables"][0]["columns"][0]["name"], "a b");
    assert!(matches!(read("db://schema/nope").await, Err(CallError::Failed(_))));
    for unknown in ["db://schemas", "db://schema/", "db://other", "file:///a"] {
        assert!(matches!(read(unknown).await, Err(CallError::Unknown)), "{unknown}");
    }
}

#[tokio::test]
async fn rows_are_inserted_all_or_none() {
    let (_dir, db) = world(true);
    let one = json!({ "table": "customers", "data": { "name": "Cy", "doc": { "b": 1 }, "raw": { "$base64": "AAH/" } } });
    let done = call(&db, "insert", &one).await.unwrap();
    assert_eq!((&done["rows_affected"], &done["last_insert_rowid"]), (&json!(1), &json!(3)));
    let row = query(&db, "SELECT name, doc, raw FROM customers WHERE id = 3").await.unwrap();
    assert_eq!(row["rows"], json!([["Cy", { "b": 1 }, { "$base64": "AAH/", "bytes": 3 }]]));
    let odd = json!({ "table": "odd \"table", "data": [{ "a b": "1" }, { "select": 2 }, { "a b": "3", "select": 3 }, {}] });
    assert_eq!(call(&db, "insert", &odd).await.unwrap()["rows_affected"], 4);
    let bad = json!({ "table": "customers", "data": [{ "name": "Di" }, { "name": null }] });
    assert!(error(&db, "insert", bad).await.contains("NOT NULL constraint failed: customers.name"));
    let orphan = json!({ "table": "orders", "data": { "customer": 99 } });
    assert!(error(&db, "insert", orphan).await.contains("FOREIGN KEY constraint failed"));
    let count = query(&db, "SELECT count(*) FROM customers").await.unwrap();
    assert_eq!(count["rows"], json!([[3]]), "Di was not kept");
    for (arguments, expected) in [
        (json!({ "table": "nope", "data": { "a": 1 } }), "no such table: nope"),
        (json!({ "table": "orders", "data": { "nope": 1 } }), "orders has no column named nope"),
        (json!({ "table": "orders", "data": [] }), "\"data\" holds no rows"),
        (json!({ "table": "orders", "data": [1] }), "\"data\" must be an object of column and value"),
        (json!({ "table": "sqlite_schema", "data": { "name": "x" } }), "sqlite_master may not be modified"),
        (
            json!({ "table": "orders(id) SELECT 1; --", "data": { "a": 1 } }),
            "no such table: orders(id) SELECT 1; --",
        ),
        (
            json!({ "table": "orders", "data": { "id\") SELECT 1 --": 1 } }),
            "has no column named id\") SELECT 1 --",
        ),
    ] {
        let text = error(&db, "insert", arguments).await;
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn statements_that_change_are_executed() {
    let (_dir, db) = world(true);
    for (sql, rows_affected, rowid) in [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", 0, json!(null)),
        ("INSERT INTO t (a) VALUES ('x'), ('y')", 2, json!(2)),
        ("UPDATE t SET a = 'z'", 2, json!(null)),
        ("ALTER TABLE t ADD COLUMN b INT", 0, json!(null)),
        ("ALTER TABLE t RENAME COLUMN b TO c", 0, json!(null)),
        ("ALTER TABLE t RENAME TO u", 0, json!(null)),
        ("CREATE INDEX u_a ON u (a)", 0, json!(null)),
        ("CREATE TRIGGER u_i AFTER INSERT ON u BEGIN UPDATE u SET c = 1; END", 0, json!(null)),
        ("CREATE VIEW v AS SELECT * FROM u", 0, json!(null)),
        ("ANALYZE", 0, json!(null)),
        ("DELETE FROM u WHERE id = 1", 1, json!(null)),
        ("CREATE VIRTUAL TABLE f USING fts5(body)", 0, json!(null)),
        ("INSERT INTO f (body) VALUES ('hello world')", 1, json!(1)),
        ("DROP VIEW v", 0, json!(null)),
        ("DROP TABLE u", 0, json!(null)),
    ] {
        let done = call(&db, "execute", &json!({ "sql": sql }))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(
            (&done["rows_affected"], &done["last_insert_rowid"]),
            (&json!(rows_affected), &rowid),
            "{sql}"
        );
    }
    let found = query(&db, "SELECT body FROM f WHERE f MATCH 'hello'").await.unwrap();
    assert_eq!(found["rows"], json!([["hello world"]]));
    let sql = "INSERT INTO customers (name) VALUES (:a), (:b) RETURNING id, name";
    let returned =
        call(&db, "execute", &json!({ "sql": sql, "params": { "a": "Di", "b": "Ed" } })).await.unwrap();
    assert_eq!((&returned["rows"], &returned["row_count"]), (&json!([[3, "Di"], [4, "Ed"]]), &json!(2)));
    assert_eq!((&returned["rows_affected"], &returned["last_insert_rowid"]), (&json!(2), &json!(4)));
    assert!(error(&db, "execute", json!({ "sql": "SELECT 1" })).await.contains("use query to read"));
}

#[tokio::test]
async fn sqlite_says_what_is_wrong_and_never_where_the_file_is() {
    let (dir, db) = world(true);
    for (tool, sql, expected) in [
        ("query", "SELEC 1", "near \"SELEC\": syntax error (at byte 0)"),
        ("query", "SELECT nam FROM customers", "no such column: nam"),
        ("query", "SELECT \"nam\" FROM customers", "no such column: \"nam\""),
        ("query", "SELECT * FROM nope", "no such table: nope"),
        ("query", "", "the sql holds no statement that returns rows"),
        ("query", "-- nothing", "the sql holds no statement that returns rows"),
        ("query", "SELECT 1\0", "NUL"),
        (
            "execute",
            "INSERT INTO customers (id, name) VALUES (1, 'x')",
            "UNIQUE constraint failed: customers.id",
        ),
    ] {
        let text = error(&db, tool, json!({ "sql": sql })).await;
        assert!(text.contains(expected), "{sql}: {text}");
        assert!(!text.contains("demo.db") && !text.contains(&*dir.path().to_string_lossy()), "{text}");
    }
}

#[test]
fn opening_explains_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let open = |options: &OptionsDef| Db::open(options, dir.path()).err().unwrap().to_string();
    let text = open(&options(false, None));
    assert!(text.contains("the file does not exist") && text.contains("set \"writable\": true"), "{text}");
    assert!(!text.contains("demo.db"), "the url is a secret: {text}");
    assert!(open(&options(false, Some("SELECT 1"))).contains("\"init\" needs \"writable\": true"));
    let text = open(&options(true, Some("CREATE TABLE x (a); CREATE TABEL y (a)")));
    assert!(text.contains("\"init\" failed: ") && text.contains("near \"TABEL\""), "{text}");
    std::fs::write(dir.path().join("data/demo.db"), "this is no database at all, only a text file").unwrap();
    assert!(open(&options(false, None)).contains("the file is not a sqlite database"));
}

#[tokio::test]
async fn a_new_database_can_be_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&options(true, None), dir.path()).unwrap();
    assert_eq!(call(&db, "list_tables", &json!({})).await.unwrap()["tables"], json!([]));
}

#[tokio::test]
async fn without_writable_nothing_that_changes_exists() {
    let (_dir, db) = world(false);
    let names: Vec<String> = db.tools().iter().map(|tool| tool.name.clone().into_owned()).collect();
    assert_eq!(names, ["query", "schema", "list_tables"]);
    for tool in ["insert", "execute"] {
        let result = call(&db, tool, &json!({ "sql": "DELETE FROM customers" })).await;
        assert!(matches!(result, Err(CallError::Unknown)), "{tool}");
    }
}
