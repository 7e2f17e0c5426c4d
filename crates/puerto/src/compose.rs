//! Puts the parts together: definitions, store, servers, hub, readers of records. Everything is handed
//! over; no part finds another by itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use puerto_core::def::audit::TEXTS_DAYS;
use puerto_core::def::{HubDef, RetentionDef, ServerDef, TelemetryDef, Transport};
use puerto_core::{Code, Error, Recorder, Result, Secret, ServerName, TenantId, View};
use puerto_mcp::hub::{Build, Hub};
use puerto_mcp::offer::Offer;
use puerto_mcp::upstream::pool::Connector;
use puerto_mcp::upstream::stdio::Program;
use puerto_mcp::upstream::tcp::Address;
use puerto_mcp::upstream::{Over, Reach, Rules};
use puerto_servers::openapi;
use puerto_store::{Scope, Store};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::alerts::Alerts;
use crate::audit::Seal;
use crate::audit::copies::{self, Copies};
use crate::feed::{self, Feed};
use crate::files;
use crate::http::readings;
use crate::record::log::LogWriter;
use crate::record::metrics::{Form, Metrics};
use crate::record::{self, CHANNEL, Readers};
use crate::tasks::Tasks;
use crate::telemetry::{Collector, Points, Service, Spans};
use crate::watch::Watch;

/// The part of our environment that children see; a tenant's and a server's own come on top. Everything
/// else stays here, so that no server sees a credential that was meant for another.
const INHERITED: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "PATH",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// Largest answer of an HTTP API where its server says nothing: a model reads no more, and tables of data fit.
const RESPONSE_MAX: u32 = 1024 * 1024;

/// Setting a timer wakes the thread that waits for the network, unless an earlier one is set. One is always
/// set for so soon that the limits of calls never do: measured, that was a wake-up for every call.
const TICK: Duration = Duration::from_secs(1);

/// How often what is too old or too much is deleted.
const TRIM: Duration = Duration::from_secs(60);

/// A hub that works, with what it needs.
pub(crate) struct Works {
    /// The hub.
    pub(crate) hub: Arc<Hub>,
    /// Its metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Its data.
    pub(crate) store: Store,
    /// What signs for the audit trail.
    pub(crate) seal: Arc<Seal>,
    /// Services, and how they are.
    pub(crate) watch: Arc<Watch>,
    /// What is wrong, and who is told of it.
    pub(crate) alerts: Arc<Alerts>,
    /// Where parts of it tell what they notice.
    pub(crate) feed: Feed,
    /// Task lists that run in the background.
    pub(crate) tasks: Arc<Tasks>,
    /// Ends when every record has been read.
    reader: oneshot::Receiver<()>,
    /// Ends when everything that was told is kept.
    keeping: JoinHandle<()>,
    /// Ends when every span was sent, where any are.
    sending: Option<JoinHandle<()>>,
    /// What sends checkpoints elsewhere.
    copies: Copies,
    /// What sends metrics, where any are sent.
    points: Option<Arc<Points>>,
    /// What goes on in the background until the stop.
    going: JoinSet<()>,
}

/// Builds a hub from definitions and starts its servers.
pub(crate) async fn start(def: &HubDef, env: &dyn Fn(&str) -> Option<String>) -> Result<Works> {
    let url = def.store.url.reveal().to_owned();
    let store =
        tokio::task::spawn_blocking(move || Store::open(&url, Path::new("."))).await.map_err(gone)??;
    ready_texts(&store, def).await?;
    let catalogs = store.catalogs_load(&Scope::all()).await?;
    let cursor_key = store.secret_get_or_create("cursor").await?;
    let (recorder, records) = Recorder::new(CHANNEL);
    let metrics = Metrics::new();
    let log = LogWriter::new(def.logging.level, def.logging.format);
    let connector = Connector::new();
    let collector = collector(&def.telemetry, &connector)?;
    let (spans, sending) =
        collector.as_ref().map(|to| Spans::start(to, metrics.spans())).transpose()?.unzip();
    let every = def.telemetry.metrics_interval.get();
    let points =
        collector.filter(|_| def.telemetry.metrics).map(|to| Points::new(&to, every, metrics.points()));
    let points = points.transpose()?.map(Arc::new);
    let recorder = recorder.with_spans(spans.is_some());
    let keeping = recorder.keeping();
    let readers = Readers { metrics: metrics.clone(), log, store: store.clone(), keeping, spans };
    let reader = record::read(records, readers).map_err(|cause| {
        Error::hub(Code::Internal, "could not start the thread that reads records").inside(cause)
    })?;
    let remembered = catalogs.into_iter().filter_map(|kept| {
        let offer = Offer::from_json(&kept.document.into())?;
        Some((kept.tenant, kept.server, offer))
    });
    let inherited =
        INHERITED.iter().filter_map(|name| Some((OsString::from(name), OsString::from(env(name)?))));
    let rules = Rules {
        auto_start: def.orchestrator.auto_start,
        max_retries: def.orchestrator.max_retries,
        startup: Duration::from_secs(def.orchestrator.startup_timeout),
        idle: Duration::from_secs(def.orchestrator.idle_timeout),
        message_max: def.gateway.max_body_bytes,
        connector,
        inherited: inherited.collect(),
    };
    let hub = Hub::start(Build {
        def,
        view: View::new(def.tenants.clone()),
        rules,
        reach: &reach_of(def),
        remembered: remembered.collect(),
        save: saver(store.clone()),
        recorder,
        cursor_key,
    });
    let (feed, keeping) = Feed::start(store.clone());
    // Before anything is told: alerts are about all that comes from here on.
    let alerts = Alerts::new(&def.alerts, store.clone(), feed.clone(), metrics.clone()).await?;
    let mut going = JoinSet::new();
    going.spawn(tick());
    going.spawn(feed::watch_servers(hub.clone(), feed.clone()));
    let seal = Seal::new(store.clone(), &def.audit).await?;
    let (copies, news) = Copies::start(&def.audit.copies, &seal, &metrics)?;
    going.spawn(copies::tell(news, hub.clone(), feed.clone()));
    going.spawn(seal.clone().keep());
    let watch = Watch::new(hub.clone(), store.clone(), feed.clone(), alerts.clone(), def)?;
    watch.refresh().await?;
    going.spawn(watch.checks.clone().run());
    going.spawn(watch.clone().keep());
    going.spawn(trim(hub.clone(), store.clone(), def.store.retention.clone()));
    let tasks = Tasks::new(hub.clone(), store.clone(), feed.clone(), def.tasks.clone())?;
    if let Some(points) = points.clone() {
        let (hub, metrics, store) = (hub.clone(), metrics.clone(), store.clone());
        let (seal, watch, alerts) = (seal.clone(), watch.clone(), alerts.clone());
        let scrape = async move || {
            metrics.render(&hub, &store, &readings(&store, &watch, &seal, &alerts).await, Form::Text)
        };
        going.spawn(async move { points.keep(scrape).await });
    }
    Ok(Works {
        hub,
        metrics,
        store,
        seal,
        watch,
        alerts,
        feed,
        tasks,
        reader,
        keeping,
        sending,
        points,
        copies,
        going,
    })
}

/// Looks for the key of arguments and results now, where a tenant keeps them: later it could only be told that they are lost.
async fn ready_texts(store: &Store, def: &HubDef) -> Result<()> {
    if let Some(key) = &def.audit.texts_key {
        store.audit_texts_key(key)?;
    }
    if def.tenants.values().any(|tenant| tenant.audit.texts) {
        let store = store.clone();
        tokio::task::spawn_blocking(move || store.audit_texts_ready()).await.map_err(gone)??;
    }
    Ok(())
}

async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

/// Deletes what is older or more than is to be kept.
async fn trim(hub: Arc<Hub>, store: Store, keep: RetentionDef) {
    loop {
        if let Err(error) = store.events_trim(&keep.events).await {
            tracing::warn!(%error, "could not delete old events");
        }
        if let Err(error) = store.checks_trim().await {
            tracing::warn!(%error, "could not delete old sums of checks");
        }
        if let Err(error) = store.tasks_trim().await {
            tracing::warn!(%error, "could not delete old tasks");
        }
        let days = |(id, tenant): (&TenantId, &Arc<puerto_mcp::tenant::Tenant>)| {
            (id.clone(), tenant.view.def.audit.texts_days)
        };
        let days = hub.tenants().iter().map(days).collect();
        if let Err(error) = store.audit_texts_trim(days, TEXTS_DAYS).await {
            tracing::warn!(%error, "could not erase old arguments and results");
        }
        tokio::time::sleep(TRIM).await;
    }
}

impl Works {
    /// Stops the hub and its servers, and keeps what was recorded.
    pub(crate) async fn stop(mut self) {
        self.going.shutdown().await;
        if self.points.is_some() {
            // Counts go on until all is recorded; what is a state can be asked for no longer then.
            let read = readings(&self.store, &self.watch, &self.seal, &self.alerts);
            if let Ok(read) = tokio::time::timeout(Duration::from_secs(2), read).await {
                self.metrics.read(&self.hub, &self.store, &read);
            }
        }
        self.watch.flush().await;
        self.hub.stop().await;
        drop((self.hub, self.watch, self.alerts, self.feed, self.tasks));
        let _ = tokio::time::timeout(Duration::from_secs(2), self.keeping).await;
        // The reader ends when the last sender is gone; a connection that outlived the drain limit may hold one.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.reader).await;
        let told = async {
            if let Some(sending) = self.sending {
                let _ = sending.await;
            }
            if let Some(points) = self.points {
                points.send(&self.metrics.rest(Form::Text)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), told).await;
        // Whatever was done until now is signed for.
        let sealed = async { self.store.flush().await.is_ok() && self.seal.now().await.is_ok() };
        let _ = tokio::time::timeout(Duration::from_secs(2), sealed).await;
        // Longer than it takes where a receiver is well; one that is not gets it at the next start.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.copies.finish()).await;
        drop(self.seal);
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store could not be closed well");
        }
    }
}

/// Keeps offers in the background; the hub goes on meanwhile.
fn saver(store: Store) -> puerto_mcp::tenant::Save {
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |tenant, server, offer| {
        let (store, tenant, server, document) =
            (store.clone(), tenant.clone(), server.clone(), offer.to_json());
        runtime.spawn(async move {
            if let Err(error) = store.catalog_save(&tenant, &server, &document).await {
                tracing::warn!(%tenant, %server, %error, "could not keep the catalog for the next start");
            }
        });
    })
}

/// How each server of a configuration is reached.
pub(crate) fn reach_of(def: &HubDef) -> impl Fn(&TenantId, &ServerName) -> Result<Reach, String> + '_ {
    |tenant, name| {
        let tenant = def.tenants.get(tenant).ok_or("the tenant is not defined")?;
        reach(tenant.servers.get(name).ok_or("the server is not defined")?, tenant)
    }
}

/// How a server is reached, from its definition.
fn reach(def: &ServerDef, tenant: &puerto_core::def::TenantDef) -> Result<Reach, String> {
    match def.transport() {
        Some(Transport::Stdio) => {
            let env = tenant.env.iter().map(|(name, value)| (name.into(), value.reveal().into())).collect();
            let command = def.command.clone().ok_or("\"command\" is missing")?;
            let (args, cwd, limits) = (def.args.clone(), def.cwd.clone(), def.limits);
            let open_files = files::before();
            Ok(Reach::Stdio(Program { command, args, cwd, env, limits, open_files }))
        }
        Some(transport @ (Transport::Http | Transport::Sse | Transport::Websocket)) => {
            let over = match (transport, def.transport) {
                (Transport::Sse, _) => Over::Sse,
                (Transport::Websocket, _) => Over::WebSocket,
                (_, Some(_)) => Over::Streamable,
                (_, None) => Over::Either,
            };
            Ok(Reach::Http { uri: address(def)?, headers: headers(&def.headers)?, over })
        }
        Some(Transport::Tcp) => {
            let uri = address(def)?;
            let (host, port) = uri.host().zip(uri.port_u16()).ok_or("the address has no port")?;
            let host = host.trim_matches(['[', ']']).to_owned();
            // An empty one is what "${NAME:-}" leaves of a variable that is not set.
            let token = def.token.clone().filter(|token| !token.reveal().is_empty());
            Ok(Reach::Tcp(Address { host, port, token }))
        }
        Some(Transport::Builtin) => {
            let name = def.builtin.ok_or("\"builtin\" is missing")?;
            let options = def.options.clone();
            Ok(Reach::Builtin(Box::new(move |_| {
                let opened = puerto_servers::open(name, &options, Path::new(".")).map_err(|e| e.to_string());
                Box::pin(std::future::ready(opened))
            })))
        }
        Some(Transport::Openapi) => {
            let settings = api(def)?;
            Ok(Reach::Builtin(Box::new(move |rules| {
                let mut settings = settings.clone();
                settings.response_max = settings.response_max.min(rules.message_max);
                Box::pin(openapi::open(settings, rules.connector.clone()))
            })))
        }
        None => Err("give one of \"command\", \"url\", \"builtin\" and \"file\"".into()),
    }
}

/// What a definition says of an HTTP API.
pub(crate) fn api(def: &ServerDef) -> Result<openapi::Settings, String> {
    let source = match &def.file {
        Some(file) => openapi::Source::File(file.into()),
        None => openapi::Source::Url(address(def)?),
    };
    Ok(openapi::Settings {
        source,
        base_url: def.base_url.clone(),
        operations: def.operations.clone(),
        headers: def.headers.clone(),
        auth: def.auth.clone(),
        pages: def.pages.unwrap_or(1),
        response_max: def.max_response_bytes.unwrap_or(RESPONSE_MAX) as usize,
    })
}

fn address(def: &ServerDef) -> Result<Uri, String> {
    let url = def.url.as_deref().ok_or("\"url\" is missing")?;
    url.parse().map_err(|e| format!("{url:?} is no URL: {e}"))
}

/// Where spans and metrics are sent, where they are.
fn collector(def: &TelemetryDef, connector: &Connector) -> Result<Option<Collector>> {
    let Some(address) = &def.otlp else { return Ok(None) };
    let wrong = |why: String| Error::caller(Code::BadRequest, format!("telemetry: {why}"));
    let address = address.parse().map_err(|e| wrong(format!("{address:?} is no URL: {e}")))?;
    let headers = headers(&def.headers).map_err(wrong)?;
    let service = Service { name: def.service_name.clone(), instance: format!("{:016x}", fastrand::u64(..)) };
    Ok(Some(Collector::new(address, headers, service, connector.clone())))
}

fn headers(given: &BTreeMap<String, Secret>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|e| format!("header {name:?}: {e}"))?;
        let mut value = HeaderValue::from_str(value.reveal())
            .map_err(|_| format!("the value of header {name:?} cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

fn gone(cause: tokio::task::JoinError) -> Error {
    Error::hub(Code::Internal, "a task of Puerto broke").inside(cause)
}

/// A configuration with one tenant and one server, for a built-in server on its own.
pub(crate) fn single(name: &str, server: ServerDef) -> HubDef {
    let mut def: HubDef = serde_json::from_str(
        r#"{"tenants":{"default":{}},"store":{"url":"sqlite::memory:"},"alerts":{"builtin":false}}"#,
    )
    .expect("a constant configuration is valid");
    if let (Some(tenant), Ok(name)) = (def.tenants.get_mut(&TenantId::default()), ServerName::new(name)) {
        tenant.servers.insert(name, server);
    }
    def
}
