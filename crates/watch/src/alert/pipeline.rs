//! From signals to notices, in Alertmanager's order: settle, inhibit, mute, silence, acknowledge, group, route, tell. Pure:
//! it is told what time it is, and whoever owns it keeps its snapshot in one transaction with the notices.

use std::collections::{BTreeMap, BTreeSet};

use puerto_core::def::{AlertsDef, RuleDef};
use puerto_core::{ServiceName, TenantId};
use serde::Serialize;

use super::book::{Acknowledgement, Alert, Book, Group, Silence, Stage, place};
use super::group::Look;
use super::hold::{Held, Quiet};
use super::judge::{Finding, event_kind, foreign, millis, rules};
use super::matcher::{Labels, is_meant};
use super::notice::{Alerted, Notice};
use super::route::{Route, digest};
use super::signal::{ServiceSignal, Signal};
use super::template::{cut, fill};
use crate::health::State;

/// Alerts at the same time. With more than that nobody reads them one by one; the others are counted.
pub const ALERTS_MAX: usize = 10_000;
/// Silences at the same time.
pub const SILENCES_MAX: usize = 1_000;
/// Groups at the same time; what would open another one is told with the rest of its route.
pub const GROUPS_MAX: usize = 5_000;
/// Labels of one alert, in bytes: with its texts some 5 KiB, so that all alerts together fit into one snapshot.
pub const LABELS_BYTES_MAX: usize = 2_048;
/// Longest reason of a person, in bytes.
pub const REASON_LEN_MAX: usize = 1_024;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such alert.
    #[error("there is no alert {0:?} that holds")]
    NoAlert(String),
    /// There is no such silence.
    #[error("there is no silence {0:?}")]
    NoSilence(String),
    /// Nothing was said.
    #[error("a reason is needed, of at most {REASON_LEN_MAX} bytes")]
    NoReason,
    /// It would hide everything.
    #[error("a silence needs matchers: which labels it is about")]
    NoMatchers,
    /// Its time is over.
    #[error("it must end later than it begins, and later than now")]
    Over,
    /// Too many.
    #[error("there are {SILENCES_MAX} silences already; end some of them")]
    Full,
    /// A snapshot that cannot be read.
    #[error("the snapshot of alerts cannot be read: {0}")]
    Snapshot(String),
}

/// An alert began or ended.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Whose.
    pub tenant: TenantId,
    /// The alert. It has ended where it has an end.
    pub alert: Alerted,
}

/// An alert, for lists.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertView {
    /// Whose.
    pub tenant: TenantId,
    /// The alert.
    #[serde(flatten)]
    pub alert: Alerted,
    /// Where it stands.
    pub stage: Stage,
    /// Who works on it.
    pub acknowledged: Option<Acknowledgement>,
    /// When somebody was first told of it.
    pub told_ms: Option<i64>,
    /// The channels that it goes to.
    pub channels: Vec<String>,
    /// Why nobody is told.
    pub held: Vec<Held>,
}

/// The alerts of a hub.
#[derive(Debug)]
pub struct Pipeline {
    def: AlertsDef,
    rules: Vec<RuleDef>,
    root: Route,
    book: Book,
    /// What services depend on, as far as is known.
    graph: BTreeMap<String, Vec<ServiceName>>,
    news: Vec<News>,
    /// Alerts that found no place.
    lost: u64,
    is_changed: bool,
}

impl Pipeline {
    /// With nothing in it.
    pub fn new(def: AlertsDef) -> Self {
        let (rules, root) = (rules(&def), Route::of(&def));
        let mut book = Book::default();
        // They are about every event that they are shown.
        book.memory.adopt(&rules, 0);
        Self { def, rules, root, book, graph: BTreeMap::new(), news: Vec::new(), lost: 0, is_changed: false }
    }

    /// As a snapshot says, under a configuration that may have changed since, where this is the number of the newest event.
    ///
    /// # Errors
    /// Where the text is no snapshot.
    pub fn restore(def: AlertsDef, snapshot: &str, newest: i64, now_ms: i64) -> Result<Self, Refused> {
        let mut book: Book =
            serde_json::from_str(snapshot).map_err(|error| Refused::Snapshot(error.to_string()))?;
        book.memory.look_again(&rules(&def), now_ms);
        let mut pipeline = Self { book, ..Self::new(AlertsDef::default()) };
        pipeline.is_changed = pipeline.take_over(def, newest, now_ms);
        Ok(pipeline)
    }

    /// All that a restart needs.
    pub fn snapshot(&self) -> String {
        serde_json::to_string(&self.book).expect("keys are texts and numbers are finite or null")
    }

    /// Whether something changed since this was asked last, so that a snapshot is worth keeping.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// Alerts that began or ended since this was asked last.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Alerts that found no place, since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Goes on with another configuration. Alerts of rules that it does not have end, and rules that are new are about events
    /// after the newest, which has this number.
    pub fn adopt(&mut self, def: AlertsDef, newest: i64, now_ms: i64) {
        self.take_over(def, newest, now_ms);
        self.is_changed = true;
    }

    /// The same; answers whether a restart has to know of it.
    fn take_over(&mut self, def: AlertsDef, newest: i64, now_ms: i64) -> bool {
        (self.rules, self.root, self.def) = (rules(&def), Route::of(&def), def);
        let is_other = self.book.memory.adopt(&self.rules, newest);
        let gone: Vec<_> =
            self.book.alerts.values().filter(|alert| alert.is_own && !self.has(alert)).collect();
        let gone: Vec<_> = gone.into_iter().map(|alert| alert.id.clone()).collect();
        for id in gone {
            self.end(&id, now_ms);
        }
        let ids: Vec<_> = self.book.alerts.keys().cloned().collect();
        for id in ids {
            self.assign(&id, now_ms);
        }
        is_other
    }

    fn has(&self, alert: &Alert) -> bool {
        self.rules.iter().any(|rule| rule.name == alert.rule)
    }

    /// Ends alerts about services that are no longer watched.
    pub fn retain_services(&mut self, is_watched: impl Fn(&TenantId, &ServiceName) -> bool, now_ms: i64) {
        let is_gone = |alert: &&Alert| {
            alert.is_own && alert.service.as_ref().is_some_and(|service| !is_watched(&alert.tenant, service))
        };
        let gone: Vec<_> = self.book.alerts.values().filter(is_gone).map(|alert| alert.id.clone()).collect();
        for id in gone {
            self.end(&id, now_ms);
        }
        let is_place = |key: &str| {
            let (tenant, service) = key.split_once('/').unwrap_or_default();
            TenantId::new(tenant)
                .ok()
                .zip(ServiceName::new(service).ok())
                .is_some_and(|(tenant, service)| is_watched(&tenant, &service))
        };
        self.graph.retain(|key, _| is_place(key));
        self.book.maintained.retain(|key| is_place(key));
    }

    /// Takes in a signal.
    pub fn observe(&mut self, signal: &Signal, now_ms: i64) {
        if let Signal::Service(service) = signal {
            self.note_service(service);
        }
        if let Signal::Foreign(given) = signal {
            let (rule, finding) = foreign(given, now_ms);
            let since_ms = given.since_ms.filter(|since| *since <= now_ms).unwrap_or(now_ms);
            self.apply(&rule, finding, false, since_ms, now_ms);
            return;
        }
        let rules = std::mem::take(&mut self.rules);
        for rule in &rules {
            if let Some(finding) = self.book.memory.judge(rule, signal, now_ms) {
                self.apply(rule, finding, true, now_ms, now_ms);
            }
        }
        self.rules = rules;
    }

    fn note_service(&mut self, signal: &ServiceSignal) {
        let key = place(&signal.tenant, &signal.name);
        let is_worked_on = signal.state == State::Maintenance;
        if is_worked_on != self.book.maintained.contains(&key) {
            self.is_changed = true;
            if is_worked_on {
                self.book.maintained.insert(key.clone());
            } else {
                self.book.maintained.remove(&key);
            }
        }
        if self.graph.get(&key) != Some(&signal.parents) {
            self.graph.insert(key, signal.parents.clone());
        }
    }

    /// Notes what a rule found.
    fn apply(&mut self, rule: &RuleDef, finding: Finding, is_own: bool, since_ms: i64, now_ms: i64) {
        let origin = if is_own { "own" } else { "foreign" };
        let id = digest([origin, rule.name.as_str(), finding.tenant.as_str(), finding.key.as_str()]);
        match finding.holds {
            Some(true) if self.book.alerts.contains_key(&id) || self.book.alerts.len() < ALERTS_MAX => {
                self.raise(rule, finding, &id, is_own, (since_ms, now_ms));
            }
            Some(true) => self.lost += 1,
            Some(false) => self.clear(&id, now_ms),
            // What cannot be judged stays as it was.
            None => {}
        }
    }

    /// Notes that the condition of an alert no longer holds.
    fn clear(&mut self, id: &str, now_ms: i64) {
        let Some(alert) = self.book.alerts.get_mut(id).filter(|alert| alert.clear_ms.is_none()) else {
            return;
        };
        self.is_changed = true;
        alert.clear_ms = Some(now_ms);
        if alert.stage == Stage::Settling {
            self.book.alerts.remove(id);
        }
    }

    /// Notes that it does, since then as far as is known now.
    fn raise(
        &mut self,
        rule: &RuleDef,
        finding: Finding,
        id: &str,
        is_own: bool,
        (since_ms, now_ms): (i64, i64),
    ) {
        let old = self.book.alerts.remove(id);
        let is_new = old.is_none();
        self.is_changed |= old.as_ref().is_none_or(|old| old.clear_ms.is_some());
        let mut alert = alert(rule, finding, id.to_owned(), is_own);
        alert.since_ms = since_ms;
        if let Some(old) = old {
            // Its labels may be others now, and lead elsewhere.
            alert.groups = if old.labels == alert.labels { old.groups } else { Default::default() };
            if old.stage == Stage::Ended {
                // Who was told of it has not heard that it ended, so that for them it never did.
                (alert.stage, alert.fired_ms) = (Stage::Firing, Some(now_ms));
                self.news.push(News { tenant: alert.tenant.clone(), alert: alert.alerted() });
            } else {
                (alert.stage, alert.since_ms, alert.fired_ms) = (old.stage, old.since_ms, old.fired_ms);
                alert.ack = old.ack;
            }
        }
        let has_group = !alert.groups.is_empty();
        self.book.alerts.insert(id.to_owned(), alert);
        if !has_group {
            self.assign(id, now_ms);
        }
        if is_new {
            self.settle(id, now_ms);
        }
    }

    /// Puts an alert into the groups that its routes lead to.
    fn assign(&mut self, id: &str, now_ms: i64) {
        let Some(alert) = self.book.alerts.get(id).filter(|alert| alert.stage != Stage::Ended) else {
            return;
        };
        let mut routes = Vec::new();
        self.root.taken(&alert.labels, &mut routes);
        let mut groups = BTreeSet::new();
        let (tenant, labels) = (alert.tenant.clone(), alert.labels.clone());
        for route in routes {
            let mut by: Labels = route
                .group_by
                .iter()
                .filter_map(|name| Some((name.clone(), labels.get(name)?.clone())))
                .collect();
            let mut name = group_id(route, &tenant, &by);
            if !self.book.groups.contains_key(&name) && self.book.groups.len() >= GROUPS_MAX {
                by.clear();
                name = group_id(route, &tenant, &by);
            }
            self.book.groups.entry(name.clone()).or_insert_with(|| Group {
                id: name.clone(),
                route: route.id.clone(),
                channels: route.channels.clone(),
                tenant: tenant.clone(),
                labels: by,
                began_ms: now_ms,
                last_ms: None,
                serial: 0,
                told: BTreeMap::new(),
                also: Default::default(),
            });
            groups.insert(name);
        }
        if let Some(alert) = self.book.alerts.get_mut(id) {
            alert.groups = groups;
        }
    }

    /// Lets an alert count once it has held for long enough.
    fn settle(&mut self, id: &str, now_ms: i64) {
        let Some(alert) = self.book.alerts.get_mut(id) else { return };
        let due = alert.since_ms.saturating_add(alert.settle_ms);
        if alert.stage == Stage::Settling && due <= now_ms {
            alert.stage = Stage::Firing;
            // Of others' alerts it is not known when they began to be told.
            alert.fired_ms = Some(if alert.is_own { due } else { now_ms });
            self.is_changed = true;
            self.news.push(News { tenant: alert.tenant.clone(), alert: alert.alerted() });
        }
    }

    /// Ends an alert at once.
    fn end(&mut self, id: &str, now_ms: i64) {
        let Some(alert) = self.book.alerts.get_mut(id) else { return };
        self.is_changed = true;
        if alert.stage == Stage::Settling {
            self.book.alerts.remove(id);
            return;
        }
        if alert.stage == Stage::Ended {
            return;
        }
        let clear_ms = *alert.clear_ms.get_or_insert(now_ms);
        alert.stage = Stage::Ended;
        alert.ack = None;
        self.news.push(News { tenant: alert.tenant.clone(), alert: alert.alerted() });
        if let Some(service) = alert.service.as_ref().filter(|_| alert.is_state) {
            self.book.back.insert(place(&alert.tenant, service), clear_ms);
        }
    }

    /// Lets time pass: what is due is decided. The notices must be kept together with the snapshot that follows.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Notice> {
        self.pass(now_ms);
        let grace_ms = millis(self.def.grace.get());
        self.book.back.retain(|_, back| *back + grace_ms > now_ms);
        self.book.silences.retain(|_, silence| silence.until_ms > now_ms);
        let mut notices = Vec::new();
        let mut groups = std::mem::take(&mut self.book.groups);
        {
            let members = self.members();
            let quiet = Quiet::new(&self.def, &self.book, &self.graph, now_ms);
            groups.retain(|id, group| {
                let look = self.look(id, group, &members, &quiet, now_ms);
                let decision = look.decide(group.clone());
                notices.extend(decision.notices);
                decision.group.map(|after| *group = after).is_some()
            });
        }
        self.is_changed |= !notices.is_empty();
        self.book.groups = groups;
        self.forget();
        notices
    }

    /// What changes by time alone.
    fn pass(&mut self, now_ms: i64) {
        let rules = std::mem::take(&mut self.rules);
        let (absent, _) = self.book.memory.absent(&rules, now_ms);
        for (at, finding) in absent {
            // It has been away for as long as it may when this is said: nothing is left to settle.
            let rule = RuleDef { hold: Default::default(), ..rules[at].clone() };
            self.apply(&rule, finding, true, now_ms, now_ms);
        }
        self.rules = rules;
        let ids: Vec<_> = self.book.alerts.keys().cloned().collect();
        for id in ids {
            let Some(alert) = self.book.alerts.get_mut(&id) else { continue };
            if alert.clear_ms.is_none() && alert.ends_ms.is_some_and(|ends| ends <= now_ms) {
                alert.clear_ms = alert.ends_ms;
            }
            let is_over = alert.clear_ms.is_some_and(|clear| clear.saturating_add(alert.keep_ms) <= now_ms);
            if is_over {
                self.end(&id, now_ms);
            } else {
                self.settle(&id, now_ms);
            }
        }
    }

    /// Forgets what has ended and was told to everybody who knew of it.
    fn forget(&mut self) {
        let groups = &self.book.groups;
        let is_told = |id: &String| groups.values().any(|group| group.told.contains_key(id));
        let ended = self.book.alerts.values().filter(|alert| alert.stage == Stage::Ended);
        let gone: Vec<_> = ended.map(|alert| alert.id.clone()).filter(|id| !is_told(id)).collect();
        self.is_changed |= !gone.is_empty();
        for id in gone {
            self.book.alerts.remove(&id);
        }
    }

    fn members(&self) -> BTreeMap<&str, Vec<&Alert>> {
        let mut members: BTreeMap<&str, Vec<&Alert>> = BTreeMap::new();
        for alert in self.book.alerts.values() {
            for group in &alert.groups {
                members.entry(group).or_default().push(alert);
            }
        }
        members
    }

    fn look<'a>(
        &'a self,
        id: &str,
        group: &Group,
        members: &'a BTreeMap<&str, Vec<&'a Alert>>,
        quiet: &'a Quiet<'a>,
        now_ms: i64,
    ) -> Look<'a> {
        Look {
            def: &self.def,
            route: self.root.find(&group.route),
            members: members.get(id).map(Vec::as_slice).unwrap_or_default(),
            book: &self.book,
            quiet,
            now_ms,
        }
    }

    /// When something may happen next without a further signal; nothing where it never does.
    pub fn next_wake(&mut self, now_ms: i64) -> Option<i64> {
        let mut wakes = Vec::new();
        wakes.extend(self.book.memory.absent(&self.rules, now_ms).1);
        for alert in self.book.alerts.values() {
            match alert.stage {
                Stage::Settling => wakes.push(alert.since_ms.saturating_add(alert.settle_ms)),
                Stage::Firing => wakes.extend(alert.clear_ms.map(|at| at.saturating_add(alert.keep_ms))),
                Stage::Ended => {}
            }
            wakes.extend(alert.ends_ms.map(|ends| ends.saturating_add(alert.keep_ms)));
            wakes.extend(alert.ends_ms);
        }
        let grace_ms = millis(self.def.grace.get());
        wakes.extend(self.book.back.values().map(|back| back + grace_ms));
        wakes.extend(self.book.silences.values().flat_map(|silence| [silence.from_ms, silence.until_ms]));
        let members = self.members();
        let quiet = Quiet::new(&self.def, &self.book, &self.graph, now_ms);
        for (id, group) in &self.book.groups {
            self.look(id, group, &members, &quiet, now_ms).wakes(group, &mut wakes);
        }
        wakes.into_iter().filter(|wake| *wake > now_ms).min()
    }

    /// Notes that somebody works on an alert. It ends with the alert.
    ///
    /// # Errors
    /// Where there is no such alert that holds, or no reason.
    pub fn acknowledge(
        &mut self,
        tenant: Option<&TenantId>,
        id: &str,
        who: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<AlertView, Refused> {
        said(reason)?;
        let alert = self.book.alerts.get_mut(id).filter(|alert| {
            alert.stage != Stage::Ended && tenant.is_none_or(|tenant| *tenant == alert.tenant)
        });
        let alert = alert.ok_or_else(|| Refused::NoAlert(id.to_owned()))?;
        alert.ack = Some(Acknowledgement { who: who.into(), reason: reason.into(), at_ms: now_ms });
        self.is_changed = true;
        self.explain(tenant, id, now_ms).ok_or_else(|| Refused::NoAlert(id.to_owned()))
    }

    /// Tells nobody of alerts that fit, for a time.
    ///
    /// # Errors
    /// Where it has no matchers, reason or time, or where there are too many.
    pub fn silence(&mut self, mut silence: Silence, now_ms: i64) -> Result<Silence, Refused> {
        said(&silence.reason)?;
        if !silence.matchers.values().any(|asked| !is_meant("", asked)) {
            return Err(Refused::NoMatchers);
        }
        if silence.until_ms <= silence.from_ms.max(now_ms) {
            return Err(Refused::Over);
        }
        if self.book.silences.len() >= SILENCES_MAX {
            return Err(Refused::Full);
        }
        self.book.serial += 1;
        let serial = self.book.serial.to_string();
        silence.id = digest(["silence", &serial, &silence.from_ms.to_string(), &silence.who]);
        self.book.silences.insert(silence.id.clone(), silence.clone());
        self.is_changed = true;
        Ok(silence)
    }

    /// Ends a silence before its time.
    ///
    /// # Errors
    /// Where there is none of this id.
    pub fn expire(&mut self, tenant: Option<&TenantId>, id: &str) -> Result<Silence, Refused> {
        let silence = self.book.silences.get(id).filter(|one| tenant.is_none_or(|of| *of == one.tenant));
        let silence = silence.cloned().ok_or_else(|| Refused::NoSilence(id.to_owned()))?;
        self.book.silences.remove(id);
        self.is_changed = true;
        Ok(silence)
    }

    /// Silences, the one that ends first first.
    pub fn silences(&self, tenant: Option<&TenantId>) -> Vec<Silence> {
        let all = self.book.silences.values().filter(|one| tenant.is_none_or(|of| *of == one.tenant));
        let mut all: Vec<_> = all.cloned().collect();
        all.sort_by_key(|silence| silence.until_ms);
        all
    }

    /// Alerts that hold or settle, the worst first, each with why nobody is told of it.
    pub fn alerts(&self, tenant: Option<&TenantId>, now_ms: i64) -> Vec<AlertView> {
        let members = self.members();
        let quiet = Quiet::new(&self.def, &self.book, &self.graph, now_ms);
        let all = self
            .book
            .alerts
            .values()
            .filter(|one| one.stage != Stage::Ended && tenant.is_none_or(|of| *of == one.tenant));
        let mut all: Vec<_> = all.map(|alert| self.view(alert, &members, &quiet, now_ms)).collect();
        all.sort_by_key(|view| (std::cmp::Reverse(view.alert.severity), view.alert.since_ms));
        all
    }

    /// One of them.
    pub fn explain(&self, tenant: Option<&TenantId>, id: &str, now_ms: i64) -> Option<AlertView> {
        let alert = self.book.alerts.get(id).filter(|one| tenant.is_none_or(|of| *of == one.tenant))?;
        let quiet = Quiet::new(&self.def, &self.book, &self.graph, now_ms);
        Some(self.view(alert, &self.members(), &quiet, now_ms))
    }

    /// The types of events that rules are about, where `name.*` stands for all that begin so, and nothing for any; none
    /// where no rule is about events.
    pub fn event_kinds(&self) -> Option<Vec<String>> {
        let kinds: Vec<_> = self.rules.iter().filter_map(event_kind).cloned().collect();
        let is_plain = |kind: &String| !kind.strip_suffix(".*").unwrap_or(kind).contains('*');
        let all_plain = kinds.iter().all(is_plain);
        (!kinds.is_empty()).then(|| if all_plain { kinds } else { Vec::new() })
    }

    /// No rule is about events up to the one of this number; nothing where none is about any.
    pub fn events_from(&self) -> Option<i64> {
        self.book.memory.events_from()
    }

    /// Names of the metrics that rules are about.
    pub fn metric_names(&self) -> BTreeSet<String> {
        let asked = |rule: &RuleDef| {
            let absent = rule.absent.as_ref().and_then(|absent| absent.metric.clone());
            rule.metric.as_ref().map(|metric| metric.name.clone()).or(absent)
        };
        self.rules.iter().filter_map(asked).collect()
    }

    /// How many hold, by severity, whether anybody is told or not.
    pub fn firing(&self) -> BTreeMap<puerto_core::Severity, usize> {
        let mut firing = BTreeMap::new();
        for alert in self.book.alerts.values().filter(|alert| alert.is_firing()) {
            *firing.entry(alert.severity).or_default() += 1;
        }
        firing
    }

    fn view(
        &self,
        alert: &Alert,
        members: &BTreeMap<&str, Vec<&Alert>>,
        quiet: &Quiet<'_>,
        now_ms: i64,
    ) -> AlertView {
        let mut held = Vec::new();
        if alert.stage == Stage::Settling {
            held.push(Held::Settling { until_ms: alert.since_ms.saturating_add(alert.settle_ms) });
        }
        held.extend(quiet.held(alert));
        let groups: Vec<_> = alert.groups.iter().filter_map(|id| self.book.groups.get(id)).collect();
        if held.is_empty() {
            held.extend(
                groups.iter().filter_map(|group| {
                    self.look(&group.id, group, members, quiet, now_ms).waits(group, alert)
                }),
            );
        }
        AlertView {
            tenant: alert.tenant.clone(),
            alert: alert.alerted(),
            stage: alert.stage,
            acknowledged: alert.ack.clone(),
            told_ms: groups.iter().filter_map(|group| Some(group.told.get(&alert.id)?.at_ms)).min(),
            channels: groups.iter().flat_map(|group| group.channels.iter().cloned()).collect(),
            held,
        }
    }
}

fn said(reason: &str) -> Result<(), Refused> {
    let is_said = !reason.trim().is_empty() && reason.len() <= REASON_LEN_MAX;
    if is_said { Ok(()) } else { Err(Refused::NoReason) }
}

fn group_id(route: &Route, tenant: &TenantId, by: &Labels) -> String {
    let labels = by.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    digest([route.id.as_str(), tenant.as_str()].into_iter().chain(labels))
}

/// An alert as a rule and what it found make it.
fn alert(rule: &RuleDef, finding: Finding, id: String, is_own: bool) -> Alert {
    let mut labels = Labels::new();
    let mut room = LABELS_BYTES_MAX;
    for (name, value) in
        rule.labels.iter().chain(finding.labels.iter().filter(|(n, _)| !rule.labels.contains_key(*n)))
    {
        let Some(left) = room.checked_sub(name.len() + value.len()) else { continue };
        room = left;
        labels.insert(name.clone(), value.clone());
    }
    labels.insert("tenant".into(), finding.tenant.to_string());
    labels.insert("rule".into(), rule.name.clone());
    labels.insert("severity".into(), rule.severity.to_string());
    let known = |name: &str| match name {
        "value" => finding.value.map(|value| ((value * 1000.0).round() / 1000.0).to_string()),
        "why" => Some(finding.why.clone()),
        "subject" => Some(finding.subject.clone()),
        name => labels.get(name).cloned(),
    };
    // What others say of their alerts is no template of ours.
    let text = |template: Option<&String>| match (template, is_own) {
        (Some(template), true) => fill(template, known),
        (Some(text), false) => cut(text),
        (None, _) => String::new(),
    };
    let summary = text(rule.summary.as_ref());
    let summary = if summary.is_empty() { format!("{}: {}", rule.name, finding.subject) } else { summary };
    let description = match &rule.description {
        Some(_) => text(rule.description.as_ref()),
        None => cut(&finding.why),
    };
    Alert {
        id,
        rule: rule.name.clone(),
        tenant: finding.tenant,
        subject: finding.subject,
        severity: rule.severity,
        labels,
        summary,
        description,
        value: finding.value,
        stage: Stage::Settling,
        since_ms: 0,
        settle_ms: millis(rule.hold.get()),
        keep_ms: millis(rule.keep.get()),
        fired_ms: None,
        clear_ms: None,
        ends_ms: finding.ends_ms,
        is_own,
        is_state: rule.service.is_some(),
        ack: None,
        service: finding.service,
        parents: finding.parents,
        groups: Default::default(),
    }
}
