//! SHA-256 (FIPS 180-4) of many texts. Two thirds of what a verification did was hashing, and a third of what appending
//! did, so processors with registers of 512 bits hash sixteen texts at once, each in a lane of its own.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Texts that are hashed at once.
const LANES: usize = 16;
/// Sixteen blocks at once take about as long as six one after the other, where the processor has instructions for SHA-256.
const LANES_MIN: usize = 6;
/// Bytes that are taken in at once.
const BLOCK: usize = 64;
/// Bytes of a message that are not of the text: one before it, one that ends it, and its length.
const AROUND: usize = 1 + 1 + 8;

/// The hash of a byte and a text behind it.
pub(super) fn hash(first: u8, text: &[u8]) -> Hash {
    Sha256::new().chain_update([first]).chain_update(text).finalize().into()
}

/// The hashes of a byte and each of the texts behind it.
pub(super) fn hashes<'a>(first: u8, texts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Hash> {
    let mut texts = texts.into_iter();
    let mut hashes = Vec::with_capacity(texts.size_hint().0);
    let mut group = Vec::with_capacity(LANES);
    loop {
        group.clear();
        group.extend(texts.by_ref().take(LANES));
        match wide(first, &group) {
            Some(found) => hashes.extend_from_slice(&found[..group.len()]),
            None => hashes.extend(group.iter().map(|text| hash(first, text))),
        }
        if group.len() < LANES {
            return hashes;
        }
    }
}

/// Whether texts are hashed sooner together: each lane goes on until the longest one is done.
fn is_worth_it(texts: &[&[u8]]) -> bool {
    let blocks = |text: &&[u8]| (text.len() + AROUND).div_ceil(BLOCK);
    let longest = texts.iter().map(blocks).max().unwrap_or_default();
    texts.iter().map(blocks).sum::<usize>() >= longest * LANES_MIN && longest > 0
}

/// The same for at most sixteen texts, where it can be done at once and is worth it.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the features are looked for before the function that needs them is called")]
fn wide(first: u8, texts: &[&[u8]]) -> Option<[Hash; LANES]> {
    let is_there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    // SAFETY: both are there.
    (is_there && is_worth_it(texts)).then(|| unsafe { lanes::hashes(first, texts) })
}

#[cfg(not(target_arch = "x86_64"))]
fn wide(_first: u8, _texts: &[&[u8]]) -> Option<[Hash; LANES]> {
    None
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use std::arch::x86_64::{
        __m512i, __mmask16, _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_add_epi32, _mm512_ror_epi32,
        _mm512_set1_epi32, _mm512_set4_epi32, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32,
        _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
        _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    use std::array::from_fn;

    use super::{AROUND, BLOCK, Hash, LANES};

    /// What a hash begins with (section 5.3.3).
    const START: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    /// A number for each round (section 4.2.2).
    #[rustfmt::skip]
    const ROUNDS: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];

    /// A byte, the text behind it, and the padding, in blocks (section 5.1.1).
    struct Message<'a> {
        text: &'a [u8],
        /// The byte, and what of the text fills its block.
        start: [u8; BLOCK],
        /// What of the text fills no block, and the padding.
        end: [u8; 2 * BLOCK],
        /// Blocks that are full without padding.
        full: usize,
        /// All blocks.
        count: usize,
    }

    impl<'a> Message<'a> {
        fn new(first: u8, text: &'a [u8]) -> Self {
            let length = 1 + text.len();
            let (full, count) = (length / BLOCK, (text.len() + AROUND).div_ceil(BLOCK));
            let (mut start, mut end) = ([0; BLOCK], [0; 2 * BLOCK]);
            let rest = match full {
                0 => {
                    end[0] = first;
                    end[1..length].copy_from_slice(text);
                    length
                }
                _ => {
                    start[0] = first;
                    start[1..].copy_from_slice(&text[..BLOCK - 1]);
                    let rest = &text[full * BLOCK - 1..];
                    end[..rest.len()].copy_from_slice(rest);
                    rest.len()
                }
            };
            end[rest] = 0x80;
            let size = (count - full) * BLOCK;
            end[size - 8..size].copy_from_slice(&(length as u64 * 8).to_be_bytes());
            Self { text, start, end, full, count }
        }

        /// One of its blocks; zeros behind the last one.
        fn block(&self, at: usize) -> &[u8; BLOCK] {
            match at {
                0 if self.full > 0 => &self.start,
                at if at < self.full => self.middle(at),
                at if at < self.count => first_block(&self.end[(at - self.full) * BLOCK..]),
                _ => &[0; BLOCK],
            }
        }

        /// One that is full of text, and not the first one.
        #[inline(always)]
        fn middle(&self, at: usize) -> &[u8; BLOCK] {
            first_block(&self.text[at * BLOCK - 1..])
        }
    }

    #[inline(always)]
    fn first_block(bytes: &[u8]) -> &[u8; BLOCK] {
        bytes.first_chunk().unwrap_or(&[0; BLOCK])
    }

    /// The hashes of a byte and each of at most sixteen texts behind it; of what is no text, anything.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn hashes(first: u8, texts: &[&[u8]]) -> [Hash; LANES] {
        let messages: [Message<'_>; LANES] =
            from_fn(|lane| Message::new(first, texts.get(lane).copied().unwrap_or_default()));
        let count = messages.iter().map(|message| message.count).max().unwrap_or_default();
        let mut state = START.map(|word| _mm512_set1_epi32(word.cast_signed()));
        let common = messages.iter().map(|message| message.full).min().unwrap_or_default();
        for at in 0..count {
            // Most blocks are in the middle of all texts, which needs no looking at each.
            let (blocks, goes_on) = match (1..common).contains(&at) {
                true => (from_fn(|lane| messages[lane].middle(at)), !0),
                false => {
                    let goes_on =
                        |mask, lane: usize| mask | __mmask16::from(at < messages[lane].count) << lane;
                    (from_fn(|lane| messages[lane].block(at)), (0..LANES).fold(0, goes_on))
                }
            };
            state = compress(state, words(blocks), goes_on);
        }
        let words = state.map(|words| store(words));
        let mut hashes = [[0; 32]; LANES];
        for (lane, hash) in hashes.iter_mut().enumerate() {
            for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(words) {
                *bytes = word[lane].to_be_bytes();
            }
        }
        hashes
    }

    /// Takes in a block of each text; only of those whose bit is set.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn compress(state: [__m512i; 8], mut words: [__m512i; 16], goes_on: __mmask16) -> [__m512i; 8] {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        // Names move on by one with every round, so that nothing has to be moved (section 6.2.2).
        macro_rules! round {
            ($at:expr, $word:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $f:ident, $g:ident, $h:ident) => {
                let number = _mm512_set1_epi32(ROUNDS[$at].cast_signed());
                let choice = _mm512_ternarylogic_epi32::<CHOICE>($e, $f, $g);
                let one = sum([$h, rotated::<6, 11, 25>($e), choice, _mm512_add_epi32(number, $word)]);
                let majority = _mm512_ternarylogic_epi32::<MAJORITY>($a, $b, $c);
                $d = _mm512_add_epi32($d, one);
                $h = _mm512_add_epi32(one, _mm512_add_epi32(rotated::<2, 13, 22>($a), majority));
            };
        }
        for start in (0..ROUNDS.len()).step_by(16) {
            if start > 0 {
                words = next(words);
            }
            macro_rules! eight {
                ($start:expr, $at:expr) => {
                    round!($start + $at, words[$at], a, b, c, d, e, f, g, h);
                    round!($start + $at + 1, words[$at + 1], h, a, b, c, d, e, f, g);
                    round!($start + $at + 2, words[$at + 2], g, h, a, b, c, d, e, f);
                    round!($start + $at + 3, words[$at + 3], f, g, h, a, b, c, d, e);
                    round!($start + $at + 4, words[$at + 4], e, f, g, h, a, b, c, d);
                    round!($start + $at + 5, words[$at + 5], d, e, f, g, h, a, b, c);
                    round!($start + $at + 6, words[$at + 6], c, d, e, f, g, h, a, b);
                    round!($start + $at + 7, words[$at + 7], b, c, d, e, f, g, h, a);
                };
            }
            eight!(start, 0);
            eight!(start, 8);
        }
        let ends = [a, b, c, d, e, f, g, h];
        from_fn(|at| _mm512_mask_add_epi32(state[at], goes_on, state[at], ends[at]))
    }

    /// For each bit: that of the second where the first has one, else that of the third.
    const CHOICE: i32 = 0xca;
    /// For each bit: what at least two of three have.
    const MAJORITY: i32 = 0xe8;
    /// For each bit: whether one or all three have it.
    const ODD: i32 = 0x96;

    /// The next sixteen words.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn next(mut words: [__m512i; 16]) -> [__m512i; 16] {
        macro_rules! each {
            ($($at:literal)*) => {$(
                let mixed = [shifted::<7, 18, 3>(words[($at + 1) % 16]), shifted::<17, 19, 10>(words[($at + 14) % 16])];
                words[$at] = sum([words[$at], words[($at + 9) % 16], mixed[0], mixed[1]]);
            )*};
        }
        each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        words
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn sum([a, b, c, d]: [__m512i; 4]) -> __m512i {
        _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn rotated<const A: i32, const B: i32, const C: i32>(word: __m512i) -> __m512i {
        let parts = (_mm512_ror_epi32::<A>(word), _mm512_ror_epi32::<B>(word), _mm512_ror_epi32::<C>(word));
        _mm512_ternarylogic_epi32::<ODD>(parts.0, parts.1, parts.2)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn shifted<const A: i32, const B: i32, const C: u32>(word: __m512i) -> __m512i {
        let parts = (_mm512_ror_epi32::<A>(word), _mm512_ror_epi32::<B>(word), _mm512_srli_epi32::<C>(word));
        _mm512_ternarylogic_epi32::<ODD>(parts.0, parts.1, parts.2)
    }

    /// The words of sixteen blocks: the first ones of all, then the second ones, and so on.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn words(blocks: [&[u8; BLOCK]; LANES]) -> [__m512i; 16] {
        // The most significant byte of a word comes first.
        let order = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
        let rows = blocks.map(|block| _mm512_shuffle_epi8(load(block), order));
        let pairs: [__m512i; 16] = from_fn(|at| match at % 2 {
            0 => _mm512_unpacklo_epi32(rows[at], rows[at + 1]),
            _ => _mm512_unpackhi_epi32(rows[at - 1], rows[at]),
        });
        // Of four blocks each, every fourth word.
        let fours: [__m512i; 16] = from_fn(|at| {
            let (one, other) = (pairs[at / 4 * 4 + at % 4 / 2], pairs[at / 4 * 4 + at % 4 / 2 + 2]);
            match at % 2 {
                0 => _mm512_unpacklo_epi64(one, other),
                _ => _mm512_unpackhi_epi64(one, other),
            }
        });
        let mut words = fours;
        for column in 0..4 {
            let [one, two, three, four] = [0, 4, 8, 12].map(|start| fours[start + column]);
            // Of the first eight blocks and of the others: every eighth word from this one on, and from the fourth after it on.
            let [low, high] = [(one, two), (three, four)].map(|(one, other)| {
                (_mm512_shuffle_i32x4::<EVEN>(one, other), _mm512_shuffle_i32x4::<UNEVEN>(one, other))
            });
            words[column] = _mm512_shuffle_i32x4::<EVEN>(low.0, high.0);
            words[column + 4] = _mm512_shuffle_i32x4::<EVEN>(low.1, high.1);
            words[column + 8] = _mm512_shuffle_i32x4::<UNEVEN>(low.0, high.0);
            words[column + 12] = _mm512_shuffle_i32x4::<UNEVEN>(low.1, high.1);
        }
        words
    }

    /// Of two registers the first and the third quarter.
    const EVEN: i32 = 0x88;
    /// Of two registers the second and the fourth quarter.
    const UNEVEN: i32 = 0xdd;

    #[target_feature(enable = "avx512f")]
    #[inline]
    #[allow(unsafe_code, reason = "a block is loaded by its address")]
    fn load(block: &[u8; BLOCK]) -> __m512i {
        // SAFETY: a block is as long as a register, and the load wants no alignment.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    #[allow(unsafe_code, reason = "words are stored by their address")]
    fn store(words: __m512i) -> [u32; LANES] {
        let mut room = [0; LANES];
        // SAFETY: the room is as long as a register, and the store wants no alignment.
        unsafe { _mm512_storeu_si512(room.as_mut_ptr().cast(), words) };
        room
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_by_one(first: u8, texts: &[Vec<u8>]) -> Vec<Hash> {
        texts.iter().map(|text| hash(first, text)).collect()
    }

    fn together(first: u8, texts: &[Vec<u8>]) -> Vec<Hash> {
        hashes(first, texts.iter().map(Vec::as_slice))
    }

    /// Without this the others would compare sha2 with itself.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn equal_texts_are_hashed_together_where_the_processor_can() {
        let is_there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        let texts = [&b"abc"[..]; LANES];
        assert_eq!(wide(0, &texts).is_some(), is_there);
        assert_eq!(wide(0, &texts[..LANES_MIN]).is_some(), is_there);
        assert!(wide(0, &texts[..LANES_MIN - 1]).is_none() && wide(0, &[]).is_none());
        // One that is far longer than the others would keep all lanes waiting.
        let long = [b'x'; 64 * 1024];
        assert!(wide(0, &[&texts[1..], &[&long[..]]].concat()).is_none());
    }

    /// FIPS 180-4 has no byte before the text, so the first one of "abc" is it.
    #[test]
    fn hashes_are_those_of_the_standard() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(hashes(b'a', [&b"bc"[..]; 20]).iter().all(|hash| crate::audit::verify::hex(hash) == known));
    }

    #[test]
    fn texts_of_every_length_have_the_hashes_that_they_have_alone() {
        let texts: Vec<Vec<u8>> =
            (0..700).map(|length| (0..length).map(|at| (at * 7) as u8).collect()).collect();
        for first in [0, 1, 255] {
            assert_eq!(together(first, &texts), one_by_one(first, &texts));
        }
    }

    proptest! {
        #[test]
        fn texts_of_any_lengths_may_be_hashed_together(
            first in any::<u8>(),
            texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..50),
        ) {
            prop_assert_eq!(together(first, &texts), one_by_one(first, &texts));
        }
    }
}
