//! What went wrong in the database, in words for the model: it can often mend its SQL. Never the path
//! of the file.

use rusqlite::ErrorCode;

use super::guard::Guard;

/// Why work with the database gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite said no.
    Sqlite(rusqlite::Error),
    /// We said no.
    Text(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sqlite(error)
    }
}

impl Failure {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Failure::Text(text.into())
    }

    /// Whether the deadline or the caller stopped it.
    pub(super) fn is_interrupt(&self) -> bool {
        matches!(self, Failure::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }

    /// In words. A refusal of ours explains more than SQLite's "not authorized".
    pub(super) fn words(&self, guard: &Guard) -> String {
        match self {
            Failure::Text(text) => text.clone(),
            Failure::Sqlite(error) => guard
                .refusal()
                .map_or_else(|| words(error), |refusal| format!("the sql was refused: {refusal}")),
        }
    }
}

/// SQLite's own words, with a hint where its words alone do not lead on.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, offset, .. } if *offset >= 0 => {
            format!("the sql is not valid: {msg} (at byte {offset})")
        }
        rusqlite::Error::SqlInputError { msg, .. } => format!("the sql is not valid: {msg}"),
        rusqlite::Error::MultipleStatement => "one statement at a time: send each in its own call".into(),
        rusqlite::Error::NulError(_) => "the sql holds a NUL character".into(),
        rusqlite::Error::SqliteFailure(failure, text) => {
            let text = text.clone().unwrap_or_else(|| failure.to_string());
            match failure.code {
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    "the database is in use by another writer; try again".into()
                }
                ErrorCode::CannotOpen => "the database file cannot be opened".into(),
                ErrorCode::NotADatabase => "the file is not a sqlite database".into(),
                ErrorCode::ReadOnly => format!("{text}; query only reads"),
                ErrorCode::TooBig => format!("{text}; a value may have 4 MiB"),
                _ => text,
            }
        }
        other => other.to_string(),
    }
}
