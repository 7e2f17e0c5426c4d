//! `puerto`: one port between AI agents and everything they use.

mod cmd;
mod config;
mod out;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One port between AI agents and everything they use
#[derive(Debug, Parser)]
#[command(name = "puerto", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(cmd::check::Check),
}

fn main() -> ExitCode {
    // The environment is read here and handed down as a function.
    let env = |name: &str| std::env::var(name).ok();
    match Cli::parse().command {
        Command::Check(args) => cmd::check::run(&args, &env),
    }
}
