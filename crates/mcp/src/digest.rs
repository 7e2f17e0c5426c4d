//! What stands for arguments and results in the audit trail: a salted hash, and beside the trail, where a tenant keeps them,
//! the texts themselves.

use std::cell::RefCell;

use puerto_core::text::TEXT_BYTES_MAX;
use puerto_core::{Digest, Record, Text, TextRoom};
use sha2::{Digest as _, Sha256};

use crate::frame::{Frame, Parts};
use crate::scan::Span;

/// Longest text that is hashed whole. A hash of 256 KiB would take as long as passing them on does.
pub const WHOLE_MAX: usize = 16 * 1024;
/// Of a longer one so much is hashed at its beginning, and as much at its end.
const EDGE: usize = WHOLE_MAX / 2;
/// Salts that a thread fetches at once.
const FETCHED: usize = 64;

/// A salt that nobody can guess. The system is asked once for many.
pub fn salt() -> Option<[u8; 16]> {
    thread_local! {
        static FRESH: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
    }
    FRESH.with_borrow_mut(|fresh| {
        if fresh.is_empty() {
            fresh.resize(FETCHED, [0; 16]);
            if getrandom::fill(fresh.as_flattened_mut()).is_err() {
                fresh.clear();
            }
        }
        fresh.pop()
    })
}

/// Notes what an operation was given, with the salt of its record. The text itself too, where a tenant keeps it and so has
/// room for it.
pub fn note_arguments(record: &mut Record, frame: &Frame, room: Option<&TextRoom>) {
    record.salt = salt();
    let given = frame.params.arguments;
    if let Some(salt) = record.salt.filter(|_| given.is_some()) {
        let (digest, text) = told(&frame.parts, given, &salt, room);
        record.arguments = Some(digest);
        if text.is_some() {
            record.texts.get_or_insert_default().arguments = text;
        }
    }
}

/// What an operation gave, to be noted when it ends. Hashed before that: nobody hashes while the records are locked.
#[derive(Debug)]
pub struct Said(Digest, Option<Text>);

impl Said {
    /// The result, with the salt of the record.
    pub fn new(parts: &Parts, said: Span, salt: &[u8; 16], room: Option<&TextRoom>) -> Self {
        let (digest, text) = told(parts, said, salt, room);
        Self(digest, text)
    }

    /// Notes it.
    pub fn note(self, record: &mut Record) {
        record.result = Some(self.0);
        if self.1.is_some() {
            record.texts.get_or_insert_default().result = self.1;
        }
    }
}

/// The digest of a text, and the text where it is kept: then all of it is hashed, so that what is shown later can be compared.
fn told(parts: &Parts, span: Span, salt: &[u8; 16], room: Option<&TextRoom>) -> (Digest, Option<Text>) {
    let range = span.range();
    let all = || parts.within(range.clone()).flat_map(|(part, range)| part[range].iter().copied()).collect();
    let text = room.and_then(|room| room.take(range.len(), all));
    let whole_max = if text.is_some() { TEXT_BYTES_MAX } else { WHOLE_MAX };
    (digest(parts, span, salt, whole_max), text)
}

/// The digest of a text: SHA-256 of the salt and the text. Of a long one: of the salt, its first and its last 8 KiB, and
/// its length in eight bytes, the most significant first.
pub fn digest(parts: &Parts, span: Span, salt: &[u8; 16], whole_max: usize) -> Digest {
    let range = span.range();
    let bytes = range.len();
    let mut hash = Sha256::new().chain_update(salt);
    let mut take = |range| parts.within(range).for_each(|(part, range)| hash.update(&part[range]));
    let is_whole = bytes <= whole_max;
    if is_whole {
        take(range);
    } else {
        let (start, end) = (range.start, range.end);
        take(start..start + EDGE);
        take(end - EDGE..end);
        hash.update((bytes as u64).to_be_bytes());
    }
    Digest { sha256: hash.finalize().into(), is_whole, bytes: bytes as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn of(text: &str) -> Digest {
        with(text, None).0
    }

    fn with(text: &str, room: Option<&TextRoom>) -> (Digest, Option<Text>) {
        let span = Span { start: 0, end: text.len() as u32 };
        told(&Parts::one(Bytes::from(text.to_owned())), span, &[7; 16], room)
    }

    #[test]
    fn equal_texts_have_equal_digests_and_others_have_not() {
        assert_eq!(of("{\"a\":1}"), of("{\"a\":1}"));
        assert_ne!(of("{\"a\":1}").sha256, of("{\"a\":2}").sha256);
        let long = "x".repeat(WHOLE_MAX + 1);
        assert!(of(&long[1..]).is_whole && !of(&long).is_whole);
        assert_ne!(of(&long).sha256, of(&format!("{long}x")).sha256);
        assert_eq!(of(&long).bytes, 16_385);
    }

    #[test]
    fn what_is_kept_is_hashed_whole() {
        let (room, long) = (TextRoom::default(), "x".repeat(WHOLE_MAX + 1));
        let (digest, text) = with(&long, Some(&room));
        assert!(digest.is_whole && text.unwrap().reveal() == long.as_bytes());
        assert_ne!(digest.sha256, of(&long).sha256);
        let (digest, text) = with(&"x".repeat(TEXT_BYTES_MAX + 1), Some(&room));
        assert!(!digest.is_whole && text.is_none() && room.lost() == 1);
    }

    #[test]
    fn salts_differ() {
        let salts: std::collections::BTreeSet<_> = (0..200).filter_map(|_| salt()).collect();
        assert_eq!(salts.len(), 200);
    }
}
