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

    /// Whether a text is the secret. The time that this takes depends on the length of the given text only.
    pub fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let different = given.iter().enumerate().fold(own.len() ^ given.len(), |different, (at, byte)| {
            let other = own.get(at % own.len().max(1)).copied().unwrap_or_default();
            std::hint::black_box(different | usize::from(byte ^ other))
        });
        different == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_itself_and_nothing_else() {
        let secret = Secret::new("harbour");
        assert!(secret.is("harbour"));
        for other in ["", "harbou", "harbour ", "Harbour", "harbourharbour"] {
            assert!(!secret.is(other), "{other:?}");
        }
        assert!(Secret::new("").is("") && !Secret::new("").is("x"));
        assert_eq!(format!("{secret:?}"), "(hidden)");
    }
}
