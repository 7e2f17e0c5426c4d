//! The public status page of a tenant, as defined.

use schemars::JsonSchema;
use serde::Deserialize;

/// What stands at the head of the status page. It shows services with `public: true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StatusPageDef {
    /// Its heading; the tenant's id where left out.
    pub title: Option<String>,
    /// What stands below the heading, as plain text.
    pub description: Option<String>,
}
