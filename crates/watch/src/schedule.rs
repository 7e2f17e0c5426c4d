//! When each service is checked. The times of a service are fixed from the start on: a slow check moves none of the
//! later ones, and services with the same interval are spread over it, so that not all are checked at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

/// A time since the schedule began.
pub type At = Duration;

/// What is due, and how late it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<K> {
    /// Which one.
    pub key: K,
    /// When it was due.
    pub at: At,
    /// Times that were passed over, since the ones before took too long to be reached.
    pub missed: u64,
}

/// The times of many services.
#[derive(Debug)]
pub struct Schedule<K: Ord> {
    queue: BinaryHeap<Reverse<(At, K)>>,
    intervals: std::collections::BTreeMap<K, Duration>,
}

impl<K: Ord> Default for Schedule<K> {
    fn default() -> Self {
        Self { queue: BinaryHeap::new(), intervals: std::collections::BTreeMap::new() }
    }
}

impl<K: Ord + Clone + Hash> Schedule<K> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one in, to be due for the first time within its interval. One that is there already with another interval
    /// changes to this one; with the same it keeps its times.
    pub fn put(&mut self, key: K, interval: Duration, now: At) {
        let interval = interval.max(Duration::from_millis(1));
        if self.intervals.get(&key) == Some(&interval) {
            return;
        }
        self.remove(&key);
        let first = now + phase(&key, interval);
        self.intervals.insert(key.clone(), interval);
        self.queue.push(Reverse((first, key)));
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &K) {
        if self.intervals.remove(key).is_some() {
            self.queue.retain(|Reverse((_, other))| other != key);
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<At> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next one that is due by now. Its next time is the first of its own that is still to come.
    pub fn take(&mut self, now: At) -> Option<Due<K>> {
        if self.next()? > now {
            return None;
        }
        let Reverse((at, key)) = self.queue.pop()?;
        let interval = self.intervals[&key];
        let passed = (now - at).as_nanos() / interval.as_nanos();
        let missed = u64::try_from(passed).unwrap_or(u64::MAX);
        let ahead = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        self.queue.push(Reverse((at + interval * ahead, key.clone())));
        Some(Due { key, at, missed })
    }
}

/// Where in its interval one is checked: the same at every start, and spread over all of them.
fn phase<K: Hash>(key: &K, interval: Duration) -> Duration {
    let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
    let share = hasher.hash_one(key) as f64 / u64::MAX as f64;
    interval.mul_f64(share.min(0.999))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slow_check_moves_no_later_one() {
        let mut schedule = Schedule::new();
        schedule.put("a", 10 * SECOND, Duration::ZERO);
        let first = schedule.next().unwrap();
        assert!(first < 10 * SECOND);
        let mut now = first;
        for round in 0..100u32 {
            let due = schedule.take(now).unwrap();
            assert_eq!((due.at, due.missed), (first + 10 * SECOND * round, 0));
            // Each is reached a little later than it was due.
            now = schedule.next().unwrap() + Duration::from_millis(u64::from(round) * 90);
        }
    }

    #[test]
    fn what_was_reached_too_late_is_due_once_and_tells_how_many_were_passed_over() {
        let mut schedule = Schedule::new();
        schedule.put("a", 10 * SECOND, Duration::ZERO);
        let first = schedule.next().unwrap();
        let due = schedule.take(first + 35 * SECOND).unwrap();
        assert_eq!((due.at, due.missed), (first, 3));
        assert_eq!(schedule.take(first + 35 * SECOND), None);
        assert_eq!(schedule.next(), Some(first + 40 * SECOND));
    }

    #[test]
    fn many_services_are_spread_over_their_interval() {
        let mut schedule = Schedule::new();
        for number in 0..1000 {
            schedule.put(format!("service {number}"), 10 * SECOND, Duration::ZERO);
        }
        let mut each_second = [0; 10];
        while schedule.next().unwrap() < 10 * SECOND {
            let at = schedule.next().unwrap();
            each_second[at.as_secs() as usize] += 1;
            schedule.take(at);
        }
        assert_eq!(each_second.iter().sum::<i32>(), 1000);
        assert!(each_second.iter().all(|count| (60..140).contains(count)), "{each_second:?}");
    }

    #[test]
    fn what_is_defined_as_before_keeps_its_times() {
        let mut schedule = Schedule::new();
        schedule.put("a", 10 * SECOND, Duration::ZERO);
        let first = schedule.next();
        schedule.put("a", 10 * SECOND, 3 * SECOND);
        assert_eq!(schedule.next(), first);
        schedule.put("a", 60 * SECOND, 3 * SECOND);
        assert!(schedule.next() >= Some(3 * SECOND));
        schedule.remove(&"a");
        assert_eq!(schedule.next(), None);
    }
}
