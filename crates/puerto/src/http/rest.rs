//! Hub REST: every route in one table, every handler unpacks, calls one operation and wraps the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{FromRequestParts, Path, Query, State as Shared};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::HeaderMap;
use http::header::ACCEPT;
use jiff::Timestamp;
use puerto_core::record::Kind;
use puerto_core::trace::span_of;
use puerto_core::{Action, Code, Ctx, Error, ServerName, TenantId};
use puerto_mcp::hub::Hub;
use puerto_mcp::offer::ListKind;
use puerto_mcp::tenant::Tenant;
use puerto_mcp::upstream::{LogLine, State, Upstream};
use puerto_store::{AuditFilter, Phase, Scope, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::apps::{self, Apps};
use super::events::{self, Bounds};
use super::problem::Refused;
use super::status_page::{self, StatusPages};
use super::{alerts, archive, audit, context, metrics, services, tasks, texts, tools};
use crate::alerts::Alerts;
use crate::audit::Seal;
use crate::feed::Feed;
use crate::record::metrics::Metrics;
use crate::reload::{Changes, Reload};
use crate::tasks::Tasks;
use crate::usage::Processes;
use crate::watch::Watch;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    /// The hub.
    pub(crate) hub: Arc<Hub>,
    /// Metrics, to be read out.
    pub(crate) metrics: Arc<Metrics>,
    /// Records, to be read.
    pub(crate) store: Store,
    /// When this process began.
    pub(crate) began: Instant,
    /// Apps, as they lie in their folders.
    pub(crate) apps: Arc<Apps>,
    /// The configuration, where it is a file that can change.
    pub(crate) reload: Option<Arc<Reload>>,
    /// What bounds reports of events and streams of them.
    pub(crate) bounds: Arc<Bounds>,
    /// What signs for the audit trail.
    pub(crate) seal: Arc<Seal>,
    /// Services, and how they are.
    pub(crate) watch: Arc<Watch>,
    /// What is wrong, and who is told of it.
    pub(crate) alerts: Arc<Alerts>,
    /// Where it is told what happens.
    pub(crate) feed: Feed,
    /// Task lists that run in the background.
    pub(crate) tasks: Arc<Tasks>,
    /// Pages for everyone, as they were put together last.
    pub(crate) status_pages: Arc<StatusPages>,
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;

/// Longest wait of `start` and `restart`.
pub(super) const START_LIMIT: Duration = Duration::from_secs(60);
/// Lines of a log that one request may ask for.
const LINES_MAX: usize = 500;

/// Every route but MCP.
pub(crate) fn router(api: Api, body_max: usize) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/health", get(health))
        .route("/api/tenants", get(tenants))
        .route("/api/tenants/{tenant}", get(tenant))
        .route("/api/tenants/{tenant}/tools", get(tools::of_tenant))
        .route("/api/tenants/{tenant}/start", post(tenant_start))
        .route("/api/tenants/{tenant}/stop", post(tenant_stop))
        .route("/api/servers", get(servers))
        .route("/api/servers/{tenant}/{server}", get(server))
        .route("/api/servers/{tenant}/{server}/start", post(server_start))
        .route("/api/servers/{tenant}/{server}/stop", post(server_stop))
        .route("/api/servers/{tenant}/{server}/restart", post(server_restart))
        .route("/api/servers/{tenant}/{server}/logs", get(server_logs))
        .route("/api/tools", get(tools::all))
        .route("/api/tools/{name}", post(tools::call))
        .route("/api/tools/{name}/call", post(tools::call))
        .route("/api/apps", get(apps::list))
        .route("/api/apps/{app}", get(apps::read))
        .route("/apps/{app}", get(apps::page))
        .route("/apps/{app}/", get(apps::page))
        .route("/apps/{app}/{*path}", get(apps::file))
        .route("/api/gateway/status", get(apps::gateway))
        .route("/api/records", get(records))
        .route("/check-services", get(services::round))
        .route("/api/services", get(services::list).post(services::create))
        .route(
            "/api/services/{tenant}/{service}",
            get(services::read).put(services::replace).delete(services::remove),
        )
        .route("/api/services/{tenant}/{service}/check", post(services::check))
        .route("/api/services/{tenant}/{service}/push", get(services::push).post(services::push))
        .route("/status/{tenant}", get(status_page::page))
        .route("/status/{tenant}/{service}/health.svg", get(status_page::health))
        .route("/status/{tenant}/{service}/uptime.svg", get(status_page::uptime))
        .route("/status/{tenant}/{service}/response.svg", get(status_page::response))
        .route("/events", get(events::list).post(events::report))
        .route("/events/stream", get(events::follow))
        .route("/audit", get(audit::list).post(audit::report))
        .route("/audit/verify", get(audit::verify))
        .route("/audit/prove/{seq}", get(audit::prove))
        .route("/audit/export", get(audit::export))
        .route("/audit/erase", post(texts::erase))
        .route("/audit/{seq}", get(texts::show))
        .route("/register", post(context::register))
        .route("/context", get(context::read))
        .route("/clear", post(context::clear))
        .route("/export", get(archive::export))
        .route("/import", post(archive::import))
        .route("/tasks", get(tasks::list).post(tasks::create))
        .route("/tasks/{id}", get(tasks::read))
        .route("/tasks/{id}/cancel", post(tasks::cancel))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}", get(alerts::read))
        .route("/alerts/{id}/ack", post(alerts::acknowledge))
        .route("/alerts/silences", get(alerts::silences).post(alerts::silence))
        .route("/alerts/silences/{id}", delete(alerts::expire))
        .route("/alerts/test", post(alerts::test))
        .route("/alerts/notifications", get(alerts::notifications))
        .route("/alerts/notifications/{key}/retry", post(alerts::again))
        .route("/api/v2/alerts", post(alerts::receive))
        .route("/api/reload", post(reload))
        .route("/metrics", get(metrics::numbers))
        .route("/metrics/prometheus", get(metrics::scrape))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::extract::DefaultBodyLimit::max(body_max))
        .with_state(api)
}

/// `GET /` for programs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct About {
    name: &'static str,
    version: &'static str,
    status: &'static str,
    description: &'static str,
}

/// `GET /health`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `healthy`, or `degraded` where a server that should serve does not.
    status: &'static str,
    /// Each part and how it is.
    components: BTreeMap<&'static str, Component>,
    /// Seconds since the start.
    uptime_s: u64,
}

/// A part of the hub.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Component {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `GET /api/tenants`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tenants {
    /// Status by id.
    tenants: BTreeMap<String, &'static str>,
    total: usize,
}

/// `GET /api/tenants/{tenant}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TenantView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    status: &'static str,
    /// Status by server name.
    servers: BTreeMap<String, &'static str>,
    /// Tools that its servers offer together.
    tools: usize,
    quotas: puerto_core::def::QuotasDef,
    /// Calls that run now, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<usize>,
    /// What was changed, left out or found wrong in what its servers offer.
    notices: Vec<String>,
}

/// `GET /api/servers`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Servers {
    /// Status by `tenant:name`.
    servers: BTreeMap<String, &'static str>,
    total: usize,
}

/// `GET /api/servers/{tenant}/{server}`. Environment and headers may hold secrets and are not shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServerView {
    tenant: String,
    name: String,
    status: &'static str,
    /// Why it does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Seconds until the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_s: Option<f64>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    /// The prefix of its names on the MCP wire.
    alias: String,
    /// The revision spoken with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// Those that serve one session each (`sharing: per_session`).
    instances: Vec<InstanceView>,
    /// Memory in use by its process and what that has started, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// Processor time that they have taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_s: Option<f64>,
    restarts: u32,
    tools: usize,
    resources: usize,
    prompts: usize,
    /// Whether the lists are from an earlier run and not confirmed yet.
    stale: bool,
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// One that serves one session.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InstanceView {
    /// The session's number, which is not its id: that is known to its client alone.
    session: u64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_s: Option<f64>,
    restarts: u32,
}

/// `GET /api/servers/{tenant}/{server}/logs`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Logs {
    #[schemars(with = "Vec<serde_json::Value>")]
    lines: Vec<LogLine>,
    total: usize,
}

/// The answer of start, stop and restart.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    pub(super) status: &'static str,
}

/// A query string; one that does not fit is a problem like any other mistake.
pub(super) struct Asked<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Refused> {
        let text = |e: &dyn std::fmt::Display| format!("the query string does not fit: {e}");
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|e| Error::caller(Code::BadRequest, text(&e)).into())
    }
}

/// The tenant that is worked in.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantQuery {
    pub(super) tenant: Option<String>,
}

/// A point in time of a query string, in microseconds since 1970.
pub(super) fn instant(name: &str, text: &str) -> Result<i64, Error> {
    let given = text.parse::<i64>().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let found = given.or_else(|| text.parse().ok()).map(Timestamp::as_microsecond);
    found.ok_or_else(|| {
        let text = format!("the query string does not fit: {name}: use RFC 3339, or milliseconds since 1970");
        Error::caller(Code::BadRequest, text)
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    lines: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsQuery {
    tenant: Option<String>,
    server: Option<String>,
    limit: Option<u32>,
    before: Option<i64>,
}

/// `GET /api/records`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Records {
    /// Newest first.
    #[schemars(with = "Vec<serde_json::Value>")]
    records: Vec<Operation>,
    /// Where older ones begin: the `before` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// An operation, as its audit record tells of it.
#[derive(Debug, Serialize, Deserialize)]
struct Operation {
    #[serde(rename(deserialize = "seq", serialize = "id"))]
    id: i64,
    at_us: i64,
    request: String,
    trace: String,
    /// Older records name it; see [`span_of`].
    #[serde(default)]
    span: String,
    #[serde(rename(deserialize = "action", serialize = "kind"))]
    kind: String,
    tenant: String,
    #[serde(rename(deserialize = "actor", serialize = "caller"))]
    caller: String,
    client: Option<String>,
    protocol: Option<String>,
    server: Option<String>,
    object: Option<String>,
    outcome: String,
    origin: Option<String>,
    duration_us: i64,
    bytes_in: i64,
    bytes_out: i64,
    detail: Option<String>,
}

impl Api {
    pub(super) fn find(&self, tenant: &str) -> Result<(Arc<Tenant>, Ctx), Error> {
        let tenant = self.hub.tenant(tenant)?.clone();
        let ctx = self.hub.ctx(&tenant, START_LIMIT);
        ctx.require(Action::Read, &tenant.view.id)?;
        Ok((tenant, ctx))
    }

    /// A tenant, or where none is named the one that a caller who names none works in.
    pub(super) fn find_or_default(&self, tenant: Option<&str>) -> Result<(Arc<Tenant>, Ctx), Error> {
        self.find(tenant.unwrap_or(TenantId::default().as_str()))
    }

    /// A tenant, or where none is named every one that the caller may see. A reading of all has the record at the first.
    pub(super) fn scope(&self, tenant: Option<&str>) -> Result<(Scope, Option<Ctx>), Error> {
        if let Some(tenant) = tenant {
            let (tenant, ctx) = self.find(tenant)?;
            return Ok((Scope::tenant(tenant.view.id.clone()), Some(ctx)));
        }
        Ok((Scope::all(), self.everywhere(Action::Read)?))
    }

    /// The same for whoever changes all data of a tenant, or of every one.
    pub(super) fn managed(&self, tenant: Option<&str>) -> Result<(Scope, Option<Ctx>), Error> {
        let Some(tenant) = tenant else { return Ok((Scope::all(), self.everywhere(Action::Manage)?)) };
        let (tenant, ctx) = self.find(tenant)?;
        ctx.require(Action::Manage, &tenant.view.id)?;
        Ok((Scope::tenant(tenant.view.id.clone()), Some(ctx)))
    }

    /// Something that concerns every tenant: whoever asks must be allowed to in each.
    pub(super) fn everywhere(&self, action: Action) -> Result<Option<Ctx>, Error> {
        let tenants = self.hub.tenants();
        for tenant in tenants.values() {
            self.hub.ctx(tenant, START_LIMIT).require(action, &tenant.view.id)?;
        }
        Ok(tenants.values().next().map(|tenant| self.hub.ctx(tenant, START_LIMIT)))
    }

    /// A reading of all tenants, recorded at the first.
    pub(super) async fn read_everywhere<T>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.everywhere(Action::Read)? {
            Some(ctx) => ctx.run(Kind::Control(name), work).await,
            None => work.await,
        }
    }

    fn find_server(&self, tenant: &str, server: &str) -> Result<(Arc<Tenant>, Arc<Upstream>, Ctx), Error> {
        let (tenant, ctx) = self.find(tenant)?;
        let name = ServerName::new(server).map_err(|_| Error::not_found("server", server))?;
        let upstream = tenant.upstream(&name)?.clone();
        Ok((tenant, upstream, ctx))
    }
}

async fn root(headers: HeaderMap) -> Response {
    let wants_page =
        headers.get(ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    if wants_page {
        return Html(include_str!("root.html")).into_response();
    }
    Json(About {
        name: "puerto",
        version: env!("CARGO_PKG_VERSION"),
        status: "running",
        description: "one port between AI agents and everything they use",
    })
    .into_response()
}

async fn health(Shared(api): Shared<Api>) -> Json<Health> {
    let mut components = BTreeMap::new();
    let down: Vec<_> = api
        .hub
        .tenants()
        .values()
        .flat_map(|tenant| tenant.upstreams.values())
        .filter(|up| up.state().why().is_some())
        .map(|up| format!("{}:{} ({})", up.tenant, up.name, up.state().name()))
        .collect();
    let well = down.is_empty();
    let detail = (!well).then(|| format!("not serving: {}", down.join(", ")));
    components.insert("servers", Component { status: if well { "healthy" } else { "degraded" }, detail });
    let lost = api.store.lost() + api.hub.records_lost();
    let detail = match (api.store.is_failing(), lost) {
        (true, _) => Some("what was to be kept last could not be written; the log says why".to_owned()),
        (false, 0) => None,
        (false, lost) => Some(format!("{lost} records were not kept since the start")),
    };
    let status = if detail.is_none() { "healthy" } else { "degraded" };
    components.insert("store", Component { status, detail });
    let sessions = format!("{} sessions open", api.hub.sessions.count());
    components.insert("gateway", Component { status: "healthy", detail: Some(sessions) });
    let fault = api.reload.as_ref().and_then(|reload| reload.fault());
    let status = if fault.is_none() { "healthy" } else { "degraded" };
    let detail = fault.map(|fault| format!("the last good one is in use: {fault}"));
    components.insert("configuration", Component { status, detail });
    let healthy = components.values().all(|c| c.status == "healthy");
    Json(Health {
        status: if healthy { "healthy" } else { "degraded" },
        components,
        uptime_s: api.began.elapsed().as_secs(),
    })
}

/// How a tenant is: as its servers are, the worst first.
fn tenant_status(tenant: &Tenant) -> &'static str {
    let states: Vec<_> =
        tenant.upstreams.values().map(|up| up.state()).filter(|s| *s != State::Disabled).collect();
    let any = |name: &str| states.iter().any(|s| s.name() == name);
    match () {
        () if any("failed") || any("backing_off") => "degraded",
        () if any("starting") => "starting",
        () if !states.is_empty() && states.iter().all(|s| *s == State::Stopped) => "stopped",
        () => "running",
    }
}

async fn tenants(Shared(api): Shared<Api>) -> Json<Tenants> {
    let tenants: BTreeMap<_, _> =
        api.hub.tenants().iter().map(|(id, t)| (id.to_string(), tenant_status(t))).collect();
    Json(Tenants { total: tenants.len(), tenants })
}

async fn tenant(Shared(api): Shared<Api>, Path(id): Path<String>) -> Answer<TenantView> {
    let (tenant, ctx) = api.find(&id)?;
    let view = ctx.run(Kind::Control("tenant.read"), async { Ok(tenant_view(&tenant)) }).await?;
    Ok(Json(view))
}

fn tenant_view(tenant: &Tenant) -> TenantView {
    let catalog = tenant.keeper.catalog();
    TenantView {
        id: tenant.view.id.to_string(),
        description: tenant.view.def.description.clone(),
        status: tenant_status(tenant),
        servers: tenant.upstreams.values().map(|up| (up.name.to_string(), up.state().name())).collect(),
        tools: catalog.all.list(ListKind::Tools).len(),
        quotas: tenant.view.def.quotas.clone(),
        running: tenant.view.quota.running(),
        notices: catalog.notices.clone(),
    }
}

async fn tenant_start(Shared(api): Shared<Api>, Path(id): Path<String>) -> Answer<Done> {
    let (tenant, ctx) = api.find(&id)?;
    ctx.require(Action::Manage, &tenant.view.id)?;
    let work = async {
        let deadline = Instant::now() + START_LIMIT;
        let enabled = tenant.upstreams.values().filter(|up| up.def.enabled);
        // Each server that does not come up shows why in its own state; the others serve.
        futures_util::future::join_all(enabled.map(|up| up.start(deadline))).await;
        Ok(())
    };
    ctx.run(Kind::Control("tenant.start"), work).await?;
    Ok(Json(Done { status: tenant_status(&tenant) }))
}

async fn tenant_stop(Shared(api): Shared<Api>, Path(id): Path<String>) -> Answer<Done> {
    let (tenant, ctx) = api.find(&id)?;
    ctx.require(Action::Manage, &tenant.view.id)?;
    let work = async {
        futures_util::future::join_all(tenant.upstreams.values().map(|up| up.stop())).await;
        Ok(())
    };
    ctx.run(Kind::Control("tenant.stop"), work).await?;
    Ok(Json(Done { status: tenant_status(&tenant) }))
}

/// How the file is taken over.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadQuery {
    /// Only say what it would do.
    #[serde(default)]
    preview: bool,
}

async fn reload(Shared(api): Shared<Api>, Asked(query): Asked<ReloadQuery>) -> Answer<Changes> {
    let Some(reload) = &api.reload else {
        let text = "this hub was not started from a file, so there is nothing to read again";
        return Err(Error::caller(Code::Conflict, text).into());
    };
    let (action, kind) = match query.preview {
        true => (Action::Read, Kind::Control("configuration.read")),
        false => (Action::Manage, Kind::Control("configuration.reload")),
    };
    let work = async { if query.preview { reload.preview().await } else { reload.take_over().await } };
    let changes = match api.everywhere(action)? {
        Some(ctx) => ctx.run(kind, work).await?,
        None => work.await?,
    };
    Ok(Json(changes))
}

async fn servers(Shared(api): Shared<Api>) -> Json<Servers> {
    let tenants = api.hub.tenants();
    let all = tenants.values().flat_map(|tenant| tenant.upstreams.values());
    let servers: BTreeMap<_, _> =
        all.map(|up| (format!("{}:{}", up.tenant, up.name), up.state().name())).collect();
    Json(Servers { total: servers.len(), servers })
}

async fn server(
    Shared(api): Shared<Api>,
    Path((tenant, name)): Path<(String, String)>,
) -> Answer<ServerView> {
    let (tenant, upstream, ctx) = api.find_server(&tenant, &name)?;
    let view = async {
        let running = Processes::read_aside().await;
        Ok(server_view(&tenant, &upstream, running.as_ref()))
    };
    let view = ctx.run(Kind::Control("server.read"), view).await?;
    Ok(Json(view))
}

fn server_view(tenant: &Tenant, upstream: &Upstream, running: Option<&Processes>) -> ServerView {
    let state = upstream.state();
    let offer = upstream.offer();
    let count = |kind| offer.as_ref().map_or(0, |offer| offer.list(kind).len());
    let used = upstream.pid().and_then(|pid| running?.of(pid));
    ServerView {
        tenant: upstream.tenant.to_string(),
        name: upstream.name.to_string(),
        status: state.name(),
        error: state.why().map(Into::into),
        next_try_s: match &state {
            State::BackingOff { until, .. } | State::Degraded { until, .. } => {
                Some(until.saturating_duration_since(Instant::now()).as_secs_f64())
            }
            _ => None,
        },
        label: upstream.def.label.clone(),
        transport: upstream.def.transport().map(puerto_core::def::Transport::name),
        alias: tenant.keeper.alias(&upstream.name).to_owned(),
        protocol: offer.as_ref().map(|offer| offer.about.revision.text()),
        pid: upstream.pid(),
        instances: upstream
            .instances()
            .iter()
            .map(|(session, own)| instance_view(*session, own, running))
            .collect(),
        memory_bytes: used.map(|used| used.memory),
        cpu_seconds: used.map(|used| used.cpu.as_secs_f64()),
        uptime_s: upstream.uptime().map(|up| up.as_secs_f64()),
        restarts: upstream.restarts(),
        tools: count(ListKind::Tools),
        resources: count(ListKind::Resources),
        prompts: count(ListKind::Prompts),
        stale: offer.is_some() && !upstream.is_confirmed(),
        metadata: upstream.def.metadata.clone(),
    }
}

fn instance_view(session: u64, instance: &Upstream, running: Option<&Processes>) -> InstanceView {
    let state = instance.state();
    let used = instance.pid().and_then(|pid| running?.of(pid));
    InstanceView {
        session,
        status: state.name(),
        error: state.why().map(Into::into),
        pid: instance.pid(),
        memory_bytes: used.map(|used| used.memory),
        cpu_seconds: used.map(|used| used.cpu.as_secs_f64()),
        uptime_s: instance.uptime().map(|up| up.as_secs_f64()),
        restarts: instance.restarts(),
    }
}

async fn server_start(
    Shared(api): Shared<Api>,
    Path((tenant, name)): Path<(String, String)>,
) -> Answer<Done> {
    let (_, upstream, ctx) = api.find_server(&tenant, &name)?;
    ctx.require(Action::Manage, &upstream.tenant)?;
    ctx.run(Kind::Control("server.start"), upstream.start(Instant::now() + START_LIMIT)).await?;
    Ok(Json(Done { status: upstream.state().name() }))
}

async fn server_stop(Shared(api): Shared<Api>, Path((tenant, name)): Path<(String, String)>) -> Answer<Done> {
    let (_, upstream, ctx) = api.find_server(&tenant, &name)?;
    ctx.require(Action::Manage, &upstream.tenant)?;
    let work = async {
        upstream.stop().await;
        Ok(())
    };
    ctx.run(Kind::Control("server.stop"), work).await?;
    Ok(Json(Done { status: upstream.state().name() }))
}

async fn server_restart(
    Shared(api): Shared<Api>,
    Path((tenant, name)): Path<(String, String)>,
) -> Answer<Done> {
    let (_, upstream, ctx) = api.find_server(&tenant, &name)?;
    ctx.require(Action::Manage, &upstream.tenant)?;
    ctx.run(Kind::Control("server.restart"), upstream.restart(Instant::now() + START_LIMIT)).await?;
    Ok(Json(Done { status: upstream.state().name() }))
}

async fn server_logs(
    Shared(api): Shared<Api>,
    Path((tenant, name)): Path<(String, String)>,
    Asked(query): Asked<Lines>,
) -> Answer<Logs> {
    let (_, upstream, ctx) = api.find_server(&tenant, &name)?;
    let count = query.lines.unwrap_or(100).min(LINES_MAX);
    let lines = ctx.run(Kind::Control("server.logs"), async { Ok(upstream.log.last(count)) }).await?;
    Ok(Json(Logs { total: lines.len(), lines }))
}

async fn records(Shared(api): Shared<Api>, Asked(query): Asked<RecordsQuery>) -> Answer<Records> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    let server = query
        .server
        .as_deref()
        .map(|s| ServerName::new(s).map_err(|_| Error::not_found("server", s)))
        .transpose()?;
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let which = AuditFilter {
        server: server.map(|server| server.to_string()),
        phases: vec![Phase::Act, Phase::Result],
        before: query.before,
        limit,
        ..AuditFilter::default()
    };
    let scope = Scope::tenant(tenant.view.id.clone());
    let found = ctx
        .run(Kind::Control("record.list"), async { Ok(api.store.audit_list(&scope, which).await?) })
        .await?;
    let rows = found.iter().filter_map(|row| {
        let mut operation: Operation = serde_json::from_str(row.document.get()).ok()?;
        if operation.span.is_empty() {
            operation.span = span_of(&operation.request);
        }
        Some(operation)
    });
    let next = (found.len() == limit as usize).then(|| found.last().map(|row| row.seq)).flatten();
    Ok(Json(Records { records: rows.collect(), next }))
}

/// What is not there, and what somebody may not know of, are answered alike.
pub(super) fn nothing_at(path: &str) -> Error {
    Error::caller(Code::NotFound, format!("nothing is served at {path}"))
}

async fn nowhere(request: axum::extract::Request) -> Refused {
    nothing_at(request.uri().path()).into()
}

async fn wrong_method(request: axum::extract::Request) -> Refused {
    let text = format!("{} is not served at {}", request.method(), request.uri().path());
    Error::caller(Code::MethodNotAllowed, text).into()
}
