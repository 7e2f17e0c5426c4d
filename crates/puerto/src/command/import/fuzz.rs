//! What holds of every file of another program that is taken over, and of every configuration that it is taken
//! over into.

use std::cell::RefCell;
use std::path::Path;

use super::manifest::{self, Files};
use super::{Batch, Plan, Surroundings, codex, kind};
use crate::command::edit::{self, Done, Source};
use crate::config::fuzz::placed;
use crate::config::json::{self, Member, Node, Value};
use crate::fuzz::is_harmless;

/// Between the file and the configuration.
const LINE: &str = "\n----------\n";

/// Panics where something does not hold.
pub(crate) fn holds(text: &str) {
    let (file, before) = text.split_once(LINE).map_or((text, None), |(file, rest)| (file, Some(rest)));
    let batch = match read(file) {
        None => return,
        Some(Ok(batch)) => batch,
        Some(Err(problem)) => {
            placed(file, &problem);
            let shown = problem.to_string();
            return assert!(is_harmless(&shown), "a terminal would act on {shown:?}");
        }
    };
    let plan = match Plan::new("it.json", before, "default", &[batch]) {
        Ok(plan) => plan,
        Err(problem) => return placed(before.unwrap_or_default(), &problem),
    };
    let shown = plan.lines.join("\n");
    assert!(is_harmless(&shown), "a terminal would act on {shown:?}");
    if plan.servers.is_empty() {
        return;
    }
    match edit::with_servers("it.json", before, "default", &plan.servers) {
        Ok(after) => added(before.unwrap_or("{}"), &after, &plan),
        Err(problem) => placed(before.unwrap_or_default(), &problem),
    }
}

/// The servers of a file; `None` where reading it would open another.
fn read(text: &str) -> Option<Done<Batch>> {
    let is_toml = !text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '/']);
    let name = if is_toml { "it.toml" } else { "it.json" };
    let source = if is_toml { codex::source(name, text.into()) } else { Source::json(name, text.into()) };
    if source.as_ref().is_ok_and(|source| names(&source.root, "envFile")) {
        return None;
    }
    let around = Surroundings {
        project: Some("project".into()),
        set: Vec::new(),
        used: RefCell::default(),
        remote: false,
    };
    if let Some(source) = source.ok().filter(|s| !is_toml && s.root.get("manifest_version").is_some()) {
        return Some(bundle(&source, &around));
    }
    let done = kind::batch(Path::new(name), text.to_owned(), None, &around);
    // One name for the file in every message.
    Some(done.map_err(|mut problem| {
        problem.file = "it.json".into();
        problem
    }))
}

/// The server of a bundle with this manifest.
fn bundle(manifest: &Source, around: &Surroundings) -> Done<Batch> {
    manifest::identity(manifest)?;
    let files = Files { dir: "/bundles/it-1", has: &|name| name.starts_with("server/") };
    let found = vec![manifest::read(manifest, &files, around)?];
    Ok(Batch { file: "it.json".into(), title: "bundle", found, bundle: None })
}

/// Whether a key stands anywhere.
fn names(node: &Node, key: &str) -> bool {
    node.members().iter().any(|member| member.key == key || names(&member.node, key))
        || node.items().iter().any(|item| names(item, key))
}

/// The configuration holds what it held, in the same order and with the same words, and the new servers last.
fn added(before: &str, after: &str, plan: &Plan) {
    let (Ok(old), Ok(new)) = (json::read(before), json::read(after)) else {
        panic!("no JSON any more:\n{before}\nbecame\n{after}");
    };
    let servers = edit::servers_of(&new, "default");
    let last = &servers[servers.len() - plan.servers.len()..];
    for (member, (name, draft)) in last.iter().zip(&plan.servers) {
        assert_eq!((&member.key, member.node.to_json()), (name, draft.to_json()), "{after}");
    }
    assert!(grown(&old, &new), "{before}\nbecame\n{after}");
    let mut rest = after.chars();
    let is_kept = |c: char| c.is_ascii_whitespace() || c == ',' || rest.any(|other| other == c);
    assert!(before.chars().all(is_kept), "something was lost:\n{before}\nbecame\n{after}");
}

/// Whether a value is the old one, but for members at the end of objects.
fn grown(old: &Node, new: &Node) -> bool {
    let same = |(old, new): (&Member, &Member)| old.key == new.key && grown(&old.node, &new.node);
    match (&old.value, &new.value) {
        (Value::Object(old), Value::Object(new)) => new.len() >= old.len() && old.iter().zip(new).all(same),
        (Value::List(_), Value::List(_)) => old.to_json() == new.to_json(),
        (old, new) => old == new,
    }
}
