//! A server's live side: it is started, watched, restarted after a crash, stopped as a whole, and its
//! offer is kept. One task supervises one server, so no server can hold up another.

mod breaker;
pub mod handshake;
pub mod http;
mod instances;
pub mod link;
pub mod local;
mod mailbox;
pub mod pipe;
pub mod pool;
mod sse;
pub mod stdio;
mod supervise;
pub mod tcp;
pub(crate) mod watch;
mod websocket;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use puerto_core::def::ServerDef;
use puerto_core::{Code, Error, Result, Retry, ServerName, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::builtin::Builtin;
use crate::frame::Frame;
use crate::offer::{About, ListKind, Offer};
use crate::session::Session;
use link::Link;

/// Calls that may wait for a free place at one server; beyond it they are refused at once.
const QUEUE_MAX: usize = 512;
/// Time that lists give a server to come up for the first time. Servers in Python take up to 1.5 s; clients give
/// up after 30 s. What is missing then is announced when it is there.
const FIRST_OFFER: Duration = Duration::from_secs(5);

/// How to reach a server, worked out from its definition.
pub enum Reach {
    /// Run a child process.
    Stdio(stdio::Program),
    /// Ask over HTTP.
    Http {
        /// Its address.
        uri: ::http::Uri,
        /// Headers on every request.
        headers: ::http::HeaderMap,
        /// Which way of speaking over it.
        over: Over,
    },
    /// Connect over TCP.
    Tcp(tcp::Address),
    /// It lives in this process; made anew at each start.
    Builtin(Make),
}

/// Makes a server in this process. What it has to fetch for that counts as its startup.
pub type Make = Box<dyn Fn(&Rules) -> BoxFuture<'static, Made> + Send + Sync>;
/// A server in this process, or why there is none.
pub type Made = std::result::Result<Arc<dyn Builtin>, String>;

/// Ways to speak MCP with a server behind a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Streamable HTTP.
    Streamable,
    /// HTTP+SSE, of 2024-11-05.
    Sse,
    /// Streamable HTTP, and where the server knows nothing of it HTTP+SSE.
    Either,
    /// A WebSocket.
    WebSocket,
}

/// What the supervision of all servers has in common.
pub struct Rules {
    /// Start without being asked.
    pub auto_start: bool,
    /// Restarts in a row before a server counts as failed.
    pub max_retries: u32,
    /// Longest time to the first offer.
    pub startup: Duration,
    /// Time without a call after which a process is put to rest, where its definition says nothing; zero is never.
    pub idle: Duration,
    /// Largest message of a server, in bytes.
    pub message_max: usize,
    /// How connections to HTTP servers are made.
    pub connector: pool::Connector,
    /// The part of our environment that children see.
    pub inherited: Vec<(OsString, OsString)>,
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Defined but switched off.
    Disabled,
    /// Not started yet; the first use starts it.
    Idle,
    /// Stopped by the operator.
    Stopped,
    /// Put to rest since nobody used it; the next use wakes it.
    Hibernating,
    /// On its way.
    Starting,
    /// Serves.
    Ready,
    /// Serves, but has answered none of the last calls: further ones are refused until that moment.
    Degraded {
        /// Why.
        why: String,
        /// When.
        until: Instant,
    },
    /// Crashed or unreachable; tried again at that moment.
    BackingOff {
        /// Why.
        why: String,
        /// When.
        until: Instant,
    },
    /// Given up, until somebody starts it or a call comes later.
    Failed {
        /// Why.
        why: String,
        /// Since when.
        since: Instant,
    },
}

impl State {
    /// As in REST and lists.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Disabled => "disabled",
            State::Idle => "idle",
            State::Stopped => "stopped",
            State::Hibernating => "hibernating",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded { .. } => "degraded",
            State::BackingOff { .. } => "backing_off",
            State::Failed { .. } => "failed",
        }
    }

    /// Why it does not serve.
    pub fn why(&self) -> Option<&str> {
        match self {
            State::BackingOff { why, .. } | State::Failed { why, .. } | State::Degraded { why, .. } => {
                Some(why)
            }
            _ => None,
        }
    }
}

/// What a server tells unasked.
#[derive(Debug)]
pub enum Event {
    /// A list has changed.
    Changed(ListKind),
    /// A resource has changed.
    Updated(String),
    /// The connection has closed.
    Closed,
}

impl Event {
    /// The event that a notification stands for, where it stands for one.
    pub fn from_notice(frame: &Frame) -> Option<Self> {
        match &*frame.method_name() {
            "notifications/tools/list_changed" => Some(Event::Changed(ListKind::Tools)),
            "notifications/resources/list_changed" => Some(Event::Changed(ListKind::Resources)),
            "notifications/prompts/list_changed" => Some(Event::Changed(ListKind::Prompts)),
            "notifications/resources/updated" => {
                frame.text(frame.params.uri).map(|uri| Event::Updated(uri.into()))
            }
            _ => None,
        }
    }
}

/// What a server's supervision tells its tenant.
#[derive(Debug)]
pub enum News {
    /// It has a new offer; these lists are said to have changed.
    Offer(Vec<ListKind>),
    /// One of its resources has changed, by its own URI.
    Updated(String),
    /// Its state has changed.
    State,
}

/// Hears the news of all servers of a tenant.
pub type Hear = Arc<dyn Fn(&Upstream, News) + Send + Sync>;

/// The last lines that a server wrote to its standard error, and what the hub noted about it.
#[derive(Debug, Default)]
pub struct LogRing {
    lines: Mutex<VecDeque<LogLine>>,
}

/// One line.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The text.
    pub text: String,
}

impl LogRing {
    /// Lines kept per server.
    pub const LINES_MAX: usize = 500;
    /// Bytes of a line that are kept; the rest becomes lines of its own.
    pub const LINE_MAX: usize = 4096;

    /// Adds a line; the oldest one goes when the ring is full.
    pub fn push(&self, mut text: String) {
        while text.len() > Self::LINE_MAX {
            text.pop();
        }
        let at_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == Self::LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(LogLine { at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX), text });
    }

    /// The last lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// A connection that serves.
#[derive(Debug)]
pub struct Live {
    /// The connection.
    pub link: Link,
    /// Who is at its other end.
    pub about: About,
    gate: Arc<Semaphore>,
    queued: AtomicUsize,
    events: mpsc::Sender<Event>,
}

impl Live {
    /// Whether it takes no calls any more.
    pub fn is_over(&self) -> bool {
        self.gate.is_closed()
    }

    /// Whether calls are under way or wait.
    fn is_busy(&self, places: usize) -> bool {
        self.gate.available_permits() < places || self.queued.load(Ordering::Relaxed) > 0
    }

    /// Calls that wait for a free place at the server.
    pub fn waiting(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Passes on an event that came along with the answer to a call.
    pub fn announce(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    /// Waits for a free place at the server.
    pub async fn place(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = self.gate.clone().try_acquire_owned() {
            return Ok(place);
        }
        if self.queued.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            let text = format!("{QUEUE_MAX} calls already wait for this server");
            return Err(Error::upstream(Code::Busy, text).retry(Retry::After(Duration::from_secs(1))));
        }
        let _queued = Queued(&self.queued);
        let gone = |_| link::closed("while the call waited for a free place");
        self.gate.clone().acquire_owned().await.map_err(gone)
    }
}

struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Command {
    Start,
    Stop(oneshot::Sender<()>),
    Restart,
}

/// A server's live side.
pub struct Upstream {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: ServerName,
    /// Its definition.
    pub def: ServerDef,
    /// What it wrote to its standard error.
    pub log: Arc<LogRing>,
    reach: Arc<Reach>,
    rules: Arc<Rules>,
    hear: Hear,
    /// The session that it serves and no other.
    owner: Option<Weak<Session>>,
    /// The server has refused the era of that session, or hung up on it.
    turned_modern: std::sync::atomic::AtomicBool,
    /// Those that serve one session each in its place.
    instances: instances::Instances,
    state: tokio::sync::watch::Sender<State>,
    live: ArcSwapOption<Live>,
    offer: ArcSwapOption<Offer>,
    confirmed: std::sync::atomic::AtomicBool,
    restarts: AtomicU32,
    ready_since: Mutex<Option<Instant>>,
    /// When it was first asked to come up; nothing once it has failed to.
    coming_since: Mutex<Option<Instant>>,
    commands: mpsc::Sender<Command>,
    subscriptions: Arc<watch::Subscriptions>,
    /// Ends its supervision.
    stopping: CancellationToken,
    /// Another one has taken its place.
    retired: std::sync::atomic::AtomicBool,
    breaker: breaker::Breaker,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({}:{})", self.tenant, self.name)
    }
}

/// What a new upstream needs.
pub struct Birth {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: ServerName,
    /// Its definition.
    pub def: ServerDef,
    /// How to reach it.
    pub reach: Arc<Reach>,
    /// What all have in common.
    pub rules: Arc<Rules>,
    /// What it offered when it was last seen.
    pub remembered: Option<Offer>,
    /// The one whose place it takes.
    pub before: Option<Arc<Upstream>>,
    /// Who hears its news.
    pub hear: Hear,
    /// The session that it is to serve and no other.
    pub owner: Option<Weak<Session>>,
    /// Where its words are kept.
    pub log: Arc<LogRing>,
}

impl Upstream {
    /// An upstream and its supervision, which ends when the token does and is awaited by its owner.
    pub fn spawn(birth: Birth, tasks: &mut tokio::task::JoinSet<()>, stop: &CancellationToken) -> Arc<Self> {
        let stop = stop.child_token();
        let before = birth.before.as_ref();
        let remembered = birth.remembered.map(Arc::new).or_else(|| before?.offer());
        let alike = before.filter(|before| before.def.sharing == birth.def.sharing);
        let subscriptions = alike.map(|before| before.subscriptions.clone()).unwrap_or_default();
        let (commands, orders) = mpsc::channel(16);
        let first = if birth.def.enabled { State::Idle } else { State::Disabled };
        let breaker = breaker::Breaker::new(birth.def.max_failures.unwrap_or(breaker::FAILURES));
        let upstream = Arc::new(Self {
            tenant: birth.tenant,
            name: birth.name,
            def: birth.def,
            log: birth.log,
            reach: birth.reach,
            rules: birth.rules,
            hear: birth.hear,
            owner: birth.owner,
            turned_modern: false.into(),
            instances: instances::Instances::default(),
            state: tokio::sync::watch::Sender::new(first),
            live: ArcSwapOption::empty(),
            offer: ArcSwapOption::new(remembered),
            confirmed: false.into(),
            restarts: AtomicU32::new(0),
            ready_since: Mutex::default(),
            coming_since: Mutex::new(Some(Instant::now())),
            commands,
            subscriptions,
            stopping: stop.clone(),
            retired: false.into(),
            breaker,
        });
        if upstream.def.enabled {
            let upstream = upstream.clone();
            tasks.spawn(async move {
                supervise::supervise(upstream.clone(), orders, stop).await;
                upstream.instances.ended().await;
            });
        }
        upstream
    }

    /// Whether another one has taken its place.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Ends it for good, and its instances with it: calls under way finish, and nobody hears of it any more.
    pub async fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        let drained = async {
            loop {
                let instances = self.instances.all();
                let all = instances.iter().map(|own| &**own).chain([self]);
                futures_util::future::join_all(all.map(Self::idle)).await;
                // A call that was on its way may have made another one.
                if self.instances.all().len() == instances.len() {
                    return;
                }
            }
        };
        tokio::select! {
            () = drained => {}
            () = self.stopping.cancelled() => {}
        }
        self.stopping.cancel();
    }

    /// Waits until no call is under way, also where it is only coming up for one.
    async fn idle(&self) {
        if self.owner.is_some() {
            self.first_offer(Instant::now() + self.rules.startup).await;
        }
        if let Some(live) = self.connected() {
            supervise::drained(self, &live).await;
        }
    }

    /// How it is.
    pub fn state(&self) -> State {
        let state = self.state.borrow().clone();
        match (state, self.breaker.open_for()) {
            (State::Ready, Some(left)) => {
                State::Degraded { why: self.silence(), until: Instant::now() + left }
            }
            (state, _) => state,
        }
    }

    fn silence(&self) -> String {
        format!("{} calls in a row got no answer", self.breaker.failures())
    }

    /// Lets a call through, unless the last ones all got no answer.
    pub fn pass(&self) -> Result<()> {
        self.breaker.pass().map_err(|wait| self.spared(wait))
    }

    fn spared(&self, wait: Duration) -> Error {
        let text = format!(
            "server {:?} is not called now: {}; the next trial is in {:.1} s",
            self.name.as_str(),
            self.silence(),
            wait.as_secs_f32()
        );
        Error::upstream(Code::UpstreamDown, text).retry(Retry::After(wait))
    }

    /// Takes note of how a call has ended: with an answer, or without one.
    pub fn note(&self, answered: bool) {
        if answered {
            self.breaker.answered();
        } else if self.breaker.failed() {
            tracing::warn!(tenant = %self.tenant, server = %self.name, "{}; calls are refused for a while", self.silence());
        }
    }

    /// What it offers, or last offered.
    pub fn offer(&self) -> Option<Arc<Offer>> {
        self.offer.load_full()
    }

    /// Whether the offer was confirmed by the server since this process began.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Starts since the first.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// How long it has been serving.
    pub fn uptime(&self) -> Option<Duration> {
        self.ready_since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// The process id, where it is a child that runs.
    pub fn pid(&self) -> Option<u32> {
        match &self.live.load_full()?.link {
            Link::Pipe(pipe) => pipe.pid,
            _ => None,
        }
    }

    /// The connection, where it serves now.
    pub fn connected(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// The connection, once it serves. A server known to be down answers at once with an error that says
    /// why and when the next try is; one that is starting is waited for until the deadline.
    pub async fn live(&self, deadline: Instant) -> Result<Arc<Live>> {
        if let Some(live) = self.live.load_full() {
            return Ok(live);
        }
        self.wake();
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|s| !matches!(s, State::Idle | State::Starting));
        let name = self.name.as_str();
        let settled = tokio::select! {
            settled = tokio::time::timeout_at(deadline, settled) => settled.map(|r| r.map(|s| s.clone())),
            () = self.stopping.cancelled() => return Err(self.ended_meanwhile()),
        };
        match settled {
            Ok(Ok(State::Ready)) => self.live.load_full().ok_or_else(|| link::closed("just now")),
            Ok(Ok(state)) => Err(self.down(&state)),
            Ok(Err(_)) => Err(Error::hub(Code::Stopping, "Puerto is stopping")),
            Err(_) => {
                let text = format!("server {name:?} is still starting");
                Err(Error::upstream(Code::UpstreamTimeout, text))
            }
        }
    }

    /// It is being ended: with the hub, or since it is defined otherwise now.
    fn ended_meanwhile(&self) -> Error {
        let text = format!(
            "server {:?} gives way to another definition, or Puerto is stopping; try again",
            self.name.as_str()
        );
        Error::upstream(Code::UpstreamDown, text).retry(Retry::After(Duration::ZERO))
    }

    fn down(&self, state: &State) -> Error {
        let name = self.name.as_str();
        let now = Instant::now();
        match state {
            State::Disabled => Error::caller(Code::NotFound, format!("server {name:?} is disabled")),
            State::BackingOff { why, until } => {
                let wait = until.saturating_duration_since(now);
                let text = format!("server {name:?} is down: {why}; next try in {:.1} s", wait.as_secs_f32());
                Error::upstream(Code::UpstreamDown, text).retry(Retry::After(wait))
            }
            State::Failed { why, .. } => {
                Error::upstream(Code::UpstreamDown, format!("server {name:?} has failed: {why}"))
            }
            _ => {
                Error::upstream(Code::UpstreamDown, format!("server {name:?} is stopped; start it to use it"))
            }
        }
    }

    /// Starts it where it is only waiting for a first use, or has failed some time ago.
    fn wake(&self) {
        // Trying a failed server again at every call would start a process per call.
        const AGAIN: Duration = Duration::from_secs(30);
        let wake = match &*self.state.borrow() {
            State::Idle | State::Hibernating => true,
            State::Failed { since, .. } => since.elapsed() >= AGAIN,
            _ => false,
        };
        if wake {
            if matches!(*self.state.borrow(), State::Idle) {
                *self.coming_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            self.state.send_replace(State::Starting);
            let _ = self.commands.try_send(Command::Start);
        }
    }

    /// Until when a list should wait for this server, which has never been seen: one that comes up for the
    /// first time gets a moment. One that is stopped, down or slow gets none.
    pub fn awaited_until(&self) -> Option<Instant> {
        if !matches!(*self.state.borrow(), State::Idle | State::Starting) {
            return None;
        }
        self.wake();
        let since = *self.coming_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since + FIRST_OFFER).filter(|until| *until > Instant::now())
    }

    /// Waits for the first offer.
    pub async fn first_offer(&self, deadline: Instant) {
        let mut state = self.state.subscribe();
        let coming = state.wait_for(|s| !matches!(s, State::Idle | State::Starting));
        let _ = tokio::time::timeout_at(deadline, coming).await;
    }

    /// Waits until it is no longer coming up, whatever comes of it.
    pub async fn settled(&self, deadline: Instant) {
        if !self.rules.auto_start {
            return;
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|s| !matches!(s, State::Idle | State::Starting));
        let _ = tokio::time::timeout_at(deadline, settled).await;
    }

    /// Starts it and waits until it serves or has failed.
    pub async fn start(&self, deadline: Instant) -> Result<()> {
        if matches!(*self.state.borrow(), State::Disabled) {
            return Err(Error::caller(
                Code::Conflict,
                format!("server {:?} is disabled in the configuration", self.name.as_str()),
            ));
        }
        if matches!(*self.state.borrow(), State::Ready) {
            return Ok(());
        }
        self.state.send_replace(State::Starting);
        let _ = self.commands.send(Command::Start).await;
        self.live(deadline).await.map(drop)
    }

    /// Stops it, with its instances, and waits until they are gone.
    pub async fn stop(&self) {
        self.stop_alone().await;
        // Only now, when no call makes another one.
        futures_util::future::join_all(self.instances.take().iter().map(|own| own.end())).await;
    }

    async fn stop_alone(&self) {
        let (done, gone) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).await.is_ok() {
            let _ = gone.await;
        }
    }

    /// Stops it and starts it again.
    pub async fn restart(&self, deadline: Instant) -> Result<()> {
        if matches!(*self.state.borrow(), State::Disabled) {
            return self.start(deadline).await;
        }
        self.stop().await;
        self.start(deadline).await
    }

    /// Replaces a connection that turned out to be dead.
    pub fn reconnect(&self) {
        let _ = self.commands.try_send(Command::Restart);
    }

    /// Wants to hear of changes of a resource. Answers when the server has taken note.
    pub async fn subscribe(&self, uri: &str, deadline: Instant) -> Result<()> {
        if let Some(wait) = self.breaker.open_for().filter(|wait| !wait.is_zero()) {
            return Err(self.spared(wait));
        }
        let live = self.live(deadline).await?;
        if !live.about.can.subscribe {
            let text = format!("server {:?} does not tell when resources change", self.name.as_str());
            return Err(Error::caller(Code::InvalidArguments, text));
        }
        self.subscriptions.add(&live, uri, deadline).await
    }

    /// No longer wants to hear of it.
    pub async fn unsubscribe(&self, uri: &str) {
        let live = self.live.load_full();
        self.subscriptions.remove(live.as_deref(), uri).await;
    }

    /// Waits until changes of lists are heard, where the server tells them.
    pub async fn hears(&self, deadline: Instant) {
        if let Some(live) =
            self.live.load_full().filter(|l| l.about.can.list_changed || l.about.can.subscribe)
        {
            self.subscriptions.stands(&live, deadline).await;
        }
    }

    /// Time without a call after which its process is put to rest. What one session keeps there stays until it ends.
    fn idle_limit(&self) -> Option<Duration> {
        if self.owner.is_some() {
            return None;
        }
        let limit = self.def.idle_timeout.map_or(self.rules.idle, |s| Duration::from_secs(s.into()));
        (!limit.is_zero()).then_some(limit)
    }

    /// The environment of a child: the allow-listed part of ours, the tenant's, its own.
    fn environment(&self, tenant: &BTreeMap<String, puerto_core::Secret>) -> Vec<(OsString, OsString)> {
        let pair = |(name, value): (&String, &puerto_core::Secret)| {
            (OsString::from(name), OsString::from(value.reveal()))
        };
        let mut all: BTreeMap<OsString, OsString> = self.rules.inherited.iter().cloned().collect();
        all.extend(tenant.iter().map(pair));
        all.extend(self.def.env.iter().map(pair));
        all.into_iter().collect()
    }
}
