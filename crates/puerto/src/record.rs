//! The readers of records: log lines, metrics, the store. A thread of its own reads, so that a blocked
//! terminal or disk never reaches the data path.

pub(crate) mod log;
pub(crate) mod metrics;

use std::sync::Arc;
use std::time::Duration;

use puerto_core::Record;
use puerto_store::Store;
use tokio::sync::{mpsc, oneshot};

use log::LogWriter;
use metrics::Metrics;

/// Records that may wait; beyond it they are counted as lost.
pub(crate) const CHANNEL: usize = 65_536;
/// Records taken in one go.
const BATCH: usize = 4096;
/// A pause between two batches, so that a burst of calls wakes the reader once and not once per call, and that
/// what a batch costs whatever is in it (a transaction, two wake-ups) is shared by many.
const GATHER: Duration = Duration::from_millis(50);

/// Reads until every sender is gone and everything has been handed on; says so by the end of the channel
/// that it answers.
pub(crate) fn read(
    records: mpsc::Receiver<Record>,
    metrics: Arc<Metrics>,
    log: LogWriter,
    store: Store,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("records".into()).spawn(move || {
        hand_on(records, &metrics, log, &store);
        drop(done);
    })?;
    Ok(ended)
}

fn hand_on(mut records: mpsc::Receiver<Record>, metrics: &Metrics, mut log: LogWriter, store: &Store) {
    let mut batch = Vec::new();
    while records.blocking_recv_many(&mut batch, BATCH) > 0 {
        metrics.observe(&batch);
        batch.iter().for_each(|record| log.add(record));
        log.flush();
        store.records_append(std::mem::take(&mut batch));
        #[allow(clippy::disallowed_methods, reason = "a thread of its own, which runs no tokio")]
        std::thread::sleep(GATHER);
    }
}
