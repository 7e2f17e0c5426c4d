//! The way of records from operations to their reader: bounded, and nobody on the data path ever waits for it. Every
//! thread has a part of its own, so that a record costs its thread a lock and a count that nobody else touches; the reader
//! empties all parts at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use crate::record::Record;
use crate::text::TextRoom;

/// Parts, at most: more threads share them.
const PARTS_MAX: usize = 8;
/// Records that a part has room for, at least, where there is more than one.
const PART_ROOM: usize = 1_024;
/// Room that is kept after a burst, in records: less than a megabyte for each part.
const SPARE_MAX: usize = 2_048;

/// How often the reader looks whether the last operation has ended, once no new ones come.
const LAST_LOOK: Duration = Duration::from_millis(5);

/// What the reader of records gets.
#[derive(Debug, Clone)]
pub struct Entry {
    /// All that is known of the operation.
    pub record: Record,
    /// What it tells.
    pub step: Step,
}

/// What is told of an operation at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was allowed and goes on; how it ends comes later.
    Begun,
    /// It is over. Its beginning was told before.
    Ended,
    /// It is over, and nothing was told of it before.
    Whole,
}

impl Entry {
    /// Whether the operation is over.
    pub fn has_ended(&self) -> bool {
        self.step != Step::Begun
    }

    fn at(&self) -> SystemTime {
        match self.step {
            Step::Begun => self.record.at,
            Step::Ended | Step::Whole => self.record.at + self.record.duration,
        }
    }
}

/// The sending end. A clone is one for the thread that makes it.
#[derive(Debug)]
pub struct Recorder {
    own: Arc<Part>,
    makes_spans: bool,
    _first: Option<First>,
}

impl Clone for Recorder {
    fn clone(&self) -> Self {
        Self { own: self.own.of_this_thread(), makes_spans: self.makes_spans, _first: None }
    }
}

/// Tells the reader when the first sender is gone, after which nobody makes new ones but from those that are there.
#[derive(Debug)]
struct First(Arc<Shared>);

impl Drop for First {
    fn drop(&mut self) {
        self.0.is_closing.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

/// What threads that share a part have in common, apart from what others have: a line of a cache that two of them count in
/// costs each of them more than the lock.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    queue: Mutex<Queue>,
    shared: Arc<Shared>,
}

impl Part {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock, and a queue is whole after every statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of this thread; this one where the reader has gone and the other with it.
    fn of_this_thread(self: &Arc<Self>) -> Arc<Self> {
        let all = self.shared.parts();
        let own = all.get(own_part() % all.len().max(1)).and_then(Weak::upgrade);
        own.unwrap_or_else(|| self.clone())
    }

    /// Reserves a place, where there is one.
    fn reserve(self: &Arc<Self>) -> Option<Slot> {
        let mut queue = self.lock();
        if queue.ended.len() + queue.reserved >= self.shared.room {
            return None;
        }
        queue.reserved += 1;
        Some(Slot { part: self.clone(), open: None })
    }
}

#[derive(Debug)]
struct Shared {
    parts: OnceLock<Box<[Weak<Part>]>>,
    /// Of one part.
    room: usize,
    /// Whether no new senders come.
    is_closing: AtomicBool,
    /// Whether the reader waits to be woken.
    is_asleep: AtomicBool,
    asleep: Mutex<()>,
    woken: Condvar,
    keeping: Keeping,
    texts: TextRoom,
}

#[derive(Debug, Default)]
struct Queue {
    ended: Vec<Entry>,
    /// Places that operations under way have reserved.
    reserved: usize,
    /// Those that were allowed and go on, each with the step that its end will tell. Free places are used again, the last one
    /// first: its memory is still near.
    open: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Where some were added since the reader looked.
    fresh: Vec<usize>,
}

impl Queue {
    /// Takes in that an operation goes on; answers its place.
    fn add(&mut self, record: Record) -> usize {
        let place = self.free.pop().unwrap_or(self.open.len());
        if place == self.open.len() {
            self.open.push(None);
        }
        self.open[place] = Some(Entry { record, step: Step::Whole });
        self.fresh.push(place);
        place
    }

    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.fresh.is_empty()
    }

    /// Takes in the end of one that goes on: where it is, since it is large.
    fn close(&mut self, place: usize, finish: impl FnOnce(&mut Record)) {
        let Some(open) = self.open.get_mut(place) else { return };
        if let Some(entry) = open {
            finish(&mut entry.record);
            self.ended.extend(open.take());
            self.free.push(place);
        }
    }

    /// Tells of those that were added and go on still.
    fn tell(&mut self, batch: &mut Vec<Entry>) {
        for place in self.fresh.drain(..) {
            if let Some(open) = self.open[place].as_mut().filter(|open| open.step == Step::Whole) {
                // That is what its end will tell.
                open.step = Step::Ended;
                // What it was given is kept with its beginning, and need not be kept again with its end.
                let texts = open.record.texts.take();
                batch.push(Entry { record: Record { texts, ..open.record.clone() }, step: Step::Begun });
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
    fn parts(&self) -> &[Weak<Part>] {
        self.parts.get().map_or(&[], |parts| &**parts)
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
    part: Arc<Part>,
    /// Where its record is since it was allowed.
    open: Option<usize>,
}

impl Slot {
    /// Takes in the record of an operation that was allowed and goes on.
    pub(crate) fn begun(&mut self, record: Record) {
        self.open = Some(self.part.lock().add(record));
        self.part.shared.wake();
    }

    /// Does something with the record that was taken in.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let mut queue = self.part.lock();
        let open = queue.open.get_mut(self.open?)?.as_mut()?;
        Some(work(&mut open.record))
    }

    /// The operation is over: hands over its record, the one given or the one that was taken in.
    pub(crate) fn end(self, given: Option<Record>, finish: impl FnOnce(&mut Record)) {
        let mut queue = self.part.lock();
        queue.reserved -= 1;
        match (given, self.open) {
            (Some(mut record), _) => {
                finish(&mut record);
                queue.ended.push(Entry { record, step: Step::Whole });
            }
            (None, Some(place)) => queue.close(place, finish),
            (None, None) => {}
        }
        drop(queue);
        self.part.shared.wake();
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
        let count = (room / PART_ROOM).clamp(1, PARTS_MAX);
        let shared = Arc::new(Shared {
            parts: OnceLock::new(),
            room: room / count,
            is_closing: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            asleep: Mutex::new(()),
            woken: Condvar::new(),
            keeping: Keeping::default(),
            texts: TextRoom::default(),
        });
        let part = |_| Arc::new(Part { queue: Mutex::default(), shared: shared.clone() });
        let parts: Box<[Arc<Part>]> = (0..count).map(part).collect();
        shared.parts.get_or_init(|| parts.iter().map(Arc::downgrade).collect());
        let recorder =
            Self { own: parts[0].clone(), makes_spans: false, _first: Some(First(shared.clone())) };
        (recorder, Records { parts, shared, spare: Vec::new() })
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
        // Where the own part is full another one may have room.
        let others = || self.own.shared.parts().iter().filter_map(Weak::upgrade);
        let slot = self.own.reserve().or_else(|| others().find_map(|part| part.reserve()));
        if slot.is_none() {
            self.own.shared.keeping.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }

    /// Where arguments and results wait to be kept.
    pub fn texts(&self) -> &TextRoom {
        &self.own.shared.texts
    }

    /// Where the reader of records notes how it goes.
    pub fn keeping(&self) -> Keeping {
        self.own.shared.keeping.clone()
    }

    /// Whether the last records could not be kept.
    pub fn is_failing(&self) -> bool {
        self.own.shared.keeping.0.is_failing.load(Ordering::Relaxed)
    }

    /// Records that found no place since the start.
    pub fn lost(&self) -> u64 {
        self.own.shared.keeping.0.lost.load(Ordering::Relaxed)
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Records {
    parts: Box<[Arc<Part>]>,
    shared: Arc<Shared>,
    /// An empty list with room, to be left where a full one is taken.
    spare: Vec<Entry>,
}

impl Records {
    /// Adds what came since the last time, in the order of time: what has ended, and the beginning of what goes on and was
    /// not told yet.
    pub fn take(&mut self, batch: &mut Vec<Entry>) {
        let before = batch.len();
        for part in &self.parts {
            let mut queue = part.lock();
            // What ends from now on ends with its beginning told: both under one lock.
            queue.tell(batch);
            std::mem::swap(&mut queue.ended, &mut self.spare);
            drop(queue);
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
            // Looked at before what they may have left is taken.
            let is_closed = self.is_closed();
            self.take(batch);
            if !batch.is_empty() || is_closed {
                return !batch.is_empty();
            }
            self.sleep();
        }
    }

    /// Whether nobody is left who could send: this end alone holds the parts.
    fn is_closed(&self) -> bool {
        self.shared.is_closing.load(Ordering::SeqCst)
            && self.parts.iter().all(|part| Arc::strong_count(part) == 1)
    }

    /// Sleeps until something is there. Those who leave last tell nobody, so that those who leave need not count.
    fn sleep(&self) {
        let asleep = self.shared.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.is_asleep.store(true, Ordering::SeqCst);
        // Whoever sent before that did not see it, and is seen here.
        if self.parts.iter().all(|part| part.lock().is_empty()) {
            let sleeping = |_: &mut ()| self.shared.is_asleep.load(Ordering::SeqCst);
            if self.shared.is_closing.load(Ordering::SeqCst) {
                drop(self.shared.woken.wait_timeout_while(asleep, LAST_LOOK, sleeping));
            } else {
                drop(self.shared.woken.wait_while(asleep, sleeping));
            }
        }
        self.shared.is_asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
