//! Codex: tables `[mcp_servers.NAME]` of its `config.toml`. The file becomes the same tree as JSON, so that
//! what is wrong is told in the same way, with its place.

use toml::de::{DeTable, DeValue};

use super::entry::Reading;
use super::notation::{Notation, Told};
use super::{Found, Surroundings};
use crate::command::draft::{Draft, harmless};
use crate::command::edit::{self, Done, Source};
use crate::config::Problem;
use crate::config::json::{Member, Node, Span, Value};
use crate::config::problem::Path as Key;

/// Keys that are read.
const READ: [&str; 11] = [
    "command",
    "args",
    "env",
    "env_vars",
    "cwd",
    "url",
    "bearer_token_env_var",
    "http_headers",
    "env_http_headers",
    "enabled",
    "tool_timeout_sec",
];

/// Reads TOML.
pub(crate) fn source(name: &str, text: String) -> Done<Source> {
    match DeTable::parse(&text) {
        Ok(table) => {
            let root = node(DeValue::Table(table.get_ref().clone()), span(&table.span()));
            Ok(Source { name: name.into(), text, root })
        }
        Err(error) => {
            let at = error.span().unwrap_or_default();
            let problem = Problem::error(format!("this is not TOML: {}", error.message()));
            Err(edit::place(name, &text, span(&at), &Key::Root, problem))
        }
    }
}

fn span(range: &std::ops::Range<usize>) -> Span {
    Span { start: range.start, end: range.end }
}

fn node(value: DeValue<'_>, at: Span) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => Value::Text(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => Value::Number(number),
            None => Value::Text(number.as_str().to_owned()),
        },
        DeValue::Boolean(truth) => Value::Bool(truth),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| (span(&item.span()), item))
                .map(|(at, item)| node(item.into_inner(), at))
                .collect(),
        ),
        DeValue::Table(members) => {
            let member = |(key, value): (toml::Spanned<_>, toml::Spanned<DeValue<'_>>)| {
                let (key_span, at) = (span(&key.span()), span(&value.span()));
                let key: std::borrow::Cow<'_, str> = key.into_inner();
                Member { key: key.into_owned(), key_span, node: node(value.into_inner(), at) }
            };
            let mut members: Vec<_> = members.into_iter().map(member).collect();
            // The parser sorts by key; people expect the order of their file.
            members.sort_by_key(|member| member.key_span.start);
            Value::Object(members)
        }
    };
    Node { span: at, value }
}

/// The servers of the file; none where it has no table of them.
pub(super) fn read(source: &Source, around: &Surroundings) -> Done<Vec<Found>> {
    let Some(servers) = source.root.get("mcp_servers") else { return Ok(Vec::new()) };
    let key = Key::Key(&Key::Root, "mcp_servers");
    // Codex fills in no variables: its texts are what they are.
    let notation = Notation { project: around.project.as_deref(), plain: true, ..Notation::default() };
    let one = |member: &Member| {
        let mut reading = Reading { source, notation: &notation, told: Told::default() };
        let draft = server(&mut reading, member, &Key::Key(&key, &member.key))?;
        let Told { notes, meanings } = reading.told;
        Ok(Found { name: member.key.clone(), draft, notes, meanings })
    };
    servers.members().iter().map(one).collect()
}

fn server(reading: &mut Reading<'_>, member: &Member, key: &Key<'_>) -> Done<Draft> {
    let table = &member.node;
    if !matches!(table.value, Value::Object(_)) {
        return Err(reading.wanted(table, key, "a table"));
    }
    let mut draft = Draft {
        command: reading.text(table, "command", key)?,
        args: reading.list(table, "args", key)?,
        cwd: reading.text(table, "cwd", key)?,
        env: reading.pairs(table, "env", key)?,
        url: reading.text(table, "url", key)?,
        headers: reading.pairs(table, "http_headers", key)?,
        disabled: reading.truth(table, "enabled", key)? == Some(false),
        ..Draft::default()
    };
    for name in variables(reading, table, key)? {
        if !draft.env.iter().any(|(own, _)| *own == name) {
            draft.env.push((name.clone(), format!("${{{name}}}")));
        }
    }
    for (header, name) in reading.pairs(table, "env_http_headers", key)? {
        draft.headers.push((header, format!("${{{name}}}")));
    }
    if let Some(name) = reading.text(table, "bearer_token_env_var", key)? {
        draft.headers.retain(|(header, _)| !header.eq_ignore_ascii_case("authorization"));
        draft.headers.push(("Authorization".into(), format!("Bearer ${{{name}}}")));
    }
    if let Some(Node { value: Value::Number(seconds), .. }) = table.get("tool_timeout_sec") {
        // Puerto takes whole seconds, a day at most.
        draft.call_timeout = seconds.as_f64().map(|seconds| seconds.ceil().clamp(1.0, 86_400.0) as u64);
    }
    // Codex speaks Streamable HTTP only, but the address may know more: Puerto finds out.
    reading.way(&mut draft, None, key, member.key_span)?;
    reading.directory(&mut draft);
    let others: Vec<_> = table
        .members()
        .iter()
        .filter(|member| !READ.contains(&&*member.key))
        .map(|member| harmless(&member.key))
        .collect();
    if !others.is_empty() {
        reading.told.note(format!("not taken over: {}", others.join(", ")));
    }
    Ok(draft)
}

/// `env_vars`: variables to hand on, as names or as tables with a name.
fn variables(reading: &mut Reading<'_>, table: &Node, key: &Key<'_>) -> Done<Vec<String>> {
    let key = Key::Key(key, "env_vars");
    let name = |(at, item): (usize, &Node)| {
        let name = item.text().or_else(|| item.get("name").and_then(Node::text));
        name.map(ToOwned::to_owned)
            .ok_or_else(|| reading.wanted(item, &Key::Item(&key, at), "the name of a variable"))
    };
    table.get("env_vars").map(Node::items).unwrap_or_default().iter().enumerate().map(name).collect()
}
