//! Metrics, read from records, and from what there is when somebody asks. What exists is told by `list.rs`.

#[cfg(test)]
mod dashboards;
mod exposition;
pub(crate) mod list;
mod readings;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use puerto_core::record::Kind;
use puerto_core::{Outcome, Record, Severity};
use puerto_mcp::hub::Hub;
use puerto_mcp::upstream::State;
use puerto_store::Store;

pub(crate) use exposition::{Form, series};
pub(crate) use readings::{Readings, Services, Tests};

use crate::telemetry::Counts;
use crate::usage::Taken;

/// Series of one metric. A tool's name comes from servers, so their number is theirs to choose; beyond
/// this many a series is counted under the name `other`.
const SERIES_MAX: usize = 5000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    mcp_method_name: String,
    gen_ai_tool_name: String,
    tenant: String,
    server: String,
    error_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByteLabels {
    tenant: String,
    server: String,
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    tenant: String,
    server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SeverityLabels {
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotificationLabels {
    channel: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CopyLabels {
    to: &'static str,
    result: &'static str,
}

/// What tells one series from another, without copying a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    tenant: Arc<str>,
    server: Option<Arc<str>>,
    tool: Option<Arc<str>>,
    outcome: &'static str,
}

/// The metrics that a record with a certain key counts in. Looking them up by their labels would cost more
/// than counting, so each is looked up once.
#[derive(Clone)]
struct Series {
    duration: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
}

/// Whether two records count in the same series.
fn alike(one: &Record, other: &Record) -> bool {
    one.kind == other.kind
        && one.object == other.object
        && one.server == other.server
        && one.tenant == other.tenant
        && one.outcome == other.outcome
}

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    durations: Family<OperationLabels, Histogram>,
    bytes: Family<ByteLabels, Counter>,
    notifications: Family<NotificationLabels, Counter>,
    copies: Family<CopyLabels, Counter>,
    state: States,
    taken: TakenFamilies,
    series: Mutex<HashMap<Key, Series>>,
    spans: Counts,
    points: Counts,
    /// Held while states are read and written out.
    rendering: Mutex<()>,
}

/// What is a state and not an event: read when somebody asks.
#[derive(Default)]
struct States {
    up: Family<ServerLabels, Gauge>,
    failing: Family<ServerLabels, Gauge>,
    restarts: Family<ServerLabels, Gauge>,
    sessions: Gauge,
    lost: Gauge,
    healthy: Gauge,
    total: Gauge,
    /// No number where the store does not tell.
    events: Gauge<f64, AtomicU64>,
    audits: Gauge<f64, AtomicU64>,
    uptime: Gauge<f64, AtomicU64>,
    tests: Gauge,
    ingested: Counter,
    texts_lost: Counter,
    depth: Gauge,
    unsealed: Gauge<f64, AtomicU64>,
    firing: Family<SeverityLabels, Gauge>,
}

/// Of a metric of which there is one series, or none.
type NoLabels = [(&'static str, &'static str); 0];

/// What servers and the hub take from the machine, as it was last read; nothing where that cannot be read.
#[derive(Default)]
struct TakenFamilies {
    memory: Family<ServerLabels, Gauge>,
    cpu: Family<ServerLabels, Counter<f64, AtomicU64>>,
    processes: Family<ServerLabels, Gauge>,
    hub_memory: Family<NoLabels, Gauge>,
    hub_cpu: Family<NoLabels, Counter<f64, AtomicU64>>,
}

/// Registers a metric under its name in the list.
fn register(registry: &mut Registry, what: &list::Metric, metric: impl prometheus_client::registry::Metric) {
    match what.unit {
        "" => registry.register(what.stem(), what.help, metric),
        unit => registry.register_with_unit(what.stem(), what.help, Unit::Other(unit.into()), metric),
    }
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Arc<Self> {
        let durations = Family::<OperationLabels, Histogram>::new_with_constructor(|| {
            // The buckets that the convention asks for.
            Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
        });
        let (mut registry, bytes, state) = (Registry::default(), Family::default(), States::default());
        let taken = TakenFamilies::default();
        register(&mut registry, &list::OPERATION_DURATION, durations.clone());
        register(&mut registry, &list::PAYLOAD_BYTES, Family::clone(&bytes));
        state.register(&mut registry);
        taken.register(&mut registry);
        let notifications = Family::<NotificationLabels, Counter>::default();
        register(&mut registry, &list::NOTIFICATIONS, notifications.clone());
        let copies = Family::<CopyLabels, Counter>::default();
        register(&mut registry, &list::CHECKPOINT_COPIES, copies.clone());
        // A receiver that is not there is shown too: no rule notices that what was never there has grown.
        for to in ["webhook", "syslog"] {
            for result in ["sent", "failed"] {
                let _ = copies.get_or_create(&CopyLabels { to, result });
            }
        }
        let (spans, points) = (Counts::default(), Counts::default());
        register(&mut registry, &list::SPANS_SENT, spans.sent.clone());
        register(&mut registry, &list::SPANS_LOST, spans.lost.clone());
        register(&mut registry, &list::POINTS_SENT, points.sent.clone());
        register(&mut registry, &list::POINTS_LOST, points.lost.clone());
        let (series, rendering) = (Mutex::default(), Mutex::default());
        Arc::new(Self {
            registry,
            durations,
            bytes,
            notifications,
            copies,
            state,
            taken,
            series,
            spans,
            points,
            rendering,
        })
    }

    /// Where it is counted what becomes of spans.
    pub(crate) fn spans(&self) -> &Counts {
        &self.spans
    }

    /// Where it is counted what becomes of data points of metrics.
    pub(crate) fn points(&self) -> &Counts {
        &self.points
    }

    /// Shows channels that were told of nothing yet.
    pub(crate) fn has_channels<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for channel in names {
            for result in ["sent", "retry", "failed"] {
                let labels = NotificationLabels { channel: channel.to_owned(), result };
                let _ = self.notifications.get_or_create(&labels);
            }
        }
    }

    /// Counts an attempt to tell a channel of alerts.
    pub(crate) fn notified(&self, channel: &str, result: &'static str) {
        let labels = NotificationLabels { channel: channel.to_owned(), result };
        self.notifications.get_or_create(&labels).inc();
    }

    /// Counts an attempt to send a checkpoint elsewhere.
    pub(crate) fn copied(&self, to: &'static str, is_sent: bool) {
        let result = if is_sent { "sent" } else { "failed" };
        self.copies.get_or_create(&CopyLabels { to, result }).inc();
    }

    /// Counts records.
    pub(crate) fn observe<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before: Option<(&Record, Series)> = None;
        for record in records.filter(|record| matches!(record.kind, Kind::Mcp(_))) {
            // Records of one kind often follow each other, and comparing is quicker than looking up.
            let series = match before {
                Some((last, series)) if alike(last, record) => series,
                _ => self.find(&mut all, record),
            };
            series.duration.observe(record.duration.as_secs_f64());
            series.bytes_in.inc_by(record.bytes_in);
            series.bytes_out.inc_by(record.bytes_out);
            before = Some((record, series));
        }
    }

    fn find(&self, all: &mut HashMap<Key, Series>, record: &Record) -> Series {
        let mut key = Key {
            kind: record.kind.clone(),
            tenant: record.tenant.clone(),
            server: record.server.clone(),
            tool: record.object.clone().filter(|_| record.kind.name() == "tools/call"),
            outcome: record.outcome.name(),
        };
        if all.len() >= SERIES_MAX && !all.contains_key(&key) {
            key.tool = key.tool.map(|_| "other".into());
        }
        all.entry(key).or_insert_with_key(|key| self.series(key)).clone()
    }

    fn series(&self, key: &Key) -> Series {
        let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
        let labels = OperationLabels {
            mcp_method_name: key.kind.name().to_owned(),
            gen_ai_tool_name: text(&key.tool),
            tenant: key.tenant.to_string(),
            server: text(&key.server),
            error_type: if key.outcome == Outcome::Ok.name() {
                String::new()
            } else {
                key.outcome.to_owned()
            },
        };
        let bytes = |direction| {
            let labels = ByteLabels { tenant: key.tenant.to_string(), server: text(&key.server), direction };
            self.bytes.get_or_create(&labels).clone()
        };
        Series {
            duration: self.durations.get_or_create(&labels).clone(),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
        }
    }

    /// Takes in what servers and the hub take now. A server that is not among them is none any more.
    pub(crate) fn takes(&self, all: &[Taken]) {
        let _alone = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.taken.set(all);
    }

    /// As text; what is a state and not an event is read now.
    pub(crate) fn render(&self, hub: &Hub, store: &Store, readings: &Readings, form: Form) -> String {
        let _alone = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.read(hub, store, readings);
        self.written(form)
    }

    /// Reads what is a state and not an event, for a text that is written when it can be read no longer.
    pub(crate) fn read(&self, hub: &Hub, store: &Store, readings: &Readings) {
        let _alone = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.read(hub, store, readings);
    }

    /// As text; what is a state and not an event is as it was last read.
    pub(crate) fn rest(&self, form: Form) -> String {
        let _alone = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.written(form)
    }

    fn written(&self, form: Form) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        form.of(text)
    }
}

impl States {
    fn register(&self, to: &mut Registry) {
        register(to, &list::SERVER_UP, self.up.clone());
        register(to, &list::SERVER_FAILING, self.failing.clone());
        register(to, &list::SERVER_RESTARTS, self.restarts.clone());
        register(to, &list::SESSIONS_OPEN, self.sessions.clone());
        register(to, &list::RECORDS_LOST, self.lost.clone());
        register(to, &list::TEXTS_LOST, self.texts_lost.clone());
        register(to, &list::HEALTHY_SERVICES, self.healthy.clone());
        register(to, &list::TOTAL_SERVICES, self.total.clone());
        register(to, &list::EVENTS_COUNT, self.events.clone());
        register(to, &list::AUDITS_COUNT, self.audits.clone());
        register(to, &list::UPTIME_PERCENT, self.uptime.clone());
        register(to, &list::TESTS_STATUS, self.tests.clone());
        register(to, &list::EVENTS_INGESTED, self.ingested.clone());
        register(to, &list::QUEUE_DEPTH, self.depth.clone());
        register(to, &list::CHECKPOINT_AGE, self.unsealed.clone());
        register(to, &list::ALERTS_FIRING, self.firing.clone());
    }

    fn read(&self, hub: &Hub, store: &Store, readings: &Readings) {
        // A server that is defined no longer has no state.
        for family in [&self.up, &self.failing, &self.restarts] {
            family.clear();
        }
        for upstream in hub.tenants().values().flat_map(|tenant| tenant.upstreams.values()) {
            let labels =
                ServerLabels { tenant: upstream.tenant.to_string(), server: upstream.name.to_string() };
            let state = upstream.state();
            self.up.get_or_create(&labels).set(i64::from(state == State::Ready));
            self.failing.get_or_create(&labels).set(i64::from(state.why().is_some()));
            self.restarts.get_or_create(&labels).set(upstream.restarts().into());
        }
        self.sessions.set(i64::try_from(hub.sessions.count()).unwrap_or(i64::MAX));
        self.lost.set(i64::try_from(hub.records_lost() + store.lost()).unwrap_or(i64::MAX));
        self.texts_lost.inner().store(hub.texts_lost(), Ordering::Relaxed);
        self.healthy.set(readings.services.healthy.into());
        self.total.set(readings.services.total.into());
        self.uptime.set(readings.services.uptime_percent);
        let told = |count: Option<i64>| count.map_or(f64::NAN, |count| count as f64);
        self.events.set(told(readings.events));
        self.audits.set(told(readings.audits));
        self.tests.set(readings.tests.number());
        self.ingested.inner().store(store.events_ingested(), Ordering::Relaxed);
        self.depth.set(i64::try_from(store.waiting()).unwrap_or(i64::MAX));
        self.unsealed.set(readings.unsealed.as_secs_f64());
        for (severity, firing) in Severity::ALL.into_iter().zip(readings.firing) {
            let labels = SeverityLabels { severity: severity.name() };
            self.firing.get_or_create(&labels).set(i64::try_from(firing).unwrap_or(i64::MAX));
        }
    }
}

impl TakenFamilies {
    fn register(&self, to: &mut Registry) {
        register(to, &list::SERVER_MEMORY, self.memory.clone());
        register(to, &list::SERVER_CPU, self.cpu.clone());
        register(to, &list::SERVER_PROCESSES, self.processes.clone());
        register(to, &list::HUB_MEMORY, self.hub_memory.clone());
        register(to, &list::HUB_CPU, self.hub_cpu.clone());
    }

    fn set(&self, all: &[Taken]) {
        self.memory.clear();
        self.processes.clear();
        self.cpu.clear();
        for one in all {
            let memory = i64::try_from(one.memory).unwrap_or(i64::MAX);
            let seconds = one.cpu.as_secs_f64().to_bits();
            let Some((tenant, server)) = &one.owner else {
                self.hub_memory.get_or_create(&[]).set(memory);
                self.hub_cpu.get_or_create(&[]).inner().store(seconds, Ordering::Relaxed);
                continue;
            };
            let labels = ServerLabels { tenant: tenant.to_string(), server: server.to_string() };
            self.memory.get_or_create(&labels).set(memory);
            self.processes.get_or_create(&labels).set(one.processes.into());
            self.cpu.get_or_create(&labels).inner().store(seconds, Ordering::Relaxed);
        }
    }
}
