//! Readings out of the ordinary, without anybody having said what is ordinary. A reading is compared with a level that
//! follows it, and, once two weeks are known, with the same hour of the week. What is far out pulls the level no further
//! than what is nearly so (winsorised), so that an outage does not become ordinary, and one reading alone is none.

use std::collections::BTreeMap;

use puerto_core::TenantId;
use puerto_core::def::Measure;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Readings before anything is said: ten minutes of one each 10 s.
pub const WARM_UP: u32 = 60;
/// How far out of the usual spread a reading must be. Six leave one alarm a year and a reading of normal noise; real
/// readings have longer tails, for which the readings in a row stand.
pub const OUT: f64 = 6.0;
/// Readings in a row that are out before it is said, and in before it is over.
pub const BEGINS_AFTER: u32 = 3;
/// As above: an end is believed later than a beginning, so that one alarm does not become ten.
pub const ENDS_AFTER: u32 = 6;
/// Readings that are remembered: half an hour of one each 10 s. Days rise and fall more slowly than that.
const MEMORY: f64 = 180.0;
/// Readings that are taken together for the comparison with the week: five minutes.
const SHORT_MEMORY: f64 = 30.0;
/// How far a reading pulls at most, in spreads.
const PULL: f64 = 3.0;
/// How much more slowly what is out becomes ordinary.
const PATIENCE: f64 = 8.0;
/// Readings in a row that are out of the hour of the week before it is said: five minutes.
const SEASON_BEGINS_AFTER: u32 = 30;
/// Weeks after which an hour of the week is known.
const WEEKS_KNOWN: u8 = 2;
/// Readings that an hour must have to count: a quarter of it.
const HOUR_READINGS_MIN: u32 = 90;
/// Share of readings without anything going on, from which on throughput says nothing: agents work in bursts.
const IDLE_SHARE_MAX: f64 = 0.1;

const HOUR_MS: i64 = 3_600_000;
const WEEK: usize = 168;

/// Things that are watched at the same time; each takes some 2 KiB.
pub const DETECTORS_MAX: usize = 2_000;
/// Time after which what gives no readings is forgotten: it would be learnt anew.
const FORGOTTEN_MS: i64 = 21 * 24 * HOUR_MS;

/// What a reading looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The reading.
    pub value: f64,
    /// Between these it would have been ordinary.
    pub expected: (f64, f64),
    /// Whether it is out, and was for long enough.
    pub anomalous: bool,
    /// Whether it was compared with the hour of the week.
    pub is_seasonal: bool,
}

impl Judged {
    /// In words.
    pub fn why(&self) -> String {
        let (low, high) = self.expected;
        let by = if self.is_seasonal { "at this hour of the week" } else { "by the last half hour" };
        format!("{} is outside of {} to {}, as expected {by}", short(self.value), short(low), short(high))
    }
}

/// A number in as few digits as say enough.
fn short(value: f64) -> String {
    let digits = if value.abs() >= 100.0 { 0 } else { 3 };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// How the values of a measure are compared. Times and rates by their ratio, shares by their difference.
const fn is_ratio(measure: Measure) -> bool {
    !matches!(measure, Measure::ErrorRate)
}

/// The least spread, so that what never changes does not make a little change a great one. Six times 0.1 as a ratio is
/// about 1.8 times as much; of shares, 12 in a hundred.
const fn least_spread(measure: Measure) -> f64 {
    match measure {
        Measure::Latency => 0.1,
        Measure::ErrorRate => 0.02,
        Measure::Throughput => 0.12,
        Measure::QueueDepth => 0.25,
    }
}

/// An hour of the week as it usually is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    level: f32,
    spread: f32,
    weeks: u8,
}

/// Follows the readings of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    measure: Measure,
    readings: u32,
    level: f64,
    spread: f64,
    idle: f64,
    /// The level of the last minutes.
    recent: f64,
    out: u32,
    calm: u32,
    out_of_season: u32,
    is_on: bool,
    seen_ms: i64,
    /// The hour that goes on: its number since 1970, the sum of its levels, and how many.
    hour: (i64, f64, u32),
    week: Vec<Hour>,
}

impl Detector {
    /// One that has learnt nothing yet.
    pub const fn new(measure: Measure) -> Self {
        Self {
            measure,
            readings: 0,
            level: 0.0,
            spread: 0.0,
            idle: 0.0,
            recent: 0.0,
            out: 0,
            calm: 0,
            out_of_season: 0,
            is_on: false,
            seen_ms: 0,
            hour: (0, 0.0, 0),
            week: Vec::new(),
        }
    }

    /// Takes in a reading and judges it; nothing while it still learns.
    pub fn take(&mut self, at_ms: i64, value: f64) -> Option<Judged> {
        if !value.is_finite() {
            return None;
        }
        self.seen_ms = at_ms;
        let x = self.inward(value);
        self.turn_hour(at_ms);
        if self.readings == 0 {
            (self.level, self.recent) = (x, x);
        }
        let judged = (self.readings >= WARM_UP && !self.is_idle()).then(|| self.judge(at_ms, value, x));
        self.learn(value, x);
        judged
    }

    fn is_idle(&self) -> bool {
        self.measure == Measure::Throughput && self.idle > IDLE_SHARE_MAX
    }

    fn judge(&mut self, at_ms: i64, value: f64, x: f64) -> Judged {
        let spread = self.usual_spread();
        let season = self.season(at_ms);
        // The week knows better what this hour is like than the half hour before it does.
        let is_out = (x - self.level).abs() > OUT * spread
            && season.is_none_or(|(level, usual)| (x - level).abs() > OUT * usual.max(spread));
        self.out = if is_out { self.out + 1 } else { 0 };
        let is_out_of_season =
            season.is_some_and(|(level, spread)| (self.recent - level).abs() > OUT * spread);
        self.out_of_season = if is_out_of_season { self.out_of_season + 1 } else { 0 };
        self.calm = if is_out || is_out_of_season { 0 } else { self.calm + 1 };
        let begins = self.out >= BEGINS_AFTER || self.out_of_season >= SEASON_BEGINS_AFTER;
        self.is_on = begins || self.is_on && self.calm < ENDS_AFTER;
        let (level, spread) = season.unwrap_or((self.level, spread));
        Judged {
            value,
            expected: (self.outward(level - OUT * spread), self.outward(level + OUT * spread)),
            anomalous: self.is_on,
            is_seasonal: season.is_some(),
        }
    }

    fn usual_spread(&self) -> f64 {
        self.spread.max(least_spread(self.measure))
    }

    fn learn(&mut self, value: f64, x: f64) {
        self.readings = self.readings.saturating_add(1);
        let spread = self.usual_spread();
        // The first readings count as much as each other.
        let share = 1.0 / MEMORY.min(f64::from(self.readings));
        let share = if self.is_on { share / PATIENCE } else { share };
        let off = (x - self.level).clamp(-PULL * spread, PULL * spread);
        self.level += share * off;
        if !self.is_on && self.out == 0 {
            // Of normal noise the mean deviation is 0.8 of the standard deviation.
            self.spread += share * (off.abs() * 1.25 - self.spread);
        }
        self.idle += share * (f64::from(u8::from(value <= 0.0)) - self.idle);
        self.recent += (x - self.recent) / SHORT_MEMORY.min(f64::from(self.readings));
        self.hour.1 += x;
        self.hour.2 += 1;
    }

    /// Notes what the hour that has just ended was like.
    fn turn_hour(&mut self, at_ms: i64) {
        let now = at_ms.div_euclid(HOUR_MS);
        let (hour, sum, count) = std::mem::replace(&mut self.hour, (now, 0.0, 0));
        if hour == now {
            self.hour = (hour, sum, count);
            return;
        }
        if count < HOUR_READINGS_MIN || self.is_on {
            return;
        }
        if self.week.is_empty() {
            self.week = vec![Hour::default(); WEEK];
        }
        let level = sum / f64::from(count);
        let known = &mut self.week[hour.rem_euclid(WEEK as i64) as usize];
        if known.weeks == 0 {
            *known = Hour { level: level as f32, spread: 0.0, weeks: 1 };
            return;
        }
        let off = level - f64::from(known.level);
        let share = 1.0 / f64::from(known.weeks + 1).min(4.0);
        known.level += (share * off) as f32;
        known.spread += (share * (off.abs() - f64::from(known.spread))) as f32;
        known.weeks = known.weeks.saturating_add(1).min(u8::MAX - 1);
    }

    /// The usual level and spread at a time of the week, between the middles of two hours; nothing where one of them
    /// is not known.
    fn season(&self, at_ms: i64) -> Option<(f64, f64)> {
        let middle = at_ms - HOUR_MS / 2;
        let part = middle.rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64;
        let at = |hour: i64| {
            self.week.get(hour.rem_euclid(WEEK as i64) as usize).filter(|one| one.weeks >= WEEKS_KNOWN)
        };
        let hour = middle.div_euclid(HOUR_MS);
        let (one, next) = (at(hour)?, at(hour + 1)?);
        let level = f64::from(one.level) * (1.0 - part) + f64::from(next.level) * part;
        let spread = f64::from(one.spread.max(next.spread)).max(least_spread(self.measure));
        Some((level, spread))
    }

    fn inward(&self, value: f64) -> f64 {
        if is_ratio(self.measure) { value.max(0.0).ln_1p() } else { value }
    }

    fn outward(&self, x: f64) -> f64 {
        if is_ratio(self.measure) { x.exp_m1().max(0.0) } else { x.clamp(0.0, 1.0) }
    }
}

/// What is read: whose, of what, and which measure.
pub type Reading = (TenantId, String, Measure);

/// Follows everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detectors(BTreeMap<Reading, Detector>);

impl Detectors {
    /// Takes in a reading and judges it; nothing while it still learns, or where there is no room for it.
    pub fn take(&mut self, reading: &Reading, at_ms: i64, value: f64) -> Option<Judged> {
        if let Some(known) = self.0.get_mut(reading) {
            return known.take(at_ms, value);
        }
        if self.0.len() >= DETECTORS_MAX {
            self.0.retain(|_, one| one.seen_ms + FORGOTTEN_MS > at_ms);
        }
        if self.0.len() >= DETECTORS_MAX {
            return None;
        }
        self.0.entry(reading.clone()).or_insert_with(|| Detector::new(reading.2)).take(at_ms, value)
    }

    /// All that a restart needs.
    pub fn snapshot(&self) -> String {
        serde_json::to_string(&self.0.iter().collect::<Vec<_>>()).expect("keys are texts, numbers finite")
    }

    /// As a snapshot says.
    ///
    /// # Errors
    /// Where the text is no snapshot.
    pub fn restore(snapshot: &str) -> Result<Self, serde_json::Error> {
        let all: Vec<(Reading, Detector)> = serde_json::from_str(snapshot)?;
        Ok(Self(all.into_iter().filter(|(_, one)| one.week.is_empty() || one.week.len() == WEEK).collect()))
    }
}
