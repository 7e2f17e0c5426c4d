//! Changing files: write, append, move, delete. A write is a new file that takes the old one's place,
//! so a reader sees the old or the new content and never a part.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cap_std::fs::{Dir, OpenOptions};
use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::read::{Encoding, regular};
use super::roots::Place;
use crate::call::failed;

/// Most bytes that one call writes: a generated file fits, and a call stays well below the hub's body
/// limit (32 MiB) in base64.
pub(super) const WRITE_BYTES_MAX: usize = 8 << 20;

/// Arguments of `write`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteArgs {
    /// The file to create or replace.
    pub(super) path: String,
    /// Its whole new content; at most 8 MiB.
    pub(super) content: String,
    /// What content is: text (default) or base64.
    #[serde(default)]
    pub(super) encoding: Option<Encoding>,
    /// Whether to create missing directories on the way; false where left out.
    #[serde(default)]
    pub(super) create_parents: Option<bool>,
}

/// Arguments of `append`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AppendArgs {
    /// The file to add to; it is created when missing.
    pub(super) path: String,
    /// What to add at its end; at most 8 MiB.
    pub(super) content: String,
    /// What content is: text (default) or base64.
    #[serde(default)]
    pub(super) encoding: Option<Encoding>,
}

/// Arguments of `move`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveArgs {
    /// The file or directory to move.
    pub(super) from: String,
    /// Its new path; the directory must exist.
    pub(super) to: String,
    /// Whether a file that is already there is replaced; false where left out.
    #[serde(default)]
    pub(super) overwrite: Option<bool>,
}

/// Arguments of `delete`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteArgs {
    /// The file or directory to delete.
    pub(super) path: String,
    /// Whether a directory goes with everything in it; false where left out, and then it must be empty.
    #[serde(default)]
    pub(super) recursive: Option<bool>,
}

/// What was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Written {
    path: String,
    /// Whether the file is new.
    created: bool,
    /// How many bytes were written.
    written_bytes: u64,
    /// Size of the file now.
    size_bytes: u64,
}

/// What was moved.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Moved {
    from: String,
    to: String,
    /// Whether something else was replaced.
    replaced: bool,
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Deleted {
    path: String,
    kind: Kind,
}

/// The bytes that `content` stands for.
pub(super) fn content(content: String, encoding: Option<Encoding>) -> Result<Vec<u8>, CallError> {
    let bytes = match encoding.unwrap_or_default() {
        Encoding::Text => content.into_bytes(),
        Encoding::Base64 => BASE64.decode(content.as_bytes()).map_err(|error| {
            failed(format!("\"content\" is not base64: {}", error.to_string().to_lowercase()))
        })?,
    };
    if bytes.len() > WRITE_BYTES_MAX {
        let size = bytes.len();
        return Err(failed(format!(
            "\"content\" has {size} bytes, more than {WRITE_BYTES_MAX}; write the first part and append the rest"
        )));
    }
    Ok(bytes)
}

/// Creates or replaces a file.
pub(super) fn write(place: &Place<'_>, bytes: &[u8], create_parents: bool) -> Result<Written, CallError> {
    let error = |error| place.failed("write", &error);
    refuse_root(place, "write")?;
    // A link stays a link: what it leads to is replaced, if that is inside.
    let place = &place.followed().map_err(error)?;
    let old = existing(place.dir(), place.path()).map_err(error)?;
    if let Some(old) = &old {
        regular(place, old)?;
    } else if create_parents {
        place.dir().create_dir_all(place.parent()).map_err(error)?;
    }
    let parent = place.dir().open_dir(place.parent()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(format!(
            "could not write \"{}\": its directory does not exist; set \"create_parents\": true",
            place.shown()
        )),
        _ => place.failed("write", &error),
    })?;
    replace(&parent, place.name(), bytes, old.as_ref()).map_err(error)?;
    let size_bytes = bytes.len() as u64;
    Ok(Written { path: place.shown(), created: old.is_none(), written_bytes: size_bytes, size_bytes })
}

/// Writes beside the file and renames over it; on failure nothing is left behind.
fn replace(parent: &Dir, name: &str, bytes: &[u8], old: Option<&cap_std::fs::Metadata>) -> io::Result<()> {
    let temporary = PathBuf::from(format!(".puerto-{:016x}.tmp", fastrand::u64(..)));
    let written = (|| {
        let mut file = parent.open_with(&temporary, OpenOptions::new().write(true).create_new(true))?;
        if let Some(old) = old {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(bytes)?;
        // Otherwise a crash soon after can leave an empty file under the final name.
        file.sync_all()?;
        parent.rename(&temporary, parent, name)
    })();
    if written.is_err() {
        let _ = parent.remove_file(&temporary);
    }
    written
}

/// Adds to the end of a file.
pub(super) fn append(place: &Place<'_>, bytes: &[u8]) -> Result<Written, CallError> {
    let error = |error| place.failed("append to", &error);
    refuse_root(place, "append to")?;
    let old = existing(place.dir(), place.path()).map_err(error)?;
    if let Some(old) = &old {
        regular(place, old)?;
    }
    let options = &mut OpenOptions::new();
    let mut file = place.dir().open_with(place.path(), options.append(true).create(true)).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    let size_bytes = file.metadata().map_err(error)?.len();
    Ok(Written { path: place.shown(), created: old.is_none(), written_bytes: bytes.len() as u64, size_bytes })
}

/// Moves a file or directory; a link is moved itself.
pub(super) fn move_to(from: &Place<'_>, to: &Place<'_>, overwrite: bool) -> Result<Moved, CallError> {
    refuse_root(from, "move")?;
    refuse_root(to, "move something to")?;
    from.dir().symlink_metadata(from.path()).map_err(|error| from.failed("move", &error))?;
    let there = match to.dir().symlink_metadata(to.path()) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(to.failed("move to", &error)),
    };
    if there.as_ref().is_some_and(cap_std::fs::Metadata::is_dir) {
        return Err(failed(format!(
            "\"{}\" is a directory; give the whole new path, such as \"{}\"",
            to.shown(),
            to.child(from.name()).shown()
        )));
    }
    if there.is_some() && !overwrite {
        return Err(failed(format!(
            "\"{}\" exists already; set \"overwrite\": true to replace it",
            to.shown()
        )));
    }
    from.dir().rename(from.path(), to.dir(), to.path()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(format!(
            "could not move \"{}\" to \"{}\": the directory there does not exist",
            from.shown(),
            to.shown()
        )),
        io::ErrorKind::CrossesDevices => failed(format!(
            "could not move \"{}\" to \"{}\": they are on different file systems; read, write and delete instead",
            from.shown(),
            to.shown()
        )),
        _ => from.failed("move", &error),
    })?;
    Ok(Moved { from: from.shown(), to: to.shown(), replaced: there.is_some() })
}

/// Deletes a file, a link (not what it leads to) or a directory.
pub(super) fn delete(place: &Place<'_>, recursive: bool) -> Result<Deleted, CallError> {
    let error = |error| place.failed("delete", &error);
    refuse_root(place, "delete")?;
    let found = place.dir().symlink_metadata(place.path()).map_err(error)?;
    let done = match (found.is_dir(), recursive) {
        (false, _) => place.dir().remove_file(place.path()),
        (true, true) => place.dir().remove_dir_all(place.path()),
        (true, false) => place.dir().remove_dir(place.path()),
    };
    done.map_err(|problem| match problem.kind() {
        io::ErrorKind::DirectoryNotEmpty => failed(format!(
            "could not delete \"{}\": the directory is not empty; set \"recursive\": true to delete all of it",
            place.shown()
        )),
        _ => error(problem),
    })?;
    Ok(Deleted { path: place.shown(), kind: Kind::of(&found) })
}

fn existing(dir: &Dir, path: &Path) -> io::Result<Option<cap_std::fs::Metadata>> {
    match dir.metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn refuse_root(place: &Place<'_>, verb: &str) -> Result<(), CallError> {
    if place.is_root() {
        Err(failed(format!("could not {verb} \"{}\": it is a served directory itself", place.shown())))
    } else {
        Ok(())
    }
}
