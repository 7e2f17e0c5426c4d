//! What was taken at most in each hour of the last week. Memory and processor time are used in bursts that no level
//! describes, so a reading is compared with the highest that there was.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Hours that are remembered: a week, so that a Monday is not compared with a week-end.
const HOURS: usize = 168;
/// Hours before anything is said: a day and its night.
const HOURS_KNOWN: usize = 24;
/// The newest hours, with which nothing is compared: what grows slowly would be measured by itself.
const HOURS_LEFT_OUT: usize = 6;

/// The highest of each hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Peaks {
    /// Of those that have ended, the newest last.
    hours: VecDeque<f32>,
    /// Of the one that goes on.
    now: f32,
}

impl Peaks {
    pub(super) const fn new() -> Self {
        Self { hours: VecDeque::new(), now: 0.0 }
    }

    /// Takes in how high it is.
    pub(super) fn see(&mut self, x: f64) {
        self.now = self.now.max(x as f32);
    }

    /// Begins another hour. The one that has ended counts where there were enough readings in it, and raises the highest by
    /// no more than `rise`: what is said to be out of the ordinary becomes ordinary when it has come often.
    pub(super) fn turn(&mut self, is_counted: bool, rise: f64) {
        let ended = std::mem::take(&mut self.now);
        if !is_counted {
            return;
        }
        let highest = self.hours.iter().copied().reduce(f32::max);
        let known = highest.filter(|_| self.hours.len() >= HOURS_KNOWN);
        self.hours.push_back(known.map_or(ended, |highest| ended.min(highest + rise as f32)));
        if self.hours.len() > HOURS {
            self.hours.pop_front();
        }
    }

    /// The highest of the week; nothing while too little of it is known.
    pub(super) fn highest(&self) -> Option<f64> {
        let compared = self.hours.len().checked_sub(HOURS_LEFT_OUT)?;
        let highest = self.hours.iter().take(compared).copied().reduce(f32::max)?;
        (self.hours.len() >= HOURS_KNOWN).then(|| f64::from(highest))
    }
}

impl Default for Peaks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(peaks: &mut Peaks, count: usize, x: f64) {
        for _ in 0..count {
            peaks.see(x);
            peaks.turn(true, 0.5);
        }
    }

    #[test]
    fn the_highest_of_the_week_is_known_after_a_day_and_leaves_out_the_last_hours() {
        let mut peaks = Peaks::new();
        hours(&mut peaks, 1, 3.0);
        hours(&mut peaks, HOURS_KNOWN - 2, 1.0);
        assert_eq!(peaks.highest(), None);
        // One that was hardly seen says nothing.
        peaks.see(9.0);
        peaks.turn(false, 0.5);
        assert_eq!(peaks.highest(), None);
        hours(&mut peaks, 1, 1.0);
        assert_eq!(peaks.highest(), Some(3.0));
        // Within the last hours it does not count, and then for no more than it may rise by.
        hours(&mut peaks, 1, 8.0);
        hours(&mut peaks, HOURS_LEFT_OUT - 1, 1.0);
        assert_eq!(peaks.highest(), Some(3.0));
        hours(&mut peaks, 1, 1.0);
        assert_eq!(peaks.highest(), Some(3.5));
        hours(&mut peaks, HOURS, 1.0);
        assert_eq!((peaks.highest(), peaks.hours.len()), (Some(1.0), HOURS));
    }
}
