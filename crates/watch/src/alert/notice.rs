//! A notice: what one channel is told at one time, about the alerts of one group.

use std::collections::BTreeMap;

use puerto_core::{Severity, TenantId};
use serde::{Deserialize, Serialize};

/// Why a notice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// An alert of the group is new, or came back.
    Fired,
    /// Some of it has ended, and some still holds.
    Changed,
    /// Nothing changed, and it still holds.
    Reminder,
    /// It has held for so long without being acknowledged that others are told as well.
    Escalated,
    /// Nothing of the group holds any longer.
    Resolved,
    /// Somebody tries the channel out.
    Test,
}

/// One alert of a notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alerted {
    /// Names the alert for as long as its rule and its labels are the same.
    pub id: String,
    /// The rule that it comes from.
    pub rule: String,
    /// What it is about: a service, a server, a tool.
    pub subject: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is told by.
    pub labels: BTreeMap<String, String>,
    /// One line for people.
    pub summary: String,
    /// More than that, where there is more to say.
    pub description: String,
    /// The value that it was judged by, where there is one.
    pub value: Option<f64>,
    /// Since when it holds, in milliseconds since 1970.
    pub since_ms: i64,
    /// When it ended; nothing while it holds.
    pub until_ms: Option<i64>,
}

/// What one channel is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Names it: the same decision made again, as after a restart, has the same key. Receivers may drop the second.
    pub key: String,
    /// The tenant that it is about.
    pub tenant: TenantId,
    /// The channel that it goes to.
    pub channel: String,
    /// Names its group: the same from the first notice to the one that says it is over.
    pub group: String,
    /// The labels that the alerts of the group share.
    pub labels: BTreeMap<String, String>,
    /// Why it is sent.
    pub reason: Reason,
    /// What it is about, the worst first. Those that ended since the last notice are among them.
    pub alerts: Vec<Alerted>,
    /// Alerts beyond those listed here.
    pub more: u32,
    /// When it was decided, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Notice {
    /// How much it matters: as the worst of its alerts.
    pub fn severity(&self) -> Severity {
        self.alerts.iter().map(|alert| alert.severity).max().unwrap_or(Severity::Info)
    }

    /// Whether nothing of it holds any longer.
    pub fn is_over(&self) -> bool {
        self.reason == Reason::Resolved
    }
}
