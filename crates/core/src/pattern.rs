//! Patterns over canonical names: `server.tool`, where `*` stands for any text on its side of the first dot.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ServerName;

/// Longest pattern, in bytes. URIs of resources are the longest names, and the longest seen have some 2,000.
pub const PATTERN_LEN_MAX: usize = 4096;

/// Stands for objects of servers: `files.read_file`, `files.read_*`, `*.delete_*`, or `*` for everything. What stands
/// behind the first dot is the name of a tool or prompt, or the URI of a resource, as its server gives it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: Box<str>,
    dot: usize,
}

/// Why a pattern was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPattern {
    /// Too long.
    #[error("the pattern is longer than {PATTERN_LEN_MAX} bytes")]
    Long,
    /// No dot, or nothing beside it.
    #[error("{0:?} names no object of a server: write \"server.name\", \"server.*\", \"*.name\" or \"*\"")]
    Shape(String),
    /// The server's part is no name, and no pattern of one.
    #[error("{0:?} is not the name of a server, and no pattern of one")]
    Server(String),
}

impl Pattern {
    /// Checks and makes one.
    pub fn new(given: &str) -> Result<Self, InvalidPattern> {
        if given.len() > PATTERN_LEN_MAX {
            return Err(InvalidPattern::Long);
        }
        if given == "*" {
            return Ok(Self { text: "*.*".into(), dot: 1 });
        }
        let shape = || InvalidPattern::Shape(given.into());
        let (server, key) = given.split_once('.').ok_or_else(shape)?;
        if server.is_empty() || key.is_empty() {
            return Err(shape());
        }
        // With letters for its stars it has to be a name.
        ServerName::new(&server.replace('*', "x")).map_err(|_| InvalidPattern::Server(server.into()))?;
        Ok(Self { text: given.into(), dot: server.len() })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The server's part.
    pub fn server(&self) -> &str {
        &self.text[..self.dot]
    }

    /// The part behind the dot.
    pub fn key(&self) -> &str {
        &self.text[self.dot + 1..]
    }

    /// Whether it stands for one object only.
    pub fn is_exact(&self) -> bool {
        !self.text.contains('*')
    }

    /// How much of a name it fixes: of two patterns that fit, the one that fixes more is meant more.
    pub fn weight(&self) -> usize {
        self.text.bytes().filter(|b| *b != b'*').count()
    }

    /// Whether it stands for this object.
    pub fn fits(&self, server: &ServerName, key: &str) -> bool {
        is_like(server.as_str(), self.server()) && is_like(key, self.key())
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text, also none.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut want) = (0, 0);
    // Where the last star stands, and what of the text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        if pattern.get(want) == Some(&b'*') {
            star = Some((want, at));
            want += 1;
        } else if pattern.get(want) == Some(&text[at]) {
            (at, want) = (at + 1, want + 1);
        } else if let Some((place, swallowed)) = star {
            star = Some((place, swallowed + 1));
            (at, want) = (swallowed + 1, place + 1);
        } else {
            return false;
        }
    }
    pattern[want..].iter().all(|b| *b == b'*')
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;
    fn try_from(given: String) -> Result<Self, InvalidPattern> {
        Self::new(&given)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.text.into()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1, "maxLength": PATTERN_LEN_MAX})
    }
}

/// A pattern, or with `!` before it one for what is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Choice {
    /// Whether what it stands for is left out.
    pub leaves_out: bool,
    /// What it stands for.
    pub pattern: Pattern,
}

impl Choice {
    /// Checks and makes one.
    pub fn new(given: &str) -> Result<Self, InvalidPattern> {
        let (leaves_out, text) = match given.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, given),
        };
        Ok(Self { leaves_out, pattern: Pattern::new(text)? })
    }

    /// Whether a list of choices lets an object in: some choice stands for it, or all only leave out, and none
    /// leaves it out.
    pub fn lets_in(choices: &[Choice], server: &ServerName, key: &str) -> bool {
        let fits = |choice: &&Choice| choice.pattern.fits(server, key);
        let (out, wanted): (Vec<_>, Vec<_>) = choices.iter().partition(|choice| choice.leaves_out);
        let chosen = if wanted.is_empty() { !out.is_empty() } else { wanted.iter().any(fits) };
        chosen && !out.iter().any(fits)
    }
}

impl TryFrom<String> for Choice {
    type Error = InvalidPattern;
    fn try_from(given: String) -> Result<Self, InvalidPattern> {
        Self::new(&given)
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> String {
        format!("{}{}", if choice.leaves_out { "!" } else { "" }, choice.pattern)
    }
}

impl JsonSchema for Choice {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Choice".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Pattern::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let fits =
            |pattern: &str, name: &str, key: &str| Pattern::new(pattern).unwrap().fits(&server(name), key);
        assert!(fits("files.read_*", "files", "read_text"));
        assert!(fits("*.delete_*", "git", "delete_branch"));
        assert!(fits("*", "git", "a.b"));
        assert!(fits("web.a.b*", "web", "a.b.c"));
        assert!(fits("f*s.*x*x", "files", "axbx"));
        assert!(!fits("files.read_*", "files", "write_text"));
        assert!(!fits("files.read", "files", "read_text"));
        assert!(!fits("file.*", "files", "read"));
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for given in ["", "files", "files.", ".read", "a b.c", "-x.y"] {
            assert!(Pattern::new(given).is_err(), "{given:?}");
        }
        assert!(Pattern::new(&"x".repeat(PATTERN_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn choices_let_in_and_leave_out() {
        let choices = |given: &[&str]| given.iter().map(|g| Choice::new(g).unwrap()).collect::<Vec<_>>();
        let lets_in = |given: &[&str], key: &str| Choice::lets_in(&choices(given), &server("files"), key);
        assert!(lets_in(&["files.*", "!files.delete"], "read"));
        assert!(!lets_in(&["files.*", "!files.delete"], "delete"));
        assert!(lets_in(&["!files.delete"], "read"));
        assert!(!lets_in(&["git.*"], "read"));
        assert!(!lets_in(&[], "read"));
    }

    proptest! {
        #[test]
        fn a_text_with_parts_starred_out_is_still_like_it(text in "[ab.]{1,12}", cut in 0usize..12, len in 0usize..6) {
            let cut = cut.min(text.len());
            let end = (cut + len).min(text.len());
            let pattern = format!("{}*{}", &text[..cut], &text[end..]);
            prop_assert!(is_like(&text, &pattern));
            prop_assert!(is_like(&text, &text));
        }
    }
}
