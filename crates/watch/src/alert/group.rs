//! Groups: alerts that are told together, and what is told of them when.

use std::collections::BTreeMap;

use puerto_core::def::AlertsDef;

use super::book::{Alert, Book, Group, Stage, Told};
use super::hold::{Held, Quiet, muted};
use super::judge::millis;
use super::matcher::fits;
use super::notice::{Notice, Reason};
use super::route::{Route, digest};

/// Alerts that one notice lists, the worst ones; the others are counted. A mail of a hundred lines is still read.
pub const NOTICE_ALERTS_MAX: usize = 100;

/// What is decided about one group at one time.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) notices: Vec<Notice>,
    /// The group as it is afterwards; nothing where it is no longer needed.
    pub(super) group: Option<Group>,
}

/// A group, and what there is to know about it.
pub(super) struct Look<'a> {
    pub(super) def: &'a AlertsDef,
    /// Its route; nothing where the configuration has none like it any longer.
    pub(super) route: Option<&'a Route>,
    pub(super) members: &'a [&'a Alert],
    pub(super) book: &'a Book,
    pub(super) quiet: &'a Quiet<'a>,
    pub(super) now_ms: i64,
}

impl Look<'_> {
    /// Decides what is told.
    pub(super) fn decide(&self, mut group: Group) -> Decision {
        let mut notices = Vec::new();
        let mute = self.route.and_then(|route| muted(self.def, &route.mutes, self.now_ms));
        if mute.is_none() {
            self.tell(&mut group, &mut notices);
            self.escalate(&mut group, &mut notices);
        }
        let is_empty = group.told.is_empty() && self.members.iter().all(|alert| alert.stage == Stage::Ended);
        // Until the interval is over it stays, so that what comes back at once does not wake anybody at once.
        let rests = group.last_ms.zip(self.route).is_some_and(|(last, r)| self.now_ms < last + r.interval_ms);
        Decision { notices, group: (!is_empty || rests).then_some(group) }
    }

    /// Firing, and nothing keeps them quiet.
    fn open(&self) -> Vec<&Alert> {
        let is_open = |alert: &&&Alert| alert.is_firing() && self.quiet.held(alert).is_none();
        self.members.iter().filter(is_open).copied().collect()
    }

    fn tell(&self, group: &mut Group, notices: &mut Vec<Notice>) {
        let open = self.open();
        let is_firing = |id: &str| self.book.alerts.get(id).is_some_and(Alert::is_firing);
        let (on, over): (Vec<String>, Vec<String>) = group.told.keys().cloned().partition(|id| is_firing(id));
        let due = self.route.and_then(|route| self.due(group, route, &open));
        let may_tell = self
            .route
            .is_none_or(|route| group.last_ms.is_none_or(|last| self.now_ms >= last + route.interval_ms));
        if due.is_some_and(|due| due <= self.now_ms) {
            let told: Vec<_> = open.into_iter().filter(|alert| self.is_ripe(group, alert)).collect();
            for alert in &told {
                let new = || Told { at_ms: self.now_ms, steps: std::collections::BTreeSet::new() };
                group.told.entry(alert.id.clone()).or_insert_with(new);
            }
            self.notify(group, Reason::Fired, &told, &over, notices);
        } else if over.is_empty() {
            let repeat = self.route.map_or(0, |route| route.repeat_ms);
            let told: Vec<_> = open.into_iter().filter(|a| group.told.contains_key(&a.id)).collect();
            let is_due = repeat > 0 && group.last_ms.is_some_and(|last| self.now_ms >= last + repeat);
            if is_due && !told.is_empty() {
                self.notify(group, Reason::Reminder, &told, &[], notices);
            }
        } else if on.is_empty() && open.is_empty() {
            self.notify(group, Reason::Resolved, &[], &over, notices);
            group.also.clear();
        } else if may_tell && due.is_none() && !on.is_empty() {
            let told: Vec<_> = self.members.iter().filter(|a| on.contains(&a.id)).copied().collect();
            self.notify(group, Reason::Changed, &told, &over, notices);
        }
    }

    /// When what is new in a group is told.
    fn due(&self, group: &Group, route: &Route, open: &[&Alert]) -> Option<i64> {
        let new = open.iter().filter(|alert| !group.told.contains_key(&alert.id));
        let ready = new.filter_map(|alert| Some(alert.fired_ms? + route.wait_ms)).min()?;
        Some(group.last_ms.map_or(ready, |last| ready.max(last + route.interval_ms)))
    }

    /// A service that depends on others waits for its whole time, in which they may show that they are down.
    fn is_ripe(&self, group: &Group, alert: &Alert) -> bool {
        let wait = self.route.map_or(0, |route| route.wait_ms);
        group.told.contains_key(&alert.id)
            || alert.parents.is_empty()
            || alert.fired_ms.is_some_and(|fired| fired + wait <= self.now_ms)
    }

    fn notify(
        &self,
        group: &mut Group,
        reason: Reason,
        on: &[&Alert],
        over: &[String],
        notices: &mut Vec<Notice>,
    ) {
        group.last_ms = Some(self.now_ms);
        let ended = over.iter().filter_map(|id| self.book.alerts.get(id));
        let alerts: Vec<&Alert> = on.iter().copied().chain(ended).collect();
        let mut channels = group.channels.clone();
        if !over.is_empty() {
            channels.extend(group.also.iter().filter(|also| !group.channels.contains(also)).cloned());
        }
        self.write(group, reason, &channels, alerts, notices);
        for id in over {
            group.told.remove(id);
        }
    }

    fn escalate(&self, group: &mut Group, notices: &mut Vec<Notice>) {
        for step in &self.def.escalate {
            let name = digest([
                serde_json::to_string(&step.matchers).unwrap_or_default().as_str(),
                &step.after.to_string(),
                &step.channels.join("\n"),
            ]);
            let after = millis(step.after.get());
            let is_due = |alert: &&Alert| {
                let told = group.told.get(&alert.id);
                told.is_some_and(|told| told.at_ms + after <= self.now_ms && !told.steps.contains(&name))
                    && fits(&alert.labels, &step.matchers)
            };
            let due: Vec<&Alert> = self.open().into_iter().filter(is_due).collect();
            if due.is_empty() {
                continue;
            }
            for alert in &due {
                group.told.entry(alert.id.clone()).and_modify(|told| {
                    told.steps.insert(name.clone());
                });
            }
            group.also.extend(step.channels.iter().cloned());
            self.write(group, Reason::Escalated, &step.channels, due, notices);
        }
    }

    fn write(
        &self,
        group: &mut Group,
        reason: Reason,
        channels: &[String],
        mut alerts: Vec<&Alert>,
        notices: &mut Vec<Notice>,
    ) {
        group.serial += 1;
        alerts.sort_by_key(|alert| {
            (alert.clear_ms.is_some(), std::cmp::Reverse(alert.severity), alert.since_ms, &alert.subject)
        });
        let more = alerts.len().saturating_sub(NOTICE_ALERTS_MAX);
        let listed: Vec<_> = alerts.iter().take(NOTICE_ALERTS_MAX).map(|alert| alert.alerted()).collect();
        for channel in channels {
            notices.push(Notice {
                key: format!("{}-{:x}-{}-{channel}", group.id, group.began_ms, group.serial),
                tenant: group.tenant.clone(),
                channel: channel.clone(),
                group: group.id.clone(),
                labels: common(&alerts),
                reason,
                alerts: listed.clone(),
                more: u32::try_from(more).unwrap_or(u32::MAX),
                at_ms: self.now_ms,
            });
        }
    }

    /// Times at which a later look may decide otherwise.
    pub(super) fn wakes(&self, group: &Group, to: &mut Vec<i64>) {
        if let Some(route) = self.route {
            to.extend(group.last_ms.map(|last| last + route.interval_ms));
            to.extend(group.last_ms.filter(|_| route.repeat_ms > 0).map(|last| last + route.repeat_ms));
            to.extend(self.members.iter().filter_map(|alert| Some(alert.fired_ms? + route.wait_ms)));
            if let Some(Held::Muted { until_ms, .. }) = muted(self.def, &route.mutes, self.now_ms) {
                to.extend(until_ms);
            }
        }
        for step in &self.def.escalate {
            to.extend(group.told.values().map(|told| told.at_ms + millis(step.after.get())));
        }
    }

    /// Why a member that nothing else keeps quiet is not told yet; nothing where it was.
    pub(super) fn waits(&self, group: &Group, alert: &Alert) -> Option<Held> {
        let route = self.route?;
        if group.told.contains_key(&alert.id) {
            return None;
        }
        muted(self.def, &route.mutes, self.now_ms).or_else(|| {
            let until_ms = self.due(group, route, &[alert])?;
            Some(Held::Waiting { until_ms: until_ms.max(self.now_ms) })
        })
    }
}

/// The labels that all of them share.
fn common(alerts: &[&Alert]) -> BTreeMap<String, String> {
    let Some((first, others)) = alerts.split_first() else { return BTreeMap::new() };
    let is_shared = |(name, value): &(&String, &String)| {
        others.iter().all(|other| other.labels.get(*name) == Some(value))
    };
    first.labels.iter().filter(is_shared).map(|(name, value)| (name.clone(), value.clone())).collect()
}
