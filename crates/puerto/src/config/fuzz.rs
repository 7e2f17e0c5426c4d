//! What holds of every text that is read as a configuration.

use super::json::{self, Node, Value};
use super::{Loaded, Problem, Severity, load_text};
use crate::fuzz::is_harmless;

/// Stands in the environment and must not be shown.
const SECRET: &str = "s3cret-value";

fn env(name: &str) -> Option<String> {
    let value = match name {
        "TOKEN" => SECRET,
        "PORT" => "9000",
        "YES" => "true",
        "EMPTY" => "",
        "LOG_LEVEL" | "MCP_HUB_PLUGINS_DIR" => return None,
        _ => return name.starts_with('A').then(|| name.to_lowercase()),
    };
    Some(value.into())
}

/// Panics where something does not hold.
pub(crate) fn holds(text: &str) {
    match json::read(text) {
        Ok(root) => {
            spans(text, &root);
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
                assert_eq!(root.to_json(), value, "serde_json reads it otherwise");
            }
        }
        // Deeper than we go, serde_json may still go.
        Err(mistake) if mistake.message.contains("nested deeper") => {}
        Err(mistake) => {
            let read = serde_json::from_str::<serde_json::Value>(text);
            assert!(read.is_err(), "serde_json takes it: {}", mistake.message);
        }
    }
    let done = load_text("it.json", text, &env);
    let problems = match &done {
        Ok(Loaded { warnings, .. }) => {
            assert!(warnings.iter().all(|problem| problem.severity == Severity::Warning));
            warnings
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            problems
        }
    };
    for problem in problems {
        placed(text, problem);
        let shown = problem.to_string();
        assert!(is_harmless(&shown), "a terminal would act on {shown:?}");
        assert!(text.contains(SECRET) || !shown.contains(SECRET), "{shown}");
    }
}

/// A value stands where its span says: read by itself it is the same.
fn spans(text: &str, node: &Node) {
    let raw = &text[node.span.start..node.span.end];
    let alone = json::read(raw).map(|alone| alone.to_json());
    assert_eq!(alone, Ok(node.to_json()), "{raw:?}");
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| spans(text, item)),
        Value::Object(members) => members.iter().for_each(|member| spans(text, &member.node)),
        _ => {}
    }
}

/// A problem names a line of the text, and a column in it or right behind it.
pub(crate) fn placed(text: &str, problem: &Problem) {
    assert_eq!(problem.file, "it.json", "{problem:?}");
    let line = problem.line.checked_sub(1).and_then(|before| text.split('\n').nth(before));
    let Some(line) = line else { panic!("no such line: {problem:?}") };
    let line = line.trim_start_matches('\u{feff}');
    assert!((1..=line.chars().count() + 1).contains(&problem.column), "no such column: {problem:?}");
}
