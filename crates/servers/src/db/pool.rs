//! Connections and the threads they work on. A call owns a connection until it is done, so stopping one
//! call never touches another. A deadline or a caller that leaves stops SQLite in two ways: its progress
//! handler asks every few microseconds, and an interrupt reaches what runs longer between two asks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use puerto_mcp::builtin::CallError;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::guard::{Guard, Mode, install};
use crate::call::failed;

/// Instructions of SQLite's machine between two looks at the deadline: some tens of microseconds, so a
/// stop is prompt and the look costs nothing measurable.
const PROGRESS_STEPS: i32 = 1_000;
/// Longest wait for another process's lock on the file.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// How long a stopped statement may take to end. A single function over megabytes looks at neither
/// stop; after this the call is answered and the thread is left to finish by itself.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A connection, closed down by its guard.
pub(super) struct Conn {
    pub(super) db: Connection,
    pub(super) guard: Arc<Guard>,
}

impl Conn {
    /// Opens the file. No `file:` URIs: they could name other modes and files.
    pub(super) fn open(path: &Path, mode: Mode) -> rusqlite::Result<Self> {
        let mut db = Self::open_bare(path, mode)?;
        let guard = install(&mut db, mode)?;
        Ok(Self { db, guard })
    }

    /// Opens the file without a guard, for the operator's own SQL.
    pub(super) fn open_bare(path: &Path, mode: Mode) -> rusqlite::Result<Connection> {
        let flags = match mode {
            Mode::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Mode::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        };
        let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(BUSY_MAX)?;
        Ok(db)
    }
}

/// Connections of one mode.
pub(super) struct Pool {
    path: PathBuf,
    mode: Mode,
    size: usize,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Conn>>,
}

/// A job's connection, its place in the pool, and what came of it.
type Done<T> = (Conn, OwnedSemaphorePermit, Result<T, Failure>);

impl Pool {
    pub(super) fn new(path: PathBuf, mode: Mode, size: usize) -> Self {
        Self { path, mode, size, permits: Arc::new(Semaphore::new(size)), idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` on a connection, at most for `limit`, waiting for a free connection included.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        limit: Duration,
        work: impl FnOnce(&mut Conn) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, CallError> {
        let until = Instant::now() + limit;
        let permit = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(CallError::Cancelled),
            permit = tokio::time::timeout_at(until, self.permits.clone().acquire_owned()) => permit,
        };
        let Ok(Ok(permit)) = permit else {
            return Err(failed(format!(
                "all connections stayed busy for {} ms; try again",
                limit.as_millis()
            )));
        };
        // A future that is dropped without being cancelled stops its statement too.
        let stop = CancellationToken::new();
        let _dropped = stop.clone().drop_guard();
        let (send_handle, mut handle) = oneshot::channel();
        let mut job = self.start(permit, stop.clone(), until, send_handle, work);
        let done = tokio::select! {
            biased;
            done = &mut job => Ok(done),
            () = cancel.cancelled() => Err(()),
            () = tokio::time::sleep_until(until) => Err(()),
        };
        let done = match done {
            Ok(done) => done,
            Err(()) => {
                stop.cancel();
                if let Ok(handle) = handle.try_recv() {
                    handle.interrupt();
                }
                match tokio::time::timeout(STOP_GRACE, job).await {
                    Ok(done) => done,
                    Err(_) => return Err(stopped(cancel, limit)),
                }
            }
        };
        self.finish(done, cancel, limit)
    }

    fn start<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        stop: CancellationToken,
        until: Instant,
        send_handle: oneshot::Sender<InterruptHandle>,
        work: impl FnOnce(&mut Conn) -> Result<T, Failure> + Send + 'static,
    ) -> JoinHandle<Result<Done<T>, rusqlite::Error>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (path, mode) = (self.path.clone(), self.mode);
        tokio::task::spawn_blocking(move || {
            let mut conn = idle.map_or_else(|| Conn::open(&path, mode), Ok)?;
            let _ = send_handle.send(conn.db.get_interrupt_handle());
            let is_over = move || stop.is_cancelled() || Instant::now() >= until;
            conn.db.progress_handler(PROGRESS_STEPS, Some(is_over))?;
            conn.guard.begin();
            let result = work(&mut conn);
            conn.db.progress_handler(0, None::<fn() -> bool>)?;
            Ok((conn, permit, result))
        })
    }

    fn finish<T>(
        &self,
        done: Result<Result<Done<T>, rusqlite::Error>, tokio::task::JoinError>,
        cancel: &CancellationToken,
        limit: Duration,
    ) -> Result<T, CallError> {
        let (conn, permit, result) = match done {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                tracing::warn!(code = ?error.sqlite_error_code(), "could not open a connection to the database");
                return Err(failed("the database cannot be opened at the moment"));
            }
            Err(error) => {
                tracing::error!(%error, "work with the database ended badly");
                return Err(failed("the server failed inside; the operator's log says more"));
            }
        };
        let result = result.map_err(|failure| match failure {
            failure if failure.is_interrupt() => stopped(cancel, limit),
            failure => failed(failure.words(&conn.guard)),
        });
        self.give_back(conn);
        drop(permit);
        result
    }

    /// Keeps a connection for the next call, unless something is still open on it.
    pub(super) fn give_back(&self, conn: Conn) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if conn.db.is_autocommit() && idle.len() < self.size {
            idle.push(conn);
        }
    }
}

fn stopped(cancel: &CancellationToken, limit: Duration) -> CallError {
    if cancel.is_cancelled() {
        return CallError::Cancelled;
    }
    failed(format!(
        "the statement was stopped after {} ms; narrow it, or allow more with timeout_ms (at most {})",
        limit.as_millis(),
        super::DEADLINE_MS_MAX
    ))
}
