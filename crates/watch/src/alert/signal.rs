//! Signals: what alerts are judged by. They say how things are and not what changed, so that one that is lost or comes
//! twice does no harm.

use std::collections::BTreeMap;

use puerto_core::def::Measure;
use puerto_core::{ServiceName, Severity, TenantId};
use serde::{Deserialize, Serialize};

use crate::health::State;
use crate::slo::Urgency;

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// How a service is.
    Service(ServiceSignal),
    /// The value of one series of a metric.
    Metric(MetricSignal),
    /// Something happened.
    Event(EventSignal),
    /// How fast the budget of an objective is spent.
    Burn(BurnSignal),
    /// Whether a reading is out of the ordinary.
    Anomaly(AnomalySignal),
    /// An alert that somebody else raised, or that ends.
    Foreign(ForeignSignal),
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSignal {
    /// Its tenant.
    #[serde(default)]
    pub tenant: TenantId,
    /// Its name.
    pub name: ServiceName,
    /// How it is.
    pub state: State,
    /// Its group.
    #[serde(default)]
    pub group: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Services that it depends on.
    #[serde(default)]
    pub parents: Vec<ServiceName>,
    /// Why it is not well.
    #[serde(default)]
    pub why: Option<String>,
}

/// The value of one series of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSignal {
    /// Name of the metric.
    pub name: String,
    /// Labels of the series; `tenant` says whose it is.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSignal {
    /// The tenant in which it did.
    #[serde(default)]
    pub tenant: TenantId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// How much it matters.
    #[serde(default = "EventSignal::info")]
    pub severity: Severity,
    /// What it happened to.
    #[serde(default)]
    pub subject: Option<String>,
    /// Its number among all events. Every rule is about one without.
    #[serde(default)]
    pub seq: Option<i64>,
}

impl EventSignal {
    fn info() -> Severity {
        Severity::Info
    }
}

/// How fast the budget of an objective is spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnSignal {
    /// The tenant of the service.
    #[serde(default)]
    pub tenant: TenantId,
    /// The service.
    pub name: ServiceName,
    /// Its group.
    #[serde(default)]
    pub group: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The objective, in percent.
    pub target: f64,
    /// The most urgent rate that is reached; nothing where none is.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// That rate: how many times faster than allowed.
    #[serde(default)]
    pub rate: f64,
}

/// Whether a reading is out of the ordinary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalySignal {
    /// Its tenant.
    #[serde(default)]
    pub tenant: TenantId,
    /// The service, the server, or the tool as `server.tool`.
    pub subject: String,
    /// What is measured.
    pub measure: Measure,
    /// Whether it is.
    pub anomalous: bool,
    /// The value.
    pub value: f64,
    /// What was expected, in words.
    #[serde(default)]
    pub why: String,
}

/// An alert that somebody else raised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignSignal {
    /// The tenant that it was given to.
    #[serde(default)]
    pub tenant: TenantId,
    /// Its labels; `alertname` is the rule.
    pub labels: BTreeMap<String, String>,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// More than that.
    #[serde(default)]
    pub description: String,
    /// Since when it holds, in milliseconds since 1970.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// When it ends or ended; it holds for five minutes where nothing is said.
    #[serde(default)]
    pub until_ms: Option<i64>,
}
