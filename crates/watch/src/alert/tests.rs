//! Stories of alerts on a clock that the test moves.

mod holding;
mod nine;
mod restart;
mod routing;
mod rules;

use puerto_core::def::AlertsDef;
use serde_json::{Value, json};

use super::*;

/// When every story begins: a Friday.
pub(super) const BEGIN: i64 = 1_767_916_800_000;

/// A pipeline, its clock, and what was told.
pub(super) struct Story {
    pub(super) pipeline: Pipeline,
    pub(super) now_ms: i64,
    pub(super) notices: Vec<Notice>,
}

pub(super) fn def(json: Value) -> AlertsDef {
    serde_json::from_value(json).unwrap()
}

impl Story {
    pub(super) fn new(json: Value) -> Self {
        Self { pipeline: Pipeline::new(def(json)), now_ms: BEGIN, notices: Vec::new() }
    }

    /// With waits of 10 s, an interval of a minute and no reminders, unless a story says otherwise.
    pub(super) fn brief(mut json: Value) -> Self {
        let route = &mut json["route"];
        for (name, value) in [("group_wait", "10s"), ("group_interval", "1m"), ("repeat", "0s")] {
            if route[name].is_null() {
                route[name] = value.into();
            }
        }
        Self::new(json)
    }

    pub(super) fn see(&mut self, signal: Value) {
        let signal: Signal = serde_json::from_value(signal).unwrap();
        self.pipeline.observe(&signal, self.now_ms);
        self.tick();
    }

    pub(super) fn service(&mut self, name: &str, state: &str) {
        self.see(json!({"service": {"name": name, "state": state, "why": "nothing answers"}}));
    }

    pub(super) fn child(&mut self, name: &str, state: &str, parents: &[&str]) {
        self.see(json!({"service": {"name": name, "state": state, "parents": parents}}));
    }

    pub(super) fn tick(&mut self) {
        self.notices.extend(self.pipeline.tick(self.now_ms));
    }

    /// Lets time pass as its owner would: it wakes when it asks to be woken.
    pub(super) fn pass(&mut self, seconds: i64) {
        let end = self.now_ms + seconds * 1000;
        while let Some(wake) = self.pipeline.next_wake(self.now_ms).filter(|wake| *wake <= end) {
            self.now_ms = wake;
            self.tick();
        }
        self.now_ms = end;
        self.tick();
    }

    /// What was told since this was asked last: seconds since the beginning, channel, why, and of what.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.notices.drain(..).map(|notice| shown(&notice)).collect()
    }

    pub(super) fn id(&self, subject: &str) -> String {
        let all = self.pipeline.alerts(None, self.now_ms);
        all.iter().find(|view| view.alert.subject == subject).unwrap().alert.id.clone()
    }

    /// Why nobody is told of it.
    pub(super) fn held(&self, subject: &str) -> Vec<String> {
        let view = self.pipeline.explain(None, &self.id(subject), self.now_ms).unwrap();
        view.held.iter().map(ToString::to_string).collect()
    }
}

pub(super) fn shown(notice: &Notice) -> String {
    let alerts: Vec<_> = notice
        .alerts
        .iter()
        .map(|alert| match alert.until_ms {
            Some(until) => format!("{}({}s)", alert.subject, (until - alert.since_ms) / 1000),
            None => alert.subject.clone(),
        })
        .collect();
    let reason = format!("{:?}", notice.reason).to_lowercase();
    format!("{} {} {reason} {}", (notice.at_ms - BEGIN) / 1000, notice.channel, alerts.join(" "))
}

#[test]
fn what_is_down_is_told_out_of_the_box_and_so_is_its_recovery() {
    let mut story = Story::new(json!({}));
    story.service("web", "ok");
    story.service("web", "down");
    assert_eq!(story.told(), [""; 0]);
    story.pass(40);
    let notice = story.notices[0].clone();
    assert_eq!(story.told(), ["30 stdout fired web"]);
    assert_eq!(notice.severity(), puerto_core::Severity::Critical);
    assert_eq!(notice.alerts[0].summary, "web is down");
    assert_eq!(notice.alerts[0].description, "nothing answers");
    assert_eq!(notice.labels["service"], "web");
    story.service("web", "ok");
    assert_eq!(story.told(), ["40 stdout resolved web(40s)"]);
    story.pass(100_000);
    assert_eq!((story.told(), story.pipeline.alerts(None, story.now_ms)), (vec![], vec![]));
}

#[test]
fn what_ends_before_its_group_has_waited_is_told_to_nobody() {
    let mut story = Story::brief(json!({}));
    story.service("web", "down");
    story.pass(9);
    story.service("web", "ok");
    story.pass(1000);
    assert_eq!(story.told(), [""; 0]);
}

#[test]
fn what_keeps_changing_tells_of_it_rarely() {
    let mut story = Story::brief(json!({}));
    for _ in 0..60 {
        story.service("web", "down");
        story.pass(15);
        story.service("web", "ok");
        story.pass(15);
    }
    let told = story.told();
    // In half an hour: one that began and one that ended, each minute at most.
    assert!(told.len() <= 60 && told.len() > 10, "{told:?}");
    // As soon as it counts as flapping there is one notice of that, however long it goes on.
    story.pass(600);
    for _ in 0..60 {
        story.service("web", "flapping");
        story.pass(30);
    }
    assert_eq!(story.told(), ["2410 stdout fired web"]);
}

#[test]
fn alerts_of_one_group_are_told_together() {
    let mut story = Story::brief(json!({}));
    story.service("a", "down");
    story.pass(5);
    story.service("b", "down");
    story.pass(5);
    assert_eq!(story.told(), ["10 stdout fired a b"]);
    // A further one waits for the interval, and those that hold are told with it.
    story.service("c", "down");
    story.pass(59);
    assert_eq!(story.told(), [""; 0]);
    story.pass(1);
    assert_eq!(story.told(), ["70 stdout fired a b c"]);
    // One that ends is told with the next notice, all of them at once.
    story.service("a", "ok");
    story.pass(60);
    assert_eq!(story.told(), ["130 stdout changed b c a(70s)"]);
    story.service("b", "ok");
    story.service("c", "ok");
    assert_eq!(story.told(), ["130 stdout resolved b(125s) c(120s)"]);
}

#[test]
fn what_comes_back_waits_for_the_interval() {
    let mut story = Story::brief(json!({}));
    story.service("a", "down");
    story.pass(10);
    story.service("a", "ok");
    story.pass(5);
    story.service("a", "down");
    story.pass(100);
    assert_eq!(story.told(), ["10 stdout fired a", "10 stdout resolved a(10s)", "70 stdout fired a"]);
}

#[test]
fn what_holds_is_told_again_and_again() {
    let mut story = Story::brief(json!({"route": {"repeat": "1h"}}));
    story.service("a", "down");
    story.pass(2 * 3600 + 20);
    assert_eq!(story.told(), ["10 stdout fired a", "3610 stdout reminder a", "7210 stdout reminder a"]);
}

#[test]
fn there_is_a_limit_on_alerts_and_on_what_one_notice_lists() {
    let mut story = Story::brief(json!({}));
    for number in 0..=ALERTS_MAX {
        let signal = json!({"service": {"name": format!("s{number}"), "state": "down"}});
        story.pipeline.observe(&serde_json::from_value(signal).unwrap(), story.now_ms);
    }
    assert_eq!(story.pipeline.lost(), 1);
    story.pass(10);
    assert_eq!(story.notices.len(), 1);
    assert_eq!(story.notices[0].alerts.len(), NOTICE_ALERTS_MAX);
    assert_eq!(story.notices[0].more as usize, ALERTS_MAX - NOTICE_ALERTS_MAX);
}

#[test]
fn a_history_played_back_says_who_was_told_and_what_was_kept_back() {
    let history = r#"
        {"at": "2026-01-09T00:00:00Z", "service": {"name": "db", "state": "down"}}
        {"at": "2026-01-09T00:00:05Z", "service": {"name": "web", "state": "down", "parents": ["db"]}}
        {"at": "2026-01-09T00:20:00Z", "acknowledge": {"subject": "db", "who": "ada", "reason": "on it"}}
        {"at": "2026-01-09T01:00:00Z", "silence": {"match": {"service": "web"}, "for": "1h", "reason": "later"}}
        {"at": 1767924000000, "service": {"name": "db", "state": "ok"}}
    "#;
    let config =
        json!({"route": {"group_wait": "10s"}, "escalate": [{"after": "10m", "channels": ["boss"]}]});
    let moments = simulate(def(config), history, std::time::Duration::from_hours(1)).unwrap();
    let shown: Vec<_> = moments
        .iter()
        .map(|moment| match moment {
            Moment::Notice(notice) => shown(notice),
            Moment::Held { at_ms, subject, because, .. } => {
                format!("{} {subject}: {because}", (at_ms - BEGIN) / 1000)
            }
        })
        .collect();
    assert_eq!(
        shown,
        [
            "0 db: its group waits until 2026-01-09T00:00:10Z",
            "5 web: db, which it depends on, is down",
            "10 stdout fired db",
            "610 boss escalated db",
            "1200 db: ada acknowledged it: on it",
            "7200 stdout resolved db(7200s)",
            "7200 boss resolved db(7200s)",
            "7200 web: db has just come back, and it may take until 2026-01-09T02:01:30Z to follow",
            "7290 web: its group waits until 2026-01-09T02:05:00Z",
            "7500 stdout fired web",
            "8100 boss escalated web",
        ]
    );
}

#[test]
fn a_history_that_cannot_be_read_names_the_line() {
    for (history, line, why) in [
        ("{", 1, "EOF"),
        ("\n{\"at\": 1, \"service\": {\"name\": \"a\"}}", 2, "state"),
        ("{\"service\": {}}", 1, "lacks \"at\""),
        ("{\"at\": \"noon\", \"event\": {\"type\": \"a\"}}", 1, "is no time"),
        ("{\"at\": 1}", 1, "needs one of"),
        (
            "{\"at\": 2, \"event\": {\"type\": \"a\"}}\n{\"at\": 1, \"event\": {\"type\": \"a\"}}",
            2,
            "earlier",
        ),
        ("{\"at\": 2, \"acknowledge\": {\"subject\": \"a\", \"reason\": \"b\"}}", 1, "nothing is wrong"),
    ] {
        let fault = simulate(def(json!({})), history, std::time::Duration::ZERO).unwrap_err();
        assert!(fault.line == line && fault.why.contains(why), "{fault}");
    }
}
