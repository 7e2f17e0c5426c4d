//! Finds members in JSON text without building anything: the members that routing needs become spans,
//! the rest is stepped over. Brackets, strings and depth are checked; numbers and literals inside
//! skipped values are not, they pass on as they came.
//!
//! Strings are stepped over with a vectorised search, so a payload costs a small part of what copying
//! it through the kernel costs (docs/perf.md).

mod simd;

use std::borrow::Cow;

use simd::NEAR;

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
        let end = string_end(self.text, start + 1, &mut false);
        self.at = end.ok_or(Fault { at: start, why: "the string has no end" })?;
        Ok(span(start, self.at))
    }

    fn scalar(&mut self) -> Span {
        let start = self.at;
        self.at = scalar_end(self.text, start).unwrap_or(self.text.len());
        span(start, self.at)
    }

    /// Steps over an object or array without looking at its members.
    fn container(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        let end = Skip::default().resume(self.text, start, DEPTH_MAX - self.depth)?;
        self.at = end.ok_or(Fault { at: start, why: "the text ends inside a value" })?;
        Ok(span(start, self.at))
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
        unquoted(quoted.of(self.text))
            .ok_or(Fault { at: quoted.start as usize, why: "the key is no valid string" })
    }

    fn fault<T>(&self, why: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, why })
    }
}

/// Steps over a string or a container that may come in several pieces.
#[derive(Debug, Default)]
pub struct Skip {
    /// One bit for each open container says which bracket must close it.
    kinds: u128,
    open: u32,
    in_string: bool,
    escaped: bool,
}

impl Skip {
    /// Goes on at a place in the next piece; first at the quote or bracket that opens the value. Answers the
    /// place after it, or nothing where the piece ends before. `room` is how deep it may nest.
    pub fn resume(&mut self, piece: &[u8], mut at: usize, room: u32) -> Result<Option<usize>, Fault> {
        loop {
            if self.in_string {
                let Some(end) = string_end(piece, at, &mut self.escaped) else { return Ok(None) };
                self.in_string = false;
                at = end;
                if self.open == 0 {
                    return Ok(Some(at));
                }
            }
            at = skip_plain(piece, at);
            let Some(&byte) = piece.get(at) else { return Ok(None) };
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.open += 1;
                    if self.open > room {
                        return Err(Fault { at, why: "nested too deeply" });
                    }
                    self.kinds = (self.kinds << 1) | u128::from(byte == b'{');
                }
                _ => {
                    if self.open == 0 || (self.kinds & 1 == 1) != (byte == b'}') {
                        return Err(Fault { at, why: "the wrong bracket closes" });
                    }
                    self.kinds >>= 1;
                    self.open -= 1;
                    if self.open == 0 {
                        return Ok(Some(at + 1));
                    }
                }
            }
            at += 1;
        }
    }
}

/// The place after the quote that ends a string, from a place inside it. `escaped` says that a backslash
/// stands before that place, and carries over where the text ends first.
pub fn string_end(text: &[u8], mut at: usize, escaped: &mut bool) -> Option<usize> {
    // Most strings are short: a small block costs less than a large one.
    for _ in 0..2 {
        let Some(block) = text[at..].first_chunk::<NEAR>().filter(|_| !*escaped) else { break };
        let found = simd::quotes(block);
        at += found.trailing_zeros() as usize;
        if found != 0 {
            if text[at] == b'"' {
                return Some(at + 1);
            }
            break;
        }
    }
    match simd::long_string(text, at, escaped) {
        Ok(end) => return Some(end),
        Err(left) => at = left,
    }
    for (step, byte) in text[at..].iter().enumerate() {
        match byte {
            _ if *escaped => *escaped = false,
            b'\\' => *escaped = true,
            b'"' => return Some(at + step + 1),
            _ => {}
        }
    }
    None
}

/// The place after a number or literal; nothing where the text ends before it is clear where that is.
pub fn scalar_end(text: &[u8], at: usize) -> Option<usize> {
    let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
    text[at..].iter().position(ends).map(|length| at + length)
}

/// The text that a quoted string stands for; nothing where it is no string.
pub fn unquoted(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(raw).ok().map(Cow::Owned)
}

/// Steps over bytes that neither open, close nor quote.
fn skip_plain(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text[at..].first_chunk::<NEAR>() {
        let found = simd::special(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += NEAR;
    }
    at + text[at..].iter().take_while(|&&b| !is_special(b)).count()
}

fn is_special(b: u8) -> bool {
    (b == b'"') | (b | 0x20 == b'{') | (b | 0x20 == b'}')
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
