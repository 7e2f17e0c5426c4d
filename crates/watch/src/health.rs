//! How a service is, from what its checks say. One bad answer is no outage and one good answer is no recovery: both
//! count from a number in a row on. A service that keeps changing is flapping, which is one message in place of many.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Checks that flapping is judged by (Nagios, "Detection and handling of state flapping").
pub const FLAP_WINDOW: usize = 21;
/// Share of changes between them, in percent, from which on a service is flapping.
pub const FLAP_BEGINS: usize = 50;
/// Share of changes below which it is no longer.
pub const FLAP_ENDS: usize = 25;

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not judged yet.
    Pending,
    /// It does what it should.
    Ok,
    /// It does not.
    Down,
    /// It keeps changing.
    Flapping,
    /// Nobody can tell, since the hub itself is offline.
    Unknown,
    /// Work is announced on it.
    Maintenance,
}

/// What one check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All conditions hold.
    Good,
    /// One does not, or nothing answered.
    Bad,
    /// The hub is offline, so that it says nothing about the service.
    Offline,
}

/// When a service counts as down, and as up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Bad checks in a row, at least 1.
    pub failures: u32,
    /// Good checks in a row, at least 1.
    pub successes: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { failures: 3, successes: 2 }
    }
}

/// A change that people may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// How it was.
    pub from: State,
    /// How it is.
    pub to: State,
}

/// The health of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    thresholds: Thresholds,
    /// As its checks say, flapping, connectivity and maintenance aside.
    settled: Option<bool>,
    /// Checks in a row that say the same, and what.
    run: (bool, u32),
    /// The last ones, the newest last.
    recent: VecDeque<bool>,
    is_flapping: bool,
    is_offline: bool,
    is_maintained: bool,
}

impl Health {
    /// Of a service that was not checked yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            settled: None,
            run: (true, 0),
            recent: VecDeque::with_capacity(FLAP_WINDOW),
            is_flapping: false,
            is_offline: false,
            is_maintained: false,
        }
    }

    /// How it is.
    pub fn state(&self) -> State {
        match self.settled {
            _ if self.is_maintained => State::Maintenance,
            _ if self.is_offline => State::Unknown,
            _ if self.is_flapping => State::Flapping,
            None => State::Pending,
            Some(true) => State::Ok,
            Some(false) => State::Down,
        }
    }

    /// Takes in what a check says; answers a change where one came of it.
    pub fn take(&mut self, verdict: Verdict) -> Option<Change> {
        let from = self.state();
        self.is_offline = verdict == Verdict::Offline;
        match verdict {
            Verdict::Good => self.count(true),
            Verdict::Bad => self.count(false),
            Verdict::Offline => {}
        }
        self.changed(from)
    }

    /// Notes that announced work begins or ends. What checks say meanwhile is counted and not told.
    pub fn maintain(&mut self, on: bool) -> Option<Change> {
        let from = self.state();
        self.is_maintained = on;
        self.changed(from)
    }

    fn changed(&self, from: State) -> Option<Change> {
        let to = self.state();
        (from != to).then_some(Change { from, to })
    }

    fn count(&mut self, good: bool) {
        self.run = if self.run.0 == good { (good, self.run.1.saturating_add(1)) } else { (good, 1) };
        let enough = match (good, self.settled) {
            // What answers well at first is up: nobody waits for a second look at a new service.
            (true, None) => 1,
            (true, _) => self.thresholds.successes,
            (false, _) => self.thresholds.failures,
        };
        if self.run.1 >= enough.max(1) {
            self.settled = Some(good);
        }
        if self.recent.len() == FLAP_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(good);
        self.is_flapping = self.flaps();
    }

    fn flaps(&self) -> bool {
        if self.recent.len() < FLAP_WINDOW {
            return false;
        }
        let pairs = self.recent.iter().zip(self.recent.iter().skip(1));
        let changes = pairs.filter(|(one, next)| one != next).count() * 100 / (FLAP_WINDOW - 1);
        if self.is_flapping { changes >= FLAP_ENDS } else { changes >= FLAP_BEGINS }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(health: &mut Health, verdicts: &str) -> Vec<State> {
        let verdict = |c| match c {
            '+' => Verdict::Good,
            '-' => Verdict::Bad,
            _ => Verdict::Offline,
        };
        verdicts.chars().filter_map(|c| health.take(verdict(c))).map(|change| change.to).collect()
    }

    fn after(verdicts: &str) -> Vec<State> {
        changes(&mut Health::new(Thresholds::default()), verdicts)
    }

    #[test]
    fn it_is_down_and_up_again_after_as_many_checks_as_asked_for() {
        assert_eq!(after("+"), [State::Ok]);
        assert_eq!(after("+--+--+"), [State::Ok]);
        assert_eq!(after("+---"), [State::Ok, State::Down]);
        assert_eq!(after("+---+-+-+"), [State::Ok, State::Down]);
        assert_eq!(after("+---++"), [State::Ok, State::Down, State::Ok]);
        assert_eq!(after("--"), []);
        assert_eq!(after("---"), [State::Down]);
        let once = &mut Health::new(Thresholds { failures: 1, successes: 1 });
        assert_eq!(changes(once, "+-+"), [State::Ok, State::Down, State::Ok]);
    }

    #[test]
    fn nothing_is_said_of_a_service_while_the_hub_is_offline() {
        assert_eq!(after("+--?"), [State::Ok, State::Unknown]);
        // What was counted before still counts.
        assert_eq!(after("+--??-"), [State::Ok, State::Unknown, State::Down]);
        assert_eq!(after("+??+"), [State::Ok, State::Unknown, State::Ok]);
    }

    #[test]
    fn what_keeps_changing_is_flapping_until_it_is_calm() {
        let mut health = Health::new(Thresholds { failures: 1, successes: 1 });
        let alternating = "+-".repeat(FLAP_WINDOW);
        let told = changes(&mut health, &alternating);
        assert_eq!(told.last(), Some(&State::Flapping));
        assert_eq!(told.len(), FLAP_WINDOW);
        assert_eq!(changes(&mut health, &"+".repeat(FLAP_WINDOW)), [State::Ok]);
    }

    #[test]
    fn announced_work_hides_what_happens_and_ends_with_what_is() {
        let mut health = Health::new(Thresholds::default());
        changes(&mut health, "+");
        assert_eq!(health.maintain(true), Some(Change { from: State::Ok, to: State::Maintenance }));
        assert_eq!(changes(&mut health, "-----"), []);
        assert_eq!(health.maintain(false), Some(Change { from: State::Maintenance, to: State::Down }));
    }

    proptest! {
        #[test]
        fn a_change_leads_from_the_state_before_to_the_one_after(verdicts in "[-+?]{0,80}") {
            let mut health = Health::new(Thresholds::default());
            let mut before = health.state();
            for c in verdicts.chars() {
                let verdict = match c { '+' => Verdict::Good, '-' => Verdict::Bad, _ => Verdict::Offline };
                match health.take(verdict) {
                    Some(change) => prop_assert_eq!((change.from, change.to), (before, health.state())),
                    None => prop_assert_eq!(before, health.state()),
                }
                before = health.state();
            }
        }
    }
}
