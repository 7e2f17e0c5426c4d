//! What rules hold.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn rule(rule: impl Into<Value>) -> Story {
    let rule = rule.into();
    Story::brief(json!({"builtin": false, "rules": [rule]}))
}

#[test]
fn it_has_to_hold_for_its_time() {
    let mut story = rule(json!({"name": "r", "for": "1m", "metric": {"name": "x", "above": 5.0}}));
    let value = |story: &mut Story, value: f64| story.see(json!({"metric": {"name": "x", "value": value}}));
    for (wait, number) in [(30, 6.0), (20, 4.0), (59, 6.0), (1, 7.0)] {
        value(&mut story, number);
        story.pass(wait);
    }
    assert_eq!(story.pipeline.firing().len(), 1);
    story.pass(10);
    assert_eq!(story.told(), ["120 stdout fired x"]);
    assert_eq!(story.pipeline.alerts(None, story.now_ms)[0].alert.value, Some(7.0));
    // A series that is no longer there is not wrong for ever.
    story.pass(STALE_MS / 1000);
    assert_eq!(story.told(), ["409 stdout resolved x(359s)"]);
}

#[test]
fn its_end_may_have_to_last_too() {
    let mut story = rule(json!({"name": "r", "keep": "1m", "metric": {"name": "x", "above": 5.0}}));
    let value = |story: &mut Story, value: f64| story.see(json!({"metric": {"name": "x", "value": value}}));
    value(&mut story, 6.0);
    story.pass(20);
    for _ in 0..10 {
        value(&mut story, 4.0);
        story.pass(30);
        value(&mut story, 6.0);
        story.pass(30);
    }
    value(&mut story, 4.0);
    story.pass(60);
    assert_eq!(story.told(), ["10 stdout fired x", "680 stdout resolved x(620s)"]);
}

#[test]
fn counters_are_judged_by_how_fast_they_grow() {
    let mut story = rule(
        json!({"name": "r", "metric": {"name": "n", "labels": {"kind": "bad*"}, "rate": "1m", "above": 2.0}}),
    );
    let mut total = 0;
    let mut count = |story: &mut Story, each: i64, times: i64| {
        for _ in 0..times {
            total += each;
            for kind in ["bad", "good"] {
                story.see(json!({"metric": {"name": "n", "labels": {"kind": kind}, "value": total}}));
            }
            story.pass(10);
        }
    };
    count(&mut story, 10, 12);
    assert_eq!(story.told(), [""; 0]);
    count(&mut story, 40, 12);
    assert_eq!(story.told(), ["150 stdout fired n{kind=\"bad\"}"]);
    count(&mut story, 1, 12);
    assert_eq!(story.told().len(), 1);
}

#[test]
fn many_events_within_a_time_are_an_alert_for_as_long() {
    let mut story = rule(
        json!({"name": "r", "events": {"type": "login.*", "severity": "warning", "count": 3, "within": "1m"}}),
    );
    let event = |story: &mut Story, kind: &str, severity: &str| {
        story.see(json!({"event": {"type": kind, "severity": severity, "subject": "ada"}}));
        story.pass(20);
    };
    for (kind, severity) in
        [("login.failed", "error"), ("login.failed", "info"), ("other", "error"), ("login.failed", "error")]
    {
        event(&mut story, kind, severity);
    }
    assert_eq!(story.pipeline.firing().len(), 0);
    event(&mut story, "login.denied", "warning");
    event(&mut story, "login.denied", "warning");
    assert_eq!(story.told(), ["110 stdout fired ada"]);
    story.pass(60);
    assert_eq!(story.told(), ["120 stdout resolved ada(20s)"]);
}

/// A story of rules about events, each that it is missed and that many come, by name and kind.
fn about_events(rules: &[(&str, &str)]) -> Value {
    let missed = |(name, kind): &(&str, &str)| json!({"name": name, "for": "1h", "absent": {"event": kind}});
    let many = |(name, kind): &(&str, &str)| json!({"name": format!("{name}-many"), "events": {"type": kind, "count": 2, "within": "1m"}});
    let rules: Vec<_> = rules.iter().flat_map(|rule| [missed(rule), many(rule)]).collect();
    json!({"builtin": false, "rules": rules})
}

/// Events of a kind, with these numbers.
fn read(story: &mut Story, kind: &str, numbers: std::ops::RangeInclusive<i64>) {
    for seq in numbers {
        let signal = json!({"event": {"type": kind, "seq": seq}});
        story.pipeline.observe(&serde_json::from_value(signal).unwrap(), story.now_ms);
    }
}

fn holding(story: &Story) -> Vec<String> {
    let alerts = story.pipeline.alerts(None, story.now_ms);
    let names: BTreeSet<_> = alerts.into_iter().map(|view| view.alert.rule).collect();
    names.into_iter().collect()
}

#[test]
fn a_rule_is_about_events_that_come_once_it_is_there() {
    for restarts in [false, true] {
        let mut story = Story::brief(about_events(&[("old", "a")]));
        assert_eq!(story.pipeline.events_from(), Some(0));
        story.pass(3000);
        let both = def(about_events(&[("old", "a"), ("new", "a")]));
        if restarts {
            let snapshot = story.pipeline.snapshot();
            story.pipeline = Pipeline::restore(both, &snapshot, 20, story.now_ms).unwrap();
            assert!(story.pipeline.take_changed(), "another restart has to know of it");
        } else {
            story.pipeline.adopt(both, 20, story.now_ms);
        }
        story.tick();
        // Those that were not read before are about the old one.
        read(&mut story, "a", 19..=20);
        assert_eq!(holding(&story), ["old-many"]);
        // Nobody has to have looked for longer than the new one is there.
        story.pass(3599);
        assert_eq!(holding(&story), [""; 0]);
        story.pass(1);
        assert_eq!(holding(&story), ["new", "old"]);
        read(&mut story, "a", 21..=22);
        assert!(holding(&story).contains(&"new-many".to_owned()));
    }
}

#[test]
fn a_rule_that_comes_back_or_is_about_others_is_a_new_one() {
    let mut story = Story::brief(about_events(&[("r", "a")]));
    let adopt = |story: &mut Story, rules: &[(&str, &str)], newest| {
        story.pipeline.adopt(def(about_events(rules)), newest, story.now_ms);
    };
    read(&mut story, "a", 1..=1);
    adopt(&mut story, &[("r", "b")], 4);
    read(&mut story, "b", 4..=5);
    assert_eq!(holding(&story), [""; 0], "one of them is older, and one more was of another kind");
    adopt(&mut story, &[], 6);
    assert_eq!(story.pipeline.events_from(), None);
    adopt(&mut story, &[("r", "b")], 8);
    assert_eq!(story.pipeline.events_from(), Some(8));
    read(&mut story, "b", 8..=9);
    assert_eq!(holding(&story), [""; 0]);
    read(&mut story, "b", 10..=10);
    assert_eq!(holding(&story), ["r-many"]);
}

#[test]
fn a_snapshot_of_before_numbers_were_kept_knows_its_rules() {
    let rules = about_events(&[("r", "a")]);
    let mut story = Story::brief(rules.clone());
    read(&mut story, "a", 1..=1);
    let mut snapshot: Value = serde_json::from_str(&story.pipeline.snapshot()).unwrap();
    assert!(snapshot["memory"].as_object_mut().unwrap().remove("since").is_some());
    story.pipeline = Pipeline::restore(def(rules), &snapshot.to_string(), 20, story.now_ms).unwrap();
    read(&mut story, "a", 2..=2);
    assert_eq!(holding(&story), ["r-many"]);
}

#[test]
fn what_stays_away_is_an_alert_until_it_is_back() {
    for (asked, signal) in [
        (json!({"event": "backup.done"}), json!({"event": {"type": "backup.done"}})),
        (
            json!({"metric": "m", "labels": {"a": "b"}}),
            json!({"metric": {"name": "m", "labels": {"a": "b"}, "value": 1}}),
        ),
    ] {
        let mut story = rule(json!({"name": "r", "for": "1h", "absent": asked}));
        story.tick();
        story.pass(3000);
        story.see(signal.clone());
        story.pass(3600);
        assert_eq!((story.told(), story.pipeline.firing().len()), (vec![], 1));
        story.pass(20);
        story.see(json!({"event": {"type": "another"}}));
        assert_eq!(story.told().len(), 1);
        story.see(signal);
        assert_eq!(story.notices[0].reason, Reason::Resolved);
    }
}

#[test]
fn objectives_and_anomalies_come_as_they_are_found() {
    let mut story = Story::brief(json!({}));
    story.see(json!({"burn": {"name": "web", "target": 99.9, "urgency": "page", "rate": 20.04}}));
    story.see(
        json!({"anomaly": {"subject": "db.query", "measure": "latency", "anomalous": true, "value": 812.0,
        "why": "expected 10 to 30"}}),
    );
    story.pass(10);
    let mut told: Vec<_> = story.notices.iter().map(|notice| notice.alerts[0].summary.clone()).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "latency of db.query is out of the ordinary",
            "web spends the budget of 99.9 % 20 times as fast as it may"
        ]
    );
}

#[test]
fn alerts_of_others_are_told_as_they_come_and_end_as_they_say() {
    let mut story = Story::brief(json!({}));
    let labels =
        json!({"alertname": "DiskFull", "severity": "page", "instance": "host-1", "rule": "service-down"});
    story.see(json!({"foreign": {"labels": labels, "summary": "{{ no template }}"}}));
    story.pass(10);
    let alert = story.notices[0].alerts[0].clone();
    assert_eq!((&*alert.rule, &*alert.subject, alert.severity.name()), ("DiskFull", "host-1", "critical"));
    assert_eq!((&*alert.labels["rule"], &*alert.summary), ("DiskFull", "{{ no template }}"));
    story.see(json!({"foreign": {"labels": labels, "until_ms": story.now_ms}}));
    assert_eq!(story.told(), ["10 stdout fired host-1", "10 stdout resolved host-1(10s)"]);
    story.pass(60);
    story.see(json!({"foreign": {"labels": labels}}));
    story.pass(STALE_MS / 1000);
    assert_eq!(story.told(), ["80 stdout fired host-1", "370 stdout resolved host-1(300s)"]);
}

#[test]
fn a_metric_has_not_stayed_away_while_nobody_looked() {
    let rules = json!({"builtin": false, "route": {"group_wait": "1s"},
        "rules": [{"name": "r", "for": "1h", "absent": {"metric": "m"}}]});
    let mut story = Story::new(rules.clone());
    story.tick();
    story.now_ms += 2 * 3_600_000;
    story.pipeline = Pipeline::restore(def(rules), &story.pipeline.snapshot(), 0, story.now_ms).unwrap();
    story.pass(3599);
    assert_eq!(story.pipeline.firing().len(), 0);
    story.pass(1);
    assert_eq!(story.pipeline.firing().len(), 1);
}

#[test]
fn what_others_send_takes_no_more_room_than_there_is() {
    let mut story = Story::brief(json!({}));
    let mut labels = json!({"alertname": "Long"});
    for number in 0..60 {
        labels[format!("label-{number}")] = "x".repeat(4_000).into();
        labels[format!("short-{number}")] = "x".into();
    }
    story.see(json!({"foreign": {"labels": labels, "summary": "x".repeat(10_000)}}));
    let alert = story.pipeline.alerts(None, story.now_ms)[0].alert.clone();
    let bytes: usize = alert.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes < LABELS_BYTES_MAX + 200 && alert.labels.len() > 60, "{bytes}");
    assert_eq!((&*alert.labels["rule"], alert.summary.len()), ("Long", template::TEXT_LEN_MAX));
}

#[test]
fn a_rule_of_ones_own_takes_the_place_of_ours() {
    let own = json!([{"name": "service-down", "service": {"names": ["web"]}, "severity": "info"}]);
    let names = |def| rules(&def).iter().map(|rule| rule.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(def(json!({"builtin": false, "rules": own}))), ["service-down"]);
    let all = names(def(json!({"rules": own})));
    assert_eq!(all.iter().filter(|name| *name == "service-down").count(), 1);
    assert!(all.len() > 4, "{all:?}");
}

#[test]
fn a_tenant_of_a_rule_is_the_only_one_that_it_is_about() {
    let mut story = rule(json!({"name": "r", "tenant": "acme", "service": {}}));
    story.service("web", "down");
    assert_eq!(story.pipeline.firing().len(), 0);
    story.see(json!({"service": {"tenant": "acme", "name": "web", "state": "down"}}));
    assert_eq!(story.pipeline.firing().len(), 1);
}
