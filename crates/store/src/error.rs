//! What can go wrong with our data, said so that the operator knows what to do.

use std::path::Path;

use puerto_core::{Code, Error, Retry};
use rusqlite::ErrorCode;

/// Why the store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The address is not one that this version understands.
    #[error(
        "store address {url:?} is not understood: use sqlite://path/to/file.db, sqlite::memory: or postgres://user@host/name"
    )]
    Url {
        /// As given.
        url: String,
    },
    /// What texts are sealed with is missing, or another one.
    #[error("could not use {place} as the key of what the audit trail keeps: {why}")]
    Key {
        /// The file, the setting or the record.
        place: Box<str>,
        /// The reason, and what helps.
        why: String,
    },
    /// The directory or the file could not be made or opened.
    #[error("could not open {place}: {why}")]
    Open {
        /// The file, or the server.
        place: Box<str>,
        /// The system's reason.
        why: String,
    },
    /// The file or its directory may not be written.
    #[error(
        "could not write {place}: it is read-only; give this user write permission for the file and its directory, or name another file in store.url"
    )]
    ReadOnly {
        /// The file, or the server.
        place: Box<str>,
    },
    /// Another process holds the file.
    #[error(
        "could not use {place}: another process keeps it locked; stop that process, or name another file in store.url"
    )]
    Locked {
        /// The file, or the server.
        place: Box<str>,
    },
    /// The file is not a SQLite database, or a damaged one.
    #[error(
        "could not use {place}: it is damaged or not a SQLite database; stop Puerto, move it away, and put a copy in its place (`puerto backup` makes one), or start anew and take in an archive with `puerto restore`"
    )]
    Damaged {
        /// The file, or the server.
        place: Box<str>,
    },
    /// The file is a SQLite database of some other program.
    #[error("could not use {place}: it belongs to another program; name another file in store.url")]
    Foreign {
        /// The file, or the server.
        place: Box<str>,
    },
    /// The file was written by a later Puerto.
    #[error(
        "could not use {place}: its format {found} is newer than {known}, the newest this Puerto knows; use a later Puerto, or name another file in store.url"
    )]
    Newer {
        /// The file, or the server.
        place: Box<str>,
        /// The version found in it.
        found: i64,
        /// The newest version we know.
        known: i64,
    },
    /// The server does not answer, or refuses us.
    #[error(
        "could not use {place}: {why}; check that the server runs and that store.url names it and its user rightly"
    )]
    Unreachable {
        /// The server.
        place: Box<str>,
        /// The reason.
        why: String,
    },
    /// The disk is full.
    #[error(
        "could not write {place}: the disk is full; free space there, and it goes on by itself; what was answered is kept"
    )]
    Full {
        /// The file, or the server.
        place: Box<str>,
    },
    /// The disk does not do what it is asked.
    #[error(
        "could not use {place}: {why}; see whether its disk is there, whole and free, and what limits the size of files; what was answered is kept"
    )]
    Disk {
        /// The file.
        place: Box<str>,
        /// What SQLite says.
        why: String,
    },
    /// A change beside this one met the disk's end, and the commit of both was undone.
    #[error(
        "could not write {place}: the disk failed in the middle of a commit, and all of it was undone; try again"
    )]
    Undone {
        /// The file.
        place: Box<str>,
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
    /// A key that names one request came with another.
    #[error("the Idempotency-Key {key:?} was used for another request; take a new key for each")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// The system gave no random bytes.
    #[error("could not make a key: {why}")]
    Random {
        /// The system's reason.
        why: String,
    },
    /// There are as many as there may be.
    #[error("there are {limit} {what} already, which is the limit")]
    Crowded {
        /// What there is.
        what: &'static str,
        /// How many of it there may be.
        limit: i64,
    },
    /// There is no file to copy.
    #[error("could not back up {place}: {why}")]
    NoFile {
        /// The database.
        place: Box<str>,
        /// What to do in place of it.
        why: &'static str,
    },
    /// A copy could not be made.
    #[error("could not back up to {to}: {why}")]
    Backup {
        /// The file that it was to be.
        to: Box<str>,
        /// The reason.
        why: String,
    },
    /// The store is closed, or its writer has ended.
    #[error("the store is closed")]
    Closed,
    /// Anything else that the database says.
    #[error("could not use {place}: {why}")]
    Sql {
        /// The file, or the server.
        place: Box<str>,
        /// What it says.
        why: String,
    },
}

impl StoreError {
    /// Sorts an error of SQLite by what the operator can do about it.
    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let place = Self::shown(path);
        match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { place },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { place },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { place },
            Some(ErrorCode::DiskFull) => Self::Full { place },
            Some(ErrorCode::SystemIoFailure) => Self::Disk { place, why: error.to_string() },
            Some(ErrorCode::CannotOpen) => Self::Open { place, why: error.to_string() },
            _ => Self::Sql { place, why: error.to_string() },
        }
    }

    /// What everybody may know.
    fn public(&self) -> &'static str {
        match self {
            Self::Full { .. } => "Puerto's own data cannot be written, since its disk is full",
            Self::Disk { .. } | Self::Undone { .. } => {
                "Puerto's own data cannot be written, since its disk fails"
            }
            Self::ReadOnly { .. } => "Puerto's own data cannot be written, since it is read-only",
            Self::Locked { .. } => {
                "Puerto's own data cannot be written, since another process keeps it locked"
            }
            Self::Damaged { .. } => "Puerto's own data is damaged; the log says what to do",
            _ => "Puerto's own data is not available",
        }
    }

    /// A file as messages name it.
    pub(crate) fn shown(path: &Path) -> Box<str> {
        path.display().to_string().into()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::TooLarge { .. } => Error::hub(Code::TooLarge, error.to_string()),
            StoreError::Crowded { .. } => Error::hub(Code::Busy, error.to_string()).retry(Retry::Yes),
            StoreError::KeyReused { .. } => Error::caller(Code::Conflict, error.to_string()),
            StoreError::Url { .. } => Error::hub(Code::InvalidConfig, error.to_string()),
            // Paths are for the operator: they stay in the inner chain.
            _ => Error::hub(Code::Unavailable, error.public()).inside(error),
        }
    }
}
