//! `puerto serve`: one built-in server on its own, as a sidecar. It is a hub with a single server, so that
//! both eras and every check are the same.

use std::process::ExitCode;
use std::time::Duration;

use puerto_core::def::{BuiltinName, LogLevel, OptionsDef, ServerDef};
use puerto_core::{Code, Error, Result, Secret};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::up::{Stop, bind, edge};
use super::{failed, start_logging};
use crate::cli::Builtin;
use crate::compose;
use crate::http::serve;
use crate::out;

/// Runs the command.
pub(crate) async fn run(
    server: Builtin,
    roots: Vec<String>,
    url: Option<String>,
    url_env: Option<String>,
    writable: bool,
    http: Option<String>,
) -> ExitCode {
    let name = match server {
        Builtin::Monitor => BuiltinName::Monitor,
        Builtin::File => BuiltinName::File,
        Builtin::Db => BuiltinName::Db,
    };
    let url = match url_env.as_deref().map(|variable| (variable, super::env(variable))) {
        None => url,
        Some((_, Some(value))) => Some(value),
        Some((variable, None)) => {
            return failed(&Error::caller(
                Code::InvalidConfig,
                format!("the environment variable {variable} is not set"),
            ));
        }
    };
    let options = OptionsDef { roots, url: url.map(Secret::new), init: None, writable };
    match alone(name, options, http.as_deref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn alone(name: BuiltinName, options: OptionsDef, http: Option<&str>) -> Result<()> {
    let mut told = Stop::heard()?;
    // What is wrong with the options is said at once, and not first to the client.
    let checked = options.clone();
    let opened = tokio::task::spawn_blocking(move || {
        puerto_servers::open(name, &checked, std::path::Path::new(".")).map(drop)
    })
    .await;
    opened
        .map_err(|e| Error::hub(Code::Internal, "a task of Puerto broke").inside(e))?
        .map_err(|e| Error::caller(Code::InvalidConfig, e.to_string()))?;
    let server: ServerDef = serde_json::from_value(serde_json::json!({"builtin": name}))
        .map_err(|e| Error::hub(Code::Internal, "a constant definition is not valid").inside(e))?;
    let mut def = compose::single(name.name(), ServerDef { options, ..server });
    def.logging.level = if http.is_some() { LogLevel::Info } else { LogLevel::Warn };
    start_logging(&def.logging);
    let works = compose::start(&def, &super::env).await?;
    match http {
        None => {
            let endpoint = works.hub.endpoint(None, Some(name.name()))?;
            puerto_mcp::door::stdio::serve(
                works.hub.clone(),
                endpoint,
                tokio::io::stdin(),
                tokio::io::stdout(),
            )
            .await;
        }
        Some(address) => {
            let (host, port) = address
                .rsplit_once(':')
                .and_then(|(host, port)| Some((host, port.parse().ok()?)))
                .ok_or_else(|| {
                    Error::caller(Code::InvalidConfig, format!("--http {address:?} is no HOST:PORT"))
                })?;
            let listener = bind(host, port).await?;
            let bound = listener
                .local_addr()
                .map_err(|e| Error::hub(Code::Internal, "the listener has no address").inside(e))?;
            let stop = CancellationToken::new();
            let serving = tokio::spawn(serve(
                edge(&works, &def, Instant::now()),
                vec![listener],
                stop.clone(),
                Duration::from_secs(10),
            ));
            out::line(format!("serving {} on http://{bound}/mcp/default/{}", name.name(), name.name()));
            told.told().await;
            works.hub.draining.cancel();
            stop.cancel();
            let _ = serving.await;
        }
    }
    works.stop().await;
    Ok(())
}
