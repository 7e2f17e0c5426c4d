//! Whether the keys of one server go together: exactly one way to reach it, and only keys that mean
//! something for that way.

use http::{HeaderName, HeaderValue, Uri};
use puerto_core::def::Transport;

use super::check::{later_database, scheme, sqlite_file, word};
use super::json::{Member, Node, Value};
use super::problem::{Path, Problem, Report};
use super::{known, openapi};

/// The keys that say how a server is reached.
const WAYS: [&str; 4] = ["command", "url", "builtin", "file"];

/// The transports, each with the keys of which one goes with it.
const TRANSPORTS: [(&str, &[&str]); 7] = [
    ("stdio", &["command"]),
    ("http", &["url"]),
    ("sse", &["url"]),
    ("tcp", &["url"]),
    ("websocket", &["url"]),
    ("openapi", &["url", "file"]),
    ("builtin", &["builtin"]),
];

/// The transports over which a server keeps something of its callers that they do not choose themselves.
const KEEPING: [&str; 4] = ["stdio", "sse", "tcp", "websocket"];

/// Keys that mean something for some transports only.
const ONLY: [(&str, &[&str]); 15] = [
    ("args", &["stdio"]),
    ("cwd", &["stdio"]),
    ("env", &["stdio"]),
    ("idle_timeout", &["stdio"]),
    ("max_lifetime", &["stdio"]),
    ("limits", &["stdio"]),
    ("max_instances", &KEEPING),
    ("headers", &["http", "sse", "websocket", "openapi"]),
    ("token", &["tcp"]),
    ("base_url", &["openapi"]),
    ("operations", &["openapi"]),
    ("auth", &["openapi"]),
    ("pages", &["openapi"]),
    ("max_response_bytes", &["openapi"]),
    ("options", &["builtin"]),
];

/// Headers that Puerto writes itself for every request.
pub(crate) const OUR_HEADERS: [&str; 11] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
];

/// Judges one server.
pub(crate) fn check(member: &Member, path: &Path<'_>, report: &mut Report<'_>) {
    let node = &member.node;
    if !matches!(node.value, Value::Object(_)) {
        return;
    }
    if let Some(transport) = transport(member, path, report) {
        for (key, owners) in ONLY {
            let foreign = !owners.contains(&transport);
            let Some(other) = node.member(key).filter(|m| foreign && !m.node.is_empty()) else {
                continue;
            };
            let problem =
                Problem::error(format!("{key:?} means nothing for a server reached by {transport}"));
            let help = match key {
                "auth" => {
                    "write it as a header: \"headers\": { \"Authorization\": \"Bearer ${TOKEN}\" }".into()
                }
                _ => format!("it belongs to {} servers; leave it out", owners.join(", ")),
            };
            report.add(other.key_span, &Path::Key(path, key), problem.help(help));
        }
        if let Some(node) = node.get("sharing") {
            sharing(node, transport, &Path::Key(path, "sharing"), report);
        }
        match transport {
            "builtin" => options(member, path, report),
            "openapi" => openapi::check(node, path, report),
            _ => {}
        }
        if let Some(url) = node.get("url") {
            self::url(url, transport, &Path::Key(path, "url"), report);
        }
    }
    if let Some(command) = node.get("command") {
        self::command(node, command, &Path::Key(path, "command"), report);
    }
    if let Some(env) = node.get("env") {
        self::env(env, &Path::Key(path, "env"), report);
    }
    if let Some(headers) = node.get("headers") {
        self::headers(headers, &Path::Key(path, "headers"), report);
    }
}

/// Whether it is of any use that callers have a server each.
fn sharing(node: &Node, transport: &str, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(given) = node.text().filter(|given| *given != "shared" && !KEEPING.contains(&transport)) else {
        return;
    };
    let text = format!("\"sharing\": {given:?} means nothing for a server reached by {transport}");
    let help = match transport {
        "http" => "each client has a session of its own there already; leave it out",
        _ => "it keeps nothing of one caller that another could see; leave it out",
    };
    report.add(node.span, path, Problem::error(text).help(help));
}

/// How the server is reached; tells where that is not said, said twice or said against itself.
fn transport<'a>(member: &'a Member, path: &Path<'_>, report: &mut Report<'_>) -> Option<&'a str> {
    let node = &member.node;
    let given: Vec<_> =
        WAYS.into_iter().filter(|key| node.get(key).is_some_and(|n| n.value != Value::Null)).collect();
    if let [first, second, ..] = given[..] {
        let second_span = node.member(second).map_or(member.key_span, |m| m.key_span);
        let problem = Problem::error(format!("{first:?} and {second:?} are two ways to reach one server"));
        report.add(second_span, &Path::Key(path, second), problem.help("keep one of them"));
        return None;
    }
    let named = node.get("transport").filter(|n| n.value != Value::Null);
    match (named, given.first()) {
        (None, Some(way)) => Some(follows(node, way)),
        // A misspelt key is told of by the schema; that there is no other is not worth another word.
        (None, None) if node.members().iter().any(|m| means_a_way(&m.key)) => None,
        (None, None) => {
            let problem = Problem::error("nothing says how to reach this server");
            let help =
                "give it a \"command\" to start, a \"url\" to call, or the name of a \"builtin\" server";
            report.add(member.key_span, path, problem.help(help));
            None
        }
        (Some(named), given) => {
            // Another word is told of by the schema, with what it may be.
            let transport = word(Some(named), &TRANSPORTS.map(|(transport, _)| transport))?;
            let (_, keys) = TRANSPORTS.into_iter().find(|(name, _)| *name == transport)?;
            match given {
                Some(other) if !keys.contains(other) => {
                    let problem =
                        Problem::error(format!("transport {transport:?} does not go with {other:?}"));
                    let help = format!(
                        "write \"transport\": {:?}, or leave it out: it follows from {other:?}",
                        follows(node, other)
                    );
                    report.add(named.span, &Path::Key(path, "transport"), problem.help(help));
                    None
                }
                None if node.members().iter().any(|m| means_a_way(&m.key)) => None,
                None => {
                    let keys: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
                    let keys = keys.join(" or ");
                    let problem =
                        Problem::error(format!("a server reached by {transport} needs the key {keys}"));
                    report.add(member.key_span, path, problem.help(format!("add {}", example(transport))));
                    None
                }
                Some(_) => Some(transport),
            }
        }
    }
}

/// The transport that follows from the key that says how a server is reached.
fn follows(node: &Node, way: &str) -> &'static str {
    match way {
        "command" => "stdio",
        "builtin" => "builtin",
        "file" => "openapi",
        _ => Transport::of_url(node.get("url").and_then(Node::text).unwrap_or_default()).name(),
    }
}

/// Whether a key was probably meant to say how the server is reached.
fn means_a_way(key: &str) -> bool {
    let quoted = |help: &str| WAYS.iter().any(|way| help.contains(&format!("{way:?}?")));
    known::nearest(key, WAYS).is_some() || known::foreign_key("ServerDef", key).is_some_and(quoted)
}

fn example(transport: &str) -> &'static str {
    match transport {
        "stdio" => "the program to start, as in \"command\": \"npx\"",
        "http" => "its address, as in \"url\": \"https://example.com/mcp\"",
        "sse" => "its address, as in \"url\": \"https://example.com/sse\"",
        "tcp" => "its address, as in \"url\": \"tcp://127.0.0.1:7001\"",
        "websocket" => "its address, as in \"url\": \"wss://example.com/mcp\"",
        "openapi" => {
            "where its document is, as in \"url\": \"https://example.com/openapi.json\" or \"file\": \"openapi.yaml\""
        }
        _ => "\"builtin\": \"monitor\", \"file\" or \"db\"",
    }
}

/// Options that the built-in server does not have, and those that it lacks.
fn options(member: &Member, path: &Path<'_>, report: &mut Report<'_>) {
    let node = &member.node;
    let Some(builtin) = word(node.get("builtin"), &["monitor", "file", "db"]) else { return };
    let options = node.get("options");
    let has: &[&str] = match builtin {
        "file" => &["roots", "writable"],
        "db" => &["url", "init", "writable"],
        _ => &[],
    };
    let options_path = Path::Key(path, "options");
    let given = options.map(Node::members).unwrap_or_default();
    let known = ["roots", "url", "init", "writable"];
    for other in given.iter().filter(|m| known.contains(&&*m.key) && !has.contains(&&*m.key)) {
        let problem =
            Problem::error(format!("the built-in server {builtin:?} has no option {:?}", other.key));
        let help = if has.is_empty() { "it has none".into() } else { format!("it has {}", has.join(", ")) };
        report.add(other.key_span, &Path::Key(&options_path, &other.key), problem.help(help));
    }
    let get = |key: &str| options.and_then(|options| options.get(key)).filter(|n| !n.is_empty());
    match builtin {
        "file" if get("roots").is_none() => {
            let problem = Problem::error("nothing says which directories to serve");
            let help = "name them: \"options\": { \"roots\": [\"path/to/directory\"] }";
            report.add(member.key_span, path, problem.help(help));
        }
        "db" => match get("url") {
            None => {
                let problem = Problem::error("nothing says which database to open");
                let help = "name it: \"options\": { \"url\": \"sqlite://path/to/file.db\" }";
                report.add(member.key_span, path, problem.help(help));
            }
            Some(url) => {
                database(url, &Path::Key(&options_path, "url"), report);
                init(get("init"), get("writable"), &options_path, report);
            }
        },
        _ => {}
    }
}

fn database(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(url) = node.text() else { return };
    if sqlite_file(url).is_some_and(|file| file != ":memory:") {
        return;
    }
    let problem = Problem::error("this is not a database that the built-in server can open");
    let problem = problem.expected(scheme(node), "\"sqlite://path/to/file.db\"");
    report.add(node.span, path, later_database(node, problem));
}

fn init(init: Option<&Node>, writable: Option<&Node>, options: &Path<'_>, report: &mut Report<'_>) {
    let is_writable = writable.is_some_and(|node| !matches!(node.value, Value::Bool(false)));
    if let Some(init) = init.filter(|_| !is_writable) {
        let problem = Problem::error("\"init\" changes a database that may only be read");
        let help = "add \"writable\": true, or leave \"init\" out";
        report.add(init.span, &Path::Key(options, "init"), problem.help(help));
    }
}

/// What an address looks like for a transport.
fn shape(transport: &str) -> (&'static [&'static str], &'static str) {
    match transport {
        "tcp" => (&["tcp"], "\"tcp://host:port\""),
        "websocket" => (&["ws", "wss"], "\"ws://host/path\" or \"wss://host/path\""),
        _ => (&["http", "https"], "\"http://host/path\" or \"https://host/path\""),
    }
}

pub(super) fn url(node: &Node, transport: &str, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(given) = node.text() else { return };
    let (schemes, wants) = shape(transport);
    let lower = given.to_ascii_lowercase();
    let given_scheme = lower.split_once("://").map(|(scheme, _)| scheme);
    if !given_scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
        let problem = Problem::error(format!("this is not an address of a server reached by {transport}"))
            .expected(scheme(node), wants);
        let problem = match given_scheme {
            None => problem.help(format!("write {}:// in front of it", schemes.join(":// or "))),
            Some(_) => problem,
        };
        return report.add(node.span, path, problem);
    }
    let malformed = |report: &mut Report<'_>| {
        let problem = Problem::error("this address is malformed").help(format!("write it as {wants}"));
        report.add(node.span, path, problem);
    };
    match given.parse::<Uri>() {
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            let problem = Problem::error("an address holds no user and no password");
            let help = match transport {
                "tcp" => "give the server's token: \"token\": \"${TOKEN}\"",
                "openapi" => {
                    "write \"auth\": { \"basic\": { \"username\": \"…\", \"password\": \"${PASSWORD}\" } }"
                }
                _ => "write them as a header: \"headers\": { \"Authorization\": \"Basic ${TOKEN}\" }",
            };
            report.add(node.span, path, problem.help(help));
        }
        Ok(uri) if transport == "tcp" && uri.port_u16().is_none() => malformed(report),
        Ok(uri) if transport == "http" && is_document(uri.path()) => {
            let problem = Problem::warning("this looks like an OpenAPI document and not like an MCP server");
            let help = "to make tools of it, add \"transport\": \"openapi\"";
            report.add(node.span, path, problem.help(help));
        }
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => {}
        _ => malformed(report),
    }
}

/// Whether a path ends like that of an OpenAPI document.
fn is_document(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["openapi.json", "openapi.yaml", "openapi.yml", "swagger.json", "swagger.yaml"].contains(&name)
}

fn command(server: &Node, node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(given) = node.text() else { return };
    if given.trim().is_empty() {
        let help = "name a program, as in \"command\": \"npx\"";
        return report.add(node.span, path, Problem::error("the command is empty").help(help));
    }
    let no_args = server.get("args").is_none_or(Node::is_empty);
    let Some((program, rest)) = given.split_once(' ') else { return };
    if no_args && !program.contains(['/', '\\']) {
        let args: Vec<_> = rest.split_whitespace().map(|arg| format!("{arg:?}")).collect();
        let problem = Problem::warning("a command is one program and runs without a shell");
        let help = match node.value {
            // What a variable stands for may be a secret.
            Value::Expanded(_) => "write its arguments as a list: \"args\": [ … ]".to_owned(),
            _ => format!("did you mean \"command\": {program:?}, \"args\": [{}]?", args.join(", ")),
        };
        report.add(node.span, path, problem.help(help));
    }
}

/// Judges an environment for processes.
pub(crate) fn env(env: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    for member in env.members() {
        if member.key.is_empty() || member.key.contains(['=', '\0']) {
            let problem = Problem::error("this is not the name of an environment variable");
            let problem = problem.help("a name is not empty and holds no \"=\"");
            report.add(member.key_span, &Path::Key(path, &member.key), problem);
        } else if member.node.text().is_some_and(|value| value.contains('\0')) {
            let problem = Problem::error("the value of an environment variable cannot hold a NUL");
            report.add(member.node.span, &Path::Key(path, &member.key), problem);
        }
    }
}

pub(super) fn headers(headers: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    for member in headers.members() {
        let path = Path::Key(path, &member.key);
        let lower = member.key.to_ascii_lowercase();
        if HeaderName::from_bytes(member.key.as_bytes()).is_err() {
            let problem = Problem::error(format!("{:?} is not the name of a header", member.key));
            let help = "a name is made of letters, digits and \"-\", as in \"X-Api-Key\"";
            report.add(member.key_span, &path, problem.help(help));
        } else if OUR_HEADERS.contains(&&*lower) {
            let problem = Problem::error(format!("Puerto writes the header {:?} itself", member.key));
            report.add(member.key_span, &path, problem.help("leave it out"));
        }
        if member.node.text().is_some_and(|value| HeaderValue::from_bytes(value.as_bytes()).is_err()) {
            let problem =
                Problem::error("a header's value cannot hold a line break or another control character");
            report.add(
                member.node.span,
                &path,
                problem.help("is there a line break at the end of the variable?"),
            );
        }
    }
}
