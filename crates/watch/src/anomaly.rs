//! Readings out of the ordinary, without anybody having said what is ordinary. A reading is compared with a level that
//! follows it, and, once two weeks are known, with the same hour of the week. What is far out pulls the level no further
//! than what is nearly so (winsorised), so that an outage does not become ordinary, and one reading alone is none.
//! What is taken from the machine comes in bursts, and is compared with the most of the last week instead (`peaks.rs`).

use std::collections::BTreeMap;

use puerto_core::TenantId;
use puerto_core::def::Measure;
use serde::{Deserialize, Serialize};

use peaks::Peaks;

mod peaks;
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
/// Readings of memory or processor time that are out, without as many that are in, before it is said: five minutes.
/// Bursts are shorter, and a heap that leaks falls back each time that it is tidied up.
const TAKEN_BEGINS_AFTER: u32 = 30;
/// Readings for which something holds without a break, after which it is how things are now, and is learnt anew: a day.
const BELIEVED_AFTER: u32 = 8_640;
/// Weeks after which an hour of the week is known.
const WEEKS_KNOWN: u8 = 2;
/// Readings that an hour must have to count: a quarter of it.
const HOUR_READINGS_MIN: u32 = 90;
/// Share of readings without anything going on, from which on throughput says nothing: agents work in bursts.
const IDLE_SHARE_MAX: f64 = 0.1;

const MEBIBYTE: f64 = 1_048_576.0;
const HOUR_MS: i64 = 3_600_000;
const WEEK: usize = 168;

/// Things that are watched at the same time; each takes some 3 KiB.
pub const DETECTORS_MAX: usize = 2_000;
/// Time after which what gives no readings is forgotten: it would be learnt anew.
const FORGOTTEN_MS: i64 = 21 * 24 * HOUR_MS;

/// What a reading was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The level that follows it.
    HalfHour,
    /// The same hour of earlier weeks.
    HourOfWeek,
    /// The most of the last week; less is never out of the ordinary.
    MostOfWeek,
}

/// What a reading looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// What was measured.
    pub measure: Measure,
    /// The reading.
    pub value: f64,
    /// Between these it would have been ordinary.
    pub expected: (f64, f64),
    /// Whether it is out, and was for long enough.
    pub anomalous: bool,
    /// What it was compared with.
    pub basis: Basis,
}

impl Judged {
    /// In words.
    pub fn why(&self) -> String {
        let [value, low, high] =
            [self.value, self.expected.0, self.expected.1].map(|value| in_words(self.measure, value));
        let by = match self.basis {
            Basis::HalfHour => "by the last half hour",
            Basis::HourOfWeek => "at this hour of the week",
            Basis::MostOfWeek => {
                return format!("{value} is more than {high}, well above the most of the last week");
            }
        };
        format!("{value} is outside of {low} to {high}, as expected {by}")
    }
}

/// A value with its unit.
fn in_words(measure: Measure, value: f64) -> String {
    let (value, unit) = match measure {
        Measure::Latency => (value, " ms"),
        Measure::ErrorRate => (value * 100.0, " %"),
        Measure::Throughput => (value, " a second"),
        Measure::QueueDepth => (value, ""),
        Measure::Memory => (value / MEBIBYTE, " MiB"),
        Measure::Cpu => (value, " cores"),
    };
    format!("{}{unit}", short(value))
}

/// A number in as few digits as say enough.
fn short(value: f64) -> String {
    let digits = if value.abs() >= 100.0 { 0 } else { 3 };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// What ratios of a measure are about: they are of what it is beyond this, so that a little that becomes twice as little
/// is nothing. Shares are compared by their difference.
const fn ratio_from(measure: Measure) -> Option<f64> {
    match measure {
        Measure::ErrorRate => None,
        Measure::Latency | Measure::Throughput | Measure::QueueDepth => Some(1.0),
        Measure::Memory => Some(16.0 * MEBIBYTE),
        Measure::Cpu => Some(0.1),
    }
}

/// Whether it is taken from the machine.
const fn is_taken(measure: Measure) -> bool {
    matches!(measure, Measure::Memory | Measure::Cpu)
}

/// The least spread, so that what never changes does not make a little change a great one. Six times 0.1 as a ratio is
/// about 1.8 times as much; of shares, 12 in a hundred. Of what is taken: 1.4 times the most of the week and 7 MiB, or 1.8
/// times and a twelfth of a core.
const fn least_spread(measure: Measure) -> f64 {
    match measure {
        Measure::Latency => 0.1,
        Measure::ErrorRate => 0.02,
        Measure::Throughput => 0.12,
        Measure::QueueDepth => 0.25,
        Measure::Memory => 0.06,
        Measure::Cpu => 0.1,
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
    /// Readings since it is.
    #[serde(default)]
    on_for: u32,
    seen_ms: i64,
    /// The hour that goes on: its number since 1970, the sum of its levels, and how many.
    hour: (i64, f64, u32),
    week: Vec<Hour>,
    #[serde(default)]
    peaks: Peaks,
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
            on_for: 0,
            seen_ms: 0,
            hour: (0, 0.0, 0),
            week: Vec::new(),
            peaks: Peaks::new(),
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
        let judged = match is_taken(self.measure) {
            true => self.judge_taken(value, x),
            false => (self.readings >= WARM_UP && !self.is_idle()).then(|| self.judge(at_ms, value, x)),
        };
        self.learn(value, x);
        self.on_for = if self.is_on { self.on_for + 1 } else { 0 };
        if self.on_for >= BELIEVED_AFTER {
            *self = Self { seen_ms: self.seen_ms, hour: self.hour, ..Self::new(self.measure) };
        }
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
            measure: self.measure,
            value,
            expected: (self.outward(level - OUT * spread), self.outward(level + OUT * spread)),
            anomalous: self.is_on,
            basis: if season.is_some() { Basis::HourOfWeek } else { Basis::HalfHour },
        }
    }

    /// By the most of the week, once that is known. A reading that is in takes back one that was out.
    fn judge_taken(&mut self, value: f64, x: f64) -> Option<Judged> {
        let bound = self.peaks.highest()? + OUT * least_spread(self.measure);
        let is_out = x > bound;
        self.out = if is_out { TAKEN_BEGINS_AFTER.min(self.out + 1) } else { self.out.saturating_sub(1) };
        self.calm = if is_out { 0 } else { self.calm + 1 };
        let is_over = self.is_on && self.calm >= ENDS_AFTER;
        if is_over {
            self.out = 0;
        }
        self.is_on = !is_over && (self.is_on || self.out >= TAKEN_BEGINS_AFTER);
        Some(Judged {
            measure: self.measure,
            value,
            expected: (0.0, self.outward(bound)),
            anomalous: self.is_on,
            basis: Basis::MostOfWeek,
        })
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
        if is_taken(self.measure) {
            self.peaks.see(self.recent);
        }
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
        let is_counted = count >= HOUR_READINGS_MIN;
        if is_taken(self.measure) {
            self.peaks.turn(is_counted, PULL * least_spread(self.measure));
            return;
        }
        if !is_counted || self.is_on {
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
        ratio_from(self.measure).map_or(value, |from| (value.max(0.0) / from).ln_1p())
    }

    fn outward(&self, x: f64) -> f64 {
        ratio_from(self.measure).map_or(x.clamp(0.0, 1.0), |from| x.exp_m1().max(0.0) * from)
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
