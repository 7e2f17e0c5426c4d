//! Legacy sessions with clients: what a handshake settled, the way back to the client, questions that wait
//! for its answer. Ids are random and are no credential: a session is looked up only within its endpoint.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use puerto_core::{Code, Error, Result, Retry, ServerName, TenantId};
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Scope};
use crate::era::Revision;
use crate::frame::Parts;
use crate::upstream::http::RemoteSession;
use crate::upstream::link::{Asked, modern_meta};

/// Messages that may wait for a client to open its stream; more are dropped, the newest first.
const OUTBOX: usize = 256;
/// Questions that may wait for one client's answers.
const QUESTIONS_MAX: usize = 64;

/// What a client said of itself in its handshake.
#[derive(Debug)]
pub struct Handshake {
    /// The revision that was settled on.
    pub revision: Revision,
    /// Its capabilities, as written.
    pub capabilities: Bytes,
    /// Its name and version, as written.
    pub client_info: Bytes,
    /// Its name, for logs.
    pub client: Option<Arc<str>>,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    /// A number for it within this process.
    pub number: u64,
    /// Its id on the wire.
    pub id: String,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// The part of it that the client came in to; it is confined to that.
    pub scope: Scope,
    /// What the client said of itself.
    pub handshake: Handshake,
    /// Ends with the session.
    pub ended: CancellationToken,
    outbox: mpsc::Sender<Parts>,
    inbox: AsyncMutex<mpsc::Receiver<Parts>>,
    state: Mutex<State>,
    started: Instant,
    used_ms: AtomicU64,
    next_question: AtomicU64,
    as_modern: OnceLock<String>,
}

#[derive(Debug, Default)]
struct State {
    level: Option<Level>,
    questions: HashMap<String, Asked>,
    // Mostly one or two, which a tree finds faster than a hash.
    running: BTreeMap<Bytes, CancellationToken>,
    remotes: BTreeMap<ServerName, Arc<RemoteSession>>,
    subscriptions: HashSet<String>,
}

/// Severity of log messages, as in RFC 5424.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the protocol's own names")]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl Level {
    const ALL: [(&'static str, Level); 8] = [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("notice", Level::Notice),
        ("warning", Level::Warning),
        ("error", Level::Error),
        ("critical", Level::Critical),
        ("alert", Level::Alert),
        ("emergency", Level::Emergency),
    ];

    /// From the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, level)| *level)
    }

    /// As on the wire.
    pub fn text(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl Session {
    /// The members of `_meta` with which its requests go to servers that speak only the modern era. No
    /// question can come back from there, so no capability to be asked is declared; extensions pass.
    pub fn as_modern(&self) -> &str {
        self.as_modern.get_or_init(|| {
            let info = String::from_utf8_lossy(&self.handshake.client_info);
            let said: Value = serde_json::from_slice(&self.handshake.capabilities).unwrap_or_default();
            let can = match said.get("extensions").filter(|extensions| extensions.is_object()) {
                Some(extensions) => format!(r#"{{"extensions":{extensions}}}"#),
                None => "{}".to_owned(),
            };
            modern_meta(&can, if info.is_empty() { "{}" } else { &info })
        })
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that it was used.
    pub fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now, Ordering::Relaxed);
    }

    /// For how long it was not used.
    pub(crate) fn idle(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.used_ms.load(Ordering::Relaxed)))
    }

    /// Whether the client said that it can be asked this.
    pub fn can_answer(&self, method: &str) -> bool {
        let capability = match method {
            "sampling/createMessage" => "sampling",
            "elicitation/create" => "elicitation",
            "roots/list" => "roots",
            _ => return false,
        };
        serde_json::from_slice::<Value>(&self.handshake.capabilities)
            .is_ok_and(|caps| caps.get(capability).is_some_and(Value::is_object))
    }

    /// Puts a message on the client's own stream.
    pub fn send(&self, message: Parts) -> bool {
        self.outbox.try_send(message).is_ok()
    }

    /// The stream's messages. Only one stream reads at a time; a later one takes over when it has gone.
    pub async fn received(&self) -> tokio::sync::MutexGuard<'_, mpsc::Receiver<Parts>> {
        self.inbox.lock().await
    }

    /// Remembers a question and gives it an id of ours.
    pub fn ask(&self, asked: Asked) -> Option<String> {
        let id = format!("puerto-{}", self.next_question.fetch_add(1, Ordering::Relaxed));
        let mut state = self.locked();
        (state.questions.len() < QUESTIONS_MAX).then(|| {
            state.questions.insert(format!("\"{id}\""), asked);
            id
        })
    }

    /// The question that an answer belongs to; the id is as written.
    pub fn asked(&self, id: &[u8]) -> Option<Asked> {
        self.locked().questions.remove(std::str::from_utf8(id).ok()?)
    }

    /// Sets the severity from which on the client wants log messages.
    pub fn set_level(&self, level: Level) {
        self.locked().level = Some(level);
    }

    /// That severity. Until the client sets one, the server decides, so everything passes.
    pub fn level(&self) -> Option<Level> {
        self.locked().level
    }

    /// Notes that a request runs; the token ends it. False where its id is in use.
    pub fn begin(&self, id: Bytes, cancel: CancellationToken) -> bool {
        self.locked().running.insert(id, cancel).is_none()
    }

    /// Notes that a request is over.
    pub fn finish(&self, id: &[u8]) {
        self.locked().running.remove(id);
    }

    /// Cancels a request.
    pub fn cancel(&self, id: &[u8]) {
        if let Some(cancel) = self.locked().running.get(id) {
            cancel.cancel();
        }
    }

    /// This client's own session at a legacy HTTP server, and whether it is new. It carries the client's
    /// own capabilities, so the server sees what it would see without us.
    pub fn remote(&self, server: &ServerName) -> (Arc<RemoteSession>, bool) {
        let mut state = self.locked();
        if let Some(remote) = state.remotes.get(server) {
            return (remote.clone(), false);
        }
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let remote = Arc::new(RemoteSession::new(
            text(&self.handshake.capabilities),
            text(&self.handshake.client_info),
        ));
        state.remotes.insert(server.clone(), remote.clone());
        (remote, true)
    }

    /// Its sessions at servers, to be ended with it.
    pub fn remotes(&self) -> Vec<(ServerName, Arc<RemoteSession>)> {
        std::mem::take(&mut self.locked().remotes).into_iter().collect()
    }

    /// Notes a subscription by the URI that the client used; false where it has it already.
    pub fn subscribe(&self, uri: &str) -> bool {
        self.locked().subscriptions.insert(uri.to_owned())
    }

    /// Forgets a subscription; false where there was none.
    pub fn unsubscribe(&self, uri: &str) -> bool {
        self.locked().subscriptions.remove(uri)
    }

    /// Whether the client subscribed to a resource by this URI.
    pub fn is_subscribed(&self, uri: &str) -> bool {
        self.locked().subscriptions.contains(uri)
    }

    /// What tells the client that a resource of a server has changed, where it has subscribed to it.
    pub fn updated(&self, catalog: &Catalog, server: &ServerName, uri: &str) -> Option<Parts> {
        let outward = match &self.scope.server {
            Some(own) if own == server => uri.to_owned(),
            Some(_) => return None,
            None => catalog.outward_uri(server, uri),
        };
        self.is_subscribed(&outward).then(|| resource_updated(&outward))
    }

    /// Its subscriptions.
    pub fn subscriptions(&self) -> Vec<String> {
        self.locked().subscriptions.iter().cloned().collect()
    }
}

/// All open sessions.
#[derive(Debug)]
pub struct Sessions {
    open: RwLock<HashMap<String, Arc<Session>>>,
    next: AtomicU64,
    max: usize,
    idle_max: Duration,
}

impl Sessions {
    /// None yet.
    pub fn new(max: usize, idle_max: Duration) -> Self {
        Self { open: RwLock::default(), next: AtomicU64::new(1), max, idle_max }
    }

    /// Opens one.
    pub fn open(&self, tenant: TenantId, scope: Scope, handshake: Handshake) -> Result<Arc<Session>> {
        let id = fresh_id()?;
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        let session = Arc::new(Session {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            id,
            tenant,
            scope,
            handshake,
            ended: CancellationToken::new(),
            outbox,
            inbox: AsyncMutex::new(inbox),
            state: Mutex::default(),
            started: Instant::now(),
            used_ms: AtomicU64::new(0),
            as_modern: OnceLock::new(),
            next_question: AtomicU64::new(1),
        });
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.max {
            let text = format!("{} sessions are open (gateway.max_sessions)", self.max);
            return Err(Error::hub(Code::Busy, text).retry(Retry::After(Duration::from_secs(10))));
        }
        open.insert(session.id.clone(), session.clone());
        Ok(session)
    }

    /// The session of an id at an endpoint. At any other endpoint it does not exist.
    pub fn get(&self, id: &str, tenant: &TenantId, scope: &Scope) -> Result<Arc<Session>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(id).filter(|s| s.tenant == *tenant && s.scope == *scope);
        session.inspect(|s| s.touch()).cloned().ok_or_else(|| {
            Error::caller(Code::SessionNotFound, "unknown or expired session; initialize again")
        })
    }

    /// Takes one out.
    pub fn remove(&self, id: &str) -> Option<Arc<Session>> {
        let removed = self.open.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        removed.inspect(|session| session.ended.cancel())
    }

    /// Those that nobody has used for too long.
    pub fn expired(&self) -> Vec<String> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().filter(|s| s.idle() > self.idle_max).map(|s| s.id.clone()).collect()
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What tells a client that a resource has changed, by the URI that it uses.
pub(crate) fn resource_updated(uri: &str) -> Parts {
    let uri = Value::from(uri);
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#)
        .into()
}

/// An id that nobody can guess.
pub(crate) fn fresh_id() -> Result<String> {
    let mut random = [0u8; 24];
    getrandom::fill(&mut random).map_err(|cause| {
        Error::hub(Code::Internal, "no randomness for a session id")
            .inside(std::io::Error::other(cause.to_string()))
    })?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
