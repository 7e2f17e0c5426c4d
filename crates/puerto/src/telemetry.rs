//! Spans of what was done, for a collector that speaks OTLP over HTTP. They are made from records by the thread that reads
//! those; nobody waits for the collector: what it does not take in time is dropped and counted.

mod export;
mod span;

use http::{HeaderMap, Uri};
use prometheus_client::metrics::counter::Counter;
use puerto_core::record::Kind;
use puerto_core::{Code, Error, Record, Result};
use puerto_mcp::upstream::pool::{Connector, Pool};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use export::Exporter;
pub(crate) use span::Service;
use span::Span;

/// Spans that wait for the collector: some 4 MB, and a second of a hub that is asked much.
const SPANS_WAITING_MAX: usize = 16_384;

/// What became of spans.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpanCounts {
    /// Taken by the collector.
    pub(crate) sent: Counter,
    /// Not taken: too many at once, or it could not be reached for long.
    pub(crate) lost: Counter,
}

/// Where the spans of a hub go.
pub(crate) struct Collector {
    /// Its address, as configured; `/v1/traces` is added.
    pub(crate) address: Uri,
    /// Headers of every request to it.
    pub(crate) headers: HeaderMap,
    /// Who sends.
    pub(crate) service: Service,
}

/// Takes spans. Dropped, what waits is sent.
pub(crate) struct Spans {
    to: mpsc::Sender<Span>,
    counts: SpanCounts,
}

impl Spans {
    /// The taker of spans and the task that sends them.
    pub(crate) fn start(
        to: Collector,
        connector: Connector,
        counts: &SpanCounts,
    ) -> Result<(Self, JoinHandle<()>)> {
        let base = to.address.path().trim_end_matches('/');
        let target = format!("{base}/v1/traces").parse().map_err(|cause: http::uri::InvalidUri| {
            Error::caller(Code::BadRequest, "telemetry.otlp: nothing can be sent there").inside(cause)
        })?;
        let (sender, from) = mpsc::channel(SPANS_WAITING_MAX);
        let exporter = Exporter {
            from,
            pool: Pool::new(connector, &to.address),
            target,
            headers: to.headers,
            service: to.service,
            counts: counts.clone(),
        };
        Ok((Self { to: sender, counts: counts.clone() }, tokio::spawn(exporter.run())))
    }

    /// Makes the spans of records of MCP operations. Never waits.
    pub(crate) fn take<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        for record in records.filter(|record| matches!(record.kind, Kind::Mcp(_))) {
            for span in Span::of(record) {
                if self.to.try_send(span).is_err() {
                    self.counts.lost.inc();
                }
            }
        }
    }
}
