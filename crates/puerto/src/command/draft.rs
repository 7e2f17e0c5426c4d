//! A server that is about to be written into a configuration: gathered from a command line or from another
//! program's file, compared with what is there, and rendered as people would write it. Its texts are in
//! Puerto's own notation already, so `${NAME}` is a variable and `$${` a plain `${`.

use puerto_core::{ServerName, id::NAME_LEN_MAX};
use serde_json::{Map, Value};

use crate::config::json::Node;
pub(crate) use crate::out::harmless;

/// A definition in the making. Lists keep the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Draft {
    /// Written only where it does not follow from the rest.
    pub(crate) transport: Option<&'static str>,
    pub(crate) command: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) url: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) disabled: bool,
    pub(crate) call_timeout: Option<u64>,
    pub(crate) description: Option<String>,
}

impl Draft {
    /// Keys and values in the order in which they are written.
    pub(crate) fn entries(&self) -> Vec<(&'static str, Value)> {
        let object = |pairs: &[(String, String)]| {
            Some(pairs).filter(|pairs| !pairs.is_empty()).map(|pairs| {
                Value::Object(pairs.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect())
            })
        };
        let args = Some(&self.args).filter(|args| !args.is_empty()).map(|args| Value::from(args.clone()));
        let described = self.description.as_ref().map(|text| serde_json::json!({ "description": text }));
        let all = [
            ("transport", self.transport.map(Value::from)),
            ("command", self.command.clone().map(Value::from)),
            ("args", args),
            ("cwd", self.cwd.clone().map(Value::from)),
            ("env", object(&self.env)),
            ("url", self.url.clone().map(Value::from)),
            ("headers", object(&self.headers)),
            ("enabled", self.disabled.then_some(Value::Bool(false))),
            ("call_timeout", self.call_timeout.map(Value::from)),
            ("metadata", described),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// The same as serde knows it.
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.entries().into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Whether a definition in a configuration says the same in other words.
    pub(crate) fn says_the_same(&self, there: &Node) -> bool {
        plain(self.to_json()) == plain(there.to_json())
    }

    /// Variables that it refers to and that are not set here.
    pub(crate) fn unset(&self) -> Vec<String> {
        let pairs = self.env.iter().chain(&self.headers).map(|(_, value)| value);
        let single = [&self.command, &self.url, &self.cwd].into_iter().flatten();
        let mut found: Vec<_> =
            single.chain(&self.args).chain(pairs).flat_map(|text| references(text)).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter(|name| super::env(name).is_none()).map(Into::into).collect()
    }

    /// The program and its arguments, or the address, so that a person sees what will run. What a terminal
    /// would act on is shown as an escape.
    pub(crate) fn shown(&self) -> String {
        match (&self.command, &self.url) {
            (Some(command), _) => {
                let words = std::iter::once(command).chain(&self.args);
                words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
            }
            (None, Some(url)) => {
                let by = self.transport.map(|t| format!(" ({t})")).unwrap_or_default();
                format!("{}{by}", quoted(url))
            }
            (None, None) => String::new(),
        }
    }
}

/// A definition without what says nothing: empty lists, defaults, a transport that follows, words for people.
fn plain(definition: Value) -> Map<String, Value> {
    let Value::Object(members) = definition else { return Map::new() };
    let is_url = members.contains_key("url");
    let says_nothing = |key: &str, value: &Value| match (key, value) {
        (_, Value::Null) | ("enabled", Value::Bool(true)) | ("metadata" | "type", _) => true,
        (_, Value::Object(inner)) => inner.is_empty(),
        (_, Value::Array(inner)) => inner.is_empty(),
        // "http" beside a URL says more than nothing: HTTP+SSE is not tried then.
        ("transport", Value::String(text)) => text == "stdio" || text == "builtin" || !is_url,
        _ => false,
    };
    members.into_iter().filter(|(key, value)| !says_nothing(key, value)).collect()
}

/// One word of a command line as a shell would want it; control characters are escaped.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%${}~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", harmless(&word.replace('\'', "'\\''")))
}

/// A name that Puerto allows, made from one that it may not.
pub(crate) fn allowed_name(given: &str) -> String {
    if ServerName::new(given).is_ok() {
        return given.to_owned();
    }
    let mut name = String::new();
    for c in given.chars() {
        if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_start_matches(['-', '_']);
    let name = name[..name.len().min(NAME_LEN_MAX)].trim_end_matches('-');
    if name.is_empty() { "server".to_owned() } else { name.to_owned() }
}

/// The name with a number behind it, still short enough.
pub(crate) fn numbered(name: &str, number: usize) -> String {
    let suffix = format!("-{number}");
    let kept = name.len().min(NAME_LEN_MAX - suffix.len());
    format!("{}{suffix}", &name[..kept])
}

/// Whether a value looks like something that nobody else should read, by its name or by itself.
pub(crate) fn looks_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let named = [
        "token",
        "secret",
        "password",
        "passwd",
        "api_key",
        "apikey",
        "access_key",
        "private_key",
        "credential",
        "authorization",
        "cookie",
    ];
    let ends = ["_key", "_pass", "_pat", "_auth", "_dsn"];
    let starts = [
        "sk-",
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "AKIA",
        "eyJ",
        "Bearer ",
        "Basic ",
    ];
    let with_password = value.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/')
            .next()
            .and_then(|place| place.split_once('@'))
            .is_some_and(|(user, _)| user.contains(':'))
    });
    let random = value.len() >= 24
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-+=".contains(c))
        && value.contains(|c: char| c.is_ascii_digit())
        && value.contains(|c: char| c.is_ascii_alphabetic());
    named.iter().any(|word| name.contains(word))
        || name == "key"
        || ends.iter().any(|end| name.ends_with(end))
        || starts.iter().any(|start| value.starts_with(start))
        || with_password
        || random
}

/// Names of the variables that a text refers to and that have no default.
pub(crate) fn references(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        rest = &rest[at + 2..];
        let Some(end) = rest.find('}') else { break };
        if !escaped && !rest[..end].contains(":-") {
            found.push(&rest[..end]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_allowed() {
        let long = "a".repeat(70);
        for (given, wanted) in [
            ("github", "github"),
            ("my server", "my-server"),
            ("@scope/pkg.name", "scope-pkg-name"),
            ("ünï", "n"),
            ("__", "server"),
            ("日本", "server"),
            ("a  b", "a-b"),
            (&long, &long[..64]),
        ] {
            assert_eq!(allowed_name(given), wanted, "{given:?}");
            assert!(ServerName::new(&allowed_name(given)).is_ok());
        }
        assert_eq!(numbered("git", 2), "git-2");
        assert_eq!(numbered(&long[..64], 12).len(), 64);
    }

    #[test]
    fn secrets_are_known_by_name_or_by_look() {
        for (name, value) in [
            ("GITHUB_TOKEN", "x"),
            ("API_KEY", "x"),
            ("X-Api-Key", "x"),
            ("URL", "postgres://me:pass@host/db"),
            ("ANY", "ghp_0123"),
            ("ANY", "0123456789abcdef0123456789abcdef"),
        ] {
            assert!(looks_secret(name, value), "{name}={value}");
        }
        for (name, value) in
            [("MODE", "fast"), ("ROOT", "/srv/data"), ("URL", "https://host/path"), ("KEYS_MAX", "12")]
        {
            assert!(!looks_secret(name, value), "{name}={value}");
        }
    }

    #[test]
    fn references_without_a_default_are_found() {
        assert_eq!(references("Bearer ${A} ${B:-x} $${C} ${D}"), ["A", "D"]);
        assert!(references("${open").is_empty());
    }

    #[test]
    fn the_same_in_other_words_is_the_same() {
        let there = crate::config::json::read(
            r#"{ "args": ["-y", "x"], "command": "npx", "env": {}, "enabled": true, "transport": "stdio" }"#,
        );
        let draft =
            Draft { command: Some("npx".into()), args: vec!["-y".into(), "x".into()], ..Draft::default() };
        assert!(draft.says_the_same(&there.unwrap()));
        let other = crate::config::json::read(r#"{ "command": "npx", "args": ["-y", "y"] }"#).unwrap();
        assert!(!draft.says_the_same(&other));
    }

    #[test]
    fn what_is_shown_cannot_deceive() {
        let draft = Draft {
            command: Some("sh".into()),
            args: vec!["-c".into(), "echo it's\u{1b}[2K\u{202e}".into()],
            ..Draft::default()
        };
        assert_eq!(draft.shown(), r"sh -c 'echo it'\''s\u{1b}[2K\u{202e}'");
    }
}
