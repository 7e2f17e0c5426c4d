//! The text of an audit record: canonical JSON (RFC 8785), whose members stand in the order of their names. Its number is
//! known only when it is kept, so a place is left for it.

use super::canonical::quoted;

/// Room for an ordinary record with its number, so that it is made in one piece of memory.
const ROOM: usize = 768;

/// A text that is being made. By hand and without the formatter, since every call has one.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    text: String,
    /// Where the number goes.
    number_at: usize,
    /// The member before, to hold to the order.
    last: &'static str,
}

impl Document {
    /// Of no member yet.
    pub(crate) fn new() -> Self {
        let mut text = String::with_capacity(ROOM);
        text.push('{');
        Self { text, number_at: 0, last: "" }
    }

    fn name(&mut self, name: &'static str) -> &mut String {
        debug_assert!(self.last < name, "{name} after {}", self.last);
        self.text.push_str(if self.last.is_empty() { "\"" } else { ",\"" });
        self.last = name;
        self.text.push_str(name);
        self.text.push_str("\":");
        &mut self.text
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

    /// Bytes as a text of two digits each.
    pub(crate) fn hex(&mut self, name: &'static str, bytes: &[u8]) {
        let text = self.name(name);
        text.push('"');
        push_hex(bytes, text);
        text.push('"');
    }

    /// A whole number; one that JSON readers take for another is cut to the largest that they do not.
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        push_number(value.min((1 << 53) - 1), self.name(name));
    }

    /// What writes itself as canonical JSON.
    pub(crate) fn json(&mut self, name: &'static str, write: impl FnOnce(&mut String)) {
        write(self.name(name));
    }

    /// The place of the record's number.
    pub(crate) fn place_of_number(&mut self) {
        self.number_at = self.name("seq").len();
    }

    /// The whole text, with its number.
    pub(crate) fn numbered(mut self, seq: u64) -> String {
        self.text.push('}');
        self.text.insert_str(self.number_at, &seq.to_string());
        self.text
    }
}

/// Appends two digits for each byte. Text by text and not digit by digit: each addition asks for room.
pub(crate) fn push_hex(bytes: &[u8], to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for part in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        to.push_str(std::str::from_utf8(&digits[..2 * part.len()]).unwrap_or_default());
    }
}

/// Appends a whole number.
pub(crate) fn push_number(mut number: u64, to: &mut String) {
    let (mut digits, mut at) = ([0; 20], 20);
    while at == 20 || number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    to.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_the_formatter_writes() {
        for number in [0, 7, 10, 99, 100, 1_795_326_186_483_579, u64::MAX] {
            let mut text = String::new();
            push_number(number, &mut text);
            assert_eq!(text, number.to_string());
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        push_hex(&bytes, &mut text);
        assert_eq!(text, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
}
