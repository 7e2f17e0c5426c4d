//! How it goes, in numbers: a few as JSON for people and scripts, all for Prometheus.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use puerto_store::{EventFilter, Scope, Store};
use schemars::JsonSchema;
use serde::Serialize;

use super::rest::Api;
use crate::alerts::Alerts;
use crate::audit::Seal;
use crate::record::metrics::{Form, Readings, Services, Tests};
use crate::watch::Watch;

/// `GET /metrics`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Numbers {
    /// Services that are well.
    healthy_services: u32,
    /// Services in all.
    total_services: u32,
    /// Events that are kept; null where the store does not tell.
    events_count: Option<i64>,
    /// Records of the audit trail; null where the store does not tell.
    audits_count: Option<i64>,
    /// Good checks in percent, of all services in the last 24 hours.
    uptime_percent: f64,
    /// What the newest event of type `tests` says.
    tests_status: Tests,
    /// When this was read, in milliseconds since 1970.
    timestamp: i64,
}

/// The services, how they are, and how they were in the last 24 hours.
async fn services(watch: &Watch) -> Services {
    let (total, healthy) = watch.checks.count();
    let share = if total == 0 { 100.0 } else { healthy as f64 * 100.0 / total as f64 };
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let uptime_percent = watch.uptime().await.unwrap_or(share);
    Services { healthy: number(healthy), total: number(total), uptime_percent }
}

/// What is no count of records, as it is now.
pub(crate) async fn readings(store: &Store, watch: &Watch, seal: &Seal, alerts: &Alerts) -> Readings {
    let newest = EventFilter { kinds: vec!["tests".into()], limit: 1, ..EventFilter::default() };
    let everything = Scope::all();
    let (events, audits, tests, services) = tokio::join!(
        store.events_total(),
        store.audit_total(),
        store.events_list(&everything, newest),
        services(watch),
    );
    let tests = tests.ok().and_then(|rows| Some(Tests::reported(rows.first()?.event.payload.get())));
    Readings {
        services,
        events: events.ok(),
        audits: audits.ok(),
        tests: tests.unwrap_or(Tests::Unknown),
        unsealed: seal.age(),
        firing: alerts.firing(),
    }
}

impl Api {
    async fn readings(&self) -> Readings {
        readings(&self.store, &self.watch, &self.seal, &self.alerts).await
    }
}

/// `GET /metrics`.
pub(super) async fn numbers(Shared(api): Shared<Api>) -> Json<Numbers> {
    let read = api.readings().await;
    Json(Numbers {
        healthy_services: read.services.healthy,
        total_services: read.services.total,
        events_count: read.events,
        audits_count: read.audits,
        uptime_percent: read.services.uptime_percent,
        tests_status: read.tests,
        timestamp: Timestamp::now().as_millisecond(),
    })
}

/// `GET /metrics/prometheus`.
pub(super) async fn scrape(Shared(api): Shared<Api>, headers: HeaderMap) -> Response {
    let form = Form::wanted(&headers);
    let text = api.metrics.render(&api.hub, &api.store, &api.readings().await, form);
    let vary = HeaderValue::from(ACCEPT);
    let kind = HeaderValue::from_static(form.content_type());
    ([(CONTENT_TYPE, kind), (VARY, vary)], text).into_response()
}
