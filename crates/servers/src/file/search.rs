//! Searching names and contents below a directory, bounded in files, bytes and time.

use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use memchr::memmem::Finder;
use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::read::read_bytes;
use super::roots::Place;
use super::walk::{DEPTH_MAX, Step, walk};
use crate::call::failed;

/// Matches where no limit is given.
pub(super) const MATCHES_DEFAULT: u64 = 100;
/// More than this is a dump rather than an answer.
pub(super) const MATCHES_MAX: u64 = 1_000;
/// Entries looked at: a large repository with its dependencies has about as many.
const FILES_MAX: u64 = 200_000;
/// Bytes read: a second or two from a disk that is not cached.
const BYTES_MAX: u64 = 512 << 20;
/// Time that a search takes; most clients give up after 60 s.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Larger files are data rather than text that somebody wrote.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// A NUL byte this early means that a file is not text; git and grep decide alike.
const BINARY_PROBE_BYTES: usize = 8_000;
/// Characters of a matching line that are shown.
const LINE_CHARS_MAX: usize = 240;

/// Arguments of `search`; at least one of name and text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchArgs {
    /// The directory to search below; the top of the first root where left out.
    #[serde(default)]
    pub(super) path: Option<String>,
    /// Glob that names must match, such as *.rs; with a slash it is matched against the path below the
    /// directory, such as src/**/*.rs.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Text that a line must contain, exactly as given.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// How many matches to return at most; 100 where left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u64>,
}

/// What a search found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Found {
    matches: Vec<Match>,
    /// Whether there may be more than was returned.
    truncated: bool,
    /// Which bound ended the search early.
    stopped_by: Option<Bound>,
    /// Entries that were looked at.
    visited: u64,
    /// Files that the text was not looked for in: binary, larger than 8 MiB, or unreadable.
    skipped: u64,
}

/// A match: an entry by its name, or a line by its text.
#[derive(Debug, Serialize, JsonSchema)]
struct Match {
    path: String,
    kind: Kind,
    /// Line number, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The line, cut at 240 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// What ended a search.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Bound {
    /// The limit of matches.
    Limit,
    /// 200,000 entries.
    Files,
    /// 512 MiB read.
    Bytes,
    /// 20 seconds.
    Time,
}

struct Search<'a> {
    prefix: usize,
    name: Option<(GlobMatcher, bool)>,
    text: Option<Finder<'a>>,
    limit: usize,
    until: Instant,
    bytes: u64,
    found: Found,
}

/// Searches below a directory.
pub(super) fn search(
    place: &Place<'_>,
    args: &SearchArgs,
    limit: usize,
    cancel: &CancellationToken,
) -> Result<Found, CallError> {
    let text = args.text.as_deref().filter(|text| !text.is_empty());
    if args.name.is_none() && text.is_none() {
        return Err(failed("give \"name\" (a glob), \"text\" (what a line contains), or both"));
    }
    let start = place.followed().map_err(|error| place.failed("search", &error))?.shown();
    let mut search = Search {
        prefix: start.trim_end_matches('/').len() + 1,
        name: args.name.as_deref().map(glob).transpose()?,
        text: text.map(|text| Finder::new(text.as_bytes())),
        limit,
        until: Instant::now() + TIME_MAX,
        bytes: 0,
        found: Found { matches: Vec::new(), truncated: false, stopped_by: None, visited: 0, skipped: 0 },
    };
    let complete = walk(place, DEPTH_MAX, cancel, &mut |place, found| search.visit(place, found))?;
    let mut found = search.found;
    found.truncated = found.stopped_by.is_some() || !complete;
    Ok(found)
}

/// The glob, and whether it is for whole paths.
fn glob(given: &str) -> Result<(GlobMatcher, bool), CallError> {
    let glob = GlobBuilder::new(given).literal_separator(true).build();
    let glob = glob.map_err(|error| failed(format!("\"name\" is not a glob: {error}")))?;
    Ok((glob.compile_matcher(), given.contains('/')))
}

impl Search<'_> {
    fn visit(&mut self, place: &Place<'_>, found: &cap_std::fs::Metadata) -> Step {
        self.found.visited += 1;
        if self.found.visited > FILES_MAX {
            return self.stop(Bound::Files);
        }
        if Instant::now() > self.until {
            return self.stop(Bound::Time);
        }
        let shown = place.shown();
        let is_named = self.name.as_ref().is_none_or(|(glob, whole)| {
            glob.is_match(if *whole { shown.get(self.prefix..).unwrap_or_default() } else { place.name() })
        });
        if !is_named {
            return Step::On;
        }
        let kind = Kind::of(found);
        if self.text.is_none() {
            return self.push(Match { path: shown, kind, line: None, text: None });
        }
        if kind != Kind::File {
            return Step::On;
        }
        self.look_inside(place, found.len(), &shown)
    }

    fn look_inside(&mut self, place: &Place<'_>, size: u64, shown: &str) -> Step {
        if size > FILE_BYTES_MAX {
            self.found.skipped += 1;
            return Step::On;
        }
        let Ok((bytes, _)) = read_bytes(place, 0, FILE_BYTES_MAX) else {
            self.found.skipped += 1;
            return Step::On;
        };
        self.bytes += bytes.len() as u64;
        if self.bytes > BYTES_MAX {
            return self.stop(Bound::Bytes);
        }
        if bytes.iter().take(BINARY_PROBE_BYTES).any(|byte| *byte == 0) {
            self.found.skipped += 1;
            return Step::On;
        }
        let room = self.limit - self.found.matches.len() + 1;
        let lines: Vec<(u64, String)> =
            self.text.as_ref().map(|text| matching_lines(text, &bytes, room)).unwrap_or_default();
        for (line, text) in lines {
            let found =
                Match { path: shown.to_owned(), kind: Kind::File, line: Some(line), text: Some(text) };
            if matches!(self.push(found), Step::Stop) {
                return Step::Stop;
            }
        }
        Step::On
    }

    fn push(&mut self, found: Match) -> Step {
        if self.found.matches.len() == self.limit {
            return self.stop(Bound::Limit);
        }
        self.found.matches.push(found);
        Step::On
    }

    fn stop(&mut self, bound: Bound) -> Step {
        self.found.stopped_by = Some(bound);
        Step::Stop
    }
}

/// Lines that contain the text, each once, with their numbers; at most `room`.
fn matching_lines(text: &Finder<'_>, bytes: &[u8], room: usize) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    let (mut from, mut number, mut counted) = (0, 1, 0);
    while let Some(hit) = bytes.get(from..).and_then(|rest| text.find(rest)).map(|hit| from + hit) {
        number += memchr::memchr_iter(b'\n', &bytes[counted..hit]).count() as u64;
        counted = hit;
        let start = memchr::memrchr(b'\n', &bytes[..hit]).map_or(0, |at| at + 1);
        let end = memchr::memchr(b'\n', &bytes[hit..]).map_or(bytes.len(), |at| hit + at);
        lines.push((number, shown_line(&bytes[start..end], hit - start)));
        if lines.len() == room {
            break;
        }
        from = end + 1;
    }
    lines
}

/// The line around the match, cut to what a reader needs.
fn shown_line(line: &[u8], hit: usize) -> String {
    // Very long lines are shown from shortly before the match, so that it is seen.
    let start = if hit < LINE_CHARS_MAX / 2 { 0 } else { hit - LINE_CHARS_MAX / 4 };
    let text = String::from_utf8_lossy(&line[start..line.len().min(start + 4 * LINE_CHARS_MAX)]);
    text.trim_end().chars().take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
