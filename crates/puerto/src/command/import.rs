//! `puerto import`: takes over servers from other programs' files. Everything that will be started or called
//! is shown before anything is written, since such files come from anywhere.

mod bundle;
pub(crate) mod codex;
mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod kind;
mod manifest;
mod notation;
mod place;
mod registry;
mod setting;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use puerto_core::TenantId;
use puerto_store::archive;

use self::bundle::{BUNDLE_MAX, Bundle};
use self::place::Place;
use super::draft::{Draft, allowed_name, harmless, looks_secret, numbered, quoted, references};
use super::edit::{self, Done, Source};
use super::{config_file, places, refused};
use crate::cli::Import;
use crate::config::json::{Node, Value};
use crate::config::{self, Problem};
use crate::out;

/// A server in another program's file.
#[derive(Debug, Default)]
struct Found {
    /// Its name there.
    name: String,
    draft: Draft,
    /// What the user should know about it.
    notes: Vec<String>,
    /// What variables stand for that the reader has named.
    meanings: BTreeMap<String, String>,
}

/// The servers of one file.
#[derive(Debug)]
struct Batch {
    file: PathBuf,
    title: &'static str,
    found: Vec<Found>,
    /// Where the files of its server will lie.
    bundle: Option<Place>,
}

/// What readers may use beside the file.
struct Surroundings {
    /// The directory that a project's file belongs to.
    project: Option<PathBuf>,
    /// Values given with `--set`.
    set: Vec<(String, String)>,
    /// Those of them that a file has asked for.
    used: RefCell<BTreeSet<String>>,
    /// Whether a remote address is wanted and not a package.
    remote: bool,
}

impl Surroundings {
    /// What was given under a name, in the order of the command line.
    fn all_given(&self, name: &str) -> Vec<String> {
        let given: Vec<_> =
            self.set.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect();
        if !given.is_empty() {
            self.used.borrow_mut().insert(name.to_owned());
        }
        given
    }
}

/// Runs the command.
pub(crate) fn run(args: &Import) -> ExitCode {
    import(args).unwrap_or_else(|problem| refused(&problem))
}

fn import(args: &Import) -> Done<ExitCode> {
    TenantId::new(&args.tenant).map_err(|e| Problem::error(e.to_string()))?;
    let file = config_file(&args.config);
    let batches = read(args, &file)?;
    let name = file.display().to_string();
    let before = edit::read(&file)?;
    let plan = Plan::new(&name, before.as_deref(), &args.tenant, &batches)?;
    out::line(plan.lines.join("\n"));
    if plan.servers.is_empty() && plan.bundles.is_empty() {
        out::line(format!("\nnothing to add to {name}"));
        return Ok(if plan.left_out > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let after = edit::with_servers(&name, before.as_deref(), &args.tenant, &plan.servers)?;
    if let Some(problem) = edit::new_errors(&name, before.as_deref(), &after).into_iter().next() {
        return Err(problem.into());
    }
    let what = plan.what(&args.tenant, &name);
    if args.dry_run {
        out::line(format!("\nwould add {what}; nothing was written (--dry-run)"));
        plan.say_unset();
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !agreed(&what)? {
        out::error_line("nothing was written");
        return Ok(ExitCode::FAILURE);
    }
    let places: Vec<_> = plan.bundles.iter().filter_map(|at| batches[*at].bundle.as_ref()).collect();
    let backup = place::with_files(&places, || match plan.servers.is_empty() {
        true => Ok(None),
        false => edit::write(&file, &after),
    })?;
    let kept = backup.map(|path| format!("; as it was: {}", path.display())).unwrap_or_default();
    out::line(format!("\nadded {what}{kept}"));
    plan.say_unset();
    Ok(ExitCode::SUCCESS)
}

/// Whether the user wants what was shown.
fn agreed(what: &str) -> Done<bool> {
    if !std::io::stdin().is_terminal() {
        let help = "look at what is shown above, then add --yes; or --dry-run to look only";
        return Err(Problem::error("nobody can be asked, so nothing was written").help(help).into());
    }
    out::error_line(format!("\nadd {what}? These programs will run with your rights. [y/N]"));
    Ok(matches!(line()?.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A line of what the user types.
fn line() -> Done<String> {
    let mut given = String::new();
    let read = std::io::stdin().read_line(&mut given);
    read.map_err(|e| Problem::error(format!("could not read the answer: {e}")))?;
    Ok(given.trim().to_owned())
}

/// Reads every file that is asked for; bundles will lie beside the configuration.
fn read(args: &Import, config: &Path) -> Done<Vec<Batch>> {
    let set = super::add::pairs(&args.set, '=', "--set NAME=VALUE")?;
    let mut around = Surroundings { project: None, set, used: RefCell::default(), remote: args.remote };
    let Some(client) = args.from else {
        if args.sha256.is_some() && args.files.len() > 1 {
            return Err(Problem::error("--sha256 is the hash of one file").help("name one file only").into());
        }
        let mut batches = Vec::new();
        for file in &args.files {
            let Some(bytes) = edit::bytes(file, BUNDLE_MAX)? else {
                return Err(Problem::error("there is no such file").file(file.display().to_string()).into());
            };
            if let Some(hash) = &args.sha256 {
                bundle::check_hash(file, &bytes, hash)?;
            }
            if bundle::is_bundle(file, &bytes) {
                let bundle = Bundle::open(file, bytes)?;
                batches.push(place::batch(file, bundle, config, &batches, &around)?);
                continue;
            }
            if bytes.starts_with(archive::BEGINNING.as_bytes()) {
                let problem = Problem::error("this is an archive of what a hub keeps, and holds no servers");
                let help = format!("take it in with `puerto restore {}`", file.display());
                return Err(problem.file(file.display().to_string()).help(help).into());
            }
            around.project = project_of(file);
            batches.push(kind::batch(file, edit::text(file, bytes)?, None, &around)?);
        }
        if let Some((unused, _)) = around.set.iter().find(|(name, _)| !around.used.borrow().contains(name)) {
            let problem = Problem::error(format!("no file asks for {unused:?}"));
            return Err(problem
                .help("--set gives what a server.json or a bundle asks for, under the name that it uses")
                .into());
        }
        return Ok(batches);
    };
    let mut batches = Vec::new();
    let user = client.user_file(&super::env);
    let project = client.project_file().map(PathBuf::from);
    for (file, is_project) in [(&user, false), (&project, true)] {
        let Some(file) = file else { continue };
        // In the home directory both are one file.
        let is_read = |batch: &Batch| batch.file.canonicalize().ok() == file.canonicalize().ok();
        let Some(text) = edit::read(file)?.filter(|_| !batches.iter().any(is_read)) else { continue };
        around.project = is_project.then(|| project_of(file)).flatten();
        batches.push(kind::batch(file, text, Some(client), &around)?);
    }
    if batches.is_empty() {
        let looked = [user, project].into_iter().flatten().map(|file| file.display().to_string());
        let problem = Problem::error(format!("{} has no file here", client.title()));
        let help = format!(
            "looked for {}; name the file itself: puerto import FILE",
            looked.collect::<Vec<_>>().join(" and ")
        );
        return Err(problem.help(help).into());
    }
    Ok(batches)
}

/// The project that a file belongs to: where it lies, above the directory of a client's own.
fn project_of(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let dir = file.parent()?;
    let own =
        dir.file_name().is_some_and(|name| [".vscode", ".cursor", ".codex"].iter().any(|own| name == *own));
    Some(if own { dir.parent()? } else { dir }.to_owned())
}

/// What will be written, and what the user is told.
#[derive(Debug, Default)]
struct Plan {
    servers: Vec<(String, Draft)>,
    /// The batches whose bundles are to be unpacked.
    bundles: Vec<usize>,
    lines: Vec<String>,
    unset: BTreeMap<String, String>,
    left_out: usize,
}

impl Plan {
    fn new(name: &str, before: Option<&str>, tenant: &str, batches: &[Batch]) -> Done<Self> {
        let source = before.map(|text| Source::json(name, text.to_owned())).transpose()?;
        let root = source.as_ref().map(|source| &source.root);
        let mut plan = Self::default();
        for (at, batch) in batches.iter().enumerate() {
            if !plan.lines.is_empty() {
                plan.lines.push(String::new());
            }
            let file = harmless(&places::shown(&batch.file, &super::env));
            plan.lines.push(format!("{file} ({})", batch.title));
            if batch.found.is_empty() {
                plan.lines.push("  no servers in it".into());
            }
            for found in &batch.found {
                let is_wanted = plan.take(found, root, tenant);
                if is_wanted && batch.bundle.as_ref().is_some_and(|place| !place.is_there) {
                    plan.bundles.push(at);
                }
            }
        }
        Ok(plan)
    }

    /// Decides about one server; whether it will be there, or is already.
    fn take(&mut self, found: &Found, root: Option<&Node>, tenant: &str) -> bool {
        let (mut draft, mut notes) = (found.draft.clone(), found.notes.clone());
        let given = harmless(&found.name);
        if is_puerto(&draft, root) {
            self.say(&given, &draft, &["left out: this is Puerto itself".into()]);
            return false;
        }
        draft.headers.retain(|(header, _)| {
            let ours = config::OUR_HEADERS.contains(&&*header.to_ascii_lowercase());
            if ours {
                notes.push(format!("header {} left out: Puerto writes it itself", harmless(header)));
            }
            !ours
        });
        let wanted = allowed_name(&found.name);
        if wanted != found.name {
            notes.push(format!("named {wanted}: Puerto's names hold letters, digits, \"-\" and \"_\""));
        }
        let there = root.map(|root| edit::servers_of(root, tenant)).unwrap_or_default();
        let in_file = |name: &str| there.iter().find(|member| member.key == name).map(|member| &member.node);
        let mut name = wanted.clone();
        for number in 2.. {
            let same_there = in_file(&name).map(|node| draft.says_the_same(node));
            let same_new =
                self.servers.iter().find(|(taken, _)| *taken == name).map(|(_, other)| *other == draft);
            match same_there.or(same_new) {
                None => break,
                Some(true) => {
                    self.say(&given, &draft, &[format!("left out: {name} is the same")]);
                    return true;
                }
                Some(false) => name = numbered(&wanted, number),
            }
        }
        if name != wanted {
            notes.push(format!("named {name}: another server is named {wanted}"));
        }
        if let Some(problem) = alone(&name, &draft) {
            self.left_out += 1;
            let help = problem.help.map(|help| format!("; {help}")).unwrap_or_default();
            notes.push(format!("left out: {}{help}", problem.message));
            self.say(&given, &draft, &notes);
            return false;
        }
        notes.extend(copied(&draft));
        for variable in draft.unset() {
            let meaning = found.meanings.get(&variable).cloned().unwrap_or_default();
            self.unset.entry(variable).or_insert(meaning);
        }
        self.say(&name, &draft, &notes);
        self.servers.push((name, draft));
        true
    }

    /// What is added, for people.
    fn what(&self, tenant: &str, name: &str) -> String {
        let many = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            _ => format!("{count} {noun}s"),
        };
        if self.servers.is_empty() {
            return format!("the files of {}, which were missing", many(self.bundles.len(), "bundle"));
        }
        format!("{} to the tenant {tenant} of {name}", many(self.servers.len(), "server"))
    }

    /// What the user has to do before Puerto can start.
    fn say_unset(&self) {
        if self.unset.is_empty() {
            return;
        }
        out::line("set these variables before Puerto starts:");
        for (variable, meaning) in &self.unset {
            out::line(format!("  {variable:<24}  {meaning}").trim_end());
        }
    }

    fn say(&mut self, name: &str, draft: &Draft, notes: &[String]) {
        self.lines.push(format!("  {name:<14}  {}", draft.shown()));
        let indent = " ".repeat(18);
        if let Some(cwd) = &draft.cwd {
            self.lines.push(format!("{indent}in {}", quoted(cwd)));
        }
        for (kind, pairs) in [("env", &draft.env), ("header", &draft.headers)] {
            for (key, value) in pairs {
                let shown = if is_literal(value) && looks_secret(key, value) {
                    "(not shown)".into()
                } else {
                    quoted(value)
                };
                self.lines.push(format!("{indent}{kind} {}={shown}", harmless(key)));
            }
        }
        if draft.disabled {
            self.lines.push(format!("{indent}not enabled"));
        }
        self.lines.extend(notes.iter().map(|note| format!("{indent}note: {}", harmless(note))));
    }
}

/// Whether a value stands in the file itself and is not taken from the environment.
fn is_literal(value: &str) -> bool {
    references(value).is_empty() && !value.contains(":-")
}

/// What is said about values that are copied and look like secrets, and about others.
fn copied(draft: &Draft) -> Vec<String> {
    let all =
        draft.env.iter().chain(&draft.headers).filter(|(_, value)| !value.is_empty() && is_literal(value));
    let (secret, plain): (Vec<_>, Vec<_>) = all.partition(|(key, value)| looks_secret(key, value));
    let names = |pairs: &[&(String, String)]| {
        pairs.iter().map(|(key, _)| harmless(key)).collect::<Vec<_>>().join(", ")
    };
    let mut notes = Vec::new();
    if !plain.is_empty() {
        notes.push(format!("copied as it stands: {}", names(&plain)));
    }
    if !secret.is_empty() {
        notes.push(format!(
            "copied as it stands, though it looks like a secret: {}; better write \"${{NAME}}\" in its place and set the variable",
            names(&secret)
        ));
    }
    notes
}

/// What Puerto would say about this server in a configuration of its own.
fn alone(name: &str, draft: &Draft) -> Option<Problem> {
    let servers = [(name.to_owned(), draft.clone())];
    let text = edit::with_servers(name, None, "default", &servers).ok()?;
    edit::new_errors(name, None, &text).into_iter().next()
}

/// Whether a client's entry leads to the hub itself: it would call itself for ever.
fn is_puerto(draft: &Draft, root: Option<&Node>) -> bool {
    if let Some(command) = &draft.command {
        let stem = Path::new(command).file_stem();
        return stem.is_some_and(|stem| stem == "puerto")
            && draft.args.first().is_some_and(|arg| arg == "stdio");
    }
    let port = root.and_then(|root| root.get("gateway")?.get("port")).and_then(|node| match &node.value {
        Value::Number(number) => number.as_u64(),
        _ => None,
    });
    let Some(uri) = draft.url.as_ref().and_then(|url| url.parse::<http::Uri>().ok()) else { return false };
    uri.host().is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host))
        && uri.port_u16().map(u64::from) == Some(port.unwrap_or(8080))
        && ["/mcp", "/sse", "/ws"].iter().any(|door| uri.path().starts_with(door))
}
