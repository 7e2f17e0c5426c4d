//! OpenTelemetry, as defined.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Span;
use crate::secret::Secret;

/// Where spans of what is done, and metrics, are sent.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryDef {
    /// The address of a collector that speaks OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` and
    /// `/v1/metrics` are added. Nothing is sent where it is left out.
    pub otlp: Option<String>,
    /// Headers of every request to it.
    pub headers: BTreeMap<String, Secret>,
    /// What this Puerto is called there.
    pub service_name: String,
    /// Whether metrics are sent too. Some collectors, as Jaeger, take spans only.
    pub metrics: bool,
    /// How often metrics are sent, a second at least.
    pub metrics_interval: Span,
}

impl Default for TelemetryDef {
    fn default() -> Self {
        Self {
            otlp: None,
            headers: BTreeMap::new(),
            service_name: "puerto".into(),
            metrics: true,
            metrics_interval: Span::from_secs(60),
        }
    }
}
