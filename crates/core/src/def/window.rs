//! Windows of time: nights, week-ends, announced work. They follow the clock on the wall of their zone, so that a
//! night ends at six in the morning on the days too on which the clocks change.

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Longest window that comes again; one that is longer would meet itself.
pub const WINDOW_DAYS_MAX: i64 = 7;

/// A time that comes again on some days of the week, or once from a time until another, or the first within the
/// second. One that says nothing at all always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WindowDef {
    /// Days on which it begins; every day where left out.
    pub days: Vec<Day>,
    /// When it begins on each of these days, as `HH:MM`; midnight where left out. A time that the clocks skip is
    /// taken an hour later, one that comes twice the first time.
    pub start: Option<TimeOfDay>,
    /// How long it lasts by the clock on the wall, at most seven days; a day where left out.
    pub duration: Option<Span>,
    /// Zone of its days and times, as the IANA names it, such as `Europe/Madrid`.
    pub zone: Zone,
    /// Not before this time (RFC 3339).
    #[schemars(with = "Option<String>")]
    pub from: Option<Timestamp>,
    /// Not at this time or later (RFC 3339).
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    #[serde(alias = "mon")]
    Monday,
    /// Tuesday.
    #[serde(alias = "tue")]
    Tuesday,
    /// Wednesday.
    #[serde(alias = "wed")]
    Wednesday,
    /// Thursday.
    #[serde(alias = "thu")]
    Thursday,
    /// Friday.
    #[serde(alias = "fri")]
    Friday,
    /// Saturday.
    #[serde(alias = "sat")]
    Saturday,
    /// Sunday.
    #[serde(alias = "sun")]
    Sunday,
}

impl Day {
    const fn weekday(self) -> Weekday {
        match self {
            Day::Monday => Weekday::Monday,
            Day::Tuesday => Weekday::Tuesday,
            Day::Wednesday => Weekday::Wednesday,
            Day::Thursday => Weekday::Thursday,
            Day::Friday => Weekday::Friday,
            Day::Saturday => Weekday::Saturday,
            Day::Sunday => Weekday::Sunday,
        }
    }
}

impl WindowDef {
    /// Whether it comes again, or is only bounded by `from` and `until`.
    fn recurs(&self) -> bool {
        !self.days.is_empty() || self.start.is_some() || self.duration.is_some()
    }

    /// Whether a time lies within it.
    pub fn holds(&self, at: Timestamp) -> bool {
        let bounded = self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until);
        bounded && (!self.recurs() || self.turns(at, 0).any(|(begin, end)| begin <= at && at < end))
    }

    /// The next time after this one at which it may begin or end; none where it never changes again.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let bounds = self.from.into_iter().chain(self.until);
        let turns = self.recurs().then(|| self.turns(at, WINDOW_DAYS_MAX + 1));
        let turns = turns.into_iter().flatten().flat_map(|(begin, end)| [begin, end]);
        bounds.chain(turns).filter(|time| *time > at).min()
    }

    /// Its turns that began within the last days, or begin within the next ones.
    fn turns(&self, at: Timestamp, ahead: i64) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = at.to_zoned(self.zone.0.clone()).date();
        let start = self.start.map_or(Time::midnight(), |start| start.0);
        let day = SignedDuration::from_hours(24);
        let longest = SignedDuration::from_hours(24 * WINDOW_DAYS_MAX);
        let lasts = self.duration.map_or(day, |span| {
            SignedDuration::try_from(span.get()).map_or(longest, |lasts| lasts.min(longest))
        });
        let zone = &self.zone.0;
        (-WINDOW_DAYS_MAX - 1..=ahead).filter_map(move |offset| {
            let date = today.checked_add(SignedDuration::from_hours(24 * offset)).ok()?;
            if !self.days.is_empty() && !self.days.iter().any(|day| day.weekday() == date.weekday()) {
                return None;
            }
            let begin = date.to_datetime(start).to_zoned(zone.clone()).ok()?;
            // From where it really begins: a time that the clocks skip must not leave nothing of it.
            let end = begin.datetime().checked_add(lasts).ok()?.to_zoned(zone.clone()).ok()?;
            Some((begin.timestamp(), end.timestamp()))
        })
    }
}

/// A time of the day, as `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(Time);

/// Why a text is no time of the day.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of the day: write hours and minutes, as \"22:30\"")]
pub struct InvalidTime(String);

impl TryFrom<String> for TimeOfDay {
    type Error = InvalidTime;
    fn try_from(given: String) -> Result<Self, InvalidTime> {
        let read = || {
            let (hour, minute) = given.split_once(':')?;
            let two = |text: &str| {
                (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
            };
            Time::new(two(hour)?, two(minute)?, 0, 0).ok()
        };
        read().map(Self).ok_or_else(|| InvalidTime(given.clone()))
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> String {
        format!("{:02}:{:02}", time.0.hour(), time.0.minute())
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeOfDay".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"})
    }
}

/// A time zone, by its name in the IANA database; UTC where left out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// Why a text names no time zone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time zone: write its IANA name, such as \"Europe/Madrid\", or \"UTC\"")]
pub struct InvalidZone(String);

impl Zone {
    /// As jiff has it.
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = InvalidZone;
    fn try_from(given: String) -> Result<Self, InvalidZone> {
        TimeZone::get(&given).map(Self).map_err(|_| InvalidZone(given))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.0.iana_name().unwrap_or("UTC").into()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1, "default": "UTC"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(json: &str) -> WindowDef {
        serde_json::from_str(json).unwrap()
    }

    fn holds(window: &WindowDef, at: &str) -> bool {
        window.holds(at.parse().unwrap())
    }

    #[test]
    fn a_night_goes_over_midnight_and_ends_by_the_clock_on_the_wall() {
        let night = window(r#"{"start": "22:00", "duration": "8h", "zone": "Europe/Madrid"}"#);
        assert!(holds(&night, "2026-01-10T21:00:00Z") && holds(&night, "2026-01-11T04:59:00Z"));
        assert!(!holds(&night, "2026-01-10T20:59:00Z") && !holds(&night, "2026-01-11T05:00:00Z"));
        // Clocks go forward on 29 March and back on 25 October: six in the morning is 04:00, then 05:00.
        assert!(holds(&night, "2026-03-29T03:59:00Z") && !holds(&night, "2026-03-29T04:00:00Z"));
        assert!(holds(&night, "2026-10-25T04:59:00Z") && !holds(&night, "2026-10-25T05:00:00Z"));
    }

    #[test]
    fn days_are_those_on_which_it_begins() {
        let sunday = window(r#"{"days": ["sun"], "start": "23:00", "duration": "2h"}"#);
        assert!(holds(&sunday, "2026-01-11T23:30:00Z") && holds(&sunday, "2026-01-12T00:30:00Z"));
        assert!(!holds(&sunday, "2026-01-12T23:30:00Z"));
        let week_end = window(r#"{"days": ["sat", "sun"]}"#);
        assert!(holds(&week_end, "2026-01-10T00:00:00Z") && !holds(&week_end, "2026-01-12T00:00:00Z"));
    }

    #[test]
    fn a_time_that_the_clocks_skip_begins_when_they_have() {
        let skipped = window(r#"{"start": "02:30", "duration": "1h", "zone": "Europe/Madrid"}"#);
        assert!(!holds(&skipped, "2026-03-29T00:59:00Z"));
        assert!(holds(&skipped, "2026-03-29T01:30:00Z"));
    }

    #[test]
    fn from_and_until_bound_it() {
        let once = window(r#"{"from": "2026-01-10T08:00:00+01:00", "until": "2026-01-10T09:00:00+01:00"}"#);
        assert!(holds(&once, "2026-01-10T07:00:00Z") && !holds(&once, "2026-01-10T08:00:00Z"));
        assert_eq!(once.next_change("2026-01-10T08:00:00Z".parse().unwrap()), None);
        let both = window(r#"{"days": ["sat"], "from": "2026-01-11T00:00:00Z"}"#);
        assert!(!holds(&both, "2026-01-10T12:00:00Z") && holds(&both, "2026-01-17T12:00:00Z"));
    }

    #[test]
    fn nothing_changes_between_two_changes() {
        let night = window(
            r#"{"days": ["tue", "sat"], "start": "22:00", "duration": "30h", "zone": "America/New_York"}"#,
        );
        let mut at: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for _ in 0..50 {
            let next = night.next_change(at).unwrap();
            let mut between = at;
            while between < next {
                assert_eq!(night.holds(between), night.holds(at), "{between}");
                between += SignedDuration::from_mins(30);
            }
            at = next;
        }
        assert!(at > "2026-05-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_no_time_or_zone_is_refused() {
        for json in
            [r#"{"start": "24:00"}"#, r#"{"start": "9:00"}"#, r#"{"zone": "Nowhere"}"#, r#"{"day": []}"#]
        {
            assert!(serde_json::from_str::<WindowDef>(json).is_err(), "{json}");
        }
    }
}
