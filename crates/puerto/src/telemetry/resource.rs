//! What spans and metrics have in common where OTLP writes them as JSON: who sends them, and attributes.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Who sends.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// What tells it from another one of that name.
    pub(crate) instance: String,
}

/// What something is called, and is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Attribute {
    key: &'static str,
    value: Text,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    string_value: Arc<str>,
}

/// An attribute.
pub(super) fn attribute(key: &'static str, value: impl Into<Arc<str>>) -> Attribute {
    Attribute { key, value: Text { string_value: value.into() } }
}

/// Who sends, as a collector is told it.
#[derive(Debug, Serialize)]
pub(super) struct Resource {
    attributes: [Attribute; 3],
}

impl Resource {
    /// Of a service.
    pub(super) fn of(service: &Service) -> Self {
        Self {
            attributes: [
                attribute("service.name", &*service.name),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
                attribute("service.instance.id", &*service.instance),
            ],
        }
    }
}

/// What has measured.
#[derive(Debug, Serialize)]
pub(super) struct Scope {
    name: &'static str,
    version: &'static str,
}

impl Default for Scope {
    fn default() -> Self {
        Self { name: "puerto", version: env!("CARGO_PKG_VERSION") }
    }
}

/// Numbers of 64 bits and more are texts.
pub(super) fn number_text<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}
