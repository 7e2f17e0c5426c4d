//! Many bytes of JSON text compared together. In a mask each bit stands for one of them.

/// Bytes compared together where what is looked for is probably near.
pub(super) const NEAR: usize = 16;
/// Bytes compared together inside a long string.
const BLOCK: usize = 128;

/// Steps through a string until less than a block is left of the text. Answers the place after the quote
/// that ends it, or as an error the place where the text is left.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the feature is looked for before the function that needs it is called")]
pub(super) fn long_string(text: &[u8], at: usize, escaped: &mut bool) -> Result<usize, usize> {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 is there.
        unsafe { avx2::long_string(text, at, escaped) }
    } else {
        sse2::long_string(text, at, escaped)
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use plain::{long_string, quotes, special};
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::{quotes, special};

/// A block, and the two bytes before it.
type Window = [u8; 2 + BLOCK];

/// The loop of `long_string`, for each way to compare. A quote ends the string unless a backslash stands
/// before it that no backslash escapes. Of one backslash the two bytes before a quote tell enough; only the
/// others are looked at one by one. Nothing else branches, whatever the text holds.
macro_rules! long_string {
    ($text:ident, $from:ident, $escaped:ident, $ends:expr) => {{
        // The first two bytes have no two before them.
        for at in [$from, $from + 1] {
            if $text.get(at) == Some(&b'"') && !is_escaped($text, $from, at, *$escaped) {
                *$escaped = false;
                return Ok(at + 1);
            }
        }
        let mut rest = $text.get($from..).unwrap_or_default();
        while let Some(window) = rest.first_chunk::<{ 2 + BLOCK }>() {
            let mut ends: u128 = $ends(window);
            while ends != 0 {
                let quote = $text.len() - rest.len() + 2 + ends.trailing_zeros() as usize;
                if !is_escaped($text, $from, quote, *$escaped) {
                    *$escaped = false;
                    return Ok(quote + 1);
                }
                ends &= ends - 1;
            }
            rest = &rest[BLOCK..];
        }
        let left = ($text.len() - rest.len() + 2).min($text.len());
        *$escaped = is_escaped($text, $from, left, *$escaped);
        Err(left)
    }};
}

/// Whether the byte at a place is escaped: by an odd number of backslashes right before it. `before` says
/// whether the first byte of the string's stretch is.
fn is_escaped(text: &[u8], from: usize, at: usize, before: bool) -> bool {
    let slashes = text[from..at].iter().rev().take_while(|b| **b == b'\\').count();
    (slashes % 2 == 1) != (before && slashes == at - from)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the search of long strings is a tenth of what a large message costs")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_andnot_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_testz_si256,
    };

    use super::{BLOCK, Window, is_escaped};

    /// See the function of that name outside.
    #[target_feature(enable = "avx2,bmi1")]
    pub(super) fn long_string(text: &[u8], from: usize, escaped: &mut bool) -> Result<usize, usize> {
        long_string!(text, from, escaped, ends)
    }

    /// Quotes that may end the string: those without a backslash before them, or with more than one.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn ends(window: &Window) -> u128 {
        let quarters = [quarter(window, 0), quarter(window, 32), quarter(window, 64), quarter(window, 96)];
        let [first, second, third, fourth] = quarters;
        let any = _mm256_or_si256(_mm256_or_si256(first, second), _mm256_or_si256(third, fourth));
        if _mm256_testz_si256(any, any) == 1 {
            return 0;
        }
        let mask = |found| u128::from(_mm256_movemask_epi8(found).cast_unsigned());
        mask(first) | mask(second) << 32 | mask(third) << 64 | mask(fourth) << 96
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn quarter(window: &Window, at: usize) -> __m256i {
        let same = |back: usize, byte: u8| {
            // SAFETY: from `at - 2` on the window has 34 bytes, and the load wants no alignment.
            let bytes = unsafe { _mm256_loadu_si256(window.as_ptr().add(2 + at - back).cast()) };
            _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed()))
        };
        let one_slash = _mm256_andnot_si256(same(2, b'\\'), same(1, b'\\'));
        _mm256_andnot_si256(one_slash, same(0, b'"'))
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "SSE2 is part of every x86-64, so what these functions need is always there")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    use super::{BLOCK, NEAR, Window, is_escaped};

    /// See the function of that name outside.
    pub(super) fn long_string(text: &[u8], from: usize, escaped: &mut bool) -> Result<usize, usize> {
        long_string!(text, from, escaped, ends)
    }

    fn ends(window: &Window) -> u128 {
        (0..BLOCK).step_by(NEAR).fold(0, |mask, at| {
            let part = |back: usize| window[2 + at - back..].first_chunk().expect("a block has eight parts");
            // SAFETY: see above; these functions have no other precondition.
            let found = unsafe {
                let one_slash = _mm_andnot_si128(same(load(part(2)), b'\\'), same(load(part(1)), b'\\'));
                bits(_mm_andnot_si128(one_slash, same(load(part(0)), b'"')))
            };
            mask | u128::from(found) << at
        })
    }

    /// Quotes and backslashes.
    pub(crate) fn quotes(block: &[u8; NEAR]) -> u16 {
        // SAFETY: as above.
        unsafe {
            let block = load(block);
            bits(_mm_or_si128(same(block, b'"'), same(block, b'\\')))
        }
    }

    /// Quotes, brackets and braces.
    pub(crate) fn special(block: &[u8; NEAR]) -> u16 {
        // SAFETY: as above.
        unsafe {
            let block = load(block);
            // One bit apart: `[` and `{`, `]` and `}`.
            let lower = _mm_or_si128(block, _mm_set1_epi8(0x20));
            let brackets = _mm_or_si128(same(lower, b'{'), same(lower, b'}'));
            bits(_mm_or_si128(same(block, b'"'), brackets))
        }
    }

    #[target_feature(enable = "sse2")]
    fn load(block: &[u8; NEAR]) -> __m128i {
        // SAFETY: a block has the sixteen bytes, and the load wants no alignment.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    #[target_feature(enable = "sse2")]
    fn same(block: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(block, _mm_set1_epi8(byte.cast_signed()))
    }

    #[target_feature(enable = "sse2")]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sixteen bits at most are set"
    )]
    fn bits(found: __m128i) -> u16 {
        _mm_movemask_epi8(found) as u16
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use super::{BLOCK, NEAR, Window, is_escaped};

    /// See the function of that name outside.
    pub(crate) fn long_string(text: &[u8], from: usize, escaped: &mut bool) -> Result<usize, usize> {
        long_string!(text, from, escaped, ends)
    }

    fn ends(window: &Window) -> u128 {
        window.windows(3).enumerate().fold(0, |mask, (at, bytes)| {
            let one_slash = bytes[1] == b'\\' && bytes[0] != b'\\';
            mask | u128::from(bytes[2] == b'"' && !one_slash) << at
        })
    }

    /// Quotes and backslashes.
    pub(crate) fn quotes(block: &[u8; NEAR]) -> u16 {
        those(block, |b| matches!(b, b'"' | b'\\'))
    }

    /// Quotes, brackets and braces.
    pub(crate) fn special(block: &[u8; NEAR]) -> u16 {
        those(block, |b| matches!(b, b'"' | b'[' | b']' | b'{' | b'}'))
    }

    fn those(block: &[u8; NEAR], wanted: impl Fn(u8) -> bool) -> u16 {
        block.iter().enumerate().fold(0, |mask, (at, b)| mask | u16::from(wanted(*b)) << at)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::{NEAR, long_string, plain, sse2};

    #[test]
    fn every_byte_at_every_place_is_seen_as_plainly() {
        for byte in 0..=255 {
            for at in 0..NEAR {
                let mut block = [b'"' ^ byte; NEAR];
                block[at] = byte;
                assert_eq!(sse2::quotes(&block), plain::quotes(&block), "{block:?}");
                assert_eq!(sse2::special(&block), plain::special(&block), "{block:?}");
            }
        }
    }

    /// The end of a string as a person would find it, byte by byte, and whether what follows is escaped.
    fn by_hand(text: &[u8], mut escaped: bool) -> (Option<usize>, bool) {
        for (at, byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return (Some(at + 1), false),
                _ => {}
            }
        }
        (None, escaped)
    }

    proptest! {
        #[test]
        fn every_way_to_compare_ends_a_string_where_a_person_would(
            parts in prop::collection::vec("[a-z ]{0,90}|\\\\{1,130}|\\\\?\"", 0..30), from in 0_usize..9, began: bool,
        ) {
            let text = parts.concat().into_bytes();
            let from = from.min(text.len());
            let (end, _) = by_hand(&text[from..], began);
            for way in [long_string, sse2::long_string, plain::long_string] {
                let mut escaped = began;
                match way(&text, from, &mut escaped) {
                    Ok(found) => prop_assert_eq!((Some(found - from), escaped), (end, false)),
                    Err(left) => prop_assert_eq!((None, escaped), by_hand(&text[from..left], began)),
                }
            }
        }
    }
}
