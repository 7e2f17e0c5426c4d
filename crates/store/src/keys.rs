//! Keys that Puerto makes for itself, such as the one that seals cursors. They outlive restarts, so
//! that what was sealed yesterday still opens, and never leave this machine.

use std::time::SystemTime;

use crate::error::StoreError;
use crate::store::{Store, micros};

impl Store {
    /// The key of this name; made of random bytes at the first asking.
    pub async fn secret_get_or_create(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(|error| StoreError::Random { why: error.to_string() })?;
        let (name, at) = (name.to_owned(), micros(SystemTime::now()));
        // Inserting first decides who made it, also between two processes on one file.
        let made = self
            .change(move |db| {
                db.execute(
                    "INSERT INTO keys (name, at, value) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
                    &[&name, &at, &&fresh[..]],
                )?;
                db.first("SELECT value FROM keys WHERE name = ?1", &[&name], |row| row.get::<Vec<u8>>(0))
            })
            .await?;
        let key = made.and_then(|bytes| bytes.try_into().ok());
        key.ok_or_else(|| self.failed("a key of its own has another length than it was made with"))
    }
}
