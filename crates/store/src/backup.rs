//! A copy of the database, made while it is written to: by a connection that only reads and holds one moment of it, so that
//! nobody waits, and everything that was answered before is in it. The keys are too.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::db::{Db, Sqlite};
use crate::error::StoreError;
use crate::open::Place;
use crate::store::Store;

/// A copy that was made and read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Events in it.
    pub events: i64,
    /// Audit records in it.
    pub audit: i64,
}

impl Store {
    /// Copies the database at an address to a new file, whether a hub works with it or not. Waits for the disk.
    ///
    /// # Errors
    /// Where there is no file to copy, where the new one exists, or where it cannot be written. Nothing is left then.
    pub fn backup(url: &str, base: &Path, to: &Path) -> Result<Backup, StoreError> {
        let place = Place::parse(url, base)?;
        let no_file = |why| Err(StoreError::NoFile { place: place.shown(), why });
        let from = match &place {
            Place::File(file) => file,
            Place::Memory => return no_file("it is in memory; write an archive with `puerto export FILE`"),
            Place::Postgres(_) => {
                return no_file(
                    "it is on a server; copy it with `pg_dump --schema=puerto`, or write an archive with `puerto export FILE`",
                );
            }
        };
        if to.exists() {
            return Err(failed(to, "it is there already; name another file"));
        }
        if !from.exists() {
            return Err(StoreError::Open { place: place.shown(), why: "there is no such file".into() });
        }
        // Half a copy never has the name of a whole one.
        let part = to.with_added_extension("part");
        let done = copy(from, &part).and_then(|found| {
            let renamed = std::fs::rename(&part, to).and_then(|()| synced(to.parent()));
            renamed.map(|()| found).map_err(|error| failed(to, error))
        });
        if done.is_err() {
            let _ = std::fs::remove_file(&part);
        }
        let (events, audit, bytes) = done?;
        Ok(Backup { file: to.into(), bytes, events, audit })
    }
}

fn failed(to: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Backup { to: StoreError::shown(to), why: why.to_string() }
}

/// Copies a file and reads the copy; answers its events, its audit records and its size.
fn copy(from: &Path, to: &Path) -> Result<(i64, i64, u64), StoreError> {
    create_private(to).map_err(|error| failed(to, error))?;
    let name = to.to_str().ok_or_else(|| failed(to, "its name is no UTF-8"))?;
    let mut db = Db::Sqlite(Sqlite::reader(from)?);
    db.execute("VACUUM INTO ?1", &[&name]).map_err(|error| match error {
        StoreError::Damaged { .. } | StoreError::Locked { .. } => error,
        StoreError::Full { .. } => failed(to, "the disk is full; name a file on another one"),
        other => failed(to, other),
    })?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|error| failed(to, error))?;
    let bytes = std::fs::metadata(to).map_err(|error| failed(to, error))?.len();
    let mut copy = Db::Sqlite(Sqlite::reader(to)?);
    let said = copy.query("PRAGMA integrity_check(1)", &[], |row| row.get::<String>(0))?;
    if said != ["ok"] {
        return Err(failed(to, format!("the copy is damaged: {}", said.join(", "))));
    }
    let mut count =
        |sql: &str| Ok::<_, StoreError>(copy.first(sql, &[], |row| row.get::<i64>(0))?.unwrap_or_default());
    Ok((count("SELECT count(*) FROM events")?, count("SELECT size FROM audit_head")?, bytes))
}

/// Makes an empty file that only we may read: keys lie in the copy. SQLite fills one that is empty.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.write(true).create(true).truncate(true).open(path)
}

fn synced(dir: Option<&Path>) -> std::io::Result<()> {
    match dir.filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}
