//! The one thread that writes: takes a group from the queue, makes one commit of it, then answers.
//!
//! A commit of records alone is not durable: it survives the end of the process, and a power cut may take the
//! last moments, which nobody was promised. A commit with a change in it is durable, because its asker is
//! told that it is kept (ops reference 1.7: one such commit for a group).

use std::sync::Arc;

use crate::audit;
use crate::audit::text::Keyring;
use crate::db::Db;
use crate::error::StoreError;
use crate::open::Place;
use crate::queue::{Answer, Job, Queue};

/// What the writer owns.
pub(crate) struct Writer {
    pub(crate) db: Db,
    /// Where to connect to again when the connection is lost.
    pub(crate) place: Place,
    pub(crate) queue: Arc<Queue>,
    /// What texts of audit records are sealed with.
    pub(crate) keyring: Arc<Keyring>,
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
        let rows = group.iter().map(|job| if let Job::Audit(batch, _) = job { batch.len() } else { 0 }).sum();
        let waited_for = group.iter().any(|job| matches!(job, Job::Change(_) | Job::Audit(_, Some(_))));
        let (answers, done) = self.write(group, waited_for);
        match &done {
            Ok(()) => self.queue.count_commit(),
            Err(error) => {
                self.queue.count_lost(rows);
                if !self.failing {
                    tracing::error!(%error, rows, "could not write to the store");
                }
            }
        }
        self.failing = done.is_err();
        self.queue.note(self.failing);
        for answer in answers {
            answer(done.clone());
        }
    }

    /// One transaction. The answers come back also when it failed.
    fn write(&mut self, group: Vec<Job>, durable: bool) -> (Vec<Answer>, Result<(), StoreError>) {
        let (mut answers, mut batches): (Vec<Answer>, _) = (Vec::new(), Vec::new());
        // Who waits for records, and how many came before theirs.
        let (mut waiting, mut count) = (Vec::new(), 0);
        let mut done = self.begin(durable);
        for job in group {
            match job {
                Job::Audit(batch, answer) => {
                    waiting.extend(answer.map(|answer| (count, answer)));
                    count += batch.len() as i64;
                    batches.push(batch);
                }
                // Outside a transaction a change would be kept although its asker hears of a failure.
                Job::Change(change) => {
                    let db = done.as_ref().map_err(Clone::clone).map(|()| &mut self.db);
                    answers.push((change.run)(db));
                    if done.is_ok() && !self.db.is_in_transaction() {
                        done = Err(StoreError::Undone { place: self.place.shown() });
                    }
                }
            }
        }
        let mut first = Ok(0);
        if done.is_ok() && !batches.is_empty() {
            first = audit::append(&mut self.db, &self.keyring, &batches);
            done = first.as_ref().map(drop).map_err(Clone::clone);
        }
        for (before, answer) in waiting {
            let seq = first.clone().map(|first| first + before);
            // An asker who has gone does not need the answer.
            answers.push(Box::new(move |committed| drop(answer.send(committed.and(seq)))));
        }
        let done = done.and_then(|()| self.db.commit());
        if done.is_err() {
            self.db.rollback();
        }
        (answers, done)
    }

    fn begin(&mut self, durable: bool) -> Result<(), StoreError> {
        if self.db.is_lost() {
            self.db = self.place.writer()?;
        }
        self.db.begin(durable)
    }
}
