//! Fills in `${NAME}` and `${NAME:-default}` inside the texts of a configuration; `$${` is a plain
//! `${`. Keys are never touched, and the default is used where the variable is unset or empty, as in a
//! shell. The environment is handed in, so that this is the only door to it.

use super::json::{Node, Span, Value};
use super::problem::{Path, Problem, Report};

/// The environment: a variable's value by its name.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills in every text of the tree.
pub(crate) fn expand(node: &mut Node, path: &Path<'_>, env: Env<'_>, report: &mut Report<'_>) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match filled(text, env) {
            Ok(text) => node.value = Value::Expanded(text),
            Err((nth, problem)) => {
                let span = place(node.span, nth, report.text);
                report.add(span, path, *problem);
                node.value = Value::Unknown;
            }
        },
        Value::List(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                expand(item, &Path::Item(path, at), env, report);
            }
        }
        Value::Object(members) => {
            for member in members {
                expand(&mut member.node, &Path::Key(path, &member.key), env, report);
            }
        }
        _ => {}
    }
}

/// The text with its variables, or what is wrong with the `nth` `${` in it.
fn filled(text: &str, env: Env<'_>) -> Result<String, (usize, Box<Problem>)> {
    let (mut done, mut rest, mut nth) = (String::new(), text, 0);
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        nth += 1;
        if let Some(before) = before.strip_suffix('$') {
            done.push_str(before);
            done.push_str("${");
            rest = after;
            continue;
        }
        done.push_str(before);
        let Some(end) = after.find('}') else {
            let help = "close it with \"}\", or write \"$${\" for a plain \"${\"";
            return Err((nth, Problem::error("this \"${\" is never closed").help(help).into()));
        };
        let inside = &after[..end];
        done.push_str(&variable(inside, env).map_err(|problem| (nth, problem))?);
        rest = &after[end + 1..];
    }
    done.push_str(rest);
    Ok(done)
}

/// The value of what stands between the braces.
fn variable(inside: &str, env: Env<'_>) -> Result<String, Box<Problem>> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if default.is_some_and(|default| default.contains("${")) {
        let help = "a default is plain text; name one variable only";
        return Err(Problem::error("a variable inside a default is not understood").help(help).into());
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name) {
        let bare = name.strip_prefix("env:").unwrap_or(name);
        let end = bare.find(|c| !is_name(c)).unwrap_or(bare.len());
        let help = if end > 0 && bare.len() > end {
            format!("write \"${{{0}}}\", or \"${{{0}:-default}}\"", &bare[..end])
        } else if bare.len() < name.len() && end > 0 {
            format!("write \"${{{bare}}}\"")
        } else {
            "write \"${NAME}\", or \"$${\" for a plain \"${\"".into()
        };
        return Err(Problem::error(format!("\"${{{inside}}}\" names no variable")).help(help).into());
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.into()),
        (None, None) => Err(Problem::error(format!("the environment variable {name} is not set"))
            .help(format!("set it, or give a default: \"${{{name}:-…}}\""))
            .into()),
    }
}

/// Where the `nth` `${` stands. The text is searched as written; where escapes hide it, all of it counts.
fn place(whole: Span, nth: usize, source: &str) -> Span {
    let raw = &source[whole.start..whole.end];
    let Some((at, _)) = raw.match_indices("${").nth(nth.saturating_sub(1)) else { return whole };
    let length = raw[at..].find('}').map_or(2, |end| end + 1);
    Span { start: whole.start + at, end: whole.start + at + length }
}
