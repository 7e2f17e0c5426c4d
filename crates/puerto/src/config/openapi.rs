//! Whether what a server says of an HTTP API makes sense: where it is, which operations, which credentials.

use http::HeaderValue;
use puerto_servers::openapi::pattern_fault;

use super::json::{Node, Value};
use super::problem::{Path, Problem, Report};
use super::server;

/// Judges the keys of a server that is reached by `openapi`.
pub(crate) fn check(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(file) = node.get("file") {
        self::file(file, &Path::Key(path, "file"), report);
    }
    if let Some(base) = node.get("base_url") {
        base_url(base, &Path::Key(path, "base_url"), report);
    }
    if let Some(operations) = node.get("operations") {
        let path = Path::Key(path, "operations");
        for key in ["include", "exclude"] {
            let patterns = operations.get(key).map(Node::items).unwrap_or_default();
            for (at, pattern) in patterns.iter().enumerate() {
                let Some(fault) = pattern.text().and_then(pattern_fault) else { continue };
                let problem = Problem::error("this pattern chooses no operations").help(fault);
                report.add(pattern.span, &Path::Item(&Path::Key(&path, key), at), problem);
            }
        }
    }
    if let Some(auth) = node.get("auth") {
        self::auth(auth, &Path::Key(path, "auth"), report);
    }
}

fn file(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(given) = node.text() else { return };
    if given.trim().is_empty() {
        let help = "name a file, as in \"file\": \"openapi.yaml\"";
        report.add(node.span, path, Problem::error("the name of the file is empty").help(help));
    } else if given.starts_with("http://") || given.starts_with("https://") {
        let help = "write it as \"transport\": \"openapi\", \"url\": \"…\"";
        report.add(node.span, path, Problem::error("this is an address and no file").help(help));
    } else if !std::path::Path::new(given).is_file() {
        let problem = Problem::warning("there is no such file now");
        report.add(node.span, path, problem.help("relative paths start where Puerto is started"));
    }
}

fn base_url(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if node.text().is_some_and(|given| given.contains(['?', '#'])) {
        let help = "parameters for every request belong in \"auth\": { \"query\": { … } }";
        return report.add(
            node.span,
            path,
            Problem::error("the address of an API holds no query").help(help),
        );
    }
    server::url(node, "openapi", path, report);
}

fn auth(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let given = |key: &str| node.member(key).filter(|member| !member.node.is_empty());
    if let (Some(_), Some(basic)) = (given("bearer"), given("basic")) {
        let problem = Problem::error("\"bearer\" and \"basic\" both say who asks");
        report.add(basic.key_span, &Path::Key(path, "basic"), problem.help("keep one of them"));
    }
    if let Some(bearer) = node.get("bearer") {
        sendable(bearer, &Path::Key(path, "bearer"), report);
    }
    if let Some(headers) = node.get("header").filter(|node| matches!(node.value, Value::Object(_))) {
        server::headers(headers, &Path::Key(path, "header"), report);
    }
}

fn sendable(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    if node.text().is_some_and(|value| HeaderValue::from_str(value).is_err()) {
        let problem = Problem::error("a token cannot hold a line break or another control character");
        report.add(node.span, path, problem.help("is there a line break at the end of the variable?"));
    }
}
