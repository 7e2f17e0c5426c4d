//! The audit trail, as defined.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CopiesDef;
use crate::record::Audited;
use crate::secret::Secret;

/// Days for which arguments and results are kept, where a tenant keeps them and says nothing else.
pub const TEXTS_DAYS: u32 = 30;

/// What of a tenant's operations is recorded so that it can be checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditDef {
    /// What happens where a record cannot be kept.
    pub mode: AuditMode,
    /// Also record what only looks at something: lists, states, logs.
    pub readings: bool,
    /// Also keep arguments and results themselves, encrypted; without it only their digests.
    pub texts: bool,
    /// Days after which they are erased; 0 keeps them until somebody erases them.
    pub texts_days: u32,
}

impl Default for AuditDef {
    fn default() -> Self {
        Self { mode: AuditMode::default(), readings: false, texts: false, texts_days: TEXTS_DAYS }
    }
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
    /// What arguments and results are encrypted with, where a tenant keeps them: at least 32 characters, the same for every
    /// hub on one database. Where left out it is made, in `texts.key` beside the database.
    pub texts_key: Option<Secret>,
    /// Where every checkpoint is sent too.
    pub copies: CopiesDef,
}

impl Default for TrailDef {
    fn default() -> Self {
        Self {
            checkpoints: None,
            every_records: 10_000,
            every_seconds: 10,
            texts_key: None,
            copies: CopiesDef::default(),
        }
    }
}
