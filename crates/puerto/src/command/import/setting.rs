//! What the manifest of a bundle asks its user for (`user_config`): given with `--set`, usual, typed, or a
//! variable where it is a secret; and whether that can be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::entry::scalar;
use super::manifest::{of_the_system, opening, replaced};
use super::notation::{Told, literal, variable};
use super::{Surroundings, registry};
use crate::command::draft::{harmless, references};
use crate::command::edit::{Done, Source};
use crate::config::Problem;
use crate::config::json::{Member, Node, Value};
use crate::config::nearest;
use crate::config::problem::Path as Key;

/// What became of a setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// In Puerto's notation; several where the manifest allows it.
    Values(Vec<String>),
    /// Nobody gave a value, and none is needed; what on the command line would give one.
    Unset(String),
}

/// Kinds of values, as manifests name them.
const KINDS: [&str; 5] = ["string", "number", "boolean", "directory", "file"];

/// The value of every setting, by its name. `server` is the name of the bundle.
pub(super) fn values<'a>(
    source: &'a Source,
    server: &str,
    around: &Surroundings,
    told: &mut Told,
) -> Done<BTreeMap<&'a str, Setting>> {
    let key = Key::Key(&Key::Root, "user_config");
    let Some(all) = source.root.get("user_config") else { return Ok(BTreeMap::new()) };
    if !matches!(all.value, Value::Object(_)) {
        let problem = Problem::error("this should be an object, each setting under its name");
        return Err(source.wrong(opening(all), &key, problem));
    }
    let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
    for member in all.members() {
        let asked = Asked::new(source, member, Key::Key(&key, &member.key))?;
        let setting = match asked.value(server, around, told)? {
            Some(setting) => setting,
            None => {
                let unset = asked.unset(server);
                missing.push(asked);
                unset
            }
        };
        values.insert(&*member.key, setting);
    }
    let Some(first) = missing.first() else { return Ok(values) };
    let named = |asked: &Asked<'_>| match asked.meaning() {
        meaning if meaning.is_empty() => asked.name().to_owned(),
        meaning => format!("{} ({meaning})", asked.name()),
    };
    let names: Vec<_> = missing.iter().map(named).collect();
    let give: Vec<_> = missing.iter().map(|asked| format!("--set {}=…", asked.name())).collect();
    let problem = Problem::error(format!("this server asks for {}", names.join(", ")));
    let problem = problem.help(format!("give it with {}", give.join(" ")));
    Err(source.wrong(first.member.key_span, &first.key, problem))
}

/// One setting while its value is looked for.
struct Asked<'a> {
    source: &'a Source,
    member: &'a Member,
    key: Key<'a>,
    kind: &'a str,
    /// Whether it may have several values.
    is_list: bool,
}

impl<'a> Asked<'a> {
    fn new(source: &'a Source, member: &'a Member, key: Key<'a>) -> Done<Self> {
        let node = &member.node;
        let wrong = |node: &Node, key: &Key<'_>, problem| Err(source.wrong(opening(node), key, problem));
        if !matches!(node.value, Value::Object(_)) {
            return wrong(node, &key, Problem::error("this should be an object"));
        }
        let Some(kind) = node.get("type") else {
            let problem = Problem::error("a setting needs a \"type\"");
            return wrong(node, &key, problem.help(format!("one of {}", KINDS.join(", "))));
        };
        let given = kind.text().unwrap_or_default();
        if !KINDS.contains(&given) {
            let mut problem = Problem::error("this kind of value is not known").expected(
                format!("{given:?}"),
                "\"string\", \"number\", \"boolean\", \"directory\" or \"file\"",
            );
            if let Some(near) = nearest(given, KINDS) {
                problem = problem.help(format!("did you mean {near:?}?"));
            }
            return Err(source.wrong(kind.span, &Key::Key(&key, "type"), problem));
        }
        let is_list = truth(node, "multiple") || node.get("default").is_some_and(|d| !d.items().is_empty());
        Ok(Self { source, member, key, kind: given, is_list })
    }

    fn name(&self) -> &str {
        &self.member.key
    }

    /// What it is for, in the words of the manifest.
    fn meaning(&self) -> String {
        let said =
            |name: &str| self.member.node.get(name).and_then(Node::text).filter(|text| !text.is_empty());
        said("description").or_else(|| said("title")).map(harmless).unwrap_or_default()
    }

    /// Its value; `None` where one is needed and nobody gives it.
    fn value(&self, server: &str, around: &Surroundings, told: &mut Told) -> Done<Option<Setting>> {
        let node = &self.member.node;
        let is_needed = truth(node, "required");
        let given = around.all_given(self.name());
        if let Some(last) = given.last() {
            let given = if self.is_list { &*given } else { std::slice::from_ref(last) };
            if truth(node, "sensitive") {
                given.iter().try_for_each(|text| self.is_reference(text, server))?;
            }
            return self.checked(given).map(Some);
        }
        if truth(node, "sensitive") {
            if !is_needed {
                return Ok(Some(self.unset(server)));
            }
            let variable = self.variable(server);
            told.meanings.insert(variable.clone(), self.meaning());
            return Ok(Some(Setting::Values(vec![format!("${{{variable}}}")])));
        }
        let usual = self.usual()?;
        let says_nothing = usual.is_empty() || usual.iter().any(String::is_empty);
        if !says_nothing || (!is_needed && self.kind == "string" && !usual.is_empty()) {
            return self.checked(&usual).map(Some);
        }
        if !is_needed {
            return Ok(Some(self.unset(server)));
        }
        let typed = self.typed();
        if typed.is_empty() { Ok(None) } else { self.checked(&typed).map(Some) }
    }

    fn unset(&self, server: &str) -> Setting {
        let name = harmless(self.name());
        Setting::Unset(match truth(&self.member.node, "sensitive") {
            true => format!("--set '{name}=${{{}}}'", self.variable(server)),
            false => format!("--set {name}=…"),
        })
    }

    /// The variable for a secret. It bears the name of its server, since every other one has an "api_key" too.
    fn variable(&self, server: &str) -> String {
        let (server, own) = (variable(server), variable(self.name()));
        if own.starts_with(&format!("{server}_")) { own } else { format!("{server}_{own}") }
    }

    /// Refuses a secret in plain words.
    fn is_reference(&self, text: &str, server: &str) -> Done<()> {
        if !references(text).is_empty() {
            return Ok(());
        }
        let name = self.name();
        let problem = Problem::error(format!("{name:?} is a secret, and those are not written down"));
        let help = format!(
            "leave it out and set {0} where Puerto starts, or name another variable: --set '{name}=${{{0}}}'",
            self.variable(server)
        );
        Err(self.source.wrong(self.member.key_span, &self.key, problem.help(help)))
    }

    /// Its default.
    fn usual(&self) -> Done<Vec<String>> {
        let Some(node) = self.member.node.get("default") else { return Ok(Vec::new()) };
        let items =
            if matches!(node.value, Value::List(_)) { node.items() } else { std::slice::from_ref(node) };
        let mut values = Vec::new();
        for item in items.iter().filter(|item| item.value != Value::Null) {
            let Some(text) = scalar(item) else {
                let problem = Problem::error("this should be a text, a number, true or false");
                return Err(self.source.wrong(opening(item), &Key::Key(&self.key, "default"), problem));
            };
            values.push(replaced(&text, |name| of_the_system(name).map(Into::into)));
        }
        Ok(values)
    }

    /// What the user types, where there is one.
    fn typed(&self) -> Vec<String> {
        let mut typed = Vec::new();
        let first = registry::ask(self.name(), &self.meaning());
        typed.extend(first.map(|text| literal(&text)));
        while self.is_list && !typed.is_empty() {
            let Some(next) = registry::ask(self.name(), "one more, or nothing") else { break };
            typed.push(literal(&next));
        }
        typed
    }

    fn checked(&self, values: &[String]) -> Done<Setting> {
        values.iter().map(|value| self.one(value)).collect::<Done<_>>().map(Setting::Values)
    }

    /// A value as it is written, where it can be one of this kind.
    fn one(&self, value: &str) -> Done<String> {
        let Some(plain) = known(value) else { return Ok(value.to_owned()) };
        let refused = |why: String| {
            let problem = Problem::error(format!("{} cannot be {plain:?}: {why}", self.name()));
            let help = format!("give another value with --set {}=…", self.name());
            Err(self.source.wrong(self.member.key_span, &self.key, problem.help(help)))
        };
        match self.kind {
            "number" => {
                let (min, max) = (self.bound("min"), self.bound("max"));
                let number = plain.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                let is_within = |n: &f64| min.is_none_or(|min| *n >= min) && max.is_none_or(|max| *n <= max);
                if number.filter(is_within).is_some() {
                    return Ok(plain.trim().to_owned());
                }
                refused(match (min, max) {
                    (Some(min), Some(max)) => format!("it is a number from {min} to {max}"),
                    (Some(min), None) => format!("it is a number from {min} on"),
                    (None, Some(max)) => format!("it is a number up to {max}"),
                    (None, None) => "it is a number".into(),
                })
            }
            "boolean" if !["true", "false"].contains(&&*plain) => refused("it is true or false".into()),
            "directory" | "file" => {
                let path = absolute(&plain);
                let is_there = if self.kind == "file" { path.is_file() } else { path.is_dir() };
                if !is_there {
                    return refused(format!("there is no such {}", self.kind));
                }
                // What names the home directory goes on to do so.
                let stays = value.starts_with("${HOME}");
                Ok(if stays { value.to_owned() } else { literal(&path.display().to_string()) })
            }
            _ => Ok(value.to_owned()),
        }
    }

    fn bound(&self, name: &str) -> Option<f64> {
        match &self.member.node.get(name)?.value {
            Value::Number(number) => number.as_f64(),
            _ => None,
        }
    }
}

fn truth(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|node| node.value == Value::Bool(true))
}

/// What a value stands for; `None` where a variable decides that only when Puerto starts.
fn known(value: &str) -> Option<String> {
    let home = crate::command::env("HOME").filter(|home| !home.is_empty());
    let value = match (value.strip_prefix("${HOME}"), home) {
        (Some(rest), Some(home)) => format!("{}{rest}", literal(&home)),
        _ => value.to_owned(),
    };
    let is_open = !references(&value).is_empty() || value.replace("$${", "").contains("${");
    (!is_open).then(|| value.replace("$${", "${"))
}

/// A path that means the same wherever the server is started.
fn absolute(given: &str) -> PathBuf {
    let home = crate::command::env("HOME").filter(|home| !home.is_empty());
    let path = match (given.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(given),
    };
    std::path::absolute(&path).unwrap_or(path)
}
