//! Which program a file belongs to, found by what stands in it.

use std::cell::RefCell;
use std::path::Path;

use super::{Batch, Found, Surroundings, codex, entry, registry};
use crate::cli::ClientKind;
use crate::command::edit::{Done, Source};
use crate::config::Problem;
use crate::config::json::{Node, Value};
use crate::config::problem::Path as Key;

/// Reads one file. `client` is the program where it is known, so that a file without servers is no error.
pub(super) fn batch(
    file: &Path,
    text: String,
    client: Option<ClientKind>,
    around: &Surroundings,
) -> Done<Batch> {
    let name = file.display().to_string();
    let made = |title, found| Ok(Batch { file: file.to_owned(), title, found, bundle: None });
    let is_toml = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    if is_toml {
        return made(ClientKind::Codex.title(), codex::read(&codex::source(&name, text)?, around)?);
    }
    let source = Source::json(&name, text)?;
    let root = &source.root;
    if !matches!(root.value, Value::Object(_)) {
        let problem = Problem::error("this file holds no object");
        return Err(source.wrong(root.span, &Key::Root, problem.help(EXPECTED)));
    }
    let title = client.map(ClientKind::title);
    if root.get("mcpServers").is_some() || root.get("projects").is_some() {
        return made(title.unwrap_or("mcpServers"), with_projects(&source, around)?);
    }
    if let Some(mcp) = root.get("mcp").filter(|mcp| mcp.get("servers").is_some()) {
        let found = entry::vscode(&source, mcp, &Key::Key(&Key::Root, "mcp"), around)?;
        return made("VS Code", found);
    }
    let is_list = root.get("servers").is_some_and(|servers| matches!(servers.value, Value::List(_)));
    if root.get("servers").is_some() && !is_list {
        return made(title.unwrap_or("VS Code"), entry::vscode(&source, root, &Key::Root, around)?);
    }
    let server = root.get("server").filter(|server| server.get("name").is_some());
    let is_registry = |node: &Node| node.get("packages").is_some() || node.get("remotes").is_some();
    if let Some(server) = server {
        let key = Key::Key(&Key::Root, "server");
        return made("server.json", vec![registry::read(&source, server, &key, around)?]);
    }
    if is_registry(root) {
        return made("server.json", vec![registry::read(&source, root, &Key::Root, around)?]);
    }
    if client.is_some() {
        return made(title.unwrap_or_default(), Vec::new());
    }
    let (problem, help) = match root.get("tenants") {
        Some(_) => ("this is a configuration of Puerto", "use it with --config FILE"),
        None if root.get("manifest_version").is_some() || root.get("dxt_version").is_some() => {
            ("this is the manifest of a bundle", "name the bundle itself, a file that ends in .mcpb or .dxt")
        }
        None if is_list => ("this is a list of a registry", "save one of its servers as a file of its own"),
        None => ("nothing in this file lists MCP servers", EXPECTED),
    };
    Err(source.wrong(
        crate::config::json::Span { end: root.span.start + 1, ..root.span },
        &Key::Root,
        Problem::error(problem).help(help),
    ))
}

const EXPECTED: &str = "expected \"mcpServers\" (Claude, Cursor, Windsurf), \"servers\" (VS Code), a registry's server.json, \
                        Codex's config.toml, or a bundle (.mcpb)";

/// `mcpServers` of the whole file, then those of each project (Claude Code keeps both in one file).
fn with_projects(source: &Source, around: &Surroundings) -> Done<Vec<Found>> {
    let root = Key::Root;
    let mut all = Vec::new();
    if let Some(servers) = source.root.get("mcpServers") {
        all = entry::servers(source, servers, &Key::Key(&root, "mcpServers"), around, &[])?;
    }
    let projects = Key::Key(&root, "projects");
    for project in source.root.get("projects").map(Node::members).unwrap_or_default() {
        let Some(servers) = project.node.get("mcpServers") else { continue };
        let key = Key::Key(&projects, &project.key);
        let inside = Surroundings {
            project: Some(project.key.clone().into()),
            set: Vec::new(),
            used: RefCell::default(),
            ..*around
        };
        for mut found in entry::servers(source, servers, &Key::Key(&key, "mcpServers"), &inside, &[])? {
            found.notes.insert(0, format!("from the project {}", super::harmless(&project.key)));
            all.push(found);
        }
    }
    Ok(all)
}
