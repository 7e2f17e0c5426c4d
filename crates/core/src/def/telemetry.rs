//! OpenTelemetry, as defined.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Where spans of what is done are sent.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryDef {
    /// The address of a collector that speaks OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added. No
    /// spans are made where it is left out.
    pub otlp: Option<String>,
    /// Headers of every request to it.
    pub headers: BTreeMap<String, Secret>,
    /// What this Puerto is called there.
    pub service_name: String,
}

impl Default for TelemetryDef {
    fn default() -> Self {
        Self { otlp: None, headers: BTreeMap::new(), service_name: "puerto".into() }
    }
}
