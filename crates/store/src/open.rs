//! Opening the database: where it lies, who may read it, which version it has.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::StoreError;

/// How long to wait for another process that writes to the same file (`puerto up` beside
/// `puerto stdio`). Its commits take milliseconds, so this much means that something hangs.
const BUSY_MS: u64 = 5_000;

/// Marks a file as ours (`PUER`), so that another program's database is never taken for one.
const APPLICATION_ID: i64 = 0x5055_4552;

/// One step each; the number of the last is the file's `user_version`. Never edit one that was released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        request INTEGER NOT NULL,
        trace_high INTEGER NOT NULL,
        trace_low INTEGER NOT NULL,
        span INTEGER NOT NULL,
        kind TEXT NOT NULL,
        tenant TEXT NOT NULL,
        caller TEXT NOT NULL,
        client TEXT,
        protocol TEXT,
        server TEXT,
        object TEXT,
        outcome TEXT NOT NULL,
        origin TEXT,
        duration INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL,
        bytes_out INTEGER NOT NULL,
        detail TEXT
    );
    CREATE TABLE catalogs (
        tenant TEXT NOT NULL,
        server TEXT NOT NULL,
        at INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (tenant, server)
    ) STRICT;
    CREATE TABLE keys (
        name TEXT PRIMARY KEY,
        at INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
"];

/// Where the data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory, gone at the end.
    Memory,
    /// In a file.
    File(PathBuf),
}

impl Place {
    /// Reads `sqlite://path` or `sqlite::memory:`; a relative path starts at `base`.
    pub(crate) fn parse(url: &str, base: &Path) -> Result<Self, StoreError> {
        if url == "sqlite::memory:" {
            return Ok(Place::Memory);
        }
        match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() && !path.contains(['?', '\0']) => Ok(Place::File(base.join(path))),
            _ => Err(StoreError::Url { url: shown(url) }),
        }
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Place::Memory => Path::new(":memory:"),
            Place::File(path) => path,
        }
    }
}

/// An address for a message: another scheme's address may hold a password, so only its scheme is shown.
fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) if scheme != "sqlite" => format!("{scheme}://…"),
        _ => url.to_owned(),
    }
}

/// Opens the writing connection, making directory, file and tables as needed.
pub(crate) fn writer(place: &Place) -> Result<Connection, StoreError> {
    let path = place.path();
    let sql = |error: rusqlite::Error| StoreError::sql(path, &error);
    let mut db = match place {
        Place::Memory => Connection::open_in_memory().map_err(sql)?,
        Place::File(path) => {
            create_private(path)?;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(path, flags).map_err(sql)?
        }
    };
    db.busy_timeout(Duration::from_millis(BUSY_MS)).map_err(sql)?;
    // SQLite falls back to reading only when it may not write.
    if db.is_readonly("main").map_err(sql)? {
        return Err(StoreError::ReadOnly { path: path.into() });
    }
    migrate(&mut db, path)?;
    // WAL: readers and the writer do not wait for each other. How far a commit must reach is decided
    // per commit by the writer.
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(sql)?;
    db.pragma_update(None, "synchronous", "normal").map_err(sql)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Opens a connection that only reads; `None` for a database in memory, which has one connection.
pub(crate) fn reader(place: &Place) -> Result<Option<Connection>, StoreError> {
    let Place::File(path) = place else { return Ok(None) };
    let sql = |error: rusqlite::Error| StoreError::sql(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(sql)?;
    db.busy_timeout(Duration::from_millis(BUSY_MS)).map_err(sql)?;
    Ok(Some(db))
}

/// Makes the directory (0700) and the file (0600) where they do not exist: records name people and
/// tools, and the keys lie here. SQLite gives its `-wal` and `-shm` files the mode of the file.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path: path.into() }
        }
        _ => StoreError::Open { path: path.into(), why: error.to_string() },
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
    let sql = |error: rusqlite::Error| StoreError::sql(path, &error);
    let known = MIGRATIONS.len() as i64;
    let number = |db: &Connection, question: &str| db.query_row(question, [], |row| row.get::<_, i64>(0));

    let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let ours = number(&step, "PRAGMA application_id").map_err(sql)?;
    let found = number(&step, "PRAGMA user_version").map_err(sql)?;
    let tables = number(&step, "SELECT count(*) FROM sqlite_schema").map_err(sql)?;
    if ours != APPLICATION_ID && (ours, found, tables) != (0, 0, 0) {
        return Err(StoreError::Foreign { path: path.into() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.into(), found, known });
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
