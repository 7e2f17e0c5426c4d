//! The one thread that writes: takes a group from the queue, makes one commit of it, then answers.
//!
//! A commit of records alone is `synchronous=NORMAL`: it survives the end of the process, and a power
//! cut may take the last moments, which nobody was promised. A commit with a change in it is
//! `FULL`, because its asker is told that it is kept (ops reference 1.7: one FULL commit for a group).

use std::path::PathBuf;
use std::sync::Arc;

use puerto_core::Record;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::queue::{Answer, Job, Queue};
use crate::records;

/// Rows between two looks at how many there are.
const TRIM_EVERY: usize = 1_024;

/// What the writer owns.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) path: PathBuf,
    pub(crate) queue: Arc<Queue>,
    /// Records to keep.
    pub(crate) keep: u64,
    /// Whether the connection is at `synchronous=FULL` now.
    pub(crate) full: bool,
    /// Rows since the last trim.
    pub(crate) since_trim: usize,
    /// Whether the last group failed, so that a full disk is logged once and not at every commit.
    pub(crate) failing: bool,
}

/// Tells the queue that the writer has ended, however it ends.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let ending = Ending(self.queue.clone());
        while let Some(group) = self.queue.next_group() {
            self.commit(group);
        }
        // The connection closes first: whoever waited for the end finds the file free.
        drop(self);
        drop(ending);
    }

    fn commit(&mut self, group: Vec<Job>) {
        let rows = group.iter().map(|job| if let Job::Records(batch) = job { batch.len() } else { 0 }).sum();
        let waited_for = group.iter().any(|job| matches!(job, Job::Change(_)));
        let (answers, done) = self.write(group, waited_for);
        match &done {
            Ok(()) => {
                self.queue.count_commit();
                self.since_trim += rows;
            }
            Err(error) => {
                self.queue.count_lost(rows);
                if !self.failing {
                    tracing::error!(%error, rows, "could not write to the store");
                }
            }
        }
        self.failing = done.is_err();
        for answer in answers {
            answer(done.clone());
        }
        if self.since_trim >= TRIM_EVERY {
            self.since_trim = 0;
            if let Err(error) = records::trim(&self.db, self.keep) {
                tracing::warn!(%error, "could not delete old records");
            }
        }
    }

    /// One transaction. The answers come back also when it failed.
    fn write(&mut self, group: Vec<Job>, full: bool) -> (Vec<Answer>, Result<(), StoreError>) {
        let mut answers = Vec::new();
        let mut done = self.begin(full);
        for job in group {
            match job {
                Job::Records(batch) => {
                    if done.is_ok() {
                        done = self.insert(&batch);
                    }
                }
                // Outside a transaction a change would be kept although its asker hears of a failure.
                Job::Change(change) => {
                    answers.push((change.run)(done.as_ref().map(|()| &self.db).map_err(Clone::clone)));
                }
            }
        }
        let done = done.and_then(|()| self.sql(self.db.execute_batch("COMMIT")));
        if done.is_err() && !self.db.is_autocommit() {
            // The error that led here is the one to tell.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        (answers, done)
    }

    fn begin(&mut self, full: bool) -> Result<(), StoreError> {
        if full != self.full {
            let level = if full { "full" } else { "normal" };
            self.sql(self.db.pragma_update(None, "synchronous", level))?;
            self.full = full;
        }
        // Immediate: waits for another process here, where nothing is half done.
        self.sql(self.db.execute_batch("BEGIN IMMEDIATE"))
    }

    fn insert(&self, batch: &[Record]) -> Result<(), StoreError> {
        self.sql(records::insert(&self.db, batch))
    }

    fn sql(&self, result: rusqlite::Result<()>) -> Result<(), StoreError> {
        result.map_err(|error| StoreError::sql(&self.path, &error))
    }
}
