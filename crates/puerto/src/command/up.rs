//! `puerto up`: start everything, say where it is, serve until told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use puerto_core::def::{GatewayDef, HubDef, WatchDef};
use puerto_core::{Code, Error, Result, Severity};
use puerto_mcp::hub::Hub;
use puerto_mcp::offer::ListKind;
use puerto_mcp::upstream::State;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{failed, start_logging};
use crate::alerts::Readers;
use crate::cli::ConfigArg;
use crate::compose::{self, Works};
use crate::config::Origin;
use crate::http::guard::Guard;
use crate::http::rest::{self, Api};
use crate::http::{Apps, Edge, serve};
use crate::out;
use crate::reload::Reload;

/// How long the table waits for servers, so that it can show most of them as they are. Those that take
/// longer are shown as starting.
const TABLE_WAIT: Duration = Duration::from_millis(1500);

/// Runs the command.
pub(crate) async fn run(given: &ConfigArg, port: Option<u16>) -> ExitCode {
    let (mut def, source, origin) = match super::load_origin(given) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if let Some(port) = port {
        def.gateway.port = port;
    }
    start_logging(&def.logging);
    match up(&def, &source, origin, port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn up(def: &HubDef, source: &str, origin: Origin, port: Option<u16>) -> Result<()> {
    let began = Instant::now();
    let mut told = Stop::heard()?;
    // The address first: a second hub on the same port must fail before it starts any server.
    let listeners = listen(&def.gateway, &def.watch).await?;
    let address = listeners[0]
        .local_addr()
        .map_err(|e| Error::hub(Code::Internal, "the listener has no address").inside(e))?;
    let works = compose::start(def, &super::env).await?;
    let stop = CancellationToken::new();
    let reload = match origin {
        Origin::File(file) => Some(Reload::new(&works, file, port, def.clone())),
        Origin::Builtin => None,
    };
    let version = json!({"version": env!("CARGO_PKG_VERSION"), "address": address.to_string()});
    works.feed.tell_all(&works.hub, "hub.started", Severity::Info, &version);
    let watching = reload.clone().map(|reload| tokio::spawn(reload.follow(stop.clone())));
    let serving = tokio::spawn(serve(
        edge(&works, def, began, reload).await,
        listeners,
        stop.clone(),
        Duration::from_secs(def.gateway.drain_timeout),
    ));
    settle(&works.hub).await;
    out::line(table(&works.hub, def, source, address));
    told.told().await;
    out::error_line("stopping: calls in flight may finish");
    works.hub.draining.cancel();
    stop.cancel();
    let _ = serving.await;
    if let Some(watching) = watching {
        let _ = watching.await;
    }
    works.feed.tell_all(&works.hub, "hub.stopped", Severity::Info, &version);
    works.stop().await;
    Ok(())
}

/// The listener's side of a hub, and of the configuration that it can take over.
pub(crate) async fn edge(
    works: &Works,
    def: &HubDef,
    began: Instant,
    reload: Option<Arc<Reload>>,
) -> Arc<Edge> {
    let (hub, metrics, store) = (works.hub.clone(), works.metrics.clone(), works.store.clone());
    let apps = Apps::new(&def.apps.dir);
    // Only a hub that listens runs what waits: commands that end soon leave it alone.
    works.hub.spawn(works.tasks.clone().work());
    works.hub.spawn(works.tasks.clone().keep_time());
    let readers = Readers { hub: hub.clone(), watch: works.watch.clone(), seal: works.seal.clone() };
    works.alerts.begin().await;
    works.hub.spawn(works.alerts.clone().run(readers));
    let api = Api {
        hub,
        metrics,
        store,
        began,
        apps: apps.clone(),
        reload,
        bounds: Arc::default(),
        seal: works.seal.clone(),
        watch: works.watch.clone(),
        alerts: works.alerts.clone(),
        feed: works.feed.clone(),
        tasks: works.tasks.clone(),
        status_pages: Arc::default(),
    };
    Arc::new(Edge {
        hub: works.hub.clone(),
        rest: rest::router(api, def.gateway.max_body_bytes),
        apps,
        guard: Guard { origins: def.gateway.allowed_origins.clone() },
    })
}

/// Binds every port of the gateway, and that of the watch. Without credentials only loopback is served.
pub(crate) async fn listen(gateway: &GatewayDef, watch: &WatchDef) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let ports = [Some(gateway.port), gateway.mcp_port, gateway.websocket_port, watch.port];
    for port in ports.into_iter().flatten() {
        listeners.push(bind("gateway.host", &gateway.host, port, false).await?);
    }
    Ok(listeners)
}

/// Binds an address of this machine that a setting names. Where nobody is asked for credentials it must be a
/// loopback one.
pub(crate) async fn bind(setting: &str, host: &str, port: u16, asks: bool) -> Result<TcpListener> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| {
            Error::caller(Code::InvalidConfig, format!("{setting} {host:?} is no address of this machine"))
                .inside(e)
        })?
        .collect();
    if found.is_empty() || found.iter().any(|address| !address.ip().is_loopback()) && !asks {
        let token = if setting == "--listen" { "ask for a token with --token-env, or " } else { "" };
        let text = format!(
            "{host} is not a loopback address, and without credentials only loopback is served; {token}\
             set {setting} to 127.0.0.1 and reach it from elsewhere through an SSH tunnel or a reverse proxy that asks for credentials"
        );
        return Err(Error::caller(Code::InvalidConfig, text));
    }
    TcpListener::bind(&found[..]).await.map_err(|cause| {
        let other = match setting {
            "gateway.host" => "is another hub running? --port 0 takes a free port",
            _ => "does something else listen there? Port 0 takes a free one",
        };
        let text = format!("could not listen on {host}:{port}; {other}");
        Error::caller(Code::Conflict, text).inside(cause)
    })
}

async fn settle(hub: &Hub) {
    let deadline = Instant::now() + TABLE_WAIT;
    let tenants = hub.tenants();
    let all = tenants.values().flat_map(|tenant| tenant.upstreams.values());
    let coming =
        all.filter(|up| matches!(up.state(), State::Starting | State::Idle)).map(|up| up.settled(deadline));
    futures_util::future::join_all(coming).await;
}

fn table(hub: &Hub, def: &HubDef, source: &str, address: SocketAddr) -> String {
    let mut lines = vec![
        format!("puerto {} on http://{address}  (configuration: {source})", env!("CARGO_PKG_VERSION")),
        String::new(),
        format!("  {:<14} {:<20} {:<12} {:>5}", "TENANT", "SERVER", "STATE", "TOOLS"),
    ];
    for (id, tenant) in &*hub.tenants() {
        for (name, upstream) in &tenant.upstreams {
            let tools = upstream.offer().map_or(0, |offer| offer.list(ListKind::Tools).len());
            let state = upstream.state();
            let why = state
                .why()
                .map(|why| format!("  {}", why.lines().next().unwrap_or_default()))
                .unwrap_or_default();
            lines.push(format!(
                "  {:<14} {:<20} {:<12} {tools:>5}{why}",
                id.as_str(),
                name.as_str(),
                state.name()
            ));
        }
    }
    let tenant = if def.tenants.contains_key("default") { String::new() } else { "/{tenant}".into() };
    lines.push(String::new());
    lines.push(format!("  connect a client: http://{address}/mcp{tenant}"));
    lines.push(format!("    claude mcp add --transport http puerto http://{address}/mcp{tenant}"));
    lines.push("    or as a command: puerto stdio".into());
    lines.push("  stop with Ctrl-C".into());
    lines.join("\n")
}

/// Ctrl-C or SIGTERM, heard from the moment that this is made.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Begins to hear. Until then a signal ends the process at once, with nothing drained.
    pub(crate) fn heard() -> Result<Self> {
        let hear = |kind| {
            signal(kind).map_err(|e| Error::hub(Code::Internal, "could not listen for signals").inside(e))
        };
        Ok(Self { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())? })
    }

    /// Waits to be told.
    pub(crate) async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
