//! What the database holds: tables, views, their columns, keys and indexes.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// Tables of one list; a schema with more is for a machine to read.
const TABLES_MAX: usize = 1_000;
/// Tables of a schema with all their columns: about 20,000 tokens.
const SCHEMA_TABLES_MAX: usize = 200;
/// Names in an error that lists what there is.
const NAMES_MAX: usize = 30;

/// Arguments of `schema`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaArgs {
    /// Only this table or view; all where left out.
    #[serde(default)]
    pub(super) table: Option<String>,
}

/// Arguments of `list_tables`: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTablesArgs {}

/// Tables and views.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tables {
    tables: Vec<TableItem>,
    /// Whether there are more.
    truncated: bool,
}

/// A table or view.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TableItem {
    name: String,
    /// table, view or virtual.
    kind: String,
    /// Number of columns.
    columns: u32,
}

/// Tables and views with all that they are made of.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Schema {
    tables: Vec<TableView>,
    /// Whether there are more; ask for one by its name.
    truncated: bool,
}

/// A table or view with all that it is made of.
#[derive(Debug, Serialize, JsonSchema)]
struct TableView {
    name: String,
    /// table, view or virtual.
    kind: String,
    columns: Vec<ColumnInfo>,
    foreign_keys: Vec<ForeignKey>,
    indexes: Vec<Index>,
    /// The statement that made it.
    sql: Option<String>,
}

/// A column of a table.
#[derive(Debug, Serialize, JsonSchema)]
struct ColumnInfo {
    name: String,
    /// Declared type; empty where none is.
    #[serde(rename = "type")]
    declared: String,
    nullable: bool,
    /// Whether it is part of the primary key.
    primary_key: bool,
    /// Default, as SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
}

/// A reference to another table.
#[derive(Debug, Serialize, JsonSchema)]
struct ForeignKey {
    column: String,
    references_table: String,
    /// Column there; its primary key where null.
    references_column: Option<String>,
}

/// An index.
#[derive(Debug, Serialize, JsonSchema)]
struct Index {
    name: String,
    unique: bool,
    /// Its columns in order; an expression is null.
    columns: Vec<Option<String>>,
}

/// Lists tables and views.
pub(super) fn list(db: &Connection) -> Result<Tables, Failure> {
    // Shadow tables are where virtual tables keep their data.
    let mut statement = db.prepare(
        "SELECT name, type, ncol FROM pragma_table_list \
         WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name LIMIT ?1",
    )?;
    let found = statement.query_map([TABLES_MAX as i64 + 1], |row| {
        Ok(TableItem { name: row.get(0)?, kind: row.get(1)?, columns: row.get(2)? })
    })?;
    let mut tables = found.collect::<Result<Vec<_>, _>>()?;
    let truncated = tables.len() > TABLES_MAX;
    tables.truncate(TABLES_MAX);
    Ok(Tables { tables, truncated })
}

/// Describes one table, or all.
pub(super) fn describe(db: &Connection, table: Option<&str>) -> Result<Schema, Failure> {
    let mut tables = list(db)?.tables;
    if let Some(wanted) = table {
        // As SQLite compares names.
        let Some(at) = tables.iter().position(|item| item.name.eq_ignore_ascii_case(wanted)) else {
            let names: Vec<&str> = tables.iter().map(|item| item.name.as_str()).take(NAMES_MAX).collect();
            let there = if names.is_empty() {
                "there are none".into()
            } else {
                format!("there are {}", names.join(", "))
            };
            return Err(Failure::text(format!("there is no table \"{wanted}\"; {there}")));
        };
        tables = vec![tables.swap_remove(at)];
    }
    let truncated = tables.len() > SCHEMA_TABLES_MAX;
    tables.truncate(SCHEMA_TABLES_MAX);
    let tables = tables.into_iter().map(|item| table_view(db, item)).collect::<Result<_, _>>()?;
    Ok(Schema { tables, truncated })
}

fn table_view(db: &Connection, item: TableItem) -> Result<TableView, Failure> {
    let name = item.name;
    let sql = "SELECT sql FROM sqlite_schema WHERE name = ?1 AND type IN ('table', 'view')";
    let sql = db.prepare(sql)?.query_map([&name], |row| row.get(0))?.next().transpose()?;
    Ok(TableView {
        columns: columns(db, &name)?,
        foreign_keys: foreign_keys(db, &name)?,
        indexes: indexes(db, &name)?,
        kind: item.kind,
        sql,
        name,
    })
}

fn columns(db: &Connection, table: &str) -> Result<Vec<ColumnInfo>, Failure> {
    let sql = "SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
    let mut statement = db.prepare(sql)?;
    let found = statement.query_map([table], |row| {
        let (declared, not_null, key): (String, bool, u32) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let is_rowid = key > 0 && declared.eq_ignore_ascii_case("INTEGER");
        let nullable = !(not_null || is_rowid);
        Ok(ColumnInfo { name: row.get(0)?, declared, nullable, primary_key: key > 0, default: row.get(4)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn foreign_keys(db: &Connection, table: &str) -> Result<Vec<ForeignKey>, Failure> {
    let sql = "SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq";
    let mut statement = db.prepare(sql)?;
    let found = statement.query_map([table], |row| {
        Ok(ForeignKey { column: row.get(0)?, references_table: row.get(1)?, references_column: row.get(2)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn indexes(db: &Connection, table: &str) -> Result<Vec<Index>, Failure> {
    let mut statement = db.prepare("SELECT name, \"unique\" FROM pragma_index_list(?1) ORDER BY name")?;
    let found = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut columns = db.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let mut indexes = Vec::new();
    for index in found {
        let (name, unique) = index?;
        let columns = columns.query_map([&name], |row| row.get(0))?.collect::<Result<_, _>>()?;
        indexes.push(Index { name, unique, columns });
    }
    Ok(indexes)
}
