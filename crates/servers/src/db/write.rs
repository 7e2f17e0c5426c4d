//! `insert` and `execute`: changes, on the one writing connection, each call its own transaction.

use puerto_mcp::builtin::Answer;
use rusqlite::types::Value as SqlValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::failure::Failure;
use super::pool::Conn;
use super::query::{ColumnView, Cut, Params, ROWS_DEFAULT, bind, prepare, structured, table};
use super::value::to_sql;

/// Rows of one insert: a call stays a short transaction, and others can write between two.
pub(super) const INSERT_ROWS_MAX: usize = 10_000;

/// Arguments of `execute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecuteArgs {
    /// One statement that changes data or schema, with ? or :name where parameters go.
    pub(super) sql: String,
    /// Parameters: an array for ?, an object for :name.
    #[serde(default)]
    pub(super) params: Option<Params>,
}

/// Arguments of `insert`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InsertArgs {
    /// The table, as list_tables names it.
    pub(super) table: String,
    /// A row as an object of column and value, or an array of such rows.
    pub(super) data: Rows,
}

/// Rows to insert.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Rows(Value);

impl JsonSchema for Rows {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rows".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "object" }, { "type": "array", "items": { "type": "object" } }] })
    }
}

/// What was inserted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Inserted {
    rows_affected: u64,
    /// Rowid of the last row; null when nothing was inserted.
    last_insert_rowid: Option<i64>,
    elapsed_ms: u64,
}

/// What a statement changed.
// Only for the output schema: answers are written as text, straight from SQLite's rows.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its fields are read by schemars alone")]
pub(super) struct Executed {
    /// Rows inserted, updated or deleted; 0 for a change of the schema.
    rows_affected: u64,
    /// Rowid of the last row that it inserted.
    last_insert_rowid: Option<i64>,
    elapsed_ms: u64,
    /// With RETURNING: the columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<ColumnView>>,
    /// With RETURNING: the rows, at most 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<Vec<Value>>>,
    /// With RETURNING: rows returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<u64>,
    /// With RETURNING: whether there were more.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    /// With RETURNING: which limit cut the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_by: Option<Cut>,
    /// With RETURNING: size of the rows as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// Runs one statement that changes something.
pub(super) fn execute(conn: &mut Conn, args: &ExecuteArgs) -> Result<Answer, Failure> {
    let started = Instant::now();
    let total = conn.db.total_changes();
    let mut statement = prepare(conn, &args.sql)?;
    // Now, because running the statement may compile others: a virtual table does.
    let (changes, inserts) = (conn.guard.changes(), conn.guard.inserts());
    if statement.is_explain() != 0 || statement.readonly() {
        return Err(Failure::text("execute is for one statement that changes something; use query to read"));
    }
    bind(&mut statement, args.params.as_ref())?;
    let returned = if statement.column_count() > 0 {
        Some(table(&mut statement, ROWS_DEFAULT as usize)?)
    } else {
        statement.raw_execute()?;
        None
    };
    drop(statement);
    // SQLite counts for INSERT, UPDATE and DELETE only; after another statement the old count stands.
    let rows_affected = if changes && conn.db.total_changes() != total { conn.db.changes() } else { 0 };
    let rowid = (rows_affected > 0 && inserts).then(|| conn.db.last_insert_rowid());
    let rowid = rowid.map_or("null".into(), |rowid| rowid.to_string());
    let elapsed = started.elapsed().as_millis();
    let mut out =
        format!("{{\"rows_affected\":{rows_affected},\"last_insert_rowid\":{rowid},\"elapsed_ms\":{elapsed}");
    if let Some(returned) = &returned {
        out.push(',');
        out.push_str(&String::from_utf8_lossy(&returned.text));
    }
    out.push('}');
    structured(out.into_bytes())
}

/// Inserts all rows or none.
pub(super) fn insert(conn: &mut Conn, args: InsertArgs) -> Result<Inserted, Failure> {
    let started = Instant::now();
    let rows = rows(args.data)?;
    conn.guard.control(&conn.db, "BEGIN IMMEDIATE")?;
    let inserted = insert_all(conn, &args.table, &rows).and_then(|done| {
        conn.guard.control(&conn.db, "COMMIT")?;
        Ok(done)
    });
    if inserted.is_err() && !conn.db.is_autocommit() {
        conn.guard.control(&conn.db, "ROLLBACK")?;
    }
    let rows_affected = inserted?;
    let last_insert_rowid = (rows_affected > 0).then(|| conn.db.last_insert_rowid());
    Ok(Inserted { rows_affected, last_insert_rowid, elapsed_ms: started.elapsed().as_millis() as u64 })
}

fn rows(Rows(data): Rows) -> Result<Vec<Map<String, Value>>, Failure> {
    let wrong =
        || Failure::text("\"data\" must be an object of column and value, or an array of such objects");
    let rows = match data {
        Value::Object(row) => vec![row],
        Value::Array(rows) => rows
            .into_iter()
            .map(|row| if let Value::Object(row) = row { Ok(row) } else { Err(wrong()) })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    match rows.len() {
        0 => Err(Failure::text("\"data\" holds no rows")),
        n if n > INSERT_ROWS_MAX => Err(Failure::text(format!(
            "\"data\" holds {n} rows, more than {INSERT_ROWS_MAX}; insert them in parts"
        ))),
        _ => Ok(rows),
    }
}

fn insert_all(conn: &Conn, table: &str, rows: &[Map<String, Value>]) -> Result<u64, Failure> {
    let mut affected = 0;
    let mut rest = rows;
    // Rows with the same columns follow each other as a rule, so a statement serves many of them.
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|row| row.keys().eq(first.keys())).count();
        let (now, later) = rest.split_at(same);
        let mut statement = conn.db.prepare(&insert_sql(table, first))?;
        for row in now {
            for (index, (column, value)) in row.iter().enumerate() {
                let value: SqlValue = to_sql(value)
                    .map_err(|error| Failure::text(format!("the column \"{column}\": {error}")))?;
                statement.raw_bind_parameter(index + 1, value)?;
            }
            affected += statement.raw_execute()? as u64;
        }
        rest = later;
    }
    Ok(affected)
}

fn insert_sql(table: &str, row: &Map<String, Value>) -> String {
    let table = quoted(table);
    if row.is_empty() {
        return format!("INSERT INTO {table} DEFAULT VALUES");
    }
    let columns: Vec<String> = row.keys().map(|column| quoted(column)).collect();
    let marks = vec!["?"; columns.len()].join(", ");
    format!("INSERT INTO {table} ({}) VALUES ({marks})", columns.join(", "))
}

/// A name as SQL, whatever it holds.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
