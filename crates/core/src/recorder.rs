//! The way of records from operations to their reader: bounded, and nobody on the data path ever waits for it. Every
//! thread has a part of its own, so that a record costs its thread a lock that nobody else holds; the reader empties all
//! parts at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::record::Record;
use crate::text::TextRoom;

/// Parts, at most: more threads share them.
const PARTS_MAX: usize = 8;
/// Records that a part has room for, at least, where there is more than one.
const PART_ROOM: usize = 1_024;
/// Room that is kept after a burst, in records: less than a megabyte for each part.
const SPARE_MAX: usize = 2_048;

/// What the reader of records gets.
#[derive(Debug, Clone)]
pub enum Entry {
    /// It was allowed and goes on; how it ends comes later.
    Begun(Record),
    /// It is over.
    Ended {
        /// All of it.
        record: Record,
        /// Whether its beginning was told before.
        was_begun: bool,
    },
}

impl Entry {
    fn at(&self) -> SystemTime {
        match self {
            Entry::Begun(record) => record.at,
            Entry::Ended { record, .. } => record.at + record.duration,
        }
    }
}

/// The sending end.
#[derive(Debug, Clone)]
pub struct Recorder {
    sending: Arc<Sending>,
    makes_spans: bool,
}

/// Tells the reader when the last sender is gone.
#[derive(Debug)]
struct Sending(Arc<Shared>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

#[derive(Debug)]
struct Shared {
    parts: Box<[Mutex<Part>]>,
    /// Of one part.
    room: usize,
    is_closed: AtomicBool,
    /// Whether the reader waits to be woken.
    is_asleep: AtomicBool,
    asleep: Mutex<()>,
    woken: Condvar,
    keeping: Keeping,
    texts: TextRoom,
}

#[derive(Debug, Default)]
struct Part {
    ended: Vec<Entry>,
    /// Places that operations under way have reserved.
    reserved: usize,
    /// Those that were allowed and go on. Free places are used again, the last one first: its memory is still near.
    open: Vec<Option<Open>>,
    free: Vec<usize>,
    /// Where some were added since the reader looked.
    fresh: Vec<usize>,
}

/// An operation that was allowed and goes on.
#[derive(Debug)]
struct Open {
    record: Record,
    /// Whether the reader has it.
    is_told: bool,
}

impl Part {
    /// Takes in that an operation goes on; answers its place.
    fn add(&mut self, record: Record) -> usize {
        let place = self.free.pop().unwrap_or(self.open.len());
        if place == self.open.len() {
            self.open.push(None);
        }
        self.open[place] = Some(Open { record, is_told: false });
        self.fresh.push(place);
        place
    }

    fn close(&mut self, place: usize) -> Option<Open> {
        let open = self.open.get_mut(place)?.take()?;
        self.free.push(place);
        Some(open)
    }

    /// Tells of those that were added and go on still.
    fn tell(&mut self, batch: &mut Vec<Entry>) {
        for place in self.fresh.drain(..) {
            if let Some(open) = self.open[place].as_mut().filter(|open| !open.is_told) {
                open.is_told = true;
                // What it was given is kept with its beginning, and need not be kept again with its end.
                let texts = open.record.texts.take();
                batch.push(Entry::Begun(Record { texts, ..open.record.clone() }));
            }
        }
        if self.open.len() > SPARE_MAX && self.free.len() == self.open.len() {
            (self.open, self.free) = Default::default();
        }
    }
}

/// How it goes with keeping records, as their reader sees it. Holding it keeps no reader waiting.
#[derive(Debug, Clone, Default)]
pub struct Keeping(Arc<State>);

#[derive(Debug, Default)]
struct State {
    lost: AtomicU64,
    is_failing: AtomicBool,
}

impl Keeping {
    /// Notes whether records can be kept at present.
    pub fn note(&self, is_failing: bool) {
        self.0.is_failing.store(is_failing, Ordering::Relaxed);
    }
}

impl Shared {
    fn part(&self, at: usize) -> MutexGuard<'_, Part> {
        // Nothing panics while it holds the lock, and a part is whole after every statement.
        self.parts[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the reader where it sleeps.
    fn wake(&self) {
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            // Once the lock is free the reader waits, and hears of it.
            drop(self.asleep.lock().unwrap_or_else(PoisonError::into_inner));
            self.woken.notify_one();
        }
    }
}

/// A reserved place: ending an operation that holds one cannot fail.
#[derive(Debug)]
pub(crate) struct Slot {
    sending: Arc<Sending>,
    part: usize,
    /// Where its record is since it was allowed.
    open: Option<usize>,
}

impl Slot {
    /// Takes in the record of an operation that was allowed and goes on.
    pub(crate) fn begun(&mut self, record: Record) {
        let shared = &self.sending.0;
        self.open = Some(shared.part(self.part).add(record));
        shared.wake();
    }

    /// Does something with the record that was taken in.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let mut part = self.sending.0.part(self.part);
        let open = part.open.get_mut(self.open?)?.as_mut()?;
        Some(work(&mut open.record))
    }

    /// Hands over the record of an operation that is over: the one given, or the one that was taken in.
    pub(crate) fn end(self, given: Option<Record>, finish: impl FnOnce(&mut Record)) {
        let shared = &self.sending.0;
        let mut part = shared.part(self.part);
        part.reserved -= 1;
        let given = given.map(|record| Open { record, is_told: false });
        if let Some(Open { mut record, is_told }) = given.or_else(|| part.close(self.open?)) {
            finish(&mut record);
            part.ended.push(Entry::Ended { record, was_begun: is_told });
        }
        drop(part);
        shared.wake();
    }
}

/// The part of this thread.
fn own_part() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}

impl Recorder {
    /// A recorder and the reading end, with room for this many operations that have ended or are under way.
    pub fn new(room: usize) -> (Self, Records) {
        let parts = (room / PART_ROOM).clamp(1, PARTS_MAX);
        let shared = Arc::new(Shared {
            parts: (0..parts).map(|_| Mutex::default()).collect(),
            room: room / parts,
            is_closed: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            asleep: Mutex::new(()),
            woken: Condvar::new(),
            keeping: Keeping::default(),
            texts: TextRoom::default(),
        });
        let records = Records { spare: Vec::new(), shared: shared.clone() };
        (Self { sending: Arc::new(Sending(shared)), makes_spans: false }, records)
    }

    /// The same, where spans are made of what it records or not.
    #[must_use]
    pub fn with_spans(self, makes_spans: bool) -> Self {
        Self { makes_spans, ..self }
    }

    /// Whether spans are made of what is recorded.
    pub fn makes_spans(&self) -> bool {
        self.makes_spans
    }

    /// Reserves a place before the work begins, or counts the record as lost.
    pub(crate) fn reserve(&self) -> Option<Slot> {
        let shared = &self.sending.0;
        let own = own_part();
        // Where the own part is full another one may have room.
        for at in (0..shared.parts.len()).map(|other| (own + other) % shared.parts.len()) {
            let mut part = shared.part(at);
            if part.ended.len() + part.reserved < shared.room {
                part.reserved += 1;
                return Some(Slot { sending: self.sending.clone(), part: at, open: None });
            }
        }
        shared.keeping.0.lost.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Where arguments and results wait to be kept.
    pub fn texts(&self) -> &TextRoom {
        &self.sending.0.texts
    }

    /// Where the reader of records notes how it goes.
    pub fn keeping(&self) -> Keeping {
        self.sending.0.keeping.clone()
    }

    /// Whether the last records could not be kept.
    pub fn is_failing(&self) -> bool {
        self.sending.0.keeping.0.is_failing.load(Ordering::Relaxed)
    }

    /// Records that found no place since the start.
    pub fn lost(&self) -> u64 {
        self.sending.0.keeping.0.lost.load(Ordering::Relaxed)
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Records {
    shared: Arc<Shared>,
    /// An empty list with room, to be left where a full one is taken.
    spare: Vec<Entry>,
}

impl Records {
    /// Adds what came since the last time, in the order of time: what has ended, and the beginning of what goes on and was
    /// not told yet.
    pub fn take(&mut self, batch: &mut Vec<Entry>) {
        let before = batch.len();
        for at in 0..self.shared.parts.len() {
            let mut part = self.shared.part(at);
            // What ends from now on ends with its beginning told: both under one lock.
            part.tell(batch);
            std::mem::swap(&mut part.ended, &mut self.spare);
            drop(part);
            batch.append(&mut self.spare);
            if self.spare.capacity() > SPARE_MAX {
                self.spare = Vec::new();
            }
        }
        batch[before..].sort_by_cached_key(Entry::at);
    }

    /// The same, and waits where nothing came; `false` where nothing will come, since everybody who could send is gone.
    pub fn wait(&mut self, batch: &mut Vec<Entry>) -> bool {
        loop {
            let is_closed = self.shared.is_closed.load(Ordering::SeqCst);
            self.take(batch);
            if !batch.is_empty() || is_closed {
                return !batch.is_empty();
            }
            let asleep = self.shared.asleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.is_asleep.store(true, Ordering::SeqCst);
            // Whoever sent before that did not see it, and is seen here.
            let nothing = || self.shared.parts.iter().all(is_empty);
            if nothing() && !self.shared.is_closed.load(Ordering::SeqCst) {
                let sleeping = |_: &mut ()| self.shared.is_asleep.load(Ordering::SeqCst);
                drop(self.shared.woken.wait_while(asleep, sleeping));
            }
            self.shared.is_asleep.store(false, Ordering::SeqCst);
        }
    }
}

fn is_empty(part: &Mutex<Part>) -> bool {
    let part = part.lock().unwrap_or_else(PoisonError::into_inner);
    part.ended.is_empty() && part.fresh.is_empty()
}

#[cfg(test)]
mod tests;
