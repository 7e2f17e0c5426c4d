//! One server as most programs write it: `command`, `args`, `env`, or `url` and `headers`, with what each
//! of them adds. `mcpServers` of Claude, Cursor and Windsurf, `servers` of VS Code, tables of Codex.

use std::path::{Path, PathBuf};

use super::notation::{self, Notation, Told};
use super::{Found, Surroundings};
use crate::command::add::transport;
use crate::command::draft::{Draft, harmless, looks_secret};
use crate::command::edit::{self, Done, Source};
use crate::config::Problem;
use crate::config::json::{Node, Value};
use crate::config::problem::Path as Key;

/// Keys that are read. `timeout` and what may run without asking are up to the client, and are told apart
/// from keys that nobody knows.
const READ: [&str; 14] = [
    "type",
    "transport",
    "transportType",
    "command",
    "args",
    "env",
    "cwd",
    "envFile",
    "url",
    "serverUrl",
    "httpUrl",
    "headers",
    "disabled",
    "enabled",
];

/// Keys of clients that say nothing about the server itself.
const CLIENTS_OWN: [&str; 8] =
    ["autoApprove", "alwaysAllow", "description", "gallery", "name", "trust", "dev", "disabledTools"];

/// VS Code's `servers` with `inputs` beside them.
pub(super) fn vscode(
    source: &Source,
    object: &Node,
    key: &Key<'_>,
    around: &Surroundings,
) -> Done<Vec<Found>> {
    let inputs = object.get("inputs").map(Node::items).unwrap_or_default();
    let Some(list) = object.get("servers") else { return Ok(Vec::new()) };
    servers(source, list, &Key::Key(key, "servers"), around, inputs)
}

/// Servers by name.
pub(super) fn servers(
    source: &Source,
    object: &Node,
    key: &Key<'_>,
    around: &Surroundings,
    inputs: &[Node],
) -> Done<Vec<Found>> {
    if !matches!(object.value, Value::Object(_)) {
        let problem = Problem::error("servers are an object, each under its name");
        return Err(source.wrong(object.span, key, problem.help("write { \"name\": { … } }")));
    }
    let list = Node { span: object.span, value: Value::List(inputs.to_vec()) };
    let notation =
        Notation { project: around.project.as_deref(), inputs: Notation::inputs(Some(&list)), plain: false };
    let one = |member: &crate::config::json::Member| {
        let mut reading = Reading { source, notation: &notation, told: Told::default() };
        let draft = reading.server(&member.node, &Key::Key(key, &member.key), member.key_span)?;
        let Told { notes, meanings } = reading.told;
        Ok(Found { name: member.key.clone(), draft, notes, meanings })
    };
    object.members().iter().map(one).collect()
}

/// One server while it is read.
pub(super) struct Reading<'a> {
    pub(super) source: &'a Source,
    pub(super) notation: &'a Notation<'a>,
    pub(super) told: Told,
}

impl Reading<'_> {
    fn server(&mut self, node: &Node, key: &Key<'_>, name: crate::config::json::Span) -> Done<Draft> {
        if !matches!(node.value, Value::Object(_)) {
            let problem =
                Problem::error("a server is an object").help("write { \"command\": … } or { \"url\": … }");
            return Err(self.source.wrong(node.span, key, problem));
        }
        let mut draft = Draft {
            command: self.text(node, "command", key)?,
            args: self.list(node, "args", key)?,
            cwd: self.text(node, "cwd", key)?,
            env: self.pairs(node, "env", key)?,
            headers: self.pairs(node, "headers", key)?,
            ..Draft::default()
        };
        let mut kind = self.kind(node, key)?;
        for (address, follows) in [("url", None), ("serverUrl", None), ("httpUrl", Some("http"))] {
            if draft.url.is_none() {
                draft.url = self.text(node, address, key)?;
                kind = kind.or(follows.filter(|_| draft.url.is_some()));
            }
        }
        self.way(&mut draft, kind, key, name)?;
        draft.disabled = self.truth(node, "disabled", key)? == Some(true)
            || self.truth(node, "enabled", key)? == Some(false);
        if let Some(file) = self.text(node, "envFile", key)? {
            self.env_file(&mut draft, &file);
        }
        self.directory(&mut draft);
        self.extras(node);
        Ok(draft)
    }

    /// What the program says about the transport.
    fn kind(&self, node: &Node, key: &Key<'_>) -> Done<Option<&'static str>> {
        for name in ["type", "transport", "transportType"] {
            let Some(member) = node.get(name) else { continue };
            let given = member.text().unwrap_or_default();
            return transport(given).map(Some).ok_or_else(|| {
                let problem = Problem::error("this transport is not known")
                    .expected(format!("{given:?}"), "\"stdio\", \"http\", \"sse\" or \"ws\"");
                self.source.wrong(member.span, &Key::Key(key, name), problem)
            });
        }
        Ok(None)
    }

    /// Exactly one way to reach it; what the program says about the transport decides between two.
    pub(super) fn way(
        &self,
        draft: &mut Draft,
        kind: Option<&'static str>,
        key: &Key<'_>,
        name: crate::config::json::Span,
    ) -> Done<()> {
        let wrong =
            |message: &str, help: &str| Err(self.source.wrong(name, key, Problem::error(message).help(help)));
        match (draft.command.is_some(), draft.url.is_some(), kind) {
            (false, false, _) => {
                return wrong("nothing says how to reach this server", "it needs a \"command\" or a \"url\"");
            }
            (true, true, Some("stdio")) => draft.url = None,
            (true, true, Some(_)) => draft.command = None,
            (true, true, None) => {
                return wrong("\"command\" and \"url\" are two ways to reach one server", "keep one of them");
            }
            (false, true, Some("stdio")) => return wrong("a stdio server needs a \"command\"", "add it"),
            (true, false, Some(other)) if other != "stdio" => {
                return wrong(
                    &format!("a server reached by {other} needs a \"url\""),
                    "add it, or take \"type\" away",
                );
            }
            _ => {}
        }
        match &draft.url {
            Some(url) => {
                (draft.args, draft.env, draft.cwd) = (Vec::new(), Vec::new(), None);
                let follows = match url.split_once("://").map(|(scheme, _)| scheme) {
                    Some("ws" | "wss") => Some("websocket"),
                    Some("tcp") => Some("tcp"),
                    _ => None,
                };
                draft.transport = kind.filter(|kind| Some(*kind) != follows);
            }
            None => draft.headers = Vec::new(),
        }
        Ok(())
    }

    /// Variables of a file beside the server's. What looks like a secret stays a reference.
    fn env_file(&mut self, draft: &mut Draft, file: &str) {
        let path = PathBuf::from(file.replace("$${", "${"));
        let path = match self.notation.project {
            Some(project) if path.is_relative() => project.join(path),
            _ => path,
        };
        let shown = harmless(&path.display().to_string());
        let text = match edit::read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => {
                return self
                    .told
                    .note(format!("its envFile {shown} does not exist; name its variables in \"env\""));
            }
            Err(problem) => {
                return self.told.note(format!("its envFile {shown} was not read: {}", problem.message));
            }
        };
        for (name, value) in notation::env_file(&text) {
            if draft.env.iter().any(|(own, _)| *own == name) {
                continue;
            }
            if looks_secret(&name, &value) {
                self.told.meanings.insert(name.clone(), format!("stands in {shown}"));
                draft.env.push((name.clone(), format!("${{{name}}}")));
            } else {
                draft.env.push((name, notation::literal(&value)));
            }
        }
        self.told.note(format!("variables of {shown} were taken over; secrets among them as references"));
    }

    /// A program of a project is started in the project's directory, which matters for relative paths.
    pub(super) fn directory(&mut self, draft: &mut Draft) {
        let Some(project) = self.notation.project else { return };
        let is_relative = |text: &String| text == "." || text.starts_with("./") || text.starts_with("../");
        match &draft.cwd {
            Some(cwd) if Path::new(cwd).is_relative() && !cwd.starts_with('$') => {
                draft.cwd = Some(notation::literal(&project.join(cwd).display().to_string()));
            }
            None if draft.command.iter().chain(&draft.args).any(is_relative) => {
                draft.cwd = Some(notation::literal(&project.display().to_string()));
            }
            _ => {}
        }
    }

    fn extras(&mut self, node: &Node) {
        let others = node.members().iter().map(|member| &*member.key).filter(|key| !READ.contains(key));
        let (times, rest): (Vec<_>, Vec<_>) = others
            .filter(|key| !CLIENTS_OWN.contains(key))
            .partition(|key| key.to_ascii_lowercase().contains("timeout"));
        if !times.is_empty() {
            let names = times.into_iter().map(harmless).collect::<Vec<_>>().join(", ");
            self.told.note(format!("not taken over: {names}; Puerto's own is \"call_timeout\", in seconds"));
        }
        if !rest.is_empty() {
            let names: Vec<_> = rest.into_iter().map(harmless).collect();
            self.told.note(format!("not taken over: {}", names.join(", ")));
        }
    }

    pub(super) fn wanted(&self, node: &Node, key: &Key<'_>, what: &str) -> Box<Problem> {
        self.source.wrong(node.span, key, Problem::error(format!("this should be {what}")))
    }

    /// A text, in Puerto's notation.
    pub(super) fn text(&mut self, node: &Node, name: &str, key: &Key<'_>) -> Done<Option<String>> {
        match node.get(name) {
            None => Ok(None),
            Some(Node { value: Value::Null, .. }) => Ok(None),
            Some(Node { value: Value::Text(text), .. }) => {
                Ok(Some(self.notation.rewrite(text, &mut self.told)))
            }
            Some(other) => Err(self.wanted(other, &Key::Key(key, name), "a text")),
        }
    }

    pub(super) fn truth(&self, node: &Node, name: &str, key: &Key<'_>) -> Done<Option<bool>> {
        match node.get(name).map(|node| (&node.value, node)) {
            None => Ok(None),
            Some((Value::Bool(truth), _)) => Ok(Some(*truth)),
            Some((_, other)) => Err(self.wanted(other, &Key::Key(key, name), "true or false")),
        }
    }

    /// A list of texts; numbers and truth values count as such.
    pub(super) fn list(&mut self, node: &Node, name: &str, key: &Key<'_>) -> Done<Vec<String>> {
        let key = Key::Key(key, name);
        match node.get(name) {
            None => Ok(Vec::new()),
            Some(Node { value: Value::Null, .. }) => Ok(Vec::new()),
            Some(Node { value: Value::List(items), .. }) => {
                let item = |(at, item): (usize, &Node)| match scalar(item) {
                    Some(text) => Ok(self.notation.rewrite(&text, &mut self.told)),
                    None => Err(self.wanted(item, &Key::Item(&key, at), "a text")),
                };
                items.iter().enumerate().map(item).collect()
            }
            Some(other) => Err(self.wanted(other, &key, "a list of texts")),
        }
    }

    /// Texts by name. What is null is left out.
    pub(super) fn pairs(&mut self, node: &Node, name: &str, key: &Key<'_>) -> Done<Vec<(String, String)>> {
        let key = Key::Key(key, name);
        let Some(object) = node.get(name) else { return Ok(Vec::new()) };
        if !matches!(object.value, Value::Object(_) | Value::Null) {
            return Err(self.wanted(object, &key, "an object of texts"));
        }
        let mut pairs = Vec::new();
        for member in object.members().iter().filter(|member| member.node.value != Value::Null) {
            let Some(text) = scalar(&member.node) else {
                return Err(self.wanted(&member.node, &Key::Key(&key, &member.key), "a text"));
            };
            pairs.push((member.key.clone(), self.notation.rewrite(&text, &mut self.told)));
        }
        Ok(pairs)
    }
}

/// A text, a number or a truth value as a text.
pub(super) fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
