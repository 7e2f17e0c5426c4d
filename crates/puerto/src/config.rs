//! The configuration: one JSON file with comments and trailing commas, its variables filled in from
//! the environment, judged as a whole, and only then made into a `HubDef`.
//!
//! Precedence, strongest first: flags of the command line, `LOG_LEVEL` and `MCP_HUB_PLUGINS_DIR`, the
//! file, the defaults in `HubDef`. Relative paths in it start at the working directory. Nothing else in
//! the workspace reads the environment.

mod alerts;
mod check;
mod expand;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod given;
pub(crate) mod json;
mod known;
mod locate;
mod openapi;
pub(crate) mod problem;
mod schedules;
mod schema;
mod server;
mod service;
mod shape;

use std::io::{ErrorKind, Read};
use std::path::Path;

use puerto_core::def::{HubDef, LogLevel};

pub(crate) use expand::Env;
pub(crate) use given::{Beside, Given};
pub(crate) use known::nearest;
pub(crate) use locate::{DEFAULT, Origin, locate};
pub(crate) use problem::{Problem, Severity};
pub(crate) use schema::schema;
pub(crate) use server::OUR_HEADERS;

/// Largest configuration. One server takes some 200 bytes, so this is room for ten thousand.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A configuration that Puerto can run with.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What it defines.
    pub(crate) def: HubDef,
    /// What is probably not meant so.
    pub(crate) warnings: Vec<Problem>,
}

/// Loads from wherever `locate` has found it.
pub(crate) fn load_from(origin: &Origin, env: Env<'_>) -> Result<Loaded, Vec<Problem>> {
    match origin {
        Origin::File(path) => load(path, env),
        Origin::Builtin => load_text(locate::BUILTIN_NAME, locate::BUILTIN, env),
    }
}

/// Loads a file.
pub(crate) fn load(path: &Path, env: Env<'_>) -> Result<Loaded, Vec<Problem>> {
    let name = path.display().to_string();
    let text = read(path).map_err(|problem| vec![problem.file(&name)])?;
    load_text(&name, &text, env)
}

/// Loads a text; `name` stands for it in messages.
pub(crate) fn load_text(name: &str, text: &str, env: Env<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut report = problem::Report::new(name, text);
    let mut root = match json::read(text) {
        Ok(root) => root,
        Err(json::Mistake { span, message, help }) => {
            let mut problem = Problem::error(message);
            problem.help = help;
            report.add(span, &problem::Path::Root, problem);
            return Err(report.into_problems());
        }
    };
    expand::expand(&mut root, &problem::Path::Root, env, &mut report);
    schema::validate(&schema(), &mut root, &mut report);
    check::check(&root, &mut report);
    let mut problems = report.into_problems();
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    // The schema comes from the same types, so this fails only where the two disagree: a fault of ours.
    let mut def: HubDef = serde_json::from_value(root.to_json()).map_err(|error| {
        vec![Problem::error(format!("could not use the configuration: {error}")).file(name)]
    })?;
    problems.extend(overrides(&mut def, env));
    Ok(Loaded { def, warnings: problems })
}

fn read(path: &Path) -> Result<String, Box<Problem>> {
    let failed = |error: std::io::Error| {
        let problem = Problem::error(format!("could not read the configuration: {error}"));
        Box::new(match error.kind() {
            ErrorKind::NotFound => {
                problem.help("see --config, PUERTO_CONFIG and MCP_HUB_CONFIG for where Puerto looks")
            }
            ErrorKind::IsADirectory => problem.help("name the file in it"),
            _ => problem,
        })
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > BYTES_MAX {
        return Err(Problem::error(format!("the configuration is larger than {BYTES_MAX} bytes")).into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::error(format!("line {line} of the configuration is not UTF-8"))
            .help("save the file as UTF-8")
            .into()
    })
}

/// What the environment says instead of the file.
fn overrides(def: &mut HubDef, env: Env<'_>) -> Option<Problem> {
    if let Some(dir) = env("MCP_HUB_PLUGINS_DIR").filter(|dir| !dir.is_empty()) {
        def.apps.dir = dir;
    }
    let given = env("LOG_LEVEL").filter(|level| !level.is_empty())?;
    match given.parse::<LogLevel>() {
        Ok(level) => {
            def.logging.level = level;
            None
        }
        // Other programs read this variable too, in forms of their own: not worth refusing to start.
        Err(error) => {
            let problem = Problem::warning(error.to_string()).file("environment").path("LOG_LEVEL");
            Some(problem.help("the level of the configuration is used"))
        }
    }
}

#[cfg(test)]
mod tests;
