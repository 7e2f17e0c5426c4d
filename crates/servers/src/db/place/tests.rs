//! Where a database URL leads.

use puerto_core::Secret;

use super::*;

fn place(url: &str) -> Result<PathBuf, String> {
    let options = OptionsDef { url: Some(Secret::new(url)), ..OptionsDef::default() };
    file(&options, Path::new("/base")).map_err(|error| error.to_string())
}

#[test]
fn a_path_is_relative_to_the_configuration() {
    for (url, expected) in [
        ("sqlite://data/demo.db", "/base/data/demo.db"),
        ("sqlite:///srv/demo.db", "/srv/demo.db"),
        ("sqlite:demo.db", "/base/demo.db"),
    ] {
        assert_eq!(place(url), Ok(expected.into()), "{url}");
    }
}

#[test]
fn what_cannot_be_opened_is_explained_and_never_repeated() {
    for (url, expected) in [
        ("postgres://user:hunter2@host/db", "must begin with sqlite://"),
        ("hunter2.db", "must begin with sqlite://"),
        ("sqlite::memory:", "names a database in memory"),
        ("sqlite://:memory:", "names a database in memory"),
        ("sqlite://hunter2.db?mode=rwc", "has options after '?'"),
        ("sqlite://", "names no file"),
        ("sqlite://hunter2/", "names no file"),
    ] {
        let error = place(url).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
    }
    let missing = file(&OptionsDef::default(), Path::new("/")).unwrap_err().to_string();
    assert!(missing.contains("\"url\" is missing: name a database file"), "{missing}");
}
