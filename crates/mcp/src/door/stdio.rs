//! Newline-delimited messages over any pair of streams: `puerto stdio`, and the built-in servers on their
//! own. Both eras may come over one pair; the first handshake opens its session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::door::{Reply, legacy, modern};
use crate::era::Revision;
use crate::frame::{Frame, Kind, Parts, batch};
use crate::hub::{Endpoint, Hub};
use crate::session::Session;
use crate::sse::one_line;
use crate::wire::{self, Refusal};

/// Messages that may wait for the client to read them.
const OUT_QUEUE: usize = 256;
/// Messages in one batch.
pub(super) const BATCH_MAX: usize = 100;

struct Connection {
    hub: Arc<Hub>,
    endpoint: Endpoint,
    out: mpsc::Sender<Parts>,
    session: Mutex<Option<Arc<Session>>>,
    running: Mutex<HashMap<Bytes, CancellationToken>>,
}

/// Serves one client until its input ends, the hub stops, or it no longer reads.
pub async fn serve(
    hub: Arc<Hub>,
    endpoint: Endpoint,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (out, lines) = mpsc::channel(OUT_QUEUE);
    let connection = Arc::new(Connection {
        hub: hub.clone(),
        endpoint,
        out,
        session: Mutex::default(),
        running: Mutex::default(),
    });
    let writer = tokio::spawn(write(output, lines));
    let mut tasks = tokio::task::JoinSet::new();
    read(&connection, input, &mut tasks).await;
    // What was asked before the input ended is still answered.
    while tasks.join_next().await.is_some() {}
    let session = connection.session.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(session) = session {
        hub.end_session(&session.id).await;
    }
    drop(connection);
    let _ = writer.await;
}

async fn write(mut output: impl AsyncWrite + Unpin, mut lines: mpsc::Receiver<Parts>) {
    while let Some(line) = lines.recv().await {
        let mut buffer = BytesMut::from(&one_line(line).whole()[..]);
        buffer.extend_from_slice(b"\n");
        while let Ok(more) = lines.try_recv() {
            one_line(more).iter().for_each(|part| buffer.extend_from_slice(part));
            buffer.extend_from_slice(b"\n");
        }
        if output.write_all(&buffer).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

async fn read(
    connection: &Arc<Connection>,
    mut input: impl AsyncRead + Unpin,
    tasks: &mut tokio::task::JoinSet<()>,
) {
    let limit = connection.hub.settings.body_max;
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    let mut searched = 0;
    loop {
        while let Some(step) = memchr::memchr(b'\n', &buffer[searched..]) {
            let line = buffer.split_to(searched + step + 1).freeze();
            searched = 0;
            let line = line.slice_ref(line.trim_ascii());
            if !line.is_empty() {
                connection.take(line, tasks).await;
            }
            while tasks.try_join_next().is_some() {}
        }
        searched = buffer.len();
        if searched > limit {
            let refusal = Refusal::new(
                wire::INVALID_REQUEST,
                format!("a line is longer than {limit} bytes (gateway.max_body_bytes)"),
            );
            connection.send(refusal.render(b"", true)).await;
            return;
        }
        buffer.reserve(16 * 1024);
        let read = tokio::select! {
            read = input.read_buf(&mut buffer) => read,
            () = connection.out.closed() => return,
            () = connection.hub.draining.cancelled() => return,
        };
        if !matches!(read, Ok(1..)) {
            return;
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

    async fn take(self: &Arc<Self>, line: Bytes, tasks: &mut tokio::task::JoinSet<()>) {
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

    async fn message(self: &Arc<Self>, line: Bytes, tasks: &mut tokio::task::JoinSet<()>) {
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
                    let reply = legacy::answer(&this.hub, &this.endpoint, &session, frame).await;
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

    fn modern(self: &Arc<Self>, frame: Frame, tasks: &mut tokio::task::JoinSet<()>) {
        let this = self.clone();
        let id = frame.share(frame.id);
        let cancel = CancellationToken::new();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), cancel.clone());
        tasks.spawn(async move {
            let work = async {
                let reply = modern::answer(&this.hub, &this.endpoint, frame, None).await;
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

    async fn initialize(self: &Arc<Self>, frame: &Frame) {
        match legacy::initialize(&self.hub, &self.endpoint, frame).await {
            Ok((text, session)) => {
                *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
                self.send(text).await;
                let mut own = legacy::stream(&self.hub, self.endpoint.clone(), session);
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

fn malformed(fault: crate::scan::Fault) -> Refusal {
    Refusal::new(wire::PARSE_ERROR, format!("the line is no JSON-RPC message: {fault}"))
}
