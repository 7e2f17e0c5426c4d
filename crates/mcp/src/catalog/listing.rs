//! Lists, ready to send: sorted and joined once, so a page is a slice of one text.

use bytes::{Bytes, BytesMut};

use crate::offer::ListKind;

/// One list, ready to send.
#[derive(Debug, Default)]
pub struct List {
    keys: Vec<Box<str>>,
    ends: Vec<u32>,
    text: Bytes,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// Items, joined by commas.
    pub items: Bytes,
    /// The last key, where more follow.
    pub next: Option<String>,
}

impl List {
    /// From items and their names or URIs as on the wire.
    pub(super) fn build(mut entries: Vec<(String, Bytes)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = BytesMut::with_capacity(entries.iter().map(|(_, raw)| raw.len() + 1).sum());
        let mut list = Self {
            keys: Vec::with_capacity(entries.len()),
            ends: Vec::with_capacity(entries.len()),
            text: Bytes::new(),
        };
        for (key, raw) in entries {
            if !text.is_empty() {
                text.extend_from_slice(b",");
            }
            text.extend_from_slice(&raw);
            list.keys.push(key.into());
            #[allow(clippy::cast_possible_truncation, reason = "offers are bounded far below 4 GiB")]
            list.ends.push(text.len() as u32);
        }
        list.text = text.freeze();
        list
    }

    /// Up to `size` items whose keys come after `after`. A key that has gone meanwhile still marks its place.
    pub fn page(&self, after: Option<&str>, size: usize) -> Page {
        let first = after.map_or(0, |key| self.keys.partition_point(|k| &**k <= key));
        let last = (first + size).min(self.keys.len());
        if first >= last {
            return Page { items: Bytes::new(), next: None };
        }
        let next = (last < self.keys.len()).then(|| self.keys[last - 1].to_string());
        Page { items: self.text.slice(self.start(first)..self.ends[last - 1] as usize), next }
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.ends[at - 1] as usize + 1 }
    }

    /// An item as it is listed.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        let at = self.keys.binary_search_by(|k| (**k).cmp(key)).ok()?;
        Some(self.text.slice(self.start(at)..self.ends[at] as usize))
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether another list says the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// The keys, sorted: names or URIs as on the wire.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }

    /// The keys with their items, sorted.
    pub fn items(&self) -> impl Iterator<Item = (&str, Bytes)> {
        let item = |at: usize| self.text.slice(self.start(at)..self.ends[at] as usize);
        self.keys.iter().enumerate().map(move |(at, key)| (&**key, item(at)))
    }
}

/// The four lists of one endpoint.
#[derive(Debug, Default)]
pub struct Listing {
    lists: [List; 4],
}

impl Listing {
    /// From the entries of each list.
    pub(super) fn build(entries: [Vec<(String, Bytes)>; 4]) -> Self {
        Self { lists: entries.map(List::build) }
    }

    /// The list of a kind.
    pub fn list(&self, kind: ListKind) -> &List {
        &self.lists[kind as usize]
    }
}
