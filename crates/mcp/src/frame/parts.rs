//! Texts in parts that share memory with what they came from, and changes to them.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::scan::Span;

/// A text in one or more parts, as it came or as it is sent.
#[derive(Debug, Clone)]
pub struct Parts(Repr);

#[derive(Debug, Clone)]
enum Repr {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Default for Parts {
    fn default() -> Self {
        Self::one(Bytes::new())
    }
}

impl Parts {
    /// A whole text.
    pub fn one(bytes: Bytes) -> Self {
        Self(Repr::One(bytes))
    }

    /// Several.
    pub fn many(parts: Vec<Bytes>) -> Self {
        Self(Repr::Many(parts))
    }

    /// Adds a part at the end.
    pub fn push(&mut self, part: Bytes) {
        match &mut self.0 {
            Repr::One(one) if one.is_empty() => *one = part,
            Repr::One(one) => self.0 = Repr::Many(vec![std::mem::take(one), part]),
            Repr::Many(many) => many.push(part),
        }
    }

    /// Each part.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        match &self.0 {
            Repr::One(one) => std::slice::from_ref(one),
            Repr::Many(many) => many.as_slice(),
        }
        .iter()
    }

    /// Bytes in all parts.
    pub fn len(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.iter().all(Bytes::is_empty)
    }

    /// The bytes at a span; copied only where a cut between two parts lies in it.
    pub fn raw(&self, span: Span) -> Cow<'_, [u8]> {
        match &self.0 {
            Repr::One(one) => Cow::Borrowed(span.of(one)),
            Repr::Many(_) => {
                let mut found = self.within(span.range());
                match (found.next(), found.next()) {
                    (None, _) => Cow::Borrowed(&[]),
                    (Some((part, range)), None) => Cow::Borrowed(&part[range]),
                    (Some(_), Some(_)) => Cow::Owned(self.share(span).into()),
                }
            }
        }
    }

    /// The bytes at a span, sharing memory where no cut lies in it.
    pub fn share(&self, span: Span) -> Bytes {
        match &self.0 {
            Repr::One(one) => one.slice(span.range()),
            Repr::Many(_) => self.slice(span.range()).whole(),
        }
    }

    /// A range of it, sharing memory.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self::many(self.within(range).map(|(part, range)| part.slice(range)).collect())
    }

    /// The parts that a range touches, each with the range of it that does.
    pub(crate) fn within(
        &self,
        range: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (&Bytes, std::ops::Range<usize>)> {
        let mut before = 0;
        self.iter().filter_map(move |part| {
            let start = range.start.max(before) - before;
            let end = range.end.min(before + part.len()).saturating_sub(before);
            before += part.len();
            (start < end).then_some((part, start..end))
        })
    }

    /// One text.
    pub fn whole(self) -> Bytes {
        match self.0 {
            Repr::One(one) => one,
            Repr::Many(mut many) if many.len() == 1 => many.swap_remove(0),
            Repr::Many(many) => {
                let mut whole = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        }
    }

    /// The first part, and the others in order. Mostly there is one, and then nothing is allocated.
    pub fn split_first(self) -> (Option<Bytes>, std::vec::IntoIter<Bytes>) {
        match self.0 {
            Repr::One(one) => (Some(one), Vec::new().into_iter()),
            Repr::Many(many) => {
                let mut rest = many.into_iter();
                (rest.next(), rest)
            }
        }
    }

    /// The parts, in order.
    pub fn into_vec(self) -> Vec<Bytes> {
        match self.0 {
            Repr::One(one) => vec![one],
            Repr::Many(many) => many,
        }
    }
}

impl From<String> for Parts {
    fn from(text: String) -> Self {
        Self::one(text.into())
    }
}

/// Changes to a text: spans and what stands there instead. A span without length inserts.
#[derive(Debug, Default)]
pub struct Edits {
    list: Vec<(Span, Bytes)>,
}

/// Up to this length an edited text is copied once, which is cheaper than several parts; beyond it the parts
/// share the original's memory.
const COPY_MAX: usize = 16 * 1024;

impl Edits {
    /// None yet.
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(6) }
    }

    /// Puts a text in place of a span.
    pub fn set(&mut self, span: Span, text: impl Into<Bytes>) {
        self.list.push((span, text.into()));
    }

    /// Adds members at the end of an object, which has others or not: `"a":1,"b":2`.
    pub fn add_members(&mut self, object: Span, filled: bool, members: &str) {
        let mut text = String::with_capacity(members.len() + 1);
        if filled {
            text.push(',');
        }
        text.push_str(members);
        self.set(Span::point(object.end - 1), text);
    }

    /// The edited text. Edits must not overlap; those at one place apply in the order of their making.
    pub fn apply(mut self, text: &Parts) -> Parts {
        if self.list.is_empty() {
            return text.clone();
        }
        self.list.sort_by_key(|(span, _)| span.start);
        match &text.0 {
            Repr::One(one) if one.len() <= COPY_MAX => Parts::one(self.copied(one)),
            _ => self.shared(text),
        }
    }

    fn copied(self, text: &[u8]) -> Bytes {
        let added: usize = self.list.iter().map(|(_, new)| new.len()).sum();
        let mut whole = BytesMut::with_capacity(text.len() + added);
        let mut at = 0;
        for (span, new) in &self.list {
            whole.extend_from_slice(&text[at..span.start as usize]);
            whole.extend_from_slice(new);
            at = span.end as usize;
        }
        whole.extend_from_slice(&text[at..]);
        whole.freeze()
    }

    fn shared(self, text: &Parts) -> Parts {
        let mut parts = Vec::with_capacity(3 * self.list.len() + 1);
        let mut at = 0;
        for (span, new) in self.list {
            parts.extend(text.slice(at..span.start as usize).into_vec());
            parts.push(new);
            at = span.end as usize;
        }
        parts.extend(text.slice(at..text.len()).into_vec());
        parts.retain(|part| !part.is_empty());
        Parts::many(parts)
    }
}
