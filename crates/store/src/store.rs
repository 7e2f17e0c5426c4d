//! The handle that everybody holds: opening, changing, reading, closing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use puerto_core::{Record, TenantId};
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use crate::error::StoreError;
use crate::open::{self, Place};
use crate::queue::{Answer, Change, Queue};
use crate::records::RECORDS_KEPT;
use crate::writer::Writer;

/// Changes that may wait for the writer; askers beyond wait for a place. More would only wait longer.
const CHANGES_WAITING_MAX: usize = 512;

/// Longest wait of `close` and of the last drop for what is still queued: a full queue takes less
/// than a second, a disk that needs longer hangs.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Whose data a reading may see. There is no reading without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Option<TenantId>);

impl Scope {
    /// One tenant's.
    pub fn tenant(id: TenantId) -> Self {
        Self(Some(id))
    }

    /// Everyone's: for operators, and for the hub's own start.
    pub fn all() -> Self {
        Self(None)
    }

    /// The tenant, for a condition in SQL; `None` means all.
    pub(crate) fn as_sql(&self) -> Option<&str> {
        self.0.as_ref().map(TenantId::as_str)
    }
}

/// Puerto's own data. A clone is another handle to the same; the last one dropped writes out what
/// is queued.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    place: Place,
    queue: Arc<Queue>,
    room: Arc<Semaphore>,
    /// `None`: in memory, where the writer's connection also reads.
    reader: Option<Mutex<Connection>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if !self.queue.wait_end(END_LIMIT) {
            tracing::error!(path = %self.place.path().display(), "gave up waiting for the store to write its last records");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.place.path().display())
    }
}

impl Store {
    /// Opens the data at `sqlite://path` (made where it does not exist; a relative path starts at
    /// `base`) or in memory at `sqlite::memory:`.
    pub fn open(url: &str, base: &Path) -> Result<Store, StoreError> {
        Self::open_keeping(url, base, RECORDS_KEPT)
    }

    /// The same, with another number of records to keep.
    pub(crate) fn open_keeping(url: &str, base: &Path, keep: u64) -> Result<Store, StoreError> {
        let place = Place::parse(url, base)?;
        let path = place.path().to_path_buf();
        let db = open::writer(&place)?;
        let reader = open::reader(&place)?.map(Mutex::new);
        let queue = Arc::new(Queue::default());
        let writer =
            Writer { db, path, queue: queue.clone(), keep, full: false, since_trim: 0, failing: false };
        std::thread::Builder::new()
            .name("puerto-store".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Open { path: place.path().into(), why: error.to_string() })?;
        let room = Arc::new(Semaphore::new(CHANGES_WAITING_MAX));
        Ok(Store(Arc::new(Inner { place, queue, room, reader })))
    }

    /// Hands over records. Never waits: what finds no room is counted in `lost`.
    pub fn records_append(&self, batch: Vec<Record>) {
        self.0.queue.push_records(batch);
    }

    /// Records that were not kept, since the start: no room, or a write that failed.
    pub fn lost(&self) -> u64 {
        self.0.queue.lost()
    }

    /// Commits made since the start.
    pub fn commits(&self) -> u64 {
        self.0.queue.commits()
    }

    /// Waits until everything handed over before is committed.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.change(|_| Ok(())).await
    }

    /// Writes out what is queued and closes the file. Later changes fail with `Closed`.
    pub async fn close(&self) -> Result<(), StoreError> {
        let flushed = self.flush().await;
        self.0.queue.close();
        let queue = self.0.queue.clone();
        let ended = tokio::task::spawn_blocking(move || queue.wait_end(END_LIMIT)).await.unwrap_or(false);
        match flushed {
            Ok(()) if !ended => Err(self.failed("its last records could not be written in time")),
            // Closed before: nothing to write out.
            Err(StoreError::Closed) if ended => Ok(()),
            other => other,
        }
    }

    /// Has the writer make a change; the answer comes after its commit.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(permit) = self.0.room.clone().acquire_owned().await else { return Err(StoreError::Closed) };
        let (to, from) = oneshot::channel();
        let path = self.0.place.path().to_path_buf();
        let run = move |db: Result<&Connection, StoreError>| -> Answer {
            let made = db.and_then(|db| work(db).map_err(|error| StoreError::sql(&path, &error)));
            // An asker who has gone does not need the answer.
            Box::new(move |committed| drop(to.send(committed.and(made))))
        };
        if !self.0.queue.push_change(Change { run: Box::new(run), _permit: permit }) {
            return Err(StoreError::Closed);
        }
        from.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Reads, beside the writer where the data is in a file.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.0.reader.is_none() {
            return self.change(work).await;
        }
        let inner = self.0.clone();
        let read = move || {
            let Some(reader) = &inner.reader else { return Err(StoreError::Closed) };
            // A panic inside a reading leaves nothing half done in the connection.
            let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
            work(&db).map_err(|error| StoreError::sql(inner.place.path(), &error))
        };
        let done = tokio::task::spawn_blocking(read).await;
        done.unwrap_or_else(|_| Err(self.failed("the reading was interrupted")))
    }

    fn failed(&self, why: &str) -> StoreError {
        StoreError::Sql { path: self.0.place.path().into(), why: why.into() }
    }
}

/// Microseconds since 1970, as times are stored.
pub(crate) fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
