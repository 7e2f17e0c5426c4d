//! The guide says what the code says: the table of errors is written by this test, and no setting goes without a word.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use expect_test::expect_file;
use puerto_core::{Code, Error};
use puerto_mcp::wire::Refusal;
use serde_json::Value;

const BEGIN: &str = "<!-- written by the test docs::every_error_code_is_in_the_table -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn every_error_code_is_in_the_table() {
    let mut table =
        String::from("\n| code | HTTP | JSON-RPC | title | what to do |\n|---|---|---|---|---|\n");
    for &code in Code::ALL {
        let number = Refusal::from(&Error::caller(code, "")).number;
        let (name, http) = (code.name(), code.http_status());
        writeln!(table, "| `{name}` | {http} | {number} | {} | {} |", code.title(), code.hint()).unwrap();
    }
    table.push('\n');
    let page = include_str!("../../../../docs/errors.md");
    let (head, rest) = page.split_once(BEGIN).expect("docs/errors.md has the place of the table");
    let (_, tail) = rest.split_once(END).expect("docs/errors.md has the end of the table");
    expect_file!["../../../../docs/errors.md"].assert_eq(&format!("{head}{BEGIN}{table}{END}{tail}"));
}

#[test]
fn every_setting_is_explained() {
    let page = include_str!("../../../../docs/configuration.md");
    let schema: Value = serde_json::from_str(include_str!("../../../../api/config.schema.json")).unwrap();
    let mut keys = Vec::new();
    collect(&schema, &mut keys);
    assert!(keys.len() > 40, "{keys:?}");
    let silent: Vec<_> = keys.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
    assert!(silent.is_empty(), "docs/configuration.md does not explain {silent:?}");
}

/// Names of properties, wherever the schema defines an object.
fn collect(schema: &Value, keys: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (name, inner) in members {
                if let ("properties", Value::Object(properties)) = (name.as_str(), inner) {
                    keys.extend(properties.keys().cloned());
                }
                collect(inner, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        _ => {}
    }
}

#[test]
fn every_command_is_in_the_readme() {
    let page = include_str!("../../../../README.md");
    let done = Command::new(env!("CARGO_BIN_EXE_puerto")).arg("--help").output().unwrap();
    let help = String::from_utf8(done.stdout).unwrap();
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 5, "{help}");
    for name in names {
        let said = [format!("`puerto {name}"), format!("`{name}`"), format!("`{name} ")];
        assert!(said.iter().any(|text| page.contains(text)), "README.md does not explain puerto {name}");
    }
}

/// The data path and the store; the built-in servers' own limits stand in docs/servers.md.
#[test]
fn every_limit_is_in_the_architecture() {
    let page = include_str!("../../../../ARCHITECTURE.md");
    let kinds = ["usize", "u64", "u32", "u16", "Duration"];
    // How the scanner is written, and no limit of anything.
    let details = ["BLOCK", "MINUTE", "HOUR", "DAY", "TOKEN", "HEAD"];
    let mut silent = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for place in ["core", "store", "mcp", "watch", "host", "puerto"] {
        for text in texts(&root.join(place).join("src")) {
            for line in text.lines() {
                let Some((name, rest)) = line.split_once("const ").and_then(|(_, c)| c.split_once(": "))
                else {
                    continue;
                };
                let is_name = name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                let is_limit = is_name && rest.split_once(' ').is_some_and(|(kind, _)| kinds.contains(&kind));
                // Indented ones are details of one function.
                let is_said = page.contains(&format!("`{name}`")) || details.contains(&name);
                if is_limit && !line.starts_with(' ') && !is_said {
                    silent.push(format!("{name} of {place}"));
                }
            }
        }
    }
    assert!(silent.is_empty(), "the limits in ARCHITECTURE.md lack {silent:?}");
}

/// Every Rust source below a directory.
fn texts(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: std::path::PathBuf| match path.is_dir() {
        true => texts(&path),
        false if path.extension().is_some_and(|e| e == "rs") => vec![std::fs::read_to_string(path).unwrap()],
        false => Vec::new(),
    };
    entries.flat_map(of).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<_> =
        ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root.join(name)).into();
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            assert!(page.parent().unwrap().join(file).exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}
