//! Whether alerts can be judged and told as they are defined, and checkpoints sent.

use puerto_core::def::alerts::STDOUT;
use puerto_core::def::{ChannelDef, HookDef};
use puerto_watch::alert::{Channel, template};
use puerto_watch::syslog::Syslog;

use super::json::{Node, Span, Value};
use super::known;
use super::problem::{Path, Problem, Report};
use super::service;

/// Longest name of a rule, a channel, or of hours, in bytes.
const ALERT_NAME_LEN_MAX: usize = 64;
/// How deep routes may lie in each other.
const ROUTES_DEEP_MAX: usize = 8;
/// What a rule can watch.
const WATCHED: [&str; 6] = ["service", "metric", "events", "absent", "burn", "anomaly"];

/// Judges the section `alerts`.
pub(crate) fn check(root: &Node, report: &mut Report<'_>) {
    let Some(alerts) = root.get("alerts") else { return };
    let path = Path::Key(&Path::Root, "alerts");
    if let Some(grace) = alerts.get("grace") {
        service::time(grace, &Path::Key(&path, "grace"), report);
    }
    let rules = Path::Key(&path, "rules");
    let mut names: Vec<&str> = Vec::new();
    for (at, node) in items(alerts, "rules") {
        let path = Path::Item(&rules, at);
        rule(node, root, &path, report);
        let Some(name) = node.get("name").filter(|name| name.text().is_some()) else { continue };
        self::name(name.text().unwrap_or_default(), name.span, &Path::Key(&path, "name"), report);
        if names.contains(&name.text().unwrap_or_default()) {
            let problem = Problem::error("another rule has this name already");
            report.add(name.span, &Path::Key(&path, "name"), problem.help("give one of them another name"));
        }
        names.extend(name.text());
    }
    for member in members(alerts, "channels") {
        let path = Path::Key(&path, "channels");
        let path = Path::Key(&path, &member.key);
        name(&member.key, member.key_span, &path, report);
        channel(&member.node, &path, report);
    }
    for member in members(alerts, "mutes") {
        let path = Path::Key(&path, "mutes");
        let path = Path::Key(&path, &member.key);
        name(&member.key, member.key_span, &path, report);
        service::window(&member.node, &path, report);
    }
    let judge = Judge { alerts };
    if let Some(route) = alerts.get("route") {
        judge.route(route, &Path::Key(&path, "route"), 0, report);
    }
    let steps = Path::Key(&path, "escalate");
    for (at, node) in items(alerts, "escalate") {
        let path = Path::Item(&steps, at);
        if let Some(after) = node.get("after") {
            service::time(after, &Path::Key(&path, "after"), report);
        }
        judge.named(node, "channels", "channels", &path, report);
    }
}

fn items<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = (usize, &'a Node)> {
    node.get(key).map(Node::items).unwrap_or_default().iter().enumerate()
}

fn members<'a>(node: &'a Node, key: &str) -> &'a [super::json::Member] {
    node.get(key).map(Node::members).unwrap_or_default()
}

/// Where a thing begins, for what is said of all of it.
fn beginning(node: &Node) -> Span {
    Span { start: node.span.start, end: node.span.start + 1 }
}

fn name(name: &str, span: Span, path: &Path<'_>, report: &mut Report<'_>) {
    if name.is_empty() || name.len() > ALERT_NAME_LEN_MAX || name.chars().any(char::is_control) {
        let message = format!("a name here has 1 to {ALERT_NAME_LEN_MAX} bytes and no control characters");
        report.add(span, path, Problem::error(message));
    }
}

fn rule(rule: &Node, root: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if !matches!(rule.value, Value::Object(_)) {
        return;
    }
    let watched: Vec<_> = WATCHED
        .into_iter()
        .filter_map(|key| rule.member(key))
        .filter(|m| m.node.value != Value::Null)
        .collect();
    if watched.is_empty() {
        let problem = Problem::error("this rule watches nothing");
        let help = format!("give it one of {}", WATCHED.map(|key| format!("{key:?}")).join(", "));
        report.add(beginning(rule), path, problem.help(help));
    }
    if let [first, second, ..] = watched[..] {
        let problem =
            Problem::error(format!("a rule watches one thing, and this one watches {:?} already", first.key));
        let help = "make two rules of it";
        report.add(second.key_span, &Path::Key(path, &second.key), problem.help(help));
    }
    if rule.get("tenant").is_some() {
        service::tenant(rule, root, path, report);
    }
    for key in ["for", "keep"] {
        if let Some(node) = rule.get(key) {
            service::time(node, &Path::Key(path, key), report);
        }
    }
    if let Some(metric) = rule.get("metric") {
        let path = Path::Key(path, "metric");
        if let Some(rate) = metric.get("rate") {
            service::time(rate, &Path::Key(&path, "rate"), report);
        }
        if metric.get("above").is_none() && metric.get("below").is_none() {
            let problem = Problem::error("it lacks its threshold");
            report.add(
                beginning(metric),
                &path,
                problem.help("add \"above\" or \"below\", as in \"above\": 100"),
            );
        }
    }
    if let Some(within) = rule.get("events").and_then(|events| events.get("within")) {
        service::time(within, &Path::Key(&Path::Key(path, "events"), "within"), report);
    }
    if let Some(absent) = rule.get("absent") {
        let path = Path::Key(path, "absent");
        if absent.get("event").is_some() == absent.get("metric").is_some() {
            let problem = Problem::error("it is not clear what must not stay away");
            report.add(beginning(absent), &path, problem.help("name either \"event\" or \"metric\""));
        }
        if rule.get("for").is_none() {
            let problem = Problem::error("it is not said for how long it may stay away");
            report.add(
                beginning(rule),
                &path,
                problem.help("add \"for\" to the rule, as in \"for\": \"1h\""),
            );
        }
    }
    for key in ["summary", "description"] {
        let Some(node) = rule.get(key).filter(|node| node.text().is_some()) else { continue };
        if let Err(error) = template::check(node.text().unwrap_or_default()) {
            let problem = Problem::error(error.to_string());
            report.add(node.span, &Path::Key(path, key), problem);
        }
    }
}

/// Judges where checkpoints of the audit trail are sent.
pub(crate) fn copies(copies: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(node) = copies.get("webhook") {
        let path = Path::Key(path, "webhook");
        if let Some(timeout) = node.get("timeout") {
            service::time(timeout, &Path::Key(&path, "timeout"), report);
        }
        if let Ok(def) = serde_json::from_value::<HookDef>(node.to_json()) {
            faults(node, &def.channel(), &path, report);
        }
    }
    if let Some(node) = copies.get("syslog")
        && let Some(Err(why)) = node.text().map(Syslog::new)
    {
        let help = "write as in \"udp://host:514\", \"tcp://host:514\" or \"unix:///dev/log\"";
        report.add(node.span, &Path::Key(path, "syslog"), Problem::error(why).help(help));
    }
}

fn channel(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(timeout) = node.get("timeout") {
        service::time(timeout, &Path::Key(path, "timeout"), report);
    }
    // What cannot be read is told of elsewhere.
    let Ok(def) = serde_json::from_value::<ChannelDef>(node.to_json()) else { return };
    faults(node, &def, path, report);
}

fn faults(node: &Node, def: &ChannelDef, path: &Path<'_>, report: &mut Report<'_>) {
    for fault in Channel::new(def).err().unwrap_or_default() {
        service::fault(node, fault, path, report);
    }
}

struct Judge<'a> {
    alerts: &'a Node,
}

impl Judge<'_> {
    fn route(&self, route: &Node, path: &Path<'_>, deep: usize, report: &mut Report<'_>) {
        if deep > ROUTES_DEEP_MAX {
            let message = format!("routes lie at most {ROUTES_DEEP_MAX} deep in each other");
            return report.add(beginning(route), path, Problem::error(message));
        }
        for key in ["group_wait", "group_interval", "repeat"] {
            if let Some(node) = route.get(key) {
                service::time(node, &Path::Key(path, key), report);
            }
        }
        self.named(route, "channels", "channels", path, report);
        self.named(route, "mutes", "mutes", path, report);
        for (at, below) in items(route, "routes") {
            let path = Path::Key(path, "routes");
            self.route(below, &Path::Item(&path, at), deep + 1, report);
        }
    }

    /// Whether names are defined in a map of this section.
    fn named(&self, node: &Node, key: &str, map: &str, path: &Path<'_>, report: &mut Report<'_>) {
        let path = Path::Key(path, key);
        for (at, item) in items(node, key) {
            let Some(name) = item.text() else { continue };
            let defined = members(self.alerts, map).iter().map(|member| &*member.key);
            let known: Vec<_> = defined.chain((map == "channels").then_some(STDOUT)).collect();
            if known.contains(&name) {
                continue;
            }
            let help = match known::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None if known.is_empty() => format!("define it in \"{map}\" of this section"),
                None => format!("define it in \"{map}\" of this section; there are {}", known.join(", ")),
            };
            let problem = Problem::error(format!("no such name is defined in alerts.{map}"));
            report.add(item.span, &Path::Item(&path, at), problem.help(help));
        }
    }
}
