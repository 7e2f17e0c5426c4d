//! When a notice that could not be sent is tried again.

use std::time::Duration;

/// The first wait; each further one is twice as long.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait that we choose.
pub const WAIT_MAX: Duration = Duration::from_secs(600);
/// The longest wait that a receiver may ask for: it may count in milliseconds or be out of its mind.
const ASKED_MAX: Duration = Duration::from_secs(3_600);
/// After so long a notice is given up: nobody is helped by an alert of the day before.
pub const GIVEN_UP: Duration = Duration::from_hours(24);
/// But not before so many attempts, which take a quarter of an hour: a hub that was switched off has not tried.
pub const ATTEMPTS_MIN: u32 = 10;

/// How long to wait after an attempt that failed; nothing where the notice is given up. `attempts` counts that one too,
/// `waited` is the time since it was decided, `asked` what the receiver asks for, and `chance` a random number from 0
/// to 1, which spreads those that failed together.
pub fn retry(attempts: u32, waited: Duration, asked: Option<Duration>, chance: f64) -> Option<Duration> {
    if waited >= GIVEN_UP && attempts >= ATTEMPTS_MIN {
        return None;
    }
    let doubled = WAIT_MIN.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    let chosen = doubled.min(WAIT_MAX).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    Some(chosen.max(asked.unwrap_or_default().min(ASKED_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes_and_end_after_a_day() {
        let waits: Vec<_> =
            (1..=12).map(|n| retry(n, Duration::ZERO, None, 1.0).unwrap().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(retry(1, Duration::ZERO, None, 0.0), Some(Duration::from_millis(500)));
        assert_eq!(retry(u32::MAX, Duration::ZERO, None, 0.0), Some(Duration::from_secs(300)));
        let before = GIVEN_UP - Duration::from_millis(1);
        assert!(retry(200, before, None, 0.5).is_some());
        assert_eq!(retry(200, GIVEN_UP, None, 0.5), None);
        assert!(retry(ATTEMPTS_MIN - 1, GIVEN_UP, None, 0.5).is_some(), "a hub that was off has not tried");
        assert_eq!(retry(ATTEMPTS_MIN, GIVEN_UP, None, 0.5), None);
    }

    #[test]
    fn what_the_receiver_asks_for_counts_within_reason() {
        let ask =
            |seconds| retry(1, Duration::ZERO, Some(Duration::from_secs(seconds)), 1.0).unwrap().as_secs();
        assert_eq!((ask(0), ask(30), ask(1_000_000)), (1, 30, 3_600));
    }
}
