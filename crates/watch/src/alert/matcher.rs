//! Which labels are meant: `*` stands for any text, `|` stands between alternatives, `!` turns all of it round.

use std::collections::BTreeMap;

use puerto_core::pattern::is_like;

/// Labels of an alert.
pub type Labels = BTreeMap<String, String>;

/// Whether a value is as asked for.
pub(super) fn is_meant(value: &str, asked: &str) -> bool {
    let (turned, asked) = asked.strip_prefix('!').map_or((false, asked), |rest| (true, rest));
    asked.split('|').any(|one| is_like(value, one)) != turned
}

/// Whether all of them fit. A label that is not there is an empty text.
pub(super) fn fits(labels: &Labels, matchers: &BTreeMap<String, String>) -> bool {
    matchers.iter().all(|(name, asked)| is_meant(labels.get(name).map_or("", String::as_str), asked))
}

/// Whether one of the patterns fits, or there is none.
pub(super) fn is_one_of(value: &str, patterns: &[String]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| is_like(value, pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_meant_as_they_are_written() {
        for (value, asked, is) in [
            ("critical", "critical|error", true),
            ("warning", "critical|error", false),
            ("db-1", "db-*", true),
            ("db-1", "!db-*|web", false),
            ("", "!*x", true),
            ("", "", true),
            ("", "?", false),
        ] {
            assert_eq!(is_meant(value, asked), is, "{value:?} {asked:?}");
        }
    }
}
