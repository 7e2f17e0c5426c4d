//! A restart at any point loses no notice, and one that is decided again has the same key.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What happens: after so many seconds a service is in a state, or somebody does something.
#[derive(Debug, Clone)]
enum Step {
    State(u8, bool),
    Acknowledge(u8),
    Silence(u8),
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let step = prop_oneof![
        6 => (0..5_u8, any::<bool>()).prop_map(|(at, is_up)| Step::State(at, is_up)),
        1 => (0..5_u8).prop_map(Step::Acknowledge),
        1 => (0..5_u8).prop_map(Step::Silence),
        2 => Just(Step::Nothing),
    ];
    proptest::collection::vec((0..90_u8, step), 1..40)
}

fn config() -> AlertsDef {
    def(json!({"route": {"group_wait": "10s", "group_interval": "1m", "repeat": "2m", "routes": [
            {"match": {"service": "s0|s1"}, "channels": ["a", "b"], "group_by": ["service"], "continue": true},
            {"match": {"service": "s1"}, "channels": ["c"]}]},
        "rules": [{"name": "service-down", "service": {}, "for": "7s", "keep": "3s", "severity": "critical"}],
        "escalate": [{"after": "3m", "channels": ["boss"]}], "grace": "20s"}))
}

fn act(pipeline: &mut Pipeline, step: &Step, now_ms: i64) {
    match step {
        Step::State(at, is_up) => {
            let state = if *is_up { "ok" } else { "down" };
            let parents: &[&str] = if *at == 4 { &["s3"] } else { &[] };
            let signal = json!({"service": {"name": format!("s{at}"), "state": state, "parents": parents}});
            pipeline.observe(&serde_json::from_value(signal).unwrap(), now_ms);
        }
        Step::Acknowledge(at) => {
            let all = pipeline.alerts(None, now_ms);
            let alert = all.iter().find(|view| view.alert.subject == format!("s{at}"));
            if let Some(view) = alert {
                pipeline.acknowledge(None, &view.alert.id.clone(), "ada", "mine", now_ms).unwrap();
            }
        }
        Step::Silence(at) => {
            let silence = Silence {
                id: String::new(),
                tenant: Default::default(),
                matchers: [("service".into(), format!("s{at}"))].into(),
                who: "ada".into(),
                reason: "work".into(),
                from_ms: now_ms,
                until_ms: now_ms + 50_000,
            };
            pipeline.silence(silence, now_ms).unwrap();
        }
        Step::Nothing => {}
    }
}

/// All notices, by key, when the owner ends and comes back where `restarts` says so. What is decided and what is kept
/// are one transaction; where that was lost, all since the one before happens again.
fn run(steps: &[(u8, Step)], restarts: impl Fn(usize) -> bool, wakes: bool) -> BTreeMap<String, Notice> {
    let (mut kept, mut told) = (Pipeline::new(config()).snapshot(), BTreeMap::new());
    let mut now_ms = BEGIN;
    for (at, (seconds, step)) in steps.iter().enumerate() {
        let times = if restarts(at) { 2 } else { 1 };
        let (begin, mut end) = (kept.clone(), None);
        for _ in 0..times {
            let mut pipeline = Pipeline::restore(config(), &begin, 0, now_ms).unwrap();
            let mut clock = now_ms;
            let until = now_ms + i64::from(*seconds) * 1000;
            act(&mut pipeline, step, clock);
            let mut decided = pipeline.tick(clock);
            while clock < until {
                clock = match pipeline.next_wake(clock).filter(|_| wakes) {
                    Some(wake) => wake.min(until),
                    None if wakes => until,
                    None => clock + 1000,
                };
                decided.extend(pipeline.tick(clock));
            }
            for notice in decided {
                if let Some(before) = told.insert(notice.key.clone(), notice.clone()) {
                    assert_eq!(before, notice, "one key, two notices");
                }
            }
            end = Some((pipeline.snapshot(), until));
        }
        let (snapshot, until) = end.unwrap();
        (kept, now_ms) = (snapshot, until);
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restart_anywhere_gives_the_same_notices(steps in steps()) {
        let all = run(&steps, |_| false, true);
        prop_assert_eq!(&run(&steps, |_| true, true), &all);
        prop_assert_eq!(&run(&steps, |at| at % 3 == 1, true), &all);
        // Nothing happens between two times at which it asks to be woken.
        prop_assert_eq!(&run(&steps, |_| false, false), &all);
    }

    /// In the end everybody who was told that something fell has heard that it is over.
    #[test]
    fn all_who_were_told_hear_the_end(steps in steps()) {
        let all_up = (0..5).map(|at| (90, Step::State(at, true))).chain([(90, Step::Nothing)]);
        let steps: Vec<_> = steps.into_iter().chain(all_up).collect();
        let mut open: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut notices: Vec<_> = run(&steps, |_| false, true).into_values().collect();
        notices.sort_by_key(|notice| notice.at_ms);
        for notice in notices {
            for alert in notice.alerts {
                let key = (notice.channel.clone(), format!("{} {}", notice.group, alert.id));
                match alert.until_ms {
                    Some(_) => drop(open.remove(&key)),
                    None => *open.entry(key).or_default() += 1,
                }
            }
        }
        prop_assert_eq!(open, BTreeMap::new());
    }
}

#[test]
fn a_snapshot_that_is_none_is_refused() {
    assert!(matches!(Pipeline::restore(config(), "{", 0, BEGIN), Err(Refused::Snapshot(_))));
}
