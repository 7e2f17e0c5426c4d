//! Other programs' variables in Puerto's notation: `${env:X}` is `${X}`, `${input:id}` a variable named after
//! the id, `${workspaceFolder}` the directory itself. What has no counterpart stays as plain text.

use std::collections::BTreeMap;
use std::path::Path;

use crate::command::draft::harmless;
use crate::config::json::Node;

/// Something that VS Code asks its user for.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) description: Option<String>,
    pub(super) default: Option<String>,
    pub(super) password: bool,
}

/// What the variables of one file stand for.
#[derive(Debug, Default)]
pub(super) struct Notation<'a> {
    pub(super) project: Option<&'a Path>,
    pub(super) inputs: BTreeMap<String, Input>,
    /// The program fills in nothing: every text is plain.
    pub(super) plain: bool,
}

/// What was found out while texts were rewritten.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) notes: Vec<String>,
    pub(super) meanings: BTreeMap<String, String>,
}

impl Told {
    /// Says something once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// A text without any variables, in Puerto's notation.
pub(super) fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// The name of the variable that stands for something with a name of another kind.
pub(super) fn variable(id: &str) -> String {
    let mut name: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// Whether this can be the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Notation<'_> {
    /// The inputs that a VS Code file defines.
    pub(super) fn inputs(node: Option<&Node>) -> BTreeMap<String, Input> {
        let text = |node: &Node, key: &str| node.get(key).and_then(Node::text).map(ToOwned::to_owned);
        let input = |node: &Node| {
            let id = text(node, "id")?;
            let password =
                node.get("password").is_some_and(|p| p.value == crate::config::json::Value::Bool(true));
            Some((
                id,
                Input { description: text(node, "description"), default: text(node, "default"), password },
            ))
        };
        node.map(Node::items).unwrap_or_default().iter().filter_map(input).collect()
    }

    /// A text in Puerto's notation.
    pub(super) fn rewrite(&self, text: &str, told: &mut Told) -> String {
        if self.plain {
            return literal(text);
        }
        let (mut done, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("${") {
            done.push_str(&rest[..at]);
            rest = &rest[at + 2..];
            let Some(end) = rest.find('}') else {
                done.push_str("$${");
                continue;
            };
            match self.one(&rest[..end], told) {
                Some(text) => done.push_str(&text),
                None => {
                    let whole = format!("${{{}}}", &rest[..end]);
                    told.note(format!(
                        "{} means nothing to Puerto and stays as plain text",
                        harmless(&whole)
                    ));
                    done.push('$');
                    done.push_str(&whole);
                }
            }
            rest = &rest[end + 1..];
        }
        done + rest
    }

    /// What stands between the braces, where it is understood.
    fn one(&self, inside: &str, told: &mut Told) -> Option<String> {
        let (kind, name) = inside.split_once(':').unwrap_or(("", inside));
        let plain = inside.split_once(":-").map_or(inside, |(name, _)| name);
        if is_variable(plain) {
            match (plain, self.folder(plain, told)) {
                (_, Some(folder)) => return Some(folder),
                ("userHome", None) => return Some("${HOME}".into()),
                ("pathSeparator", None) => return Some("/".into()),
                _ => return Some(format!("${{{inside}}}")),
            }
        }
        match kind {
            "" if name == "/" => Some("/".into()),
            "env" if is_variable(name.split_once(":-").map_or(name, |(name, _)| name)) => {
                Some(format!("${{{name}}}"))
            }
            "input" => Some(self.input(name, told)),
            _ => None,
        }
    }

    fn folder(&self, name: &str, told: &mut Told) -> Option<String> {
        let is_base = name == "workspaceFolderBasename";
        if !is_base && !["workspaceFolder", "workspaceRoot"].contains(&name) {
            return None;
        }
        let Some(project) = self.project else {
            let variable = if is_base { "WORKSPACE_NAME" } else { "WORKSPACE_FOLDER" };
            told.meanings
                .insert(variable.into(), format!("stands for ${{{name}}}, which only the client knows"));
            return Some(format!("${{{variable}}}"));
        };
        let shown = if is_base { project.file_name().unwrap_or_default().as_ref() } else { project };
        told.note(format!("${{{name}}} is {}", harmless(&shown.display().to_string())));
        Some(literal(&shown.display().to_string()))
    }

    /// What VS Code asks its user for becomes a variable, since Puerto has nobody to ask.
    fn input(&self, id: &str, told: &mut Told) -> String {
        let name = variable(id);
        let unknown = Input::default();
        let input = self.inputs.get(id).unwrap_or(&unknown);
        told.note(format!("${{input:{}}} became the variable {name}", harmless(id)));
        let meaning = input.description.as_deref().unwrap_or("was asked for by the client");
        let secret = if input.password { " (a secret)" } else { "" };
        told.meanings.insert(name.clone(), format!("{}{secret}", harmless(meaning)));
        match input.default.as_deref().filter(|text| !text.is_empty() && !text.contains(['$', '{', '}'])) {
            Some(default) => format!("${{{name}:-{default}}}"),
            None => format!("${{{name}}}"),
        }
    }
}

/// The variables of an `envFile`: lines `NAME=VALUE`, with comments, `export` and quotes.
pub(super) fn env_file(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let quoted = |mark: char| value.strip_prefix(mark).and_then(|rest| Some(rest.split_once(mark)?.0));
        let value = match (quoted('"'), quoted('\'')) {
            (Some(inner), _) | (None, Some(inner)) => inner,
            (None, None) => value.split_once(" #").map_or(value, |(value, _)| value).trim_end(),
        };
        (is_variable(name) && !line.starts_with('#')).then(|| (name.to_owned(), value.to_owned()))
    };
    text.trim_start_matches('\u{feff}').lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_ours() {
        let input = Input { description: Some("Port".into()), default: Some("8000".into()), password: false };
        let notation = Notation {
            project: Some(Path::new("/srv/app")),
            inputs: [("port".to_owned(), input)].into(),
            plain: false,
        };
        for (given, wanted) in [
            ("Bearer ${TOKEN}", "Bearer ${TOKEN}"),
            ("${MODE:-fast}", "${MODE:-fast}"),
            ("${env:TOKEN}", "${TOKEN}"),
            ("${env:A:-b}", "${A:-b}"),
            ("${input:api-key}", "${API_KEY}"),
            ("${input:port}", "${PORT:-8000}"),
            ("${input:2nd}", "${_2ND}"),
            ("${workspaceFolder}/x", "/srv/app/x"),
            ("${workspaceFolderBasename}", "app"),
            ("${userHome}${/}x", "${HOME}/x"),
            ("${command:pick} ${open", "$${command:pick} $${open"),
            ("no variable: $HOME", "no variable: $HOME"),
        ] {
            assert_eq!(notation.rewrite(given, &mut Told::default()), wanted, "{given}");
        }
        let mut told = Told::default();
        assert_eq!(Notation::default().rewrite("${workspaceFolder}", &mut told), "${WORKSPACE_FOLDER}");
        assert!(told.meanings.contains_key("WORKSPACE_FOLDER"));
    }

    #[test]
    fn env_files_are_read() {
        let text =
            "# comment\nA=1\nexport B = two words # said\nC=\"x # y\"\nD='z'\n\nbroken\n=x\n#E=1\nF=\n";
        let found = env_file(text);
        let pairs: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["A=1", "B=two words", "C=x # y", "D=z", "F="]);
    }
}
