//! Everything that the command line can do. A library, so that the binary is one call and what reads foreign
//! text can be fuzzed; nothing else depends on it.

mod alerts;
mod audit;
mod cli;
mod command;
mod compose;
mod config;
mod feed;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
mod memory;
mod openapi;
mod out;
mod record;
mod reload;
mod tasks;
mod telemetry;
mod usage;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

/// Threads that block: databases, files, process scans.
const BLOCKING_MAX: usize = 64;

/// Reads the command line and hands on.
pub fn main() -> ExitCode {
    memory::keep_freed();
    files::allow_many();
    let cli = Cli::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_MAX).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            out::error_line(format!("error: could not start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(dispatch(cli.command));
    // A thread that reads standard input or runs a long statement must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    code
}

async fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Up { config, port } => command::up::run(&config, port).await,
        Command::Stdio(stdio) => command::stdio::run(&stdio).await,
        Command::Run { tasks, config, tenant, concurrency, keep_going, json } => {
            let options = puerto_host::Options { concurrency: concurrency.into(), keep_going };
            command::run::run(&tasks, &config, &tenant, options, json).await
        }
        Command::Serve(serve) => command::serve::run(serve).await,
        Command::Init { config } => command::init::run(&config),
        Command::Import(import) => command::import::run(&import),
        Command::Add(add) => command::add::run(&add),
        Command::Export(export) => match export.client {
            Some(client) => command::export::run(&export, client),
            None => command::archive::export(&export).await,
        },
        Command::Restore(restore) => command::archive::restore(restore).await,
        Command::Backup { file, config, json } => command::backup::run(&file, &config, json).await,
        Command::Doctor { config, json } => command::doctor::run(&config, json).await,
        Command::Check { config, json, schema } => command::check::run(&config, json, schema),
        Command::Tools(tools) => command::ask::tools(&tools).await,
        Command::Servers { hub } => command::ask::servers(&hub).await,
        Command::Call { tool, arguments, hub, tenant } => {
            command::ask::call(&hub, &tenant, &tool, arguments).await
        }
        Command::Reload { hub } => command::ask::reload(&hub, false).await,
        Command::Diff { hub } => command::ask::reload(&hub, true).await,
        Command::Status { hub } => command::ask::status(&hub).await,
        Command::Logs { server, hub, tenant, lines } => {
            command::ask::logs(&hub, &tenant, server.as_deref(), lines).await
        }
        Command::Alerts { command } => command::alerts::run(&command).await,
        Command::Audit { command } => command::audit::run(&command).await,
        Command::Checks(args) => command::checks::run(&args).await,
        Command::Events(args) => command::events::run(&args).await,
        Command::Openapi => {
            out::line(openapi::document());
            ExitCode::SUCCESS
        }
    }
}
