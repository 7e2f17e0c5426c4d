//! Records of the trail as they are kept, many at once: a verification reads all of them, and a text of its own for each
//! would cost as much as its hash.

use super::tree::{self, Hash};
use crate::db::{Misread, Row};

/// Records that stand one after the other.
#[derive(Default)]
pub(super) struct Leaves {
    texts: String,
    kept: Vec<u8>,
    ends: Vec<End>,
}

/// Where a record ends in what is kept of all of them.
struct End {
    seq: i64,
    text: usize,
    kept: usize,
}

/// A record: its number, the hash that is kept with it, and its text.
type Leaf<'a> = (i64, &'a [u8], &'a str);

impl Leaves {
    /// Adds a row of `seq, leaf, document`.
    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<(), Misread> {
        self.kept.extend_from_slice(row.bytes(1)?);
        self.texts.push_str(row.text(2)?);
        self.ends.push(End { seq: row.get(0)?, text: self.texts.len(), kept: self.kept.len() });
        Ok(())
    }

    /// The number of the last one.
    pub(super) fn last(&self) -> Option<i64> {
        self.ends.last().map(|end| end.seq)
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Leaf<'_>> {
        self.part(0, self.ends.len())
    }

    fn part(&self, from: usize, to: usize) -> impl Iterator<Item = Leaf<'_>> {
        let (mut text, mut kept) =
            from.checked_sub(1).map_or((0, 0), |before| (self.ends[before].text, self.ends[before].kept));
        self.ends[from..to].iter().map(move |end| {
            let leaf = (end.seq, &self.kept[kept..end.kept], &self.texts[text..end.text]);
            (text, kept) = (end.text, end.kept);
            leaf
        })
    }

    /// The hash of each, by as many threads as there are cores.
    pub(super) fn hashes(&self) -> Vec<Hash> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = self.ends.len().div_ceil(threads).max(1);
        let mut hashes = vec![[0; 32]; self.ends.len()];
        std::thread::scope(|scope| {
            for (at, hashes) in hashes.chunks_mut(share).enumerate() {
                scope.spawn(move || {
                    let from = at * share;
                    for (hash, (_, _, text)) in hashes.iter_mut().zip(self.part(from, self.ends.len())) {
                        *hash = tree::leaf(text.as_bytes());
                    }
                });
            }
        });
        hashes
    }
}
