//! Saved task lists: files of one directory. cap-std makes sure that nothing outside of it is read, whatever a name or a
//! symbolic link says.

use std::io::Read;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use puerto_core::{Code, Error, Result};

/// Largest task list.
pub(crate) const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Files of the directory that are looked at for lists, and lists that a message names.
const FILES_MAX: usize = 1_000;
const NAMED_MAX: usize = 20;

/// A saved list.
#[derive(Debug)]
pub(crate) struct Saved {
    /// Its file.
    pub(crate) file: String,
    /// What it holds.
    pub(crate) text: String,
}

/// Reads the list of a name: the file of it, or that with `.json` behind.
pub(crate) fn read(dir: &str, name: &str) -> Result<Saved> {
    let Ok(opened) = Dir::open_ambient_dir(dir, ambient_authority()) else {
        let text = format!("no task list named {name:?}: there is no directory {dir:?} (tasks.dir)");
        return Err(Error::caller(Code::NotFound, text));
    };
    let file = [name.to_owned(), format!("{name}.json")]
        .into_iter()
        .find(|file| is_plain(file) && opened.metadata(file).is_ok_and(|about| about.is_file()));
    let Some(file) = file else {
        let there = lists(&opened);
        let there = if there.is_empty() { "there is none".to_owned() } else { there.join(", ") };
        let text =
            format!("no task list named {name:?} in the directory {dir:?} (tasks.dir); lists there: {there}");
        return Err(Error::caller(Code::NotFound, text));
    };
    let text = text(&opened, &file)?;
    Ok(Saved { file, text })
}

/// Whether a name is that of a file here: no folder, no way up, nothing hidden.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn text(dir: &Dir, file: &str) -> Result<String> {
    let broken =
        |e| Error::caller(Code::BadRequest, format!("could not read the task list {file}")).inside(e);
    let mut text = String::new();
    let opened = dir.open(file).map_err(broken)?;
    opened.take(LIST_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(broken)?;
    if text.len() > LIST_BYTES_MAX {
        let text = format!("the task list {file} is larger than {LIST_BYTES_MAX} bytes");
        return Err(Error::caller(Code::TooLarge, text));
    }
    Ok(text)
}

/// Files that hold a list, without the configurations beside them.
fn lists(dir: &Dir) -> Vec<String> {
    let entries = dir.entries().into_iter().flatten().flatten().take(FILES_MAX);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<_> = names
        .filter(|name| is_plain(name) && name.ends_with(".json"))
        .filter(|name| dir.metadata(name).is_ok_and(|about| about.is_file()))
        .filter(|name| text(dir, name).is_ok_and(|text| puerto_host::parse(&text).is_ok()))
        .collect();
    found.sort();
    found.truncate(NAMED_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("lists");
        std::fs::create_dir_all(dir.join("folder.json")).unwrap();
        for (path, text) in [
            ("lists/a.json", "[]"),
            ("lists/other.json", "{}"),
            ("lists/.hidden.json", "[]"),
            ("out.json", "[]"),
        ] {
            std::fs::write(temporary.path().join(path), text).unwrap();
        }
        std::os::unix::fs::symlink("../out.json", dir.join("link.json")).unwrap();
        let outside = temporary.path().join("out.json");
        let dir = dir.to_str().unwrap();
        assert_eq!(read(dir, "a").unwrap().file, "a.json");
        assert_eq!(read(dir, "a.json").unwrap().text, "[]");
        for name in [
            "",
            ".",
            "..",
            "../out",
            "../out.json",
            "x/../a",
            "link",
            "link.json",
            "folder",
            ".hidden",
            outside.to_str().unwrap(),
        ] {
            let error = read(dir, name).map(|saved| saved.file).unwrap_err();
            assert_eq!(error.code(), Code::NotFound, "{name}: {error}");
            assert!(error.public().ends_with("lists there: a.json"), "{error}");
        }
        assert!(read("nowhere", "a").unwrap_err().public().contains("no directory \"nowhere\""));
    }
}
