//! Names and URIs that callers send again and again, made once: whoever keeps one for a record need not copy it, and those who
//! read the records find it where it was before.

use std::cell::RefCell;
use std::sync::Arc;

/// Texts that a thread knows. A power of two, so that a place is some bits of a product.
const KNOWN: usize = 64;
/// Longest text that is kept, in bytes: a thread holds 16 KiB of them at most.
const KNOWN_BYTES_MAX: usize = 256;

/// A text of its own, or the one that this thread made of the same text a while ago.
pub fn intern(text: &str) -> Arc<str> {
    thread_local! {
        static TEXTS: RefCell<[Option<Arc<str>>; KNOWN]> = const { RefCell::new([const { None }; KNOWN]) };
    }
    if text.len() > KNOWN_BYTES_MAX {
        return text.into();
    }
    TEXTS.with_borrow_mut(|texts| match &mut texts[place(text.as_bytes())] {
        Some(known) if **known == *text => known.clone(),
        other => other.insert(text.into()).clone(),
    })
}

/// Where a text has its place. Others may have the same one; whoever seeks them out gains nothing but copies.
fn place(text: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |mixed: u64, word: u64| (mixed ^ word).wrapping_mul(ODD).rotate_left(29);
    let (words, rest) = text.as_chunks();
    let mixed = words.iter().fold(text.len() as u64, |mixed, word| mix(mixed, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    (mix(mixed, rest).wrapping_mul(ODD) >> (64 - KNOWN.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_came_before_is_shared() {
        for text in ["", "echo", "read_file", &"x".repeat(KNOWN_BYTES_MAX)] {
            let one = intern(text);
            assert!(&*one == text && Arc::ptr_eq(&one, &intern(text)), "{text}");
        }
    }

    #[test]
    fn texts_of_one_place_are_told_apart() {
        let texts: Vec<String> = (0..KNOWN * 8).map(|n| format!("tool {n:07}")).collect();
        for _ in 0..2 {
            assert!(texts.iter().all(|text| *intern(text) == **text));
        }
    }

    #[test]
    fn texts_that_differ_a_little_lie_apart() {
        let named: [fn(usize) -> String; 4] = [
            |n| format!("t{n}"),
            |n| format!("{n}_read_file"),
            |n| format!("read_file_{n}"),
            |n| format!("projects_{n:02}_of_one_folder"),
        ];
        for name in named {
            let places = (0..KNOWN).map(|n| place(name(n).as_bytes()));
            let places = places.collect::<std::collections::BTreeSet<_>>().len();
            assert!(places > KNOWN / 3, "{}: {places}", name(0));
        }
    }

    #[test]
    fn long_texts_are_not_kept() {
        let long = "x".repeat(KNOWN_BYTES_MAX + 1);
        assert_eq!(Arc::strong_count(&intern(&long)), 1);
    }
}
