//! Changes files that people wrote: puts members at the end of an object as text, so that comments and
//! layout stay, keeps a copy of the file as it was, and puts the new one in its place at once. The one home
//! for this: `import`, `add` and `export` come here.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::draft::Draft;
use crate::config::json::{self, Node, Value};
use crate::config::problem::{Path as Key, Report};
use crate::config::{self, Problem};

/// Largest file of another program that is read. Claude Code keeps history beside its servers.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// What came of it, or what is wrong and what to do.
pub(crate) type Done<T> = Result<T, Box<Problem>>;

/// A text with its tree and the name under which messages speak of it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) root: Node,
}

impl Source {
    /// Reads JSON with comments.
    pub(crate) fn json(name: &str, text: String) -> Done<Self> {
        match json::read(&text) {
            Ok(root) => Ok(Self { name: name.into(), text, root }),
            Err(mistake) => {
                let mut problem = Problem::error(mistake.message);
                problem.help = mistake.help;
                Err(place(name, &text, mistake.span, &Key::Root, problem))
            }
        }
    }

    /// A problem at a place in it.
    pub(crate) fn wrong(&self, span: json::Span, key: &Key<'_>, problem: Problem) -> Box<Problem> {
        place(&self.name, &self.text, span, key, problem)
    }
}

/// A problem with its place in a text.
pub(crate) fn place(
    name: &str,
    text: &str,
    span: json::Span,
    key: &Key<'_>,
    problem: Problem,
) -> Box<Problem> {
    let mut report = Report::new(name, text);
    let bare = problem.clone();
    report.add(span, key, problem);
    Box::new(report.into_problems().pop().unwrap_or(bare))
}

/// Reads a text file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Done<Option<String>> {
    bytes(path, FILE_MAX)?.map(|bytes| text(path, bytes)).transpose()
}

/// Reads a file of so many bytes at most; `None` where there is none.
pub(super) fn bytes(path: &Path, max: u64) -> Done<Option<Vec<u8>>> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| {
        Box::new(Problem::error(format!("could not read this file: {error}")).file(&name))
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > max { Err(too_large(&name, max)) } else { Ok(Some(bytes)) }
}

/// What a file holds, as the text that it should be.
pub(super) fn text(path: &Path, bytes: Vec<u8>) -> Done<String> {
    let name = path.display().to_string();
    if bytes.len() as u64 > FILE_MAX {
        return Err(too_large(&name, FILE_MAX));
    }
    String::from_utf8(bytes)
        .map_err(|_| Problem::error("this file is not UTF-8").file(&name).help("save it as UTF-8").into())
}

fn too_large(name: &str, max: u64) -> Box<Problem> {
    Problem::error(format!("this file is larger than {max} bytes")).file(name).into()
}

/// The text of a configuration with servers added to a tenant. `text` is `None` where there is no file yet.
pub(crate) fn with_servers(
    name: &str,
    text: Option<&str>,
    tenant: &str,
    servers: &[(String, Draft)],
) -> Done<String> {
    const FRESH: &str = "// Puerto's configuration; every key is explained in docs/configuration.md.\n{\n  \
                         \"version\": \"1.0.0\"\n}\n";
    let text = text.unwrap_or(FRESH);
    let source = Source::json(name, text.to_owned())?;
    let root = Key::Root;
    let (tenants_key, tenant_key);
    let mut members: Vec<(String, Layout)> =
        servers.iter().map(|(name, draft)| (name.clone(), Layout::from(draft))).collect();
    let wrap = |key: &str, members: Vec<(String, Layout)>| vec![(key.to_owned(), Layout::Open(members))];
    let object = |node: &Node, key: &Key<'_>| match node.value {
        Value::Object(_) => Ok(()),
        _ => {
            let problem = Problem::error("this should be an object").help("write { … } here, then try again");
            Err(source.wrong(node.span, key, problem))
        }
    };
    object(&source.root, &root)?;
    let mut home = &source.root;
    let Some(tenants) = source.root.get("tenants") else {
        members = wrap("tenants", wrap(tenant, wrap("servers", members)));
        return Ok(append(text, home, &members));
    };
    tenants_key = Key::Key(&root, "tenants");
    object(tenants, &tenants_key)?;
    let Some(found) = tenants.get(tenant) else {
        members = wrap(tenant, wrap("servers", members));
        return Ok(append(text, tenants, &members));
    };
    tenant_key = Key::Key(&tenants_key, tenant);
    object(found, &tenant_key)?;
    home = found;
    match found.get("servers") {
        None => members = wrap("servers", members),
        Some(servers) => {
            object(servers, &Key::Key(&tenant_key, "servers"))?;
            home = servers;
        }
    }
    Ok(append(text, home, &members))
}

/// The servers of a tenant, as they stand in a configuration.
pub(crate) fn servers_of<'a>(root: &'a Node, tenant: &str) -> &'a [json::Member] {
    let servers = root.get("tenants").and_then(|t| t.get(tenant)).and_then(|t| t.get("servers"));
    servers.map(Node::members).unwrap_or_default()
}

/// A value that is to be written.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// On one line where it fits, else each member on its own.
    Compact(Vec<(String, Json)>),
    /// Each member on a line of its own.
    Lines(Vec<(String, Json)>),
    /// The same with more objects inside.
    Open(Vec<(String, Layout)>),
}

impl From<&Draft> for Layout {
    fn from(draft: &Draft) -> Self {
        Self::Compact(draft.entries().into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl Layout {
    fn render(&self, indent: &str, unit: &str, eol: &str, used: usize) -> String {
        const WIDTH: usize = 110;
        let (open, members) = match self {
            Self::Open(members) => {
                let inner = format!("{indent}{unit}");
                let rendered = members.iter().map(|(key, value)| {
                    let key = one_line(&Json::from(key.as_str()));
                    format!("{key}: {}", value.render(&inner, unit, eol, key.len()))
                });
                (true, rendered.collect::<Vec<_>>())
            }
            Self::Compact(members) | Self::Lines(members) => {
                let rendered = members.iter().map(|(key, value)| {
                    format!("{}: {}", one_line(&Json::from(key.as_str())), one_line(value))
                });
                (matches!(self, Self::Lines(_)), rendered.collect::<Vec<_>>())
            }
        };
        let short = format!("{{ {} }}", members.join(", "));
        if !open && indent.len() + used + short.len() < WIDTH {
            return short;
        }
        let inner = format!("{indent}{unit}");
        format!("{{{eol}{inner}{}{eol}{indent}}}", members.join(&format!(",{eol}{inner}")))
    }
}

/// JSON on one line, with the spaces that people put.
pub(crate) fn one_line(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        Json::Object(members) if members.is_empty() => "{}".into(),
        Json::Object(members) => {
            let all = members.iter().map(|(k, v)| format!("{}: {}", Json::from(k.as_str()), one_line(v)));
            format!("{{ {} }}", all.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The text with members at the end of one of its objects. Nothing else is touched but white space beside
/// the brackets of an object that stood on one line.
pub(crate) fn append(text: &str, object: &Node, members: &[(String, Layout)]) -> String {
    let eol = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let close = object.span.end - 1;
    let outer = indent_at(text, object.span.start);
    let first = object.members().first();
    let own_line = first.filter(|m| {
        let line = line_start(text, m.key_span.start);
        text[line..m.key_span.start].trim().is_empty() && line > object.span.start
    });
    let inner =
        own_line.map_or_else(|| format!("{outer}  "), |m| indent_at(text, m.key_span.start).to_owned());
    let unit = inner.strip_prefix(outer).filter(|unit| !unit.is_empty()).unwrap_or("  ").to_owned();
    let mut done = String::with_capacity(text.len() + 512);
    let mut trailing = "";
    // What stands between the last member, or the bracket, and the bracket that closes: white space,
    // comments, perhaps a comma.
    let from = object.members().last().map_or(object.span.start + 1, |last| last.node.span.end);
    match (own_line, first) {
        // `{ "a": 1 }`: the first member gets a line of its own too.
        (None, Some(first)) if text[object.span.start + 1..first.key_span.start].trim().is_empty() => {
            done.push_str(&text[..=object.span.start]);
            done.push_str(&format!("{eol}{inner}"));
            done.push_str(&text[first.key_span.start..from]);
        }
        _ => done.push_str(&text[..from]),
    }
    // Other white space may end a comment, and belongs to it.
    let gap = text[from..close].trim_end_matches([' ', '\t', '\n', '\r']);
    if first.is_some() {
        if has_comma(gap) { trailing = "," } else { done.push(',') }
    }
    done.push_str(gap);
    for (at, (key, value)) in members.iter().enumerate() {
        let key = one_line(&Json::from(key.as_str()));
        let comma = if at + 1 < members.len() { "," } else { trailing };
        done.push_str(&format!(
            "{eol}{inner}{key}: {}{comma}",
            value.render(&inner, &unit, eol, key.len() + 3)
        ));
    }
    let after = &text[from + gap.len()..close];
    if after.contains('\n') {
        done.push_str(after);
    } else {
        done.push_str(&format!("{eol}{outer}"));
    }
    done.push_str(&text[close..]);
    done
}

/// The text with another value in the place of one.
pub(crate) fn replace(text: &str, old: &Node, new: &Layout) -> String {
    let eol = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let indent = indent_at(text, old.span.start);
    let used = old.span.start - line_start(text, old.span.start) - indent.len();
    format!("{}{}{}", &text[..old.span.start], new.render(indent, "  ", eol, used), &text[old.span.end..])
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// The white space that the line of this place begins with.
fn indent_at(text: &str, at: usize) -> &str {
    let line = &text[line_start(text, at)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Whether there is a comma outside of comments.
fn has_comma(gap: &str) -> bool {
    let mut rest = gap;
    while let Some(at) = rest.find([',', '/']) {
        rest = &rest[at..];
        if rest.starts_with(',') {
            return true;
        }
        let skipped = match rest.strip_prefix("/*") {
            Some(comment) => comment.find("*/").map_or(rest.len(), |end| end + 4),
            None => rest.find('\n').unwrap_or(rest.len()),
        };
        rest = &rest[skipped..];
    }
    false
}

/// Errors that a changed configuration has and the one before had not. A variable that is not set yet is
/// none: the user is told of it in another place.
pub(crate) fn new_errors(name: &str, before: Option<&str>, after: &str) -> Vec<Problem> {
    let of = |text: &str| config::load_text(name, text, &super::env).err().unwrap_or_default();
    let old = before.map(of).unwrap_or_default();
    let is_new = |p: &Problem| !old.iter().any(|o| o.path == p.path && o.message == p.message);
    let counts = |p: &Problem| p.severity == config::Severity::Error && !p.message.ends_with("is not set");
    of(after).into_iter().filter(|p| counts(p) && is_new(p)).collect()
}

/// Puts a text in the place of a file, at once: whoever reads sees the old one or the new one. The old one
/// is kept beside it; answers where.
pub(crate) fn write(path: &Path, text: &str) -> Done<Option<PathBuf>> {
    let failed = |what: &str, error: &std::io::Error| {
        Box::new(Problem::error(format!("could not {what}: {error}")).file(path.display().to_string()))
    };
    // A link keeps pointing where it points: the file behind it is changed.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let exists = real.exists();
    let backup = match exists {
        true => Some(keep(&real).map_err(|e| failed("keep a copy of this file", &e))?),
        false => {
            let parent = real.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent {
                std::fs::create_dir_all(parent).map_err(|e| failed("make the directory of this file", &e))?;
            }
            None
        }
    };
    let fresh = beside(&real, &format!("new-{}", std::process::id()));
    let written = private(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if exists {
            std::fs::set_permissions(&fresh, std::fs::metadata(&real)?.permissions())?;
        }
        std::fs::rename(&fresh, &real)
    });
    if let Err(error) = written {
        let _ = std::fs::remove_file(&fresh);
        return Err(failed("write this file", &error));
    }
    // Told as the user has named the file, unless it was a link to one elsewhere.
    let shown = |backup: PathBuf| match backup.file_name() {
        Some(name) if !path.is_symlink() => path.with_file_name(name),
        _ => backup,
    };
    Ok(backup.map(shown))
}

/// Copies a file to the first `FILE.bak-N` that is free.
fn keep(path: &Path) -> std::io::Result<PathBuf> {
    let old = std::fs::read(path)?;
    for number in 1.. {
        let backup = beside(path, &format!("bak-{number}"));
        match private(&backup) {
            Ok(mut file) => {
                file.write_all(&old)?;
                std::fs::set_permissions(&backup, std::fs::metadata(path)?.permissions())?;
                return Ok(backup);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// A new file that only its owner reads: what is written may hold the user's own tokens.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// `FILE.ending`, in the same directory.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
