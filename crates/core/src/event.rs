//! Events: what happened, as anyone may report it and as Puerto itself notices it. All of them are one feed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How much an event matters. Ordered: a later one matters more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it some time.
    Warning,
    /// Something does not work.
    Error,
    /// Somebody must act now.
    Critical,
}

impl Severity {
    /// Every one, the least first.
    pub const ALL: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

    /// As in events, alerts and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened. The words are those of CloudEvents 1.0, whose `data` is the payload.
#[derive(Debug, Clone)]
pub struct Event {
    /// Names it among those of its source: the same again is the same event.
    pub id: String,
    /// Who reports it.
    pub source: String,
    /// What kind of thing happened: `error`, `warning`, `info`, `success` or any other name.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it happened to, where the source says so.
    pub subject: Option<String>,
    /// When it happened, in microseconds since 1970, where the source says so.
    pub time_us: Option<i64>,
    /// What there is to say, byte for byte as it came.
    pub payload: Box<RawValue>,
    /// Further members that came with it: an object, byte for byte.
    pub extensions: Option<Box<RawValue>>,
}
