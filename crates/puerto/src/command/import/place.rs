//! Where the files of a bundle lie once it is imported: `bundles/NAME-VERSION` beside the configuration. A
//! directory that is there is never changed, since a running server may live in it.

use std::path::{Path, PathBuf};

use super::bundle::Bundle;
use super::manifest::{self, Files};
use super::notation::literal;
use super::{Batch, Surroundings};
use crate::command::draft::harmless;
use crate::command::edit::Done;
use crate::config::Problem;

/// A bundle and its place.
#[derive(Debug)]
pub(super) struct Place {
    bundle: Bundle,
    dir: PathBuf,
    /// The file of it that is started, where it is one of its own.
    program: Option<String>,
    /// Whether its files lie there already.
    pub(super) is_there: bool,
}

/// Reads a bundle. `before` are the files that were read before it.
pub(super) fn batch(
    file: &Path,
    bundle: Bundle,
    config: &Path,
    before: &[Batch],
    around: &Surroundings,
) -> Done<Batch> {
    let (name, version) = manifest::identity(&bundle.manifest)?;
    let own = format!("{}-{}", component(&name), component(&version));
    let shown = config.with_file_name("bundles").join(&own);
    let wrong = |problem: Problem| Box::new(problem.file(file.display().to_string()));
    let dir = std::path::absolute(&shown)
        .map_err(|e| wrong(Problem::error(format!("could not find a place for it: {e}"))))?;
    let Some(text) = dir.to_str() else {
        return Err(wrong(Problem::error(format!("the place for it, {}, is not UTF-8", dir.display()))));
    };
    let mut found =
        manifest::read(&bundle.manifest, &Files { dir: text, has: &|name| bundle.holds(name) }, around)?;
    let inside = found.draft.command.as_deref().and_then(|command| command.strip_prefix(&literal(text)));
    let program = inside.and_then(|rest| rest.strip_prefix('/')).map(|rest| rest.replace("$${", "${"));
    let place = harmless(&shown.display().to_string());
    let is_there = dir.symlink_metadata().is_ok();
    if is_there && !bundle.lies_in(&dir) {
        let problem = Problem::error(format!("{place} holds other files than this bundle"));
        let help = "a server may be running there: remove it once none does, then import again";
        return Err(wrong(problem.help(help)));
    }
    let twin = before.iter().filter_map(|batch| batch.bundle.as_ref()).find(|other| other.dir == dir);
    if twin.is_some_and(|other| !other.bundle.is_same(&bundle)) {
        let problem = Problem::error(format!("two files want the same place, {place}"));
        return Err(wrong(problem.help("both have this name and version: import one of them")));
    }
    found.notes.insert(
        0,
        match is_there {
            true => format!("its files lie in {place} already"),
            false => format!("its files go to {place} ({})", bundle.size),
        },
    );
    if bundle.is_signed {
        found.notes.push("it is signed, which Puerto does not check".into());
    }
    let place = Place { bundle, dir, program, is_there };
    Ok(Batch { file: file.to_owned(), title: "bundle", found: vec![found], bundle: Some(place) })
}

/// Unpacks bundles and does what comes next; where something fails, what was unpacked is gone again.
pub(super) fn with_files<T>(places: &[&Place], next: impl FnOnce() -> Done<T>) -> Done<T> {
    let mut made: Vec<&Path> = Vec::new();
    let unpacked = places.iter().try_for_each(|place| {
        // A file may be named twice.
        if !made.contains(&&*place.dir) {
            place.bundle.unpack(&place.dir, place.program.as_deref())?;
            made.push(&place.dir);
        }
        Ok(())
    });
    let done = unpacked.and_then(|()| next());
    if done.is_err() {
        for dir in made {
            let _ = std::fs::remove_dir_all(dir);
            let _ = dir.parent().map(std::fs::remove_dir);
        }
    }
    done
}

/// A name as a part of a path that every system takes.
fn component(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
    let name: String = name.chars().map(|c| if plain(c) { c } else { '-' }).take(100).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "bundle".into() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    #[test]
    fn what_was_unpacked_is_gone_where_the_rest_fails() {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in [("manifest.json", "{}"), ("server/index.js", "// code")] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let own = tempfile::TempDir::new().unwrap();
        let dir = own.path().join("bundles/it-1");
        let bundle = Bundle::open(Path::new("it.mcpb"), bytes).unwrap();
        let place = Place { bundle, dir: dir.clone(), program: None, is_there: false };
        let refused: Done<()> = with_files(&[&place], || {
            assert!(place.bundle.lies_in(&dir));
            Err(Problem::error("no").into())
        });
        assert!(refused.is_err() && !own.path().join("bundles").exists());
        with_files(&[&place, &place], || Ok(())).unwrap();
        // Nothing is put over what is there.
        assert!(place.bundle.unpack(&dir, None).is_err() && place.bundle.lies_in(&dir));
        std::fs::write(dir.join("server/index.js"), "// edit").unwrap();
        assert!(!place.bundle.lies_in(&dir));
    }

    #[test]
    fn names_become_parts_of_a_path() {
        for (name, wanted) in [
            ("weather", "weather"),
            ("@scope/My Bundle", "scope-My-Bundle"),
            ("1.0.0-rc.1+build", "1.0.0-rc.1+build"),
            ("../..", "bundle"),
            ("\u{e9}", "bundle"),
        ] {
            assert_eq!(component(name), wanted, "{name}");
        }
    }
}
