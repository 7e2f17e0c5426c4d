//! Events over HTTP: reported by anyone, read in pages, followed as a stream.

mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use puerto_core::record::Kind;
use puerto_core::{Action, Code, Error, Event, Retry, Severity};
use puerto_store::{Appended, EventFilter, EventRow, Key, Scope};
use puerto_watch::event::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Fault, Report, Reported};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::problem::Refused;
use super::rest::{Answer, Api, Asked, TenantQuery, instant};

pub(super) use stream::follow;

/// Memory for reports that are being read or wait for the store, in KiB. More of them are told to come again.
const REPORTS_KIB_MAX: u32 = 64 * 1024;
/// Streams of events at the same time.
const STREAMS_MAX: usize = 1_000;
/// Longest Idempotency-Key.
const KEY_LEN_MAX: usize = 256;
/// When to come again where there is too much at once: a group of commits is done long before.
const AGAIN: Duration = Duration::from_secs(1);

/// What bounds reports and streams.
#[derive(Debug)]
pub(crate) struct Bounds {
    reports: Semaphore,
    streams: Arc<Semaphore>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            reports: Semaphore::new(REPORTS_KIB_MAX as usize),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

/// A page of events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Events {
    /// The newest first; after a number the oldest first.
    #[schemars(with = "Vec<EventView>")]
    events: Vec<EventRow>,
    /// Where the page ends: the `before` (or `after`) of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// An event as it is answered, for the document of the interface.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "the shape of what `EventRow` writes")]
pub(crate) struct EventView {
    /// Its number; a later event has a greater one.
    seq: i64,
    id: String,
    #[schemars(rename = "type")]
    kind: String,
    severity: Severity,
    source: String,
    subject: Option<String>,
    tenant: String,
    /// When it was kept, in milliseconds since 1970.
    timestamp: i64,
    /// When it happened, as its source says, in milliseconds since 1970.
    time: Option<i64>,
    payload: serde_json::Value,
    /// Further members that came with it.
    extensions: Option<serde_json::Value>,
}

/// What became of a list of events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Accepted {
    /// How many are new.
    accepted: usize,
    /// How many were there already.
    duplicates: usize,
    /// Each, in the order of the request.
    events: Vec<AcceptedEvent>,
}

/// Where an event is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AcceptedEvent {
    id: String,
    seq: i64,
    /// When it was kept, in milliseconds since 1970.
    timestamp: i64,
    /// Whether it was there already.
    duplicate: bool,
}

/// Which events are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    tenant: Option<String>,
    /// Types, or beginnings of them (`order.*`), with commas between.
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    severity: Option<String>,
    q: Option<String>,
    since: Option<String>,
    until: Option<String>,
    after: Option<i64>,
    before: Option<i64>,
    limit: Option<u32>,
}

impl EventsQuery {
    fn filter(self) -> Result<EventFilter, Error> {
        let wrong = |name: &str, why: &str| {
            Error::caller(Code::BadRequest, format!("the query string does not fit: {name}: {why}"))
        };
        let severity = match &self.severity {
            Some(name) => Some(Severity::named(name).ok_or_else(|| {
                wrong("severity", &format!("{name:?} is none: use info, warning, error or critical"))
            })?),
            None => None,
        };
        let time = |name: &str, text: Option<&str>| text.map(|text| instant(name, text)).transpose();
        if self.after.is_some() && self.before.is_some() {
            return Err(wrong("after", "stands beside before: only one of them may"));
        }
        Ok(EventFilter {
            kinds: self.kind.iter().flat_map(|kinds| kinds.split(',')).map(ToOwned::to_owned).collect(),
            severity,
            text: self.q,
            since_us: time("since", self.since.as_deref())?,
            until_us: time("until", self.until.as_deref())?,
            source: self.source,
            subject: self.subject,
            after: self.after,
            before: self.before,
            limit: self.limit.unwrap_or(100).clamp(1, puerto_store::PAGE_MAX),
        })
    }
}

/// `POST /events`.
pub(super) async fn report(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    request: Request,
) -> Result<Response, Refused> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Use, &tenant.view.id)?;
    let work = async {
        let (parts, body) = request.into_parts();
        let room = length(&parts.headers).div_ceil(1024);
        let room = u32::try_from(room).unwrap_or(REPORTS_KIB_MAX);
        let _room = api
            .bounds
            .reports
            .try_acquire_many(room)
            .map_err(|_| Error::hub(Code::Busy, "too many events at once").retry(Retry::After(AGAIN)))?;
        let body = read(body).await?;
        let reported = reported(&parts.headers, &body, ctx.caller.actor().name())?;
        let key = key(&parts.headers, &body)?;
        let Reported { events, is_list } = reported;
        let appended = api.store.events_append(&tenant.view.id, events.clone(), key).await?;
        Ok((appended, events, is_list))
    };
    let (appended, events, is_list) = ctx.run(Kind::Control("event.create"), work).await?;
    let is_new = appended.kept.iter().any(|kept| kept.is_new);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    if is_list {
        return Ok((status, axum::Json(accepted(&appended, &events))).into_response());
    }
    let row = match (appended.kept.first(), events.into_iter().next()) {
        (Some(kept), Some(event)) if kept.is_new => {
            EventRow { seq: kept.seq, tenant: tenant.view.id.to_string(), at_us: kept.at_us, event }
        }
        // It is there already, and what is there counts.
        (Some(kept), _) => there(&api, kept.seq).await?,
        (None, _) => return Err(Error::hub(Code::Internal, "an event was kept and cannot be found").into()),
    };
    Ok((status, axum::Json(row)).into_response())
}

async fn there(api: &Api, seq: i64) -> Result<EventRow, Error> {
    let one = EventFilter { after: Some(seq - 1), limit: 1, ..EventFilter::default() };
    let found = api.store.events_list(&Scope::all(), one).await?;
    found
        .into_iter()
        .find(|row| row.seq == seq)
        .ok_or_else(|| Error::caller(Code::NotFound, "this event was reported before and is no longer kept"))
}

fn accepted(appended: &Appended, events: &[Event]) -> Accepted {
    let each = appended.kept.iter().zip(events).map(|(kept, event)| AcceptedEvent {
        id: event.id.clone(),
        seq: kept.seq,
        timestamp: kept.at_us / 1000,
        duplicate: !kept.is_new,
    });
    let accepted = appended.kept.iter().filter(|kept| kept.is_new).count();
    Accepted { accepted, duplicates: appended.kept.len() - accepted, events: each.collect() }
}

/// The size that a body is said to have; one that says none may be as large as any.
fn length(headers: &HeaderMap) -> usize {
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    said.unwrap_or(BATCH_BYTES_MAX).min(BATCH_BYTES_MAX)
}

async fn read(body: Body) -> Result<bytes::Bytes, Error> {
    let read = Limited::new(body, BATCH_BYTES_MAX).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(|cause| match cause.is::<LengthLimitError>() {
        true => Error::caller(
            Code::TooLarge,
            format!("the body is larger than {BATCH_BYTES_MAX} bytes; send up to {BATCH_EVENTS_MAX} events at once"),
        ),
        false => Error::caller(Code::BadRequest, "the body broke off").inside(cause),
    })
}

fn reported(headers: &HeaderMap, body: &[u8], source: &str) -> Result<Reported, Error> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(ToOwned::to_owned);
    let content_type = headers.get(CONTENT_TYPE).and_then(text).unwrap_or_default();
    let attributes: Vec<(&str, String)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, decoded(&text(value)?))))
        .collect();
    let attributes: Vec<(&str, &str)> =
        attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let report = Report { content_type: &content_type, attributes: &attributes, body, source };
    report.read().map_err(|fault| {
        let code = if matches!(fault, Fault::Size { .. }) { Code::TooLarge } else { Code::BadRequest };
        Error::caller(code, format!("could not read the event: {fault}"))
    })
}

/// Values of such headers are percent-encoded where they are not plain (CloudEvents, HTTP binding 3.1.3.2).
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn key(headers: &HeaderMap, body: &[u8]) -> Result<Option<Key>, Error> {
    let Some(name) = headers.get("idempotency-key") else { return Ok(None) };
    match name.to_str() {
        Ok(name) if (1..=KEY_LEN_MAX).contains(&name.len()) => {
            Ok(Some(Key { name: name.to_owned(), digest: Sha256::digest(body).into() }))
        }
        _ => {
            let text = format!("the header Idempotency-Key must hold 1 to {KEY_LEN_MAX} plain characters");
            Err(Error::caller(Code::BadRequest, text))
        }
    }
}

/// `GET /events`.
pub(super) async fn list(
    Shared(api): Shared<Api>,
    Asked(query): Asked<EventsQuery>,
) -> Result<impl IntoResponse, Refused> {
    let (scope, ctx) = api.scope(query.tenant.as_deref())?;
    let which = query.filter()?;
    let (limit, is_ascending) = (which.limit as usize, which.after.is_some());
    let work = async { Ok(api.store.events_list(&scope, which).await?) };
    let events = match ctx {
        Some(ctx) => ctx.run(Kind::Control("event.list"), work).await?,
        None => work.await.map_err(Refused::from)?,
    };
    // A page in rising order has a next one whether or not there is more now.
    let more = events.len() == limit || (is_ascending && !events.is_empty());
    let next = more.then(|| events.last().map(|row| row.seq)).flatten();
    let cursor = next.map(|seq| [(HeaderName::from_static("x-next-cursor"), seq.to_string())]);
    let answer: Answer<Events> = Ok(axum::Json(Events { events, next }));
    Ok((cursor.map(axum::response::AppendHeaders), answer))
}
