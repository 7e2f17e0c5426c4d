//! Walking directories: `list` and `stat`, and the walk that `search` uses too. Links are shown and
//! never walked through, so a walk ends and stays inside.

use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::roots::Place;

/// Entries of a list where no limit is given: about 10,000 tokens.
pub(super) const LIST_DEFAULT: u64 = 200;
/// More than this is a dump rather than an answer.
pub(super) const LIST_MAX: u64 = 5_000;
/// Entries of one directory that are looked at, because they are sorted in memory.
const DIRECTORY_ENTRIES_MAX: usize = 100_000;
/// Deeper trees are somebody's mistake, or made to hurt: the names of each level stay in memory.
pub(super) const DEPTH_MAX: usize = 64;

/// Arguments of `list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArgs {
    /// The directory; the top of the first root where left out.
    #[serde(default)]
    pub(super) path: Option<String>,
    /// Whether to list what is below its directories too; false where left out.
    #[serde(default)]
    pub(super) recursive: Option<bool>,
    /// How many entries to return at most; 200 where left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 5000))]
    pub(super) limit: Option<u64>,
}

/// Arguments of `stat`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatArgs {
    /// The file or directory.
    pub(super) path: String,
}

/// What a directory holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listing {
    path: String,
    /// Entries sorted by name; what a directory holds follows it.
    entries: Vec<Entry>,
    /// Whether there is more than was returned.
    truncated: bool,
}

/// An entry of a directory.
#[derive(Debug, Serialize, JsonSchema)]
struct Entry {
    path: String,
    kind: Kind,
    /// Size of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// When its content last changed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_at: Option<String>,
}

/// A file or directory.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Stat {
    path: String,
    /// What it is; for a link, what it leads to, or symlink where that is missing or outside.
    kind: Kind,
    /// Whether the path itself is a link.
    symlink: bool,
    size_bytes: u64,
    /// When its content last changed, RFC 3339.
    modified_at: Option<String>,
    /// When it was created, RFC 3339, where the file system tells.
    created_at: Option<String>,
    /// Whether the file's own permissions forbid writing.
    read_only: bool,
}

/// Lists a directory.
pub(super) fn list(
    place: &Place<'_>,
    recursive: bool,
    limit: usize,
    cancel: &CancellationToken,
) -> Result<Listing, CallError> {
    let mut entries = Vec::new();
    let mut truncated = false;
    let depth = if recursive { DEPTH_MAX } else { 1 };
    let complete = walk(place, depth, cancel, &mut |place, found| {
        if entries.len() == limit {
            truncated = true;
            return Step::Stop;
        }
        let kind = Kind::of(found);
        entries.push(Entry {
            path: place.shown(),
            kind,
            size_bytes: (kind == Kind::File).then(|| found.len()),
            modified_at: found.modified().ok().and_then(at),
        });
        Step::On
    })?;
    Ok(Listing { path: place.shown(), entries, truncated: truncated || !complete })
}

/// What a walk does after an entry.
pub(super) enum Step {
    On,
    Stop,
}

/// Visits entries sorted by name, each directory before what it holds. False when something was left
/// out: a directory too large, too deep, or gone or closed to us meanwhile.
pub(super) fn walk(
    place: &Place<'_>,
    depth: usize,
    cancel: &CancellationToken,
    visit: &mut dyn FnMut(&Place<'_>, &cap_std::fs::Metadata) -> Step,
) -> Result<bool, CallError> {
    let error = |error| place.failed("list", &error);
    let start = place.followed().map_err(error)?;
    let top = names(&start).map_err(error)?;
    let mut complete = top.len() <= DIRECTORY_ENTRIES_MAX;
    let mut levels = vec![(start, top.into_iter())];
    while let Some((directory, rest)) = levels.last_mut() {
        let Some(name) = rest.next() else {
            levels.pop();
            continue;
        };
        if cancel.is_cancelled() {
            return Err(CallError::Cancelled);
        }
        let child = directory.child(&name);
        // Gone since the directory was read, or a name that is not UTF-8 and so cannot be asked for.
        let Ok(found) = child.dir().symlink_metadata(child.path()) else {
            complete = false;
            continue;
        };
        if matches!(visit(&child, &found), Step::Stop) {
            return Ok(complete);
        }
        if !found.is_dir() || depth == 1 {
            continue;
        }
        match (levels.len() < depth).then(|| names(&child)) {
            Some(Ok(below)) => {
                complete &= below.len() <= DIRECTORY_ENTRIES_MAX;
                levels.push((child, below.into_iter()));
            }
            _ => complete = false,
        }
    }
    Ok(complete)
}

/// Names in a directory, sorted; one more than the limit tells that there are too many.
fn names(place: &Place<'_>) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in place.dir().read_dir(place.path())?.take(DIRECTORY_ENTRIES_MAX + 1) {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Looks at one file or directory.
pub(super) fn stat(place: &Place<'_>) -> Result<Stat, CallError> {
    let own = place.dir().symlink_metadata(place.path()).map_err(|error| place.failed("look at", &error))?;
    let symlink = own.is_symlink();
    // A link that leads nowhere, or outside, is shown as the link that it is.
    let found = if symlink { place.dir().metadata(place.path()).unwrap_or(own) } else { own };
    Ok(Stat {
        path: place.shown(),
        kind: Kind::of(&found),
        symlink,
        size_bytes: found.len(),
        modified_at: found.modified().ok().and_then(at),
        created_at: found.created().ok().and_then(at),
        read_only: found.permissions().readonly(),
    })
}

/// RFC 3339, whole milliseconds: finer says nothing to a reader.
fn at(time: cap_std::time::SystemTime) -> Option<String> {
    let at = jiff::Timestamp::try_from(time.into_std()).ok()?;
    let at = at.round(jiff::Unit::Millisecond).ok()?;
    Some(at.to_string())
}
