//! The text that large answers and arguments are made of.
//!
//! It looks like what tools return (words, line breaks, quotes), so that escaping costs what it
//! costs in life, and every line carries its number, so that a lost or doubled piece is noticed.

use std::fmt::Write;

const WORDS: [&str; 4] = [
    "the harbour master wrote \"all clear\" and signed the log",
    "a crane lifted two containers, one of them marked C:\\7",
    "nobody had seen the pilot boat since the tide turned",
    "status: ok, retries: 0, elapsed: 12.5 ms, path: /var/log/quay",
];

/// Text of exactly `bytes` bytes (ASCII), the same on every call.
pub(crate) fn text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 80);
    let mut line = 0;
    while text.len() < bytes {
        let _ = writeln!(text, "{line:06} {}", WORDS[line % WORDS.len()]);
        line += 1;
    }
    text.truncate(bytes);
    text
}

/// The same text as a JSON string, quotes included.
pub(crate) fn quoted(bytes: usize) -> String {
    serde_json::Value::String(text(bytes)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_size_asked_for_and_needs_escaping() {
        for bytes in [0, 1, 100, 65_537] {
            assert_eq!(text(bytes).len(), bytes);
        }
        assert!(quoted(4096).len() > 4096 + 2);
        assert_eq!(serde_json::from_str::<String>(&quoted(4096)).unwrap(), text(4096));
    }
}
