//! Whether the overrides and profiles of a tenant name what there is.

use puerto_core::pattern::{Choice, InvalidPattern, Pattern, is_like};

use super::json::{Node, Span, Value};
use super::known;
use super::problem::{Path, Problem, Report};

/// Judges the overrides and profiles of one tenant.
pub(crate) fn check(tenant: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let servers: Vec<&str> =
        tenant.get("servers").map(Node::members).unwrap_or_default().iter().map(|m| &*m.key).collect();
    let mut judge = Judge { servers, report };
    if let Some(all) = tenant.get("overrides") {
        for kind in all.members() {
            let path = Path::Key(path, "overrides");
            judge.overrides(&kind.key, &kind.node, &Path::Key(&path, &kind.key));
        }
    }
    for profile in tenant.get("profiles").map(Node::members).unwrap_or_default() {
        let path = Path::Key(path, "profiles");
        judge.profile(&profile.node, &Path::Key(&path, &profile.key));
    }
}

struct Judge<'a, 'r, 't> {
    servers: Vec<&'a str>,
    report: &'r mut Report<'t>,
}

impl Judge<'_, '_, '_> {
    fn overrides(&mut self, kind: &str, node: &Node, path: &Path<'_>) {
        for member in node.members() {
            let path = Path::Key(path, &member.key);
            let Some(pattern) = self.pattern(Pattern::new(&member.key), member.key_span, &path) else {
                continue;
            };
            let name = member.node.member("name").filter(|name| name.node.value != Value::Null);
            if let Some(name) = name.filter(|_| !pattern.is_exact()) {
                let problem = Problem::error("one name cannot stand for everything that a pattern fits");
                let help = "rename each by its own name, or leave \"name\" out";
                self.report.add(name.key_span, &Path::Key(&path, "name"), problem.help(help));
            }
            if let Some(empty) = name.filter(|name| name.node.text().is_some_and(str::is_empty)) {
                let problem =
                    Problem::error("the name is empty").help("leave it out to keep the server's own");
                self.report.add(empty.node.span, &Path::Key(&path, "name"), problem);
            }
            if let Some(hints) = member.node.member("annotations").filter(|_| kind == "prompts") {
                let problem = Problem::error("prompts have no annotations").help("leave it out");
                self.report.add(hints.key_span, &Path::Key(&path, "annotations"), problem);
            }
        }
    }

    fn profile(&mut self, node: &Node, path: &Path<'_>) {
        let servers = Path::Key(path, "servers");
        for (at, item) in items(node, "servers").enumerate() {
            if let Some(name) = item.text() {
                self.server(name, item.span, &Path::Item(&servers, at));
            }
        }
        for key in ["tools", "prompts", "resources", "pinned"] {
            let list = Path::Key(path, key);
            for (at, item) in items(node, key).enumerate() {
                let Some(text) = item.text() else { continue };
                let choice = Choice::new(text).map(|choice| choice.pattern);
                self.pattern(choice, item.span, &Path::Item(&list, at));
            }
        }
        let searches = node.get("kind").and_then(Node::text) == Some("search");
        if let Some(pinned) = node.member("pinned").filter(|pinned| !searches && !pinned.node.is_empty()) {
            let problem = Problem::error("\"pinned\" means nothing where every tool is listed");
            let help = "add \"kind\": \"search\", or leave it out";
            self.report.add(pinned.key_span, &Path::Key(path, "pinned"), problem.help(help));
        }
    }

    /// The pattern, where it can stand for something.
    fn pattern(
        &mut self,
        pattern: Result<Pattern, InvalidPattern>,
        span: Span,
        path: &Path<'_>,
    ) -> Option<Pattern> {
        match pattern {
            Ok(pattern) => {
                self.server(pattern.server(), span, path);
                Some(pattern)
            }
            Err(error) => {
                self.report.add(span, path, Problem::error(error.to_string()));
                None
            }
        }
    }

    /// Whether a server of this name, or one like it, is defined.
    fn server(&mut self, name: &str, span: Span, path: &Path<'_>) {
        if self.servers.iter().any(|server| is_like(server, name)) {
            return;
        }
        let problem = Problem::error(format!("no server of this tenant is called {name:?}"));
        let near = known::nearest(name, self.servers.iter().copied());
        let problem = match near {
            Some(near) => problem.help(format!("did you mean {near:?}?")),
            None if self.servers.is_empty() => problem.help("the tenant has no servers"),
            None => problem.help(format!("its servers are {}", self.servers.join(", "))),
        };
        self.report.add(span, path, problem);
    }
}

fn items<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = &'a Node> {
    node.get(key).map(Node::items).unwrap_or_default().iter()
}
