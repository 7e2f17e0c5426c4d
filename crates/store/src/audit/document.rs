//! The text of an audit record: canonical JSON (RFC 8785), whose members stand in the order of their names. Of a record that
//! differs from the one before it in nothing but numbers and hashes, the text is that one's, with these in their places.

use puerto_core::Digest;

use super::canonical::{is_plain, quoted};
use super::packed::{Mark, Steps};

/// Longest name of a member with what stands around it, in bytes.
const PIECE_MAX: usize = 32;

/// What the members of a record are given to, in the order of their names.
pub(crate) trait Members {
    /// A text.
    fn text(&mut self, name: &'static str, value: &str);

    /// A text of which is known that nothing in it needs an escape.
    fn word(&mut self, name: &'static str, value: &str);

    /// What only the records of one operation have in common, as [`Self::word`].
    fn id(&mut self, name: &'static str, value: &str);

    /// Bytes as a text of two digits each.
    fn hex<const N: usize>(&mut self, name: &'static str, bytes: [u8; N]);

    /// A whole number. One that JSON readers take for another is cut to the largest that they do not.
    fn number(&mut self, name: &'static str, value: u64);

    /// The digest of a text.
    fn digest(&mut self, name: &'static str, digest: &Digest);

    /// That was all.
    fn end(self);

    /// A text, where there is one.
    #[inline(always)]
    fn maybe(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }
}

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

    #[inline(always)]
    fn push_hex<const N: usize>(&mut self, bytes: [u8; N]) {
        let start = self.text.len();
        self.text.extend_from_slice(hex(&bytes).as_flattened());
        self.mark(start, true);
    }

    fn push_number(&mut self, number: u64) {
        let start = self.text.len();
        self.text.extend_from_slice(digits(number, &mut itoa::Buffer::new()));
        self.mark(start, false);
    }

    /// What is canonical JSON already.
    pub(crate) fn json(&mut self, name: &'static str, value: &[u8]) {
        self.name(name, "").extend_from_slice(value);
    }
}

impl Members for Document<'_> {
    #[inline(always)]
    fn text(&mut self, name: &'static str, value: &str) {
        if is_plain(value) {
            return self.word(name, value);
        }
        let mut text = String::new();
        quoted(value, &mut text);
        self.json(name, text.as_bytes());
    }

    #[inline(always)]
    fn word(&mut self, name: &'static str, value: &str) {
        let text = self.name(name, "\"");
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
    }

    #[inline(always)]
    fn id(&mut self, name: &'static str, value: &str) {
        self.name(name, "\"");
        let start = self.text.len();
        self.text.extend_from_slice(value.as_bytes());
        self.mark(start, false);
        self.text.push(b'"');
    }

    #[inline(always)]
    fn hex<const N: usize>(&mut self, name: &'static str, bytes: [u8; N]) {
        self.name(name, "\"");
        self.push_hex(bytes);
        self.text.push(b'"');
    }

    #[inline(always)]
    fn number(&mut self, name: &'static str, value: u64) {
        self.name(name, "");
        self.push_number(value);
    }

    #[inline(always)]
    fn digest(&mut self, name: &'static str, digest: &Digest) {
        self.name(name, "{\"bytes\":");
        self.push_number(digest.bytes);
        let name = if digest.is_whole { ",\"sha256\":\"" } else { ",\"sha256_ends\":\"" };
        self.text.extend_from_slice(name.as_bytes());
        self.push_hex(digest.sha256);
        self.text.extend_from_slice(b"\"}");
    }

    fn end(self) {
        self.text.push(b'}');
        if let Some(first) = self.text.get_mut(self.start) {
            *first = b'{';
        }
    }
}

/// The text of a record that is like the one before it: a copy of its text, where all that is marked is written anew. It is
/// packed on the way, since what differs is at hand.
pub(crate) struct Again<'a> {
    text: &'a mut Vec<u8>,
    marks: &'a mut Vec<Mark>,
    steps: Steps<'a>,
    start: usize,
    /// The marks of the one before that were not come to yet.
    before: std::slice::Iter<'a, Mark>,
    /// How long the one before is, and up to where the steps tell of it.
    length: usize,
    told: usize,
    /// How much longer than in the one before it is up to here; where it is shorter, that wraps around.
    longer: usize,
}

impl<'a> Again<'a> {
    /// Of the text that begins at `last` and is the last one there.
    pub(crate) fn new(
        (text, last): (&'a mut Vec<u8>, usize),
        (marks, before): (&'a mut Vec<Mark>, &'a [Mark]),
        packed: &'a mut Vec<u8>,
    ) -> Self {
        let start = text.len();
        text.extend_from_within(last..);
        marks.clear();
        let steps = Steps::new(packed);
        Self { text, marks, steps, start, before: before.iter(), length: start - last, told: 0, longer: 0 }
    }

    /// Writes the next value that is marked. `step` goes there from what stood in its place.
    #[inline(always)]
    fn put(&mut self, value: &[u8], step: impl FnOnce(&mut Steps<'_>, &[u8])) {
        let Some(mark) = self.before.next() else {
            debug_assert!(false, "more values than before");
            return;
        };
        let at = mark.at.wrapping_add(self.longer);
        let from = self.start + at;
        self.steps.over(mark.at - self.told);
        self.told = mark.at + mark.length;
        step(&mut self.steps, &self.text[from..from + mark.length]);
        if value.len() == mark.length {
            self.text[from..from + value.len()].copy_from_slice(value);
        } else {
            self.text.splice(from..from + mark.length, value.iter().copied());
            self.longer = self.longer.wrapping_add(value.len()).wrapping_sub(mark.length);
        }
        self.marks.push(Mark { at, length: value.len(), ..*mark });
    }
}

impl Members for Again<'_> {
    #[inline(always)]
    fn text(&mut self, _name: &'static str, _value: &str) {}

    #[inline(always)]
    fn word(&mut self, _name: &'static str, _value: &str) {}

    #[inline(always)]
    fn id(&mut self, _name: &'static str, value: &str) {
        self.put(value.as_bytes(), |steps, before| steps.value(value.as_bytes(), before));
    }

    #[inline(always)]
    fn hex<const N: usize>(&mut self, _name: &'static str, bytes: [u8; N]) {
        let digits = hex(&bytes);
        self.put(digits.as_flattened(), |steps, before| steps.digits(&digits, &bytes, before));
    }

    #[inline(always)]
    fn number(&mut self, _name: &'static str, value: u64) {
        let mut room = itoa::Buffer::new();
        let digits = digits(value, &mut room);
        self.put(digits, |steps, before| steps.value(digits, before));
    }

    #[inline(always)]
    fn digest(&mut self, name: &'static str, digest: &Digest) {
        self.number(name, digest.bytes);
        self.hex(name, digest.sha256);
    }

    fn end(mut self) {
        debug_assert!(self.before.len() == 0, "fewer values than before");
        self.steps.over(self.length - self.told);
        self.steps.end();
    }
}

/// The digits of a number, or of the largest that every reader of JSON takes for what it is.
fn digits(number: u64, room: &mut itoa::Buffer) -> &[u8] {
    room.format(number.min((1 << 53) - 1)).as_bytes()
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
