//! One watched service: its definition, how it is, and what its last checks found.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use puerto_core::def::ServiceDef;
use puerto_core::{ServiceName, TenantId};
use serde::Serialize;
use tokio::time::Instant;

use super::OUTCOMES_KEPT;
use crate::condition::{Found, Judgement};
use crate::health::{Change, Health, State, Thresholds, Verdict};
use crate::probe::Target;

/// What one check found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whether it was good.
    pub good: bool,
    /// Whether nothing can be said of it, since the hub itself is offline.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// How long it took, in milliseconds.
    pub response_ms: f64,
    /// The status, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds until the certificate expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_s: Option<u64>,
    /// A service that reports by itself need not have said anything yet.
    #[serde(skip)]
    is_silent: bool,
}

impl Outcome {
    /// Of what was found and how it was judged.
    pub fn new(verdict: Verdict, found: &Found, judged: &[Judgement]) -> Self {
        let failed: Vec<_> = judged.iter().filter(|one| !one.holds).map(|one| one.shown.as_str()).collect();
        let said = found.error.iter().map(String::as_str).chain((!failed.is_empty()).then_some("")).next();
        let error = match (said, failed.is_empty()) {
            (Some(error), true) => Some(error.to_owned()),
            (Some(error), false) if !error.is_empty() => Some(format!("{error}; {}", failed.join("; "))),
            _ => Some(failed.join("; ")).filter(|text| !text.is_empty()),
        };
        Self {
            at_ms: Timestamp::now().as_millisecond(),
            good: verdict == Verdict::Good,
            offline: verdict == Verdict::Offline,
            response_ms: found.response_time.as_secs_f64() * 1000.0,
            status: found.status,
            error: error.filter(|_| verdict != Verdict::Good),
            certificate_s: found.certificate_expiration.map(|left| left.as_secs()),
            is_silent: false,
        }
    }

    pub(super) fn says_nothing(&self) -> bool {
        self.is_silent
    }

    fn verdict(&self) -> Verdict {
        match (self.offline, self.good) {
            (true, _) => Verdict::Offline,
            (false, true) => Verdict::Good,
            (false, false) => Verdict::Bad,
        }
    }
}

/// How a service is, for people and programs.
#[derive(Debug, Clone)]
pub struct View {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: ServiceName,
    /// As defined.
    pub def: Arc<ServiceDef>,
    /// How it is.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// What its last check found.
    pub last: Option<Outcome>,
}

/// A watched service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) def: Arc<ServiceDef>,
    pub(super) target: Arc<Target>,
    pub(super) health: Health,
    pub(super) outcomes: VecDeque<Outcome>,
    pub(super) is_busy: bool,
    /// Since when it is as it is.
    pub(super) since: Instant,
    since_ms: i64,
    /// When it was checked last, or said something itself.
    heard: Option<Instant>,
    began: Instant,
}

impl Service {
    pub(super) fn new(def: ServiceDef, target: Target) -> Self {
        let thresholds = Thresholds { failures: def.failures, successes: def.successes };
        let now = Instant::now();
        Self {
            def: Arc::new(def),
            target: Arc::new(target),
            health: Health::new(thresholds),
            outcomes: VecDeque::new(),
            is_busy: false,
            since: now,
            since_ms: Timestamp::now().as_millisecond(),
            heard: None,
            began: now,
        }
    }

    /// Takes in what a check found.
    pub(super) fn take(&mut self, outcome: &Outcome) -> Option<Change> {
        if self.outcomes.len() == OUTCOMES_KEPT {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(outcome.clone());
        if !self.target.is_push() {
            self.heard = Some(Instant::now());
        }
        let change = self.health.take(outcome.verdict());
        self.note(change)
    }

    /// Notes whether announced work goes on.
    pub(super) fn maintain(&mut self, now: Timestamp) -> Option<Change> {
        let is_announced = self.def.maintenance.iter().any(|window| window.holds(now));
        let change = self.health.maintain(is_announced);
        self.note(change)
    }

    fn note(&mut self, change: Option<Change>) -> Option<Change> {
        if change.is_some() {
            self.since = Instant::now();
            self.since_ms = Timestamp::now().as_millisecond();
        }
        change
    }

    /// It says itself how it is.
    pub(super) fn beat(&mut self, is_good: bool, message: Option<String>) -> Outcome {
        self.heard = Some(Instant::now());
        let found = Found { connected: is_good, error: message, ..Found::default() };
        Outcome::new(if is_good { Verdict::Good } else { Verdict::Bad }, &found, &[])
    }

    /// What its silence means: nothing before its time is over.
    pub(super) fn silence(&self) -> Outcome {
        let interval = self.def.interval.get();
        let silent = self.heard.unwrap_or(self.began).elapsed();
        let error = Some(format!("it has not reported within {}", self.def.interval));
        let found = Found { error, ..Found::default() };
        let mut outcome = Outcome::new(Verdict::Bad, &found, &[]);
        outcome.is_silent = silent < interval;
        outcome
    }

    /// How long ago it was checked, or said something itself.
    pub(super) fn age(&self) -> Option<Duration> {
        self.heard.map(|at| at.elapsed())
    }

    pub(super) fn view(&self) -> View {
        View {
            tenant: self.def.tenant.clone(),
            name: self.def.name.clone(),
            def: self.def.clone(),
            state: self.health.state(),
            since_ms: self.since_ms,
            last: self.outcomes.back().cloned(),
        }
    }
}

/// A URL as people may see it: without what stands before the host and after the path, where secrets are.
pub fn shown_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Labels of a service as alerts have them.
pub fn labels(def: &ServiceDef) -> BTreeMap<String, String> {
    let mut labels = def.labels.clone();
    labels.insert("tenant".into(), def.tenant.to_string());
    labels.insert("service".into(), def.name.to_string());
    if let Some(group) = &def.group {
        labels.insert("group".into(), group.clone());
    }
    labels
}
