//! One client on a connection that carries messages both ways: standard streams, a socket, a stream of
//! events with posts beside it. Both eras may come over one connection; the first handshake opens its session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::door::{Reply, legacy, modern};
use crate::era::Revision;
use crate::frame::{Frame, Kind, Parts, batch};
use crate::hub::{Endpoint, Hub};
use crate::session::Session;
use crate::wire::{self, Refusal};

/// Messages that may wait for the client to read them.
const OUT_QUEUE: usize = 256;
/// Requests of one client that may be under way; beyond it nothing more is read from it.
const UNDER_WAY_MAX: usize = 1_000;
/// Messages in one batch.
pub(super) const BATCH_MAX: usize = 100;

/// One client.
pub struct Duplex {
    connection: Arc<Connection>,
    tasks: JoinSet<()>,
}

struct Connection {
    hub: Arc<Hub>,
    /// Where the client came in, as it was defined then.
    endpoint: Endpoint,
    out: mpsc::Sender<Parts>,
    session: Mutex<Option<Arc<Session>>>,
    running: Mutex<HashMap<Bytes, CancellationToken>>,
}

impl Duplex {
    /// A client at an endpoint, and the messages that are to be carried to it. They end with the client.
    pub fn open(hub: Arc<Hub>, endpoint: Endpoint) -> (Self, mpsc::Receiver<Parts>) {
        let (out, messages) = mpsc::channel(OUT_QUEUE);
        let (session, running) = Default::default();
        let connection = Arc::new(Connection { hub, endpoint, out, session, running });
        (Self { connection, tasks: JoinSet::new() }, messages)
    }

    /// Takes a message of the client, or a batch. Its answer comes when it is there.
    pub async fn take(&mut self, text: Bytes) {
        self.connection.take(text, &mut self.tasks).await;
        while self.tasks.try_join_next().is_some() {}
        while self.tasks.len() >= UNDER_WAY_MAX {
            self.tasks.join_next().await;
        }
    }

    /// Refuses what could not be read.
    pub async fn refuse(&self, refusal: &Refusal) {
        self.connection.send(refusal.render(b"", true)).await;
    }

    /// Waits until nobody carries messages to the client any more, or the hub wants to stop.
    pub async fn over(&self) {
        tokio::select! {
            () = self.connection.out.closed() => {}
            () = self.connection.hub.draining.cancelled() => {}
        }
    }

    /// The client says nothing more: what it has asked is still answered.
    pub async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.end().await;
    }

    /// The client has gone: what it has asked is given up, since nobody can be told the answer.
    pub async fn leave(mut self) {
        self.tasks.shutdown().await;
        self.end().await;
    }

    async fn end(self) {
        let session = self.connection.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session {
            self.connection.hub.end_session(&session.id).await;
        }
    }
}

impl Connection {
    async fn send(&self, message: Parts) {
        let _ = self.out.send(message).await;
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn take(self: &Arc<Self>, line: Bytes, tasks: &mut JoinSet<()>) {
        if line.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'[') {
            return self.message(line, tasks).await;
        }
        let takes_batches = self.session().is_some_and(|s| s.handshake.revision == Revision::V2025_03_26);
        let refusal = match batch(&line, BATCH_MAX) {
            Ok(items) if takes_batches => {
                for item in items {
                    self.message(item, tasks).await;
                }
                return;
            }
            Ok(_) => Refusal::new(wire::INVALID_REQUEST, "batches belong to revision 2025-03-26 only"),
            Err(fault) => malformed(fault),
        };
        self.send(refusal.render(b"", true)).await;
    }

    async fn message(self: &Arc<Self>, line: Bytes, tasks: &mut JoinSet<()>) {
        let frame = match Frame::parse(line) {
            Ok(frame) => frame,
            Err(fault) => return self.send(malformed(fault).render(b"", true)).await,
        };
        if frame.kind() == Kind::Notification && frame.method_name() == "notifications/cancelled" {
            let id = frame.raw(frame.params.request_id);
            let token = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&*id).cloned();
            if let Some(token) = token {
                return token.cancel();
            }
        }
        if frame.is_modern() {
            return self.modern(frame, tasks);
        }
        match (self.session(), &*frame.method_name()) {
            // The handshake settles what follows, so nothing is read before it is done.
            (None, "initialize") => self.initialize(&frame).await,
            (Some(session), _) => {
                let this = self.clone();
                tasks.spawn(async move {
                    let reply = match this.endpoint() {
                        Ok(endpoint) => legacy::answer(&this.hub, &endpoint, &session, frame, None).await,
                        Err(refusal) => refused(&refusal, &frame, true),
                    };
                    this.send_all(reply).await;
                });
            }
            (None, _) if frame.kind() == Kind::Request => {
                let text = "initialize first, or send the modern _meta with every request";
                self.send(Refusal::new(wire::INVALID_REQUEST, text).render(&frame.raw(frame.id), true)).await;
            }
            (None, _) => {}
        }
    }

    fn modern(self: &Arc<Self>, frame: Frame, tasks: &mut JoinSet<()>) {
        let this = self.clone();
        let id = frame.share(frame.id);
        let cancel = CancellationToken::new();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), cancel.clone());
        tasks.spawn(async move {
            let work = async {
                let reply = match this.endpoint() {
                    Ok(endpoint) => modern::answer(&this.hub, &endpoint, frame, None).await,
                    Err(refusal) => refused(&refusal, &frame, false),
                };
                this.send_all(reply).await;
            };
            // Cancelling is dropping: whatever is under way is given up, and nothing more is sent.
            tokio::select! {
                () = work => {}
                () = cancel.cancelled() => {}
            }
            this.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    /// Where the client came in, as it is defined now.
    fn endpoint(&self) -> Result<Endpoint, Refusal> {
        self.hub.current(&self.endpoint).map_err(|error| Refusal::from(&error))
    }

    async fn initialize(self: &Arc<Self>, frame: &Frame) {
        let endpoint = match self.endpoint() {
            Ok(endpoint) => endpoint,
            Err(refusal) => return self.send(refusal.render(&frame.raw(frame.id), true)).await,
        };
        match legacy::initialize(&self.hub, &endpoint, frame).await {
            Ok((text, session)) => {
                *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
                self.send(text).await;
                let mut own = legacy::stream(&self.hub, endpoint, session);
                let out = self.out.downgrade();
                self.hub.spawn(async move {
                    while let Some(message) = own.next().await {
                        let Some(out) = out.upgrade() else { return };
                        if out.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
            Err(refusal) => self.send(refusal.render(&frame.raw(frame.id), true)).await,
        }
    }

    async fn send_all(&self, reply: Reply) {
        let mut messages = reply.messages();
        while let Some(message) = messages.next().await {
            self.send(message).await;
        }
    }
}

/// A request is told why it is refused; what wants no answer gets none.
fn refused(refusal: &Refusal, frame: &Frame, legacy: bool) -> Reply {
    match frame.kind() {
        Kind::Request => Reply::refused(refusal, &frame.raw(frame.id), legacy),
        _ => Reply::Accepted,
    }
}

fn malformed(fault: crate::scan::Fault) -> Refusal {
    Refusal::new(wire::PARSE_ERROR, format!("this is no JSON-RPC message: {fault}"))
}
