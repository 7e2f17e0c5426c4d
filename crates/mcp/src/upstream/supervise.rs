//! The life of one server: start, probe, list, serve, crash, wait, start again. Only this task starts and
//! stops its process, so there is never more than one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, Uri};
use puerto_core::def::{EraDef, Sharing};
use puerto_core::{Code, Error, Result};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::http::Remote;
use super::link::Link;
use super::local::Local;
use super::pipe::{Fitting, Pipe};
use super::stdio::Process;
use super::{Command, Event, Live, News, Over, Reach, State, Upstream};
use super::{handshake, sse, stdio, tcp, watch, websocket};
use crate::offer::{About, ListKind, Offer};

/// First wait after a failure; it doubles with each further one.
const BACK_OFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait between two tries.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A server that has served this long is taken for healthy: its failures are forgotten.
const HEALTHY: Duration = Duration::from_secs(60);
/// Changes that come within this time are one: servers often announce several lists in a row.
const SETTLE: Duration = Duration::from_millis(50);
/// Wait before a process that is to be replaced, and is busy, is looked at again.
const BUSY: Duration = Duration::from_secs(1);
/// Events of one server that may wait to be handled.
const EVENT_QUEUE: usize = 256;

/// Why a server no longer serves.
enum End {
    Stop(Option<oneshot::Sender<()>>),
    Again,
    /// Nobody has used it for a while.
    Unused,
    /// Its process has lived long enough.
    Aged,
    Broken(String),
    Shutdown,
}

/// Supervises one server until shutdown.
pub(super) async fn supervise(
    upstream: Arc<Upstream>,
    mut orders: mpsc::Receiver<Command>,
    shutdown: CancellationToken,
) {
    let mut wanted = upstream.rules.auto_start;
    let mut failures = 0u32;
    loop {
        if !wanted {
            match rest(&upstream, &mut orders, &shutdown).await {
                true => wanted = true,
                false => return,
            }
        }
        let began = Instant::now();
        match serve(&upstream, &mut orders, &shutdown).await {
            End::Shutdown => return,
            End::Again | End::Aged => failures = 0,
            End::Unused => {
                wanted = false;
                failures = 0;
            }
            End::Stop(done) => {
                wanted = false;
                failures = 0;
                upstream.set(State::Stopped);
                done.map(|done| done.send(()));
            }
            End::Broken(why) => {
                failures = if began.elapsed() >= HEALTHY { 1 } else { failures + 1 };
                upstream.log.push(format!("puerto: {why}"));
                *upstream.coming_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
                if failures > upstream.rules.max_retries {
                    tracing::error!(tenant = %upstream.tenant, server = %upstream.name, why, "server has failed");
                    upstream.set(State::Failed { why, since: Instant::now() });
                    wanted = false;
                    failures = 0;
                    continue;
                }
                tracing::warn!(tenant = %upstream.tenant, server = %upstream.name, why, "server is down, will try again");
                match back_off(&upstream, &mut orders, &shutdown, why, failures).await {
                    End::Shutdown => return,
                    End::Stop(done) => {
                        wanted = false;
                        upstream.set(State::Stopped);
                        done.map(|done| done.send(()));
                    }
                    End::Again | End::Unused | End::Aged | End::Broken(_) => {}
                }
            }
        }
        upstream.restarts.fetch_add(u32::from(wanted), Ordering::Relaxed);
    }
}

/// Waits to be wanted; false at shutdown.
async fn rest(
    upstream: &Upstream,
    orders: &mut mpsc::Receiver<Command>,
    shutdown: &CancellationToken,
) -> bool {
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Command::Start | Command::Restart) => return true,
                // One that rests would be woken by the next call.
                Some(Command::Stop(done)) => {
                    upstream.set(State::Stopped);
                    let _ = done.send(());
                }
                None => return false,
            },
            () = shutdown.cancelled() => return false,
        }
    }
}

async fn back_off(
    upstream: &Upstream,
    orders: &mut mpsc::Receiver<Command>,
    shutdown: &CancellationToken,
    why: String,
    failures: u32,
) -> End {
    let longest = BACK_OFF_MIN.saturating_mul(1 << failures.min(10).saturating_sub(1)).min(BACK_OFF_MAX);
    // Jitter, so that servers that died together do not come back together.
    let wait = longest.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
    let until = Instant::now() + wait;
    upstream.set(State::BackingOff { why, until });
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(until) => return End::Again,
            () = shutdown.cancelled() => return End::Shutdown,
            order = orders.recv() => match order {
                Some(Command::Start) => return End::Again,
                Some(Command::Restart) => {}
                Some(Command::Stop(done)) => return End::Stop(Some(done)),
                None => return End::Shutdown,
            },
        }
    }
}

/// One life of the server, from start to end.
async fn serve(
    upstream: &Arc<Upstream>,
    orders: &mut mpsc::Receiver<Command>,
    shutdown: &CancellationToken,
) -> End {
    upstream.set(State::Starting);
    let (events_to, mut events) = mpsc::channel(EVENT_QUEUE);
    let mut far = Far::default();
    let startup = upstream.rules.startup;
    let connected = tokio::select! {
        connected = tokio::time::timeout(startup, connect(upstream, &events_to, &mut far)) => connected,
        end = interrupted(orders, shutdown) => {
            far.stop().await;
            return end;
        }
    };
    let live = match connected {
        Ok(Ok((link, offer))) => admit(upstream, link, offer, events_to.clone()),
        Ok(Err(error)) => {
            far.stop().await;
            return if upstream.turns_modern() { End::Again } else { End::Broken(error.chain()) };
        }
        Err(_) => {
            far.stop().await;
            let why =
                format!("it did not come up within {} s (orchestrator.startup_timeout)", startup.as_secs());
            return if upstream.turns_modern() { End::Again } else { End::Broken(why) };
        }
    };
    let watching = CancellationToken::new();
    let watcher = tokio::spawn(watch::watch(upstream.clone(), live.clone(), events_to, watching.clone()));
    let end = attend(upstream, &live, &mut events, orders, shutdown, &mut far).await;
    // The state first: who finds no connection looks at it, and waits where one is coming.
    match end {
        End::Unused => upstream.set(State::Hibernating),
        End::Aged => upstream.set(State::Starting),
        _ => {}
    }
    upstream.live.store(None);
    if matches!(end, End::Unused | End::Aged) {
        drained(upstream, &live).await;
    }
    *upstream.ready_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    live.gate.close();
    watching.cancel();
    let _ = watcher.await;
    if let Link::Http(remote) = &live.link
        && let Some(control) = remote.control()
    {
        let _ = tokio::time::timeout(Duration::from_secs(1), remote.end(&control)).await;
    }
    far.stop().await;
    end
}

/// Lets calls finish that found the connection just before it was taken away.
pub(super) async fn drained(upstream: &Upstream, live: &Live) {
    let finished = async {
        while live.is_busy(upstream.def.concurrent_limit()) {
            tokio::time::sleep(SETTLE).await;
        }
    };
    let _ = tokio::time::timeout(upstream.def.call_limit(), finished).await;
}

/// What a life of a server has to end, when it is over.
#[derive(Default)]
struct Far {
    child: Option<Process>,
    socket: Option<Arc<Pipe>>,
}

impl Far {
    async fn stop(self) {
        if let Some(process) = self.child {
            process.stop().await;
        }
        if let Some(pipe) = self.socket {
            pipe.hang_up.cancel();
        }
    }

    /// Why it has ended.
    async fn ended(&mut self) -> String {
        match (&mut self.child, &self.socket) {
            (Some(process), _) => process.ended().await,
            (None, Some(pipe)) => pipe.why().to_owned(),
            (None, None) => "nobody answers at its address".into(),
        }
    }

    /// What a socket to the server is fitted with.
    fn fitting(&mut self, upstream: &Upstream, events: &mpsc::Sender<Event>) -> Fitting<'_> {
        Fitting {
            message_max: upstream.rules.message_max,
            events: events.clone(),
            log: upstream.log.clone(),
            place: &mut self.socket,
            owner: upstream.owner.clone(),
        }
    }
}

/// Only an order to stop or the shutdown interrupts a start.
async fn interrupted(orders: &mut mpsc::Receiver<Command>, shutdown: &CancellationToken) -> End {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return End::Shutdown,
            order = orders.recv() => match order {
                Some(Command::Stop(done)) => return End::Stop(Some(done)),
                Some(Command::Start | Command::Restart) => {}
                None => return End::Shutdown,
            },
        }
    }
}

/// Makes the connection and asks for everything that is offered.
async fn connect(
    upstream: &Arc<Upstream>,
    events: &mpsc::Sender<Event>,
    far: &mut Far,
) -> Result<(Link, Offer)> {
    let rules = &upstream.rules;
    match &*upstream.reach {
        Reach::Builtin(make) => {
            let server = make(rules).await.map_err(|why| Error::upstream(Code::UpstreamDown, why))?;
            let local = Local::new(server);
            let offer = local.offer();
            Ok((Link::Local(Arc::new(local)), offer))
        }
        Reach::Stdio(program) => child(upstream, program, events, far).await,
        Reach::Tcp(address) => {
            let pipe = tcp::connect(address, far.fitting(upstream, events)).await?;
            known(upstream, pipe, upstream.era()).await
        }
        Reach::Http { uri, headers, over } => match over {
            Over::Streamable => streamable(upstream, uri, headers, events).await,
            Over::WebSocket => {
                let fitting = far.fitting(upstream, events);
                let pipe = websocket::connect(&rules.connector, uri, headers, fitting).await?;
                known(upstream, pipe, upstream.era()).await
            }
            Over::Sse => sse(upstream, uri, headers, events, far).await,
            Over::Either => match streamable(upstream, uri, headers, events).await {
                // It said something, but not that it speaks Streamable HTTP.
                Err(error) if error.code() == Code::UpstreamProtocol => {
                    sse(upstream, uri, headers, events, far).await.map_err(|_| error)
                }
                known => known,
            },
        },
    }
}

async fn child(
    upstream: &Arc<Upstream>,
    program: &stdio::Program,
    events: &mpsc::Sender<Event>,
    far: &mut Far,
) -> Result<(Link, Offer)> {
    let mut program = program.clone();
    let tenant = program
        .env
        .drain(..)
        .map(|(k, v)| (k.to_string_lossy().into_owned(), puerto_core::Secret::new(v.to_string_lossy())));
    let tenant = tenant.collect();
    program.env = upstream.environment(&tenant);
    let (pipe, process) = stdio::start(&program, far.fitting(upstream, events))?;
    far.child = Some(process);
    tokio::select! {
        known = known(upstream, pipe, upstream.era()) => known,
        why = far.ended() => {
            // Where others write into the same log, the last line may be about what another client did.
            let last = upstream.log.last(1).pop().filter(|_| upstream.def.sharing != Sharing::PerSession);
            let last = last.map(|line| format!("; it last said: {}", line.text)).unwrap_or_default();
            Err(Error::upstream(Code::UpstreamDown, format!("{why}{last}")))
        }
    }
}

async fn streamable(
    upstream: &Arc<Upstream>,
    uri: &Uri,
    headers: &HeaderMap,
    events: &mpsc::Sender<Event>,
) -> Result<(Link, Offer)> {
    let (connector, limit) = (upstream.rules.connector.clone(), upstream.rules.message_max);
    let remote = Arc::new(Remote::new(connector, uri, headers.clone(), limit, events.clone()));
    let about = handshake::http(&remote, upstream.def.era).await?;
    let link = Link::Http(remote);
    let offer = handshake::offer(&link, about).await?;
    Ok((link, offer))
}

async fn sse(
    upstream: &Arc<Upstream>,
    uri: &Uri,
    headers: &HeaderMap,
    events: &mpsc::Sender<Event>,
    far: &mut Far,
) -> Result<(Link, Offer)> {
    let (connector, fitting) = (upstream.rules.connector.clone(), far.fitting(upstream, events));
    let pipe = sse::connect(connector, uri, headers, fitting).await?;
    // Nobody speaks the modern era over this transport.
    let era = if upstream.def.era == EraDef::Auto { EraDef::Legacy } else { upstream.era() };
    known(upstream, pipe, era).await
}

/// Gets to know the server at the other end of a pipe. What it lists is asked of the shared one only.
async fn known(upstream: &Upstream, pipe: Arc<Pipe>, era: EraDef) -> Result<(Link, Offer)> {
    let owner = upstream.owner();
    let client = owner.as_ref().map(|session| &session.handshake);
    let about = handshake::pipe(&pipe, era, client).await.map_err(|error| match error.code() {
        Code::UpstreamDown if pipe.closed.is_cancelled() => {
            Error::upstream(error.code(), pipe.why().to_owned())
        }
        _ => error,
    })?;
    let link = Link::Pipe(pipe);
    let offer = match owner {
        Some(_) => Offer::new(about),
        None => handshake::offer(&link, about).await?,
    };
    Ok((link, offer))
}

/// Lets calls in.
fn admit(upstream: &Upstream, link: Link, offer: Offer, events: mpsc::Sender<Event>) -> Arc<Live> {
    let about = offer.about.clone();
    let gate = Arc::new(Semaphore::new(upstream.def.concurrent_limit()));
    let live = Arc::new(Live { link, about, gate, queued: 0.into(), events });
    upstream.take_offer(offer, ListKind::ALL.to_vec());
    upstream.live.store(Some(live.clone()));
    upstream.note(true);
    *upstream.ready_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
    upstream.set(State::Ready);
    live
}

/// Handles what happens while it serves.
async fn attend(
    upstream: &Arc<Upstream>,
    live: &Arc<Live>,
    events: &mut mpsc::Receiver<Event>,
    orders: &mut mpsc::Receiver<Command>,
    shutdown: &CancellationToken,
    far: &mut Far,
) -> End {
    let mut age = Age::of(upstream, live);
    loop {
        tokio::select! {
            end = age.over(upstream, live) => return end,
            event = events.recv() => match event {
                // The lists are those of the shared one.
                Some(Event::Changed(_)) if upstream.owner.is_some() => {}
                Some(Event::Changed(kind)) => {
                    if let Err(error) = refresh(upstream, live, events, kind).await {
                        upstream.log.push(format!("puerto: could not read the changed lists: {}", error.chain()));
                    }
                }
                Some(Event::Updated(uri)) => (upstream.hear)(upstream, News::Updated(uri)),
                Some(Event::Closed) => return End::Broken(far.ended().await),
                None => return End::Broken("its connection was lost".into()),
            },
            order = orders.recv() => match order {
                Some(Command::Stop(done)) => return End::Stop(Some(done)),
                Some(Command::Restart) => return End::Again,
                Some(Command::Start) => {}
                None => return End::Shutdown,
            },
            () = shutdown.cancelled() => return End::Shutdown,
        }
    }
}

/// How long a process has been running, and unused.
struct Age {
    pipe: Option<Arc<Pipe>>,
    began: Instant,
    asked: u64,
    unused_since: Instant,
}

impl Age {
    fn of(upstream: &Upstream, live: &Live) -> Self {
        let pipe = match (&live.link, &*upstream.reach) {
            (Link::Pipe(pipe), Reach::Stdio(_)) => Some(pipe.clone()),
            _ => None,
        };
        let (began, asked) = (Instant::now(), pipe.as_ref().map_or(0, |pipe| pipe.asked()));
        Self { pipe, began, asked, unused_since: began }
    }

    /// Waits until the process is to rest or to be replaced. Nothing is counted for each call: it is looked at again
    /// after each such time whether something was asked in it, so a process rests after one to two of them.
    async fn over(&mut self, upstream: &Upstream, live: &Live) -> End {
        let Some(pipe) = &self.pipe else { return std::future::pending().await };
        let life = upstream.def.max_lifetime.filter(|_| upstream.owner.is_none());
        let (idle, life) = (upstream.idle_limit(), life.map(|s| Duration::from_secs(s.into())));
        loop {
            let rest = idle.map(|idle| self.unused_since + idle);
            let replace = life.map(|life| self.began + life);
            let Some(next) = rest.into_iter().chain(replace).min() else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(next).await;
            let busy = live.is_busy(upstream.def.concurrent_limit());
            if busy {
                tokio::time::sleep(BUSY).await;
            } else if replace.is_some_and(|at| at <= Instant::now()) {
                return End::Aged;
            }
            if busy || pipe.asked() != self.asked || upstream.subscriptions.any() {
                (self.asked, self.unused_since) = (pipe.asked(), Instant::now());
            } else if rest.is_some_and(|at| at <= Instant::now()) {
                return End::Unused;
            }
        }
    }
}

/// Reads all lists again, then tells of it. What else was announced meanwhile is covered by it.
async fn refresh(
    upstream: &Upstream,
    live: &Live,
    events: &mut mpsc::Receiver<Event>,
    first: ListKind,
) -> Result<()> {
    let mut kinds = vec![first];
    let settle = tokio::time::sleep(SETTLE);
    tokio::pin!(settle);
    loop {
        tokio::select! {
            () = &mut settle => break,
            event = events.recv() => match event {
                Some(Event::Changed(kind)) => kinds.push(kind),
                Some(Event::Updated(uri)) => (upstream.hear)(upstream, News::Updated(uri)),
                Some(Event::Closed) | None => return Err(super::link::closed("while its lists were read")),
            },
        }
    }
    let about: About = live.about.clone();
    let offer = tokio::time::timeout(upstream.rules.startup, handshake::offer(&live.link, about)).await;
    let slow = |_| Error::upstream(Code::UpstreamTimeout, "it did not answer in time");
    upstream.take_offer(offer.map_err(slow)??, kinds);
    Ok(())
}

impl Upstream {
    fn set(&self, state: State) {
        self.state.send_replace(state);
        (self.hear)(self, News::State);
    }

    fn take_offer(&self, offer: Offer, kinds: Vec<ListKind>) {
        self.offer.store(Some(Arc::new(offer)));
        self.confirmed.store(true, Ordering::Relaxed);
        (self.hear)(self, News::Offer(kinds));
    }
}
