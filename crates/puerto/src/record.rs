//! The readers of records: log lines, metrics, the audit trail, spans. A thread of its own reads, so that a blocked
//! terminal or disk never reaches the data path.

pub(crate) mod log;
pub(crate) mod metrics;

use std::sync::Arc;
use std::time::Duration;

use puerto_core::recorder::Keeping;
use puerto_core::{Entry, Records, Step};
use puerto_store::{Draft, Phase, Store};
use tokio::sync::oneshot;

use log::LogWriter;
use metrics::Metrics;

use crate::telemetry::Spans;

/// Operations that may be under way or wait to be read; beyond it they are counted as lost. In the pause between two batches
/// 160,000 calls a second find room four times over: more than any machine has answered yet.
pub(crate) const CHANNEL: usize = 65_536;
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
pub(crate) fn read(records: Records, readers: Readers) -> std::io::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("records".into()).spawn(move || {
        readers.hand_on(records);
        drop(done);
    })?;
    Ok(ended)
}

impl Readers {
    fn hand_on(mut self, mut records: Records) {
        let mut batch = Vec::new();
        while records.wait(&mut batch) {
            let ended = batch.iter().filter(|entry| entry.has_ended()).map(|entry| &entry.record);
            self.metrics.observe(ended.clone());
            if let Some(spans) = &self.spans {
                spans.take(ended.clone());
            }
            ended.for_each(|record| self.log.add(record));
            // The trail first: what lines are written to may be slow.
            self.store.audit_append(drafts(&mut batch));
            self.log.flush();
            #[allow(clippy::disallowed_methods, reason = "a thread of its own, which runs no tokio")]
            std::thread::sleep(GATHER);
            self.keeping.note(self.store.is_failing());
        }
    }
}

/// Makes audit records of what was told. What begins and ends between two looks has one record, which says both; what goes
/// on longer has one of its beginning, written while it goes on, and one of its end.
fn drafts(batch: &mut Vec<Entry>) -> Vec<Draft> {
    let draft = |Entry { record, step }| match step {
        Step::Begun => Some(Draft::of(record, Phase::Decision)),
        Step::Ended => Some(Draft::of(record, Phase::Result)),
        Step::Whole => record.is_for_audit().then(|| Draft::of(record, Phase::Act)),
    };
    std::mem::take(batch).into_iter().filter_map(draft).collect()
}

#[cfg(test)]
mod tests;
