//! What SQL may do. SQLite's authorizer asks us while it compiles a statement, so a refusal comes before
//! anything runs, whatever the text looked like (reference: ops-sql-tasks, 2.4: `mode=ro` alone still
//! lets ATTACH and VACUUM INTO write other files).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use super::functions;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
}

/// Functions that reach files or code, or make large values out of nothing.
const DENIED_FUNCTIONS: [&str; 8] =
    ["load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zeroblob", "randomblob", "fsdir"];

/// Pragmas that only look, and take the name of what to look at. `database_list` is not among them: it
/// shows the path of the file.
const LOOKING_PRAGMAS: [&str; 12] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "collation_list",
    "function_list",
    "pragma_list",
    "compile_options",
];

/// Pragmas that only look while they are given no value; with one they would set something.
const VALUELESS_PRAGMAS: [&str; 10] = [
    "user_version",
    "schema_version",
    "application_id",
    "data_version",
    "encoding",
    "page_count",
    "page_size",
    "freelist_count",
    "journal_mode",
    "foreign_keys",
];

/// Kinds of virtual table that keep their data in the database and nowhere else, and whose own
/// statements pass the guard (an R-tree needs `zeroblob`).
const VIRTUAL_TABLES: [&str; 3] = ["fts3", "fts4", "fts5"];

/// Largest text or blob. No answer may have more than 1 MiB, so what is larger is cut by SQL anyway;
/// and functions that look at no deadline work on as much as this at a time.
pub(super) const LENGTH_BYTES_MAX: usize = 4 << 20;

/// Limits of a connection with their reasons.
const LIMITS: [(Limit, i32); 10] = [
    // No other database, ever: the second lock behind the authorizer.
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LENGTH, LENGTH_BYTES_MAX as i32),
    // No person and no model writes more; larger values are parameters.
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 256 << 10),
    // SQLite recurses this deep on the stack; generated conditions stay below.
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
    (Limit::SQLITE_LIMIT_PARSER_DEPTH, 500),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    // Matching takes text times pattern and does not watch the deadline.
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 2_000),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 100),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

const TEMPORARY: &str =
    "temporary tables are not allowed: the connection is shared; use WITH ... AS (SELECT ...)";

/// What the authorizer saw and is told.
#[derive(Default)]
pub(super) struct Guard {
    /// Our own BEGIN, COMMIT and ROLLBACK pass; nobody else's do.
    ours: AtomicBool,
    /// Whether the statement itself (not a trigger) inserts rows.
    inserts: AtomicBool,
    /// Whether the statement itself (not a trigger) inserts, updates or deletes rows.
    changes: AtomicBool,
    /// The last refusal, in words.
    refused: Mutex<Option<String>>,
}

/// Closes a connection down to what `mode` allows. Nothing later opens it again.
pub(super) fn install(connection: &mut Connection, mode: Mode) -> rusqlite::Result<Arc<Guard>> {
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // A misspelt "column" is an error rather than a text, which a model would take for data.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    if mode == Mode::Write {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    }
    functions::install(connection)?;
    let guard = Arc::new(Guard::default());
    let asked = guard.clone();
    connection.authorizer(Some(move |context: AuthContext<'_>| asked.decide(mode, &context)))?;
    Ok(guard)
}

impl Guard {
    /// Forgets what an earlier statement did.
    pub(super) fn begin(&self) {
        self.inserts.store(false, Ordering::Relaxed);
        self.changes.store(false, Ordering::Relaxed);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why the statement was refused, if it was.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the statement just compiled inserts rows, so that the last rowid will be its own.
    pub(super) fn inserts(&self) -> bool {
        self.inserts.load(Ordering::Relaxed)
    }

    /// Whether the statement just compiled changes rows, so that the count of changes will be its own.
    pub(super) fn changes(&self) -> bool {
        self.changes.load(Ordering::Relaxed)
    }

    /// Runs our own transaction control.
    pub(super) fn control(&self, connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
        self.ours.store(true, Ordering::Relaxed);
        let done = connection.execute_batch(sql);
        self.ours.store(false, Ordering::Relaxed);
        done
    }

    fn decide(&self, mode: Mode, context: &AuthContext<'_>) -> Authorization {
        if context.accessor.is_none() {
            self.note(&context.action);
        }
        let is_ours =
            self.ours.load(Ordering::Relaxed) && matches!(context.action, AuthAction::Transaction { .. });
        if is_ours || may_read(&context.action) || (mode == Mode::Write && may_write(context)) {
            return Authorization::Allow;
        }
        let words = refusal(mode, context);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        Authorization::Deny
    }

    fn note(&self, action: &AuthAction<'_>) {
        match action {
            // A change of the schema writes SQLite's own tables.
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name }
                if table_name.starts_with("sqlite_") => {}
            AuthAction::Insert { .. } => {
                self.inserts.store(true, Ordering::Relaxed);
                self.changes.store(true, Ordering::Relaxed);
            }
            AuthAction::Update { .. } | AuthAction::Delete { .. } => {
                self.changes.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

fn is_among(name: &str, list: &[&str]) -> bool {
    list.iter().any(|one| name.eq_ignore_ascii_case(one))
}

fn may_read(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Recursive => true,
        // Raw pages of the file; not compiled in, and not wanted if it ever is.
        AuthAction::Read { table_name, .. } => !table_name.eq_ignore_ascii_case("sqlite_dbpage"),
        AuthAction::Function { function_name } => !is_among(function_name, &DENIED_FUNCTIONS),
        AuthAction::Pragma { pragma_name, pragma_value } => {
            is_among(pragma_name, &LOOKING_PRAGMAS)
                || (pragma_value.is_none() && is_among(pragma_name, &VALUELESS_PRAGMAS))
        }
        _ => false,
    }
}

/// Changes of data and schema within this database. Transactions and temporary tables are not among
/// them: they would be left behind on a connection that others use next.
fn may_write(context: &AuthContext<'_>) -> bool {
    if is_temporary(context) {
        // ALTER TABLE looks through temporary views and triggers, of which there are none.
        return matches!(context.action, AuthAction::Update { table_name: "sqlite_temp_master", .. });
    }
    match &context.action {
        AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. }
        | AuthAction::CreateTable { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::DropTable { .. }
        | AuthAction::DropIndex { .. }
        | AuthAction::DropView { .. }
        | AuthAction::DropTrigger { .. }
        | AuthAction::AlterTable { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Analyze { .. }
        | AuthAction::DropVtable { .. } => true,
        AuthAction::CreateVtable { module_name, .. } => is_among(module_name, &VIRTUAL_TABLES),
        _ => false,
    }
}

/// `CREATE TABLE temp.t` is an ordinary CREATE TABLE to the authorizer; only the schema tells.
fn is_temporary(context: &AuthContext<'_>) -> bool {
    context.database_name.is_some_and(|name| name.eq_ignore_ascii_case("temp"))
}

/// The refusal in words that help to mend the statement.
fn refusal(mode: Mode, context: &AuthContext<'_>) -> String {
    match &context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            "ATTACH, DETACH and VACUUM are not allowed: only this one database is served".into()
        }
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            "transaction control is not allowed: each statement is its own transaction".into()
        }
        AuthAction::Function { function_name } => format!("the function {function_name}() is not allowed"),
        AuthAction::Pragma { pragma_name, .. } => format!(
            "PRAGMA {pragma_name} is not allowed here; those that only look are, such as table_info, index_list and \
             foreign_key_list"
        ),
        AuthAction::CreateVtable { module_name, .. } => {
            format!("virtual tables of the kind {module_name} are not allowed")
        }
        AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::CreateTempTrigger { .. } => TEMPORARY.into(),
        _ if is_temporary(context) => TEMPORARY.into(),
        AuthAction::Read { table_name, .. } => format!("the table {table_name} is not allowed"),
        _ if mode == Mode::Read => {
            "query only reads: SELECT, WITH, VALUES, EXPLAIN and PRAGMA table_info".into()
        }
        _ => "this kind of statement is not allowed".into(),
    }
}
