//! Letters: a mail as it goes over the wire (RFC 5322, RFC 2045 to 2047). Its lines are ASCII and at most 76 long,
//! whatever its texts are, and nothing of a text can become a header.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// Characters of a line (RFC 2045, section 6.7).
const LINE_LEN_MAX: usize = 76;
/// Bytes of a text that fit one encoded word of 75 characters, whole characters only (RFC 2047, section 2).
const WORD_BYTES_MAX: usize = 42;

/// Somebody who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mailbox {
    name: String,
    address: String,
}

/// A mail with its envelope.
pub struct Letter {
    /// The address that it is from.
    pub from: String,
    /// The addresses that it goes to.
    pub to: Vec<String>,
    /// Head and body; lines end with CR LF.
    pub text: String,
}

/// What a letter is made of.
pub(super) struct Parts<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) to: &'a [Mailbox],
    pub(super) subject: &'a str,
    /// The id of the letter, and of the one that it answers; both without angle brackets.
    pub(super) id: String,
    pub(super) thread: String,
    pub(super) at_ms: i64,
    /// What is no part of either text.
    pub(super) boundary: String,
    pub(super) plain: String,
    pub(super) html: String,
}

impl Mailbox {
    /// Of a text such as `Anna <anna@example.com>`, or an address alone.
    pub(super) fn parse(given: &str) -> Result<Self, String> {
        if given.chars().any(char::is_control) {
            return Err("there is a control character in it".into());
        }
        let (name, address) = match given.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", given.trim()),
        };
        if !address.is_ascii() {
            let why = "an address has ASCII letters only; write its domain as in \"xn--bcher-kva.example\"";
            return Err(why.into());
        }
        let bare = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted,
            None if name.contains(['<', '>', '@', ',', ';', '"']) => {
                return Err("it is one name and one address, as in \"Anna <anna@example.com>\"".into());
            }
            None => name,
        };
        // RFC 5321, section 4.5.3.1: 64 and 255 bytes; a path has 256 with its brackets.
        let is_address = |(local, domain): (&str, &str)| {
            let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
            let label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            local.len() <= 64
                && address.len() <= 254
                && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
                && domain.split('.').all(|part| !part.is_empty() && part.chars().all(label))
        };
        match address.rsplit_once('@').is_some_and(is_address) {
            true => Ok(Self { name: bare.replace("\\\"", "\""), address: address.to_owned() }),
            false => Err(format!("{given:?} is no address of mail")),
        }
    }

    /// The part of the address behind the `@`.
    pub(super) fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    fn header(&self) -> String {
        match self.name.as_str() {
            "" => self.address.clone(),
            name if is_plain(name) => {
                format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), self.address)
            }
            name => format!("{} <{}>", encoded(name), self.address),
        }
    }
}

impl Parts<'_> {
    /// Puts them together.
    pub(super) fn letter(&self) -> Letter {
        let at = Timestamp::from_millisecond(self.at_ms).unwrap_or_default().to_zoned(TimeZone::UTC);
        let date = rfc2822::to_string(&at).unwrap_or_default();
        let to: Vec<_> = self.to.iter().map(Mailbox::header).collect();
        let subject = if is_plain(self.subject) { folded(self.subject) } else { encoded(self.subject) };
        let mut text = String::new();
        for (name, value) in [
            ("From", self.from.header()),
            ("To", to.join(",\r\n ")),
            ("Subject", subject),
            ("Date", date),
            ("Message-ID", format!("<{}>", self.id)),
            ("In-Reply-To", format!("<{}>", self.thread)),
            ("References", format!("<{}>", self.thread)),
            // So that nobody's absence is told to us (RFC 3834).
            ("Auto-Submitted", "auto-generated".into()),
            ("MIME-Version", "1.0".into()),
            ("Content-Type", format!("multipart/alternative;\r\n boundary=\"{}\"", self.boundary)),
        ] {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        for (kind, part) in [("plain", &self.plain), ("html", &self.html)] {
            let _ = write!(
                text,
                "\r\n--{}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}",
                self.boundary,
                quoted(part)
            );
        }
        let _ = write!(text, "\r\n--{}--\r\n", self.boundary);
        let to = self.to.iter().map(|one| one.address.clone()).collect();
        Letter { from: self.from.address.clone(), to, text }
    }
}

/// Whether a text can stand in a header as it is.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        && !text.contains("=?")
        && text.split(' ').all(|word| word.len() < LINE_LEN_MAX - 12)
}

/// Lines broken at spaces, of which none goes.
fn folded(text: &str) -> String {
    let (mut folded, mut used) = (String::new(), "Subject: ".len());
    for (at, word) in text.split(' ').enumerate() {
        // A line of spaces alone would be taken for the end of the head.
        if at > 0 && used + 1 + word.len() > LINE_LEN_MAX && !word.is_empty() {
            folded.push_str("\r\n");
            used = 0;
        }
        if at > 0 {
            folded.push(' ');
            used += 1;
        }
        folded.push_str(word);
        used += word.len();
    }
    folded
}

/// As encoded words.
fn encoded(text: &str) -> String {
    let mut words = vec![String::new()];
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if words.last().is_none_or(|word| word.len() + c.len_utf8() > WORD_BYTES_MAX) {
            words.push(String::new());
        }
        words.last_mut().expect("there is one").push(c);
    }
    let words: Vec<_> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

/// As quoted-printable (RFC 2045, section 6.7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        let (mut used, bytes) = (0, line.as_bytes());
        for (at, byte) in bytes.iter().enumerate() {
            let is_last = at + 1 == bytes.len();
            let is_itself =
                matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (matches!(byte, b' ' | b'\t') && !is_last);
            let length = if is_itself { 1 } else { 3 };
            // Room for the sign that the line goes on.
            if used + length > LINE_LEN_MAX - 1 {
                quoted.push_str("=\r\n");
                used = 0;
            }
            let _ = if is_itself {
                write!(quoted, "{}", char::from(*byte))
            } else {
                write!(quoted, "={byte:02X}")
            };
            used += length;
        }
        quoted.push_str("\r\n");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let read = |given: &str| Mailbox::parse(given).map(|one| one.header());
        assert_eq!(read("anna@example.com").as_deref(), Ok("anna@example.com"));
        assert_eq!(read(" Anna B. <a.b+c@mail.example> ").as_deref(), Ok("\"Anna B.\" <a.b+c@mail.example>"));
        assert_eq!(read(r#""B, \"x\" y" <b@c>"#).as_deref(), Ok(r#""B, \"x\" y" <b@c>"#));
        assert_eq!(read("Püerto <p@e.x>").as_deref(), Ok("=?utf-8?B?UMO8ZXJ0bw==?= <p@e.x>"));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "a@b c",
            "<a@b",
            "a@b>, <c@d>",
            "a..b@c",
            "a@.c",
            "a@b\r\nBcc: c@d",
            "ü@b",
        ] {
            assert!(Mailbox::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Mailbox::parse(&format!("{}@b", "a".repeat(65))).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_said_stays_within_its_place(subject in "\\PC{0,120}", plain in "(?s).{0,200}", html in "[ -~\n=]{0,300}") {
            let from = Mailbox::parse("Püerto <p@example.com>").unwrap();
            let parts = Parts {
                from: &from, to: std::slice::from_ref(&from), subject: &subject, id: "1@e".into(), thread: "2@e".into(), at_ms: 0,
                boundary: "b".repeat(39), plain, html,
            };
            let text = parts.letter().text;
            prop_assert!(text.is_ascii());
            let (head, _) = text.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = head.split("\r\n").filter(|line| !line.starts_with(' '))
                .map(|line| line.split(':').next().unwrap()).collect();
            prop_assert_eq!(names, ["From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
                "Auto-Submitted", "MIME-Version", "Content-Type"]);
            for line in text.split("\r\n") {
                prop_assert!(line.len() <= 85 && !line.contains(['\r', '\n']), "{line:?}");
            }
        }
    }
}
