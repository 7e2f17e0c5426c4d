//! Texts within the limits of receivers: cut between characters, with a word of how much was left out.

/// What a receiver counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// Bytes of UTF-8.
    Bytes,
    /// Units of UTF-16: never fewer than the characters of those that count characters.
    Utf16,
}

/// How much of a text there may be, and how its characters are written.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// The limit, after escaping.
    pub(super) limit: usize,
    /// Of what.
    pub(super) unit: Unit,
    /// Writes one character so that it means itself.
    pub(super) escape: fn(char, &mut String),
}

/// What stands where a text goes on.
const MORE: char = '…';
/// Room for the note of how many were left out.
const NOTE: usize = 24;

/// Every character as it is.
pub(super) fn plain(c: char, to: &mut String) {
    to.push(c);
}

/// For HTML, and for what reads a little of it.
pub(super) fn html(c: char, to: &mut String) {
    match c {
        '&' => to.push_str("&amp;"),
        '<' => to.push_str("&lt;"),
        '>' => to.push_str("&gt;"),
        '"' => to.push_str("&quot;"),
        '\'' => to.push_str("&#39;"),
        c => to.push(c),
    }
}

impl Room {
    fn size(&self, text: &str) -> usize {
        match self.unit {
            Unit::Bytes => text.len(),
            Unit::Utf16 => text.encode_utf16().count(),
        }
    }

    fn escaped(&self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        text.chars().for_each(|c| (self.escape)(c, &mut escaped));
        escaped
    }

    /// One text, cut where it is too long.
    pub(super) fn text(&self, text: &str) -> String {
        let whole = self.escaped(text);
        if self.size(&whole) <= self.limit {
            return whole;
        }
        let room = self.limit.saturating_sub(self.size(&MORE.to_string()));
        let (mut kept, mut used, mut one) = (String::new(), 0, String::new());
        for c in text.chars() {
            one.clear();
            (self.escape)(c, &mut one);
            used += self.size(&one);
            if used > room {
                break;
            }
            kept.push_str(&one);
        }
        kept.truncate(kept.trim_end().len());
        kept.push(MORE);
        kept
    }

    /// One line: nothing of it begins another.
    pub(super) fn line(&self, text: &str) -> String {
        let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.text(one.trim())
    }

    /// As many blocks as there is room for, and how many more there are; `unsaid` counts those beyond the blocks.
    pub(super) fn blocks(&self, blocks: &[String], unsaid: u32) -> String {
        let (mut text, mut said) = (String::new(), 0);
        for block in blocks {
            let gap = if said == 0 { "" } else { "\n\n" };
            let is_last = said + 1 == blocks.len() && unsaid == 0;
            let room = self.limit - if is_last { 0 } else { NOTE };
            let piece = self.escaped(block);
            if self.size(&text) + gap.len() + self.size(&piece) > room {
                break;
            }
            text.push_str(gap);
            text.push_str(&piece);
            said += 1;
        }
        if let (0, Some(first)) = (said, blocks.first()) {
            text = Room { limit: self.limit - NOTE, ..*self }.text(first);
            said = 1;
        }
        match blocks.len() - said + unsaid as usize {
            0 => text,
            more => format!("{text}\n\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(limit: usize) -> Room {
        Room { limit, unit: Unit::Bytes, escape: plain }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(room(10).text("0123456789"), "0123456789");
        assert_eq!(room(10).text("01234567890"), "0123456…");
        assert_eq!(room(10).text("äöüäöüäöü"), "äöü…");
        assert_eq!(Room { unit: Unit::Utf16, ..room(4) }.text("😀😀😀"), "😀…");
        assert_eq!(Room { escape: html, ..room(12) }.text("a<b>c&d"), "a&lt;b…");
        assert_eq!(room(99).line(" a\r\nBcc: b\t"), "a  Bcc: b");
    }

    #[test]
    fn blocks_that_do_not_fit_are_counted() {
        let blocks: Vec<_> = ["one", "two", "three"].map(String::from).into();
        assert_eq!(room(99).blocks(&blocks, 0), "one\n\ntwo\n\nthree");
        assert_eq!(room(99).blocks(&blocks, 7), "one\n\ntwo\n\nthree\n\nand 7 more");
        assert_eq!(room(33).blocks(&blocks, 7), "one\n\ntwo\n\nand 8 more");
        assert_eq!(room(30).blocks(&["0123456789".into(), "x".into()], 0), "012…\n\nand 1 more");
        assert_eq!(room(30).blocks(&[], 0), "");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_it_may_be(blocks in prop::collection::vec(".{0,40}", 0..5), limit in 30_usize..90, unsaid: u32) {
            for (unit, escape) in [(Unit::Bytes, plain as fn(char, &mut String)), (Unit::Utf16, html)] {
                let room = Room { limit, unit, escape };
                let text = room.blocks(&blocks, unsaid);
                prop_assert!(room.size(&text) <= limit, "{text:?}");
                blocks.iter().for_each(|block| assert!(room.size(&room.line(block)) <= limit));
            }
        }
    }
}
