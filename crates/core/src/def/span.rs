//! A length of time, as people write one: a number of seconds, or a text such as `500ms`, `30s` or `1h30m`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest span: ten years. More is a slip of the finger, and arithmetic on times stays safe below it.
pub const SPAN_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The units, in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A length of time. It has whole milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Why something is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// It is written otherwise.
    #[error(
        "it is no length of time: write seconds as a number, or a text such as \"500ms\", \"30s\", \"5m\", \"48h\" or \"7d\""
    )]
    Form,
    /// It is beyond `SPAN_MAX`.
    #[error("it is longer than {} days", SPAN_MAX.as_secs() / 86_400)]
    Long,
}

impl Span {
    /// Of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whether it is none.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// As a duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Of a number of seconds, as it stands in a file.
    ///
    /// # Errors
    /// Where it is below zero or beyond `SPAN_MAX`.
    pub fn of_seconds(seconds: f64) -> Result<Self, InvalidSpan> {
        Self::of_milliseconds(seconds * 1000.0)
    }

    fn of_milliseconds(milliseconds: f64) -> Result<Self, InvalidSpan> {
        if !milliseconds.is_finite() || milliseconds < 0.0 {
            return Err(InvalidSpan::Form);
        }
        let span = Duration::from_millis(milliseconds.round() as u64);
        if span > SPAN_MAX { Err(InvalidSpan::Long) } else { Ok(Self(span)) }
    }
}

impl std::str::FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(given: &str) -> Result<Self, InvalidSpan> {
        let given = given.trim();
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        if !given.is_empty() && given.chars().all(is_part) {
            return Self::of_seconds(given.parse().map_err(|_| InvalidSpan::Form)?);
        }
        let (mut rest, mut total) = (given, 0.0);
        while !rest.is_empty() {
            let digits = rest.find(|c| !is_part(c)).ok_or(InvalidSpan::Form)?;
            let count: f64 = rest[..digits].parse().map_err(|_| InvalidSpan::Form)?;
            rest = &rest[digits..];
            let end = rest.find(is_part).unwrap_or(rest.len());
            let unit = UNITS.iter().find(|(unit, _)| *unit == &rest[..end]).ok_or(InvalidSpan::Form)?;
            total += count * unit.1 as f64;
            rest = &rest[end..];
        }
        if given.is_empty() { Err(InvalidSpan::Form) } else { Self::of_milliseconds(total) }
    }
}

impl fmt::Display for Span {
    /// As `from_str` reads it, in as few units as it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis() as u64;
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            if left >= length {
                write!(f, "{}{unit}", left / length)?;
                left %= length;
            }
        }
        Ok(())
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Seconds(f64),
            Text(#[serde(borrow)] Cow<'a, str>),
            Other(serde::de::IgnoredAny),
        }
        match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Self::of_seconds(seconds),
            Written::Text(text) => text.parse(),
            Written::Other(_) => Err(InvalidSpan::Form),
        }
        .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A length of time: a number of seconds, or a text such as \"500ms\", \"30s\", \"5m\", \"48h\" or \"7d\".",
            "type": ["number", "string"],
            "minimum": 0,
            "pattern": r"^\s*([0-9.]+|([0-9.]+(d|h|m|s|ms))+)\s*$"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_and_units_are_read() {
        for (given, milliseconds) in [
            (json!(30), 30_000),
            (json!(0.25), 250),
            (json!("30"), 30_000),
            (json!("500ms"), 500),
            (json!("30s"), 30_000),
            (json!("5m"), 300_000),
            (json!("48h"), 172_800_000),
            (json!("7d"), 604_800_000),
            (json!("1h30m"), 5_400_000),
            (json!("1.5s"), 1500),
            (json!(" 2s "), 2000),
        ] {
            let span: Span = serde_json::from_value(given.clone()).unwrap();
            assert_eq!(span.get(), Duration::from_millis(milliseconds), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        let refused = |given| serde_json::from_value::<Span>(given).unwrap_err().to_string();
        for given in [
            json!(""),
            json!("5 minutes"),
            json!("m"),
            json!("5x"),
            json!(-1),
            json!(null),
            json!("1s2"),
            json!([]),
        ] {
            assert!(
                refused(given.clone()).contains("no length of time"),
                "{given}: {}",
                refused(given.clone())
            );
        }
        assert_eq!(refused(json!("4000d")), "it is longer than 3650 days");
        assert_eq!(refused(json!(1e300)), "it is longer than 3650 days");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(milliseconds in 0u64..SPAN_MAX.as_millis() as u64) {
            let span = Span(Duration::from_millis(milliseconds));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,20}") {
            let _ = text.parse::<Span>();
        }
    }
}
