//! The text of an audit record: canonical JSON (RFC 8785), whose members stand in the order of their names. Its number is
//! known only when it is kept, so the text is made in two parts around it.

use std::fmt::Write as _;

use super::canonical::quoted;

/// A text that is being made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    head: String,
    tail: String,
    /// The member before, to hold to the order.
    last: &'static str,
    has_number: bool,
}

impl Document {
    fn name(&mut self, name: &'static str) -> &mut String {
        debug_assert!(self.last < name, "{name} after {}", self.last);
        self.last = name;
        let (text, is_first) = match self.has_number {
            true => (&mut self.tail, false),
            false => {
                let is_first = self.head.is_empty();
                (&mut self.head, is_first)
            }
        };
        text.push_str(if is_first { "{\"" } else { ",\"" });
        text.push_str(name);
        text.push_str("\":");
        text
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        quoted(value, self.name(name));
    }

    /// A text, where there is one.
    pub(crate) fn maybe(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A whole number; one that JSON readers take for another is cut to the largest that they do not.
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        let _ = write!(self.name(name), "{}", value.min((1 << 53) - 1));
    }

    /// JSON that is canonical already.
    pub(crate) fn json(&mut self, name: &'static str, canonical: &str) {
        self.name(name).push_str(canonical);
    }

    /// The place of the record's number.
    pub(crate) fn place_of_number(&mut self) {
        self.name("seq");
        self.has_number = true;
    }

    /// The whole text, with its number.
    pub(crate) fn numbered(&self, seq: u64) -> String {
        format!("{}{seq}{}}}", self.head, self.tail)
    }
}
