//! The public status page of a tenant and its badges: for everyone and without credentials, since the tenant chose so
//! in the configuration. Nothing is in them but what they are for: no address, no label, no error of a probe.

mod badge;
mod html;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Uri};
use jiff::Timestamp;
use puerto_core::def::{StatusPageDef, WindowDef};
use puerto_core::{Code, Error, ServiceName, TenantId};
use puerto_watch::check::View;
use puerto_watch::health::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::problem::Refused;
use super::rest::{Api, Asked, nothing_at};
use super::services::{UptimeView, name};
use crate::watch::{HISTORY_DAYS, History};

/// How long a page is given out before it is put together anew. Sums of checks are written as often.
const FRESH: Duration = Duration::from_secs(5);
/// How long browsers and proxies may keep what they got.
const CACHED: &str = "public, max-age=30";
/// Services of one page: 90 bars of each are 10 KB, and their sums are read at once.
const SHOWN_MAX: usize = 100;
/// Changes of windows that are looked at for the end of announced work.
const TURNS_MAX: usize = 16;

/// `GET /status/{tenant}.json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct StatusPage {
    tenant: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// How all of it is, the worst first: `down`, `flapping`, `unknown`, `maintenance`, `pending` or `ok`.
    state: &'static str,
    /// The same in a sentence.
    summary: String,
    /// When it was put together, in milliseconds since 1970.
    at: i64,
    /// Services by their group; those without one come first.
    groups: Vec<Group>,
    total: usize,
    /// Public services that are not shown, since there are too many.
    left_out: usize,
}

/// Services that are shown together.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Group {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    services: Vec<PublicService>,
}

/// What everyone may know of a service.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PublicService {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// `ok`, `pending`, `down`, `flapping`, `unknown` or `maintenance`.
    state: &'static str,
    /// Since when, in milliseconds since 1970.
    since: i64,
    /// When work that is announced ends, where it goes on now and has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_until: Option<i64>,
    /// Good checks in percent, over a day, 7, 30 and 90 days; `null` where it was not checked.
    uptime: UptimeView,
    /// How long a check took on average over a day, in milliseconds.
    response_ms: Option<f64>,
    /// The last 90 days of UTC, the oldest first.
    days: Vec<Day>,
}

/// A day of a service.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Day {
    /// As `2026-11-22`.
    date: String,
    /// Good checks in percent; `null` where it was not checked.
    uptime: Option<f64>,
}

/// A page as it was put together last.
#[derive(Debug)]
struct Built {
    at: Instant,
    def: StatusPageDef,
    page: StatusPage,
    html: Bytes,
    data: Bytes,
}

/// Where the page of a tenant is put together, by one visitor at a time; the others wait for what comes of it.
type Place = Arc<tokio::sync::Mutex<Option<Arc<Built>>>>;

/// The pages of all tenants, each put together every few seconds at most, however many ask.
#[derive(Debug, Default)]
pub(crate) struct StatusPages(Mutex<BTreeMap<TenantId, Place>>);

impl StatusPages {
    fn place(&self, api: &Api, tenant: &TenantId) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !places.contains_key(tenant) {
            let tenants = api.hub.tenants();
            places.retain(|known, _| tenants.contains_key(known));
        }
        places.entry(tenant.clone()).or_default().clone()
    }
}

impl Api {
    /// The page of a tenant that has one. Nobody's rights are asked, and nothing of it is recorded: it is public.
    async fn status_page(&self, tenant: &str) -> Option<Arc<Built>> {
        let tenant = self.hub.tenant(tenant).ok()?;
        let (id, def) = (&tenant.view.id, tenant.view.def.status_page.as_ref()?);
        let place = self.status_pages.place(self, id);
        let mut place = place.lock().await;
        match &*place {
            Some(built) if built.at.elapsed() < FRESH && built.def == *def => Some(built.clone()),
            _ => Some(place.insert(Arc::new(self.build(id, def).await)).clone()),
        }
    }

    async fn build(&self, tenant: &TenantId, def: &StatusPageDef) -> Built {
        let mut views = self.watch.checks.views(Some(tenant));
        views.retain(|view| view.def.public && view.def.enabled);
        let left_out = views.len().saturating_sub(SHOWN_MAX);
        views.truncate(SHOWN_MAX);
        let names: Vec<_> = views.iter().map(|view| view.name.clone()).collect();
        let histories = self.watch.histories(tenant, &names).await.unwrap_or_else(|error| {
            // How services are is known all the same, and what the page is for.
            tracing::warn!(%tenant, %error, "the status page has no uptimes: sums of checks could not be read");
            BTreeMap::new()
        });
        let page = page_of(tenant, def, views, left_out, &histories);
        let html = html::page(&page).into();
        let data = serde_json::to_vec(&page).unwrap_or_default().into();
        Built { at: Instant::now(), def: def.clone(), page, html, data }
    }
}

fn page_of(
    tenant: &TenantId,
    def: &StatusPageDef,
    views: Vec<View>,
    left_out: usize,
    histories: &BTreeMap<ServiceName, History>,
) -> StatusPage {
    let now = Timestamp::now();
    let states: Vec<_> = views.iter().map(|view| view.state).collect();
    let (state, summary) = summary(&states);
    let total = views.len();
    let none = History::default();
    let mut groups: BTreeMap<Option<String>, Vec<PublicService>> = BTreeMap::new();
    for view in views {
        let history = histories.get(&view.name).unwrap_or(&none);
        groups.entry(view.def.group.clone()).or_default().push(PublicService::new(&view, history, now));
    }
    StatusPage {
        tenant: tenant.to_string(),
        title: def.title.clone().unwrap_or_else(|| tenant.to_string()),
        description: def.description.clone(),
        state: name(state),
        summary,
        at: now.as_millisecond(),
        groups: groups.into_iter().map(|(name, services)| Group { name, services }).collect(),
        total,
        left_out,
    }
}

/// How all services together are: as the worst of them.
fn summary(states: &[State]) -> (State, String) {
    let of = |state| {
        let (count, all) = (states.iter().filter(|one| **one == state).count(), states.len());
        let verb = if count == 1 { "is" } else { "are" };
        let share = match (count, all) {
            (1, 1) => "The service is".to_owned(),
            (_, 1) => return None,
            _ if count == all => format!("All {all} services are"),
            _ => format!("{count} of {all} services {verb}"),
        };
        (count > 0).then_some(share)
    };
    let words = [
        (State::Down, "down"),
        (State::Flapping, "unstable"),
        (State::Unknown, "out of our sight, since we are offline ourselves"),
        (State::Maintenance, "being worked on, as announced"),
        (State::Pending, "not checked yet"),
    ];
    if states.is_empty() {
        return (State::Pending, "Nothing is shown here yet".into());
    }
    let worst = words.into_iter().find_map(|(state, word)| Some((state, format!("{} {word}", of(state)?))));
    worst.unwrap_or_else(|| (State::Ok, "All is well".into()))
}

impl PublicService {
    fn new(view: &View, history: &History, now: Timestamp) -> Self {
        let [day, week, month, quarter] = history.sums;
        let today = now.as_second().div_euclid(86_400);
        let days = (today - i64::from(HISTORY_DAYS) + 1..=today).map(|day| Day {
            date: Timestamp::from_second(day * 86_400)
                .map(|at| at.strftime("%F").to_string())
                .unwrap_or_default(),
            uptime: history.days.get(&day).and_then(puerto_store::Sum::uptime),
        });
        let is_announced = view.state == State::Maintenance;
        Self {
            name: view.name.to_string(),
            description: view.def.description.clone(),
            state: name(view.state),
            since: view.since_ms,
            maintenance_until: is_announced.then(|| end_of(&view.def.maintenance, now)).flatten(),
            uptime: UptimeView {
                day: day.uptime(),
                week: week.uptime(),
                month: month.uptime(),
                quarter: quarter.uptime(),
            },
            response_ms: day.average_ms(),
            days: days.collect(),
        }
    }
}

/// When none of some windows holds any more, in milliseconds since 1970, where that is soon enough to tell.
fn end_of(windows: &[WindowDef], now: Timestamp) -> Option<i64> {
    let mut at = now;
    for _ in 0..TURNS_MAX {
        at = windows.iter().filter_map(|window| window.next_change(at)).min()?;
        if !windows.iter().any(|window| window.holds(at)) {
            return Some(at.as_millisecond());
        }
    }
    None
}

/// `GET /status/{tenant}` and, since no id of a tenant has a dot, `GET /status/{tenant}.json`.
pub(super) async fn page(
    Shared(api): Shared<Api>,
    uri: Uri,
    Path(asked): Path<String>,
) -> Result<Response, Refused> {
    let data = asked.strip_suffix(".json");
    let built = api.status_page(data.unwrap_or(&asked)).await.ok_or_else(|| nothing_at(uri.path()))?;
    Ok(match data {
        Some(_) => public("application/json", "default-src 'none'", built.data.clone()),
        None => public("text/html; charset=utf-8", html::policy(), built.html.clone()),
    })
}

/// How a badge of uptime is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DaysQuery {
    days: Option<u32>,
}

/// `GET /status/{tenant}/{service}/health.svg`.
pub(super) async fn health(
    Shared(api): Shared<Api>,
    uri: Uri,
    Path((tenant, service)): Path<(String, String)>,
) -> Result<Response, Refused> {
    drawn(&api, &uri, &tenant, &service, badge::health).await
}

/// `GET /status/{tenant}/{service}/uptime.svg`.
pub(super) async fn uptime(
    Shared(api): Shared<Api>,
    uri: Uri,
    Path((tenant, service)): Path<(String, String)>,
    Asked(query): Asked<DaysQuery>,
) -> Result<Response, Refused> {
    let days = query.days.unwrap_or(HISTORY_DAYS);
    if ![1, 7, 30, 90].contains(&days) {
        let text = format!("the query string does not fit: days: {days} is none: use 1, 7, 30 or 90");
        return Err(Error::caller(Code::BadRequest, text).into());
    }
    drawn(&api, &uri, &tenant, &service, |service| badge::uptime(service, days)).await
}

/// `GET /status/{tenant}/{service}/response.svg`.
pub(super) async fn response(
    Shared(api): Shared<Api>,
    uri: Uri,
    Path((tenant, service)): Path<(String, String)>,
) -> Result<Response, Refused> {
    drawn(&api, &uri, &tenant, &service, badge::response).await
}

/// A badge of a service that is on its tenant's page.
async fn drawn(
    api: &Api,
    uri: &Uri,
    tenant: &str,
    service: &str,
    draw: impl FnOnce(&PublicService) -> String,
) -> Result<Response, Refused> {
    let nothing = || nothing_at(uri.path());
    let built = api.status_page(tenant).await.ok_or_else(nothing)?;
    let mut shown = built.page.groups.iter().flat_map(|group| &group.services);
    let service = shown.find(|one| one.name == service).ok_or_else(nothing)?;
    Ok(public("image/svg+xml", "default-src 'none'", draw(service).into()))
}

/// An answer for everyone.
fn public(kind: &'static str, policy: &'static str, body: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, CACHED),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_how_all_of_it_is() {
        use State::{Down, Flapping, Maintenance, Ok, Pending, Unknown};
        let said = |states: &[State]| summary(states).1;
        assert_eq!(said(&[Ok, Ok]), "All is well");
        assert_eq!(said(&[Ok, Down, Ok, Down, Ok, Ok, Ok]), "2 of 7 services are down");
        assert_eq!(said(&[Flapping, Down, Maintenance]), "1 of 3 services is down");
        assert_eq!(said(&[Down, Down]), "All 2 services are down");
        assert_eq!(said(&[Flapping]), "The service is unstable");
        assert_eq!(said(&[Ok, Maintenance]), "1 of 2 services is being worked on, as announced");
        assert!(said(&[Unknown, Ok]).starts_with("1 of 2 services is out of our sight"));
        assert_eq!(said(&[Pending, Ok]), "1 of 2 services is not checked yet");
        assert_eq!(said(&[]), "Nothing is shown here yet");
        assert_eq!(summary(&[Maintenance, Flapping]).0, Flapping);
    }

    #[test]
    fn work_ends_when_no_window_holds_any_more() {
        let windows = |text: &str| serde_json::from_str::<Vec<WindowDef>>(text).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let end = |text: &str| end_of(&windows(text), at("2026-11-22T06:30:00Z"));
        let noon = Some(at("2026-11-22T12:00:00Z").as_millisecond());
        // A second window begins before the first ends.
        assert_eq!(
            end(
                r#"[{"start": "06:00", "duration": "3h"}, {"from": "2026-11-22T08:00:00Z", "until": "2026-11-22T12:00:00Z"}]"#
            ),
            noon
        );
        assert_eq!(end("[{}]"), None);
        // Every day for a whole day: it has no end.
        assert_eq!(end(r#"[{"start": "00:00"}]"#), None);
    }
}
