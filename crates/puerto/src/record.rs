//! The readers of records: log lines, metrics, the store. One thread reads, so that a blocked terminal or
//! disk never reaches the data path.

pub(crate) mod log;
pub(crate) mod metrics;

use std::sync::Arc;
use std::time::Duration;

use puerto_core::Record;
use puerto_store::Store;
use tokio::sync::mpsc;

use log::LogWriter;
use metrics::Metrics;

/// Records that may wait; beyond it they are counted as lost.
pub(crate) const CHANNEL: usize = 65_536;
/// Records taken in one go.
const BATCH: usize = 4096;
/// A pause between two batches, so that a burst of calls wakes the reader once and not once per call.
const GATHER: Duration = Duration::from_millis(10);

/// Reads until every sender is gone and everything has been handed on.
pub(crate) async fn read(
    mut records: mpsc::Receiver<Record>,
    metrics: Arc<Metrics>,
    mut log: LogWriter,
    store: Store,
) {
    let mut batch = Vec::new();
    while records.recv_many(&mut batch, BATCH).await > 0 {
        for record in &batch {
            metrics.observe(record);
            log.add(record);
        }
        log.flush();
        store.records_append(std::mem::take(&mut batch));
        tokio::time::sleep(GATHER).await;
    }
}
