//! `puerto init`: a configuration to begin with, full of comments.

use std::io::Write;
use std::process::ExitCode;

use super::edit::Done;
use super::{config_file, refused};
use crate::cli::ConfigArg;
use crate::config::Problem;
use crate::out;

/// What people begin with. It runs as it is.
pub(crate) const STARTER: &str = include_str!("starter.json");

/// Runs the command.
pub(crate) fn run(given: &ConfigArg) -> ExitCode {
    match init(given) {
        Ok(said) => {
            out::line(said);
            ExitCode::SUCCESS
        }
        Err(problem) => refused(&problem),
    }
}

fn init(given: &ConfigArg) -> Done<String> {
    let file = config_file(given);
    let name = file.display().to_string();
    let failed = |error: std::io::Error| {
        let problem = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let help =
                    "add to it with `puerto add` or `puerto import`, or name another file with --config FILE";
                Problem::error("there is a configuration already, and it was left as it is").help(help)
            }
            _ => Problem::error(format!("could not write the configuration: {error}")),
        };
        Box::new(problem.file(&name))
    };
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // One step, so that nothing of another program can come between looking and writing.
    let mut fresh = std::fs::File::create_new(&file).map_err(failed)?;
    fresh.write_all(STARTER.as_bytes()).map_err(failed)?;
    let named = match &given.config {
        Some(_) => format!(" --config {name}"),
        None => String::new(),
    };
    let next = [
        format!("wrote {name}"),
        format!("  take over servers:  puerto import --from claude-desktop{named}"),
        format!("  add one:            puerto add git{named} -- uvx mcp-server-git"),
        format!("  check it:           puerto check{named}"),
        format!("  start:              puerto up{named}"),
    ];
    Ok(next.join("\n"))
}
