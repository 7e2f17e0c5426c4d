//! `query`: one statement that reads, its rows written straight from SQLite into JSON text.

use puerto_mcp::builtin::Answer;
use rusqlite::Statement;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::failure::Failure;
use super::pool::Conn;
use super::value::{self, Shape, to_sql};

/// Rows where no limit is given.
pub(super) const ROWS_DEFAULT: u64 = 1_000;
/// More than this is an export rather than an answer.
pub(super) const ROWS_MAX: u64 = 10_000;
/// Bytes of JSON rows: about 250,000 tokens, more than most models take.
pub(super) const RESULT_BYTES_MAX: usize = 1 << 20;

/// Arguments of `query`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryArgs {
    /// One statement that reads, with ? or :name where parameters go.
    pub(super) sql: String,
    /// Parameters: an array for ?, an object for :name.
    #[serde(default)]
    pub(super) params: Option<Params>,
    /// Rows to return at most; 1000 where left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    pub(super) max_rows: Option<u64>,
    /// Milliseconds that it may take; 10000 where left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 60000))]
    pub(super) timeout_ms: Option<u64>,
}

/// Parameters of a statement.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Params(Value);

impl JsonSchema for Params {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Params".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "array", "items": {} }, { "type": "object" }] })
    }
}

/// Rows of a table.
// Only for the output schema: answers are written as text, straight from SQLite's rows.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its fields are read by schemars alone")]
pub(super) struct RowsView {
    /// The columns, in the order of the values of each row.
    columns: Vec<ColumnView>,
    /// Each row is an array of values. A blob is {"$base64", "bytes"}.
    rows: Vec<Vec<Value>>,
    row_count: u64,
    /// Whether there is more than was returned.
    truncated: bool,
    /// Which limit cut the rows.
    truncated_by: Option<Cut>,
    /// Size of the rows as JSON.
    bytes: u64,
    elapsed_ms: u64,
}

/// A column of a result.
#[derive(Serialize, JsonSchema)]
pub(super) struct ColumnView {
    /// Its name; two columns may have the same.
    name: String,
    /// Declared type; null for an expression.
    #[serde(rename = "type")]
    declared: Option<String>,
    /// Whether the table lets it be null; left out for an expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    nullable: Option<bool>,
}

/// Which limit cut the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cut {
    /// max_rows.
    Rows,
    /// 1 MiB.
    Bytes,
}

/// Columns and rows as JSON text: `"columns":[...],"rows":[...]` and the counts.
pub(super) struct Table {
    pub(super) text: Vec<u8>,
}

/// Runs one statement that reads.
pub(super) fn query(conn: &mut Conn, args: &QueryArgs, max_rows: usize) -> Result<Answer, Failure> {
    let started = Instant::now();
    let mut statement = prepare(conn, &args.sql)?;
    // The second lock: SQLite's own judgement of what it compiled.
    if !statement.readonly() {
        return Err(Failure::text("the sql was refused: query only reads"));
    }
    if statement.column_count() == 0 {
        return Err(Failure::text("the sql holds no statement that returns rows"));
    }
    bind(&mut statement, args.params.as_ref())?;
    let Table { mut text } = table(&mut statement, max_rows)?;
    text.splice(0..0, *b"{");
    text.extend_from_slice(format!(",\"elapsed_ms\":{}}}", started.elapsed().as_millis()).as_bytes());
    structured(text)
}

/// Compiles one statement. SQLite stops reading at a NUL, so what follows one would go unseen.
pub(super) fn prepare<'a>(conn: &'a Conn, sql: &str) -> Result<Statement<'a>, Failure> {
    if sql.contains('\0') {
        return Err(Failure::text("the sql holds a NUL character"));
    }
    Ok(conn.db.prepare(sql)?)
}

/// An answer of JSON that was written by hand.
pub(super) fn structured(text: Vec<u8>) -> Result<Answer, Failure> {
    let text = String::from_utf8(text).ok().and_then(|text| RawValue::from_string(text).ok());
    let structured = text.ok_or_else(|| Failure::text("the rows cannot be written as json"))?;
    Ok(structured.into())
}

/// Gives every parameter its value, and says which is missing or left over.
pub(super) fn bind(statement: &mut Statement<'_>, params: Option<&Params>) -> Result<(), Failure> {
    let count = statement.parameter_count();
    match params.map(|Params(value)| value) {
        None | Some(Value::Null) if count == 0 => Ok(()),
        None | Some(Value::Null) => {
            Err(Failure::text(format!("the sql has {count} parameters, give \"params\"")))
        }
        Some(Value::Array(values)) => {
            if values.len() != count {
                let given = values.len();
                return Err(Failure::text(format!(
                    "the sql has {count} parameters, \"params\" has {given} values"
                )));
            }
            for (index, value) in values.iter().enumerate() {
                let value =
                    to_sql(value).map_err(|error| Failure::text(format!("params[{index}]: {error}")))?;
                statement.raw_bind_parameter(index + 1, value)?;
            }
            Ok(())
        }
        Some(Value::Object(values)) => bind_named(statement, values),
        Some(_) => Err(Failure::text("\"params\" must be an array (for ?) or an object (for :name)")),
    }
}

fn bind_named(statement: &mut Statement<'_>, values: &serde_json::Map<String, Value>) -> Result<(), Failure> {
    let bare = |name: &str| name.trim_start_matches([':', '@', '$', '?']).to_owned();
    let mut used = Vec::new();
    for index in 1..=statement.parameter_count() {
        let Some(name) = statement.parameter_name(index).map(bare) else {
            return Err(Failure::text("the sql has ? without a name; give \"params\" as an array"));
        };
        let Some((_, value)) = values.iter().find(|(key, _)| bare(key) == name) else {
            return Err(Failure::text(format!("\"params\" has no value for \"{name}\"")));
        };
        let value = to_sql(value).map_err(|error| Failure::text(format!("params.{name}: {error}")))?;
        statement.raw_bind_parameter(index, value)?;
        used.push(name);
    }
    match values.keys().find(|key| !used.contains(&bare(key))) {
        Some(key) => Err(Failure::text(format!("the sql has no parameter \":{}\"", bare(key)))),
        None => Ok(()),
    }
}

/// Runs a bound statement to its end or a limit, and writes what it returns. A statement that changes
/// something is always run to its end.
pub(super) fn table(statement: &mut Statement<'_>, max_rows: usize) -> Result<Table, Failure> {
    let (columns, shapes) = columns(statement)?;
    let runs_on = !statement.readonly();
    let mut out = b"\"columns\":".to_vec();
    serde_json::to_writer(&mut out, &columns).map_err(|error| Failure::text(error.to_string()))?;
    out.extend_from_slice(b",\"rows\":[");
    let start = out.len();
    let (mut count, mut cut) = (0, None);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if cut.is_some() {
            continue;
        }
        let before = out.len();
        if count == max_rows {
            cut = Some(Cut::Rows);
        } else if !write_row(&mut out, row, &shapes, count == 0, start)? {
            out.truncate(before);
            cut = Some(Cut::Bytes);
        } else {
            count += 1;
        }
        if cut.is_some() && !runs_on {
            break;
        }
    }
    if count == 0 && cut == Some(Cut::Bytes) && !runs_on {
        return Err(Failure::text(format!(
            "the first row alone has more than {RESULT_BYTES_MAX} bytes; select fewer columns, or cut them with substr()"
        )));
    }
    let bytes = out.len() - start;
    let cut = match cut {
        None => "\"truncated\":false,\"truncated_by\":null",
        Some(Cut::Rows) => "\"truncated\":true,\"truncated_by\":\"rows\"",
        Some(Cut::Bytes) => "\"truncated\":true,\"truncated_by\":\"bytes\"",
    };
    out.extend_from_slice(format!("],\"row_count\":{count},{cut},\"bytes\":{bytes}").as_bytes());
    Ok(Table { text: out })
}

fn columns(statement: &Statement<'_>) -> Result<(Vec<ColumnView>, Vec<Shape>), Failure> {
    let mut views = Vec::new();
    for (index, column) in statement.columns().enumerate() {
        let declared = column.decl_type().map(str::to_owned);
        // What is no table of the file, such as a pragma as a table, has no such knowledge.
        let known = statement.column_metadata(index).ok().flatten();
        let nullable = known.map(|(_, _, _, kind, _, not_null, key, _)| {
            // A rowid is never null, though nothing in the table says so.
            let is_rowid = key && kind.is_some_and(|kind| kind.to_bytes().eq_ignore_ascii_case(b"INTEGER"));
            !(not_null || is_rowid)
        });
        views.push(ColumnView { name: column.name().to_owned(), declared, nullable });
    }
    let shapes = views.iter().map(|view| Shape::of(view.declared.as_deref())).collect();
    Ok((views, shapes))
}

/// Appends a row; false when the rows would be larger than their limit.
fn write_row(
    out: &mut Vec<u8>,
    row: &rusqlite::Row<'_>,
    shapes: &[Shape],
    first: bool,
    start: usize,
) -> Result<bool, Failure> {
    out.extend_from_slice(if first { b"[" } else { b",[" });
    for (index, shape) in shapes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let room = RESULT_BYTES_MAX.saturating_sub(out.len() - start);
        if !value::write(out, row.get_ref(index)?, *shape, room) || out.len() - start >= RESULT_BYTES_MAX {
            return Ok(false);
        }
    }
    out.push(b']');
    Ok(true)
}
