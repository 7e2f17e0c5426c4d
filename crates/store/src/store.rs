//! The handle that everybody holds: opening, changing, reading, closing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use puerto_core::TenantId;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::audit::text::Keyring;
use crate::db::{Db, Filter, Postgres};
use crate::error::StoreError;
use crate::events::Tally;
use crate::open::Place;
use crate::queue::{Answer, Change, Queue};
use crate::writer::Writer;

/// Changes that may wait for the writer; askers beyond wait for a place. More would only wait longer.
const CHANGES_WAITING_MAX: usize = 512;

/// Readings at the same time, each with a connection of its own. They take microseconds; more would wait for the
/// same disk and the same few cores.
const READERS: usize = 4;

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

    /// The one tenant, where it is one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(TenantId::as_str)
    }

    /// Whether what belongs to a tenant may be seen.
    pub fn holds(&self, tenant: &str) -> bool {
        self.name().is_none_or(|name| name == tenant)
    }

    /// Adds the condition that keeps a reading to this.
    pub(crate) fn narrow<'a>(&'a self, filter: &mut Filter<'a>) {
        if let Some(tenant) = &self.0 {
            filter.and("tenant = ?", tenant.as_str());
        }
    }
}

/// Puerto's own data. A clone is another handle to the same; the last one dropped writes out what
/// is queued.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    place: Place,
    queue: Arc<Queue>,
    keyring: Arc<Keyring>,
    room: Arc<Semaphore>,
    /// Connections that read; those that nobody uses now.
    readers: Mutex<Vec<Db>>,
    reading: Arc<Semaphore>,
    /// The number of the newest event that was kept.
    news: watch::Sender<i64>,
    /// Events kept by this handle and its clones.
    ingested: AtomicU64,
    /// How many events there were, last time that somebody asked.
    tally: tokio::sync::Mutex<Tally>,
    /// The place of the one archive that is taken in: it waits in tables of the only writing connection.
    importing: Arc<Semaphore>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if !self.queue.wait_end(END_LIMIT) {
            tracing::error!(place = %self.place.shown(), "gave up waiting for the store to write its last records");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.place.shown())
    }
}

impl Store {
    /// Whether a text is an address that `open` understands.
    pub fn is_address(url: &str) -> bool {
        Place::parse(url, Path::new("")).is_ok()
    }

    /// Whether a server answers where an address names one; nothing is changed there. Takes up to ten seconds.
    ///
    /// # Errors
    /// Why it does not.
    pub fn reach(url: &str) -> Result<(), StoreError> {
        match Place::parse(url, Path::new(""))? {
            Place::Postgres(address) => Postgres::connect(&address).map(drop),
            Place::File(_) | Place::Memory => Ok(()),
        }
    }

    /// Opens the data at `sqlite://path` (made where it does not exist; a relative path starts at
    /// `base`), at `postgres://…`, or in memory at `sqlite::memory:`. Waits for the disk or the network.
    pub fn open(url: &str, base: &Path) -> Result<Store, StoreError> {
        let place = Place::parse(url, base)?;
        let queue = Arc::new(Queue::default());
        let (opened, is_open) = std::sync::mpsc::channel();
        // Opened where it is used: a connection to a server belongs to its thread.
        let keyring = Arc::new(Keyring::new(place.beside("texts.key")));
        let (at, of, with) = (place.clone(), queue.clone(), keyring.clone());
        let write = move || match at.writer() {
            Ok(db) => {
                let _ = opened.send(Ok(()));
                Writer { db, place: at, queue: of, keyring: with, failing: false }.run();
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let failed = |why: String| StoreError::Open { place: place.shown(), why };
        std::thread::Builder::new()
            .name("puerto-store".into())
            .spawn(write)
            .map_err(|error| failed(error.to_string()))?;
        is_open.recv().map_err(|error| failed(error.to_string()))??;
        let room = Arc::new(Semaphore::new(CHANGES_WAITING_MAX));
        let reading = Arc::new(Semaphore::new(READERS));
        Ok(Store(Arc::new(Inner {
            place,
            queue,
            keyring,
            room,
            readers: Mutex::default(),
            reading,
            news: watch::Sender::new(0),
            ingested: AtomicU64::new(0),
            tally: tokio::sync::Mutex::default(),
            importing: Arc::new(Semaphore::new(1)),
        })))
    }

    /// Records that were not kept, since the start: no room, or a write that failed.
    pub fn lost(&self) -> u64 {
        self.0.queue.lost()
    }

    /// Commits made since the start.
    pub fn commits(&self) -> u64 {
        self.0.queue.commits()
    }

    /// Records and changes that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.queue.depth()
    }

    /// Events kept since the start, by this process.
    pub fn events_ingested(&self) -> u64 {
        self.0.ingested.load(Ordering::Relaxed)
    }

    /// Tells that events were kept here; the value is the number of the newest. What another process keeps in the same
    /// database is not told.
    pub fn events_news(&self) -> watch::Receiver<i64> {
        self.0.news.subscribe()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Where a file that belongs to the data lies by itself: beside the database; for one on a server in `data`, and
    /// nowhere for one in memory.
    pub fn beside(&self, name: &str) -> Option<PathBuf> {
        self.0.place.beside(name)
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Whether the last commit failed, so that what comes now may not be kept either.
    pub fn is_failing(&self) -> bool {
        self.0.queue.is_failing()
    }

    pub(crate) fn count_ingested(&self, events: usize) {
        self.0.ingested.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> &tokio::sync::Mutex<Tally> {
        &self.0.tally
    }

    pub(crate) fn importing(&self) -> &Arc<Semaphore> {
        &self.0.importing
    }

    pub(crate) fn news(&self) -> &watch::Sender<i64> {
        &self.0.news
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

    /// Has the writer make a change, whole or not at all; the answer comes after its commit.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(permit) = self.0.room.clone().acquire_owned().await else { return Err(StoreError::Closed) };
        let (to, from) = oneshot::channel();
        let run = move |db: Result<&mut Db, StoreError>| -> Answer {
            let made = db.and_then(|db| db.whole(work));
            // An asker who has gone does not need the answer.
            Box::new(move |committed| drop(to.send(made.and_then(|made| committed.map(|()| made)))))
        };
        if !self.0.queue.push_change(Change { run: Box::new(run), _permit: permit }) {
            return Err(StoreError::Closed);
        }
        from.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Has the writer make a change that nobody waits for; where too many wait it is left out.
    pub(crate) fn change_unheard(
        &self,
        work: impl FnOnce(&mut Db) -> Result<(), StoreError> + Send + 'static,
    ) {
        let Ok(permit) = self.0.room.clone().try_acquire_owned() else { return };
        let run = move |db: Result<&mut Db, StoreError>| -> Answer {
            let _ = db.and_then(|db| db.whole(work));
            Box::new(|_| ())
        };
        self.0.queue.push_change(Change { run: Box::new(run), _permit: permit });
    }

    /// Reads, beside the writer where the data is not in memory.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.0.place == Place::Memory {
            return self.change(work).await;
        }
        let Ok(permit) = self.0.reading.clone().acquire_owned().await else { return Err(StoreError::Closed) };
        let inner = self.0.clone();
        let read = move || {
            let _permit = permit;
            let idle = inner.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut db = match idle.filter(|db| !db.is_lost()) {
                Some(db) => db,
                None => inner.place.reader()?.ok_or(StoreError::Closed)?,
            };
            let done = work(&mut db);
            // A panic inside a reading takes its connection with it; the next one opens another.
            inner.readers.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            done
        };
        let done = tokio::task::spawn_blocking(read).await;
        done.unwrap_or_else(|_| Err(self.failed("the reading was interrupted")))
    }

    pub(crate) fn failed(&self, why: &str) -> StoreError {
        StoreError::Sql { place: self.0.place.shown(), why: why.into() }
    }
}

/// Microseconds since 1970, as times are stored.
pub(crate) fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
