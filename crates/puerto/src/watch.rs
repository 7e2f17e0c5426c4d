//! The watch at work: the checks of what is defined and of this hub's own servers, and what is kept and told of them.

mod defined;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use puerto_core::def::{HubDef, ServiceDef, WatchDef};
use puerto_core::{Code, Error, Result, Secret, ServerName, ServiceName, Severity, TenantId};
use puerto_mcp::hub::Hub;
use puerto_mcp::upstream::State as ServerState;
use puerto_store::{Grain, SERVICE_BYTES_MAX, Saved, Scope, Store, Sum};
use puerto_watch::check::{Checks, Key, Report, SERVICES_MAX, Servers, shown_url};
use puerto_watch::health::State;
use serde_json::json;

use crate::alerts::Alerts;
use crate::config::{Beside, Given};
use crate::feed::Feed;

use defined::Defined;
pub(crate) use defined::{Ignored, Source};

/// How often sums of checks are written, of which a kill takes those of this time; and how soon what one hub defines is
/// watched by another.
const FLUSH: Duration = Duration::from_secs(5);
/// Longest body of a definition, in bytes. Written anew, as it is kept, it may be longer by its escapes.
const BODY_BYTES_MAX: usize = SERVICE_BYTES_MAX / 2;
/// How often this hub's own servers are looked at.
const SERVERS_EVERY: u64 = 10;

/// The watch of a hub.
pub(crate) struct Watch {
    /// The checks.
    pub(crate) checks: Arc<Checks>,
    hub: Arc<Hub>,
    store: Store,
    defined: Mutex<Defined>,
    /// Whoever changes what is defined by API, or reads it anew, does so alone.
    changing: tokio::sync::Mutex<()>,
    sums: Arc<Mutex<BTreeMap<Key, Sum>>>,
}

/// The times that uptime is given for, in days, and the sums that it is made of.
const UPTIMES: [(Grain, u32); 4] =
    [(Grain::Minute, 1), (Grain::Hour, 7), (Grain::Hour, 30), (Grain::Day, 90)];

/// Days that a history goes back.
pub(crate) const HISTORY_DAYS: u32 = 90;

/// How a service was.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Over 1, 7, 30 and 90 days.
    pub(crate) sums: [Sum; UPTIMES.len()],
    /// By day of UTC since 1970, as far as `HISTORY_DAYS` back; a day without a check is not there.
    pub(crate) days: BTreeMap<i64, Sum>,
}

/// Good checks in percent, over 1, 7, 30 and 90 days; nothing where nothing was checked.
pub(crate) type Uptime = [Option<f64>; UPTIMES.len()];

impl Watch {
    /// For a hub, with what its configuration says.
    pub(crate) fn new(
        hub: Arc<Hub>,
        store: Store,
        feed: Feed,
        alerts: Arc<Alerts>,
        def: &HubDef,
    ) -> Result<Arc<Self>> {
        let sums = Arc::<Mutex<BTreeMap<Key, Sum>>>::default();
        let to = sums.clone();
        let tell = move |report: Report<'_>| {
            count(&to, &report);
            tell(&feed, &report);
            alerts.hear(&report);
        };
        let of = hub.clone();
        let servers: Servers = Arc::new(move |tenant, server| how_is(&of, tenant, server));
        let witness = def.watch.connectivity.as_ref().map(witness);
        let checks = Checks::new(witness.as_ref(), servers, Arc::new(tell)).map_err(|faults| {
            let text = format!("watch.connectivity cannot be checked: {}", faults[0]);
            Error::caller(Code::InvalidConfig, text)
        })?;
        let (defined, changing) = Default::default();
        let watch = Arc::new(Self { checks, hub, store, defined, changing, sums });
        watch.adopt(&def.services, &def.watch);
        Ok(watch)
    }

    /// Watches what a configuration says from now on, beside what is defined by API. This hub's own servers are watched
    /// too, unless a service of that name is defined.
    pub(crate) fn adopt(&self, services: &[ServiceDef], def: &WatchDef) {
        let mut defined = self.defined();
        (defined.file, defined.watch) = (services.to_vec(), def.clone());
        self.settle(&mut defined);
    }

    fn settle(&self, defined: &mut Defined) {
        self.checks.adopt(defined.settle(&self.hub.tenants()));
    }

    fn defined(&self) -> MutexGuard<'_, Defined> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what is defined by API, here or at another hub with the same store.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.read_stored(false).await
    }

    /// Reads what is defined by API, where it is another than before or somebody knows that it is.
    async fn read_stored(&self, is_other: bool) -> Result<()> {
        let mark = Some(self.store.services_mark().await?);
        if !is_other && self.defined().mark == mark {
            return Ok(());
        }
        let stored = self.store.services_list(&Scope::all()).await?;
        let mut defined = self.defined();
        (defined.stored, defined.mark) = (stored, mark);
        self.settle(&mut defined);
        Ok(())
    }

    /// Defines a service; one that is defined by API already only where it `may_replace` it.
    ///
    /// # Errors
    /// Where the definition does not fit, the file has one of this name, or there are as many as there may be.
    pub(crate) async fn define(&self, key: &Key, given: Given, may_replace: bool) -> Result<Saved> {
        let _alone = self.changing.lock().await;
        self.read_stored(false).await?;
        let beside = {
            let defined = self.defined();
            refuse_file(&defined, key)?;
            if !defined.is_stored(key) && defined.sources.len() >= SERVICES_MAX {
                let text = format!("there are {SERVICES_MAX} services already, which is the limit");
                return Err(Error::caller(Code::Conflict, text));
            }
            Beside { servers: defined::servers(&self.hub.tenants()), services: defined.beside(key) }
        };
        // Beside thousands of others it takes a while.
        let judged = tokio::task::spawn_blocking(move || given.judge(&beside)).await;
        let judged = judged.map_err(|e| Error::hub(Code::Internal, "a task of Puerto broke").inside(e))?;
        let (_, document) = judged.map_err(|wrong| unfit(&wrong))?;
        let (document, secrets) = defined::parted(document);
        let saved = self.store.service_save(&key.0, &key.1, (document, secrets), may_replace).await?;
        if saved == Saved::Present {
            let text =
                format!("the service {:?} is defined by API already; PUT takes its place", key.1.as_str());
            return Err(Error::caller(Code::Conflict, text));
        }
        self.read_stored(true).await?;
        Ok(saved)
    }

    /// Watches a service no longer that was defined by API. One that is ignored goes too.
    ///
    /// # Errors
    /// Where it is not defined by API, or another one names it as its parent.
    pub(crate) async fn undefine(&self, key: &Key) -> Result<()> {
        let _alone = self.changing.lock().await;
        self.read_stored(false).await?;
        {
            let defined = self.defined();
            if !defined.is_stored(key) {
                refuse_file(&defined, key)?;
                return Err(match defined.sources.get(key) {
                    Some(Source::Server) => Error::caller(
                        Code::Conflict,
                        "it is a server of this hub, which is watched without being defined; watch.servers in the \
                         configuration file says whether",
                    ),
                    _ => Error::not_found("service", key.1.as_str()),
                });
            }
            let stays = matches!(defined.sources.get(key), Some(Source::File));
            let child = defined.beside(key).into_iter().find(|(_, parents)| parents.contains(&key.1));
            if let Some((child, _)) = child.filter(|_| !stays) {
                let text =
                    format!("the service {:?} names it as its parent; change that first", child.as_str());
                return Err(Error::caller(Code::Conflict, text));
            }
        }
        self.store.service_delete(&key.0, &key.1).await?;
        self.read_stored(true).await
    }

    /// Where a service that is watched is defined.
    pub(crate) fn source(&self, key: &Key) -> Option<Source> {
        self.defined().sources.get(key).copied()
    }

    /// Whether a definition of this name came by API, watched or not.
    pub(crate) fn is_stored(&self, key: &Key) -> bool {
        self.defined().is_stored(key)
    }

    /// What is defined by API, and not watched.
    pub(crate) fn ignored(&self, tenant: Option<&TenantId>) -> Vec<Ignored> {
        let all = self.defined().ignored.clone();
        all.into_iter().filter(|one| tenant.is_none_or(|tenant| one.tenant == tenant.as_str())).collect()
    }

    /// Writes the sums of checks from time to time, and looks what another hub has defined, for as long as it is polled.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(FLUSH).await;
            self.flush().await;
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "could not look for services that are defined by API");
            }
        }
    }

    /// Writes the sums of checks.
    pub(crate) async fn flush(&self) {
        let sums = std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner));
        if sums.is_empty() {
            return;
        }
        if let Err(error) = self.store.checks_add(SystemTime::now(), sums).await {
            tracing::warn!(%error, "sums of checks were not kept");
        }
    }

    /// How often all services together were good in the last 24 hours; nothing where nothing was checked.
    pub(crate) async fn uptime(&self) -> Option<f64> {
        let since = SystemTime::now() - Duration::from_hours(24);
        let sums = self.store.checks_since(&Scope::all(), Grain::Hour, since).await.ok()?;
        let mut all = Sum::default();
        sums.into_values().for_each(|sum| all.add(sum));
        all.uptime()
    }

    /// How often services were good, over several times.
    pub(crate) async fn uptimes(&self, scope: &Scope) -> Result<BTreeMap<Key, Uptime>> {
        self.flush().await;
        let mut uptimes: BTreeMap<Key, Uptime> = BTreeMap::new();
        for (at, (grain, days)) in UPTIMES.into_iter().enumerate() {
            let since = SystemTime::now() - Duration::from_hours(24) * days;
            for (key, sum) in self.store.checks_since(scope, grain, since).await? {
                uptimes.entry(key).or_default()[at] = sum.uptime();
            }
        }
        Ok(uptimes)
    }

    /// How some services of a tenant were, as of the last time that sums were written: whoever reads this from outside
    /// makes nobody write.
    pub(crate) async fn histories(
        &self,
        tenant: &TenantId,
        services: &[ServiceName],
    ) -> Result<BTreeMap<ServiceName, History>> {
        let now = SystemTime::now();
        let day = Duration::from_hours(24);
        let mut histories: BTreeMap<ServiceName, History> = BTreeMap::new();
        for (at, (grain, days)) in UPTIMES.into_iter().enumerate() {
            for (name, sum) in self.store.checks_of(tenant, services, grain, now - day * days).await? {
                histories.entry(name).or_default().sums[at] = sum;
            }
        }
        let first = now - day * (HISTORY_DAYS - 1);
        for (name, days) in self.store.checks_by_day(tenant, services, first).await? {
            histories.entry(name).or_default().days = days;
        }
        Ok(histories)
    }
}

/// A definition by API that does not fit.
pub(crate) fn unfit(wrong: &str) -> Error {
    Error::caller(Code::BadRequest, format!("could not read the service: {wrong}"))
}

/// Reads a body.
///
/// # Errors
/// Where it is too long, or no definition.
pub(crate) fn given(body: &[u8], named: Option<(&str, &str)>) -> Result<Given> {
    if body.len() > BODY_BYTES_MAX {
        let text = format!("the service: {} bytes are more than the limit of {BODY_BYTES_MAX}", body.len());
        return Err(Error::caller(Code::TooLarge, text));
    }
    Given::read(body, named).map_err(|wrong| unfit(&wrong))
}

/// What the file defines is changed there.
fn refuse_file(defined: &Defined, key: &Key) -> Result<()> {
    if defined.sources.get(key) != Some(&Source::File) {
        return Ok(());
    }
    let text = format!(
        "the service {:?} of the tenant {:?} is defined in the configuration file; change it there, under services",
        key.1.as_str(),
        key.0.as_str()
    );
    Err(Error::caller(Code::Conflict, text))
}

/// What answers as long as the hub is online, as a service of its own.
fn witness(url: &Secret) -> ServiceDef {
    service("connectivity", &TenantId::default(), url.reveal())
}

fn own_server(tenant: &TenantId, server: &ServerName) -> ServiceDef {
    let mut def = service(server.as_str(), tenant, &format!("mcp://{tenant}/{server}"));
    def.interval = puerto_core::def::Span::from_secs(SERVERS_EVERY);
    def.group = Some("servers".into());
    // The hub has tried several times already before it says that a server is down.
    def.failures = 1;
    def.successes = 1;
    def
}

fn service(name: &str, tenant: &TenantId, url: &str) -> ServiceDef {
    let def = json!({"name": name, "tenant": tenant, "url": url});
    // Names of servers are names of services too.
    serde_json::from_value(def).expect("a definition of these three keys is one")
}

/// Whether a server of this hub serves. One that nobody has used yet is well.
fn how_is(hub: &Hub, tenant: &TenantId, server: &ServerName) -> Result<(), String> {
    let tenant = hub.tenant(tenant.as_str()).map_err(|error| error.public().to_owned())?;
    let upstream = tenant.upstream(server).map_err(|error| error.public().to_owned())?;
    match upstream.state() {
        ServerState::Ready | ServerState::Idle | ServerState::Hibernating => Ok(()),
        state => Err(match state.why() {
            Some(why) => format!("it is {}: {why}", state.name()),
            None => format!("it is {}", state.name()),
        }),
    }
}

fn count(sums: &Mutex<BTreeMap<Key, Sum>>, report: &Report<'_>) {
    let Some(outcome) = report.outcome else { return };
    let took = (outcome.response_ms * 1000.0) as i64;
    let sum = match (outcome.offline, outcome.good) {
        (true, _) => Sum { unknown: 1, ..Sum::default() },
        (false, true) => Sum { good: 1, total_us: took, longest_us: took, ..Sum::default() },
        (false, false) => Sum { bad: 1, total_us: took, longest_us: took, ..Sum::default() },
    };
    let key = (report.def.tenant.clone(), report.def.name.clone());
    sums.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().add(sum);
}

/// A change is an event. The first good check of a service is none: nothing has happened.
fn tell(feed: &Feed, report: &Report<'_>) {
    let Some(change) = report.change else { return };
    let (kind, severity) = match (change.from, change.to) {
        (State::Pending, State::Ok) => return,
        (_, State::Ok) => ("service.up", Severity::Info),
        (_, State::Down) => ("service.down", Severity::Critical),
        (_, State::Flapping) => ("service.flapping", Severity::Warning),
        (_, State::Unknown) => ("service.unknown", Severity::Warning),
        (_, State::Maintenance) => ("service.maintenance", Severity::Info),
        (_, State::Pending) => return,
    };
    let mut payload = json!({
        "service": report.def.name,
        "url": shown_url(report.def.url.reveal()),
        "from": change.from,
        "to": change.to,
        "lasted_s": report.lasted.as_secs(),
    });
    if let Some(why) = report.outcome.and_then(|outcome| outcome.error.as_ref()) {
        payload["why"] = why.as_str().into();
    }
    feed.tell(&report.def.tenant, kind, severity, Some(report.def.name.as_str()), &payload);
}

/// A service as REST names it.
pub(crate) fn key(tenant: &str, service: &str) -> Result<Key> {
    let tenant = TenantId::new(tenant).map_err(|_| Error::not_found("tenant", tenant))?;
    let service = ServiceName::new(service).map_err(|_| Error::not_found("service", service))?;
    Ok((tenant, service))
}
