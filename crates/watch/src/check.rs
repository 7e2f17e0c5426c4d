//! Checks services when they are due, and keeps how they are. What comes of each check is told to whoever put this
//! together: it keeps histories, events and alerts, and this knows none of them.

mod service;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use puerto_core::def::ServiceDef;
use puerto_core::{ServerName, ServiceName, TenantId};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::condition::Found;
use crate::health::{Change, State, Verdict};
use crate::probe::{Fault, Prober, Target};
use crate::schedule::Schedule;

use service::Service;
pub use service::{Outcome, View, labels, shown_url};

/// Outcomes of a service that are kept at hand; older ones are in the sums that the store keeps.
pub const OUTCOMES_KEPT: usize = 100;
/// Services that can be watched: 5,000 checks a second of them each 30 s, twice over.
pub const SERVICES_MAX: usize = 20_000;
/// How long it is believed that the hub is online, or not.
const ONLINE_FOR: Duration = Duration::from_secs(5);

/// A service by its tenant and its name.
pub type Key = (TenantId, ServiceName);

/// How a server of this hub is: whether it serves, and why not.
pub type Servers = Arc<dyn Fn(&TenantId, &ServerName) -> Result<(), String> + Send + Sync>;

/// Hears of every check.
pub type Tell = Arc<dyn Fn(Report<'_>) + Send + Sync>;

/// What came of one check.
#[derive(Debug)]
pub struct Report<'a> {
    /// As defined.
    pub def: &'a ServiceDef,
    /// What was found; nothing where announced work began or ended without a check.
    pub outcome: Option<&'a Outcome>,
    /// What that changed.
    pub change: Option<Change>,
    /// How long it had been as it was before the change.
    pub lasted: Duration,
}

/// The checks of all services.
pub struct Checks {
    services: Mutex<Services>,
    prober: Prober,
    /// Something that answers as long as the hub is online.
    witness: Option<Target>,
    online: tokio::sync::Mutex<Option<(Instant, bool)>>,
    servers: Servers,
    tell: Tell,
    wake: Notify,
    began: Instant,
    lateness: Lateness,
}

#[derive(Default)]
struct Services {
    all: BTreeMap<Key, Service>,
    schedule: Schedule<Key>,
}

/// How late checks begin.
#[derive(Debug, Default)]
struct Lateness {
    last_us: AtomicU64,
    missed: AtomicU64,
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checks")
    }
}

impl Checks {
    /// Of no service yet. `witness` is a URL that answers as long as the hub is online.
    ///
    /// # Errors
    /// Where the witness is none that can be checked.
    pub fn new(witness: Option<&ServiceDef>, servers: Servers, tell: Tell) -> Result<Arc<Self>, Vec<Fault>> {
        Ok(Arc::new(Self {
            services: Mutex::default(),
            prober: Prober::new(),
            witness: witness.map(Target::new).transpose()?,
            online: tokio::sync::Mutex::default(),
            servers,
            tell,
            wake: Notify::new(),
            began: Instant::now(),
            lateness: Lateness::default(),
        }))
    }

    /// Watches these services from now on. One that is defined as before keeps its state and its times.
    pub fn adopt(&self, defs: Vec<ServiceDef>) {
        let now = self.began.elapsed();
        let mut services = self.services();
        let before = std::mem::take(&mut services.all);
        for def in defs.into_iter().take(SERVICES_MAX) {
            let key = (def.tenant.clone(), def.name.clone());
            let known = before.get(&key).filter(|service| *service.def == def).cloned();
            // The configuration was checked before, so what cannot be read does not come here.
            let made = known.or_else(|| Target::new(&def).ok().map(|target| Service::new(def, target)));
            if let Some(service) = made {
                services.all.insert(key, service);
            }
        }
        for key in before.keys() {
            if services.all.get(key).is_none_or(|service| !service.def.enabled) {
                services.schedule.remove(key);
            }
        }
        let due: Vec<_> = services
            .all
            .iter()
            .filter(|(_, service)| service.def.enabled)
            .map(|(key, service)| (key.clone(), service.def.interval.get()))
            .collect();
        for (key, interval) in due {
            services.schedule.put(key, interval, now);
        }
        drop(services);
        self.wake.notify_one();
    }

    /// Checks what is due, for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        let mut under_way = JoinSet::new();
        loop {
            let next = self.services().schedule.next();
            tokio::select! {
                () = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(self.began + at).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = self.wake.notified() => continue,
                Some(_) = under_way.join_next() => continue,
            }
            for key in self.due() {
                under_way.spawn(self.clone().check(key));
            }
        }
    }

    /// What is due now and not under way.
    fn due(&self) -> Vec<Key> {
        let now = self.began.elapsed();
        let mut services = self.services();
        let mut keys = Vec::new();
        while let Some(due) = services.schedule.take(now) {
            let late = u64::try_from((now - due.at).as_micros()).unwrap_or(u64::MAX);
            self.lateness.last_us.store(late, Ordering::Relaxed);
            let Some(service) = services.all.get_mut(&due.key) else { continue };
            let is_busy = std::mem::replace(&mut service.is_busy, true);
            self.lateness.missed.fetch_add(due.missed + u64::from(is_busy), Ordering::Relaxed);
            if !is_busy {
                keys.push(due.key);
            }
        }
        keys
    }

    /// Checks a service now.
    async fn check(self: Arc<Self>, key: Key) {
        let Some((target, mut outcome)) = self.begun(&key) else { return };
        if outcome.is_none() {
            let found = match target.server() {
                Some((tenant, server)) => self.look(tenant, server),
                None => self.prober.probe(&target).await,
            };
            let (verdict, judged) = target.judge(&found);
            let is_offline = verdict == Verdict::Bad && target.server().is_none() && !self.is_online().await;
            let verdict = if is_offline { Verdict::Offline } else { verdict };
            outcome = Some(Outcome::new(verdict, &found, &judged));
        }
        self.ended(&key, outcome.as_ref());
    }

    /// What a check needs; and what came of it where nothing is to be asked, since the service reports by itself.
    fn begun(&self, key: &Key) -> Option<(Arc<Target>, Option<Outcome>)> {
        let services = self.services();
        let service = services.all.get(key)?;
        let outcome = service.target.is_push().then(|| service.silence());
        Some((service.target.clone(), outcome))
    }

    /// A server of this hub, as the hub knows it.
    fn look(&self, tenant: &TenantId, server: &ServerName) -> Found {
        let state = (self.servers)(tenant, server);
        Found { connected: state.is_ok(), error: state.err(), ..Found::default() }
    }

    /// Takes in what came of a check, and tells of it.
    fn ended(&self, key: &Key, outcome: Option<&Outcome>) {
        let mut services = self.services();
        let Some(service) = services.all.get_mut(key) else { return };
        service.is_busy = false;
        let outcome = outcome.filter(|outcome| !outcome.says_nothing());
        let was = service.since;
        let announced = service.maintain(Timestamp::now());
        let change = outcome.and_then(|outcome| service.take(outcome));
        let def = service.def.clone();
        let lasted = was.elapsed();
        drop(services);
        for (outcome, change) in [(None, announced), (outcome, change)] {
            if outcome.is_some() || change.is_some() {
                (self.tell)(Report { def: &def, outcome, change, lasted });
            }
        }
    }

    /// Whether the hub itself is online; asked only where something else does not answer.
    async fn is_online(&self) -> bool {
        let Some(witness) = &self.witness else { return true };
        let mut known = self.online.lock().await;
        if let Some((at, is_online)) = *known
            && at.elapsed() < ONLINE_FOR
        {
            return is_online;
        }
        let found = self.prober.probe(witness).await;
        let is_online = witness.judge(&found).0 == Verdict::Good;
        *known = Some((Instant::now(), is_online));
        is_online
    }

    /// A service that reports by itself says how it is.
    ///
    /// # Errors
    /// In words, where there is no such service, or it is not one of these.
    pub fn heartbeat(&self, key: &Key, is_good: bool, message: Option<String>) -> Result<(), &'static str> {
        let mut services = self.services();
        let service = services.all.get_mut(key).ok_or("there is no such service")?;
        if !service.target.is_push() {
            return Err("this service is checked, and does not report by itself; its url would be push://");
        }
        let outcome = service.beat(is_good, message);
        drop(services);
        self.ended(key, Some(&outcome));
        Ok(())
    }

    /// Checks every service of a scope that was not checked within a time, and waits for all of them.
    pub async fn round(self: &Arc<Self>, tenant: Option<&TenantId>, fresh: Duration) {
        let stale: Vec<Key> = self
            .services()
            .all
            .iter()
            .filter(|((of, _), service)| service.def.enabled && tenant.is_none_or(|tenant| tenant == of))
            .filter(|(_, service)| {
                service.age().is_none_or(|age| age > fresh.min(service.def.interval.get()))
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut round = JoinSet::new();
        for key in stale {
            round.spawn(self.clone().check(key));
        }
        while round.join_next().await.is_some() {}
    }

    /// Checks one service now.
    pub async fn check_now(self: &Arc<Self>, key: &Key) {
        self.clone().check(key.clone()).await;
    }

    /// Every service of a tenant, or of all.
    pub fn views(&self, tenant: Option<&TenantId>) -> Vec<View> {
        let services = self.services();
        let of = services.all.iter().filter(|((of, _), _)| tenant.is_none_or(|tenant| tenant == of));
        of.map(|(_, service)| service.view()).collect()
    }

    /// One service, and its last outcomes, the oldest first.
    pub fn view(&self, key: &Key) -> Option<(View, Vec<Outcome>)> {
        let services = self.services();
        let service = services.all.get(key)?;
        Some((service.view(), service.outcomes.iter().cloned().collect()))
    }

    /// How late the last check began, and how many were left out since the one before was still under way.
    pub fn lateness(&self) -> (Duration, u64) {
        let last = Duration::from_micros(self.lateness.last_us.load(Ordering::Relaxed));
        (last, self.lateness.missed.load(Ordering::Relaxed))
    }

    /// How many there are, and how many are well.
    pub fn count(&self) -> (usize, usize) {
        let services = self.services();
        let watched = services.all.values().filter(|service| service.def.enabled);
        let well = watched.clone().filter(|service| service.health.state() == State::Ok).count();
        (watched.count(), well)
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        // Nothing panics while it holds the lock.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
