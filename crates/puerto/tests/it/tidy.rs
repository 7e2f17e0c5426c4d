//! The invariants of ARCHITECTURE.md and the rules of the house, read from manifests and sources. What is
//! only worth knowing is printed (`cargo test -p puerto --test it tidy -- --nocapture`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use puerto_testkit::root;
use serde_json::Value;

/// Packages in Cargo.lock: each costs every fresh build.
const PACKAGES_MAX: usize = 450;
/// Lines of a file, and of a function, from which on they are reported; and those that fail.
const FILE_LINES: (usize, usize) = (500, 1000);
const FUNCTION_LINES: (usize, usize) = (70, 120);
/// Files and functions (`file::function`) beyond the limit, each with its reason.
const LONG: [(&str, &str); 0] = [];
/// Lines of `core`, so that it does not become the place for everything. The definitions of what stands in the configuration
/// are not counted: they grow with what there is to configure.
const CORE_LINES_MAX: usize = 2500;

/// Every file of the checkout that somebody wrote, by its path from the root.
fn files() -> BTreeMap<String, PathBuf> {
    const NOT_OURS: [&str; 8] =
        ["target", "data", "node_modules", "dist", ".git", ".venv", ".cache", "__pycache__"];
    let mut found = BTreeMap::new();
    let mut open = vec![root()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if NOT_OURS.contains(&path.file_name().unwrap().to_str().unwrap()) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, path);
            }
        }
    }
    found
}

/// Rust sources with their texts.
fn sources() -> BTreeMap<String, String> {
    let rust = files().into_iter().filter(|(name, _)| name.starts_with("crates/") && name.ends_with(".rs"));
    rust.map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect()
}

fn packages() -> Vec<Value> {
    let done = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let all: Value = serde_json::from_slice(&done.stdout).unwrap();
    all["packages"].as_array().unwrap().clone()
}

/// Names that a crate depends on directly; `with_dev` counts those of its tests too.
fn dependencies(package: &Value, with_dev: bool) -> Vec<&str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|d| with_dev || d["kind"] != "dev").map(|d| d["name"].as_str().unwrap()).collect()
}

#[test]
fn crates_know_only_what_they_may() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let forbidden: &[&str] = match name {
            "puerto-core" => &["axum", "hyper", "http", "rusqlite", "puerto-*"],
            "puerto-store" => &["axum", "hyper", "http", "puerto-mcp", "puerto-servers", "puerto-host"],
            "puerto-mcp" => {
                &["axum", "rusqlite", "puerto-store", "puerto-models", "puerto-servers", "puerto-host"]
            }
            "puerto-models" => &["axum", "rusqlite", "puerto-store", "puerto-mcp"],
            "puerto-servers" => &["axum", "puerto-store", "puerto-host"],
            "puerto-watch" => {
                &["axum", "rusqlite", "puerto-store", "puerto-mcp", "puerto-servers", "puerto-host"]
            }
            "puerto-host" => &["axum", "rusqlite", "puerto-store", "puerto-servers"],
            "puerto-access" => &["axum"],
            // Drive the binary from outside; the fixture is a server of its own, on another implementation,
            // and puts it behind axum.
            "puerto-testkit" | "puerto-bench" => {
                &["puerto-core", "puerto-mcp", "puerto-store", "puerto-servers", "puerto-host"]
            }
            "puerto" => &[],
            other => panic!("crate {other} has no line here and none in ARCHITECTURE.md"),
        };
        let banned = |dependency: &str| {
            dependency == "puerto"
                || forbidden.contains(&dependency)
                || (forbidden.contains(&"puerto-*") && dependency.starts_with("puerto-"))
        };
        let found: Vec<_> = dependencies(&package, false).into_iter().filter(|d| banned(d)).collect();
        assert!(found.is_empty(), "{name} must not depend on {found:?}");
        assert!(!dependencies(&package, true).contains(&"puerto"), "{name} must not depend on the binary");
    }
}

#[test]
fn libraries_have_no_doctests() {
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let is_library = target["kind"].as_array().unwrap().contains(&"lib".into());
            assert!(!is_library || target["doctest"] == false, "{} needs doctest = false", package["name"]);
        }
    }
}

#[test]
fn the_lock_file_stays_small() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let count = lock.matches("[[package]]").count();
    println!("{count} packages in Cargo.lock");
    assert!(count < PACKAGES_MAX, "{count} packages in Cargo.lock, the limit is {PACKAGES_MAX}");
}

/// SQL of our own data lives in `store`. The server `db` works on databases of users, and is the exception.
#[test]
fn sql_is_in_the_store_alone() {
    const STATEMENTS: [&str; 6] =
        ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "rusqlite::"];
    for (name, text) in sources() {
        let inside = ["crates/store/", "crates/servers/src/db"].iter().any(|home| name.starts_with(home));
        if inside || !name.contains("/src/") || name.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            let found = STATEMENTS.iter().find(|statement| line.contains(*statement));
            assert!(found.is_none(), "{name}:{}: SQL outside the store: {line}", number + 1);
        }
    }
}

#[test]
fn sources_open_with_what_they_are() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "these files do not begin with //!: {silent:#?}");
}

#[test]
fn files_and_functions_fit_a_screen_or_say_why() {
    let mut failures = Vec::new();
    let mut judge = |name: String, lines: usize, (report, limit): (usize, usize)| {
        if lines > report {
            println!("{lines:>5} lines  {name}");
        }
        if lines > limit && !LONG.iter().any(|(listed, _)| *listed == name) {
            failures.push(format!("{name}: {lines} lines, the limit is {limit}"));
        }
    };
    let mut core = 0;
    for (name, text) in sources() {
        let lines = text.lines().count();
        let is_core = name.starts_with("crates/core/src/") && !name.starts_with("crates/core/src/def");
        core += if is_core { lines } else { 0 };
        judge(name.clone(), lines, FILE_LINES);
        for (function, lines) in functions(&text) {
            judge(format!("{name}::{function}"), lines, FUNCTION_LINES);
        }
    }
    println!("{core:>5} lines  crates/core beside its definitions");
    assert!(
        core <= CORE_LINES_MAX,
        "crates/core has {core} lines beside its definitions, the limit is {CORE_LINES_MAX}"
    );
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Functions with their lines. In formatted code the brace that closes one stands under its first letter.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, rest)) = code.split_once("fn ") else { continue };
        if !before
            .split_whitespace()
            .all(|word| word.starts_with("pub") || ["async", "const", "unsafe"].contains(&word))
        {
            continue;
        }
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        let Some(opens) = lines[start..].iter().position(|l| l.contains('{') || l.ends_with(';')) else {
            continue;
        };
        let opening = lines[start + opens];
        if opening.ends_with(';') || opening.ends_with('}') {
            continue;
        }
        let close = format!("{}}}", " ".repeat(line.len() - code.len()));
        let length = lines[start..].iter().position(|l| *l == close).map_or(1, |end| end + 1);
        found.push((name, length));
    }
    found
}

#[test]
fn no_test_is_skipped_or_waits_by_the_clock() {
    // Written in two parts, so that this file does not find itself.
    let unfinished = [concat!("to", "do!("), concat!("#[ig", "nore"), concat!("unimpl", "emented!(")];
    let sleeps = [concat!("sl", "eep("), concat!("sl", "eep_until(")];
    for (name, text) in sources() {
        let is_test = name.contains("/tests/") || name.ends_with("/tests.rs");
        let tests_from = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        for (word, from) in unfinished
            .iter()
            .map(|w| (w, 0))
            .chain(sleeps.iter().map(|w| (w, if is_test { 0 } else { tests_from })))
        {
            assert!(!text[from..].contains(word), "{name} has {word}");
        }
    }
}

/// No path of somebody's own machine, in any text file.
#[test]
fn no_file_names_a_machine_of_ours() {
    let homes = ["work", "root", "home", "Users"].map(|place| format!("/{place}/"));
    let mut found = Vec::new();
    for (name, path) in files() {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for (number, line) in text.lines().enumerate() {
            // A path begins after something that is no part of a longer one, such as a URL's.
            let starts = |home: &String| {
                line.match_indices(home.as_str()).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-*}".contains(c))
                })
            };
            if homes.iter().any(starts) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
