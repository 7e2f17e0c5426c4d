//! A connection that carries the messages of many calls both ways: the standard streams of a child, a
//! socket, a stream of events with posts beside it. Ids are remapped, a task owns each direction, and so
//! neither a slow caller nor a vanished one can hold up another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use puerto_core::{Error, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::call::questions;
use crate::frame::{Frame, Kind, Parts};
use crate::session::Session;
use crate::upstream::link::{Asked, Link, Request, closed};
use crate::upstream::mailbox::{Mail, Mailbox, Slot, mailbox};
use crate::upstream::{Event, LogRing};
use crate::wire;

/// Messages that may wait for a server to read them. A server that reads nothing holds up its own callers
/// (each until its deadline) and nobody else.
const OUT_QUEUE: usize = 256;
/// Notifications that may wait for one caller to read them; more are dropped, never the response.
const NOTICE_QUEUE: usize = 256;

/// The near end.
#[derive(Debug)]
pub struct Pipe {
    to: mpsc::Sender<Parts>,
    pending: Mutex<HashMap<u64, Pending>>,
    next: AtomicU64,
    why: OnceLock<String>,
    /// Ends when nothing more comes.
    pub closed: CancellationToken,
    /// Told by the owner: nothing more is to be sent.
    pub hang_up: CancellationToken,
    /// The process id, where a child is at the other end.
    pub pid: Option<u32>,
    /// The session that has it for itself.
    owner: Option<Weak<Session>>,
}

/// What the way to a server needs to become a pipe.
pub(super) struct Fitting<'a> {
    /// Largest message, in bytes.
    pub(super) message_max: usize,
    /// Where the server's news go.
    pub(super) events: mpsc::Sender<Event>,
    /// Where what is no message goes.
    pub(super) log: Arc<LogRing>,
    /// Where its supervision, which can end it, finds it from the moment that it exists.
    pub(super) place: &'a mut Option<Arc<Pipe>>,
    /// The session that has it for itself.
    pub(super) owner: Option<Weak<Session>>,
}

impl Fitting<'_> {
    /// The pipe, and the messages that are to be carried to its far end.
    pub(super) fn pipe(&mut self, pid: Option<u32>) -> (Arc<Pipe>, mpsc::Receiver<Parts>) {
        let (pipe, messages) = Pipe::new(pid, self.owner.take());
        *self.place = Some(pipe.clone());
        (pipe, messages)
    }
}

#[derive(Debug)]
struct Pending {
    slot: Slot,
    /// Whether notifications that belong to it are wanted.
    notices: bool,
    asker: Option<u64>,
}

impl Pending {
    fn notice(&self, frame: Frame) -> bool {
        (self.notices || self.asker.is_some()) && self.slot.before(frame, NOTICE_QUEUE)
    }
}

impl Pipe {
    /// One, and the messages that are to be carried to its far end.
    fn new(pid: Option<u32>, owner: Option<Weak<Session>>) -> (Arc<Self>, mpsc::Receiver<Parts>) {
        let (to, messages) = mpsc::channel(OUT_QUEUE);
        let pipe = Self {
            to,
            pending: Mutex::default(),
            next: AtomicU64::new(1),
            why: OnceLock::new(),
            closed: CancellationToken::new(),
            hang_up: CancellationToken::new(),
            pid,
            owner,
        };
        (Arc::new(pipe), messages)
    }

    /// An id that no other request on it has.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many ids were given out: what has been asked so far.
    pub fn asked(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Sends a request.
    pub async fn send(self: &Arc<Self>, request: Request) -> Result<Waiting> {
        let (slot, mailbox) = mailbox();
        let Request { id, notices, asker, .. } = request;
        self.locked().insert(id, Pending { slot, notices, asker });
        let quiet = matches!(&*request.method, "initialize");
        let waiting = Waiting { pipe: self.clone(), id, mailbox, over: false, quiet };
        self.tell(request.text).await?;
        Ok(waiting)
    }

    /// Sends one message.
    pub async fn tell(&self, text: Parts) -> Result<()> {
        if self.closed.is_cancelled() {
            return Err(closed("before the request was sent"));
        }
        self.to.send(text).await.map_err(|_| closed("before the request was sent"))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that nothing more comes, and why; the first reason stays. Whoever waits is told.
    pub fn close(&self, why: impl Into<String>) {
        let _ = self.why.set(why.into());
        self.closed.cancel();
        self.locked().clear();
    }

    /// Why nothing more comes.
    pub fn why(&self) -> &str {
        self.why.get().map_or("its connection was lost", String::as_str)
    }

    /// Ends one request with an error, where its message could not be carried.
    pub fn fail(&self, id: u64, error: Error) {
        if let Some(pending) = self.locked().remove(&id) {
            pending.slot.fail(error);
        }
    }

    /// Reads a message that has come. What is none is kept in the log, where people look: many servers
    /// greet on standard output, and it does no harm.
    pub fn read(self: &Arc<Self>, text: &Bytes, events: &mpsc::Sender<Event>, log: &LogRing) {
        match Frame::parse(text.clone()) {
            Ok(frame) => self.take(frame, events),
            Err(fault) => {
                let text = String::from_utf8_lossy(&text[..text.len().min(LogRing::LINE_MAX)]);
                log.push(format!("puerto: this is no MCP message ({fault}): {text}"));
            }
        }
    }

    /// Gives a message to whom it concerns.
    fn take(self: &Arc<Self>, frame: Frame, events: &mpsc::Sender<Event>) {
        match frame.kind() {
            Kind::Response => {
                let id = std::str::from_utf8(&frame.raw(frame.id)).ok().and_then(|id| id.parse::<u64>().ok());
                let pending = id.and_then(|id| self.locked().remove(&id));
                if let Some(pending) = pending {
                    pending.slot.answer(frame);
                }
            }
            Kind::Request => self.question(&frame),
            Kind::Notification => self.notice(&frame, events),
            Kind::Nothing => {}
        }
    }

    /// A question goes to the client whose call is under way, else to the one whose server this is. Where calls of
    /// several clients are, nobody can tell whose question it is, and showing it to the wrong one would leak.
    fn question(self: &Arc<Self>, frame: &Frame) {
        let asked = Asked { link: Link::Pipe(self.clone()), session: None, id: frame.share(frame.id) };
        let method = frame.method_name();
        if method == "ping" {
            let _ = self.to.try_send(wire::result(&asked.id, ""));
            return;
        }
        let roots = method == "roots/list";
        let passed_on = {
            let pending = self.locked();
            let mut askers = pending.values().filter(|p| p.asker.is_some());
            let first = askers.next();
            let alone = first.is_some_and(|f| askers.all(|p| p.asker == f.asker));
            first.filter(|_| alone).is_some_and(|p| p.notice(frame.clone()))
        };
        if passed_on {
            return;
        }
        if let Some(owner) = self.owner.as_ref().and_then(Weak::upgrade) {
            if let Some(answer) = questions::put(&owner, &asked, frame) {
                let _ = self.to.try_send(answer);
            }
            return;
        }
        let refusal = if roots {
            wire::result(&asked.id, r#""roots":[]"#)
        } else {
            wire::Refusal::new(wire::METHOD_NOT_FOUND, "no client can be asked now").render(&asked.id, false)
        };
        let _ = self.to.try_send(refusal);
    }

    fn notice(&self, frame: &Frame, events: &mpsc::Sender<Event>) {
        if let Some(event) = Event::from_notice(frame) {
            let _ = events.try_send(event);
            return;
        }
        let pending = self.locked();
        let concerned = match &*frame.method_name() {
            "notifications/progress" => {
                let token = std::str::from_utf8(&frame.raw(frame.params.progress_token))
                    .ok()
                    .and_then(|t| t.parse().ok());
                token.and_then(|token: u64| pending.get(&token))
            }
            // A log line names no request: it belongs to the one under way, where there is only one.
            "notifications/message" if pending.len() == 1 => pending.values().next(),
            _ => None,
        };
        if concerned.is_some_and(|concerned| concerned.notice(frame.clone())) {
            return;
        }
        let owner = self.owner.as_ref().and_then(Weak::upgrade);
        if let Some(owner) = owner.filter(|_| frame.method_name() == "notifications/message") {
            questions::log_line(&owner, frame);
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Waiting {
    pipe: Arc<Pipe>,
    id: u64,
    mailbox: Mailbox,
    over: bool,
    quiet: bool,
}

impl Waiting {
    /// Where it runs.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// The next message for this request.
    pub async fn next(&mut self) -> Result<Frame> {
        match self.mailbox.next().await {
            Some(Mail::Before(frame)) => Ok(frame),
            Some(Mail::Answer(answer)) => {
                self.over = true;
                answer
            }
            None => {
                self.over = true;
                Err(closed("while the call was under way"))
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over || self.pipe.locked().remove(&self.id).is_none() || self.quiet {
            return;
        }
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{}}}}}"#,
            self.id
        );
        // A server whose queue is full reads nothing, so it would not read this either.
        let _ = self.pipe.to.try_send(text.into());
    }
}
