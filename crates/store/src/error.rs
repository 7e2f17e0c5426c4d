//! What can go wrong with our data, said so that the operator knows what to do.

use std::path::{Path, PathBuf};

use puerto_core::{Code, Error};
use rusqlite::ErrorCode;

/// Why the store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The address is not one that this version understands.
    #[error("store address {url:?} is not understood: use sqlite://path/to/file.db or sqlite::memory:")]
    Url {
        /// As given.
        url: String,
    },
    /// The directory or the file could not be made or opened.
    #[error("could not open {}: {why}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// The file or its directory may not be written.
    #[error("could not write {}: it is read-only; give this user write permission for the file and its directory, or name another file in store.url", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds the file.
    #[error("could not use {}: another process keeps it locked; stop that process, or name another file in store.url", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a SQLite database, or a damaged one.
    #[error("could not use {}: it is damaged or not a SQLite database; move it away and start again, or restore a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file is a SQLite database of some other program.
    #[error("could not use {}: it belongs to another program; name another file in store.url", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later Puerto.
    #[error("could not use {}: its format {found} is newer than {known}, the newest this Puerto knows; use a later Puerto, or name another file in store.url", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found in it.
        found: i64,
        /// The newest version we know.
        known: i64,
    },
    /// The disk is full.
    #[error("could not write {}: the disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// A value is larger than the store keeps.
    #[error("could not save {what}: {bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// What was to be saved.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The system gave no random bytes.
    #[error("could not make a key: {why}")]
    Random {
        /// The system's reason.
        why: String,
    },
    /// The store is closed, or its writer has ended.
    #[error("the store is closed")]
    Closed,
    /// Anything else that SQLite says.
    #[error("could not use {}: {why}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
}

impl StoreError {
    /// Sorts an error of SQLite by what the operator can do about it.
    pub(crate) fn sql(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::CannotOpen) => Self::Open { path, why: error.to_string() },
            _ => Self::Sql { path, why: error.to_string() },
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::TooLarge { .. } => Error::hub(Code::TooLarge, error.to_string()),
            StoreError::Url { .. } => Error::hub(Code::InvalidConfig, error.to_string()),
            // Paths are for the operator: they stay in the inner chain.
            _ => Error::hub(Code::Unavailable, "Puerto's own data is not available").inside(error),
        }
    }
}
