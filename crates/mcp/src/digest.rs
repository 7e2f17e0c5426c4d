//! What stands for arguments and results in the audit trail, which keeps neither: a salted hash.

use std::cell::RefCell;

use puerto_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::frame::Parts;
use crate::scan::Span;

/// Longest text that is hashed whole. A hash of 256 KiB would take as long as passing them on does.
pub const WHOLE_MAX: usize = 16 * 1024;
/// Of a longer one so much is hashed at its beginning, and as much at its end.
const EDGE: usize = WHOLE_MAX / 2;
/// Random bytes that a thread fetches at once.
const FETCHED: usize = 1024;

/// A salt that nobody can guess. The system is asked once for many.
pub fn salt() -> Option<[u8; 16]> {
    thread_local! {
        static FRESH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    FRESH.with_borrow_mut(|fresh| {
        if fresh.len() < 16 {
            fresh.resize(FETCHED, 0);
            if getrandom::fill(fresh).is_err() {
                fresh.clear();
                return None;
            }
        }
        let salt = fresh.split_off(fresh.len() - 16);
        salt.try_into().ok()
    })
}

/// The digest of a text: SHA-256 of the salt and the text. Of a long one: of the salt, its first and its last 8 KiB, and
/// its length in eight bytes, the most significant first.
pub fn digest(parts: &Parts, span: Span, salt: &[u8; 16]) -> Digest {
    let range = span.range();
    let bytes = range.len();
    let mut hash = Sha256::new().chain_update(salt);
    let mut take = |range| parts.within(range).for_each(|(part, range)| hash.update(&part[range]));
    let is_whole = bytes <= WHOLE_MAX;
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
        digest(&Parts::one(Bytes::from(text.to_owned())), Span { start: 0, end: text.len() as u32 }, &[7; 16])
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
    fn salts_differ() {
        let salts: std::collections::BTreeSet<_> = (0..200).filter_map(|_| salt()).collect();
        assert_eq!(salts.len(), 200);
    }
}
