//! When a schedule fires: a pure core. Whoever uses it brings the time, remembers what was done, and does it.

use std::fmt;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A fire that is later than this was missed: a hub that did not run, a machine that slept.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// How far back the last fire is looked for, each only where the one before has found none; so even years without a
/// hub take a moment.
const BACK: [SignedDuration; 5] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(24 * 32),
    SignedDuration::from_hours(24 * 366),
];

/// Moments, as people write them: a cron expression on somebody's clock.
///
/// A time that a clock skips in spring fires when the clock goes on; one that it shows twice in autumn fires the first time.
/// What fires in every hour or more often goes on evenly.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Why a schedule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The expression is none.
    Cron(String),
    /// There is no such time zone.
    Zone,
    /// It never fires.
    Never,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Cron(why) => write!(f, "this is no cron expression: {why}"),
            Unfit::Zone => f.write_str("there is no such time zone"),
            Unfit::Never => f.write_str("it never fires"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Schedule {
    /// Reads an expression of five fields, or of six with seconds before them, and the name of a time zone.
    ///
    /// # Errors
    /// Where one of them is none, or the expression names no moment after `now`.
    pub fn parse(cron: &str, zone: &str, now: Timestamp) -> Result<Self, Unfit> {
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(cron).map_err(|error| {
            let why = match error {
                CronError::InvalidPattern(why)
                | CronError::IllegalCharacters(why)
                | CronError::ComponentError(why) => why,
                other => other.to_string(),
            };
            Unfit::Cron(why.trim_end_matches('.').to_lowercase())
        })?;
        let zone = TimeZone::get(zone).map_err(|_| Unfit::Zone)?;
        let schedule = Self { cron, zone };
        schedule.after(now).ok_or(Unfit::Never)?;
        Ok(schedule)
    }

    /// The first moment after another.
    pub fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&at.to_zoned(self.zone.clone()), false).ok()?;
        // A clock that stands still would be asked for ever.
        Some(found.timestamp()).filter(|found| *found > at)
    }

    /// The last moment after one and not after another.
    pub fn last(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        for back in BACK {
            let from = until.checked_sub(back).map_or(after, |from| from.max(after));
            let mut found = None;
            let mut next = self.after(from).filter(|next| *next <= until);
            while let Some(at) = next {
                found = Some(at);
                next = self.after(at).filter(|next| *next <= until);
            }
            if found.is_some() || from <= after {
                return found;
            }
        }
        None
    }
}

/// What has fired of a schedule, and what is to fire.
#[derive(Debug, Clone)]
pub struct Timer {
    schedule: Schedule,
    catches_up: bool,
    /// Until when everything is done, or left out.
    done: Timestamp,
    next: Option<Timestamp>,
}

impl Timer {
    /// A timer from now on; one that catches up from what it did last.
    pub fn new(schedule: Schedule, catches_up: bool, last: Option<Timestamp>, now: Timestamp) -> Self {
        // What was done for a moment that has not come is not done again: the clock was wrong, then or now.
        let done = match last {
            Some(last) if catches_up || last > now => last,
            _ => now,
        };
        let next = schedule.after(done);
        Self { schedule, catches_up, done, next }
    }

    /// The moment to fire for, where one has come. It stays until it is done.
    pub fn due(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.next.filter(|next| *next <= now)?;
        let last = self.schedule.last(self.done, now)?;
        if self.catches_up || now.duration_since(last) <= LATE {
            return Some(last);
        }
        self.done(last);
        None
    }

    /// Notes that what was to be done for a moment, and for all before it, is done.
    pub fn done(&mut self, at: Timestamp) {
        self.done = self.done.max(at);
        self.next = self.schedule.after(self.done);
    }

    /// When it fires next.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }
}

#[cfg(test)]
mod tests;
