//! Every metric, once. What is registered, the table of docs/metrics.md, the rules for Prometheus and the dashboards for
//! Grafana are made from this list. Names are OpenTelemetry's for MCP and `gen_ai` where those exist (semantic
//! conventions, MCP, status Development); a counter's ends with `_total`, and a unit stands before that.

/// What a metric's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How many there were, up to each of several sizes.
    Histogram,
}

impl Kind {
    /// As in the exposition.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    /// Its name, as it is scraped.
    pub(crate) name: &'static str,
    /// What its number is.
    pub(crate) kind: Kind,
    /// What it is counted in, where its name says so; else empty.
    pub(crate) unit: &'static str,
    /// The names of its labels.
    pub(crate) labels: &'static [&'static str],
    /// What it means.
    pub(crate) help: &'static str,
}

impl Metric {
    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit: "", labels: &[], help }
    }

    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Counter, ..Self::gauge(name, help) }
    }

    const fn of(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    const fn in_unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// What the name of a sample has behind this metric's own; nothing where it is none of this metric.
    pub(crate) fn part<'a>(&self, sample: &'a str) -> Option<&'a str> {
        let part = sample.strip_prefix(self.name)?;
        let is_own = match self.kind {
            Kind::Counter | Kind::Gauge => part.is_empty(),
            Kind::Histogram => matches!(part, "_bucket" | "_count" | "_sum"),
        };
        is_own.then_some(part)
    }

    /// Its name without what the exposition adds: the unit and `_total`.
    pub(crate) fn stem(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let stem = name.strip_suffix(self.unit).and_then(|stem| stem.strip_suffix('_'));
        stem.filter(|_| !self.unit.is_empty()).unwrap_or(name)
    }
}

const SERVER: &[&str] = &["tenant", "server"];

pub(crate) const OPERATION_DURATION: Metric = Metric {
    name: "mcp_server_operation_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["mcp_method_name", "gen_ai_tool_name", "tenant", "server", "error_type"],
    help: "Time from request to answer",
};
pub(crate) const PAYLOAD_BYTES: Metric =
    Metric::counter("puerto_payload_bytes_total", "Bytes of requests and answers")
        .of(&["tenant", "server", "direction"])
        .in_unit("bytes");
pub(crate) const SERVER_UP: Metric = Metric::gauge("puerto_server_up", "1 where a server serves").of(SERVER);
pub(crate) const SERVER_FAILING: Metric =
    Metric::gauge("puerto_server_failing", "1 where a server should serve and cannot").of(SERVER);
pub(crate) const SERVER_RESTARTS: Metric =
    Metric::gauge("puerto_server_restarts", "Starts of a server after its first").of(SERVER);
pub(crate) const SERVER_MEMORY: Metric = Metric::gauge(
    "puerto_server_memory_bytes",
    "Resident memory of the processes of a server that is a child, and of what they have started",
)
.of(SERVER)
.in_unit("bytes");
pub(crate) const SERVER_CPU: Metric = Metric::counter(
    "puerto_server_cpu_seconds_total",
    "Processor time that they have taken, over all restarts",
)
.of(SERVER)
.in_unit("seconds");
pub(crate) const SERVER_PROCESSES: Metric =
    Metric::gauge("puerto_server_processes", "How many they are; none while it rests").of(SERVER);
pub(crate) const HUB_MEMORY: Metric =
    Metric::gauge("puerto_hub_memory_bytes", "Resident memory of this hub itself").in_unit("bytes");
pub(crate) const HUB_CPU: Metric =
    Metric::counter("puerto_hub_cpu_seconds_total", "Processor time that it has taken").in_unit("seconds");
pub(crate) const SESSIONS_OPEN: Metric =
    Metric::gauge("puerto_sessions_open", "Legacy sessions with clients");
pub(crate) const RECORDS_LOST: Metric = Metric::gauge("puerto_records_lost", "Records that were not kept");
pub(crate) const TEXTS_LOST: Metric = Metric::counter(
    "puerto_texts_lost_total",
    "Arguments and results that a tenant keeps and that were not kept: over 1 MiB, too many at once, or without a key",
);
pub(crate) const HEALTHY_SERVICES: Metric = Metric::gauge("mcp_healthy_services", "Services that are well");
pub(crate) const TOTAL_SERVICES: Metric =
    Metric::gauge("mcp_total_services", "Services in all: servers of this hub that are enabled");
pub(crate) const EVENTS_COUNT: Metric = Metric::gauge("mcp_events_count", "Events that are kept");
pub(crate) const AUDITS_COUNT: Metric = Metric::gauge("mcp_audits_count", "Records of the audit trail");
pub(crate) const UPTIME_PERCENT: Metric =
    Metric::gauge("mcp_uptime_percent", "Share of services that are well now, 0 to 100");
pub(crate) const TESTS_STATUS: Metric = Metric::gauge(
    "mcp_tests_status",
    "What the newest event of type tests says: 1 passing, 0 failing, -1 unknown",
);
pub(crate) const EVENTS_INGESTED: Metric =
    Metric::counter("mcp_events_ingested_total", "Events that came in and were kept");
pub(crate) const QUEUE_DEPTH: Metric =
    Metric::gauge("mcp_event_queue_depth", "Records and changes that wait for the store");
pub(crate) const CHECKPOINT_AGE: Metric = Metric::gauge(
    "mcp_audit_checkpoint_age_seconds",
    "Time since a checkpoint stood for the whole audit trail",
)
.in_unit("seconds");
pub(crate) const CHECKPOINT_COPIES: Metric = Metric::counter(
    "puerto_checkpoint_copies_total",
    "Attempts to send the newest checkpoint of the audit trail elsewhere: sent, failed where it is tried again",
)
.of(&["to", "result"]);
pub(crate) const ALERTS_FIRING: Metric =
    Metric::gauge("mcp_alerts_firing", "Alerts that hold, whether anybody is told of them or not")
        .of(&["severity"]);
pub(crate) const NOTIFICATIONS: Metric = Metric::counter(
    "mcp_notifications_total",
    "Attempts to tell a channel of alerts: sent, retry where it is tried again, failed where it was given up",
)
.of(&["channel", "result"]);
pub(crate) const SPANS_SENT: Metric =
    Metric::counter("puerto_spans_sent_total", "Spans that the collector of telemetry.otlp has taken");
pub(crate) const SPANS_LOST: Metric =
    Metric::counter("puerto_spans_lost_total", "Spans that it has not, or that found no room on the way");
pub(crate) const POINTS_SENT: Metric = Metric::counter(
    "puerto_data_points_sent_total",
    "Data points of metrics that the collector of telemetry.otlp has taken",
);
pub(crate) const POINTS_LOST: Metric =
    Metric::counter("puerto_data_points_lost_total", "Data points of metrics that it has not");

/// All of them, in the order of the table.
pub(crate) const ALL: &[Metric] = &[
    OPERATION_DURATION,
    PAYLOAD_BYTES,
    SERVER_UP,
    SERVER_FAILING,
    SERVER_RESTARTS,
    SERVER_MEMORY,
    SERVER_CPU,
    SERVER_PROCESSES,
    HUB_MEMORY,
    HUB_CPU,
    SESSIONS_OPEN,
    RECORDS_LOST,
    TEXTS_LOST,
    HEALTHY_SERVICES,
    TOTAL_SERVICES,
    EVENTS_COUNT,
    AUDITS_COUNT,
    UPTIME_PERCENT,
    TESTS_STATUS,
    EVENTS_INGESTED,
    QUEUE_DEPTH,
    CHECKPOINT_AGE,
    CHECKPOINT_COPIES,
    ALERTS_FIRING,
    NOTIFICATIONS,
    SPANS_SENT,
    SPANS_LOST,
    POINTS_SENT,
    POINTS_LOST,
];
