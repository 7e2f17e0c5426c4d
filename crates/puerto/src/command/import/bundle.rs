//! A bundle (`.mcpb`, before that `.dxt`): a zip that holds a server and its `manifest.json`. The whole directory
//! of the zip is judged before anything is read from it, since bundles come from anywhere: names that lead out
//! of it, links, twins and bombs are refused by name. It is unpacked beside its place and moved there at once.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Cursor, ErrorKind, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::read::{ArchiveOffset, Config, OwnedZipFileEntry, ZipFileEntry};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

use crate::command::edit::{Done, Source};
use crate::config::Problem;

/// Largest bundle. It is read whole, so that what was shown is what is unpacked.
pub(super) const BUNDLE_MAX: u64 = 512 * 1024 * 1024;

/// Largest size of all files together. Bundles with every dependency have some 300 MB.
const UNPACKED_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Files and directories. Trees of `node_modules` have tens of thousands.
const ENTRIES_MAX: usize = 100_000;

/// How many times as large its files may be together; programs and texts shrink to a tenth.
const RATIO_MAX: u64 = 100;

/// Up to this size nobody asks for the ratio: a small file of zeros harms nobody.
const RATIO_FREE: u64 = 16 * 1024 * 1024;

/// Longest path in it, in bytes; systems take no more than 1,024 to 4,096 with the place before it.
const PATH_MAX: usize = 512;

/// Largest manifest. Most have a few kilobytes.
const MANIFEST_MAX: u64 = 1024 * 1024;

/// What a bundle that breaks a rule deserves.
const REFUSED: &str = "nothing was unpacked; such a bundle is broken or means harm";

/// Whether a file is taken for a bundle: by its name, or as a zip.
pub(super) fn is_bundle(file: &Path, bytes: &[u8]) -> bool {
    let named = |ending: &str| file.extension().is_some_and(|given| given.eq_ignore_ascii_case(ending));
    bytes.starts_with(b"PK\x03\x04") || named("mcpb") || named("dxt")
}

/// Whether a file is the one that was meant; says so where it is not.
pub(super) fn check_hash(file: &Path, bytes: &[u8], wanted: &str) -> Done<()> {
    use std::fmt::Write as _;
    let wanted = wanted.trim().to_ascii_lowercase();
    let digits = wanted.strip_prefix("sha256:").unwrap_or(&wanted);
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        let problem = Problem::error("--sha256 takes the 64 hexadecimal digits of a hash");
        return Err(problem.help("as `sha256sum FILE` prints it").into());
    }
    let mut found = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(found, "{byte:02x}");
    }
    if found == digits {
        return Ok(());
    }
    let problem = Problem::error("this is not the file of that hash").expected(found, digits);
    let help = "it is another version, or was changed on its way: get it again";
    Err(problem.file(file.display().to_string()).help(help).into())
}

/// A file or directory in it.
#[derive(Debug)]
struct Entry {
    /// Without a slash at the end.
    name: String,
    is_dir: bool,
    is_program: bool,
    zip: OwnedZipFileEntry,
}

/// A bundle that is fit to be unpacked.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) manifest: Source,
    /// Its files, in words.
    pub(super) size: String,
    /// Whether somebody has signed it.
    pub(super) is_signed: bool,
    file: String,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Bundle {
    /// Judges everything but the files themselves.
    pub(super) fn open(file: &Path, bytes: Vec<u8>) -> Done<Self> {
        let file = file.display().to_string();
        let entries = entries(&file, &bytes)?;
        let total: u64 = entries.iter().map(|entry| entry.zip.size()).fold(0, u64::saturating_add);
        let wrong = |message: String| Err(Problem::error(message).file(&file).help(REFUSED).into());
        if total > UNPACKED_MAX {
            return wrong(format!("this bundle would unpack to {total} bytes; {UNPACKED_MAX} are allowed"));
        }
        if total > RATIO_FREE && total / bytes.len() as u64 > RATIO_MAX {
            let times = total / bytes.len() as u64;
            return wrong(format!(
                "this bundle would unpack to {times} times its size; {RATIO_MAX} times are allowed"
            ));
        }
        let text = manifest(&file, &bytes, &entries)?;
        let count = entries.iter().filter(|entry| !entry.is_dir).count();
        let files = if count == 1 { "file" } else { "files" };
        let tail = &bytes[bytes.len().saturating_sub(128 * 1024)..];
        let is_signed = tail.windows(11).any(|window| window == b"MCPB_SIG_V1");
        Ok(Self {
            manifest: Source::json(&format!("{file}: manifest.json"), text)?,
            size: format!("{count} {files}, {}", in_words(total)),
            is_signed,
            file,
            bytes,
            entries,
        })
    }

    /// Whether it holds a file of this name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| !entry.is_dir && entry.name == name)
    }

    /// Whether another one is the same, byte for byte.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    /// Whether all of its files lie in a directory as they are. What else lies there does not matter: servers
    /// keep things beside their program.
    pub(super) fn lies_in(&self, dir: &Path) -> bool {
        self.entries.iter().all(|entry| {
            let path = dir.join(&entry.name);
            let Ok(there) = path.symlink_metadata() else { return false };
            if entry.is_dir || there.is_dir() {
                return entry.is_dir && there.is_dir();
            }
            let may_be_same = there.is_file() && there.len() == entry.zip.size();
            let file = may_be_same.then(|| File::open(&path).ok()).flatten();
            file.is_some_and(|file| self.copy(entry, &mut Same(file)).is_ok())
        })
    }

    /// Puts its files in a directory that does not exist yet: all of them or none. `program` is the file that
    /// is started, which a packer may have left without its mark.
    pub(super) fn unpack(&self, dir: &Path, program: Option<&str>) -> Done<()> {
        let parent = dir.parent().unwrap_or(dir);
        let made: Vec<_> = parent.ancestors().take_while(|dir| !dir.exists()).collect();
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let fresh = parent.join(format!(".{name}.new-{}", std::process::id()));
        // A run of that number that was ended by force may have left one.
        let _ = std::fs::remove_dir_all(&fresh);
        let whole = |error| ("this bundle".to_owned(), error);
        let done = std::fs::create_dir_all(&fresh).map_err(whole).and_then(|()| {
            self.entries.iter().try_for_each(|entry| {
                self.write(entry, &fresh, program).map_err(|error| (format!("{:?}", entry.name), error))
            })?;
            // A rename would replace an empty directory.
            match dir.symlink_metadata() {
                Ok(_) => Err(whole(ErrorKind::AlreadyExists.into())),
                Err(_) => std::fs::rename(&fresh, dir).map_err(whole),
            }
        });
        done.map_err(|(what, error)| {
            let _ = std::fs::remove_dir_all(&fresh);
            made.iter().for_each(|dir| drop(std::fs::remove_dir(dir)));
            let problem = Problem::error(format!("could not unpack {what} to {}: {error}", dir.display()));
            Box::new(problem.file(&self.file).help("nothing was left behind"))
        })
    }

    fn write(&self, entry: &Entry, dir: &Path, program: Option<&str>) -> std::io::Result<()> {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            return std::fs::create_dir_all(path);
        }
        std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
        self.copy(entry, &mut fresh_file(&path, entry.is_program || program == Some(&entry.name))?)
    }

    /// Hands on what a file holds; never more than its directory says, and the checksum must fit.
    fn copy(&self, entry: &Entry, to: &mut impl Write) -> std::io::Result<()> {
        contents(&self.bytes, &entry.zip, to)
    }
}

/// The bytes of one file.
fn contents(bytes: &[u8], entry: &OwnedZipFileEntry, to: &mut impl Write) -> std::io::Result<()> {
    let size = entry.size();
    let mut zip = Cursor::new(bytes);
    let read = entry.as_ref().with_reader(&mut zip, ZipReadOptions::new())?;
    let copied = std::io::copy(&mut read.take(size.saturating_add(1)), to)?;
    if copied == size {
        return Ok(());
    }
    Err(std::io::Error::new(ErrorKind::InvalidData, "it is not as large as the bundle says"))
}

/// Reads the directory of the zip and judges every name and kind in it.
fn entries(file: &str, bytes: &[u8]) -> Done<Vec<Entry>> {
    let wrong = |message: String| Box::new(Problem::error(message).file(file).help(REFUSED));
    let broken = |error: &ZipError| {
        let help = "a bundle is a zip: was it downloaded to its end?";
        Box::new(Problem::error(format!("this is no whole bundle: {error}")).file(file).help(help))
    };
    // What stands before the first file would be another program's.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut zip = ZipIterable::try_new(Cursor::new(bytes), config).map_err(|e| broken(&e))?;
    let too_many = || wrong(format!("this bundle holds more than {ENTRIES_MAX} files and directories"));
    if zip.len() > ENTRIES_MAX {
        return Err(too_many());
    }
    let (mut places, mut entries) = (Places::default(), Vec::with_capacity(zip.len()));
    for entry in zip.files().map_err(|e| broken(&e))? {
        let entry = entry.map_err(|e| broken(&e))?;
        let given = entry.name().map_err(|e| broken(&e))?.into_owned();
        let is_dir = given.ends_with('/');
        let name = given.strip_suffix('/').unwrap_or(&given).to_owned();
        let fault = bad_name(&name).or_else(|| bad_kind(&entry, is_dir)).map(ToOwned::to_owned);
        if let Some(fault) = fault.or_else(|| places.take(&name, is_dir)) {
            return Err(wrong(format!("{given:?} in this bundle {fault}")));
        }
        if places.0.len() > ENTRIES_MAX {
            return Err(too_many());
        }
        let is_program = entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0);
        entries.push(Entry { name, is_dir, is_program, zip: entry.into() });
    }
    Ok(entries)
}

/// What is wrong with the name of a file, where something is.
fn bad_name(name: &str) -> Option<&'static str> {
    let first = name.split('/').next().unwrap_or_default();
    let is_drive =
        first.as_bytes().get(1) == Some(&b':') && first.starts_with(|c: char| c.is_ascii_alphabetic());
    let mut parts = name.split('/');
    if name.starts_with('/') || is_drive {
        Some("is a path from the root of a disk")
    } else if name.contains('\\') {
        Some("has a backslash, which parts directories on some systems")
    } else if name.chars().any(char::is_control) {
        Some("has a control character in its name")
    } else if parts.clone().any(|part| part == "..") {
        Some("leads out of it")
    } else if parts.any(|part| part.is_empty() || part == ".") {
        Some("is no plain path")
    } else if name.len() > PATH_MAX {
        Some("has too long a path")
    } else {
        None
    }
}

/// What is wrong with what an entry is, where something is.
fn bad_kind(entry: &ZipFileEntry<'_>, is_dir: bool) -> Option<&'static str> {
    match entry.unix_mode().map_or(0, |mode| mode & 0o170_000) {
        0o120_000 => return Some("is a link"),
        0 => {}
        0o040_000 if is_dir => {}
        0o100_000 if !is_dir => {}
        _ => return Some("is no plain file"),
    }
    if entry.encrypted() {
        return Some("is encrypted");
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => None,
        _ => Some("is packed in a way other than \"deflate\""),
    }
}

/// Every path taken so far, as file systems see it that fold letters, with its own name and whether it is a
/// directory.
#[derive(Default)]
struct Places(BTreeMap<String, (String, bool)>);

impl Places {
    /// Takes a path and the directories above it; says what stands in the way.
    fn take(&mut self, name: &str, is_dir: bool) -> Option<String> {
        let (mut key, mut end) = (String::new(), 0);
        for part in name.split('/') {
            end += part.len();
            let (path, is_dir) = (&name[..end], is_dir || end < name.len());
            key.push_str(&folded(part));
            match self.0.get(&key) {
                None => drop(self.0.insert(key.clone(), (path.to_owned(), is_dir))),
                Some((other, _)) if other != path => {
                    return Some(format!("has a name that some systems take for {other:?}"));
                }
                Some((_, other)) if *other != is_dir => {
                    return Some("is a file and a directory in one".into());
                }
                Some(_) if !is_dir => return Some("is there twice".into()),
                Some(_) => {}
            }
            key.push('/');
            end += 1;
        }
        None
    }
}

/// A part of a path as the systems compare it that are the least exact: without case, and without dots and blanks
/// at its end.
fn folded(part: &str) -> String {
    part.to_lowercase().trim_end_matches(['.', ' ']).to_owned()
}

/// The text of the manifest.
fn manifest(file: &str, bytes: &[u8], entries: &[Entry]) -> Done<String> {
    let wrong = |message: String, help: &str| Err(Problem::error(message).file(file).help(help).into());
    let is_manifest = |entry: &&Entry| !entry.is_dir && entry.name == "manifest.json";
    let Some(entry) = entries.iter().find(is_manifest) else {
        let below = entries.iter().find_map(|entry| entry.name.strip_suffix("/manifest.json"));
        let help = below.map(|dir| format!("there is one in {dir}: pack what is inside of that directory"));
        let help = help.as_deref().unwrap_or("a bundle has it beside its files: see what this file is");
        return wrong("this bundle has no manifest.json".into(), help);
    };
    if entry.zip.size() > MANIFEST_MAX {
        return wrong(
            format!("the manifest.json of this bundle is larger than {MANIFEST_MAX} bytes"),
            REFUSED,
        );
    }
    let mut text = Vec::new();
    if let Err(error) = contents(bytes, &entry.zip, &mut text) {
        return wrong(format!("could not read its manifest.json: {error}"), REFUSED);
    }
    String::from_utf8(text).or_else(|_| wrong("its manifest.json is not UTF-8".into(), "save it as UTF-8"))
}

/// A file that was not there before, for everybody to read as the user's mask allows.
fn fresh_file(path: &Path, is_program: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_program { 0o755 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = is_program;
    options.open(path)
}

/// Takes only what a file holds.
struct Same(File);

impl Write for Same {
    fn write(&mut self, given: &[u8]) -> std::io::Result<usize> {
        let mut there = vec![0; given.len()];
        self.0.read_exact(&mut there)?;
        if there == given { Ok(given.len()) } else { Err(ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A size for people.
fn in_words(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}

#[cfg(test)]
mod tests;
