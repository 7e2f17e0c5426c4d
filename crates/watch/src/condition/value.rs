//! What stands on a side of a comparison, once it is looked up.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use puerto_core::pattern::is_like;
use serde_json::Value;

/// A value, or what it is compared with.
#[derive(Debug)]
pub(super) enum Resolved<'a> {
    /// Nothing is there: it is equal to nothing and has no order.
    Nothing,
    Text(Cow<'a, str>),
    /// A pattern in which `*` stands for any text.
    Like(&'a str),
    Any(Vec<Resolved<'a>>),
}

impl<'a> Resolved<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn owned(text: String) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: f64) -> Self {
        Self::owned(number.to_string())
    }

    /// In milliseconds, as Gatus has it.
    pub(super) fn time(time: Duration) -> Self {
        Self::owned(time.as_millis().to_string())
    }

    /// A text as it is, anything else as it is written.
    pub(super) fn json(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::text(text),
            Value::Null => Self::text("null"),
            other => Self::owned(other.to_string()),
        }
    }

    /// Whether both are the same: as numbers where both are some, else as text.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any(all), one) | (one, Self::Any(all)) => all.iter().any(|of| of.is(one)),
            (Self::Text(text), Self::Like(pattern)) | (Self::Like(pattern), Self::Text(text)) => {
                is_like(text, pattern)
            }
            (Self::Text(one), Self::Text(other)) => {
                one == other || number(one).zip(number(other)).is_some_and(|(one, other)| one == other)
            }
            _ => false,
        }
    }

    /// How both are ordered; only numbers and times are.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => number(one)?.partial_cmp(&number(other)?),
            _ => None,
        }
    }
}

impl fmt::Display for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Text(text) => f.write_str(text),
            Self::Like(pattern) => write!(f, "pat({pattern})"),
            Self::Any(_) => f.write_str("any"),
        }
    }
}

/// A number, or a time such as `1h30m` in milliseconds.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    text.parse().ok().filter(|number: &f64| number.is_finite()).or_else(|| milliseconds(text))
}

fn milliseconds(text: &str) -> Option<f64> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let count: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += count
            * match &rest[..unit] {
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3_600e3,
                "d" => 86_400e3,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}
