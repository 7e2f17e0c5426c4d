//! The invariants of ARCHITECTURE.md, checked where they can be broken: in manifests and sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use puerto_testkit::root;

/// Longest function and file without a reason; beyond the first pair they are reported, beyond the second refused.
const REPORTED: (usize, usize) = (70, 500);
const REFUSED: (usize, usize) = (120, 1000);

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if path.file_name().is_some_and(|n| n == "target" || n == "node_modules") => {}
            true => files(&path, found),
            false => found.extend(path.extension().is_some_and(|e| e == "rs").then_some(path)),
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root().join("crates"), &mut found);
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The direct dependencies of each crate, those for tests left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let crates = std::fs::read_dir(root().join("crates")).unwrap().flatten();
    crates
        .map(|entry| {
            let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml")).unwrap();
            let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
            let section = section.split("\n[").next().unwrap_or_default();
            let names = section
                .lines()
                .filter_map(|line| line.split(['.', ' ', '=']).next())
                .filter(|n| !n.is_empty());
            (entry.file_name().to_string_lossy().into_owned(), names.map(String::from).collect())
        })
        .collect()
}

#[test]
fn crates_know_only_what_they_may() {
    let all = dependencies();
    for (name, forbidden) in [
        ("core", &["puerto-", "rusqlite", "http", "hyper", "axum"][..]),
        ("store", &["puerto-mcp", "puerto-servers", "puerto-host", "axum", "hyper"]),
        (
            "mcp",
            &["puerto-store", "puerto-models", "puerto-servers", "puerto-host", "axum", "rusqlite", "rmcp"],
        ),
        ("servers", &["puerto-store", "puerto-host", "axum", "hyper"]),
        ("host", &["puerto-store", "puerto-servers", "axum", "rusqlite", "hyper"]),
    ] {
        for dependency in &all[name] {
            let bad =
                forbidden.iter().any(|f| dependency == f || (f.ends_with('-') && dependency.starts_with(f)));
            assert!(!bad, "crate {name} must not depend on {dependency}");
        }
    }
    for (name, dependencies) in &all {
        assert!(!dependencies.iter().any(|d| d == "puerto"), "crate {name} depends on the binary");
        let may_axum = matches!(name.as_str(), "puerto" | "testkit");
        assert!(may_axum || !dependencies.iter().any(|d| d == "axum"), "crate {name} depends on axum");
    }
}

#[test]
fn sql_of_our_data_stays_in_the_store() {
    for (name, text) in sources() {
        let theirs = name.starts_with("crates/store/")
            || name.starts_with("crates/servers/")
            || name.contains("/tests");
        let bad = ["rusqlite", "INSERT INTO", "DELETE FROM"].iter().find(|word| text.contains(**word));
        assert!(theirs || bad.is_none(), "{name} holds {bad:?}");
    }
}

#[test]
fn sources_are_tidy() {
    let forbidden = [
        concat!("to", "do!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("/ro", "ot/."),
        concat!("/wo", "rk/"),
    ];
    for (name, text) in sources() {
        let part = name.ends_with("/tests.rs");
        assert!(part || text.starts_with("//!"), "{name} does not say what it is");
        for word in forbidden {
            assert!(!text.contains(word), "{name} holds {word}");
        }
        let test = name.contains("/tests");
        assert!(!test || !text.contains(concat!("time::sl", "eep")), "{name} sleeps in a test");
    }
}

/// Functions with their length, by the indentation that rustfmt gives them.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let lines: Vec<_> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let starts = line
            .trim_start()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        let starts = starts.trim_start_matches("async ");
        if !starts.starts_with("fn ") {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|l| **l == close) {
            found.push((starts.split('(').next().unwrap_or_default().to_owned(), length + 1));
        }
    }
    found
}

#[test]
fn functions_and_files_are_short() {
    let mut long = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        long.extend((lines > REPORTED.1).then(|| format!("{name}: {lines} lines")));
        assert!(lines <= REFUSED.1, "{name} has {lines} lines");
        for (function, length) in functions(&text) {
            long.extend((length > REPORTED.0).then(|| format!("{name}: {function} has {length} lines")));
            assert!(length <= REFUSED.0, "{name}: {function} has {length} lines");
        }
    }
    println!("longer than we like:\n  {}", long.join("\n  "));
}

#[test]
fn the_dependency_tree_stays_small() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.matches("\nname = ").count();
    println!("{packages} packages in Cargo.lock");
    assert!(packages < 450, "{packages} packages in Cargo.lock");
}
