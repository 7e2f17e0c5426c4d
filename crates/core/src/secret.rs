//! Text that must not appear in logs, records, errors or lists.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// A value from the configuration that may hold a secret: an environment variable, a header. It has
/// no `Serialize` and its `Debug` shows nothing, so it cannot slip into an answer or a log line.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(description = "A text that may be a secret: it is never shown again.")]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Each use is a place where a secret leaves: a child's environment, a request header.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
