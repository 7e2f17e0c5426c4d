//! The files of an app. cap-std makes sure that nothing outside its folder is read, whatever a path or a symbolic
//! link says; hidden files and what is no plain file are not there.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use puerto_core::{Code, Error, ServerName};
use sha2::{Digest, Sha256};

/// Largest file that is served. It is read whole, to be tagged by what it holds.
const FILE_MAX: u64 = 32 * 1024 * 1024;
/// Files of one app that are listed.
const FILES_MAX: usize = 1000;
/// Folders in folders that are listed.
const LEVELS_MAX: usize = 16;

/// The folder of an app.
pub(super) struct Folder(Dir);

/// Names below a directory that can be ids of apps.
pub(super) fn names(dir: &Path) -> Vec<ServerName> {
    let Ok(dir) = Dir::open_ambient_dir(dir, ambient_authority()) else { return Vec::new() };
    let Ok(entries) = dir.entries() else { return Vec::new() };
    entries.flatten().filter_map(|entry| ServerName::new(entry.file_name().to_str()?).ok()).collect()
}

impl Folder {
    /// The folder of an app, where there is one.
    pub(super) fn open(dir: &Path, id: &ServerName) -> Option<Self> {
        let dir = Dir::open_ambient_dir(dir, ambient_authority()).ok()?;
        dir.open_dir(id.as_str()).ok().map(Self)
    }

    /// Whether a file is there and served.
    pub(super) fn holds(&self, path: &str) -> bool {
        is_clean(path) && self.0.metadata(path).is_ok_and(|about| about.is_file())
    }

    /// A file.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        // Looked at before it is opened: opening a pipe would wait for whoever writes into it.
        if !self.holds(path) {
            return Err(Error::not_found("file of this app", path));
        }
        let broken = |cause| Error::hub(Code::Internal, "could not read a file of the app").inside(cause);
        let file = self.0.open(path).map_err(broken)?;
        let mut bytes = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 > FILE_MAX {
            let text = format!("the file is larger than {FILE_MAX} bytes, which is the most that is served");
            return Err(Error::caller(Code::TooLarge, text));
        }
        Ok(bytes)
    }

    /// Files that are served, sorted.
    pub(super) fn list(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), 0)];
        while let Some((prefix, level)) = open.pop() {
            let dir = if prefix.is_empty() { self.0.entries() } else { self.0.read_dir(&prefix) };
            for entry in dir.into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
                if !is_clean(&path) || found.len() >= FILES_MAX {
                    continue;
                }
                // A symbolic link to a folder could lead round in a circle; one to a file is that file.
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && level < LEVELS_MAX {
                    open.push((path, level + 1));
                } else if self.holds(&path) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// Whether a path is made of plain names only: nothing hidden, no way up, no other separator.
fn is_clean(path: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && !part.starts_with('.');
    path.split('/').all(is_name) && !path.contains(['\\', '\0'])
}

/// A tag that is the same for the same bytes only.
pub(super) fn tag(bytes: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(bytes)[..16] {
        // Writing into a text cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

/// The type of a file, by its ending.
pub(super) fn kind(path: &str) -> &'static str {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match &*ending {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_clean() {
        for path in ["index.html", "a/b.js", "a..b", "x/y/z"] {
            assert!(is_clean(path), "{path}");
        }
        for path in ["", "/etc/passwd", "..", "a/../b", ".env", "a/.git/config", "a//b", "a/", "a\\b", "a\0"]
        {
            assert!(!is_clean(path), "{path}");
        }
    }

    #[test]
    fn types_go_by_the_ending() {
        assert_eq!(kind("a/b.MJS"), "text/javascript; charset=utf-8");
        assert_eq!(kind("a.min.css.map"), "application/json");
        assert_eq!(kind("noending"), "application/octet-stream");
    }
}
