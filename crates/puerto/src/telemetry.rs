//! What is told to a collector that speaks OTLP over HTTP: spans of what was done, and metrics. Spans are made from records by
//! the thread that reads those, metrics from what scrapers get too; nobody waits for the collector: what it does not take in
//! time is dropped and counted.

mod export;
mod metric;
mod resource;
mod send;
mod span;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Uri};
use prometheus_client::metrics::counter::Counter;
use puerto_core::record::Kind;
use puerto_core::{Code, Error, Record, Result};
use puerto_mcp::upstream::pool::{Connector, Pool};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use export::Exporter;
pub(crate) use resource::Service;
use send::{Sender, Signal};
use span::Span;

/// Spans that wait for the collector: some 4 MB, and a second of a hub that is asked much.
const SPANS_WAITING_MAX: usize = 16_384;
/// Shortest time between two requests with metrics: more often is a load and tells nothing more.
pub(crate) const POINTS_EVERY_MIN: Duration = Duration::from_secs(1);

/// What became of spans, or of data points of metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Taken by the collector.
    pub(crate) sent: Counter,
    /// Not taken: too many at once, or it could not be reached for long.
    pub(crate) lost: Counter,
}

/// Where all of it goes.
pub(crate) struct Collector {
    /// Its address, as configured; `/v1/traces` and `/v1/metrics` are added.
    address: Uri,
    /// Headers of every request to it.
    headers: HeaderMap,
    /// Who sends.
    service: Service,
    pool: Arc<Pool>,
}

impl Collector {
    /// Reached when there is something to send.
    pub(crate) fn new(address: Uri, headers: HeaderMap, service: Service, connector: Connector) -> Self {
        let pool = Pool::new(connector, &address);
        Self { address, headers, service, pool }
    }

    fn sender(&self, signal: Signal, counts: &Counts) -> Result<Sender> {
        let base = self.address.path().trim_end_matches('/');
        let target = format!("{base}{}", signal.path()).parse().map_err(|cause: http::uri::InvalidUri| {
            Error::caller(Code::BadRequest, "telemetry.otlp: nothing can be sent there").inside(cause)
        })?;
        Ok(Sender::new(signal, self.pool.clone(), target, self.headers.clone(), counts.clone()))
    }
}

/// Takes spans. Dropped, what waits is sent.
pub(crate) struct Spans {
    to: mpsc::Sender<Span>,
    counts: Counts,
}

impl Spans {
    /// The taker of spans and the task that sends them.
    pub(crate) fn start(to: &Collector, counts: &Counts) -> Result<(Self, JoinHandle<()>)> {
        let (waiting, from) = mpsc::channel(SPANS_WAITING_MAX);
        let sender = to.sender(Signal::Traces, counts)?;
        let exporter = Exporter { from, sender, service: to.service.clone() };
        Ok((Self { to: waiting, counts: counts.clone() }, tokio::spawn(exporter.run())))
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

/// Sends metrics. Each request has all numbers, counted since the start, so one that is lost takes nothing with it.
pub(crate) struct Points {
    sender: Sender,
    service: Service,
    every: Duration,
    since: SystemTime,
}

impl Points {
    /// One that sends so often what is counted from now on.
    pub(crate) fn new(to: &Collector, every: Duration, counts: &Counts) -> Result<Self> {
        let sender = to.sender(Signal::Metrics, counts)?;
        let every = every.max(POINTS_EVERY_MIN);
        Ok(Self { sender, service: to.service.clone(), every, since: SystemTime::now() })
    }

    /// Sends what a scrape would answer, again and again, for as long as it is polled. A collector that is slow gets fewer.
    pub(crate) async fn keep(&self, scrape: impl AsyncFn() -> String) {
        let mut turns = interval_at(Instant::now() + self.every, self.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.send(&scrape().await).await;
        }
    }

    /// Sends what a scrape has answered.
    pub(crate) async fn send(&self, scrape: &str) {
        let (body, count) = metric::request(&self.service, scrape, self.since, SystemTime::now());
        self.sender.deliver(body.into(), count).await;
    }
}
