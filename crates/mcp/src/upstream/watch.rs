//! Hears what a server tells unasked: a `subscriptions/listen` stream on modern servers, the GET stream on
//! legacy HTTP ones; on legacy pipes it just comes. Subscriptions of all clients to one resource are one
//! subscription at the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use puerto_core::{Code, Error, Result};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::http::follow;
use super::link::{Link, Request, request_text};
use super::{Event, Live, Upstream};
use crate::call::questions;
use crate::era::Era;
use crate::frame::{Frame, Kind};
use crate::offer::ListKind;

/// Longest wait for a server to take note of a subscription before the caller is told that it stands.
const STAND: Duration = Duration::from_secs(2);
/// Wait before a stream that has ended is opened again, where its server does not say how long.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
/// Longest such wait.
pub(crate) const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Which resources are subscribed to, by how many.
#[derive(Debug)]
pub(super) struct Subscriptions {
    counts: Mutex<BTreeMap<String, usize>>,
    /// Counts the changes of the set.
    wanted: watch::Sender<u64>,
    /// The change up to which the server has taken note.
    standing: watch::Sender<u64>,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self { counts: Mutex::default(), wanted: watch::Sender::new(1), standing: watch::Sender::new(0) }
    }
}

impl Subscriptions {
    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn add(&self, live: &Live, uri: &str, deadline: Instant) -> Result<()> {
        let count = {
            let mut counts = self.counts();
            let count = counts.entry(uri.to_owned()).or_default();
            *count += 1;
            *count
        };
        if count > 1 {
            return Ok(());
        }
        match live.about.revision.era() {
            Era::Modern => {
                self.wanted.send_modify(|n| *n += 1);
                self.stands(live, deadline).await;
                Ok(())
            }
            Era::Legacy => {
                let members = format!("\"uri\":{}", serde_json::Value::from(uri));
                let asked = live.link.ask(Era::Legacy, "resources/subscribe", &members, None);
                let late = |_| {
                    Error::upstream(
                        Code::UpstreamTimeout,
                        "the server did not confirm the subscription in time",
                    )
                };
                let refused = |frame: Frame| match frame.error.is_some() {
                    true => Err(Error::upstream(Code::UpstreamError, "the server refused the subscription")),
                    false => Ok(()),
                };
                let answer = tokio::time::timeout_at(deadline, asked).await.map_err(late);
                let taken = answer.and_then(|asked| asked).and_then(refused);
                if taken.is_err() {
                    self.subtract(uri);
                }
                taken
            }
        }
    }

    /// Takes a subscription over without asking the server: it is asked when it comes up.
    pub(super) fn hold(&self, uri: &str) {
        *self.counts().entry(uri.to_owned()).or_default() += 1;
    }

    /// Takes one back; answers whether it was the last one.
    fn subtract(&self, uri: &str) -> bool {
        let mut counts = self.counts();
        match counts.get_mut(uri) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(_) => counts.remove(uri).is_some(),
            None => false,
        }
    }

    pub(super) async fn remove(&self, live: Option<&Live>, uri: &str) {
        let last = self.subtract(uri);
        let Some(live) = live.filter(|_| last) else { return };
        match live.about.revision.era() {
            Era::Modern => self.wanted.send_modify(|n| *n += 1),
            Era::Legacy => {
                let members = format!("\"uri\":{}", serde_json::Value::from(uri));
                let _ = tokio::time::timeout(
                    STAND,
                    live.link.ask(Era::Legacy, "resources/unsubscribe", &members, None),
                )
                .await;
            }
        }
    }

    /// Whether somebody wants to hear of a resource.
    pub(super) fn any(&self) -> bool {
        !self.counts().is_empty()
    }

    /// Subscribes at a legacy server to everything that is wanted.
    async fn renew(&self, live: &Live) {
        let uris: Vec<_> = self.counts().keys().cloned().collect();
        for uri in uris {
            let members = format!("\"uri\":{}", serde_json::Value::from(uri));
            let asked = live.link.ask(Era::Legacy, "resources/subscribe", &members, None);
            let _ = tokio::time::timeout(STAND, asked).await;
        }
    }

    /// Waits until the server has taken note of everything that is wanted now.
    pub(super) async fn stands(&self, live: &Live, deadline: Instant) {
        if matches!(
            (&live.link, live.about.revision.era()),
            (Link::Local(_), _) | (Link::Pipe(_), Era::Legacy)
        ) {
            return;
        }
        let wanted = *self.wanted.borrow();
        let mut standing = self.standing.subscribe();
        let deadline = deadline.min(Instant::now() + STAND);
        let _ = tokio::time::timeout_at(deadline, standing.wait_for(|n| *n >= wanted)).await;
    }

    fn filter(&self, live: &Live) -> String {
        let mut members = Vec::new();
        if live.about.can.list_changed {
            members.push(
                r#""toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true"#.to_owned(),
            );
        }
        let uris: Vec<_> =
            self.counts().keys().map(|uri| serde_json::Value::from(uri.as_str()).to_string()).collect();
        if live.about.can.subscribe && !uris.is_empty() {
            members.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
        }
        format!(r#""notifications":{{{}}}"#, members.join(","))
    }
}

/// Listens to a server while it serves.
pub(super) async fn watch(
    upstream: Arc<Upstream>,
    live: Arc<Live>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let hears = live.about.can.list_changed || live.about.can.subscribe;
    let listening = async {
        if let Some(owner) = upstream.owner() {
            questions::hand_on_level(&owner, &live, None).await;
        }
        match (&live.link, live.about.revision.era()) {
            (Link::Local(_), _) => std::future::pending().await,
            _ if !hears => std::future::pending().await,
            // Notifications just come; subscriptions of an earlier life of the server are made again in this one.
            (Link::Pipe(_), Era::Legacy) => {
                upstream.subscriptions.renew(&live).await;
                std::future::pending::<()>().await;
            }
            (Link::Http(_), Era::Legacy) => legacy(&upstream, &live, &events).await,
            (_, Era::Modern) => modern(&upstream.subscriptions, &live, &events).await,
        }
    };
    tokio::select! {
        () = listening => stop.cancelled().await,
        () = stop.cancelled() => {}
    }
}

/// Keeps the stream of a legacy session open. Where the server has forgotten the session a new one is opened, in
/// which the subscriptions are made again and the lists may be others.
async fn legacy(upstream: &Upstream, live: &Live, events: &mpsc::Sender<Event>) {
    let Link::Http(remote) = &live.link else { return };
    let Some(session) = remote.control() else { return };
    let subscriptions = &upstream.subscriptions;
    let (mut known, mut left_off, mut again) = (session.id(), Vec::new(), AGAIN);
    // Subscriptions of an earlier life of the server are made again in this one.
    subscriptions.renew(live).await;
    loop {
        match remote.listen(&session, &left_off).await {
            Ok(Some(stream)) => {
                if session.id() != known {
                    known = session.id();
                    subscriptions.renew(live).await;
                    for kind in ListKind::ALL {
                        let _ = events.try_send(Event::Changed(kind));
                    }
                }
                subscriptions.standing.send_replace(u64::MAX);
                let (last_id, wait) = follow(stream, events).await;
                left_off = last_id;
                again = wait.unwrap_or(AGAIN).min(AGAIN_MAX);
            }
            // The server has no such stream: changes are seen at the next start only.
            Ok(None) => {
                subscriptions.standing.send_replace(u64::MAX);
                return;
            }
            Err(error) => {
                upstream.log.push(format!("puerto: the stream of notifications broke: {}", error.chain()));
                left_off.clear();
                again = (again * 2).min(AGAIN_MAX);
            }
        }
        tokio::time::sleep(again).await;
    }
}

/// The filter of a listen stream cannot change: a new stream is opened first, then the old one closed.
async fn modern(subscriptions: &Subscriptions, live: &Live, events: &mpsc::Sender<Event>) {
    let mut wanted = subscriptions.wanted.subscribe();
    let mut before = None;
    loop {
        let generation = *wanted.borrow_and_update();
        let id = live.link.next_id();
        let request = Request {
            id,
            method: "subscriptions/listen".into(),
            text: request_text(Era::Modern, id, "subscriptions/listen", &subscriptions.filter(live)),
            name: None,
            headers: Vec::new(),
            asker: None,
            notices: true,
            session: None,
        };
        if let Ok(mut stream) = live.link.send(request).await {
            // Over HTTP the acknowledgement comes first on the stream. On a pipe, notifications reach the
            // events by themselves and only the end of the listening comes here.
            let ready = match &live.link {
                Link::Http(_) => stream.next().await.is_ok_and(|frame| frame.kind() == Kind::Notification),
                _ => true,
            };
            drop(before.take());
            if ready {
                subscriptions.standing.send_replace(generation);
                tokio::select! {
                    () = until_end(&mut stream, events) => {}
                    changed = wanted.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        before = Some(stream);
                        continue;
                    }
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn until_end(stream: &mut super::link::Exchange, events: &mpsc::Sender<Event>) {
    while let Ok(frame) = stream.next().await {
        if frame.kind() == Kind::Response {
            return;
        }
        if let Some(event) = Event::from_notice(&frame)
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}
