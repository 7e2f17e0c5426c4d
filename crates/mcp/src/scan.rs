//! Finds members in JSON text without building anything: the members that routing needs become spans,
//! the rest is stepped over. Brackets, strings and depth are checked; numbers and literals inside
//! skipped values are not, they pass on as they came.
//!
//! Strings are stepped over with a vectorised search, so a payload costs a small part of what copying
//! it through the kernel costs (docs/perf.md).

use std::borrow::Cow;

/// Deepest nesting accepted, in containers. Deeper documents have no use here and hurt readers that recurse.
pub const DEPTH_MAX: u32 = 128;

/// A range of bytes in one text; empty means absent. 32 bits hold every body that the limits allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Whether something is there.
    pub fn is_some(self) -> bool {
        self.end > self.start
    }

    /// The bytes of the text that it was found in.
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }

    /// A place between two bytes.
    pub fn point(at: u32) -> Self {
        Self { start: at, end: at }
    }

    /// As a range.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Why a text is not the JSON that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why} at byte {at}")]
pub struct Fault {
    /// Where.
    pub at: usize,
    /// What.
    pub why: &'static str,
}

/// Walks over one text.
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// At the beginning of a value inside a text that was scanned before.
    pub fn at(text: &'a [u8], span: Span) -> Self {
        Self { text, at: span.start as usize, depth: 0 }
    }

    /// The next byte that is no white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("text after the end"),
        }
    }

    /// Walks an object. `member` gets each key with the scanner before its value, and must step over that
    /// value. Answers the span of the object.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Fault>,
    ) -> Result<Span, Fault> {
        let start = self.open(b'{', "an object was expected")?;
        if self.peek() == Some(b'}') {
            return self.close(start);
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fault("a key was expected");
            }
            let key = self.string()?;
            let key = self.key(key)?;
            if self.peek() != Some(b':') {
                return self.fault("':' was expected");
            }
            self.at += 1;
            member(self, &key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.close(start),
                _ => return self.fault("',' or '}' was expected"),
            }
        }
    }

    /// Walks an array; `item` must step over each value.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<Span, Fault> {
        let start = self.open(b'[', "an array was expected")?;
        if self.peek() == Some(b']') {
            return self.close(start);
        }
        loop {
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.close(start),
                _ => return self.fault("',' or ']' was expected"),
            }
        }
    }

    /// Steps over any value.
    pub fn value(&mut self) -> Result<Span, Fault> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{' | b'[') => self.container(),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Ok(self.scalar()),
            Some(_) => self.fault("a value was expected"),
            None => self.fault("the text ends too early"),
        }
    }

    /// Steps over a string, the quotes included.
    pub fn string(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        if self.text.get(start) != Some(&b'"') {
            return self.fault("a string was expected");
        }
        let no_end = Fault { at: start, why: "the string has no end" };
        // Most strings are short: a few steps by hand cost less than a block.
        let near = self.text.len().min(start + 17);
        let plain = self.text[start + 1..near].iter().take_while(|b| !matches!(b, b'"' | b'\\')).count();
        if self.text.get(start + 1 + plain) == Some(&b'"') {
            self.at = start + plain + 2;
            return Ok(span(start, self.at));
        }
        let mut at = start + 1 + plain;
        let mut escaped = false;
        while let Some(block) = self.text[at..].first_chunk::<BLOCK>() {
            let (quotes, slashes) = (mask(block, b'"'), mask(block, b'\\'));
            let ends = quotes & !after_slashes(slashes, &mut escaped);
            if ends != 0 {
                self.at = at + ends.trailing_zeros() as usize + 1;
                return Ok(span(start, self.at));
            }
            at += BLOCK;
        }
        for (step, byte) in self.text[at..].iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at = at + step + 1;
                    return Ok(span(start, self.at));
                }
                _ => {}
            }
        }
        Err(no_end)
    }

    fn scalar(&mut self) -> Span {
        let start = self.at;
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
        let length = self.text[start..].iter().position(ends).unwrap_or(self.text.len() - start);
        self.at = start + length;
        span(start, self.at)
    }

    /// Steps over an object or array without looking at its members. One bit per open container says
    /// which bracket must close it.
    fn container(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        let (mut kinds, mut open) = (0u128, 0u32);
        loop {
            self.at = skip_plain(self.text, self.at);
            let Some(&byte) = self.text.get(self.at) else {
                return Err(Fault { at: start, why: "the text ends inside a value" });
            };
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => {
                    open += 1;
                    if self.depth + open > DEPTH_MAX {
                        return self.fault("nested too deeply");
                    }
                    kinds = (kinds << 1) | u128::from(byte == b'{');
                }
                b'}' | b']' => {
                    if (kinds & 1 == 1) != (byte == b'}') {
                        return self.fault("the wrong bracket closes");
                    }
                    kinds >>= 1;
                    open -= 1;
                    if open == 0 {
                        self.at += 1;
                        return Ok(span(start, self.at));
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn open(&mut self, bracket: u8, why: &'static str) -> Result<usize, Fault> {
        if self.peek() != Some(bracket) {
            return self.fault(why);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault("nested too deeply");
        }
        self.at += 1;
        Ok(self.at - 1)
    }

    fn close(&mut self, start: usize) -> Result<Span, Fault> {
        self.depth -= 1;
        self.at += 1;
        Ok(span(start, self.at))
    }

    /// A key may be written with escapes; it is compared as it reads.
    fn key(&self, quoted: Span) -> Result<Cow<'a, str>, Fault> {
        text_of(self.text, quoted)
            .ok_or(Fault { at: quoted.start as usize, why: "the key is no valid string" })
    }

    fn fault<T>(&self, why: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, why })
    }
}

/// The text that a quoted string stands for; nothing where the span is no string.
pub fn text_of(text: &[u8], quoted: Span) -> Option<Cow<'_, str>> {
    let raw = quoted.of(text);
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(raw).ok().map(Cow::Owned)
}

/// Bytes looked at together inside a string.
const BLOCK: usize = 64;

/// One bit for each byte of a block that equals another.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "SSE2 is part of every x86-64, so what it needs is always there")]
fn mask(block: &[u8; BLOCK], byte: u8) -> u64 {
    // SAFETY: see above; the function has no other precondition.
    unsafe { mask_sse2(block, byte) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn mask_sse2(block: &[u8; BLOCK], byte: u8) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let wanted = _mm_set1_epi8(byte.cast_signed());
    block.chunks_exact(16).enumerate().fold(0, |mask, (at, part)| {
        let half = |from: usize| {
            i64::from_le_bytes(part[from..from + 8].try_into().expect("eight bytes are eight bytes"))
        };
        let equal = _mm_cmpeq_epi8(_mm_set_epi64x(half(8), half(0)), wanted);
        mask | u64::from(_mm_movemask_epi8(equal).cast_unsigned()) << (16 * at)
    })
}

/// One bit for each byte of a block that equals another.
#[cfg(not(target_arch = "x86_64"))]
fn mask(block: &[u8; BLOCK], byte: u8) -> u64 {
    block.iter().enumerate().fold(0, |mask, (at, b)| mask | u64::from(*b == byte) << at)
}

/// The bytes of a block that a backslash before them escapes; `escaped` carries over from block to block.
fn after_slashes(mut slashes: u64, escaped: &mut bool) -> u64 {
    let mut after = u64::from(std::mem::take(escaped));
    while slashes != 0 {
        let at = slashes.trailing_zeros();
        if after >> at & 1 == 0 {
            match at {
                63 => *escaped = true,
                _ => after |= 1 << (at + 1),
            }
        }
        slashes &= slashes - 1;
    }
    after
}

/// Steps over bytes that neither open, close nor quote: 32 at a time, in a shape that compilers vectorise.
fn skip_plain(text: &[u8], mut at: usize) -> usize {
    let special = |b: u8| (b == b'"') | (b | 0x20 == b'{') | (b | 0x20 == b'}');
    while let Some(block) = text.get(at..at + 32) {
        if block.iter().fold(false, |any, &b| any | special(b)) {
            break;
        }
        at += 32;
    }
    at + text[at..].iter().take_while(|&&b| !special(b)).count()
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "bodies are limited far below 4 GiB before they are scanned"
)]
fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

#[cfg(test)]
mod tests;
