//! Records as they are kept: those of one commit are one row, or a few. A row of its own for each cost as much as its text
//! and its hash together. Their texts are packed (`packed.rs`); before that they stood there as they are.

use std::borrow::Cow;

use memchr::memchr_iter;
use memchr::memmem::Finder;

use super::draft::Draft;
use super::packed::{Mark, Marked, pack, unpack};
use super::text::Keyring;
use super::tree::{self, Edge, Hash};
use super::verify;
use crate::db::{Db, Misread, Params, Row};
use crate::error::StoreError;

/// Records of a block, at most: whoever wants one reads its whole block.
pub(super) const RECORDS_MAX: usize = 256;
/// Bytes of text after which a block takes no more records.
const BYTES_FULL: usize = 256 * 1024;
/// Blocks of one question: first so many, for they may be large, then twice as many each time, up to the greater number.
const BLOCKS_READ: (i64, i64) = (4, 128);
/// Bytes of a salt.
const SALT: usize = 16;
/// Blocks that are checked at once, by one thread: what is kept of their records until then comes to 1 MB.
const SHARE: usize = 64;

/// Records that stand one after the other, with the hash of each.
#[derive(Debug)]
pub(crate) struct Block {
    /// The number of the first one.
    pub(crate) first: i64,
    /// The hashes, one after the other.
    leaves: Vec<u8>,
    /// The texts, one a line: canonical JSON has no line break in it.
    documents: String,
}

/// A record of a block: the number that it is kept under, the hash that is kept with it, and its text.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) seq: i64,
    pub(crate) leaf: &'a [u8],
    pub(crate) text: &'a str,
}

impl Block {
    /// Its records in their order.
    pub(crate) fn lines(&self) -> Vec<Line<'_>> {
        lines(self.first, &self.leaves, &self.documents)
    }

    /// Whether a text stands in it.
    pub(super) fn contains(&self, text: &Finder<'_>) -> bool {
        text.find(self.documents.as_bytes()).is_some()
    }
}

/// The texts of a row, one a line, from a column and the one behind it: as they are, or packed.
fn documents<'a>(row: &'a Row<'_>, column: usize) -> Result<Cow<'a, str>, Misread> {
    let documents = row.text(column)?;
    Ok(match documents.is_empty() {
        true => unpack(row.bytes(column + 1)?).into(),
        false => documents.into(),
    })
}

/// The texts of a block.
fn split(documents: &str) -> Vec<&str> {
    let (mut texts, mut start) = (Vec::with_capacity(RECORDS_MAX), 0);
    for end in memchr_iter(b'\n', documents.as_bytes()).chain([documents.len()]) {
        texts.push(&documents[start..end]);
        start = end + 1;
    }
    texts
}

/// The records of a block: the number of its first, the hashes, the texts.
fn lines<'a>(first: i64, leaves: &'a [u8], documents: &'a str) -> Vec<Line<'a>> {
    let (count, texts) = (leaves.len() / 32, split(documents));
    let own = own_numbers(first, &texts);
    let line = |(at, text): (usize, &'a str)| {
        let place = first.saturating_add(at as i64);
        let seq = own.as_ref().map_or(place, |own| own[at]);
        let at = if texts.len() == count { at as i64 } else { seq.saturating_sub(first) };
        let leaf = usize::try_from(at).ok().and_then(|at| leaves.chunks_exact(32).nth(at));
        Line { seq, leaf: leaf.unwrap_or_default(), text }
    };
    texts.iter().copied().enumerate().map(line).collect()
}

/// The numbers that records say they have, where their places do not tell them: somebody took some out of the block.
fn own_numbers(first: i64, texts: &[&str]) -> Option<Vec<i64>> {
    let own = |text: &&str| verify::number(text).map(u64::cast_signed);
    if texts.last().and_then(own) == Some(first.saturating_add(texts.len() as i64 - 1)) {
        return None;
    }
    let numbers: Vec<i64> = texts.iter().map(own).collect::<Option<_>>()?;
    (numbers.first() >= Some(&first) && numbers.is_sorted_by(|one, next| one < next)).then_some(numbers)
}

/// Which blocks to read, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// Those whose first record has this number, or a greater one.
    pub(crate) from: i64,
    /// Those whose first record has this number, or a smaller one.
    pub(crate) to: i64,
    /// Begin with the newest.
    pub(crate) is_backwards: bool,
    /// With a record of this moment or later, in microseconds since 1970.
    pub(crate) since_us: i64,
    /// With a record from before this moment.
    pub(crate) until_us: i64,
}

impl Range {
    /// Blocks whose first records lie between two numbers, both of them included.
    pub(crate) fn between(from: i64, to: i64) -> Self {
        Self { from, to, is_backwards: false, since_us: i64::MIN, until_us: i64::MAX }
    }

    /// What is left of it after a block.
    pub(crate) fn after(self, block: &Block) -> Self {
        match self.is_backwards {
            true => Self { to: block.first.saturating_sub(1), ..self },
            false => Self { from: block.first.saturating_add(1), ..self },
        }
    }
}

/// The number of the first record of the block that holds a record.
pub(crate) fn holding(db: &mut Db, seq: i64) -> Result<i64, StoreError> {
    let sql = "SELECT max(first) FROM audit_blocks WHERE first <= ?1";
    Ok(db.first(sql, &[&seq], |row| row.get::<Option<i64>>(0))?.flatten().unwrap_or_default())
}

/// Blocks of a range: as many as come to about so many bytes, or all that there are.
pub(crate) fn blocks(db: &mut Db, mut range: Range, bytes: usize) -> Result<Vec<Block>, StoreError> {
    let order = if range.is_backwards { "DESC" } else { "" };
    let sql = format!(
        "SELECT first, leaves, documents, packed FROM audit_blocks WHERE first >= ?1 AND first <= ?2
         AND newest >= ?3 AND oldest < ?4 ORDER BY first {order} LIMIT ?5"
    );
    let (mut found, mut size, (mut limit, limit_max)) = (Vec::new(), 0, BLOCKS_READ);
    while size < bytes {
        let Range { from, to, since_us, until_us, .. } = range;
        let page = db.query(&sql, &[&from, &to, &since_us, &until_us, &limit], |row| {
            Ok(Block { first: row.get(0)?, leaves: row.get(1)?, documents: documents(row, 2)?.into_owned() })
        })?;
        let Some(last) = page.last() else { break };
        range = range.after(last);
        size += page.iter().map(|block| block.documents.len()).sum::<usize>();
        let is_end = (page.len() as i64) < limit;
        found.extend(page);
        if is_end {
            break;
        }
        limit = limit_max.min(limit * 2);
    }
    Ok(found)
}

/// The hashes of the records from a number to another, each with its number, as they are kept.
pub(crate) fn leaves(db: &mut Db, from: i64, to: i64) -> Result<Vec<(i64, Hash)>, StoreError> {
    let start = holding(db, from)?;
    let sql = "SELECT first, leaves FROM audit_blocks WHERE first >= ?1 AND first <= ?2 ORDER BY first";
    let mut found = Vec::new();
    db.query(sql, &[&start, &to], |row| {
        let (first, (hashes, _)) = (row.get::<i64>(0)?, row.bytes(1)?.as_chunks::<32>());
        // Somebody may have written any number there.
        let numbered = (0_i64..).zip(hashes).map(|(at, hash)| (first.saturating_add(at), *hash));
        found.extend(numbered.filter(|(seq, _)| (from..=to).contains(seq)));
        Ok(())
    })?;
    Ok(found)
}

/// Where the salt of a record lies in its block's.
fn salt_at(first: i64, seq: i64) -> Option<std::ops::Range<usize>> {
    let at = usize::try_from(seq.checked_sub(first)?).ok()?.checked_mul(SALT)?;
    Some(at..at.checked_add(SALT)?)
}

/// What made the digests of a record; nothing where it has none, or where it was erased.
pub(super) fn salt(db: &mut Db, seq: i64) -> Result<Option<[u8; SALT]>, StoreError> {
    let first = holding(db, seq)?;
    let sql = "SELECT salts FROM audit_blocks WHERE first = ?1";
    let salts: Vec<u8> = db.first(sql, &[&first], |row| row.get(0))?.unwrap_or_default();
    let salt = salt_at(first, seq).and_then(|at| salts.get(at)?.try_into().ok());
    Ok(salt.filter(|salt| *salt != [0; SALT]))
}

/// Erases what made the digests of records of one block; answers of how many there was something.
pub(super) fn erase_salts(db: &mut Db, first: i64, seqs: &[i64]) -> Result<u64, StoreError> {
    let sql = "SELECT salts FROM audit_blocks WHERE first = ?1";
    let mut salts: Vec<u8> = db.first(sql, &[&first], |row| row.get(0))?.unwrap_or_default();
    let mut erased = 0;
    for at in seqs.iter().filter_map(|&seq| salt_at(first, seq)) {
        if let Some(salt) = salts.get_mut(at).filter(|salt| **salt != [0; SALT]) {
            salt.fill(0);
            erased += 1;
        }
    }
    if erased > 0 {
        db.execute("UPDATE audit_blocks SET salts = ?2 WHERE first = ?1", &[&first, &salts])?;
    }
    Ok(erased)
}

/// What a verification has to know of a record.
pub(super) struct Checked {
    /// The number that it is kept under.
    pub(super) seq: i64,
    /// The number that it says it has.
    pub(super) own: Option<u64>,
    /// The hash of its text.
    pub(super) hash: Hash,
    /// Whether that is the hash that is kept with it.
    pub(super) is_kept: bool,
}

/// Hashes the records of the blocks whose first records lie between two numbers, both of them included; each where its block was
/// unpacked, or lies, since one more copy would take a good part of its hash's time.
pub(super) fn check(db: &mut Db, (from, to): (i64, i64)) -> Result<Vec<Checked>, StoreError> {
    let sql = "SELECT first, leaves, documents, packed FROM audit_blocks WHERE first >= ?1 AND first <= ?2
         ORDER BY first";
    let mut checked = Vec::new();
    db.query(sql, &[&from, &to], |row| {
        let documents = documents(row, 2)?;
        let lines = lines(row.get(0)?, row.bytes(1)?, &documents);
        let hashes = tree::leaves(lines.iter().map(|line| line.text.as_bytes()));
        checked.extend(lines.iter().zip(hashes).map(|(&Line { seq, leaf, text }, hash)| Checked {
            seq,
            own: verify::number(text),
            hash,
            is_kept: leaf == hash,
        }));
        Ok(())
    })?;
    Ok(checked)
}

/// Where the last of the blocks begins that are checked at once from a number on; nothing where there are none.
pub(super) fn next_share(db: &mut Db, from: i64, last: i64) -> Result<Option<i64>, StoreError> {
    let sql = format!(
        "SELECT max(first) FROM (SELECT first FROM audit_blocks WHERE first >= ?1 AND first <= ?2
         ORDER BY first LIMIT {SHARE}) AS share"
    );
    Ok(db.first(&sql, &[&from, &last], |row| row.get::<Option<i64>>(0))?.flatten())
}

/// A block that is being written.
pub(super) struct Writing<'a> {
    db: &'a mut Db,
    keyring: &'a Keyring,
    /// Without the records that are being written.
    edge: Edge,
    /// Their texts, one behind the other.
    texts: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    /// The last one, and where its text begins.
    last: Option<(&'a Draft, usize)>,
    /// What of its text hardly ever is as before, and of the one before it.
    marks: (Vec<Mark>, Vec<Mark>),
    /// The texts as they are kept.
    packed: Vec<u8>,
    /// What made the digests of equal texts differ, 16 bytes for each record; nothing where none has any.
    salts: Vec<u8>,
    oldest: i64,
    newest: i64,
}

impl<'a> Writing<'a> {
    /// Goes on at the end of the tree.
    pub(super) fn new(db: &'a mut Db, keyring: &'a Keyring, edge: Edge) -> Self {
        let (texts, starts, last, marks, packed, salts) = Default::default();
        let (oldest, newest) = (i64::MAX, i64::MIN);
        Self { db, keyring, edge, texts, starts, last, marks, packed, salts, oldest, newest }
    }

    /// Adds the next record.
    pub(super) fn add(&mut self, draft: &'a Draft) -> Result<(), StoreError> {
        if self.starts.len() >= RECORDS_MAX || self.texts.len() >= BYTES_FULL {
            self.keep()?;
        }
        let seq = self.edge.size().cast_signed() + self.starts.len() as i64 + 1;
        self.write(seq.cast_unsigned(), draft);
        let Self { starts, salts, .. } = self;
        if let Some(salt) = draft.salt() {
            salts.resize((starts.len() - 1) * SALT, 0);
            salts.extend_from_slice(salt);
        }
        let at_us = draft.at_us();
        (self.oldest, self.newest) = (self.oldest.min(at_us), self.newest.max(at_us));
        self.keep_texts(seq, draft)
    }

    /// Writes the text of the next record, and packs it.
    fn write(&mut self, seq: u64, draft: &'a Draft) {
        let Self { texts, starts, last, marks: (marks, marks_before), packed, .. } = self;
        std::mem::swap(marks, marks_before);
        let start = texts.len();
        let last = last.replace((draft, start));
        if let Some((_, before)) = last.filter(|(last, _)| draft.is_like(last)) {
            draft.write_again(seq, (texts, before), (marks, marks_before), packed);
        } else {
            draft.write(seq, texts, marks);
            let marked =
                |(_, before): (_, usize)| Marked { text: &texts[before..start], marks: marks_before };
            let before = last.map_or(Marked::default(), marked);
            pack(Marked { text: &texts[start..], marks }, before, packed);
        }
        starts.push(start);
    }

    /// Keeps the texts of a record. One without its texts is better than none.
    fn keep_texts(&mut self, seq: i64, draft: &Draft) -> Result<(), StoreError> {
        let Some((texts, salt)) = draft.texts().zip(draft.salt()) else { return Ok(()) };
        match self.keyring.seal(texts, salt, draft.tenant()) {
            Ok(sealed) => sealed.keep(self.db, seq, draft.tenant(), draft.at_us()),
            Err(error) => {
                self.keyring.note_lost(texts, &error);
                Ok(())
            }
        }
    }

    /// Keeps what was added and is not kept yet; what comes next begins a block.
    fn keep(&mut self) -> Result<(), StoreError> {
        let Self { edge, texts, starts, last, packed, salts, oldest, newest, .. } = self;
        if starts.is_empty() {
            return Ok(());
        }
        if !salts.is_empty() {
            salts.resize(starts.len() * SALT, 0);
        }
        let ends = starts.iter().skip(1).copied().chain([texts.len()]);
        let leaves = tree::leaves(starts.iter().zip(ends).map(|(&start, end)| &texts[start..end]));
        let first = edge.size().cast_signed() + 1;
        let values: Params<'_> = &[&first, oldest, newest, &leaves.as_flattened(), &&salts[..], &&packed[..]];
        self.db.execute(
            "INSERT INTO audit_blocks (first, oldest, newest, leaves, salts, documents, packed)
             VALUES (?1, ?2, ?3, ?4, ?5, '', ?6)",
            values,
        )?;
        edge.extend(leaves);
        texts.clear();
        starts.clear();
        *last = None;
        packed.clear();
        salts.clear();
        (*oldest, *newest) = (i64::MAX, i64::MIN);
        Ok(())
    }

    /// Keeps the rest; answers the new end of the tree.
    pub(super) fn end(mut self) -> Result<Edge, StoreError> {
        self.keep()?;
        Ok(self.edge)
    }
}
