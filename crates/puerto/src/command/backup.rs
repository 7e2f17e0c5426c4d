//! `puerto backup`: a copy of the hub's own database, made beside the hub while it works.

use std::path::Path;
use std::process::ExitCode;

use puerto_core::{Code, Error};
use puerto_store::{Backup, Store};

use super::failed;
use crate::cli::ConfigArg;
use crate::out;

/// Runs the command.
pub(crate) async fn run(file: &Path, config: &ConfigArg, json: bool) -> ExitCode {
    let def = match super::load(config) {
        Ok((def, _)) => def,
        Err(code) => return code,
    };
    let (url, to) = (def.store.url.reveal().to_owned(), file.to_owned());
    let done = tokio::task::spawn_blocking(move || Store::backup(&url, Path::new("."), &to)).await;
    let made = match done {
        Ok(Ok(made)) => made,
        // Whoever runs this is the operator: the whole reason is for them.
        Ok(Err(error)) => return failed(&Error::caller(Code::Unavailable, error.to_string())),
        Err(error) => return failed(&Error::hub(Code::Internal, "a task of Puerto broke").inside(error)),
    };
    let Backup { file, bytes, events, audit } = &made;
    out::line(match json {
        true => serde_json::to_string(&made).unwrap_or_default(),
        false => {
            format!(
                "{}: {bytes} bytes, {events} events, {audit} audit records, read again and whole",
                file.display()
            )
        }
    });
    if !json {
        out::error_line("the hub's keys are in it: keep it as safe as the database");
    }
    ExitCode::SUCCESS
}
