//! What the targets share.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

/// A text in pieces, as a connection may bring it. Where the cuts are depends on the text alone, so that a finding is
/// found again: way 0 cuts everywhere (in long texts every 61 bytes), the others here and there.
pub fn pieces(text: &[u8], way: u64) -> Vec<Bytes> {
    if way == 0 {
        let size = if text.len() > 512 { 61 } else { 1 };
        return text.chunks(size).map(Bytes::copy_from_slice).collect();
    }
    let mut hasher = DefaultHasher::new();
    (text, way).hash(&mut hasher);
    let mut random = fastrand::Rng::with_seed(hasher.finish());
    let mut cuts: Vec<_> = (0..random.usize(1..6)).map(|_| random.usize(..=text.len())).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| Bytes::copy_from_slice(&text[cut[0]..cut[1]])).collect()
}

/// The text with long stretches in it, which a small input cannot hold: the first three tildes stand for bytes that
/// are hard to step over, more of them each time.
pub fn stretched(text: &[u8]) -> Vec<u8> {
    const LENGTHS: [usize; 3] = [150, 5_000, 17_000];
    let mut lengths = LENGTHS.iter();
    let mut whole = Vec::with_capacity(text.len());
    for &byte in text {
        match lengths.as_slice() {
            [length, ..] if byte == b'~' => {
                lengths.next();
                whole.extend(br#"x\\{["#.repeat(length / 5));
            }
            _ => whole.push(byte),
        }
    }
    whole
}
