//! The audit trail, as defined.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Audited;

/// What of a tenant's operations is recorded so that it can be checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditDef {
    /// What happens where a record cannot be kept.
    pub mode: AuditMode,
    /// Also record what only looks at something: lists, states, logs.
    pub readings: bool,
}

/// What happens where a record cannot be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditMode {
    /// Nothing is recorded.
    Off,
    /// The operation goes on, and the loss is counted.
    #[default]
    BestEffort,
    /// The operation is refused before it begins.
    Required,
}

impl AuditDef {
    /// What goes into the trail.
    pub fn audited(&self) -> Audited {
        match (self.mode, self.readings) {
            (AuditMode::Off, _) => Audited::Nothing,
            (_, true) => Audited::All,
            (_, false) => Audited::Acts,
        }
    }
}

/// The audit trail of all tenants: how often it is sealed, and where the seals are kept.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrailDef {
    /// File that every checkpoint is appended to; `checkpoints.txt` beside the database where left out, and in `data`
    /// with Postgres. Keep a copy of it where nobody who runs Puerto may write.
    pub checkpoints: Option<String>,
    /// Records after which a checkpoint is made.
    pub every_records: u64,
    /// Seconds after which one is made, where there is something new.
    pub every_seconds: u64,
}

impl Default for TrailDef {
    fn default() -> Self {
        Self { checkpoints: None, every_records: 10_000, every_seconds: 10 }
    }
}
