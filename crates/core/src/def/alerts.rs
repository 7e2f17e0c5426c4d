//! Alerts: which conditions somebody hears of, who that is, and when.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChannelDef, Span, WindowDef, yes};
use crate::event::Severity;
use crate::id::TenantId;

/// The channel that always exists: a line on standard output.
pub const STDOUT: &str = "stdout";

/// Labels by name, each with what its value must be like: `*` stands for any text, `|` stands between
/// alternatives, a `!` before all of it turns it round. A label that is not there is an empty text.
pub type Matchers = BTreeMap<String, String>;

/// The section `alerts`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsDef {
    /// Whether the rules that come with Puerto hold: services that are down or flap, objectives at risk, readings that
    /// are out of the ordinary. A rule of one's own with the name of one of them takes its place.
    pub builtin: bool,
    /// What somebody hears of.
    pub rules: Vec<RuleDef>,
    /// Ways to tell somebody, by name. `stdout` is always there.
    pub channels: BTreeMap<String, ChannelDef>,
    /// Who hears of it, and when.
    pub route: RouteDef,
    /// What is not told while something else holds.
    pub inhibit: Vec<InhibitDef>,
    /// Hours in which routes that name them tell nothing, by name.
    pub mutes: BTreeMap<String, WindowDef>,
    /// Who is told as well of what nobody acknowledges.
    pub escalate: Vec<EscalateDef>,
    /// How long services may take to follow a parent that is up again, before anybody is told that they are down.
    pub grace: Span,
}

impl Default for AlertsDef {
    fn default() -> Self {
        Self {
            builtin: true,
            rules: Vec::new(),
            channels: BTreeMap::new(),
            route: RouteDef::default(),
            inhibit: Vec::new(),
            mutes: BTreeMap::new(),
            escalate: Vec::new(),
            // Two good checks at 30 s, and half as much again.
            grace: Span::from_secs(90),
        }
    }
}

/// A rule. It watches exactly one thing: `service`, `metric`, `events`, `absent`, `burn` or `anomaly`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDef {
    /// Its name; alerts carry it as the label `rule`.
    pub name: String,
    /// The tenant that it is about; every one where left out.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// Whether it is judged.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Services in a state.
    #[serde(default)]
    pub service: Option<ServiceRule>,
    /// A metric beyond a threshold.
    #[serde(default)]
    pub metric: Option<MetricRule>,
    /// Many events within a time.
    #[serde(default)]
    pub events: Option<EventsRule>,
    /// Events or a metric that stay away for the time of `for`.
    #[serde(default)]
    pub absent: Option<AbsentRule>,
    /// An objective whose budget is spent too fast.
    #[serde(default)]
    pub burn: Option<BurnRule>,
    /// A reading that is out of the ordinary.
    #[serde(default)]
    pub anomaly: Option<AnomalyRule>,
    /// How long it must hold before it counts.
    #[serde(rename = "for", default)]
    pub hold: Span,
    /// How long it must have ended before that counts.
    #[serde(default)]
    pub keep: Span,
    /// How much it matters.
    #[serde(default = "RuleDef::warning")]
    pub severity: Severity,
    /// Further labels of its alerts.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// One line for people. `{{ name }}` stands for a label, or for `value`, `why`, `subject`, `severity`.
    #[serde(default)]
    pub summary: Option<String>,
    /// More than that, in the same form.
    #[serde(default)]
    pub description: Option<String>,
}

impl RuleDef {
    fn warning() -> Severity {
        Severity::Warning
    }
}

/// Which services. Texts may contain `*` for any text; what is left out is no condition.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceRule {
    /// States that it holds in; `down` where left out.
    pub states: Vec<ServiceState>,
    /// Names, of which one must fit.
    pub names: Vec<String>,
    /// Groups, of which one must fit.
    pub groups: Vec<String>,
    /// Labels.
    pub labels: Matchers,
}

/// A state of a service that somebody may have to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It does not do what it should.
    Down,
    /// It keeps changing.
    Flapping,
    /// Nobody can tell.
    Unknown,
}

/// A metric, as `GET /metrics/prometheus` shows it, beyond a threshold. Each series is an alert of its own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricRule {
    /// Name of the metric.
    pub name: String,
    /// Labels of its series.
    #[serde(default)]
    pub labels: Matchers,
    /// Judges how much it grows in a second, over this time, in place of its value: for counters.
    #[serde(default)]
    pub rate: Option<Span>,
    /// It holds above this value.
    #[serde(default)]
    pub above: Option<f64>,
    /// It holds below this value.
    #[serde(default)]
    pub below: Option<f64>,
}

/// As many events within a time.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsRule {
    /// Type of the events; `*` stands for any text.
    #[serde(rename = "type")]
    pub kind: String,
    /// The least severity that counts.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// How many.
    #[serde(default = "EventsRule::one")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: u32,
    /// Within which time; also how long the alert holds after the last.
    pub within: Span,
}

impl EventsRule {
    fn one() -> u32 {
        1
    }
}

/// What must not stay away: `event` or `metric`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AbsentRule {
    /// Type of events; `*` stands for any text.
    pub event: Option<String>,
    /// Name of a metric.
    pub metric: Option<String>,
    /// Labels of its series.
    pub labels: Matchers,
}

/// An objective of a service whose budget is spent too fast (Google, The Site Reliability Workbook, chapter 5).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BurnRule {
    /// `page`: 14.4 times too fast over an hour or 6 times over six hours. `ticket`: as fast as allowed over three
    /// days. Either where left out.
    pub urgency: Option<UrgencyDef>,
    /// Names of services; `*` stands for any text.
    pub names: Vec<String>,
    /// Their groups.
    pub groups: Vec<String>,
    /// Their labels.
    pub labels: Matchers,
}

/// How urgent a burn rate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UrgencyDef {
    /// For the next working day.
    Ticket,
    /// For now.
    Page,
}

/// Readings out of the ordinary, as Puerto learns it by itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnomalyRule {
    /// What is measured; anything where left out.
    pub measures: Vec<Measure>,
    /// Of what: services, servers, tools as `server.tool`, or `this hub`. `*` stands for any text.
    pub subjects: Vec<String>,
}

/// What is measured of a service, a server, a tool or the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Time that an answer takes, in milliseconds.
    Latency,
    /// Share that fails, from 0 to 1.
    ErrorRate,
    /// Operations in a second.
    Throughput,
    /// Calls that wait.
    QueueDepth,
    /// Memory in use by the processes of a server that is a child, in bytes.
    Memory,
    /// Cores that they keep busy.
    Cpu,
}

impl Measure {
    /// As in files and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Latency => "latency",
            Measure::ErrorRate => "error_rate",
            Measure::Throughput => "throughput",
            Measure::QueueDepth => "queue_depth",
            Measure::Memory => "memory",
            Measure::Cpu => "cpu",
        }
    }
}

/// Who hears of alerts, and when. An alert goes down the tree: to the first of `routes` that fits, and to further ones
/// where that one says `continue`; where none fits it stays. What is left out is as in the route above.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteDef {
    /// Which alerts; all where left out.
    #[serde(rename = "match")]
    pub matchers: Matchers,
    /// Names of channels; `stdout` where no route says any.
    pub channels: Vec<String>,
    /// Labels by which alerts are told together; `rule` where no route says any. Tenants are always apart.
    pub group_by: Option<Vec<String>>,
    /// How long a first alert waits for others; 30 s where no route says it.
    pub group_wait: Option<Span>,
    /// Shortest time between two notices of a group while it holds; 5 m where no route says it.
    pub group_interval: Option<Span>,
    /// Time after which what still holds is told again, 0 for never; 4 h where no route says it.
    pub repeat: Option<Span>,
    /// Names of hours (`mutes`) in which nothing is told.
    pub mutes: Vec<String>,
    /// Whether routes after this one are tried as well.
    #[serde(rename = "continue")]
    pub goes_on: bool,
    /// More special ones.
    pub routes: Vec<RouteDef>,
}

/// Nobody is told of what fits `target` while something holds that fits `source`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InhibitDef {
    /// Alerts that keep others quiet.
    pub source: Matchers,
    /// Alerts that are kept quiet, unless they fit `source` as well.
    pub target: Matchers,
    /// Labels that must be the same in both.
    #[serde(default)]
    pub equal: Vec<String>,
}

/// Others are told as well of what has been told and was not acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateDef {
    /// Which alerts; all where left out.
    #[serde(rename = "match", default)]
    pub matchers: Matchers,
    /// How long after the first notice.
    pub after: Span,
    /// Names of channels.
    pub channels: Vec<String>,
}
