//! Services over HTTP: how each is, a round of checks, the heartbeats of those that report by themselves, and definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use puerto_core::record::{Kind, Outcome as Ended};
use puerto_core::{Action, Code, Ctx, Error, Result, ServiceName, Severity, TenantId};
use puerto_store::Saved;
use puerto_watch::check::{Key, Outcome, View, shown_url};
use puerto_watch::health::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::problem::Refused;
use super::rest::{Answer, Api, Asked, Done, TenantQuery};
use crate::config::Given;
use crate::watch::{Ignored, Source, Uptime, given, key, unfit};

/// A round of checks answers with what is at most so old.
const FRESH: Duration = Duration::from_secs(10);
/// Longest word of a service that reports by itself, in bytes.
const MESSAGE_LEN_MAX: usize = 1_024;

/// `GET /check-services`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Round {
    healthy: usize,
    unhealthy: usize,
    total: usize,
    services: Vec<RoundService>,
}

/// A service in a round.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoundService {
    name: String,
    tenant: String,
    url: String,
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// `ok`, `pending`, `down`, `flapping`, `unknown` or `maintenance`.
    state: &'static str,
    /// Of its last check, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_time: Option<f64>,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// `GET /api/services`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Services {
    services: Vec<ServiceView>,
    total: usize,
    /// Definitions by API that are not watched, and why.
    ignored: Vec<Ignored>,
}

/// A service.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceView {
    tenant: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    url: String,
    /// Where it is defined: `file`, `api`, or `server`, which is watched without being defined.
    source: Source,
    enabled: bool,
    /// `ok`, `pending`, `down`, `flapping`, `unknown` or `maintenance`.
    state: &'static str,
    /// Since when, in milliseconds since 1970.
    since: i64,
    /// What its last check found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    last: Option<Outcome>,
    /// Good checks in percent, over a day, 7, 30 and 90 days; `null` where it was not checked.
    uptime: UptimeView,
    /// What is left of the budget of each objective, in percent; below 0 where it is overdrawn.
    objectives: Vec<ObjectiveView>,
    parents: Vec<String>,
    labels: BTreeMap<String, String>,
    /// Its last checks, the oldest first; in the answer for one service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    history: Option<Vec<Outcome>>,
}

/// Good checks in percent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct UptimeView {
    #[serde(rename = "24h")]
    pub(super) day: Option<f64>,
    #[serde(rename = "7d")]
    pub(super) week: Option<f64>,
    #[serde(rename = "30d")]
    pub(super) month: Option<f64>,
    #[serde(rename = "90d")]
    pub(super) quarter: Option<f64>,
}

/// What a service promises, and how it keeps it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ObjectiveView {
    target: f64,
    window_days: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_left: Option<f64>,
}

/// What a service says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Beat {
    /// `up`, where nothing is said, or `down`.
    status: Option<String>,
    msg: Option<String>,
}

pub(super) const fn name(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Ok => "ok",
        State::Down => "down",
        State::Flapping => "flapping",
        State::Unknown => "unknown",
        State::Maintenance => "maintenance",
    }
}

/// `GET /check-services`.
pub(super) async fn round(Shared(api): Shared<Api>, Asked(query): Asked<TenantQuery>) -> Answer<Round> {
    let tenant = tenant(&api, query.tenant.as_deref())?;
    let work = async {
        api.watch.checks.round(tenant.as_ref(), FRESH).await;
        let watched = api.watch.checks.views(tenant.as_ref()).into_iter().filter(|view| view.def.enabled);
        let services: Vec<_> = watched.map(RoundService::from).collect();
        let healthy = services.iter().filter(|service| service.status == "healthy").count();
        Ok(Round { healthy, unhealthy: services.len() - healthy, total: services.len(), services })
    };
    // It asks nothing that is not asked anyway, only sooner.
    Ok(Json(api.read_everywhere("service.list", work).await?))
}

impl From<View> for RoundService {
    fn from(view: View) -> Self {
        let is_well = matches!(view.state, State::Ok | State::Maintenance);
        let (response_time, error) = match view.last {
            Some(last) if is_well => (Some(last.response_ms), None),
            Some(last) => (None, last.error.or_else(|| Some("it was down just now".into()))),
            None => (None, Some("it was not checked yet".into())),
        };
        Self {
            name: view.name.to_string(),
            tenant: view.tenant.to_string(),
            url: shown_url(view.def.url.reveal()),
            status: if is_well { "healthy" } else { "unhealthy" },
            state: name(view.state),
            response_time,
            error: error.filter(|_| !is_well),
        }
    }
}

/// `GET /api/services`.
pub(super) async fn list(Shared(api): Shared<Api>, Asked(query): Asked<TenantQuery>) -> Answer<Services> {
    let (scope, _) = api.scope(query.tenant.as_deref())?;
    let tenant = tenant(&api, query.tenant.as_deref())?;
    let work = async {
        let uptimes = api.watch.uptimes(&scope).await?;
        let of = |view: View| {
            let uptime = uptimes.get(&(view.tenant.clone(), view.name.clone())).copied();
            shown(&api, view, uptime.unwrap_or_default(), None)
        };
        let services: Vec<_> = api.watch.checks.views(tenant.as_ref()).into_iter().map(of).collect();
        Ok(Services { total: services.len(), services, ignored: api.watch.ignored(tenant.as_ref()) })
    };
    Ok(Json(api.read_everywhere("service.list", work).await?))
}

/// `GET /api/services/{tenant}/{service}`.
pub(super) async fn read(
    Shared(api): Shared<Api>,
    Path((tenant, service)): Path<(String, String)>,
) -> Answer<ServiceView> {
    let (key, ctx) = find(&api, &tenant, &service)?;
    Ok(Json(ctx.run(Kind::Control("service.read"), view(&api, &key)).await?))
}

/// `POST /api/services`.
pub(super) async fn create(Shared(api): Shared<Api>, bytes: Bytes) -> Result<Response, Refused> {
    define(&api, given(&bytes, None)?, false).await
}

/// `PUT /api/services/{tenant}/{service}`.
pub(super) async fn replace(
    Shared(api): Shared<Api>,
    Path((tenant, service)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<Response, Refused> {
    api.find(&tenant)?;
    define(&api, given(&bytes, Some((&tenant, &service)))?, true).await
}

async fn define(api: &Api, given: Given, may_replace: bool) -> Result<Response, Refused> {
    let wrong = |why: &dyn std::fmt::Display| unfit(&format!("name: {why}"));
    let no_tenant = || unfit(&format!("tenant: there is no tenant {:?}", given.tenant));
    let (tenant, ctx) = api.find(&given.tenant).map_err(|_| no_tenant())?;
    ctx.require(Action::Manage, &tenant.view.id)?;
    let name = given.name.as_deref().ok_or_else(|| wrong(&"it is missing"))?;
    let key = (tenant.view.id.clone(), ServiceName::new(name).map_err(|error| wrong(&error))?);
    let kind = if may_replace && api.watch.is_stored(&key) { "service.replace" } else { "service.create" };
    let saved = changed(&ctx, kind, &key, api.watch.define(&key, given, may_replace)).await?;
    let view = view(api, &key).await?;
    let (kind, status) = match saved {
        Saved::Replaced => ("service.replaced", StatusCode::OK),
        Saved::Added | Saved::Present => ("service.created", StatusCode::CREATED),
    };
    let payload = json!({"service": key.1, "url": view.url});
    api.feed.tell(&key.0, kind, Severity::Info, Some(key.1.as_str()), &payload);
    Ok((status, Json(view)).into_response())
}

/// `DELETE /api/services/{tenant}/{service}`.
pub(super) async fn remove(
    Shared(api): Shared<Api>,
    Path((tenant, service)): Path<(String, String)>,
) -> Answer<Done> {
    let (_, ctx) = api.find(&tenant)?;
    let key = key(&tenant, &service)?;
    ctx.require(Action::Manage, &key.0)?;
    changed(&ctx, "service.delete", &key, api.watch.undefine(&key)).await?;
    let payload = json!({"service": key.1});
    api.feed.tell(&key.0, "service.deleted", Severity::Info, Some(key.1.as_str()), &payload);
    Ok(Json(Done { status: "deleted" }))
}

/// Makes a change, which is recorded with the service's name.
async fn changed<T>(
    ctx: &Ctx,
    kind: &'static str,
    key: &Key,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut op = ctx.begin(Kind::Control(kind));
    op.note(|record| record.object = Some(key.1.as_str().into()));
    let done = match ctx.decided(&mut op) {
        Ok(()) => work.await,
        Err(error) => Err(error),
    };
    match &done {
        Ok(_) => op.end(Ended::Ok),
        Err(error) => op.fail(error),
    }
    done
}

/// `POST /api/services/{tenant}/{service}/check`.
pub(super) async fn check(
    Shared(api): Shared<Api>,
    Path((tenant, service)): Path<(String, String)>,
) -> Answer<ServiceView> {
    let (key, ctx) = find(&api, &tenant, &service)?;
    let work = async {
        api.watch.checks.check_now(&key).await;
        view(&api, &key).await
    };
    Ok(Json(ctx.run(Kind::Control("service.check"), work).await?))
}

/// `GET` or `POST /api/services/{tenant}/{service}/push`.
pub(super) async fn push(
    Shared(api): Shared<Api>,
    Path((tenant, service)): Path<(String, String)>,
    Asked(beat): Asked<Beat>,
) -> Answer<Done> {
    let (key, ctx) = find(&api, &tenant, &service)?;
    ctx.require(Action::Use, &key.0)?;
    let is_good = match beat.status.as_deref() {
        None | Some("up" | "ok") => true,
        Some("down") => false,
        Some(other) => {
            let text = format!("the query string does not fit: status: {other:?} is none: use up or down");
            return Err(Error::caller(Code::BadRequest, text).into());
        }
    };
    let message =
        beat.msg.map(|text| text.chars().filter(|c| !c.is_control()).take(MESSAGE_LEN_MAX).collect());
    let heard = api.watch.checks.heartbeat(&key, is_good, message);
    heard.map_err(|why| Error::caller(Code::Conflict, why))?;
    Ok(Json(Done { status: "ok" }))
}

fn tenant(api: &Api, given: Option<&str>) -> Result<Option<TenantId>> {
    given.map(|tenant| Ok(api.find(tenant)?.0.view.id.clone())).transpose()
}

fn find(api: &Api, tenant: &str, service: &str) -> Result<(Key, Ctx)> {
    let (_, ctx) = api.find(tenant)?;
    let key = key(tenant, service)?;
    match api.watch.checks.view(&key) {
        Some(_) => Ok((key, ctx)),
        None => Err(unwatched(api, &key)),
    }
}

/// Why nothing can be said of a service.
fn unwatched(api: &Api, key: &Key) -> Error {
    let ignored = api.watch.ignored(Some(&key.0)).into_iter().find(|one| one.name == key.1.as_str());
    match ignored {
        Some(Ignored { name, why, .. }) => Error::caller(
            Code::NotFound,
            format!("the service {name:?} is defined by API and not watched: {why}"),
        ),
        None => Error::not_found("service", key.1.as_str()),
    }
}

async fn view(api: &Api, key: &Key) -> Result<ServiceView> {
    let scope = puerto_store::Scope::tenant(key.0.clone());
    let uptime = api.watch.uptimes(&scope).await?.get(key).copied().unwrap_or_default();
    let found = api.watch.checks.view(key);
    let (view, history) = found.ok_or_else(|| Error::not_found("service", key.1.as_str()))?;
    Ok(shown(api, view, uptime, Some(history)))
}

fn shown(api: &Api, view: View, uptime: Uptime, history: Option<Vec<Outcome>>) -> ServiceView {
    let def = &view.def;
    let [day, week, month, quarter] = uptime;
    let objectives = def.objectives.iter().map(|objective| {
        let over = match objective.window {
            ..=1 => day,
            2..=7 => week,
            8..=30 => month,
            _ => quarter,
        };
        let allowed = 100.0 - objective.target;
        ObjectiveView {
            target: objective.target,
            window_days: objective.window,
            budget_left: over.map(|uptime| 100.0 * (1.0 - (100.0 - uptime) / allowed)),
        }
    });
    ServiceView {
        objectives: objectives.collect(),
        tenant: view.tenant.to_string(),
        name: view.name.to_string(),
        description: def.description.clone(),
        group: def.group.clone(),
        url: shown_url(def.url.reveal()),
        source: api.watch.source(&(view.tenant.clone(), view.name.clone())).unwrap_or(Source::File),
        enabled: def.enabled,
        state: name(view.state),
        since: view.since_ms,
        last: view.last,
        uptime: UptimeView { day, week, month, quarter },
        parents: def.parents.iter().map(ToString::to_string).collect(),
        labels: def.labels.clone(),
        history,
    }
}
