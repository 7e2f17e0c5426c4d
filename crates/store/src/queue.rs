//! What waits for the writer, in order. Bounded twice: records by `ROWS_WAITING_MAX` here, changes
//! by the permits that the store hands out. A lock and a condition instead of a channel, because the
//! writer is woken once for a group and not once for every record.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::audit::Draft;
use crate::db::Db;
use crate::error::StoreError;

/// Rows that may wait. At 500 bytes each about 32 MB; at 20,000 calls a second three seconds of a
/// disk that does not answer.
pub(crate) const ROWS_WAITING_MAX: usize = 65_536;

/// Items of one commit. More makes a row hardly cheaper, but those who wait wait longer.
pub(crate) const COMMIT_ITEMS: usize = 512;

/// How long records wait for company. Nobody waits for a record; whoever waits for a change, or for
/// `flush`, ends the wait at once. Measured at 5,000 rows a second on a shared machine: 4 ms cost
/// 4 to 11 µs of CPU a row, 20 ms about 2.5, and 50 ms no less.
pub(crate) const RECORDS_WINDOW: Duration = Duration::from_millis(20);

/// Tells whoever asked for a change how it went, after the commit.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a change does, inside a transaction or where there could be none.
pub(crate) type Work = Box<dyn FnOnce(Result<&mut Db, StoreError>) -> Answer + Send>;

/// A change that somebody waits for.
pub(crate) struct Change {
    /// Made inside the writer's transaction, or told why there is none.
    pub(crate) run: Work,
    /// Its place among the changes that may wait.
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// One item of the queue.
pub(crate) enum Job {
    /// Records for the audit trail; who waits for them is told the number of the first.
    Audit(Vec<Draft>, Option<oneshot::Sender<Result<i64, StoreError>>>),
    /// Anything else.
    Change(Change),
}

impl Job {
    fn items(&self) -> usize {
        match self {
            Job::Audit(batch, _) => batch.len(),
            Job::Change(_) => 1,
        }
    }
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    rows: usize,
    changes: usize,
    closed: bool,
    ended: bool,
}

impl State {
    fn is_worth_a_commit(&self) -> bool {
        self.changes > 0 || self.rows >= COMMIT_ITEMS || self.closed
    }
}

/// The queue between everybody and the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    end: Condvar,
    lost: AtomicU64,
    commits: AtomicU64,
    is_failing: AtomicBool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds records for the audit trail, or counts them as lost where there is no room. Never waits for the disk. Those that
    /// somebody waits for are refused in place of being lost.
    pub(crate) fn push_audit(
        &self,
        batch: Vec<Draft>,
        answer: Option<oneshot::Sender<Result<i64, StoreError>>>,
    ) -> bool {
        if batch.is_empty() {
            return true;
        }
        let mut state = self.lock();
        if state.closed || state.rows + batch.len() > ROWS_WAITING_MAX {
            drop(state);
            if answer.is_none() {
                self.count_lost(batch.len());
            }
            return false;
        }
        let (was_idle, was_worth) = (state.jobs.is_empty(), state.is_worth_a_commit());
        state.rows += batch.len();
        state.changes += usize::from(answer.is_some());
        state.jobs.push_back(Job::Audit(batch, answer));
        if was_idle || (!was_worth && state.is_worth_a_commit()) {
            self.work.notify_one();
        }
        true
    }

    /// Adds a change; `false` where the store is closed.
    pub(crate) fn push_change(&self, change: Change) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.changes += 1;
        state.jobs.push_back(Job::Change(change));
        self.work.notify_one();
        true
    }

    /// The next group for one commit; `None` when closed and empty.
    pub(crate) fn next_group(&self) -> Option<Vec<Job>> {
        let idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
        let state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .work
            .wait_timeout_while(state, RECORDS_WINDOW, |state| !state.is_worth_a_commit())
            .unwrap_or_else(PoisonError::into_inner);
        let (mut group, mut items) = (Vec::new(), 0);
        while items < COMMIT_ITEMS {
            let Some(job) = state.jobs.pop_front() else { break };
            items += job.items();
            match &job {
                Job::Audit(batch, answer) => {
                    state.rows -= batch.len();
                    state.changes -= usize::from(answer.is_some());
                }
                Job::Change(_) => state.changes -= 1,
            }
            group.push(job);
        }
        (!group.is_empty()).then_some(group)
    }

    /// Takes no more; the writer ends when the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    /// Waits for the writer's end; `false` when it takes longer than the limit.
    pub(crate) fn wait_end(&self, limit: Duration) -> bool {
        let (state, _) = self
            .end
            .wait_timeout_while(self.lock(), limit, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    /// Said by the writer as its last word, also when it panics: whoever still waits is told by the
    /// drop of their answer.
    pub(crate) fn ended(&self) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            state.ended = true;
            (state.rows, state.changes) = (0, 0);
            std::mem::take(&mut state.jobs)
        };
        for job in left {
            if let Job::Audit(batch, _) = job {
                self.count_lost(batch.len());
            }
        }
        self.end.notify_all();
    }

    /// Records and changes that wait.
    pub(crate) fn depth(&self) -> usize {
        self.lock().jobs.iter().map(Job::items).sum()
    }

    pub(crate) fn count_lost(&self, rows: usize) {
        self.lost.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Notes whether the last commit failed.
    pub(crate) fn note(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    pub(crate) fn count_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}
