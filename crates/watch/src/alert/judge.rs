//! What rules make of signals. Counts and rates are remembered here; what follows from a finding is the pipeline's.

use std::collections::{BTreeMap, VecDeque};

use puerto_core::def::alerts::{
    AbsentRule, EventsRule, Matchers, MetricRule, ServiceRule, ServiceState, UrgencyDef,
};
use puerto_core::def::{AlertsDef, RuleDef};
use puerto_core::pattern::is_like;
use puerto_core::{ServiceName, Severity, TenantId};
use serde::{Deserialize, Serialize};

use super::matcher::{Labels, fits, is_one_of};
use super::signal::{
    AnomalySignal, BurnSignal, EventSignal, ForeignSignal, MetricSignal, ServiceSignal, Signal,
};
use crate::health::State;
use crate::slo::Urgency;

/// How long what is sampled still holds when no sample comes any more, in milliseconds.
pub const STALE_MS: i64 = 5 * 60_000;
/// Series whose growth is remembered; a rule that matches more judges only these.
pub const SERIES_MAX: usize = 10_000;
/// Samples of one series; beyond them the oldest go, and its rate is over a shorter time.
pub const SAMPLES_MAX: usize = 400;

/// What a rule says of one thing.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// What it is about, among the things of its rule and tenant.
    pub(super) key: String,
    pub(super) tenant: TenantId,
    pub(super) subject: String,
    pub(super) labels: Labels,
    /// Known to texts beside the labels.
    pub(super) why: String,
    pub(super) value: Option<f64>,
    /// Whether it holds; nothing where that cannot be told, and it stays as it was.
    pub(super) holds: Option<bool>,
    /// When it ends by itself unless it is found again.
    pub(super) ends_ms: Option<i64>,
    /// The service that it is about, and what that depends on.
    pub(super) service: Option<ServiceName>,
    pub(super) parents: Vec<ServiceName>,
}

impl Finding {
    fn new(key: String, tenant: TenantId, subject: String) -> Self {
        Self {
            key,
            tenant,
            subject,
            labels: Labels::new(),
            why: String::new(),
            value: None,
            holds: Some(false),
            ends_ms: None,
            service: None,
            parents: Vec::new(),
        }
    }
}

/// Rules of one's own, and those of ours whose names they do not take.
pub fn rules(def: &AlertsDef) -> Vec<RuleDef> {
    let ours: Vec<RuleDef> = serde_json::from_str(include_str!("builtin.json")).expect("a test reads it");
    let is_taken = |rule: &RuleDef| def.rules.iter().any(|own| own.name == rule.name);
    let ours = ours.into_iter().filter(|rule| def.builtin && !is_taken(rule));
    def.rules.iter().cloned().chain(ours).filter(|rule| rule.enabled).collect()
}

/// What rules remember between signals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// When the last events of a rule and tenant came, as many as it counts.
    counts: BTreeMap<String, VecDeque<i64>>,
    /// When what must not stay away was there last, by rule.
    seen: BTreeMap<String, i64>,
    /// The last event before a rule was there, by the rule and what it is about. Nothing in snapshots of those that did not
    /// keep it: whatever rules there are were there.
    since: Option<BTreeMap<String, i64>>,
    /// Values of counters, by rule and series.
    #[serde(skip)]
    growth: BTreeMap<String, VecDeque<(i64, f64)>>,
}

impl Memory {
    /// Remembers for these rules alone. Those that are new know nothing of events up to the newest. Answers whether others than
    /// before are about events; where none is, a restart need not know: another hub with the same store may have some.
    pub(super) fn adopt(&mut self, rules: &[RuleDef], newest: i64) -> bool {
        let before = self.since.take();
        let since = |key: &String| match &before {
            Some(before) => before.get(key).copied(),
            None => Some(0),
        };
        let is_there = |key: &str| {
            let name = key.split_once('\n').map_or(key, |(name, _)| name);
            let mut rules = rules.iter().filter(|rule| rule.name == name);
            rules.any(|rule| known_by(rule).is_none_or(|key| since(&key).is_some()))
        };
        self.counts.retain(|key, _| is_there(key));
        self.seen.retain(|key, _| is_there(key));
        self.growth.retain(|key, _| is_there(key));
        let after = rules.iter().filter_map(known_by).map(|key| {
            let since = since(&key).unwrap_or(newest);
            (key, since)
        });
        let after: BTreeMap<_, _> = after.collect();
        let is_other = before.is_none() || !after.is_empty() && before.as_ref() != Some(&after);
        self.since = Some(after);
        is_other
    }

    /// No rule is about events up to this one; nothing where none is about any.
    pub(super) fn events_from(&self) -> Option<i64> {
        self.since.iter().flat_map(BTreeMap::values).copied().min()
    }

    /// Whether a rule is about an event of this number, as far as that goes. Events are read once for all rules, in their order.
    fn is_about(&self, rule: &RuleDef, seq: i64) -> bool {
        let since = known_by(rule).and_then(|key| self.since.as_ref()?.get(&key).copied());
        since.is_none_or(|since| seq > since)
    }

    /// Metrics were not looked at while the hub was away, so that none can have stayed away meanwhile. Events come all the
    /// same, later.
    pub(super) fn look_again(&mut self, rules: &[RuleDef], now_ms: i64) {
        for rule in rules.iter().filter(|r| r.absent.as_ref().is_some_and(|a| a.metric.is_some())) {
            self.seen.entry(rule.name.clone()).and_modify(|seen| *seen = now_ms);
        }
    }

    /// What a rule makes of a signal; nothing where it is not about that.
    pub(super) fn judge(&mut self, rule: &RuleDef, signal: &Signal, now_ms: i64) -> Option<Finding> {
        if matches!(signal, Signal::Event(event) if event.seq.is_some_and(|seq| !self.is_about(rule, seq))) {
            return None;
        }
        let finding = match (signal, rule) {
            (Signal::Service(signal), RuleDef { service: Some(asked), .. }) => service(asked, signal),
            (Signal::Metric(signal), RuleDef { metric: Some(asked), .. }) => {
                self.metric(rule, asked, signal, now_ms)?
            }
            (Signal::Event(signal), RuleDef { events: Some(asked), .. }) => {
                self.events(rule, asked, signal, now_ms)?
            }
            (Signal::Burn(signal), RuleDef { burn: Some(_), .. }) => burn(rule, signal, now_ms)?,
            (Signal::Anomaly(signal), RuleDef { anomaly: Some(_), .. }) => anomaly(rule, signal, now_ms)?,
            (signal, RuleDef { absent: Some(asked), .. }) => self.returned(rule, asked, signal, now_ms)?,
            _ => return None,
        };
        let is_its = rule.tenant.as_ref().is_none_or(|tenant| *tenant == finding.tenant);
        is_its.then_some(finding)
    }

    fn events(
        &mut self,
        rule: &RuleDef,
        asked: &EventsRule,
        signal: &EventSignal,
        now_ms: i64,
    ) -> Option<Finding> {
        if !is_like(&signal.kind, &asked.kind) || asked.severity.is_some_and(|least| signal.severity < least)
        {
            return None;
        }
        let times = self.counts.entry(format!("{}\n{}", rule.name, signal.tenant)).or_default();
        times.push_back(now_ms);
        while times.len() > asked.count.max(1) as usize {
            times.pop_front();
        }
        let within = millis(asked.within.get());
        let first = *times.front()?;
        let subject = signal.subject.clone().unwrap_or_else(|| signal.kind.clone());
        let mut finding = Finding::new(String::new(), signal.tenant.clone(), subject);
        finding.labels.insert("type".into(), asked.kind.clone());
        finding.value = Some(times.len() as f64);
        // Fewer than that are no reason to say that it is over: it ends by its time.
        let is_enough = times.len() >= asked.count as usize && now_ms - first <= within;
        finding.holds = is_enough.then_some(true);
        finding.ends_ms = Some(first + within + 1);
        Some(finding)
    }

    fn metric(
        &mut self,
        rule: &RuleDef,
        asked: &MetricRule,
        signal: &MetricSignal,
        now_ms: i64,
    ) -> Option<Finding> {
        if signal.name != asked.name || !fits(&signal.labels, &asked.labels) {
            return None;
        }
        let series = series(signal);
        let value = match asked.rate {
            Some(over) => self.rate(rule, &series, signal.value, millis(over.get()), now_ms),
            None => Some(signal.value),
        };
        let mut finding = Finding::new(series.clone(), tenant_of(&signal.labels), series);
        finding.labels = signal.labels.clone();
        finding.labels.insert("metric".into(), signal.name.clone());
        finding.value = value;
        finding.holds = value.map(|value| {
            asked.above.is_some_and(|limit| value > limit) || asked.below.is_some_and(|limit| value < limit)
        });
        finding.ends_ms = Some(now_ms + STALE_MS);
        Some(finding)
    }

    /// How much a counter grew in a second; nothing before half of the time has been seen.
    fn rate(&mut self, rule: &RuleDef, series: &str, value: f64, over_ms: i64, now_ms: i64) -> Option<f64> {
        let key = format!("{}\n{series}", rule.name);
        if !self.growth.contains_key(&key) && self.growth.len() >= SERIES_MAX {
            return None;
        }
        let samples = self.growth.entry(key).or_default();
        samples.push_back((now_ms, value));
        while samples.len() > SAMPLES_MAX
            || samples.len() > 2 && samples.get(1).is_some_and(|(at, _)| *at <= now_ms - over_ms)
        {
            samples.pop_front();
        }
        let (first_ms, _) = *samples.front()?;
        let pairs = samples.iter().zip(samples.iter().skip(1));
        // A counter that fell began anew.
        let grown: f64 = pairs.map(|((_, one), (_, next))| if next < one { *next } else { next - one }).sum();
        let seconds = (now_ms - first_ms) as f64 / 1000.0;
        (now_ms - first_ms >= over_ms / 2 && seconds > 0.0).then(|| grown / seconds)
    }

    /// What must not stay away is there.
    fn returned(
        &mut self,
        rule: &RuleDef,
        asked: &AbsentRule,
        signal: &Signal,
        now_ms: i64,
    ) -> Option<Finding> {
        let tenant = match signal {
            Signal::Event(event) => {
                asked.event.as_ref().filter(|kind| is_like(&event.kind, kind))?;
                event.tenant.clone()
            }
            Signal::Metric(metric) => {
                asked.metric.as_ref().filter(|name| **name == metric.name)?;
                fits(&metric.labels, &asked.labels).then_some(())?;
                tenant_of(&metric.labels)
            }
            _ => return None,
        };
        if rule.tenant.as_ref().is_some_and(|asked| *asked != tenant) {
            return None;
        }
        self.seen.insert(rule.name.clone(), now_ms);
        Some(absence(rule, asked, false))
    }

    /// What stays away for longer than it may, and when that is to be asked again.
    pub(super) fn absent(&mut self, rules: &[RuleDef], now_ms: i64) -> (Vec<(usize, Finding)>, Option<i64>) {
        let (mut found, mut next) = (Vec::new(), None::<i64>);
        for (at, rule) in rules.iter().enumerate() {
            let Some(asked) = &rule.absent else { continue };
            // It cannot have stayed away for longer than anybody has looked.
            let since = *self.seen.entry(rule.name.clone()).or_insert(now_ms);
            let due = since + millis(rule.hold.get());
            if due <= now_ms {
                found.push((at, absence(rule, asked, true)));
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        (found, next)
    }
}

/// The kind of events that a rule is about.
pub(super) fn event_kind(rule: &RuleDef) -> Option<&String> {
    let absent = rule.absent.as_ref().and_then(|absent| absent.event.as_ref());
    rule.events.as_ref().map(|events| &events.kind).or(absent)
}

/// What a rule about events is known by: one that is about others is another.
fn known_by(rule: &RuleDef) -> Option<String> {
    event_kind(rule).map(|kind| format!("{}\n{kind}", rule.name))
}

fn absence(rule: &RuleDef, asked: &AbsentRule, holds: bool) -> Finding {
    let subject = asked.event.clone().or_else(|| asked.metric.clone()).unwrap_or_default();
    let mut finding = Finding::new(String::new(), rule.tenant.clone().unwrap_or_default(), subject.clone());
    finding.labels.insert("absent".into(), subject);
    finding.holds = Some(holds);
    finding
}

fn service(asked: &ServiceRule, signal: &ServiceSignal) -> Finding {
    let mut finding = of_service(&signal.tenant, &signal.name, signal.group.as_ref(), &signal.labels);
    finding.why = signal.why.clone().unwrap_or_default();
    finding.parents.clone_from(&signal.parents);
    // One that the rule is no longer about is over.
    let is_meant = is_selected(&finding, &asked.names, &asked.groups, &asked.labels);
    finding.holds = if is_meant { holds(&asked.states, signal.state) } else { Some(false) };
    finding
}

/// Whether a state is one of these; nothing where the state says nothing about it.
fn holds(states: &[ServiceState], state: State) -> Option<bool> {
    let asked = |one| states.contains(&one) || states.is_empty() && one == ServiceState::Down;
    match state {
        State::Ok => Some(false),
        State::Down => Some(asked(ServiceState::Down)),
        // What flaps was told of as down, where it was, and is down again in a moment.
        State::Flapping => asked(ServiceState::Flapping).then_some(true),
        State::Unknown => asked(ServiceState::Unknown).then_some(true),
        State::Pending | State::Maintenance => None,
    }
}

fn is_selected(finding: &Finding, names: &[String], groups: &[String], labels: &Matchers) -> bool {
    is_one_of(&finding.subject, names)
        && is_one_of(finding.labels.get("group").map_or("", String::as_str), groups)
        && fits(&finding.labels, labels)
}

fn of_service(tenant: &TenantId, name: &ServiceName, group: Option<&String>, labels: &Labels) -> Finding {
    let mut finding = Finding::new(name.to_string(), tenant.clone(), name.to_string());
    finding.labels = labels.clone();
    finding.labels.insert("service".into(), name.to_string());
    if let Some(group) = group {
        finding.labels.insert("group".into(), group.clone());
    }
    finding.service = Some(name.clone());
    finding
}

fn burn(rule: &RuleDef, signal: &BurnSignal, now_ms: i64) -> Option<Finding> {
    let asked = rule.burn.as_ref()?;
    let mut finding = of_service(&signal.tenant, &signal.name, signal.group.as_ref(), &signal.labels);
    let is_meant = is_selected(&finding, &asked.names, &asked.groups, &asked.labels);
    finding.key = format!("{} {}", signal.name, signal.target);
    finding.labels.insert("objective".into(), signal.target.to_string());
    finding.value = Some((signal.rate * 10.0).round() / 10.0);
    let is_urgent = match asked.urgency {
        None => signal.urgency.is_some(),
        Some(UrgencyDef::Ticket) => signal.urgency == Some(Urgency::Ticket),
        Some(UrgencyDef::Page) => signal.urgency == Some(Urgency::Page),
    };
    finding.holds = Some(is_meant && is_urgent);
    finding.ends_ms = Some(now_ms + STALE_MS);
    Some(finding)
}

fn anomaly(rule: &RuleDef, signal: &AnomalySignal, now_ms: i64) -> Option<Finding> {
    let asked = rule.anomaly.as_ref()?;
    let is_meant = (asked.measures.is_empty() || asked.measures.contains(&signal.measure))
        && is_one_of(&signal.subject, &asked.subjects);
    let key = format!("{} {}", signal.subject, signal.measure.name());
    let mut finding = Finding::new(key, signal.tenant.clone(), signal.subject.clone());
    finding.labels.insert("measure".into(), signal.measure.name().into());
    finding.labels.insert("subject".into(), signal.subject.clone());
    finding.why.clone_from(&signal.why);
    finding.value = Some(signal.value);
    finding.holds = Some(is_meant && signal.anomalous);
    finding.ends_ms = Some(now_ms + STALE_MS);
    Some(finding)
}

/// An alert of somebody else, as a finding, with the rule that it would be of.
pub(super) fn foreign(signal: &ForeignSignal, now_ms: i64) -> (RuleDef, Finding) {
    let label = |name: &str| signal.labels.get(name).filter(|value| !value.is_empty()).cloned();
    let name = label("alertname").unwrap_or_else(|| "foreign".into());
    let subject = label("service").or_else(|| label("instance")).unwrap_or_else(|| name.clone());
    let key = signal.labels.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let mut finding = Finding::new(key, signal.tenant.clone(), subject);
    finding.labels = signal.labels.clone();
    let until = signal.until_ms.unwrap_or(now_ms + STALE_MS);
    finding.holds = Some(until > now_ms);
    finding.ends_ms = Some(until);
    let severity = label("severity").map_or(Severity::Warning, |named| match &*named {
        "page" | "high" | "fatal" => Severity::Critical,
        other => Severity::named(other).unwrap_or(Severity::Warning),
    });
    let rule = RuleDef {
        name,
        tenant: None,
        enabled: true,
        service: None,
        metric: None,
        events: None,
        absent: None,
        burn: None,
        anomaly: None,
        hold: puerto_core::def::Span::default(),
        keep: puerto_core::def::Span::default(),
        severity,
        labels: Labels::new(),
        summary: Some(signal.summary.clone()),
        description: Some(signal.description.clone()),
    };
    (rule, finding)
}

/// A series as Prometheus writes it.
fn series(signal: &MetricSignal) -> String {
    if signal.labels.is_empty() {
        return signal.name.clone();
    }
    let labels: Vec<_> = signal.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", signal.name, labels.join(","))
}

fn tenant_of(labels: &Labels) -> TenantId {
    labels.get("tenant").and_then(|tenant| TenantId::new(tenant).ok()).unwrap_or_default()
}

pub(super) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
