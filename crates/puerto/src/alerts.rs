//! Alerts at work: signals come in from checks, events and samples; what is decided is kept in one transaction with the
//! state that it follows from, and sent from there. Whoever dies in between sends it later.

mod outbox;
mod samples;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use puerto_core::def::AlertsDef;
use puerto_core::def::alerts::STDOUT;
use puerto_core::{Code, Error, Result, Severity, TenantId};
use puerto_store::{EventFilter, EventRow, NOTICE_BYTES_MAX, NewNotice, Scope, Store};
use puerto_watch::alert::{
    Channel, EventSignal, News, Notice, Outcome, Pipeline, Refused, Sender, ServiceSignal, Signal,
};
use puerto_watch::check::{Report, View};
use puerto_watch::health::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc};

use crate::feed::Feed;
use crate::record::metrics::Metrics;

pub(crate) use samples::Readers;

/// Signals that may wait. What is lost is said again by the next sweep.
const SIGNALS_MAX: usize = 4_096;
/// How often everything that is watched says how it is, whether it changed or not.
const SWEEP: Duration = Duration::from_secs(10);
/// Longest time between two looks; what is due sooner wakes sooner.
const LOOK: Duration = Duration::from_secs(1);
/// Events that are read at once.
const EVENTS_PAGE: u32 = 1_000;
/// Events that a restart reads again, at most about: once so many came it is kept how far they were read.
const EVENTS_AHEAD: i64 = 10_000;

/// Channels by name, as they can be used.
type Channels = BTreeMap<String, Arc<Channel>>;

/// The alerts of a hub.
pub(crate) struct Alerts {
    pipeline: Mutex<Pipeline>,
    channels: Mutex<Arc<Channels>>,
    /// Decided and not kept yet. Held while a decision is made and kept, so that none overtakes another.
    unkept: tokio::sync::Mutex<Unkept>,
    signals: (mpsc::Sender<Signal>, Mutex<Option<mpsc::Receiver<Signal>>>),
    /// Something is due to be sent.
    news: Notify,
    sender: Sender,
    sent: Mutex<BTreeMap<String, Vec<i64>>>,
    store: Store,
    feed: Feed,
    metrics: Arc<Metrics>,
}

/// What has to be kept.
#[derive(Debug, Default)]
struct Unkept {
    notices: Vec<NewNotice>,
    is_changed: bool,
    /// The last event that was judged, or that no rule is about.
    events: i64,
    /// The same, as it was kept last.
    events_kept: i64,
}

/// What is kept: the state, and how far the events were read that it follows from.
#[derive(Serialize, Deserialize)]
struct Kept {
    events: i64,
    state: Box<RawValue>,
}

impl Alerts {
    /// As they were when the hub ended, under what the configuration says now. Rules that are new are about events that come
    /// from now on.
    pub(crate) async fn new(
        def: &AlertsDef,
        store: Store,
        feed: Feed,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>> {
        let kept = store.alerts_snapshot().await?.and_then(|text| serde_json::from_str::<Kept>(&text).ok());
        let newest = store.events_newest().await?;
        let pipeline = match &kept {
            Some(kept) => {
                let restored = Pipeline::restore(def.clone(), kept.state.get(), newest, now_ms());
                restored.unwrap_or_else(|error| {
                    tracing::error!(%error, "alerts begin anew");
                    Pipeline::new(def.clone())
                })
            }
            None => Pipeline::new(def.clone()),
        };
        let events = kept.as_ref().map_or(newest, |kept| kept.events);
        // Else one that is killed before it has kept anything would not know what it has not judged.
        let is_changed = kept.is_none() && pipeline.events_from().is_some();
        let unkept = Unkept { events, events_kept: events, is_changed, ..Unkept::default() };
        let channels = channels(def)?;
        metrics.has_channels(channels.keys().map(String::as_str));
        let (to, from) = mpsc::channel(SIGNALS_MAX);
        Ok(Arc::new(Self {
            pipeline: Mutex::new(pipeline),
            channels: Mutex::new(Arc::new(channels)),
            unkept: tokio::sync::Mutex::new(unkept),
            signals: (to, Mutex::new(Some(from))),
            news: Notify::new(),
            sender: Sender::new(),
            sent: Mutex::default(),
            store,
            feed,
            metrics,
        }))
    }

    /// Keeps what rules are there, before anybody counts on them: a hub that is killed then judges what came when it is back.
    pub(crate) async fn begin(&self) {
        let mut unkept = self.unkept.lock().await;
        unkept.is_changed |= self.pipeline().take_changed();
        let state = unkept.is_changed.then(|| self.pipeline().snapshot());
        log(self.write(&mut unkept, state).await);
    }

    /// The number of the newest event.
    pub(crate) async fn newest_event(&self) -> i64 {
        // A store that cannot be asked now is no reason to refuse a configuration; this hub knows what it kept itself.
        self.store.events_newest().await.unwrap_or_else(|_| *self.store.events_news().borrow())
    }

    /// Goes on with what a configuration says now. Rules that are new are about events after the newest, which has this number.
    pub(crate) fn adopt(&self, def: &AlertsDef, newest: i64) -> Result<()> {
        let channels = channels(def)?;
        self.metrics.has_channels(channels.keys().map(String::as_str));
        *self.channels.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(channels);
        self.pipeline().adopt(def.clone(), newest, now_ms());
        Ok(())
    }

    pub(crate) fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        // Nothing panics while it holds the lock.
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channels(&self) -> Arc<Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The channel of this name.
    pub(crate) fn channel(&self, name: &str) -> Result<Arc<Channel>> {
        let channels = self.channels();
        channels.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = channels.keys().map(String::as_str).collect();
            Error::caller(
                Code::NotFound,
                format!("there is no channel {name:?}; there are {}", known.join(", ")),
            )
        })
    }

    /// Hears what a check says, where that is a change; the next sweep says the rest.
    pub(crate) fn hear(&self, report: &Report<'_>) {
        if let Some(change) = report.change {
            let why = report.outcome.and_then(|outcome| outcome.error.clone());
            self.tell(Signal::Service(ServiceSignal {
                tenant: report.def.tenant.clone(),
                name: report.def.name.clone(),
                state: change.to,
                group: report.def.group.clone(),
                labels: report.def.labels.clone(),
                parents: report.def.parents.clone(),
                why,
            }));
        }
    }

    fn tell(&self, signal: Signal) {
        // Where there is no room the next sweep says it again.
        let _ = self.signals.0.try_send(signal);
    }

    /// Takes in alerts of others, and answers when they are kept.
    pub(crate) async fn receive(&self, signals: &[Signal]) -> Result<()> {
        {
            let mut pipeline = self.pipeline();
            signals.iter().for_each(|signal| pipeline.observe(signal, now_ms()));
        }
        self.keep().await
    }

    /// Judges whatever comes, and sends what is decided, until the hub drains. What is not sent then is sent by the next.
    pub(crate) async fn run(self: Arc<Self>, readers: Readers) {
        let signals = self.signals.1.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(signals) = signals else { return };
        let draining = readers.hub.draining.clone();
        let work = async {
            tokio::join!(self.clone().judge(signals, &readers), self.clone().send());
        };
        let work = async {
            tokio::select! {
                () = work => {}
                () = draining.cancelled() => {}
            }
        };
        tokio::join!(work, self.sample(&readers));
    }

    async fn judge(self: Arc<Self>, mut signals: mpsc::Receiver<Signal>, readers: &Readers) {
        let mut events = self.store.events_news();
        let mut swept = None::<tokio::time::Instant>;
        loop {
            if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                self.sweep(readers);
                swept = Some(tokio::time::Instant::now());
            }
            log(self.keep().await);
            let due = self.pipeline().next_wake(now_ms()).map_or(LOOK, |wake| {
                Duration::from_millis(u64::try_from(wake - now_ms()).unwrap_or(0)).min(LOOK)
            });
            tokio::select! {
                Some(signal) = signals.recv() => {
                    let mut pipeline = self.pipeline();
                    pipeline.observe(&signal, now_ms());
                    while let Ok(signal) = signals.try_recv() {
                        pipeline.observe(&signal, now_ms());
                    }
                }
                Ok(()) = events.changed() => {}
                () = tokio::time::sleep(due) => {}
            }
        }
    }

    /// Everything that is watched says how it is.
    fn sweep(&self, readers: &Readers) {
        let views = readers.watch.checks.views(None);
        let watched: std::collections::BTreeSet<_> = views
            .iter()
            .filter(|view| view.def.enabled)
            .map(|view| (view.tenant.clone(), view.name.clone()))
            .collect();
        let mut pipeline = self.pipeline();
        for view in views.into_iter().filter(|view| view.def.enabled && view.state != State::Pending) {
            pipeline.observe(&Signal::Service(as_signal(view)), now_ms());
        }
        let is_watched =
            |tenant: &TenantId, service: &_| watched.contains(&(tenant.clone(), Clone::clone(service)));
        pipeline.retain_services(is_watched, now_ms());
    }

    /// Decides what is due, and keeps it. What could not be kept is tried again the next time.
    pub(crate) async fn keep(&self) -> Result<()> {
        let mut unkept = self.unkept.lock().await;
        self.read_events(&mut unkept).await?;
        let (state, news) = {
            let mut pipeline = self.pipeline();
            let notices = pipeline.tick(now_ms());
            unkept.notices.extend(self.wanted(notices));
            unkept.is_changed |= pipeline.take_changed();
            (unkept.is_changed.then(|| pipeline.snapshot()), pipeline.take_news())
        };
        news.iter().for_each(|news| self.tell_of(news));
        self.write(&mut unkept, state).await
    }

    /// Writes the state, where it changed, with what follows from it.
    async fn write(&self, unkept: &mut Unkept, state: Option<String>) -> Result<()> {
        let Some(state) = state else { return Ok(()) };
        let state = RawValue::from_string(state)
            .map_err(|e| Error::hub(Code::Internal, "the state of the alerts cannot be written").inside(e))?;
        let kept = serde_json::to_string(&Kept { events: unkept.events, state })
            .map_err(|e| Error::hub(Code::Internal, "the state of the alerts cannot be written").inside(e))?;
        self.store.alerts_decide(&kept, unkept.notices.clone()).await?;
        (unkept.is_changed, unkept.events_kept) = (false, unkept.events);
        if !unkept.notices.is_empty() {
            unkept.notices.clear();
            self.news.notify_one();
        }
        Ok(())
    }

    /// Notices as they are kept, without those that their channels do not want.
    fn wanted(&self, notices: Vec<Notice>) -> Vec<NewNotice> {
        let channels = self.channels();
        let is_wanted = |notice: &Notice| {
            !notice.is_over() || channels.get(&notice.channel).is_none_or(|channel| channel.is_told_of_ends())
        };
        let wanted = notices.into_iter().filter(is_wanted);
        let kept = wanted.map(|notice| NewNotice {
            document: document(notice.clone()),
            key: notice.key,
            tenant: notice.tenant,
            channel: notice.channel,
            group: notice.group,
            decided_us: notice.at_ms * 1000,
        });
        kept.collect()
    }

    /// Reads the events that came since it was done last, where a rule is about any.
    async fn read_events(&self, unkept: &mut Unkept) -> Result<()> {
        let asked = || {
            let pipeline = self.pipeline();
            pipeline.event_kinds().zip(pipeline.events_from())
        };
        if asked().is_none() {
            return Ok(());
        }
        // Asked before the rules: events that come after another configuration are beyond it, and read by its rules.
        let newest = self.store.events_newest().await?;
        let Some((kinds, from)) = asked() else { return Ok(()) };
        unkept.events = unkept.events.max(from);
        while unkept.events < newest {
            let which = EventFilter {
                kinds: kinds.clone(),
                after: Some(unkept.events),
                before: Some(newest + 1),
                limit: EVENTS_PAGE,
                ..EventFilter::default()
            };
            let rows = self.store.events_list(&Scope::all(), which).await?;
            let mut pipeline = self.pipeline();
            for row in &rows {
                unkept.events = row.seq;
                if let Some(signal) = as_event(row) {
                    pipeline.observe(&signal, row.at_us / 1000);
                }
            }
            if rows.len() < EVENTS_PAGE as usize {
                // No rule is about the others.
                unkept.events = newest;
            }
        }
        unkept.is_changed |= unkept.events - unkept.events_kept >= EVENTS_AHEAD;
        Ok(())
    }

    fn tell_of(&self, news: &News) {
        let alert = &news.alert;
        let (kind, severity) = match alert.until_ms {
            None => ("alert.fired", alert.severity),
            Some(_) => ("alert.resolved", Severity::Info),
        };
        let lasted = alert.until_ms.map(|until| (until - alert.since_ms) / 1000);
        let payload = json!({
            "id": alert.id,
            "rule": alert.rule,
            "severity": alert.severity,
            "summary": alert.summary,
            "labels": alert.labels,
            "lasted_s": lasted,
        });
        self.feed.tell(&news.tenant, kind, severity, Some(&alert.subject), &payload);
    }

    /// Sends a notice at once and once, to see what becomes of it.
    pub(crate) async fn try_out(&self, channel: &Channel, notice: &Notice) -> Outcome {
        self.sender.send(channel, notice).await
    }

    /// Has the outbox looked at now.
    pub(crate) fn look(&self) {
        self.news.notify_one();
    }

    /// How many hold, by severity.
    pub(crate) fn firing(&self) -> [usize; Severity::ALL.len()] {
        let firing = self.pipeline().firing();
        Severity::ALL.map(|severity| firing.get(&severity).copied().unwrap_or_default())
    }
}

/// What a person asked for and cannot be.
impl From<Asked> for Error {
    fn from(Asked(refused): Asked) -> Self {
        let code = match refused {
            Refused::NoAlert(_) | Refused::NoSilence(_) => Code::NotFound,
            Refused::Full => Code::Conflict,
            Refused::Snapshot(_) => Code::Internal,
            Refused::NoReason | Refused::NoMatchers | Refused::Over => Code::BadRequest,
        };
        Error::caller(code, refused.to_string())
    }
}

/// Something that was asked of the pipeline, and refused.
pub(crate) struct Asked(pub(crate) Refused);

/// What is decided and could not be kept is kept the next time.
fn log(kept: Result<()>) {
    if let Err(error) = kept {
        tracing::error!(%error, "what is to be told of alerts could not be kept; it is tried again");
    }
}

/// Channels as they are defined, and the one that always exists.
fn channels(def: &AlertsDef) -> Result<Channels> {
    let stdout = serde_json::from_value(json!({"type": "stdout"})).expect("a definition of this key is one");
    let mut all = def.channels.clone();
    all.entry(STDOUT.into()).or_insert(stdout);
    all.iter()
        .map(|(name, def)| match Channel::new(def) {
            Ok(channel) => Ok((name.clone(), Arc::new(channel))),
            Err(faults) => {
                let text = format!("alerts.channels.{name} cannot be used: {}", faults[0]);
                Err(Error::caller(Code::InvalidConfig, text))
            }
        })
        .collect()
}

/// A notice as it is kept: where it would be too large it lists fewer alerts, and counts the others.
fn document(mut notice: Notice) -> String {
    loop {
        let text = serde_json::to_string(&notice).unwrap_or_default();
        let half = notice.alerts.len() / 2;
        if text.len() <= NOTICE_BYTES_MAX || half == 0 {
            return text;
        }
        let left_out = notice.alerts.split_off(half).len();
        notice.more = notice.more.saturating_add(u32::try_from(left_out).unwrap_or(u32::MAX));
    }
}

fn as_signal(view: View) -> ServiceSignal {
    ServiceSignal {
        why: view.last.and_then(|last| last.error),
        tenant: view.tenant,
        name: view.name,
        state: view.state,
        group: view.def.group.clone(),
        labels: view.def.labels.clone(),
        parents: view.def.parents.clone(),
    }
}

/// An event, unless it tells of alerts itself: a rule about everything would go on for ever.
fn as_event(row: &EventRow) -> Option<Signal> {
    let event = &row.event;
    let is_own = event.kind.starts_with("alert.") || event.kind.starts_with("notification.");
    let tenant = TenantId::new(&row.tenant).ok().filter(|_| !is_own)?;
    Some(Signal::Event(EventSignal {
        tenant,
        kind: event.kind.clone(),
        severity: event.severity,
        subject: event.subject.clone(),
        seq: Some(row.seq),
    }))
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
