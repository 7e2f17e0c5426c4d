//! A connection to a file of SQLite, or to a database in memory.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Statement, TransactionBehavior};

use super::{Misread, Param, Params, Row};
use crate::error::StoreError;
use crate::migrations::MIGRATIONS;

/// How long to wait for another process that writes to the same file (`puerto up` beside
/// `puerto stdio`). Its commits take milliseconds, so this much means that something hangs.
const BUSY_MS: u64 = 5_000;

/// How long those who read are waited for where the log is to be emptied. They take milliseconds.
const LOG_WAIT: Duration = Duration::from_millis(100);

/// Marks a file as ours (`PUER`), so that another program's database is never taken for one.
const APPLICATION_ID: i64 = 0x5055_4552;

/// Size of a page. Records are mostly appended, and whatever a page costs (a frame of the log, two system calls, a sum) is
/// shared by what is on it: a record took a quarter less processor time than with pages of 4 KiB.
const PAGE_BYTES: i64 = 16_384;

/// Statements that a connection keeps ready.
const STATEMENTS_KEPT: usize = 64;

/// The connection.
pub(crate) struct Sqlite {
    db: Connection,
    path: PathBuf,
    /// Whether a commit waits for the disk.
    durable: bool,
    /// Whether what was erased may stand in the log still.
    is_erasing: bool,
}

impl Sqlite {
    /// Opens a file, or memory, for writing; makes directory, file and tables as needed.
    pub(crate) fn writer(path: Option<&Path>) -> Result<Self, StoreError> {
        let shown = path.unwrap_or(Path::new(":memory:"));
        let sql = |error: rusqlite::Error| StoreError::sqlite(shown, &error);
        let mut db = match path {
            None => Connection::open_in_memory().map_err(sql)?,
            Some(path) => {
                create_private(path)?;
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(path, flags).map_err(sql)?
            }
        };
        db.busy_timeout(Duration::from_millis(BUSY_MS)).map_err(sql)?;
        // SQLite falls back to reading only when it may not write.
        if db.is_readonly("main").map_err(sql)? {
            return Err(StoreError::ReadOnly { place: StoreError::shown(shown) });
        }
        // Of a new file; one that exists keeps its own.
        db.pragma_update(None, "page_size", PAGE_BYTES).map_err(sql)?;
        migrate(&mut db, shown)?;
        // WAL: readers and the writer do not wait for each other. How far a commit must reach is decided
        // per commit.
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(sql)?;
        db.pragma_update(None, "synchronous", "normal").map_err(sql)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(Self { db, path: shown.into(), durable: false, is_erasing: false })
    }

    /// Opens a file that exists, for reading only.
    pub(crate) fn reader(path: &Path) -> Result<Self, StoreError> {
        let sql = |error: rusqlite::Error| StoreError::sqlite(path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(sql)?;
        db.busy_timeout(Duration::from_millis(BUSY_MS)).map_err(sql)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(Self { db, path: path.into(), durable: false, is_erasing: false })
    }

    pub(crate) fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        self.query(sql, params, |_| Ok(()))?;
        Ok(self.db.changes())
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        params: Params<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(|error| self.wrong(&error))?;
        let mut out = Vec::new();
        self.run(&mut statement, params, |row| {
            out.push(read(row)?);
            Ok(())
        })?;
        Ok(out)
    }

    pub(crate) fn first_of_each<'a, T>(
        &mut self,
        sql: &str,
        many: &[impl AsRef<[&'a dyn Param]>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let mut statement = self.db.prepare_cached(sql).map_err(|error| self.wrong(&error))?;
        let mut firsts = Vec::with_capacity(many.len());
        for params in many {
            let mut first = None;
            self.run(&mut statement, params.as_ref(), |row| {
                if first.is_none() {
                    first = Some(read(row)?);
                }
                Ok(())
            })?;
            firsts.push(first);
        }
        Ok(firsts)
    }

    /// Runs a statement and hands over every row of its answer.
    fn run(
        &self,
        statement: &mut Statement<'_>,
        params: Params<'_>,
        mut take: impl FnMut(&Row<'_>) -> Result<(), Misread>,
    ) -> Result<(), StoreError> {
        for (at, param) in params.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, param).map_err(|error| self.wrong(&error))?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.wrong(&error))? {
            take(&Row::Sqlite(row))
                .map_err(|Misread(why)| StoreError::Sql { place: StoreError::shown(&self.path), why })?;
        }
        Ok(())
    }

    fn wrong(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, error)
    }

    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.db.execute_batch(sql).map_err(|error| self.wrong(&error))
    }

    pub(crate) fn begin(&mut self, durable: bool) -> Result<(), StoreError> {
        if durable != self.durable {
            let level = if durable { "full" } else { "normal" };
            let changed = self.db.pragma_update(None, "synchronous", level);
            changed.map_err(|error| StoreError::sqlite(&self.path, &error))?;
            self.durable = durable;
        }
        // Immediate: waits for another process here, where nothing is half done.
        self.batch("BEGIN IMMEDIATE")
    }

    /// From now on what is deleted is overwritten.
    pub(crate) fn begin_erasing(&mut self) -> Result<(), StoreError> {
        self.is_erasing = true;
        self.batch("PRAGMA secure_delete = ON")
    }

    /// Empties the log after a commit that erased something: it holds what the file held before. Where somebody reads at this
    /// moment, the next commit tries again.
    pub(crate) fn end_erasing(&mut self) {
        if !self.is_erasing {
            return;
        }
        let _ = self.db.busy_timeout(LOG_WAIT);
        let is_busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let _ = self.db.busy_timeout(Duration::from_millis(BUSY_MS));
        self.is_erasing = is_busy.ok() != Some(0);
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        !self.db.is_autocommit()
    }
}

/// Makes the directory (0700) and the file (0600) where they do not exist: records name people and
/// tools, and the keys lie here. SQLite gives its `-wal` and `-shm` files the mode of the file.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { place: StoreError::shown(path) }
        }
        _ => StoreError::Open { place: StoreError::shown(path), why: error.to_string() },
    };
    let mut dirs = DirBuilder::new();
    let mut file = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        dirs.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        dirs.recursive(true).create(parent).map_err(failed)?;
    }
    file.write(true).create(true).truncate(false).open(path).map_err(failed)?;
    Ok(())
}

/// Brings the file to the newest version, in one transaction, so that it is never half done.
fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| StoreError::sqlite(path, &error);
    let known = MIGRATIONS.len() as i64;
    let number = |db: &Connection, question: &str| db.query_row(question, [], |row| row.get::<_, i64>(0));

    let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let ours = number(&step, "PRAGMA application_id").map_err(sql)?;
    let found = number(&step, "PRAGMA user_version").map_err(sql)?;
    let tables = number(&step, "SELECT count(*) FROM sqlite_schema").map_err(sql)?;
    if ours != APPLICATION_ID && (ours, found, tables) != (0, 0, 0) {
        return Err(StoreError::Foreign { place: StoreError::shown(path) });
    }
    if found > known {
        return Err(StoreError::Newer { place: StoreError::shown(path), found, known });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        step.execute_batch(migration).map_err(sql)?;
    }
    if found < known {
        step.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql)?;
        step.pragma_update(None, "user_version", known).map_err(sql)?;
    }
    step.commit().map_err(sql)
}
