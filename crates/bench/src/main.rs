//! `puerto-bench`: what a call through Puerto costs, beside the same call through a bare proxy.
//!
//! One binary holds every part, so that a comparison needs nothing but it and the gateways:
//! `upstream` (a minimal MCP server), `passthrough` (the practical limit of a proxy), `load` (a
//! load generator that checks every answer) and `run` (the whole comparison, as a table).
//! Only ratios within one run mean anything: the parts share the machine with each other.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program: its output is its result"
)]

mod load;
mod passthrough;
mod process;
mod run;
mod target;
mod text;
mod upstream;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

/// What any part may fail with: the reader is a person at a terminal, who needs the words only.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of any part.
type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Parser)]
#[command(name = "puerto-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// A minimal MCP server of both eras, over HTTP or stdio.
    Upstream(upstream::Options),
    /// A bare proxy: what forwarding costs when nothing is understood.
    Passthrough(passthrough::Options),
    /// A service that is well, to be checked.
    Target(target::Options),
    /// Calls one endpoint in a closed loop and checks every answer.
    Load(load::Options),
    /// The whole comparison, printed as a markdown table.
    Run(run::Options),
}

fn main() -> ExitCode {
    match start(Cli::parse().part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("puerto-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(part: Part) -> Result<()> {
    match part {
        // One thread for the parts around the gateway: they leave the other cores to it.
        Part::Upstream(options) => one_thread()?.block_on(upstream::serve(options)),
        Part::Target(options) => one_thread()?.block_on(target::serve(options)),
        Part::Load(options) => one_thread()?.block_on(load::main(options)),
        Part::Run(options) => one_thread()?.block_on(run::main(options)),
        // All threads, as a gateway has them: a fair limit pays for waking the other core too.
        Part::Passthrough(options) => {
            Builder::new_multi_thread().enable_all().build()?.block_on(passthrough::serve(options))
        }
    }
}

fn one_thread() -> Result<tokio::runtime::Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
