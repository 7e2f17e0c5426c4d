//! Paths inside roots, and paths that try to leave them.

use proptest::prelude::*;

use super::*;

#[test]
fn paths_are_cleaned_or_refused() {
    for (given, expected) in [
        ("", Ok("")),
        ("/", Ok("")),
        (".", Ok("")),
        ("a/b", Ok("a/b")),
        ("/a//b/./c/", Ok("a/b/c")),
        ("a/../b", Ok("b")),
        ("a/b/../../c", Ok("c")),
        ("...", Ok("...")),
        ("..", Err("leads outside the served directory")),
        ("/..", Err("leads outside the served directory")),
        ("a/../../a", Err("leads outside the served directory")),
        ("a\0b", Err("holds a NUL character")),
    ] {
        assert_eq!(clean(given).as_deref().map_err(|e| *e), expected, "{given:?}");
    }
}

proptest! {
    #[test]
    fn a_clean_path_has_no_way_up(given in "[a.:/\\\\ \u{0}-\u{7f}]{0,24}") {
        if let Ok(path) = clean(&given) {
            prop_assert!(!path.starts_with('/'));
            prop_assert!(path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            prop_assert_eq!(clean(&path), Ok(path.clone()), "clean is the same the second time");
        }
    }
}

#[test]
fn a_name_and_a_colon_choose_the_root() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["one", "two", "deep/two"] {
        std::fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let given = ["one", "two", "deep/two"].map(str::to_owned).to_vec();
    let roots = Roots::open(&OptionsDef { roots: given, ..OptionsDef::default() }, dir.path()).unwrap();
    assert_eq!(roots.names().collect::<Vec<_>>(), ["one", "two", "two-2"]);
    for (given, expected) in [
        ("a", "/a"),
        ("/a", "/a"),
        ("one:/a", "/a"),
        ("two:/a/b", "two:/a/b"),
        ("two:a", "two:/a"),
        ("two-2:", "two-2:/"),
        ("three:/a", "/three:/a"),
        ("/two:/a", "/two:/a"),
    ] {
        assert_eq!(roots.place(given).unwrap().shown(), expected, "{given}");
    }
    assert!(roots.place("two:/../one/a").is_err());
    assert_eq!(roots.in_uri("", "two:/a").unwrap().shown(), "/two:/a");
    assert_eq!(roots.in_uri("two", "a").unwrap().shown(), "two:/a");
    assert!(matches!(roots.in_uri("localhost", "a"), Err(CallError::Unknown)));
}
