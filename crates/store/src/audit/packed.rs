//! The texts of a block in few bytes: each is told by what it has not from the one before it. Records that follow each other have
//! most of their text in common, and nearly half of what appending one cost was bytes that SQLite and the kernel copy.
//!
//! Behind [`FORM`] a text is some steps and an end, each a row of numbers (LEB128), and what is given:
//! - a step: how many bytes are the same as before; 1 + 2 x the bytes that are given, and 1 more where each of these is two digits
//!   of base 16; how many bytes of the text before have no place in this one; the bytes that are given in theirs;
//! - the end: how many bytes are the same as before, and 0.
//!
//! What somebody else writes there is the same texts, or others, whose hashes tell.

use memchr::{memchr, memchr3, memmem};

use super::block::RECORDS_MAX;
use super::document::hex;

/// What packed texts begin with, to tell them from those that may be packed in another way one day.
const FORM: u8 = 1;
/// Bytes of the texts of a block, at most: many times what it is closed at. A few bytes may stand for a long text, so a damaged
/// block may stand for any number of them.
const BYTES_MAX: usize = 4 << 20;
/// How far ahead it is looked for what two texts have in common, in bytes, so that long reports take no longer than they are long.
const AHEAD: usize = 1_024;
/// Members that are looked at, at most, for one that both texts have.
const MEMBERS_MAX: usize = 4;

/// A part of a text that is hardly ever as it was before, so that it need not be searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where it begins.
    pub(crate) at: usize,
    /// Its length in bytes.
    pub(crate) length: usize,
    /// Whether it is whole bytes: two digits of base 16 for each, in lower case.
    pub(crate) is_digits: bool,
}

/// A text without a line break, and its marks in their order. `Default` is no text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marked<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) marks: &'a [Mark],
}

impl<'a> Marked<'a> {
    /// Its marks, each with what stands before it.
    fn parts(self) -> impl Iterator<Item = (&'a [u8], &'a [u8], bool)> {
        let mut end = 0;
        self.marks.iter().map(move |mark| {
            let gap = &self.text[end..mark.at];
            end = mark.at + mark.length;
            (gap, &self.text[mark.at..end], mark.is_digits)
        })
    }

    /// What is marked, in its order.
    fn kinds(self) -> impl Iterator<Item = bool> {
        self.marks.iter().map(|mark| mark.is_digits)
    }

    /// What stands behind the last mark.
    fn rest(self) -> &'a [u8] {
        &self.text[self.marks.last().map_or(0, |mark| mark.at + mark.length)..]
    }
}

/// Appends a text to packed ones. `before` is the one that was appended before it, or no text.
pub(crate) fn pack(one: Marked<'_>, before: Marked<'_>, packed: &mut Vec<u8>) {
    /// What a text takes beside itself where all of it is given.
    const BESIDE: usize = 1 + 4 + 1 + 2;
    debug_assert!(memchr(b'\n', one.text).is_none() && one.text.len() < BYTES_MAX);
    if packed.is_empty() {
        packed.push(FORM);
    }
    let start = packed.len();
    let mut steps = Steps { packed, same: 0 };
    if before.text.is_empty() {
        steps.give(one.text, 0, false);
    } else if one.kinds().eq(before.kinds()) {
        for ((gap, value, is_digits), (gap_before, value_before, _)) in one.parts().zip(before.parts()) {
            steps.text(gap, gap_before);
            // Digits that are not those of before are given from the first one on, two in a byte.
            match is_digits && value != value_before {
                true => steps.give(value, value_before.len(), true),
                false => steps.value(value, value_before),
            }
        }
        steps.text(one.rest(), before.rest());
    } else {
        steps.text(one.text, before.text);
    }
    steps.end();
    // Where nothing is the same, the steps may take more than they spare.
    if packed.len() - start > one.text.len() + BESIDE {
        packed.truncate(start);
        let mut steps = Steps { packed, same: 0 };
        steps.give(one.text, 0, false);
        steps.end();
    }
}

/// The steps to a text from the one that was appended before it.
pub(super) struct Steps<'a> {
    packed: &'a mut Vec<u8>,
    /// Bytes that are the same as before, and not told yet.
    same: usize,
}

impl<'a> Steps<'a> {
    /// None yet. There is a text before this one.
    pub(super) fn new(packed: &'a mut Vec<u8>) -> Self {
        debug_assert!(!packed.is_empty());
        Self { packed, same: 0 }
    }

    /// Over bytes that are the same as before.
    #[inline(always)]
    pub(super) fn over(&mut self, bytes: usize) {
        self.same += bytes;
    }

    /// To a text, or a part of it, from what stood there before.
    fn text(&mut self, text: &[u8], before: &[u8]) {
        if text == before {
            self.same += text.len();
            return;
        }
        let (mut at, mut from) = (0, 0);
        loop {
            let same = common(&text[at..], &before[from..]);
            (at, from) = (at + same, from + same);
            if at == text.len() || from == before.len() {
                self.same += same;
                return self.replace(&text[at..], before.len() - from);
            }
            let next = behind_value(text, at, before, from);
            // Perhaps at a name that only one of the two has: its member begins before it.
            let comma = || text[at - same..at].iter().rev().position(|&byte| byte == b',');
            let back = if next.is_none() { comma().map_or(0, |back| back + 1) } else { 0 };
            let (end, other) = next.unwrap_or_else(|| at_member(text, at - back, before, from - back));
            self.same += same - back;
            self.replace(&text[at - back..end], other - (from - back));
            (at, from) = (end, other);
        }
    }

    /// To a value from the one that stood there before.
    pub(super) fn value(&mut self, value: &[u8], before: &[u8]) {
        let same = common(value, before);
        self.same += same;
        self.replace(&value[same..], before.len() - same);
    }

    /// To digits from what stood there before, and the bytes that they are. Where they are others, all of them are given.
    #[inline(always)]
    pub(super) fn digits<const N: usize>(&mut self, digits: &[[u8; 2]; N], bytes: &[u8; N], before: &[u8]) {
        if digits.as_flattened() == before {
            self.same += before.len();
        } else {
            self.head(bytes.len(), true, before.len());
            self.packed.extend_from_slice(bytes);
        }
    }

    /// To these bytes instead of so many of those before, where there are some of either.
    fn replace(&mut self, given: &[u8], skipped: usize) {
        if !given.is_empty() || skipped > 0 {
            self.give(given, skipped, false);
        }
    }

    /// To these bytes instead of so many of those before.
    fn give(&mut self, given: &[u8], skipped: usize, is_digits: bool) {
        match is_digits {
            true => {
                self.head(given.len() / 2, true, skipped);
                self.push_digits(given);
            }
            false => {
                self.head(given.len(), false, skipped);
                self.packed.extend_from_slice(given);
            }
        }
    }

    /// What a step begins with: all but the bytes that are given.
    #[inline(always)]
    fn head(&mut self, given: usize, is_digits: bool, skipped: usize) {
        let numbers = [std::mem::take(&mut self.same), 1 + 2 * given + usize::from(is_digits), skipped];
        // Most are of one byte each.
        match numbers.iter().all(|number| *number <= 0x7f) {
            true => self.packed.extend_from_slice(&numbers.map(|number| number as u8)),
            false => numbers.into_iter().for_each(|number| self.push_number(number)),
        }
    }

    /// That was all of it.
    pub(super) fn end(mut self) {
        self.push_number(self.same);
        self.push_number(0);
    }

    fn push_digits(&mut self, digits: &[u8]) {
        debug_assert!(digits.len().is_multiple_of(2));
        debug_assert!(digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
        let (many, rest) = digits.as_chunks().0.as_chunks::<16>();
        many.iter().for_each(|pairs| self.packed.extend_from_slice(&pairs.map(byte)));
        self.packed.extend(rest.iter().copied().map(byte));
    }

    /// Seven bits a byte (LEB128).
    fn push_number(&mut self, mut number: usize) {
        while number > 0x7f {
            self.packed.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.packed.push(number as u8);
    }
}

/// Bytes that two texts have in common at their beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (words, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    for (at, (word, other)) in words.iter().zip(others).enumerate() {
        let differs = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differs != 0 {
            return at * 8 + differs.trailing_zeros() as usize / 8;
        }
    }
    let done = words.len().min(others.len()) * 8;
    done + one[done..].iter().zip(&other[done..]).take_while(|(byte, other)| byte == other).count()
}

/// Where both texts go on alike behind a value that differs; nothing where it is a name, or where they do not.
fn behind_value(text: &[u8], at: usize, before: &[u8], from: usize) -> Option<(usize, usize)> {
    let length = length_of_value(&text[at..])?;
    let end = at + length;
    if text[end..].starts_with(b"\":") {
        return None;
    }
    // The delimiter, and what the next name begins with.
    let start = &text[end..text.len().min(end + 4)];
    let is_alike = |other: &usize| before.get(*other..).is_some_and(|rest| rest.starts_with(start));
    // Most are as long as those before them.
    let other = || length_of_value(&before[from..]).map(|length| from + length);
    let found = Some(from + length).filter(is_alike).or_else(|| other().filter(is_alike));
    found.map(|other| (end, other))
}

fn length_of_value(text: &[u8]) -> Option<usize> {
    memchr3(b'"', b',', b'}', &text[..text.len().min(AHEAD)])
}

/// Where both texts have a member of the same name; their ends where there is none near.
fn at_member(text: &[u8], at: usize, before: &[u8], from: usize) -> (usize, usize) {
    const BEGINNING: &[u8] = b",\"";
    let mut start = at;
    let near = &before[from..before.len().min(from + AHEAD)];
    for _ in 0..MEMBERS_MAX {
        let ahead = &text[start..text.len().min(start + AHEAD)];
        let Some(found) = memmem::find(ahead, BEGINNING) else { break };
        start += found;
        let name = &ahead[found..];
        let name = memchr(b':', name).map_or(name, |colon| &name[..=colon]);
        match memmem::find(near, name) {
            // Where both begin with it, what differs comes after it.
            Some(other) if start > at || other > 0 => return (start, from + other),
            _ => start += BEGINNING.len(),
        }
    }
    (text.len(), before.len())
}

/// The byte of two digits.
fn byte(digits: [u8; 2]) -> u8 {
    let [high, low] = digits.map(|digit| (digit & 15) + 9 * (digit >> 6));
    high << 4 | low
}

/// Packed texts, one a line. In the place of what is damaged, and of all behind it, there is an empty one.
pub(crate) fn unpack(packed: &[u8]) -> String {
    // Most texts take a fourth of their bytes.
    let texts = Vec::with_capacity(BYTES_MAX.min(packed.len() * 4));
    let mut reader = Reader { packed, texts };
    let mut before = 0..0;
    let is_known = reader.byte() == Some(FORM);
    for count in 1.. {
        let start = reader.texts.len();
        if !is_known || count > RECORDS_MAX || reader.text(before).is_none() {
            reader.texts.truncate(start);
            break;
        }
        before = start..reader.texts.len();
        if reader.packed.is_empty() {
            break;
        }
        reader.texts.push(b'\n');
    }
    String::from_utf8(reader.texts)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

struct Reader<'a> {
    /// What is not read yet.
    packed: &'a [u8],
    texts: Vec<u8>,
}

impl Reader<'_> {
    /// Appends the next text; nothing where it is not written as one.
    fn text(&mut self, before: std::ops::Range<usize>) -> Option<()> {
        let mut from = before.start;
        loop {
            let end = from.checked_add(self.number()?).filter(|end| *end <= before.end)?;
            self.texts.extend_from_within(from..end);
            let given = self.number()?.checked_sub(1);
            if self.texts.len() > BYTES_MAX {
                return None;
            }
            let Some(given) = given else { return Some(()) };
            from = end.checked_add(self.number()?).filter(|from| *from <= before.end)?;
            let (bytes, rest) = self.packed.split_at_checked(given / 2)?;
            self.packed = rest;
            match given % 2 {
                1 => self.push_digits(bytes),
                // Two texts would stand in the place of one.
                _ if memchr(b'\n', bytes).is_some() => return None,
                _ => self.texts.extend_from_slice(bytes),
            }
        }
    }

    fn push_digits(&mut self, bytes: &[u8]) {
        let (many, rest) = bytes.as_chunks::<16>();
        many.iter().for_each(|bytes| self.texts.extend_from_slice(hex(bytes).as_flattened()));
        rest.iter().for_each(|byte| self.texts.extend_from_slice(hex(&[*byte]).as_flattened()));
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.packed.split_first()?;
        self.packed = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A text, with a mark at each hash and each number of many digits.
    fn marks(text: &str) -> Vec<Mark> {
        let digits = |start: usize| text[start..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let starts = text.match_indices(['#', '~']).map(|(at, kind)| (at + 1, kind == "#"));
        let marks = starts.map(|(at, is_digits)| Mark { at, length: digits(at), is_digits });
        marks.filter(|mark| mark.length % 2 == 0 || !mark.is_digits).collect()
    }

    fn packed(texts: &[String]) -> Vec<u8> {
        let marks: Vec<_> = texts.iter().map(|text| marks(text)).collect();
        let marked: Vec<_> =
            texts.iter().zip(&marks).map(|(text, marks)| Marked { text: text.as_bytes(), marks }).collect();
        let (mut packed, mut before) = (Vec::new(), Marked::default());
        for one in marked {
            pack(one, before, &mut packed);
            before = one;
        }
        packed
    }

    /// Members in the order of their names, as in records: some, with values of every kind.
    fn record() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            any::<u16>().prop_map(|number| format!("\"~{number}\"")),
            "[a-z\",}{:é]{0,12}".prop_map(|text| format!("\"{text}\"")),
            any::<[u8; 32]>().prop_map(|bytes| format!("\"#{}\"", crate::audit::verify::hex(&bytes))),
            Just("{\"bytes\":3,\"of\":\"x\"}".to_owned()),
        ];
        proptest::collection::btree_map("[a-f]{1,3}", value, 0..12).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }

    proptest! {
        #[test]
        fn texts_come_back_as_they_were(texts in proptest::collection::vec(record(), 1..20)) {
            let packed = packed(&texts);
            prop_assert_eq!(unpack(&packed), texts.join("\n"));
            // A few bytes each where nothing is the same.
            prop_assert!(packed.len() <= texts.iter().map(|text| text.len() + 8).sum::<usize>() + 1);
        }

        /// Longer than it is looked ahead, and of the bytes that it is looked for.
        #[test]
        fn texts_need_not_be_records(texts in proptest::collection::vec("[\",:}{ab]{0,3000}|[^\n]{0,300}", 1..6)) {
            prop_assert_eq!(unpack(&packed(&texts)), texts.join("\n"));
        }

        #[test]
        fn whatever_is_written_there_is_read(
            texts in proptest::collection::vec(record(), 1..6),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut packed = packed(&texts);
            for (at, byte) in changes {
                *at.get_mut(&mut packed) = byte;
            }
            prop_assert!(unpack(&packed).lines().count() <= RECORDS_MAX);
            unpack(&[&[FORM], &bytes[..]].concat());
        }
    }

    fn usual(at: usize) -> String {
        let hash: String = (0..32).map(|n| format!("{:02x}", (at * 31 + n * n * 7) as u8)).collect();
        format!(
            r##"{{"action":"tools/call","actor":"local","arguments":{{"bytes":48,"sha256":"#{hash}"}},"at_us":~{},"client":"a program","decision":"allow","duration_us":~{},"object":"echo","outcome":"ok","phase":"act","seq":~{at},"server":"bench","tenant":"default"}}"##,
            1_795_370_724_157_886 + at * 731,
            at * 7_919 % 3_001,
        )
    }

    /// Bytes a text beside the hash, of which half its digits are left.
    fn beside_hashes(texts: &[String]) -> usize {
        let packed = packed(&texts[1..]).len() - texts[1].len();
        packed / (texts.len() - 2) - 32
    }

    #[test]
    fn records_that_follow_each_other_take_what_differs() {
        let mut texts: Vec<String> = (0..200).map(usual).collect();
        assert!(beside_hashes(&texts) < 24, "{}", beside_hashes(&texts));
        // By turns with others that have more members, and fewer, and other names.
        for text in texts.iter_mut().step_by(2) {
            *text = text
                .replace("\"duration_us\"", "\"detail\":\"why\",\"duration_us\"")
                .replace(",\"client\":\"a program\"", "")
                .replace("echo", "remember");
        }
        assert!(beside_hashes(&texts) < 64, "{}", beside_hashes(&texts));
    }

    #[test]
    fn behind_what_is_damaged_there_is_nothing() {
        let texts: Vec<String> = (0..3).map(usual).collect();
        let (two, whole) = (packed(&texts[..2]).len(), packed(&texts));
        for end in two + 1..whole.len() {
            assert_eq!(unpack(&whole[..end]), texts[..2].join("\n") + "\n");
        }
        assert_eq!(unpack(&whole[..two]), texts[..2].join("\n"));
        let (far, too_far) = ([0xff, 0xff, 0xff, 0xff, 0x7f, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0]);
        let break_in_it = [FORM, 0, 7, 0, b'a', b'\n', b'b', 0, 0];
        let others: [&[u8]; 6] = [&[], &[FORM], &[FORM + 1, 0, 0], &[FORM, 1, 0], &far, &too_far];
        for none in others.into_iter().chain([&break_in_it[..]]) {
            assert_eq!(unpack(none), "");
        }
        assert_eq!(unpack(&[FORM, 0, 7, 0, b'a', b',', b'b', 0, 0]), "a,b");
    }

    /// A few bytes may stand for a long text, and for many short ones.
    #[test]
    fn what_is_damaged_does_not_grow_without_end() {
        let mut long = packed(&["x".repeat(100_000)]);
        let again = long.len() + 4;
        long.extend([0xa0, 0x8d, 0x06, 0].repeat(200));
        assert_eq!(unpack(&long[..again]).len(), 200_001);
        assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&unpack(&long).len()));
        let mut many = packed(&[String::new()]);
        many.extend([0, 0].repeat(1_000));
        assert_eq!(unpack(&many), "\n".repeat(RECORDS_MAX));
    }
}
