//! Service level objectives: how much may fail, how much of that is left, and whether it is spent too fast (Google, The
//! Site Reliability Workbook, chapter 5, "Alerting on SLOs", multiwindow, multi-burn-rate alerts).

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Checks that a window needs before anything is said of it: with one check in 30 s five minutes hold ten of them.
pub const SAMPLES_MIN: u64 = 6;

/// Good and all checks of a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Good ones.
    pub good: u64,
    /// All of them.
    pub total: u64,
}

impl Counts {
    /// The share that failed; nothing where nothing was checked.
    pub fn failing(self) -> Option<f64> {
        (self.total > 0).then(|| self.total.saturating_sub(self.good) as f64 / self.total as f64)
    }
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// For the next working day.
    Ticket,
    /// For now.
    Page,
}

/// A rate at which a budget is spent that somebody has to hear of: in both windows, so that it is not said for long
/// after it has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Times the rate that would spend the whole budget in its period.
    pub rate: f64,
    /// It has lasted.
    pub long: Duration,
    /// It goes on.
    pub short: Duration,
    /// How urgent that is.
    pub urgency: Urgency,
}

/// The workbook's table: 2, 5 and 10 per cent of the budget of 30 days, the most urgent first.
pub const BURNS: [Burn; 3] = [
    Burn { rate: 14.4, long: HOUR, short: MINUTE.saturating_mul(5), urgency: Urgency::Page },
    Burn {
        rate: 6.0,
        long: HOUR.saturating_mul(6),
        short: MINUTE.saturating_mul(30),
        urgency: Urgency::Page,
    },
    Burn { rate: 1.0, long: DAY.saturating_mul(3), short: HOUR.saturating_mul(6), urgency: Urgency::Ticket },
];

/// What a service promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The share of good checks, below 1.
    pub target: f64,
}

impl Objective {
    /// The share that may fail.
    pub fn budget(self) -> f64 {
        1.0 - self.target
    }

    /// What is left of the budget of a period, as a share of it; below 0 where more has failed than may.
    pub fn left(self, period: Counts) -> f64 {
        1.0 - period.failing().unwrap_or(0.0) / self.budget()
    }

    /// How many times as fast as allowed the budget is spent in a window; nothing where it holds too few checks.
    pub fn rate(self, window: Counts) -> Option<f64> {
        (window.total >= SAMPLES_MIN)
            .then(|| window.failing().map(|failing| failing / self.budget()))
            .flatten()
    }

    /// The most urgent rate that is reached. `counts` answers for the time up to now of that length.
    pub fn burning(self, counts: impl Fn(Duration) -> Counts) -> Option<Burn> {
        let reaches = |window, rate| self.rate(counts(window)).is_some_and(|burn| burn >= rate);
        BURNS.into_iter().find(|burn| reaches(burn.long, burn.rate) && reaches(burn.short, burn.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Objective = Objective { target: 0.999 };

    /// Of checks each 30 s, of which one in so many failed since then.
    fn failing(since: Duration, one_in: u64) -> impl Fn(Duration) -> Counts {
        move |window| {
            let total = window.as_secs() / 30;
            let bad = window.min(since).as_secs() / 30 / one_in;
            Counts { good: total - bad, total }
        }
    }

    #[test]
    fn a_budget_is_spent_by_what_fails() {
        let close = |one: f64, other: f64| assert!((one - other).abs() < 1e-6, "{one} {other}");
        close(OBJECTIVE.left(Counts { good: 100_000, total: 100_000 }), 1.0);
        close(OBJECTIVE.left(Counts { good: 99_950, total: 100_000 }), 0.5);
        close(OBJECTIVE.left(Counts { good: 99_800, total: 100_000 }), -1.0);
        close(OBJECTIVE.left(Counts::default()), 1.0);
    }

    #[test]
    fn what_is_spent_fast_is_told_at_once_and_what_is_spent_slowly_as_a_ticket() {
        let urgency =
            |since, one_in| OBJECTIVE.burning(failing(since, one_in)).map(|burn| (burn.rate, burn.urgency));
        // Everything fails: a minute is too short a time, two of an hour are not.
        assert_eq!(urgency(MINUTE / 2, 1), None);
        assert_eq!(urgency(MINUTE * 5, 1), Some((14.4, Urgency::Page)));
        assert_eq!(urgency(HOUR * 6, 60), Some((6.0, Urgency::Page)));
        assert_eq!(urgency(DAY * 3, 600), Some((1.0, Urgency::Ticket)));
        assert_eq!(urgency(DAY * 3, 2_000), None);
    }

    #[test]
    fn what_has_ended_wakes_nobody_up() {
        let over = |window: Duration| {
            let total = window.as_secs() / 30;
            // Half an hour of it, until an hour ago.
            let bad = window.saturating_sub(HOUR).min(HOUR / 2).as_secs() / 30;
            Counts { good: total - bad, total }
        };
        assert_eq!(OBJECTIVE.burning(over).map(|burn| burn.urgency), Some(Urgency::Ticket));
    }

    #[test]
    fn a_window_with_few_checks_says_nothing() {
        assert_eq!(OBJECTIVE.rate(Counts { good: 0, total: SAMPLES_MIN - 1 }), None);
        assert_eq!(OBJECTIVE.rate(Counts { good: 0, total: SAMPLES_MIN }).map(f64::round), Some(1000.0));
    }
}
