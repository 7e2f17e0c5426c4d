//! The readers of records: log lines, metrics, the audit trail, spans. A thread of its own reads, so that a blocked
//! terminal or disk never reaches the data path.

pub(crate) mod log;
pub(crate) mod metrics;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use puerto_core::record::{Entry, Keeping};
use puerto_core::{Record, RequestId};
use puerto_store::{Draft, Phase, Store};
use tokio::sync::{mpsc, oneshot};

use log::LogWriter;
use metrics::Metrics;

use crate::telemetry::Spans;

/// Records that may wait; beyond it they are counted as lost.
pub(crate) const CHANNEL: usize = 65_536;
/// Entries taken in one go. An audited call has two, so that 160,000 calls a second find room: more than any machine has
/// answered yet.
const BATCH: usize = 16_384;
/// A pause between two batches, so that a burst of calls wakes the reader once and not once per call, and that
/// what a batch costs whatever is in it (a transaction, two wake-ups) is shared by many.
const GATHER: Duration = Duration::from_millis(50);

/// What readers of records hand on to.
pub(crate) struct Readers {
    /// Counts.
    pub(crate) metrics: Arc<Metrics>,
    /// Writes lines.
    pub(crate) log: LogWriter,
    /// Keeps the audit trail.
    pub(crate) store: Store,
    /// Where it is noted whether it can be kept.
    pub(crate) keeping: Keeping,
    /// Makes spans, where somebody gathers them.
    pub(crate) spans: Option<Spans>,
}

/// Reads until every sender is gone and everything has been handed on; says so by the end of the channel
/// that it answers.
pub(crate) fn read(
    entries: mpsc::Receiver<Entry>,
    readers: Readers,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("records".into()).spawn(move || {
        readers.hand_on(entries);
        drop(done);
    })?;
    Ok(ended)
}

impl Readers {
    fn hand_on(mut self, mut entries: mpsc::Receiver<Entry>) {
        let (mut batch, mut trail) = (Vec::new(), Trail::default());
        while entries.blocking_recv_many(&mut batch, BATCH) > 0 {
            self.store.audit_append(trail.drafts(&batch));
            let ended = batch.iter().filter_map(|entry| match entry {
                Entry::Ended(record) => Some(record),
                Entry::Begun(_) => None,
            });
            self.metrics.observe(ended.clone());
            if let Some(spans) = &self.spans {
                spans.take(ended.clone());
            }
            ended.for_each(|record| self.log.add(record));
            self.log.flush();
            batch.clear();
            #[allow(clippy::disallowed_methods, reason = "a thread of its own, which runs no tokio")]
            std::thread::sleep(GATHER);
            self.keeping.note(self.store.is_failing());
        }
    }
}

/// Makes audit records of what was told. What begins and ends in one batch has one record, which says both; what goes on
/// longer has one of its beginning, written while it goes on, and one of its end.
#[derive(Default)]
struct Trail {
    /// Those whose beginning is written.
    open: HashSet<RequestId, BySpread>,
}

/// Request ids are numbers that we give ourselves, so one multiplication spreads them, where the usual hash takes
/// longer than all else that is done here with an entry.
type BySpread = BuildHasherDefault<Spread>;

#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Trail {
    fn drafts(&mut self, batch: &[Entry]) -> Vec<Draft> {
        let mut begun: HashMap<RequestId, &Record, BySpread> = HashMap::default();
        let mut drafts = Vec::with_capacity(batch.len());
        for entry in batch {
            match entry {
                Entry::Begun(record) => drop(begun.insert(record.request, record)),
                Entry::Ended(record) if record.is_for_audit() => {
                    begun.remove(&record.request);
                    let phase = if self.open.remove(&record.request) { Phase::Result } else { Phase::Act };
                    drafts.push(Draft::of(record, phase));
                }
                Entry::Ended(_) => {}
            }
        }
        for (request, record) in begun {
            // Asked again at another server: its beginning is written already.
            if self.open.insert(request) {
                drafts.push(Draft::of(record, Phase::Decision));
            }
        }
        drafts
    }
}

#[cfg(test)]
mod tests;
