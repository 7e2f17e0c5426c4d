//! The manifest of a bundle: how its server is started, in Puerto's notation. MANIFEST.md of MCPB says what may
//! stand in it; versions 0.1 to 0.4 are read, also where they call themselves DXT. What it asks its user for is
//! in `setting.rs`.

use std::collections::BTreeMap;

use super::entry::scalar;
use super::notation::{Told, literal};
use super::setting::{self, Setting};
use super::{Found, Surroundings};
use crate::command::draft::{Draft, harmless};
use crate::command::edit::{Done, Source};
use crate::config::Problem;
use crate::config::json::{Node, Span, Value};
use crate::config::nearest;
use crate::config::problem::Path as Key;

/// Versions of the manifest.
const VERSIONS: [&str; 4] = ["0.1", "0.2", "0.3", "0.4"];

/// What manifests call the system that this is.
const PLATFORM: &str = match () {
    () if cfg!(windows) => "win32",
    () if cfg!(target_os = "macos") => "darwin",
    () => "linux",
};

/// Where the files of a bundle will lie, and whether it holds one.
pub(super) struct Files<'a> {
    pub(super) dir: &'a str,
    pub(super) has: &'a dyn Fn(&str) -> bool,
}

/// Name and version of a bundle, where its manifest is one that Puerto reads.
pub(super) fn identity(source: &Source) -> Done<(String, String)> {
    let root = &source.root;
    let read = Reading { source };
    if !matches!(root.value, Value::Object(_)) {
        return Err(read.wanted(root, &Key::Root, "an object"));
    }
    let old = if root.get("dxt_version").is_some() { "dxt_version" } else { "manifest_version" };
    let named = if root.get("manifest_version").is_some() { "manifest_version" } else { old };
    let version = read.needed(root, named, &Key::Root)?;
    let given = scalar(version).unwrap_or_default();
    if !VERSIONS.contains(&&*given) {
        let problem = Problem::error("Puerto does not read this version of the manifest")
            .expected(format!("{given:?}"), "\"0.1\", \"0.2\", \"0.3\" or \"0.4\"");
        return Err(source.wrong(version.span, &Key::Key(&Key::Root, named), problem));
    }
    Ok((read.word(root, "name")?, read.word(root, "version")?))
}

/// The server of a bundle.
pub(super) fn read(source: &Source, files: &Files<'_>, around: &Surroundings) -> Done<Found> {
    let read = Reading { source };
    let root = &source.root;
    read.platform(root)?;
    let name = read.word(root, "name")?;
    let server = read.needed(root, "server", &Key::Root)?;
    let start = read.start(server, files)?;
    let mut told = Told::default();
    let values = setting::values(source, &name, around, &mut told)?;
    let mut filling = Filling { source, dir: files.dir, values: &values, told };
    let mut draft = filling.draft(&start, files)?;
    draft.description = root.get("description").and_then(Node::text).map(literal);
    let Told { mut notes, meanings } = filling.told;
    let runtimes = root.get("compatibility").and_then(|c| c.get("runtimes")).map(Node::members);
    for runtime in runtimes.unwrap_or_default() {
        if let Some(versions) = runtime.node.text() {
            notes.push(format!("needs {} {}", harmless(&runtime.key), harmless(versions)));
        }
    }
    Ok(Found { name, draft, notes, meanings })
}

/// What is started, before its variables are filled in.
struct Start<'a> {
    command: Text<'a>,
    args: Vec<Text<'a>>,
    env: Vec<(String, Text<'a>)>,
    /// Whether its program is told the directory by an argument.
    knows_directory: bool,
}

/// A text of the manifest, and where it stands.
#[derive(Clone)]
struct Text<'a> {
    text: String,
    node: &'a Node,
    path: String,
}

/// Reads members of the manifest as what they should be.
struct Reading<'a> {
    source: &'a Source,
}

impl<'a> Reading<'a> {
    fn wanted(&self, node: &Node, key: &Key<'_>, what: &str) -> Box<Problem> {
        self.source.wrong(opening(node), key, Problem::error(format!("this should be {what}")))
    }

    /// A member that must be there.
    fn needed<'n>(&self, object: &'n Node, name: &str, key: &Key<'_>) -> Done<&'n Node> {
        if !matches!(object.value, Value::Object(_)) {
            return Err(self.wanted(object, key, "an object"));
        }
        if let Some(node) = object.get(name) {
            return Ok(node);
        }
        let problem = Problem::error(format!("the manifest of a bundle needs {name:?} here"));
        let near = nearest(name, object.members().iter().map(|member| &*member.key));
        let Some(member) = near.and_then(|near| object.member(near)) else {
            let problem = match example(name) {
                Some(example) => problem.help(format!("as in {name:?}: {example}")),
                None => problem,
            };
            return Err(self.source.wrong(opening(object), key, problem));
        };
        let problem = problem.help(format!("did you mean {name:?}?"));
        Err(self.source.wrong(member.key_span, &Key::Key(key, &member.key), problem))
    }

    /// A text at the top that must be there and say something.
    fn word(&self, root: &Node, name: &str) -> Done<String> {
        let node = self.needed(root, name, &Key::Root)?;
        let word = node.text().map(str::trim).filter(|text| !text.is_empty());
        word.map(ToOwned::to_owned).ok_or_else(|| self.wanted(node, &Key::Key(&Key::Root, name), "a text"))
    }

    fn text<'n>(&self, node: &'n Node, key: &Key<'_>) -> Done<Text<'n>> {
        let text = scalar(node).ok_or_else(|| self.wanted(node, key, "a text"))?;
        Ok(Text { text, node, path: key.to_string() })
    }

    /// Refuses a bundle that is not for this system.
    fn platform(&self, root: &Node) -> Done<()> {
        let Some(platforms) = root.get("compatibility").and_then(|c| c.get("platforms")) else {
            return Ok(());
        };
        let names: Vec<_> = platforms.items().iter().filter_map(Node::text).collect();
        if names.is_empty() || names.contains(&PLATFORM) {
            return Ok(());
        }
        let people = |name: &str| match name {
            "win32" => "Windows".to_owned(),
            "darwin" => "macOS".to_owned(),
            "linux" => "Linux".to_owned(),
            other => format!("{other:?}"),
        };
        let help = names.iter().map(|name| people(name)).collect::<Vec<_>>().join(" and ");
        let problem = Problem::error(format!("this bundle does not run on {}", people(PLATFORM)));
        let outer = Key::Key(&Key::Root, "compatibility");
        let problem = problem.help(format!("it is for {help}"));
        Err(self.source.wrong(platforms.span, &Key::Key(&outer, "platforms"), problem))
    }

    /// What `server` says, with what it says about this system in the place of the rest.
    fn start<'n>(&self, server: &'n Node, files: &Files<'_>) -> Done<Start<'n>> {
        let key = Key::Key(&Key::Root, "server");
        let kind = self.needed(server, "type", &key)?;
        const KINDS: [&str; 4] = ["node", "python", "binary", "uv"];
        let given = kind.text().unwrap_or_default();
        if !KINDS.contains(&given) {
            let problem = Problem::error("this kind of server is not known")
                .expected(format!("{given:?}"), "\"node\", \"python\", \"binary\" or \"uv\"");
            return Err(self.source.wrong(kind.span, &Key::Key(&key, "type"), problem));
        }
        if given == "uv" && server.get("mcp_config").is_none() {
            return self.with_uv(server, &key, files);
        }
        let config = self.needed(server, "mcp_config", &key)?;
        let key = Key::Key(&key, "mcp_config");
        let command = self.text(self.needed(config, "command", &key)?, &Key::Key(&key, "command"))?;
        let (args, env) = (self.args(config, &key)?.unwrap_or_default(), self.env(config, &key)?);
        let mut start = Start { command, args, env, knows_directory: false };
        let overrides = Key::Key(&key, "platform_overrides");
        if let Some(ours) = config.get("platform_overrides").and_then(|all| all.get(PLATFORM)) {
            let key = Key::Key(&overrides, PLATFORM);
            if let Some(node) = ours.get("command") {
                start.command = self.text(node, &Key::Key(&key, "command"))?;
            }
            start.args = self.args(ours, &key)?.unwrap_or(start.args);
            for (name, text) in self.env(ours, &key)? {
                start.env.retain(|(other, _)| *other != name);
                start.env.push((name, text));
            }
        }
        Ok(start)
    }

    /// The host chooses how to start a server of the kind `uv`.
    fn with_uv<'n>(&self, server: &'n Node, key: &Key<'_>, files: &Files<'_>) -> Done<Start<'n>> {
        let node = self.needed(server, "entry_point", key)?;
        let entry = self.text(node, &Key::Key(key, "entry_point"))?;
        if !(files.has)(plain(&entry.text)) {
            let problem = Problem::error("the bundle does not hold this file");
            return Err(self.source.wrong(node.span, &Key::Key(key, "entry_point"), problem));
        }
        let with = |text: &str| Text { text: text.into(), ..entry.clone() };
        let args = vec![with("run"), with("--directory"), with("${__dirname}"), entry.clone()];
        Ok(Start { command: with("uv"), args, env: Vec::new(), knows_directory: true })
    }

    fn args<'n>(&self, node: &'n Node, key: &Key<'_>) -> Done<Option<Vec<Text<'n>>>> {
        let key = Key::Key(key, "args");
        let Some(list) = node.get("args") else { return Ok(None) };
        if !matches!(list.value, Value::List(_)) {
            return Err(self.wanted(list, &key, "a list of texts"));
        }
        let item = |(at, item)| self.text(item, &Key::Item(&key, at));
        list.items().iter().enumerate().map(item).collect::<Done<_>>().map(Some)
    }

    fn env<'n>(&self, node: &'n Node, key: &Key<'_>) -> Done<Vec<(String, Text<'n>)>> {
        let key = Key::Key(key, "env");
        let Some(object) = node.get("env") else { return Ok(Vec::new()) };
        if !matches!(object.value, Value::Object(_)) {
            return Err(self.wanted(object, &key, "an object of texts"));
        }
        let pair = |member: &'n crate::config::json::Member| {
            Ok((member.key.clone(), self.text(&member.node, &Key::Key(&key, &member.key))?))
        };
        object.members().iter().map(pair).collect()
    }
}

/// Where a value begins; a whole object is not underlined.
pub(super) fn opening(node: &Node) -> Span {
    match node.value {
        Value::Object(_) | Value::List(_) => Span { end: node.span.start + 1, ..node.span },
        _ => node.span,
    }
}

/// What a member that is missing may look like.
fn example(name: &str) -> Option<&'static str> {
    Some(match name {
        "manifest_version" => "\"0.3\"",
        "version" => "\"1.0.0\"",
        "server" => "{ \"type\": \"node\", \"entry_point\": …, \"mcp_config\": … }",
        "type" => "\"node\", \"python\", \"binary\" or \"uv\"",
        "mcp_config" => "{ \"command\": \"node\", \"args\": [\"${__dirname}/server/index.js\"] }",
        "entry_point" => "\"src/server.py\"",
        _ => return None,
    })
}

/// A name as the bundle has it.
fn plain(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

/// What a manifest's variable of the system stands for, in Puerto's notation.
pub(super) fn of_the_system(name: &str) -> Option<&'static str> {
    Some(match name {
        "HOME" => "${HOME}",
        "DESKTOP" => "${HOME}/Desktop",
        "DOCUMENTS" => "${HOME}/Documents",
        "DOWNLOADS" => "${HOME}/Downloads",
        "/" | "pathSeparator" => std::path::MAIN_SEPARATOR_STR,
        _ => return None,
    })
}

/// Replaces each `${…}` of a text by what is answered for what stands in it; what has no answer stays as plain text.
pub(super) fn replaced(text: &str, mut answer: impl FnMut(&str) -> Option<String>) -> String {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        done.push_str(before);
        let answered = after.split_once('}').and_then(|(name, after)| Some((answer(name)?, after)));
        rest = match answered {
            Some((value, after)) => {
                done.push_str(&value);
                after
            }
            None => {
                done.push_str("$${");
                after
            }
        };
    }
    done + rest
}

/// Fills in what the manifest leaves open.
struct Filling<'a> {
    source: &'a Source,
    dir: &'a str,
    values: &'a BTreeMap<&'a str, Setting>,
    told: Told,
}

/// A text that is filled in, or how to give the value that it would need.
type Filled = Result<String, String>;

impl Filling<'_> {
    fn draft(&mut self, start: &Start<'_>, files: &Files<'_>) -> Done<Draft> {
        let command = self.fill(&start.command)?.map_err(|give| {
            let problem = Problem::error("this command needs a value that nobody gave")
                .path(&start.command.path)
                .help(format!("{give} gives it"));
            self.source.wrong(start.command.node.span, &Key::Root, problem)
        })?;
        // Manifests write paths of their own files with and without the directory before them.
        let is_inside = (files.has)(plain(&start.command.text));
        let command = if is_inside { format!("{}/{}", literal(self.dir), plain(&command)) } else { command };
        let args = self.args(&start.args)?;
        let mut env = Vec::new();
        for (name, text) in &start.env {
            match self.fill(text)? {
                Ok(value) => env.push((name.clone(), value)),
                Err(give) => self.left_out(&format!("env {}", harmless(name)), &give),
            }
        }
        let cwd = (!start.knows_directory).then(|| literal(self.dir));
        Ok(Draft { command: Some(command), args, env, cwd, ..Draft::default() })
    }

    fn args(&mut self, texts: &[Text<'_>]) -> Done<Vec<String>> {
        let mut args: Vec<String> = Vec::new();
        let mut was_option = false;
        for text in texts {
            let after_option = std::mem::take(&mut was_option);
            let whole = text.text.strip_prefix("${user_config.").and_then(|rest| rest.strip_suffix('}'));
            if let Some(Setting::Values(values)) = whole.and_then(|name| self.values.get(name)) {
                args.extend(values.iter().cloned());
                continue;
            }
            match self.fill(text)? {
                Ok(value) => {
                    was_option = value.starts_with('-') && !value.contains('=');
                    args.push(value);
                }
                Err(give) => {
                    // An option whose value is missing would take the next argument for it.
                    let option = args.pop_if(|_| after_option && whole.is_some());
                    let words = option.iter().chain([&text.text]).map(|word| harmless(word));
                    let words: Vec<_> = words.collect();
                    self.left_out(&words.join(" "), &give);
                }
            }
        }
        Ok(args)
    }

    fn left_out(&mut self, what: &str, give: &str) {
        self.told.note(format!("left out: {what}; {give} gives it a value"));
    }

    fn fill(&mut self, text: &Text<'_>) -> Done<Filled> {
        let (mut missing, mut unknown) = (None, None);
        let (values, told, dir) = (self.values, &mut self.told, self.dir);
        let done = replaced(&text.text, |name| {
            if name == "__dirname" {
                return Some(literal(dir));
            }
            if let Some(known) = of_the_system(name) {
                return Some(known.into());
            }
            let Some(key) = name.strip_prefix("user_config.") else {
                let whole = harmless(&format!("${{{name}}}"));
                told.note(format!("{whole} means nothing to Puerto and stays as plain text"));
                return None;
            };
            match values.get(key) {
                Some(Setting::Values(given)) => {
                    if given.len() > 1 {
                        told.note(format!("the values of {} are joined by commas", harmless(key)));
                    }
                    return Some(given.join(","));
                }
                Some(Setting::Unset(give)) => missing = Some(give.clone()),
                None => unknown = Some(key.to_owned()),
            }
            Some(String::new())
        });
        if let Some(key) = unknown {
            let mut problem =
                Problem::error(format!("\"user_config\" has no {key:?}, which stands here")).path(&text.path);
            if let Some(near) = nearest(&key, self.values.keys().copied()) {
                problem = problem.help(format!("did you mean \"${{user_config.{near}}}\"?"));
            }
            return Err(self.source.wrong(text.node.span, &Key::Root, problem));
        }
        Ok(missing.map_or(Ok(done), Err))
    }
}
