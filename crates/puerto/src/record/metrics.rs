//! Metrics, read from records. The names are declared here and nowhere else; they are OpenTelemetry's for
//! MCP and `gen_ai` where those exist (semantic conventions, MCP, status Development).

use std::collections::HashSet;
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

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    durations: Family<OperationLabels, Histogram>,
    bytes: Family<ByteLabels, Counter>,
    up: Family<ServerLabels, Gauge>,
    restarts: Family<ServerLabels, Gauge>,
    sessions: Gauge,
    lost: Gauge,
    known: Mutex<HashSet<OperationLabels>>,
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
            known: Mutex::default(),
        };
        let registry = &mut metrics.registry;
        registry.register_with_unit("mcp_server_operation_duration", "Time from request to answer", Unit::Seconds, metrics.durations.clone());
        registry.register("puerto_payload_bytes", "Bytes of requests and answers", metrics.bytes.clone());
        registry.register("puerto_server_up", "Whether a server serves", metrics.up.clone());
        registry.register("puerto_server_restarts", "Starts of a server after its first", metrics.restarts.clone());
        registry.register("puerto_sessions_open", "Legacy sessions with clients", metrics.sessions.clone());
        registry.register("puerto_records_lost", "Records that were not kept", metrics.lost.clone());
        Arc::new(metrics)
    }

    /// Counts a record.
    pub(crate) fn observe(&self, record: &Record) {
        let Kind::Mcp(method) = &record.kind else { return };
        let server = record.server.as_deref().unwrap_or_default();
        let tool = if method == "tools/call" { record.object.as_deref().unwrap_or_default() } else { "" };
        let mut labels = OperationLabels {
            mcp_method_name: method.to_string(),
            gen_ai_tool_name: tool.to_owned(),
            tenant: record.tenant.to_string(),
            server: server.to_owned(),
            error_type: if record.outcome == Outcome::Ok { String::new() } else { record.outcome.name().to_owned() },
        };
        if !self.has_room(&labels) {
            labels.gen_ai_tool_name = "other".into();
        }
        self.durations.get_or_create(&labels).observe(record.duration.as_secs_f64());
        for (direction, count) in [("in", record.bytes_in), ("out", record.bytes_out)] {
            let labels = ByteLabels { tenant: labels.tenant.clone(), server: labels.server.clone(), direction };
            self.bytes.get_or_create(&labels).inc_by(count);
        }
    }

    fn has_room(&self, labels: &OperationLabels) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(labels) || (known.len() < SERIES_MAX && known.insert(labels.clone()))
    }

    /// As OpenMetrics text; what is a state and not an event is read now.
    pub(crate) fn render(&self, hub: &Hub, store: &Store) -> String {
        for upstream in hub.tenants.values().flat_map(|tenant| tenant.upstreams.values()) {
            let labels = ServerLabels { tenant: upstream.tenant.to_string(), server: upstream.name.to_string() };
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
