//! `puerto serve`: one built-in server on its own, as a sidecar. It is a hub with a single server, so that
//! both eras and every check are the same.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use puerto_core::def::{BuiltinName, HubDef, LogLevel, OptionsDef, ServerDef};
use puerto_core::{Code, Error, Result, Secret};
use puerto_mcp::door;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::up::{Stop, bind, edge};
use super::{failed, start_logging};
use crate::cli::{Builtin, Serve};
use crate::compose::{self, Works};
use crate::out;

/// Time that calls under way get to finish.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) async fn run(args: Serve) -> ExitCode {
    match alone(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn alone(args: Serve) -> Result<()> {
    let mut told = Stop::heard()?;
    let name = match args.server {
        Builtin::Monitor => BuiltinName::Monitor,
        Builtin::File => BuiltinName::File,
        Builtin::Db => BuiltinName::Db,
    };
    let token = args.token_env.as_deref().map(variable).transpose()?.map(Secret::new);
    let url = match args.url_env.as_deref() {
        Some(name) => Some(variable(name)?),
        None => args.url,
    };
    let init = args.init_file.as_deref().map(read).transpose()?;
    let options = OptionsDef { roots: args.root, url: url.map(Secret::new), init, writable: args.writable };
    check(name, &options).await?;
    let server: ServerDef = serde_json::from_value(serde_json::json!({"builtin": name}))
        .map_err(|e| Error::hub(Code::Internal, "a constant definition is not valid").inside(e))?;
    let mut def = compose::single(name.name(), ServerDef { options, ..server });
    let on_streams = args.http.is_none() && args.listen.is_none();
    def.logging.level = if on_streams { LogLevel::Warn } else { LogLevel::Info };
    start_logging(&def.logging);
    let works = compose::start(&def, &super::env).await?;
    let stop = CancellationToken::new();
    let serving = match (&args.http, &args.listen) {
        (Some(address), _) => Some(over_http(&works, &def, name, address, &stop).await?),
        (None, Some(address)) => Some(over_tcp(&works, name, address, token, &stop).await?),
        (None, None) => None,
    };
    match serving {
        Some(serving) => {
            told.told().await;
            works.hub.draining.cancel();
            stop.cancel();
            let _ = tokio::time::timeout(DRAIN, serving).await;
        }
        None => {
            let endpoint = works.hub.endpoint(None, Some(name.name()), None)?;
            let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
            door::stdio::serve(works.hub.clone(), endpoint, input, output).await;
        }
    }
    works.stop().await;
    Ok(())
}

/// What is wrong with the options is said at once, and not first to the client.
async fn check(name: BuiltinName, options: &OptionsDef) -> Result<()> {
    let options = options.clone();
    let opened =
        tokio::task::spawn_blocking(move || puerto_servers::open(name, &options, Path::new(".")).map(drop))
            .await;
    opened
        .map_err(|e| Error::hub(Code::Internal, "a task of Puerto broke").inside(e))?
        .map_err(|e| Error::caller(Code::InvalidConfig, e.to_string()))
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|cause| {
        Error::caller(Code::InvalidConfig, format!("could not read {}", file.display())).inside(cause)
    })
}

fn variable(name: &str) -> Result<String> {
    let missing =
        || Error::caller(Code::InvalidConfig, format!("the environment variable {name} is not set"));
    super::env(name).filter(|value| !value.is_empty()).ok_or_else(missing)
}

async fn over_http(
    works: &Works,
    def: &HubDef,
    name: BuiltinName,
    address: &str,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>> {
    let listener = listen("--http", address, false).await?;
    out::line(format!(
        "serving {name} on http://{}/mcp/default/{name}",
        bound(&listener)?,
        name = name.name()
    ));
    let edge = edge(works, def, Instant::now(), None).await;
    Ok(tokio::spawn(crate::http::serve(edge, vec![listener], stop.clone(), DRAIN)))
}

async fn over_tcp(
    works: &Works,
    name: BuiltinName,
    address: &str,
    token: Option<Secret>,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>> {
    let listener = listen("--listen", address, token.is_some()).await?;
    let endpoint = works.hub.endpoint(None, Some(name.name()), None)?;
    out::line(format!("serving {} on tcp://{}", name.name(), bound(&listener)?));
    Ok(tokio::spawn(door::tcp::serve(works.hub.clone(), endpoint, listener, token, stop.clone())))
}

async fn listen(flag: &str, address: &str, asks: bool) -> Result<TcpListener> {
    let parsed = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parsed
        .ok_or_else(|| Error::caller(Code::InvalidConfig, format!("{flag} {address:?} is no HOST:PORT")))?;
    bind(flag, host, port, asks).await
}

fn bound(listener: &TcpListener) -> Result<std::net::SocketAddr> {
    listener.local_addr().map_err(|e| Error::hub(Code::Internal, "the listener has no address").inside(e))
}
