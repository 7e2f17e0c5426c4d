//! `GET /events/stream`: events as they are kept (server-sent events). The stream reads the store from number to number,
//! so a slow reader holds nothing in memory, misses nothing, and one that comes back goes on where it was.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use puerto_core::{Code, Error, Result, Retry};
use puerto_store::{EventFilter, EventRow, Scope, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::problem::Refused;
use super::super::rest::{Api, Asked};
use super::{AGAIN, EventsQuery};

/// Events read at once for a stream.
const PAGE: u32 = 200;
/// Proxies close what is silent for 30 to 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon what another process has kept is seen; what this one keeps is told at once.
const LOOK: Duration = Duration::from_secs(1);

/// `GET /events/stream`.
pub(in crate::http) async fn follow(
    Shared(api): Shared<Api>,
    Asked(query): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (scope, _) = api.scope(query.tenant.as_deref())?;
    let mut which = query.filter()?;
    if which.before.is_some() || which.until_us.is_some() {
        let text = "the query string does not fit: a stream has no end, so before and until have no meaning";
        return Err(Error::caller(Code::BadRequest, text).into());
    }
    let place = api.bounds.streams.clone().try_acquire_owned().map_err(|_| {
        Error::hub(Code::Busy, "too many streams of events at once").retry(Retry::After(AGAIN))
    })?;
    let news = api.store.events_news();
    let after = match last_seen(&headers)?.or(which.after) {
        Some(seq) => seq,
        None => api.store.events_newest().await.map_err(Error::from)?,
    };
    which.limit = PAGE;
    let stream = Stream {
        store: api.store.clone(),
        scope,
        which,
        after,
        news,
        frames: VecDeque::from([Bytes::from_static(b": events\n\n")]),
        silent_until: Instant::now() + HEARTBEAT,
        end: api.hub.draining.clone(),
        _place: place,
    };
    let frames = futures_util::stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies like nginx would hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Where a client that comes back was.
fn last_seen(headers: &HeaderMap) -> Result<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        Error::caller(Code::BadRequest, "the header Last-Event-ID must hold the number of an event")
    })
}

/// A stream, and where it is.
struct Stream {
    store: Store,
    scope: Scope,
    which: EventFilter,
    /// The number up to which everything was sent.
    after: i64,
    news: watch::Receiver<i64>,
    frames: VecDeque<Bytes>,
    silent_until: Instant,
    end: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next piece of text; nothing where the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                self.silent_until = Instant::now() + HEARTBEAT;
                return Some(frame);
            }
            if let Err(error) = self.read().await {
                // The client comes back by itself, with the number of the last event that it has.
                tracing::warn!(%error, "a stream of events ended");
                return None;
            }
            if self.frames.is_empty() {
                let look = (Instant::now() + LOOK).min(self.silent_until);
                tokio::select! {
                    () = self.end.cancelled() => return None,
                    _ = self.news.changed() => {}
                    () = tokio::time::sleep_until(look) => {}
                }
                if Instant::now() >= self.silent_until {
                    self.frames.push_back(Bytes::from_static(b":\n\n"));
                }
            }
        }
    }

    /// Reads what was kept since, and notes up to where.
    async fn read(&mut self) -> Result<(), StoreError> {
        let told = *self.news.borrow_and_update();
        let which = EventFilter { after: Some(self.after), ..self.which.clone() };
        let rows = self.store.events_list(&self.scope, which).await?;
        if let Some(first) = rows.first()
            && self.after > 0
            && first.seq > self.after + 1
        {
            self.tell_gap().await?;
        }
        self.frames.extend(rows.iter().map(frame));
        // Everything up to what was told before the reading has been seen by it, also where it did not fit.
        let seen = if rows.len() < PAGE as usize { told } else { 0 };
        self.after = rows.last().map_or(self.after, |row| row.seq).max(self.after).max(seen);
        Ok(())
    }

    /// Says so where events that follow the last one sent are no longer kept.
    async fn tell_gap(&mut self) -> Result<(), StoreError> {
        let oldest = self.store.events_oldest().await?;
        if let Some(oldest) = oldest.filter(|oldest| *oldest > self.after + 1) {
            let text = format!("event: gap\ndata: {{\"after\":{},\"next\":{oldest}}}\n\n", self.after);
            self.frames.push_back(text.into());
        }
        Ok(())
    }
}

/// An event as text. A payload may hold line ends between its parts, and each line needs its own `data`.
fn frame(row: &EventRow) -> Bytes {
    let json = serde_json::to_string(row).unwrap_or_default();
    let mut text = format!("id: {}\n", row.seq);
    for line in json.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text.into()
}
