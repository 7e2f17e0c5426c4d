//! Where the data lies, and opening connections to it.

use std::path::{Path, PathBuf};

use crate::db::{Db, Postgres, PostgresAddress, Sqlite};
use crate::error::StoreError;

/// Where the data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory, gone at the end.
    Memory,
    /// In a file.
    File(PathBuf),
    /// On a server.
    Postgres(Box<PostgresAddress>),
}

impl Place {
    /// Reads `sqlite://path`, `sqlite::memory:` or `postgres://…`; a relative path starts at `base`.
    pub(crate) fn parse(url: &str, base: &Path) -> Result<Self, StoreError> {
        if url == "sqlite::memory:" {
            return Ok(Place::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Place::Postgres(Box::new(PostgresAddress::parse(url)?)));
        }
        match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() && !path.contains(['?', '\0']) => Ok(Place::File(base.join(path))),
            _ => Err(StoreError::Url { url: shown(url) }),
        }
    }

    /// For messages; never a password.
    pub(crate) fn shown(&self) -> Box<str> {
        match self {
            Place::Memory => ":memory:".into(),
            Place::File(path) => StoreError::shown(path),
            Place::Postgres(address) => address.shown.clone(),
        }
    }

    /// Where a file that belongs to the data lies by itself; nowhere for data in memory.
    pub(crate) fn beside(&self, name: &str) -> Option<PathBuf> {
        match self {
            Place::Memory => None,
            Place::File(file) => Some(file.with_file_name(name)),
            Place::Postgres(_) => Some(Path::new("data").join(name)),
        }
    }

    /// Opens the writing connection, making what does not exist yet.
    pub(crate) fn writer(&self) -> Result<Db, StoreError> {
        match self {
            Place::Memory => Sqlite::writer(None).map(Db::Sqlite),
            Place::File(path) => Sqlite::writer(Some(path)).map(Db::Sqlite),
            Place::Postgres(address) => Postgres::writer(address).map(Box::new).map(Db::Postgres),
        }
    }

    /// Opens a connection that only reads; `None` for a database in memory, which has one connection.
    pub(crate) fn reader(&self) -> Result<Option<Db>, StoreError> {
        match self {
            Place::Memory => Ok(None),
            Place::File(path) => Sqlite::reader(path).map(Db::Sqlite).map(Some),
            Place::Postgres(address) => Postgres::reader(address).map(Box::new).map(Db::Postgres).map(Some),
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
