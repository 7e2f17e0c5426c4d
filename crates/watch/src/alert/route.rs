//! The tree of routes, laid out flat: which routes an alert takes, and how each of them tells.

use puerto_core::def::alerts::{Matchers, STDOUT};
use puerto_core::def::{AlertsDef, RouteDef};
use sha2::{Digest as _, Sha256};

use super::judge::millis;
use super::matcher::{Labels, fits};

/// A route, with what it has from those above it.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// Names it for as long as it leads the same alerts to the same channels.
    pub(super) id: String,
    pub(super) channels: Vec<String>,
    pub(super) group_by: Vec<String>,
    pub(super) wait_ms: i64,
    pub(super) interval_ms: i64,
    pub(super) repeat_ms: i64,
    pub(super) mutes: Vec<String>,
    matchers: Matchers,
    goes_on: bool,
    below: Vec<Route>,
}

impl Route {
    /// The root of the tree.
    pub(super) fn of(def: &AlertsDef) -> Self {
        let above = Route {
            id: String::new(),
            channels: vec![STDOUT.into()],
            group_by: vec!["rule".into()],
            wait_ms: 30_000,
            interval_ms: 5 * 60_000,
            repeat_ms: 4 * 3_600_000,
            mutes: Vec::new(),
            matchers: Matchers::new(),
            goes_on: false,
            below: Vec::new(),
        };
        Self::new(&def.route, &above)
    }

    fn new(def: &RouteDef, above: &Route) -> Self {
        let channels = if def.channels.is_empty() { &above.channels } else { &def.channels };
        let group_by = def.group_by.as_ref().unwrap_or(&above.group_by);
        let matchers = serde_json::to_string(&def.matchers).unwrap_or_default();
        let id = digest([above.id.as_str(), &matchers, &channels.join("\n"), &group_by.join("\n")]);
        let time =
            |span: Option<puerto_core::def::Span>, above| span.map_or(above, |span| millis(span.get()));
        let mut route = Self {
            id,
            channels: channels.clone(),
            group_by: group_by.clone(),
            wait_ms: time(def.group_wait, above.wait_ms),
            interval_ms: time(def.group_interval, above.interval_ms),
            repeat_ms: time(def.repeat, above.repeat_ms),
            mutes: if def.mutes.is_empty() { above.mutes.clone() } else { def.mutes.clone() },
            matchers: def.matchers.clone(),
            goes_on: def.goes_on,
            below: Vec::new(),
        };
        route.below = def.routes.iter().map(|below| Self::new(below, &route)).collect();
        route
    }

    /// The routes that an alert takes.
    pub(super) fn taken<'a>(&'a self, labels: &Labels, to: &mut Vec<&'a Route>) {
        let before = to.len();
        for below in self.below.iter().filter(|below| fits(labels, &below.matchers)) {
            below.taken(labels, to);
            if !below.goes_on {
                break;
            }
        }
        if to.len() == before {
            to.push(self);
        }
    }

    /// The route of this id.
    pub(super) fn find(&self, id: &str) -> Option<&Route> {
        if self.id == id { Some(self) } else { self.below.iter().find_map(|below| below.find(id)) }
    }
}

/// A short name for texts, the same for the same: eight bytes of a SHA-256 keep ten thousand apart.
pub(super) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
