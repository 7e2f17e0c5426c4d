//! A task list as written: `[{"type":"file","action":"read","params":{…}}]`, in the words of its readers:
//! type = server, action = tool, params = arguments.

use puerto_core::ServerName;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Tasks in one list. Longer lists belong into several runs, each with its own result.
const TASKS_MAX: usize = 10_000;

/// One call to make.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The server.
    #[serde(rename = "type")]
    pub server: ServerName,
    /// The tool.
    pub action: String,
    /// The arguments; none where left out.
    #[serde(default = "none")]
    pub params: Box<RawValue>,
}

fn none() -> Box<RawValue> {
    RawValue::from_string("{}".into()).expect("an empty object is JSON")
}

/// Why a text is no task list, with the place.
#[derive(Debug)]
pub struct Invalid {
    /// Line, from 1; 0 where no place is to blame.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.what)
        } else {
            write!(f, "{}:{}: {}", self.line, self.column, self.what)
        }
    }
}

impl std::error::Error for Invalid {}

/// Reads a task list. Nothing runs unless every task is well-formed.
pub fn parse(text: &str) -> Result<Vec<Task>, Invalid> {
    let tasks: Vec<Task> = serde_json::from_str(text).map_err(|cause| {
        let told = cause.to_string();
        let what = told.split(" at line ").next().unwrap_or_default();
        let expected = "a list of {\"type\": server, \"action\": tool, \"params\": {arguments}} is expected";
        Invalid { line: cause.line(), column: cause.column(), what: format!("{what}; {expected}") }
    })?;
    if tasks.len() > TASKS_MAX {
        return Err(Invalid {
            line: 0,
            column: 0,
            what: format!("{} tasks; a list holds at most {TASKS_MAX}", tasks.len()),
        });
    }
    if let Some(at) = tasks.iter().position(|task| !task.params.get().starts_with('{')) {
        return Err(Invalid {
            line: 0,
            column: 0,
            what: format!("task {}: \"params\" must be an object", at + 1),
        });
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_list() {
        let tasks = parse(r#"[{"type":"db","action":"query","params":{"sql":"select 1.10"}},{"type":"monitor","action":"get_uptime"}]"#).unwrap();
        assert_eq!((tasks[0].server.as_str(), tasks[0].params.get()), ("db", r#"{"sql":"select 1.10"}"#));
        assert_eq!(tasks[1].params.get(), "{}");
    }

    #[test]
    fn says_where_a_mistake_is() {
        for (text, part) in [
            ("{}", "1:0"),
            ("[\n {\"type\":\"db\",\"acton\":\"query\"}]", "2:"),
            (r#"[{"type":"d b","action":"x"}]"#, "server name"),
            (r#"[{"type":"db"}]"#, "action"),
            (r#"[{"type":"db","action":"x","params":[]}]"#, "task 1"),
        ] {
            let told = parse(text).unwrap_err().to_string();
            assert!(told.contains(part), "{text}: {told}");
        }
    }
}
