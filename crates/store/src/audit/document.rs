//! The text of an audit record: canonical JSON (RFC 8785), whose members stand in the order of their names.

use super::canonical::quoted;

/// A text that is being made, behind what stands in a block already. By hand and without the formatter, since every call has
/// one.
pub(crate) struct Document<'a> {
    text: &'a mut String,
    /// The member before, to hold to the order.
    last: &'static str,
}

impl<'a> Document<'a> {
    /// Of no member yet.
    pub(crate) fn new(text: &'a mut String) -> Self {
        Self { text, last: "" }
    }

    #[inline(always)]
    fn name(&mut self, name: &'static str) -> &mut String {
        debug_assert!(self.last < name, "{name} after {}", self.last);
        self.text.push_str(if self.last.is_empty() { "{\"" } else { ",\"" });
        self.last = name;
        self.text.push_str(name);
        self.text.push_str("\":");
        self.text
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

    /// One of our own words: nothing in it needs an escape.
    #[inline(always)]
    pub(crate) fn word(&mut self, name: &'static str, value: &str) {
        let text = self.name(name);
        text.push('"');
        text.push_str(value);
        text.push('"');
    }

    /// Bytes as a text of two digits each.
    #[inline(always)]
    pub(crate) fn hex<const N: usize>(&mut self, name: &'static str, bytes: [u8; N]) {
        let text = self.name(name);
        text.push('"');
        push_hex(bytes, text);
        text.push('"');
    }

    /// A whole number; one that JSON readers take for another is cut to the largest that they do not.
    #[inline(always)]
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        push_number(value.min((1 << 53) - 1), self.name(name));
    }

    /// What writes itself as canonical JSON.
    pub(crate) fn json(&mut self, name: &'static str, write: impl FnOnce(&mut String)) {
        write(self.name(name));
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.text.push('}');
    }
}

/// The digits of every byte.
const DIGITS: [[u8; 2]; 256] = {
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = [b"0123456789abcdef"[byte >> 4], b"0123456789abcdef"[byte & 15]];
        byte += 1;
    }
    digits
};

/// Appends two digits for each byte.
pub(crate) fn push_hex<const N: usize>(bytes: [u8; N], to: &mut String) {
    let mut digits = [[0; 2]; N];
    for at in 0..N {
        digits[at] = DIGITS[usize::from(bytes[at])];
    }
    to.push_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default());
}

/// Appends a whole number.
pub(crate) fn push_number(number: u64, to: &mut String) {
    to.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_the_formatter_writes() {
        let bytes: [u8; 256] = std::array::from_fn(|at| at as u8);
        let mut text = String::new();
        push_hex(bytes, &mut text);
        assert_eq!(text, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
}
