//! What keeps alerts quiet, and for how long.

use serde_json::json;

use super::*;

fn silence(story: &mut Story, matchers: Value, seconds: i64) -> Result<Silence, Refused> {
    let silence = Silence {
        id: String::new(),
        tenant: Default::default(),
        matchers: serde_json::from_value(matchers).unwrap(),
        who: "ada".into(),
        reason: "a new release".into(),
        from_ms: story.now_ms,
        until_ms: story.now_ms + seconds * 1000,
    };
    story.pipeline.silence(silence, story.now_ms)
}

#[test]
fn a_hundred_children_behind_a_dead_parent_are_one_notice() {
    let mut story = Story::brief(json!({}));
    // The children fall first, since they are looked at first.
    for number in 0..100 {
        story.child(&format!("child-{number}"), "down", &["middle"]);
    }
    story.child("middle", "ok", &["database"]);
    story.pass(8);
    story.service("database", "down");
    story.pass(600);
    assert_eq!(story.told(), ["18 stdout fired database"]);
    assert_eq!(story.held("child-7"), ["database, which it depends on, is down"]);
    // When it is back they may take their time to follow.
    story.service("database", "ok");
    story.pass(60);
    assert!(
        story.held("child-7")[0].starts_with("database has just come back"),
        "{:?}",
        story.held("child-7")
    );
    for number in 1..100 {
        story.child(&format!("child-{number}"), "ok", &["middle"]);
    }
    story.pass(60);
    // The one that did not is told.
    assert_eq!(story.told(), ["608 stdout resolved database(600s)", "698 stdout fired child-0"]);
}

#[test]
fn a_parent_that_only_settles_keeps_its_children_quiet() {
    let rules = json!([{"name": "slowly", "service": {"names": ["parent"]}, "for": "5m"},
        {"name": "children", "service": {"names": ["child"]}}]);
    let mut story = Story::brief(json!({"builtin": false, "rules": rules}));
    story.service("parent", "down");
    story.child("child", "down", &["parent"]);
    story.pass(320);
    assert_eq!(story.told(), ["310 stdout fired parent"]);
}

#[test]
fn one_alert_stands_for_others_with_the_same_labels() {
    let rules = json!([{"name": "low", "severity": "warning", "metric": {"name": "free", "below": 20.0}},
        {"name": "none", "severity": "critical", "metric": {"name": "free", "below": 5.0}}]);
    let inhibit =
        json!([{"source": {"severity": "critical"}, "target": {"severity": "warning"}, "equal": ["disk"]}]);
    let mut story = Story::brief(json!({"rules": rules, "inhibit": inhibit}));
    for (disk, value) in [("a", 1.0), ("b", 10.0)] {
        story.see(json!({"metric": {"name": "free", "labels": {"disk": disk}, "value": value}}));
    }
    story.pass(20);
    let mut told = story.told();
    told.sort();
    assert_eq!(told, ["10 stdout fired free{disk=\"a\"}", "10 stdout fired free{disk=\"b\"}"]);
    let held = story.pipeline.alerts(None, story.now_ms).into_iter().map(|view| view.held.len());
    assert_eq!(held.sum::<usize>(), 1);
}

#[test]
fn nothing_is_told_in_muted_hours_and_what_still_holds_after_them() {
    // The clocks go forward on 29 March 2026: six in the morning in Madrid is 04:00 and no longer 05:00.
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let mutes = json!({"night": {"start": "22:00", "duration": "8h", "zone": "Europe/Madrid"}});
    let mut story = Story::brief(json!({"mutes": mutes, "route": {"mutes": ["night"]}}));
    story.now_ms = at("2026-03-28T21:30:00Z");
    story.service("holds", "down");
    story.service("ends", "down");
    story.pass(3600);
    assert_eq!(story.held("holds"), ["its route is quiet in \"night\", until 2026-03-29T04:00:00Z"]);
    story.service("ends", "ok");
    story.pass(12 * 3600);
    let told: Vec<_> =
        story.notices.iter().map(|n| (n.at_ms, n.reason, n.alerts[0].subject.as_str())).collect();
    assert_eq!(told, [(at("2026-03-29T04:00:00Z"), Reason::Fired, "holds")]);
    story.told();
    // What ends at night is told in the morning too: nobody is woken to hear that all is well.
    story.now_ms = at("2026-03-29T23:00:00Z");
    story.service("holds", "ok");
    story.pass(3 * 3600);
    assert_eq!(story.notices.len(), 0);
    story.pass(3 * 3600);
    assert_eq!(story.notices.iter().map(|n| n.reason).collect::<Vec<_>>(), [Reason::Resolved]);
}

#[test]
fn announced_work_keeps_a_service_and_what_depends_on_it_quiet() {
    let mut story = Story::brief(json!({}));
    story.service("database", "maintenance");
    story.child("web", "down", &["database"]);
    story.pass(3600);
    assert_eq!(story.held("web"), ["work on database is announced"]);
    story.service("database", "ok");
    story.pass(10);
    assert_eq!(story.told(), ["3600 stdout fired web"]);
    // One that was told of is not over because work begins on it.
    story.service("web", "maintenance");
    story.pass(60);
    assert_eq!((story.told(), story.held("web")), (vec![], vec!["work on web is announced".into()]));
    story.service("web", "ok");
    assert_eq!(story.told().len(), 1);
}

#[test]
fn a_silence_holds_for_its_time_and_for_its_labels() {
    let mut story = Story::brief(json!({"route": {"repeat": "10m"}}));
    let made = silence(&mut story, json!({"service": "web|api"}), 3600).unwrap();
    story.service("web", "down");
    story.service("db", "down");
    story.pass(1200);
    assert_eq!(story.told(), ["10 stdout fired db", "610 stdout reminder db"],);
    assert!(story.held("web")[0].starts_with("ada silenced it until 2026-01-09T01:00:00Z (a new release;"));
    // Ended before its time, it is told at once.
    story.pipeline.expire(None, &made.id).unwrap();
    story.tick();
    assert_eq!(story.told(), ["1200 stdout fired db web"]);
    assert_eq!(story.pipeline.expire(None, &made.id), Err(Refused::NoSilence(made.id)));
    // What was told before it is told to be over.
    silence(&mut story, json!({"service": "*", "rule": "service-down"}), 3600).unwrap();
    story.service("web", "ok");
    story.service("db", "ok");
    story.pass(60);
    assert_eq!(story.told().len(), 1);
}

#[test]
fn a_silence_that_would_hide_everything_or_nothing_is_refused() {
    let mut story = Story::brief(json!({}));
    assert_eq!(silence(&mut story, json!({}), 60), Err(Refused::NoMatchers));
    assert_eq!(silence(&mut story, json!({"service": "*"}), 60), Err(Refused::NoMatchers));
    assert_eq!(silence(&mut story, json!({"service": "web"}), 0), Err(Refused::Over));
    let silence = |reason: &str, story: &mut Story| {
        let mut one = Silence {
            id: String::new(),
            tenant: Default::default(),
            matchers: [("service".into(), "web".into())].into(),
            who: "ada".into(),
            reason: reason.into(),
            from_ms: story.now_ms,
            until_ms: story.now_ms + 1,
        };
        one.reason = reason.into();
        story.pipeline.silence(one, story.now_ms)
    };
    assert_eq!(silence(" ", &mut story), Err(Refused::NoReason));
    for _ in 0..SILENCES_MAX {
        silence("x", &mut story).unwrap();
    }
    assert_eq!(silence("x", &mut story), Err(Refused::Full));
}

#[test]
fn somebody_who_works_on_it_hears_no_more_of_it_until_it_has_recovered() {
    let escalate = json!([{"after": "30m", "channels": ["boss"]}]);
    let mut story = Story::brief(json!({"route": {"repeat": "10m"}, "escalate": escalate}));
    story.service("web", "down");
    story.pass(700);
    assert_eq!(story.told(), ["10 stdout fired web", "610 stdout reminder web"]);
    let id = story.id("web");
    assert_eq!(story.pipeline.acknowledge(None, &id, "ada", "", story.now_ms), Err(Refused::NoReason));
    let other = puerto_core::TenantId::new("other").unwrap();
    let foreign = story.pipeline.acknowledge(Some(&other), &id, "ada", "mine", story.now_ms);
    assert_eq!(foreign, Err(Refused::NoAlert(id.clone())));
    story.pipeline.acknowledge(None, &id, "ada", "on it", story.now_ms).unwrap();
    story.pass(7200);
    assert_eq!((story.told(), story.held("web")), (vec![], vec!["ada acknowledged it: on it".into()]));
    story.service("web", "ok");
    assert_eq!(story.told(), ["7900 stdout resolved web(7900s)"]);
    // It is over with the alert: the next one is told of, and escalated.
    story.pass(60);
    story.service("web", "down");
    story.pass(1900);
    assert_eq!(story.told().last().unwrap(), "9770 boss escalated web");
}

#[test]
fn what_nobody_acknowledges_is_told_to_others_and_so_is_its_end() {
    let escalate = json!([{"after": "5m", "channels": ["lead"], "match": {"severity": "critical"}},
        {"after": "10m", "channels": ["boss"]}]);
    let mut story = Story::brief(json!({"escalate": escalate}));
    story.service("web", "down");
    story.pass(3600);
    assert_eq!(story.told(), ["10 stdout fired web", "310 lead escalated web", "610 boss escalated web"]);
    story.service("web", "ok");
    assert_eq!(
        story.told(),
        ["3600 stdout resolved web(3600s)", "3600 boss resolved web(3600s)", "3600 lead resolved web(3600s)"]
    );
}
