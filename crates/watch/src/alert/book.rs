//! What the pipeline knows: alerts, silences and groups. All of it is written as one text and read back, so that a
//! restart goes on where the last one ended.

use std::collections::{BTreeMap, BTreeSet};

use puerto_core::{ServiceName, Severity, TenantId};
use serde::{Deserialize, Serialize};

use super::judge::Memory;
use super::matcher::Labels;
use super::notice::Alerted;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It has not held for long enough yet.
    Settling,
    /// It holds.
    Firing,
    /// It is over, and not everybody who was told of it has heard that.
    Ended,
}

/// Somebody has seen an alert and works on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub who: String,
    /// What they say.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alert {
    pub(super) id: String,
    pub(super) rule: String,
    pub(super) tenant: TenantId,
    pub(super) subject: String,
    pub(super) severity: Severity,
    pub(super) labels: Labels,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) value: Option<f64>,
    pub(super) stage: Stage,
    /// Since when its condition holds.
    pub(super) since_ms: i64,
    /// How long that has to last, and how long its end has to.
    pub(super) settle_ms: i64,
    pub(super) keep_ms: i64,
    /// Since when it counts.
    pub(super) fired_ms: Option<i64>,
    /// Since when its condition no longer holds.
    pub(super) clear_ms: Option<i64>,
    /// When it ends by itself.
    pub(super) ends_ms: Option<i64>,
    /// Whether the rules of this hub raised it.
    pub(super) is_own: bool,
    /// Whether it says that a service is not well, so that what depends on that one is kept quiet.
    pub(super) is_state: bool,
    pub(super) ack: Option<Acknowledgement>,
    pub(super) service: Option<ServiceName>,
    pub(super) parents: Vec<ServiceName>,
    /// The groups that it is told in.
    pub(super) groups: BTreeSet<String>,
}

impl Alert {
    pub(super) fn alerted(&self) -> Alerted {
        Alerted {
            id: self.id.clone(),
            rule: self.rule.clone(),
            subject: self.subject.clone(),
            severity: self.severity,
            labels: self.labels.clone(),
            summary: self.summary.clone(),
            description: self.description.clone(),
            value: self.value,
            since_ms: self.since_ms,
            until_ms: (self.stage == Stage::Ended).then_some(self.clear_ms).flatten(),
        }
    }

    pub(super) fn is_firing(&self) -> bool {
        self.stage == Stage::Firing
    }
}

/// Alerts that nobody is told of for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it.
    pub id: String,
    /// Whose alerts.
    pub tenant: TenantId,
    /// Which of them.
    pub matchers: Labels,
    /// Who asked for it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// From when on, in milliseconds since 1970.
    pub from_ms: i64,
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
}

/// What a group has told of one alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// When first.
    pub(super) at_ms: i64,
    /// Steps of escalation that were taken.
    pub(super) steps: BTreeSet<String>,
}

/// Alerts that are told together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) route: String,
    pub(super) channels: Vec<String>,
    pub(super) tenant: TenantId,
    pub(super) labels: Labels,
    pub(super) began_ms: i64,
    /// When its route told something last.
    pub(super) last_ms: Option<i64>,
    /// Decisions that were made for it.
    pub(super) serial: u64,
    pub(super) told: BTreeMap<String, Told>,
    /// Channels that were told as well.
    pub(super) also: BTreeSet<String>,
}

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    pub(super) alerts: BTreeMap<String, Alert>,
    pub(super) silences: BTreeMap<String, Silence>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) memory: Memory,
    /// When services that were down came back, as long as it matters.
    pub(super) back: BTreeMap<String, i64>,
    /// Services on which announced work goes on.
    pub(super) maintained: BTreeSet<String>,
    /// Counts what needs a name.
    pub(super) serial: u64,
}

/// A service among those of all tenants.
pub(super) fn place(tenant: &TenantId, service: &ServiceName) -> String {
    format!("{tenant}/{service}")
}
