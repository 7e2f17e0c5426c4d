//! Large arguments that have come before are recognised by comparing: reading a text of 256 KiB as JSON takes
//! four times as long as a gateway needs for the whole call, and leaves it nothing of the caches.

use std::sync::{Mutex, PoisonError};

use memchr::memmem;

/// The smallest text worth remembering, in bytes.
const LARGE: usize = 16 << 10;
/// How many texts are remembered.
const TEXTS: usize = 4;
/// Where the text stands in a call of `sink`.
const KEY: &[u8] = br#""data":"#;

/// Texts as they stood in JSON, and how many bytes they stand for.
#[derive(Default)]
pub(super) struct Seen(Mutex<Vec<(Box<[u8]>, usize)>>);

impl Seen {
    /// Remembers that `raw` stands for `length` bytes.
    pub(super) fn remember(&self, raw: &str, length: usize) {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if raw.len() >= LARGE
            && texts.len() < TEXTS
            && texts.iter().all(|(seen, _)| **seen != *raw.as_bytes())
        {
            texts.push((raw.as_bytes().into(), length));
        }
    }

    /// The message with the number of bytes in place of a text that has come before, byte for byte the same.
    pub(super) fn shorten(&self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() < LARGE {
            return None;
        }
        let start = memmem::find(message, KEY)? + KEY.len();
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (raw, length) = texts.iter().find(|(raw, _)| message[start..].starts_with(raw))?;
        Some([&message[..start], length.to_string().as_bytes(), &message[start + raw.len()..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn a_text_that_came_before_becomes_its_length_and_another_one_stays() {
        let (seen, raw) = (Seen::default(), text::quoted(LARGE));
        let message = format!(r#"{{"arguments":{{"data":{raw}}},"id":1}}"#);
        assert_eq!(seen.shorten(message.as_bytes()), None);
        seen.remember(&raw, LARGE);
        let short = format!(r#"{{"arguments":{{"data":{LARGE}}},"id":1}}"#);
        assert_eq!(seen.shorten(message.as_bytes()), Some(short.into_bytes()));
        assert_eq!(seen.shorten(message.replacen("harbour", "harbor!", 1).as_bytes()), None);
    }
}
