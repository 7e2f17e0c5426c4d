//! Why nobody is told of an alert: what it depends on is down, something else stands for it, work is announced, somebody
//! silenced it, or somebody works on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use puerto_core::ServiceName;
use puerto_core::def::AlertsDef;
use serde::Serialize;

use super::book::{Alert, Book, place};
use super::matcher::fits;

/// Why somebody is not told of an alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Held {
    /// It has not held for long enough.
    Settling {
        /// When it has.
        until_ms: i64,
    },
    /// What its service depends on is down.
    Parent {
        /// The service that is.
        service: String,
    },
    /// What its service depends on has just come back.
    Following {
        /// The service that has.
        service: String,
        /// Until when it may take to follow.
        until_ms: i64,
    },
    /// Another alert stands for it.
    Inhibited {
        /// That alert.
        by: String,
    },
    /// Work on its service, or on what that depends on, is announced.
    Maintenance {
        /// That service.
        service: String,
    },
    /// Somebody silenced it.
    Silenced {
        /// The silence.
        silence: String,
        /// Until when.
        until_ms: i64,
        /// Who.
        who: String,
        /// Why.
        reason: String,
    },
    /// Somebody works on it.
    Acknowledged {
        /// Who.
        who: String,
        /// What they say.
        reason: String,
    },
    /// Its route tells nothing in these hours.
    Muted {
        /// Their name.
        hours: String,
        /// When that may change.
        until_ms: Option<i64>,
    },
    /// Its group waits for others, or has told something shortly before.
    Waiting {
        /// Until when.
        until_ms: i64,
    },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |ms: &i64| {
            Timestamp::from_millisecond(*ms).map_or_else(|_| ms.to_string(), |at| format!("{at:.0}"))
        };
        match self {
            Held::Settling { until_ms } => write!(f, "it counts from {} on", time(until_ms)),
            Held::Parent { service } => write!(f, "{service}, which it depends on, is down"),
            Held::Following { service, until_ms } => {
                write!(f, "{service} has just come back, and it may take until {} to follow", time(until_ms))
            }
            Held::Inhibited { by } => write!(f, "{by} stands for it"),
            Held::Maintenance { service } => write!(f, "work on {service} is announced"),
            Held::Silenced { silence, until_ms, who, reason } => {
                write!(f, "{who} silenced it until {} ({reason}; silence {silence})", time(until_ms))
            }
            Held::Acknowledged { who, reason } => write!(f, "{who} acknowledged it: {reason}"),
            Held::Muted { hours, until_ms: Some(until_ms) } => {
                write!(f, "its route is quiet in {hours:?}, until {}", time(until_ms))
            }
            Held::Muted { hours, until_ms: None } => write!(f, "its route is quiet in {hours:?}"),
            Held::Waiting { until_ms } => write!(f, "its group waits until {}", time(until_ms)),
        }
    }
}

/// What keeps alerts quiet at one time.
pub(super) struct Quiet<'a> {
    def: &'a AlertsDef,
    book: &'a Book,
    graph: &'a BTreeMap<String, Vec<ServiceName>>,
    now_ms: i64,
    grace_ms: i64,
    /// Services that an alert says are not well.
    dead: BTreeSet<String>,
    /// Of each of `inhibit`, what its sources have in common with what they stand for, and who they are.
    sources: Vec<BTreeMap<Vec<&'a str>, &'a str>>,
}

impl<'a> Quiet<'a> {
    pub(super) fn new(
        def: &'a AlertsDef,
        book: &'a Book,
        graph: &'a BTreeMap<String, Vec<ServiceName>>,
        now_ms: i64,
    ) -> Self {
        let open = || book.alerts.values().filter(|alert| alert.clear_ms.is_none());
        // What only settles keeps its children quiet too: they would be told before it.
        let dead = open()
            .filter(|alert| alert.is_state)
            .filter_map(|alert| alert.service.as_ref().map(|service| place(&alert.tenant, service)))
            .collect();
        let sources = def.inhibit.iter().map(|rule| {
            let fitting = book.alerts.values().filter(|a| a.is_firing() && fits(&a.labels, &rule.source));
            fitting.map(|alert| (shared(alert, &rule.equal), alert.id.as_str())).collect()
        });
        let grace_ms = super::judge::millis(def.grace.get());
        Self { def, book, graph, now_ms, grace_ms, dead, sources: sources.collect() }
    }

    /// Why nobody is told of it, whatever its route says; nothing where somebody is.
    pub(super) fn held(&self, alert: &Alert) -> Option<Held> {
        self.ancestors(alert)
            .or_else(|| self.inhibited(alert))
            .or_else(|| self.maintained(alert))
            .or_else(|| self.silenced(alert))
            .or_else(|| {
                let ack = alert.ack.as_ref()?;
                Some(Held::Acknowledged { who: ack.who.clone(), reason: ack.reason.clone() })
            })
    }

    fn ancestors(&self, alert: &Alert) -> Option<Held> {
        let mut open: Vec<&ServiceName> = alert.parents.iter().collect();
        let mut seen = BTreeSet::new();
        let mut following = None;
        while let Some(parent) = open.pop() {
            let key = place(&alert.tenant, parent);
            if !seen.insert(key.clone()) {
                continue;
            }
            let service = parent.to_string();
            if self.dead.contains(&key) {
                return Some(Held::Parent { service });
            }
            if self.book.maintained.contains(&key) {
                return Some(Held::Maintenance { service });
            }
            if let Some(until_ms) = self.book.back.get(&key).map(|back| back + self.grace_ms)
                && self.now_ms < until_ms
            {
                following = Some(Held::Following { service, until_ms });
            }
            open.extend(self.graph.get(&key).into_iter().flatten());
        }
        following
    }

    fn inhibited(&self, alert: &Alert) -> Option<Held> {
        self.def.inhibit.iter().zip(&self.sources).find_map(|(rule, sources)| {
            let is_meant = fits(&alert.labels, &rule.target) && !fits(&alert.labels, &rule.source);
            let by = is_meant.then(|| sources.get(&shared(alert, &rule.equal))).flatten()?;
            Some(Held::Inhibited { by: (*by).to_owned() })
        })
    }

    fn maintained(&self, alert: &Alert) -> Option<Held> {
        let service = alert.service.as_ref()?;
        let is_worked_on = self.book.maintained.contains(&place(&alert.tenant, service));
        is_worked_on.then(|| Held::Maintenance { service: service.to_string() })
    }

    fn silenced(&self, alert: &Alert) -> Option<Held> {
        let holds = |silence: &&super::Silence| {
            silence.tenant == alert.tenant
                && silence.from_ms <= self.now_ms
                && self.now_ms < silence.until_ms
                && fits(&alert.labels, &silence.matchers)
        };
        self.book.silences.values().find(holds).map(|silence| Held::Silenced {
            silence: silence.id.clone(),
            until_ms: silence.until_ms,
            who: silence.who.clone(),
            reason: silence.reason.clone(),
        })
    }
}

/// The values of labels that have to be the same; tenants never keep each other quiet.
fn shared<'a>(alert: &'a Alert, equal: &[String]) -> Vec<&'a str> {
    let label = |name: &String| alert.labels.get(name).map_or("", String::as_str);
    std::iter::once(alert.tenant.as_str()).chain(equal.iter().map(label)).collect()
}

/// The hours in which a route is quiet now, and when that may change.
pub(super) fn muted(def: &AlertsDef, mutes: &[String], now_ms: i64) -> Option<Held> {
    let now = Timestamp::from_millisecond(now_ms).ok()?;
    let hours = mutes.iter().find(|name| def.mutes.get(*name).is_some_and(|window| window.holds(now)))?;
    let until_ms = def.mutes[hours].next_change(now).map(Timestamp::as_millisecond);
    Some(Held::Muted { hours: hours.clone(), until_ms })
}
