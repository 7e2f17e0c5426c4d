//! Who is told.

use serde_json::json;

use super::*;

fn tree() -> Value {
    json!({"route": {"channels": ["all"], "routes": [
        {"match": {"severity": "critical"}, "channels": ["pager"], "continue": true},
        {"match": {"group": "shop"}, "channels": ["shop"], "group_by": ["service"], "routes": [
            {"match": {"service": "till-*"}, "channels": ["tills"]}]},
        {"match": {"group": "!shop"}, "channels": ["others"]}]},
        "rules": [{"name": "low", "metric": {"name": "x", "above": 1.0}}]})
}

#[test]
fn alerts_take_the_routes_that_fit() {
    for (group, service, channels) in [
        ("shop", "till-1", vec!["pager", "tills"]),
        ("shop", "web", vec!["pager", "shop"]),
        ("office", "mail", vec!["others", "pager"]),
    ] {
        let mut story = Story::brief(tree());
        story.see(json!({"service": {"name": service, "state": "down", "group": group}}));
        story.pass(10);
        let mut told: Vec<_> = story.notices.iter().map(|notice| notice.channel.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, channels, "{service}");
    }
}

#[test]
fn groups_are_of_one_tenant_and_of_equal_labels() {
    let mut story = Story::brief(tree());
    for (tenant, name) in [("default", "a"), ("default", "b"), ("acme", "a")] {
        story.see(json!({"service": {"tenant": tenant, "name": name, "state": "down", "group": "shop"}}));
    }
    story.pass(10);
    let told = |channel: &str| {
        let of = story.notices.iter().filter(|notice| notice.channel == channel);
        let mut of: Vec<_> = of.map(|notice| (notice.tenant.as_str(), notice.alerts.len())).collect();
        of.sort_unstable();
        of
    };
    assert_eq!(told("pager"), [("acme", 1), ("default", 2)]);
    assert_eq!(told("shop"), [("acme", 1), ("default", 1), ("default", 1)]);
}

#[test]
fn another_configuration_tells_its_channels_and_the_old_ones_hear_the_end() {
    let mut story = Story::brief(json!({"route": {"channels": ["old"]}}));
    story.service("web", "down");
    story.pass(20);
    story.pipeline.adopt(def(json!({"route": {"channels": ["new"], "group_wait": "10s"}})), 0, story.now_ms);
    story.tick();
    assert_eq!(story.told(), ["10 old fired web", "20 new fired web"]);
    story.service("web", "ok");
    let mut told = story.told();
    told.sort();
    assert_eq!(told, ["20 new resolved web(20s)", "20 old resolved web(20s)"]);
}

#[test]
fn rules_and_services_that_are_no_more_end_their_alerts() {
    let rules = json!([{"name": "own", "service": {}}]);
    let mut story = Story::brief(json!({"builtin": false, "rules": rules}));
    story.service("web", "down");
    story.service("db", "down");
    story.pass(20);
    story.pipeline.retain_services(|_, service| service.as_str() == "db", story.now_ms);
    story.pass(60);
    assert_eq!(story.told(), ["10 stdout fired db web", "70 stdout changed db web(20s)"]);
    story.pipeline.adopt(def(json!({"builtin": false})), 0, story.now_ms);
    story.tick();
    assert_eq!(story.told().len(), 1);
}
