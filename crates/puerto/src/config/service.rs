//! Whether the watched services can be watched as they are defined, each by itself and all of them together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::{TimeZone, db};
use puerto_core::def::{self, ServiceDef};
use puerto_core::{ServiceName, TenantId};
use puerto_watch::probe::{Fault, Inside, Target};
use serde_json::{Value as Json, json};

use super::json::{Node, Span, Value};
use super::known;
use super::problem::{Path, Problem, Report};

/// Keys that mean something for some kinds of addresses only.
const ONLY: [(&str, &[&str]); 8] = [
    ("method", &["http", "https"]),
    ("body", &["http", "https"]),
    ("redirects", &["http", "https"]),
    ("headers", &["http", "https", "grpc", "grpcs"]),
    ("dns", &["dns"]),
    ("grpc", &["grpc", "grpcs"]),
    // A redirect may lead from http to https.
    ("tls", &["http", "https", "tls", "grpcs"]),
    ("timeout", &["http", "https", "tcp", "tls", "dns", "grpc", "grpcs", "icmp"]),
];

/// Services of one tenant by name, each with its place in the list.
type Named<'a> = BTreeMap<&'a str, (usize, &'a Node)>;

/// Judges all of them.
pub(crate) fn check(root: &Node, report: &mut Report<'_>) {
    let Some(services) = root.get("services") else { return };
    let path = Path::Key(&Path::Root, "services");
    let mut tenants: BTreeMap<&str, Named<'_>> = BTreeMap::new();
    for (at, service) in services.items().iter().enumerate() {
        let path = Path::Item(&path, at);
        one(service, root, &path, report);
        let tenant = tenant_of(service);
        let Some(name) = service.get("name") else { continue };
        let Some(text) = name.text() else { continue };
        if let Some((_, first)) = tenants.entry(tenant).or_default().get(text) {
            let line = report.text[..first.span.start].matches('\n').count() + 1;
            let problem =
                Problem::error(format!("{} is defined twice in the tenant {tenant:?}", shown(name)));
            let help = format!("the first is in line {line}; give one of them another name");
            report.add(name.span, &Path::Key(&path, "name"), problem.help(help));
            continue;
        }
        tenants.entry(tenant).or_default().insert(text, (at, service));
    }
    for named in tenants.values() {
        parents(named, &path, report);
    }
}

fn tenant_of(service: &Node) -> &str {
    service.get("tenant").and_then(Node::text).unwrap_or("default")
}

/// A text as it is told: what a variable stands for may be a secret.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => format!("{text:?}"),
        _ => "the name of the variable".into(),
    }
}

/// One by itself.
fn one(service: &Node, root: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(node) = service.get("name")
        && let Some(Err(error)) = node.text().map(ServiceName::new)
    {
        let message = match node.value {
            Value::Text(_) => error.to_string(),
            _ => "the variable holds no valid service name".into(),
        };
        report.add(node.span, &Path::Key(path, "name"), Problem::error(message));
    }
    tenant(service, root, path, report);
    for key in ["interval", "timeout"] {
        if let Some(node) = service.get(key) {
            time(node, &Path::Key(path, key), report);
        }
    }
    let url = service.get("url").and_then(Node::text);
    let scheme = url.and_then(|url| url.split_once("://")).map(|(scheme, _)| scheme.to_ascii_lowercase());
    for (key, owners) in ONLY {
        let Some(scheme) = scheme.as_deref().filter(|scheme| is_known(scheme)) else { break };
        let Some(member) = service.member(key).filter(|m| !owners.contains(&scheme) && !m.node.is_empty())
        else {
            continue;
        };
        let problem = Problem::error(format!("{key:?} means nothing for a service reached by {scheme}"));
        let help = format!("it belongs to {}; leave it out", owners.join(", "));
        report.add(member.key_span, &Path::Key(path, key), problem.help(help));
    }
    let (def, unread) = readable(service);
    if let Err(faults) = Target::new(&def) {
        // What cannot be read is told of elsewhere, and what depends on it cannot be judged.
        let is_open = |key| unread.contains(&key) || key == "timeout" && unread.contains(&"interval");
        for fault in faults.into_iter().filter(|fault| !is_open(fault.key)) {
            self::fault(service, fault, path, report);
        }
    } else if scheme.as_deref() == Some("mcp") {
        server(service, root, path, report);
    }
    for (at, node) in service.get("maintenance").map(Node::items).unwrap_or_default().iter().enumerate() {
        window(node, &Path::Item(&Path::Key(path, "maintenance"), at), report);
    }
    for (at, node) in service.get("objectives").map(Node::items).unwrap_or_default().iter().enumerate() {
        objective(node, &Path::Item(&Path::Key(path, "objectives"), at), report);
    }
}

fn is_known(scheme: &str) -> bool {
    puerto_watch::probe::SCHEMES.iter().any(|(known, _)| *known == scheme)
}

/// The definition, with what can be read of it, and the keys of what cannot.
fn readable(service: &Node) -> (ServiceDef, Vec<&str>) {
    let base = || serde_json::Map::from_iter([("name".into(), json!("x")), ("url".into(), json!("push://"))]);
    let reads = |members: &serde_json::Map<String, Json>| {
        serde_json::from_value::<ServiceDef>(Json::Object(members.clone())).ok()
    };
    let (mut kept, mut unread) = (base(), Vec::new());
    for member in service.members().iter().filter(|member| member.key != "name") {
        let mut one = base();
        one.insert(member.key.clone(), member.node.to_json());
        match reads(&one) {
            Some(_) => drop(kept.insert(member.key.clone(), member.node.to_json())),
            None => unread.push(member.key.as_str()),
        }
    }
    (reads(&kept).expect("each of its members was read by itself"), unread)
}

/// Points at what is wrong.
pub(super) fn fault(service: &Node, fault: Fault, path: &Path<'_>, report: &mut Report<'_>) {
    let path = Path::Key(path, fault.key);
    let Some(whole) = service.member(fault.key) else {
        let span = Span { start: service.span.start, end: service.span.start + 1 };
        return report.add(span, &path, Problem::error(fault.why).help(fault.help));
    };
    let (node, span, path) = match &fault.inside {
        Inside::Whole => (&whole.node, None, path),
        Inside::Item(at) => {
            (whole.node.items().get(*at).unwrap_or(&whole.node), None, Path::Item(&path, *at))
        }
        Inside::Member(key) => {
            let member = whole.node.member(key).unwrap_or(whole);
            let span = Span { start: member.key_span.start, end: member.node.span.end };
            (&member.node, Some(span), Path::Key(&path, key))
        }
    };
    let why = match &node.value {
        // What is said of an address repeats nothing of it.
        Value::Expanded(_) if fault.key != "url" => "the value of the variable does not fit here".into(),
        _ => fault.why,
    };
    let span = span.unwrap_or_else(|| place(node, fault.at, report));
    report.add(span, &path, Problem::error(why).help(fault.help));
}

/// A place in a text, where it stands in the file as it is.
fn place(node: &Node, at: Option<usize>, report: &Report<'_>) -> Span {
    match (at, &node.value) {
        (Some(at), Value::Text(text)) if report.written(node) == format!("\"{text}\"") => {
            Span { start: node.span.start + 1 + at, end: node.span.end - 1 }
        }
        _ => node.span,
    }
}

/// The tenant that it names must be there.
pub(super) fn tenant(service: &Node, root: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(tenants) = root.get("tenants").filter(|tenants| matches!(tenants.value, Value::Object(_)))
    else {
        return;
    };
    let name = tenant_of(service);
    if tenants.get(name).is_some() {
        return;
    }
    let known = tenants.members().iter().map(|member| &*member.key);
    let help = match known::nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("tenants are {}", known.collect::<Vec<_>>().join(", ")),
    };
    let span = Span { start: service.span.start, end: service.span.start + 1 };
    let (span, name) = match service.get("tenant") {
        Some(node) if node.text().is_some() => (node.span, shown(node)),
        Some(_) => return,
        None => (span, format!("{name:?}")),
    };
    let problem = Problem::error(format!("there is no tenant {name}"));
    report.add(span, &Path::Key(path, "tenant"), problem.help(help));
}

/// The server that is watched must be there, and in the same tenant: nothing crosses.
fn server(service: &Node, root: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(url) = service.get("url") else { return };
    let Some((tenant, name)) = url.text().and_then(|url| url.get(6..)).and_then(|rest| rest.split_once('/'))
    else {
        return;
    };
    let problem = if TenantId::new(tenant).is_ok() && tenant != tenant_of(service) {
        let help = format!(
            "write mcp://{}/ and the server's name, or give the service that tenant",
            tenant_of(service)
        );
        Problem::error("the server belongs to another tenant than the service").help(help)
    } else {
        let Some(servers) =
            root.get("tenants").and_then(|all| all.get(tenant)).and_then(|one| one.get("servers"))
        else {
            return;
        };
        if servers.get(name).is_some() {
            return;
        }
        let known = servers.members().iter().map(|member| &*member.key);
        let help = match known::nearest(name, known.clone()) {
            Some(near) => format!("did you mean mcp://{tenant}/{near}?"),
            None => format!("servers are {}", known.collect::<Vec<_>>().join(", ")),
        };
        Problem::error("the tenant has no such server").help(help)
    };
    report.add(url.span, &Path::Key(path, "url"), problem);
}

/// Whether it is a length of time, and which.
pub(super) fn time(node: &Node, path: &Path<'_>, report: &mut Report<'_>) -> Option<def::Span> {
    let read = match &node.value {
        // Of what is below zero the schema tells.
        Value::Number(number) if number.as_i64().is_some_and(i64::is_negative) => return None,
        Value::Number(number) => def::Span::of_seconds(number.as_f64().unwrap_or(f64::NAN)),
        Value::Text(text) | Value::Expanded(text) => text.parse(),
        _ => return None,
    };
    read.map_err(|error| report.add(node.span, path, Problem::error(error.to_string()))).ok()
}

/// Whether it is a window of time.
pub(super) fn window(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let is_given = |key: &&str| node.get(key).is_some_and(|node| !node.is_empty());
    let again: Vec<_> = ["days", "start", "duration", "zone"].into_iter().filter(is_given).collect();
    let once: Vec<_> = ["from", "until"].into_iter().filter(is_given).collect();
    let help = "write { \"days\": [\"sunday\"], \"start\": \"02:00\", \"duration\": \"2h\" }, or { \"from\": \
                \"2026-11-30T22:00:00Z\", \"until\": \"2026-12-01T04:00:00Z\" }";
    let missing = match (&again[..], &once[..]) {
        ([_, ..], [_, ..]) => {
            Some("it is once, by \"from\" and \"until\", and also again and again".to_owned())
        }
        ([], [_, ..]) => {
            ["from", "until"].iter().find(|key| !is_given(key)).map(|key| format!("it lacks the key {key:?}"))
        }
        _ => ["start", "duration"]
            .iter()
            .find(|key| !is_given(key))
            .map(|key| format!("it lacks the key {key:?}")),
    };
    if let (Some(why), Value::Object(_)) = (missing, &node.value) {
        let span = Span { start: node.span.start, end: node.span.start + 1 };
        report.add(span, path, Problem::error(why).help(help));
    }
    if let Some(duration) = node.get("duration") {
        time(duration, &Path::Key(path, "duration"), report);
    }
    let mut text = |key: &str, is_well: &dyn Fn(&str) -> bool, why: &str, help: &str| {
        let Some(node) = node.get(key).filter(|node| node.text().is_some_and(|text| !is_well(text))) else {
            return;
        };
        report.add(node.span, &Path::Key(path, key), Problem::error(why).help(help));
    };
    text("start", &is_time_of_day, "this is no time of day", "write hours and minutes, as in \"02:00\"");
    for key in ["from", "until"] {
        let help =
            "write it as in \"2026-11-30T22:00:00Z\", or with an offset as in \"2026-11-30T22:00:00+01:00\"";
        text(key, &|text| text.parse::<Timestamp>().is_ok(), "this is no point in time", help);
    }
    let at = |key: &str| node.get(key).and_then(Node::text).and_then(|text| text.parse::<Timestamp>().ok());
    if let (Some(from), Some(until)) = (at("from"), at("until")) {
        text("until", &|_| until > from, "it ends before it begins", "\"until\" must be later than \"from\"");
    }
    if let Some(zone) = node.get("zone") {
        self::zone(zone, &Path::Key(path, "zone"), report);
    }
}

fn is_time_of_day(text: &str) -> bool {
    let number = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once(':')
        .is_some_and(|(hours, minutes)| number(hours) && number(minutes) && hours < "24" && minutes < "60")
}

fn zone(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(name) = node.text().filter(|name| TimeZone::get(name).is_err()) else { return };
    let known: Vec<_> = db().available().map(|zone| zone.to_string()).collect();
    let help = match known::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => {
            "write a name of the IANA database, as in \"Europe/Madrid\"; the system has it in tzdata".into()
        }
    };
    let problem = Problem::error("this time zone is not known");
    report.add(node.span, path, problem.help(help));
}

fn objective(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(target) = node.get("target") else { return };
    let Value::Number(number) = &target.value else { return };
    if number.as_f64().is_some_and(|percent| percent > 0.0 && percent < 100.0) {
        return;
    }
    let problem = Problem::error("an objective is a share above 0 and below 100 per cent");
    let help = "write as in \"target\": 99.9; where nothing may fail, nothing is left to be spent";
    report.add(target.span, &Path::Key(path, "target"), problem.help(help));
}

/// Whether parents are there, and none depends on itself.
fn parents(named: &Named<'_>, path: &Path<'_>, report: &mut Report<'_>) {
    for (name, (at, service)) in named {
        let path = Path::Item(path, *at);
        let path = Path::Key(&path, "parents");
        for (at, parent) in service.get("parents").map(Node::items).unwrap_or_default().iter().enumerate() {
            let Some(text) = parent.text().filter(|text| !named.contains_key(text)) else { continue };
            let problem = Problem::error(format!("{} is no service of this tenant", shown(parent)));
            let help = match known::nearest(text, named.keys().copied().filter(|other| other != name)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "parents are named as in \"name\" of another service".into(),
            };
            report.add(parent.span, &Path::Item(&path, at), problem.help(help));
        }
    }
    for circle in circles(named) {
        let message = format!("services depend on each other in a circle: {}", circle.names.join(" -> "));
        let help = "each would hide that the next is down; take out one of these parents";
        let path = Path::Item(path, circle.service);
        let path = Path::Key(&path, "parents");
        let problem = Problem::error(message).help(help);
        report.add(circle.parent.span, &Path::Item(&path, circle.item), problem);
    }
}

/// Services that depend on themselves, by way of others or not.
struct Circle<'a> {
    /// From the first of them to itself again.
    names: Vec<&'a str>,
    /// Where the circle closes: the place of the service, that among its parents, and the parent itself.
    service: usize,
    item: usize,
    parent: &'a Node,
}

/// Follows every parent once, on a stack of its own: a chain may be as long as the list.
fn circles<'a>(named: &Named<'a>) -> Vec<Circle<'a>> {
    let mut found = Vec::new();
    // Whether each one that was reached is on the stack still.
    let mut reached: BTreeMap<&str, bool> = BTreeMap::new();
    for name in named.keys().copied() {
        if reached.contains_key(name) {
            continue;
        }
        reached.insert(name, true);
        let mut stack = vec![(name, 0)];
        while let Some((name, next)) = stack.last_mut() {
            let (service, node) = named[name];
            let item = *next;
            *next += 1;
            let Some(parent) = node.get("parents").and_then(|all| all.items().get(item)) else {
                reached.insert(name, false);
                stack.pop();
                continue;
            };
            let Some((parent_name, _)) = parent.text().and_then(|text| named.get_key_value(text)) else {
                continue;
            };
            match reached.get(parent_name) {
                Some(false) => {}
                None => {
                    reached.insert(parent_name, true);
                    stack.push((parent_name, 0));
                }
                Some(true) => {
                    let names = stack.iter().map(|(name, _)| *name);
                    let names = names.skip_while(|name| name != parent_name).chain([*parent_name]).collect();
                    found.push(Circle { names, service, item, parent });
                }
            }
        }
    }
    found
}
