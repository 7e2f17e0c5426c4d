//! The token meter: what a list costs a model that is shown it, before it does anything.
//!
//! Models' own tokenizers differ and some are secret, so this is an estimate: it cuts text the way byte-pair
//! tokenizers do before they merge (words with the space before them, digits in threes, runs of punctuation) and
//! counts what such a piece usually becomes. A test compares it with exact counts of o200k_base.

use crate::scan::{Scanner, Span, unquoted};

/// Tokens that a definition of a tool takes: its name, description and input schema, which is what clients hand to
/// models; what frames them differs from client to client and counts as [`FRAME`].
/// `name` is the one that it is listed under.
pub fn tool(name: &str, definition: &[u8]) -> usize {
    let (mut description, mut schema) = (Span::default(), Span::default());
    // What is no object costs nothing, since nobody is shown it.
    let _ = Scanner::new(definition).object(|s, key| {
        let value = s.value()?;
        match key {
            "description" => description = value,
            "inputSchema" => schema = value,
            _ => {}
        }
        Ok(())
    });
    let description = unquoted(description.of(definition)).map_or(0, |text| tokens(&text));
    FRAME + tokens(name) + description + tokens(&String::from_utf8_lossy(schema.of(definition)))
}

/// Tokens around a tool in the list that a model is shown.
const FRAME: usize = 8;

/// Tokens of a text, estimated.
pub fn tokens(text: &str) -> usize {
    let mut pieces = Pieces { rest: text };
    std::iter::from_fn(|| pieces.next()).sum()
}

/// What a text is cut into.
struct Pieces<'t> {
    rest: &'t str,
}

impl Pieces<'_> {
    /// The tokens of the next piece.
    fn next(&mut self) -> Option<usize> {
        let first = self.rest.chars().next()?;
        // A single space belongs to the word behind it.
        let lead = usize::from(first == ' ' && self.rest[1..].starts_with(char::is_alphabetic));
        let kind = Kind::of(self.rest[lead..].chars().next()?);
        let end = self.rest[lead..].find(|c| Kind::of(c) != kind).map_or(self.rest.len(), |at| lead + at);
        let (piece, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(kind.tokens(&piece[lead..]))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Digits,
    Space,
    Wide,
    Mark,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            c if c.is_ascii_alphabetic() => Kind::Word,
            c if c.is_ascii_digit() => Kind::Digits,
            c if c.is_whitespace() => Kind::Space,
            c if !c.is_ascii() && c.is_alphanumeric() => Kind::Wide,
            _ => Kind::Mark,
        }
    }

    fn tokens(self, piece: &str) -> usize {
        let letters = piece.chars().count();
        match self {
            // camelCase is several words.
            Kind::Word => {
                let humps = piece
                    .as_bytes()
                    .windows(2)
                    .filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase());
                let humps = 1 + humps.count();
                humps.max(letters.div_ceil(11))
            }
            Kind::Digits => letters.div_ceil(3),
            Kind::Space => 1,
            Kind::Wide => letters.div_ceil(2),
            Kind::Mark => letters.div_ceil(4),
        }
    }
}
