//! One file per command.

pub(crate) mod add;
pub(crate) mod alerts;
pub(crate) mod archive;
pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod checks;
mod client;
pub(crate) mod doctor;
mod draft;
mod edit;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod init;
mod places;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod stdio;
pub(crate) mod up;

use std::process::ExitCode;

use puerto_core::Error;
use puerto_core::def::{HubDef, LogLevel, LoggingDef};

use crate::cli::ConfigArg;
use crate::config::{self, Origin};
use crate::out;

/// The environment, read here and handed down as a function.
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What the configuration is called where there is no file.
pub(crate) const BUILT_IN: &str = "built in; there is no config/servers.json";

/// Loads the configuration that a command runs with; answers it and what to call it. What is wrong with
/// it is shown in full.
pub(crate) fn load(given: &ConfigArg) -> Result<(HubDef, String), ExitCode> {
    load_origin(given).map(|(def, name, _)| (def, name))
}

/// The same, with the place that it was loaded from.
pub(crate) fn load_origin(given: &ConfigArg) -> Result<(HubDef, String, Origin), ExitCode> {
    let origin = config::locate(given.config.as_deref(), &env);
    let name = match &origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Builtin => BUILT_IN.to_owned(),
    };
    let (problems, loaded) = match config::load_from(&origin, &env) {
        Ok(loaded) => (loaded.warnings, Some(loaded.def)),
        Err(problems) => (problems, None),
    };
    problems.iter().for_each(|problem| out::error_line(format_args!("{problem}\n")));
    match loaded {
        Some(def) => Ok((def, name, origin)),
        None => {
            out::error_line(format_args!("error: {name} is not valid; nothing was started"));
            Err(ExitCode::FAILURE)
        }
    }
}

/// The configuration where nothing but variables is missing in it, for commands that start nothing.
fn load_without_variables(origin: &Origin) -> Option<HubDef> {
    let stand_in = |name: &str| env(name).or_else(|| Some("1".into()));
    config::load_from(origin, &stand_in).ok().map(|loaded| loaded.def)
}

/// The file that a command writes the configuration to, whether it exists or not.
fn config_file(given: &ConfigArg) -> std::path::PathBuf {
    match config::locate(given.config.as_deref(), &env) {
        Origin::File(path) => path,
        Origin::Builtin => config::DEFAULT.into(),
    }
}

/// Says what is wrong and where.
fn refused(problem: &config::Problem) -> ExitCode {
    out::error_line(problem);
    ExitCode::FAILURE
}

/// Says why a command failed and what to do about it.
pub(crate) fn failed(error: &Error) -> ExitCode {
    out::error_line(format!("error: {}", error.chain()));
    out::error_line(format!("  hint: {}", error.code().hint()));
    ExitCode::FAILURE
}

/// Sends what happens beside operations to standard error, in the configured shape.
pub(crate) fn start_logging(def: &LoggingDef) {
    use tracing_subscriber::EnvFilter;
    let level = match def.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // Libraries speak up only where something is wrong.
    let filter = EnvFilter::new(format!(
        "warn,puerto={level},puerto_mcp={level},puerto_store={level},puerto_servers={level}"
    ));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let set = match def.format {
        puerto_core::def::LogFormat::Text => builder.with_ansi(false).try_init(),
        puerto_core::def::LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = set {
        out::error_line(format!("logging was set up before: {error}"));
    }
}
