//! The text of an audit record: canonical JSON (RFC 8785), whose members stand in the order of their names.

use puerto_core::Digest;

use super::canonical::{is_plain, quoted};
use super::packed::Mark;

/// Longest name of a member with what stands around it, in bytes.
const PIECE_MAX: usize = 32;

/// A text that is being made, behind what stands in a block already. By hand and without the formatter, since every call has
/// one; in bytes, so that no piece of it is looked at for being a text. What hardly ever is as in the record before is marked.
pub(crate) struct Document<'a> {
    text: &'a mut Vec<u8>,
    marks: &'a mut Vec<Mark>,
    start: usize,
    /// The member before, to hold to the order.
    last: &'static str,
}

impl<'a> Document<'a> {
    /// Of no member yet.
    pub(crate) fn new(text: &'a mut Vec<u8>, marks: &'a mut Vec<Mark>) -> Self {
        let start = text.len();
        marks.clear();
        Self { text, marks, start, last: "" }
    }

    /// Marks what was written since.
    #[inline(always)]
    fn mark(&mut self, since: usize, is_digits: bool) {
        self.marks.push(Mark { at: since - self.start, length: self.text.len() - since, is_digits });
    }

    /// Begins a member: its name and what its value begins with. They become one piece while this is compiled. Every member has
    /// a comma before it, the first one until the end.
    #[inline(always)]
    fn name(&mut self, name: &'static str, opening: &'static str) -> &mut Vec<u8> {
        debug_assert!(self.last < name, "{name} after {}", self.last);
        self.last = name;
        let (mut piece, mut end) = ([0; PIECE_MAX], 0);
        for part in [",\"", name, "\":", opening] {
            piece[end..end + part.len()].copy_from_slice(part.as_bytes());
            end += part.len();
        }
        self.text.extend_from_slice(&piece[..end]);
        self.text
    }

    /// A text.
    #[inline(always)]
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        if is_plain(value) {
            return self.word(name, value);
        }
        let mut text = String::new();
        quoted(value, &mut text);
        self.json(name, text.as_bytes());
    }

    /// A text, where there is one.
    #[inline(always)]
    pub(crate) fn maybe(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A text of which is known that nothing in it needs an escape.
    #[inline(always)]
    pub(crate) fn word(&mut self, name: &'static str, value: &str) {
        let text = self.name(name, "\"");
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
    }

    /// What only the records of one operation have in common, as [`Self::word`].
    #[inline(always)]
    pub(crate) fn id(&mut self, name: &'static str, value: &str) {
        self.name(name, "\"");
        let start = self.text.len();
        self.text.extend_from_slice(value.as_bytes());
        self.mark(start, false);
        self.text.push(b'"');
    }

    /// Bytes as a text of two digits each.
    #[inline(always)]
    pub(crate) fn hex<const N: usize>(&mut self, name: &'static str, bytes: [u8; N]) {
        self.name(name, "\"");
        self.push_hex(bytes);
        self.text.push(b'"');
    }

    /// A whole number.
    #[inline(always)]
    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name, "");
        self.push_number(value);
    }

    /// The digest of a text.
    #[inline(always)]
    pub(crate) fn digest(&mut self, name: &'static str, digest: &Digest) {
        self.name(name, "{\"bytes\":");
        self.push_number(digest.bytes);
        let name = if digest.is_whole { ",\"sha256\":\"" } else { ",\"sha256_ends\":\"" };
        self.text.extend_from_slice(name.as_bytes());
        self.push_hex(digest.sha256);
        self.text.extend_from_slice(b"\"}");
    }

    #[inline(always)]
    fn push_hex<const N: usize>(&mut self, bytes: [u8; N]) {
        let start = self.text.len();
        self.text.extend_from_slice(hex(&bytes).as_flattened());
        self.mark(start, true);
    }

    /// One that JSON readers take for another is cut to the largest that they do not.
    fn push_number(&mut self, number: u64) {
        let start = self.text.len();
        self.text.extend_from_slice(itoa::Buffer::new().format(number.min((1 << 53) - 1)).as_bytes());
        self.mark(start, false);
    }

    /// What is canonical JSON already.
    pub(crate) fn json(&mut self, name: &'static str, value: &[u8]) {
        self.name(name, "").extend_from_slice(value);
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.text.push(b'}');
        if let Some(first) = self.text.get_mut(self.start) {
            *first = b'{';
        }
    }
}

/// The two digits of each byte; in steps that are the same for all, which processors do for many at once.
#[inline(always)]
pub(super) fn hex<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut digits = [[0; 2]; N];
    for (digits, byte) in digits.iter_mut().zip(bytes) {
        *digits = [digit(byte >> 4), digit(byte & 15)];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_the_formatter_writes() {
        let bytes: [u8; 256] = std::array::from_fn(|at| at as u8);
        let text = String::from_utf8(hex(&bytes).as_flattened().to_vec()).unwrap();
        assert_eq!(text, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
}
