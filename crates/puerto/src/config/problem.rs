//! What is wrong with a configuration, where, and how to mend it; shown like a compiler shows it.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::json::{Node, Span};
use crate::out::harmless;

/// Widest part of a source line shown.
const SHOWN_MAX: usize = 120;

/// Whether Puerto can run with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Whether Puerto can run with it.
    pub(crate) severity: Severity,
    /// The file, or `environment`.
    pub(crate) file: String,
    /// Line, from 1; 0 where the problem has no place.
    pub(crate) line: usize,
    /// Column in characters, from 1; 0 where the problem has no place.
    pub(crate) column: usize,
    /// The key, as `tenants.default.servers.files.command`; empty for the whole file.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
    /// What may stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    /// The line as it stands in the file.
    #[serde(skip)]
    source: String,
    /// Characters to underline.
    #[serde(skip)]
    width: usize,
}

impl Problem {
    /// An error without a place yet.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: String::new(),
            line: 0,
            column: 0,
            path: String::new(),
            message: message.into(),
            found: None,
            expected: None,
            help: None,
            source: String::new(),
            width: 0,
        }
    }

    /// A warning without a place yet.
    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// With the file it is about, where there is no place in it.
    #[must_use]
    pub(crate) fn file(mut self, file: impl Into<String>) -> Self {
        self.file = file.into();
        self
    }

    /// With its key.
    #[must_use]
    pub(crate) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// With what stands there and what may stand there.
    #[must_use]
    pub(crate) fn expected(mut self, found: impl Into<String>, expected: impl Into<String>) -> Self {
        (self.found, self.expected) = (Some(found.into()), Some(expected.into()));
        self
    }

    /// With how to mend it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    /// Several lines, like a compiler's, without a line end. Keys, values and what other programs say of them may
    /// hold anything; what a terminal would act on is shown as an escape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::new();
        self.lines(&mut shown)?;
        let lines: Vec<_> = shown.split('\n').map(harmless).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Problem {
    fn lines(&self, f: &mut String) -> fmt::Result {
        let kind = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{kind}: {}", self.message)?;
        if let (Some(found), Some(expected)) = (&self.found, &self.expected) {
            write!(f, ": found {found}, expected {expected}")?;
        }
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        if self.line > 0 {
            write!(f, "\n{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
            let (shown, before) = window(&self.source, self.column - 1);
            let underline =
                "^".repeat(self.width.clamp(1, shown.chars().count().saturating_sub(before).max(1)));
            write!(f, "\n{margin} |\n{number} | {shown}\n{margin} | {:before$}{underline}", "")?;
        } else if !self.file.is_empty() {
            write!(f, "\n --> {}", self.file)?;
        }
        if !self.path.is_empty() {
            write!(f, "\n{margin} = at {}", self.path)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// The part of a line to show, and how many characters of it come before the column.
fn window(line: &str, column: usize) -> (String, usize) {
    // What a terminal would act on is not shown as it is; one character stays one character.
    let mut plain = line.chars().map(|c| match c {
        '\t' => ' ',
        c if c.is_control() => '·',
        c => c,
    });
    if line.chars().count() <= SHOWN_MAX {
        return (plain.collect(), column);
    }
    let skipped = column.saturating_sub(SHOWN_MAX / 3);
    if skipped == 0 {
        return (plain.by_ref().take(SHOWN_MAX).chain(['…']).collect(), column);
    }
    (['…'].into_iter().chain(plain.skip(skipped).take(SHOWN_MAX)).collect(), column - skipped + 1)
}

/// The key of a place in the tree, built while walking down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The last key, or nothing for the whole.
    pub(crate) fn last(&self) -> Option<&str> {
        match self {
            Path::Root => None,
            Path::Key(_, key) => Some(key),
            Path::Item(list, _) => list.last(),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Item(list, at) => write!(f, "{list}[{at}]"),
            Path::Key(object, key) => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
                let plain = !key.is_empty() && key.chars().all(is_plain);
                match (plain, object) {
                    (true, Path::Root) => f.write_str(key),
                    (true, _) => write!(f, "{object}.{key}"),
                    (false, _) => write!(f, "{object}[{key:?}]"),
                }
            }
        }
    }
}

/// A text that is being judged, and what was found so far.
pub(crate) struct Report<'a> {
    file: &'a str,
    pub(crate) text: &'a str,
    problems: Vec<(Span, Problem)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    /// A value as it stands in the text: what its variables stand for may be a secret.
    pub(crate) fn written(&self, node: &Node) -> &'a str {
        &self.text[node.span.start..node.span.end]
    }

    /// Adds a problem at a place in the text.
    pub(crate) fn add(&mut self, span: Span, path: &Path<'_>, mut problem: Problem) {
        let before = &self.text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[line_start..];
        let line = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let line_end = line_start + line.len();
        problem.file = self.file.into();
        problem.line = before.matches('\n').count() + 1;
        problem.column = before[line_start..].trim_start_matches('\u{feff}').chars().count() + 1;
        problem.source = line.trim_start_matches('\u{feff}').into();
        let end = span.end.min(line_end).max(span.start);
        problem.width = self.text[span.start..end].chars().count();
        if problem.path.is_empty() {
            let _ = write!(problem.path, "{path}");
        }
        self.problems.push((span, problem));
    }

    /// What was found, in the order of the text.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(span, _)| span.start);
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }
}
