//! Many bytes of JSON text compared together. In a mask each bit stands for one of them.

/// Bytes compared together where what is looked for is probably near.
pub(super) const NEAR: usize = 16;
/// Bytes compared together inside a long string.
const BLOCK: usize = 64;
/// Blocks without quote or backslash after which a long stretch of such text is expected, for which the
/// widest search of the machine pays.
const PLAIN: u32 = 4;

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

/// The bytes of a block that a backslash before them escapes; `escaped` carries over from block to block.
/// A run of backslashes escapes what follows where its length is odd; adding its first bit to a run moves a
/// bit behind its end (Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019, section 3.1.1).
#[inline(always)]
fn after_slashes(slashes: u64, escaped: &mut bool) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let first = u64::from(*escaped);
    let slashes = slashes & !first;
    let starts = slashes & !(slashes << 1);
    let behind_even = slashes.wrapping_add(starts & !ODD) & !slashes;
    let (behind_odd, runs_on) = slashes.overflowing_add(starts & ODD);
    *escaped = runs_on;
    (behind_even & ODD) | (behind_odd & !slashes & !ODD) | first
}

/// The loop of `long_string`, for each way to compare. Nothing in it branches on where backslashes stand: a
/// branch that is often mispredicted costs more than a block.
macro_rules! long_string {
    ($text:ident, $from:ident, $escaped:ident, $masks:expr) => {{
        let (mut at, mut carried, mut plain) = ($from, *$escaped, 0);
        while let Some(block) = $text[at..].first_chunk::<BLOCK>() {
            let (quotes, slashes): (u64, u64) = $masks(block);
            plain = if quotes | slashes == 0 { plain + 1 } else { 0 };
            let ends = quotes & !after_slashes(slashes, &mut carried);
            if ends != 0 {
                *$escaped = false;
                return Ok(at + ends.trailing_zeros() as usize + 1);
            }
            at += BLOCK;
            if plain == PLAIN && !carried {
                plain = 0;
                at += memchr::memchr2(b'"', b'\\', &$text[at..]).unwrap_or($text.len() - at);
            }
        }
        *$escaped = carried;
        Err(at)
    }};
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the search of long strings is a tenth of what a large message costs")]
mod avx2 {
    use std::arch::x86_64::{_mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8};

    use super::{BLOCK, PLAIN, after_slashes};

    /// See the function of that name outside.
    #[target_feature(enable = "avx2,bmi1")]
    pub(super) fn long_string(text: &[u8], from: usize, escaped: &mut bool) -> Result<usize, usize> {
        long_string!(text, from, escaped, masks)
    }

    /// Quotes, and backslashes.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn masks(block: &[u8; BLOCK]) -> (u64, u64) {
        let same = |half: usize, byte: u8| {
            // SAFETY: the block has two halves of 32 bytes, and the load wants no alignment.
            let half = unsafe { _mm256_loadu_si256(block.as_ptr().add(32 * half).cast()) };
            let equal = _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte.cast_signed()));
            u64::from(_mm256_movemask_epi8(equal).cast_unsigned())
        };
        let both = |byte| same(0, byte) | same(1, byte) << 32;
        (both(b'"'), both(b'\\'))
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "SSE2 is part of every x86-64, so what these functions need is always there")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    use super::{BLOCK, NEAR, PLAIN, after_slashes};

    /// See the function of that name outside.
    pub(super) fn long_string(text: &[u8], from: usize, escaped: &mut bool) -> Result<usize, usize> {
        long_string!(text, from, escaped, masks)
    }

    fn masks(block: &[u8; BLOCK]) -> (u64, u64) {
        let parts = block.as_chunks::<NEAR>().0.iter().enumerate();
        parts.fold((0, 0), |(quotes, slashes), (at, part)| {
            // SAFETY: see above; these functions have no other precondition.
            let (a, b) = unsafe { (bits(same(load(part), b'"')), bits(same(load(part), b'\\'))) };
            (quotes | u64::from(a) << (NEAR * at), slashes | u64::from(b) << (NEAR * at))
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
    use super::{BLOCK, NEAR, PLAIN, after_slashes};

    /// See the function of that name outside.
    pub(crate) fn long_string(text: &[u8], from: usize, escaped: &mut bool) -> Result<usize, usize> {
        long_string!(text, from, escaped, masks)
    }

    fn masks(block: &[u8; BLOCK]) -> (u64, u64) {
        let those =
            |wanted| block.iter().enumerate().fold(0, |mask, (at, b)| mask | u64::from(*b == wanted) << at);
        (those(b'"'), those(b'\\'))
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

    proptest! {
        #[test]
        fn every_way_to_compare_ends_a_string_at_one_place(
            parts in prop::collection::vec("[a-z ]{0,90}|\\\\{1,130}|\"", 0..30), began: bool,
        ) {
            let text = parts.concat();
            let ways = [long_string, sse2::long_string, plain::long_string];
            let [widest, sse2, plain] = ways.map(|way| {
                let mut escaped = began;
                (way(text.as_bytes(), 0, &mut escaped), escaped)
            });
            prop_assert_eq!(widest, plain);
            prop_assert_eq!(sse2, plain);
            if let Ok(end) = plain.0 {
                let slashes = text[..end - 1].bytes().rev().take_while(|b| *b == b'\\').count();
                prop_assert_eq!((slashes + usize::from(began && slashes == end - 1)) % 2, 0);
            }
        }
    }
}
