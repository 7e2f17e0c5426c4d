//! A registry's `server.json`: packages that a package runner starts, or remote addresses, with the variables
//! and arguments that they ask for. Files from before September 2025 write their keys with underscores and
//! are read too.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use super::entry::scalar;
use super::notation::{literal, variable};
use super::{Found, Surroundings, line};
use crate::command::add::transport;
use crate::command::draft::{Draft, harmless, quoted};
use crate::command::edit::{Done, Source};
use crate::config::Problem;
use crate::config::json::{Node, Value};
use crate::config::problem::Path as Key;
use crate::out;

/// Reads one server.
pub(super) fn read(source: &Source, server: &Node, key: &Key<'_>, around: &Surroundings) -> Done<Found> {
    let Some(name) = server.get("name").and_then(Node::text) else {
        let problem =
            Problem::error("a server.json needs a \"name\"").help("as in \"io.github.user/server\"");
        return Err(source.wrong(server.span, key, problem));
    };
    let packages = server.get("packages").map(Node::items).unwrap_or_default();
    let remotes = server.get("remotes").map(Node::items).unwrap_or_default();
    let mut asking = Asking {
        around,
        missing: Vec::new(),
        notes: Vec::new(),
        meanings: BTreeMap::new(),
        choices: Vec::new(),
    };
    let package =
        packages.iter().enumerate().find_map(|(at, package)| Some((at, package, Runner::of(package)?)));
    let mut draft = match (package.filter(|_| !around.remote || remotes.is_empty()), remotes.first()) {
        (Some((_, package, runner)), _) => {
            if !remotes.is_empty() {
                asking.notes.push("it has a remote address too: --remote takes that one".into());
            }
            asking.package(package, &runner, old_version(server))
        }
        (None, Some(remote)) => asking.remote(remote),
        (None, None) => {
            let (span, problem) = match packages.first() {
                Some(package) => (
                    package.span,
                    Problem::error(format!("Puerto cannot start a package of this kind: {}", kind(package))),
                ),
                None => {
                    (server.span, Problem::error("neither a package nor a remote address is in this file"))
                }
            };
            if let Some(problem) = packages.first().and_then(bundle) {
                return Err(source.wrong(first(server), &Key::Key(key, "packages"), problem));
            }
            let help = "npm, pypi and oci packages that speak on standard input and output can be taken over, and remote addresses";
            return Err(source.wrong(span, &Key::Key(key, "packages"), problem.help(help)));
        }
    };
    draft.description = server.get("description").and_then(Node::text).map(literal);
    let Asking { missing, notes, meanings, choices, .. } = asking;
    if let Some((name, given, allowed)) = choices.into_iter().next() {
        let problem = Problem::error(format!("{name} cannot be {given:?}"));
        return Err(source.wrong(
            first(server),
            key,
            problem.help(format!("it is one of {}", allowed.join(", "))),
        ));
    }
    if !missing.is_empty() {
        let names = missing.iter().map(|(name, meaning)| match meaning.is_empty() {
            true => name.clone(),
            false => format!("{name} ({meaning})"),
        });
        let problem =
            Problem::error(format!("this server asks for {}", names.collect::<Vec<_>>().join(", ")));
        let give: Vec<_> = missing.iter().map(|(name, _)| format!("--set {name}=…")).collect();
        return Err(source.wrong(
            first(server),
            key,
            problem.help(format!("give it with {}", give.join(" "))),
        ));
    }
    // "io.github.user/weather" is known as "weather".
    let short = name.rsplit('/').next().unwrap_or(name).to_owned();
    Ok(Found { name: short, draft, notes, meanings })
}

/// Where the object begins, since a whole file cannot be underlined.
fn first(server: &Node) -> crate::config::json::Span {
    server.member("name").map_or(server.span, |member| member.node.span)
}

/// The value of a key, also where it is written in the old way.
fn get<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let snake = || {
        let mut old = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                old.push('_');
            }
            old.push(c.to_ascii_lowercase());
        }
        old
    };
    node.get(name).or_else(|| node.get(&snake()))
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    get(node, name).and_then(Node::text).filter(|text| !text.is_empty())
}

fn truth(node: &Node, name: &str) -> bool {
    get(node, name).is_some_and(|node| node.value == Value::Bool(true))
}

fn kind(package: &Node) -> &str {
    text(package, "registryType")
        .or_else(|| text(package, "registryName"))
        .unwrap_or("without a registry type")
}

/// What to do about a bundle: Puerto downloads nothing by itself, and the file's hash stands here.
fn bundle(package: &Node) -> Option<Problem> {
    if kind(package) != "mcpb" {
        return None;
    }
    let address = text(package, "identifier").unwrap_or_default();
    let named = address.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
    let file = quoted(named.filter(|name| !name.is_empty()).unwrap_or("FILE.mcpb"));
    let is_hash = |hash: &&str| hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    let hash = text(package, "fileSha256").filter(is_hash);
    let hash = hash.map(|hash| format!(" --sha256 {hash}")).unwrap_or_default();
    let help = format!("download {}, then: puerto import {file}{hash}", quoted(address));
    Some(
        Problem::error("this server comes as a bundle (.mcpb), which Puerto does not download by itself")
            .help(help),
    )
}

/// In the oldest files the version stands beside the packages.
fn old_version(server: &Node) -> Option<&str> {
    server.get("version_detail").and_then(|detail| text(detail, "version"))
}

/// What starts a package.
enum Runner {
    Npx,
    Uvx,
    Docker,
}

impl Runner {
    /// The one for a package; `None` where Puerto cannot start it and speak with it.
    fn of(package: &Node) -> Option<Self> {
        let spoken = get(package, "transport").and_then(|node| text(node, "type"));
        if spoken.or_else(|| text(package, "transportType")).is_some_and(|kind| kind != "stdio") {
            return None;
        }
        match kind(package) {
            "npm" => Some(Self::Npx),
            "pypi" => Some(Self::Uvx),
            "oci" | "docker" => Some(Self::Docker),
            _ => None,
        }
    }
}

/// A value that the file asks for.
struct Wanted<'a> {
    /// How it is named for `--set`.
    name: String,
    input: &'a Node,
}

/// One server while its values are gathered.
struct Asking<'a> {
    around: &'a Surroundings,
    missing: Vec<(String, String)>,
    notes: Vec<String>,
    meanings: BTreeMap<String, String>,
    choices: Vec<(String, String, Vec<String>)>,
}

impl Asking<'_> {
    fn package(&mut self, package: &Node, runner: &Runner, old: Option<&str>) -> Draft {
        let id = text(package, "identifier").or_else(|| text(package, "name")).unwrap_or_default();
        let version = text(package, "version").or(old);
        let mut env = Vec::new();
        for input in get(package, "environmentVariables").map(Node::items).unwrap_or_default() {
            let Some(name) = text(input, "name") else { continue };
            if let Some(value) = self.value(&Wanted { name: name.into(), input }) {
                env.push((name.to_owned(), value));
            }
        }
        let with = |sign: &str| match version {
            Some(version) if !id.ends_with(&format!("{sign}{version}")) => format!("{id}{sign}{version}"),
            _ => id.to_owned(),
        };
        let runtime = self.arguments(package, "runtimeArguments");
        let mut args = Vec::new();
        let command = match runner {
            Runner::Npx => {
                let asked = runtime.iter().any(|arg| arg == "-y" || arg == "--yes");
                args.extend((!asked).then(|| "-y".to_owned()).into_iter().chain(runtime));
                args.push(literal(&with("@")));
                "npx"
            }
            Runner::Uvx => {
                args.extend(runtime);
                args.push(literal(&with("@")));
                "uvx"
            }
            Runner::Docker => {
                args.extend(["run", "-i", "--rm"].map(String::from));
                // Docker hands on only what is named.
                args.extend(env.iter().flat_map(|(name, _)| ["-e".to_owned(), name.clone()]));
                args.extend(runtime.into_iter().filter(|arg| !["run", "-i", "--rm"].contains(&&**arg)));
                let tagged = id.contains('@') || id.rsplit('/').next().is_some_and(|last| last.contains(':'));
                args.push(literal(&if tagged { id.to_owned() } else { with(":") }));
                "docker"
            }
        };
        args.extend(self.arguments(package, "packageArguments"));
        if let Some(base) = text(package, "registryBaseUrl").filter(|base| !is_usual(base)) {
            self.notes
                .push(format!("its package lies at {}, which {command} has to be told", harmless(base)));
        }
        Draft { command: Some(command.into()), args, env, ..Draft::default() }
    }

    fn remote(&mut self, remote: &Node) -> Draft {
        let url = text(remote, "url").unwrap_or_default();
        let named = text(remote, "type").or_else(|| text(remote, "transportType")).and_then(transport);
        let mut headers = Vec::new();
        for input in get(remote, "headers").map(Node::items).unwrap_or_default() {
            let Some(name) = text(input, "name") else { continue };
            if let Some(value) = self.value(&Wanted { name: name.into(), input }) {
                headers.push((name.to_owned(), value));
            }
        }
        let url = self.filled(url, remote);
        Draft { transport: named, url: Some(url), headers, ..Draft::default() }
    }

    fn arguments(&mut self, package: &Node, list: &str) -> Vec<String> {
        let mut args = Vec::new();
        for input in get(package, list).map(Node::items).unwrap_or_default() {
            let flag = text(input, "name").filter(|_| text(input, "type") != Some("positional"));
            let hint = flag.map(|flag| flag.trim_start_matches('-')).or_else(|| text(input, "valueHint"));
            let wanted = Wanted { name: hint.unwrap_or("value").replace(['-', ' '], "_"), input };
            // A flag that has neither a value nor a word about one stands by itself.
            let alone = flag.is_some()
                && !["value", "valueHint", "default", "isRequired", "choices", "format"]
                    .iter()
                    .any(|key| get(input, key).is_some());
            let value = if alone { None } else { self.value(&wanted) };
            match (flag, value) {
                (Some(flag), Some(value)) => args.extend([literal(flag), value]),
                (Some(flag), None) if alone => args.push(literal(flag)),
                (None, Some(value)) => args.push(value),
                _ => {}
            }
        }
        args
    }

    /// The value of an input: given, fixed, usual, asked for, or a reference where it is a secret.
    fn value(&mut self, wanted: &Wanted<'_>) -> Option<String> {
        let Wanted { name, input } = wanted;
        if let Some(given) = self.around.all_given(name).last() {
            self.chosen(name, given, input);
            // As with `puerto add`, what is given is in Puerto's notation: it may name a variable.
            return Some(given.clone());
        }
        if let Some(fixed) = get(input, "value").and_then(scalar) {
            return Some(self.filled(&fixed, input));
        }
        let described = text(input, "description").map(harmless).unwrap_or_default();
        if truth(input, "isSecret") {
            if !truth(input, "isRequired") {
                let described = if described.is_empty() { described } else { format!(" ({described})") };
                self.notes.push(format!("not needed and left out: {}{described}", harmless(name)));
                return None;
            }
            let variable = variable(name);
            self.meanings.insert(variable.clone(), described);
            return Some(format!("${{{variable}}}"));
        }
        if let Some(usual) = get(input, "default").and_then(scalar) {
            return Some(literal(&usual));
        }
        if !truth(input, "isRequired") {
            return None;
        }
        if let Some(typed) = ask(name, &described) {
            self.chosen(name, &typed, input);
            return Some(literal(&typed));
        }
        self.missing.push((name.clone(), described));
        None
    }

    /// A text with its `{variables}`.
    fn filled(&mut self, text: &str, input: &Node) -> String {
        let Some(variables) = get(input, "variables") else { return literal(text) };
        let mut done = literal(text);
        for member in variables.members() {
            let place = format!("{{{}}}", member.key);
            if done.contains(&place) {
                let value = self.value(&Wanted { name: member.key.clone(), input: &member.node });
                done = done.replace(&place, &value.unwrap_or_default());
            }
        }
        done
    }

    fn chosen(&mut self, name: &str, given: &str, input: &Node) {
        let allowed: Vec<_> =
            get(input, "choices").map(Node::items).unwrap_or_default().iter().filter_map(scalar).collect();
        if !allowed.is_empty() && !allowed.iter().any(|choice| choice == given) {
            self.choices.push((name.into(), given.into(), allowed));
        }
    }
}

fn is_usual(base: &str) -> bool {
    ["registry.npmjs.org", "pypi.org", "docker.io", "ghcr.io"].iter().any(|usual| base.contains(usual))
}

/// Asks the user, where there is one.
pub(super) fn ask(name: &str, meaning: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    let meaning = if meaning.is_empty() { String::new() } else { format!(" ({meaning})") };
    out::error_line(format!("value of {}{meaning}:", harmless(name)));
    line().ok().filter(|given| !given.is_empty())
}
