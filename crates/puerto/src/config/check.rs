//! What no schema can say: which keys go together, which addresses can be served, which names collide.
//! Works on the tree and not on the definitions, so that it also runs, and points at a place, when
//! other parts of the file are wrong. A value of a wrong kind is passed over here: `schema` tells it.

use std::net::IpAddr;

use puerto_core::ServerName;
use puerto_mcp::names;
use puerto_store::Store;

use super::json::{Member, Node, Span, Value};
use super::problem::{Path, Problem, Report};
use super::{alerts, known, schedules, server, service, shape};
use crate::telemetry::POINTS_EVERY_MIN;

/// Judges a whole configuration.
pub(crate) fn check(root: &Node, report: &mut Report<'_>) {
    let path = Path::Root;
    if let Some(version) = root.get("version")
        && let Some(given) = version.text()
        && given != "1.0.0"
    {
        let problem = Problem::error("this version of the format is not known")
            .expected(report.written(version), "\"1.0.0\"");
        report.add(version.span, &Path::Key(&path, "version"), problem);
    }
    if let Some(tenants) = root.get("tenants") {
        self::tenants(tenants, &Path::Key(&path, "tenants"), report);
    }
    if let Some(gateway) = root.get("gateway") {
        self::gateway(gateway, &Path::Key(&path, "gateway"), report);
    }
    if let Some(tasks) = root.get("tasks") {
        schedules::check(root, tasks, &Path::Key(&path, "tasks"), report);
    }
    if let Some(telemetry) = root.get("telemetry") {
        self::telemetry(telemetry, &Path::Key(&path, "telemetry"), report);
    }
    if let Some(url) = root.get("store").and_then(|store| store.get("url")) {
        store(url, &Path::Key(&Path::Key(&path, "store"), "url"), report);
    }
    if let Some(copies) = root.get("audit").and_then(|audit| audit.get("copies")) {
        alerts::copies(copies, &Path::Key(&Path::Key(&path, "audit"), "copies"), report);
    }
    service::check(root, report);
    alerts::check(root, report);
}

fn tenants(tenants: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Value::Object(members) = &tenants.value
        && members.is_empty()
    {
        let help = "define at least one: \"default\": { \"servers\": { … } }";
        report.add(tenants.span, path, Problem::error("no tenant is defined").help(help));
    } else if let Value::Object(members) = &tenants.value
        && tenants.get("default").is_none()
        && let Some(first) = members.first()
    {
        let problem = Problem::warning("no tenant is named \"default\"");
        let help = format!("callers must name theirs, as in /mcp/{}", first.key);
        report.add(first.key_span, path, problem.help(help));
    }
    for member in tenants.members() {
        tenant(&member.node, &Path::Key(path, &member.key), report);
    }
}

fn tenant(tenant: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(env) = tenant.get("env") {
        server::env(env, &Path::Key(path, "env"), report);
    }
    shape::check(tenant, path, report);
    let Some(servers) = tenant.member("servers") else { return };
    let servers_path = Path::Key(path, "servers");
    quota(tenant, servers, &servers_path, report);
    aliases(servers.node.members(), &servers_path, report);
    for member in servers.node.members() {
        server::check(member, &Path::Key(&servers_path, &member.key), report);
    }
}

fn quota(tenant: &Node, servers: &Member, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(limit) = tenant.get("quotas").and_then(|quotas| quotas.get("max_servers")) else { return };
    let Value::Number(limit) = &limit.value else { return };
    let (limit, defined) = (limit.as_u64().unwrap_or(0), servers.node.members().len() as u64);
    if limit > 0 && defined > limit {
        let message = format!("{defined} servers are more than the tenant's quota of {limit}");
        let help = "remove servers, or raise quotas.max_servers";
        report.add(servers.key_span, path, Problem::error(message).help(help));
    }
}

/// Names that differ only in what the wire does not carry.
fn aliases(servers: &[Member], path: &Path<'_>, report: &mut Report<'_>) {
    let named: Vec<_> = servers.iter().filter_map(|s| Some((ServerName::new(&s.key).ok()?, s))).collect();
    let aliases = names::aliases(named.iter().map(|(name, _)| name));
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    for (name, member) in &named {
        let Some(alias) = aliases.get(name) else { continue };
        let twin =
            named.iter().find(|(other, _)| other != name && plain(other.as_str()) == plain(name.as_str()));
        let Some((twin, _)) = twin.filter(|_| *alias != plain(name.as_str())) else { continue };
        let message = format!("{:?} and {:?} look alike to MCP clients", name.as_str(), twin.as_str());
        let help = format!("tools of this one are listed under {alias:?}; rename it for a readable name");
        report.add(member.key_span, &Path::Key(path, &member.key), Problem::warning(message).help(help));
    }
}

fn gateway(gateway: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(node) = gateway.get("host")
        && let Some(host) = node.text()
        && !is_loopback(host)
    {
        let message = "only loopback addresses are served until access is part of Puerto";
        let problem =
            Problem::error(message).expected(report.written(node), "\"127.0.0.1\", \"::1\" or \"localhost\"");
        let help = "to reach it from elsewhere, use an ssh tunnel (ssh -L 8080:127.0.0.1:8080 HOST) or a \
                    reverse proxy that asks for credentials";
        report.add(node.span, &Path::Key(path, "host"), problem.help(help));
    }
    ports(gateway, path, report);
    let origins = gateway.get("allowed_origins").map(Node::items).unwrap_or_default();
    for (at, node) in origins.iter().enumerate() {
        let Some(given) = node.text().filter(|given| !is_origin(given)) else { continue };
        let problem =
            Problem::error("this is not an origin").expected(report.written(node), "\"https://host[:port]\"");
        let problem = match given {
            "*" => problem.help("name each origin: any web page could use the tools otherwise"),
            _ => problem.help("an origin has a scheme and a host, and no path: not even a last \"/\""),
        };
        report.add(node.span, &Path::Item(&Path::Key(path, "allowed_origins"), at), problem);
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_origin(given: &str) -> bool {
    let rest = given.strip_prefix("https://").or_else(|| given.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.contains(['@', '/', '?', '#', '*']) && rest.parse::<http::uri::Authority>().is_ok()
    })
}

fn ports(gateway: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let number = |key: &str| match gateway.get(key)?.value {
        Value::Number(ref number) => number.as_u64().filter(|port| *port > 0),
        _ => None,
    };
    let keys = ["port", "mcp_port", "websocket_port"];
    let default = |key: &str| (key == "port" && gateway.get(key).is_none()).then_some(8080);
    for (at, key) in keys.iter().enumerate().skip(1) {
        let Some(port) = number(key) else { continue };
        let Some(same) =
            keys[..at].iter().find(|other| number(other).or_else(|| default(other)) == Some(port))
        else {
            continue;
        };
        let problem = Problem::error(format!("port {port} is already taken by {same:?}"));
        let problem = problem.help("choose another port, or leave the key out: every port serves everything");
        let span = gateway.get(key).map_or(Span::default(), |node| node.span);
        report.add(span, &Path::Key(path, key), problem);
    }
}

fn store(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(url) = node.text() else { return };
    if url == "sqlite::memory:" || sqlite_file(url).is_some() {
        return;
    }
    let is_postgres = matches!(url.split_once("://"), Some(("postgres" | "postgresql", _)));
    if is_postgres && Store::is_address(url) {
        return;
    }
    let problem = Problem::error("this is not where Puerto can keep its data");
    let expected = "\"sqlite://path/to/file.db\", \"postgres://user@host/name\" or \"sqlite::memory:\"";
    let problem = problem.expected(scheme(node), expected);
    let problem = match url.split_once(':') {
        Some(("mysql" | "mariadb" | "redis", _)) => problem.help("Puerto keeps its own data in SQLite or in Postgres"),
        Some(("postgres" | "postgresql", _)) => {
            problem.help("write postgres://user:password@host:5432/name, and what is no letter or digit in the password as %XX")
        }
        _ => later_database(node, problem),
    };
    report.add(node.span, path, problem);
}

fn telemetry(telemetry: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(address) = telemetry.get("otlp") {
        collector(address, &Path::Key(path, "otlp"), report);
    }
    if let Some(node) = telemetry.get("metrics_interval") {
        let path = Path::Key(path, "metrics_interval");
        let interval = service::time(node, &path, report);
        if interval.is_some_and(|interval| interval.get() < POINTS_EVERY_MIN) {
            let problem = Problem::error("metrics are not sent more often than once a second");
            let help = "write \"1s\" or more; \"metrics\": false sends none";
            report.add(node.span, &path, problem.help(help));
        }
    }
}

fn collector(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(address) = node.text() else { return };
    let is_http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    if address.parse::<http::Uri>().is_ok_and(|uri| is_http(&uri) && uri.query().is_none()) {
        return;
    }
    let problem = Problem::error("this is no address of a collector");
    let problem = problem.expected(scheme(node), "\"http://host:4318\" or \"https://…\"");
    let help = "it is OTLP over HTTP that is spoken; gRPC, mostly at port 4317, is not";
    report.add(node.span, path, problem.help(help));
}

/// The path of `sqlite://path`, where it is one.
pub(super) fn sqlite_file(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite://")?;
    (!path.is_empty() && !path.ends_with('/') && !path.contains(['?', '\0'])).then_some(path)
}

/// With a word about databases that come later.
pub(super) fn later_database(node: &Node, problem: Problem) -> Problem {
    let url = node.text().unwrap_or_default();
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql" | "mysql" | "mariadb" | "redis") => {
            problem.help("other databases come in a later version of Puerto; this one knows SQLite")
        }
        Some("sqlite") if url.contains('?') => {
            problem.help("options after \"?\" are not read; leave them out")
        }
        Some("sqlite") => {
            problem.help("write sqlite:// and the path of a file, as in sqlite://data/puerto.db")
        }
        // What a variable stands for may be a secret.
        None if !url.is_empty() && matches!(node.value, Value::Text(_)) => {
            problem.help(format!("did you mean \"sqlite://{url}\"?"))
        }
        _ => problem,
    }
}

/// What is told of an address: it may hold a password, so only its scheme, and of one with variables not even that.
pub(super) fn scheme(node: &Node) -> String {
    if matches!(node.value, Value::Expanded(_)) {
        return "an address with variables".into();
    }
    match node.text().unwrap_or_default().split_once("://") {
        Some((scheme, _)) if !scheme.is_empty() => format!("\"{scheme}://…\""),
        _ => "no \"scheme://\" in it".into(),
    }
}

/// The word that a value of a closed set stands for, also where it is written a little wrong.
pub(super) fn word<'a>(node: Option<&'a Node>, words: &[&'a str]) -> Option<&'a str> {
    let given = node?.text()?;
    words.iter().copied().find(|word| *word == given).or_else(|| known::nearest(given, words.iter().copied()))
}
