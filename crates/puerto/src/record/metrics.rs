//! Metrics, read from records. The names are declared here and nowhere else; they are OpenTelemetry's for
//! MCP and `gen_ai` where those exist (semantic conventions, MCP, status Development).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use puerto_core::record::Kind;
use puerto_core::{Outcome, Record};
use puerto_mcp::hub::Hub;
use puerto_mcp::upstream::State;
use puerto_store::Store;

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
    up: Family<ServerLabels, Gauge>,
    restarts: Family<ServerLabels, Gauge>,
    sessions: Gauge,
    lost: Gauge,
    series: Mutex<HashMap<Key, Series>>,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Arc<Self> {
        let durations = Family::<OperationLabels, Histogram>::new_with_constructor(|| {
            // The buckets that the convention asks for.
            Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
        });
        let mut metrics = Self {
            registry: Registry::default(),
            durations,
            bytes: Family::default(),
            up: Family::default(),
            restarts: Family::default(),
            sessions: Gauge::default(),
            lost: Gauge::default(),
            series: Mutex::default(),
        };
        let registry = &mut metrics.registry;
        registry.register_with_unit(
            "mcp_server_operation_duration",
            "Time from request to answer",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register("puerto_payload_bytes", "Bytes of requests and answers", metrics.bytes.clone());
        registry.register("puerto_server_up", "Whether a server serves", metrics.up.clone());
        registry.register(
            "puerto_server_restarts",
            "Starts of a server after its first",
            metrics.restarts.clone(),
        );
        registry.register("puerto_sessions_open", "Legacy sessions with clients", metrics.sessions.clone());
        registry.register("puerto_records_lost", "Records that were not kept", metrics.lost.clone());
        Arc::new(metrics)
    }

    /// Counts records.
    pub(crate) fn observe(&self, records: &[Record]) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before: Option<(&Record, Series)> = None;
        for record in records.iter().filter(|record| matches!(record.kind, Kind::Mcp(_))) {
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

    /// As OpenMetrics text; what is a state and not an event is read now.
    pub(crate) fn render(&self, hub: &Hub, store: &Store) -> String {
        for upstream in hub.tenants().values().flat_map(|tenant| tenant.upstreams.values()) {
            let labels =
                ServerLabels { tenant: upstream.tenant.to_string(), server: upstream.name.to_string() };
            self.up.get_or_create(&labels).set(i64::from(upstream.state() == State::Ready));
            self.restarts.get_or_create(&labels).set(upstream.restarts().into());
        }
        self.sessions.set(i64::try_from(hub.sessions.count()).unwrap_or(i64::MAX));
        self.lost.set(i64::try_from(hub.records_lost() + store.lost()).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
