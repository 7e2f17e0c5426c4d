//! What a tenant's servers offer now, merged: immutable, swapped whole, answered from memory.

mod listing;
mod uris;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use puerto_core::def::{Capability, ProfileDef, ProfileKind};
use puerto_core::pattern::is_like;
use puerto_core::{Choice, ProfileName, ServerName};
use serde_json::Value;

use crate::frame::{Edits, Parts};
use crate::names;
use crate::offer::{Item, ListKind, Offer};
use crate::scan::Span;
use crate::search::Own;
use crate::search::index::Index;
use crate::shape::{Shape, overlaid};
pub use listing::{List, Listing, Page};
pub use uris::WRAPPED;
use uris::{is_view, views, wrap};

/// One server's part, before merging.
#[derive(Debug, Clone)]
pub struct Part {
    /// The server.
    pub server: ServerName,
    /// What it offers, or last offered.
    pub offer: Arc<Offer>,
    /// Kinds that the definition takes over; everything where absent.
    pub kinds: Option<Vec<Capability>>,
    /// Tools taken over at most; 0 = all.
    pub tools_max: usize,
}

/// Where a name or URI leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub server: ServerName,
    /// The name or URI as that server gives it.
    pub key: Arc<str>,
}

/// Which part of a tenant an endpoint shows: everything, one server, or a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The one server.
    pub server: Option<ServerName>,
    /// The profile, on an endpoint that gathers servers.
    pub profile: Option<ProfileName>,
}

impl Scope {
    /// One server's own endpoint.
    pub fn server(server: &ServerName) -> Self {
        Self { server: Some(server.clone()), profile: None }
    }
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The likeliest place.
    pub target: Target,
    /// Further servers that may own a URI that nobody lists.
    pub others: Vec<Target>,
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// Nobody has it.
    Unknown,
    /// The tenant switched it off.
    Off,
    /// It does not belong to the endpoint's profile.
    Outside,
}

/// A tool, for people and programs that see all of them.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Whose it is, and what it is called there.
    pub target: Target,
    /// Its name on the gathering endpoint; none where it is switched off.
    pub wire: Option<String>,
    /// Its definition, as its server's own endpoint lists it.
    pub definition: Bytes,
}

/// A profile, as its endpoint shows it.
#[derive(Debug, Default)]
struct Profiled {
    listing: Listing,
    /// Made when it is first searched.
    index: OnceLock<Index>,
}

/// An object on its way into lists.
struct Entry {
    wire: String,
    raw: Bytes,
    target: Target,
}

/// A server's own names, by server and the name that clients see.
type Renamed = BTreeMap<ServerName, HashMap<Arc<str>, Arc<str>>>;

/// What a tenant's servers offer.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Everything, under names that tell servers apart.
    pub all: Listing,
    /// Each server's own, as it names them or as the tenant renames them.
    pub each: BTreeMap<ServerName, Listing>,
    /// The offers that this was merged from.
    pub offers: BTreeMap<ServerName, Arc<Offer>>,
    /// What was changed, left out or found wrong, for people.
    pub notices: Vec<String>,
    shape: Arc<Shape>,
    profiles: BTreeMap<ProfileName, Profiled>,
    tools: HashMap<String, Target>,
    prompts: HashMap<String, Target>,
    resources: HashMap<String, Target>,
    templates: Vec<(String, String, Target)>,
    /// Servers of which something has another URI on the gathering endpoint.
    wrapping: BTreeSet<ServerName>,
    /// Views that the tools of each server name, by its own URIs.
    views: BTreeMap<ServerName, HashSet<String>>,
    /// Templates that are switched off, as patterns.
    closed: Vec<(ServerName, String)>,
    /// The servers' own names of what is renamed, by kind.
    renamed: [Renamed; 4],
}

impl Catalog {
    /// Merges offers. The result depends on definitions and offers alone, not on who came first.
    pub fn merge(parts: &[Part], shape: Arc<Shape>) -> Self {
        let mut catalog = Self { shape, ..Self::default() };
        let mut sorted: Vec<_> = parts.iter().collect();
        sorted.sort_by(|a, b| a.server.cmp(&b.server));
        let mut all: [Vec<Entry>; 4] = Default::default();
        for part in sorted {
            let mut own: [Vec<(String, Bytes)>; 4] = Default::default();
            catalog
                .notices
                .extend(part.offer.notices.iter().map(|n| format!("server {:?}: {n}", part.server.as_str())));
            for kind in ListKind::ALL {
                for (key, item) in catalog.shown(part, kind) {
                    own[kind as usize].push((item.key.to_string(), item.raw.clone()));
                    let entry = catalog.admit(part, kind, key, &item);
                    all[kind as usize].push(entry);
                }
            }
            catalog.note_idle_overrides(part);
            catalog.each.insert(part.server.clone(), Listing::build(own));
            catalog.offers.insert(part.server.clone(), part.offer.clone());
        }
        catalog.profiles = catalog
            .shape
            .profiles
            .iter()
            .map(|(name, def)| {
                let listing = profile_listing(def, &catalog.shape, &all);
                (name.clone(), Profiled { listing, index: OnceLock::new() })
            })
            .collect();
        let entries = all.map(|entries| entries.into_iter().map(|entry| (entry.wire, entry.raw)).collect());
        catalog.all = Listing::build(entries);
        // The longest fixed beginning is the most telling one.
        catalog.templates.sort_by_key(|(prefix, ..)| std::cmp::Reverse(prefix.len()));
        catalog
    }

    /// The items of a part that the definitions let in, as the tenant shows them, each with its server's own key.
    fn shown<'a>(&mut self, part: &'a Part, kind: ListKind) -> Vec<(&'a Arc<str>, Cow<'a, Item>)> {
        if part.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&kind.capability())) {
            return Vec::new();
        }
        let items = part.offer.list(kind);
        let mut shown: Vec<_> = match self.shape.changes(kind) {
            false => items.iter().map(|item| (&item.key, Cow::Borrowed(item))).collect(),
            true => self.changed(part, kind, items),
        };
        if kind == ListKind::Tools && part.tools_max > 0 && shown.len() > part.tools_max {
            self.notices.push(format!(
                "server {:?}: offers {} tools, quota max_tools_per_server takes the first {}",
                part.server.as_str(),
                shown.len(),
                part.tools_max
            ));
            shown.truncate(part.tools_max);
        }
        shown
    }

    /// Items with the tenant's overrides laid over them, without those that are switched off.
    fn changed<'a>(
        &mut self,
        part: &Part,
        kind: ListKind,
        items: &'a [Item],
    ) -> Vec<(&'a Arc<str>, Cow<'a, Item>)> {
        let shape = self.shape.clone();
        let mut shown = Vec::with_capacity(items.len());
        for item in items {
            match shape.change(kind, &part.server, &item.key) {
                None => shown.push((&item.key, Cow::Borrowed(item))),
                Some(change) if change.enabled == Some(false) => {
                    if kind == ListKind::Templates {
                        self.closed.push((part.server.clone(), as_pattern(&item.key)));
                    }
                }
                Some(change) => shown.push((&item.key, Cow::Owned(overlaid(item, kind, &change)))),
            }
        }
        let kept = shown.iter().filter(|(key, item)| **key == item.key).map(|(key, _)| (*key).clone());
        let mut taken: HashSet<Arc<str>> = kept.collect();
        shown.retain_mut(|(key, item)| {
            if **key == item.key {
                return true;
            }
            if taken.insert(item.key.clone()) {
                let renamed = self.renamed[kind as usize].entry(part.server.clone()).or_default();
                renamed.insert(item.key.clone(), (*key).clone());
                return true;
            }
            let (server, noun, wanted) = (part.server.as_str(), kind.noun(), item.key.clone());
            let own = items.iter().find(|own| own.key == **key).filter(|own| taken.insert(own.key.clone()));
            let what = if own.is_some() { "keeps its name" } else { "is left out" };
            self.notices.push(format!(
                "server {server:?}: the {noun} {key:?} {what}: another one is called {wanted:?} (overrides)"
            ));
            own.is_some_and(|own| {
                *item = Cow::Borrowed(own);
                true
            })
        });
        shown
    }

    /// Overrides of things that the server does not have.
    fn note_idle_overrides(&mut self, part: &Part) {
        for kind in [ListKind::Tools, ListKind::Prompts, ListKind::Resources] {
            let has = |kind: ListKind, key: &str| part.offer.list(kind).iter().any(|item| &*item.key == key);
            let template = |key: &str| kind == ListKind::Resources && has(ListKind::Templates, key);
            let idle = self.shape.named(kind, &part.server).filter(|key| !(has(kind, key) || template(key)));
            let (server, noun) = (part.server.as_str(), kind.noun());
            let mut notes: Vec<_> = idle
                .map(|key| format!("server {server:?}: it has no {noun} {key:?}, which an override names"))
                .collect();
            notes.sort();
            self.notices.append(&mut notes);
        }
    }

    /// Gives an item its name or URI on the gathering endpoint and remembers where that leads.
    fn admit(&mut self, part: &Part, kind: ListKind, key: &Arc<str>, item: &Item) -> Entry {
        let target = Target { server: part.server.clone(), key: key.clone() };
        let shape = self.shape.clone();
        let alias = shape.alias(&part.server);
        let wire = match kind {
            ListKind::Tools | ListKind::Prompts => {
                names::wire_name(alias, shape.separator, &part.server, &item.key)
            }
            ListKind::Resources if self.resources.contains_key(&*item.key) || is_view(&item.key) => {
                wrap(alias, &item.key)
            }
            ListKind::Templates
                if is_view(&item.key) || self.templates.iter().any(|(_, whole, _)| whole == &*item.key) =>
            {
                wrap(alias, &item.key)
            }
            ListKind::Resources | ListKind::Templates => item.key.to_string(),
        };
        match kind {
            ListKind::Tools => self.tools.insert(wire.clone(), target.clone()),
            ListKind::Prompts => self.prompts.insert(wire.clone(), target.clone()),
            ListKind::Resources => self.resources.insert(wire.clone(), target.clone()),
            ListKind::Templates => {
                let prefix = wire.split('{').next().unwrap_or_default().to_owned();
                self.templates.push((prefix, wire.clone(), target.clone()));
                None
            }
        };
        let views = if kind == ListKind::Tools { views(&item.raw) } else { Vec::new() };
        let is_resource = matches!(kind, ListKind::Resources | ListKind::Templates);
        if !views.is_empty() || is_resource && wire != *item.key {
            self.wrapping.insert(part.server.clone());
            let known = self.views.entry(part.server.clone()).or_default();
            known.extend(views.iter().map(|(_, uri)| uri.clone()));
        }
        let plain = format!("{alias}{}{}", shape.separator.text(), item.key);
        if wire != *item.key && wire != plain && !is_view(&wire) {
            let server = part.server.as_str();
            self.notices.push(format!(
                "server {server:?}: the {} {:?} is listed as {wire:?}",
                kind.noun(),
                item.key
            ));
        }
        Entry { raw: listed(item, &wire, alias, &views), wire, target }
    }

    /// The listing of an endpoint.
    pub fn listing(&self, scope: &Scope) -> Option<&Listing> {
        match (&scope.server, &scope.profile) {
            (Some(server), _) => self.each.get(server),
            (None, Some(profile)) => self.profiles.get(profile).map(|profiled| &profiled.listing),
            (None, None) => Some(&self.all),
        }
    }

    /// Where a name or URI leads on an endpoint. A tool that is not listed but whose server is named leads to that
    /// server, which may know better.
    pub fn find(&self, scope: &Scope, kind: ListKind, asked: &Arc<str>) -> Result<Found, Withheld> {
        let candidates = match (&scope.server, kind) {
            (Some(server), _) => {
                // Mostly the very text that was asked, shared.
                let own = self.renamed_key(kind, server, asked).unwrap_or_else(|| asked.clone());
                return self.let_through(scope, kind, Target { server: server.clone(), key: own });
            }
            (None, ListKind::Tools | ListKind::Prompts) => {
                let target = self.named(asked, kind).ok_or(Withheld::Unknown)?;
                return self.let_through(scope, kind, target);
            }
            (None, ListKind::Resources) => self.resource(asked),
            (None, ListKind::Templates) => {
                self.template(asked).map_or_else(|| self.resource(asked), |target| vec![target])
            }
        };
        let mut open = candidates.into_iter().filter_map(|target| self.let_through(scope, kind, target).ok());
        let Found { target, .. } = open.next().ok_or(Withheld::Unknown)?;
        Ok(Found { target, others: open.map(|found| found.target).collect() })
    }

    fn let_through(&self, scope: &Scope, kind: ListKind, target: Target) -> Result<Found, Withheld> {
        let (server, key) = (&target.server, &*target.key);
        if self.shape.is_off(kind, server, key)
            || (kind == ListKind::Resources && self.is_closed(server, key))
        {
            return Err(Withheld::Off);
        }
        if let Some(profile) = &scope.profile {
            let def = self.shape.profiles.get(profile).ok_or(Withheld::Outside)?;
            if !def.has(kind.capability(), server, key) {
                return Err(Withheld::Outside);
            }
        }
        Ok(Found { target, others: Vec::new() })
    }

    /// Whether a URI that nobody lists comes only from templates that are switched off.
    fn is_closed(&self, server: &ServerName, uri: &str) -> bool {
        let closed = self.closed.iter().any(|(owner, pattern)| owner == server && is_like(uri, pattern));
        let own = self.each.get(server).and_then(|own| own.list(ListKind::Resources).get(uri));
        closed
            && own.is_none()
            && !self
                .templates
                .iter()
                .any(|(.., target)| target.server == *server && is_like(uri, &as_pattern(&target.key)))
    }

    /// What a server calls an object that its own endpoint lists under this name.
    fn own_key(&self, kind: ListKind, server: &ServerName, shown: &str) -> Arc<str> {
        self.renamed_key(kind, server, shown).unwrap_or_else(|| shown.into())
    }

    /// The same, where the object has another name there.
    fn renamed_key(&self, kind: ListKind, server: &ServerName, shown: &str) -> Option<Arc<str>> {
        self.renamed[kind as usize].get(server)?.get(shown).cloned()
    }

    /// Where the name of a tool or prompt leads on the gathering endpoint, in whatever form it is written.
    fn named(&self, name: &str, kind: ListKind) -> Option<Target> {
        let index = if kind == ListKind::Tools { &self.tools } else { &self.prompts };
        if let Some(target) = index.get(name) {
            return Some(target.clone());
        }
        let mut readings: Vec<_> = names::readings(name, &self.shape.aliases)
            .map(|(server, tool)| Target { server: server.clone(), key: self.own_key(kind, server, tool) })
            .collect();
        readings.sort_by_key(|target| self.item(&target.server, kind, &target.key).is_none());
        readings.into_iter().next().or_else(|| self.bare(name, kind))
    }

    /// Where a name leads that names no server, as pages of MCP Apps write it: only where a single server has it.
    fn bare(&self, name: &str, kind: ListKind) -> Option<Target> {
        let mut owners = self.each.iter().filter(|(_, own)| own.list(kind).get(name).is_some());
        match (owners.next(), owners.next()) {
            (Some((server, _)), None) => {
                Some(Target { server: server.clone(), key: self.own_key(kind, server, name) })
            }
            _ => None,
        }
    }

    /// Every tool that callers have, or that a profile has, by canonical name.
    pub fn tools(&self, profile: Option<&ProfileName>) -> Vec<Tool> {
        let def = profile.map(|profile| self.shape.profiles.get(profile));
        let mut tools = Vec::new();
        for (server, listing) in &self.each {
            for (shown, definition) in listing.list(ListKind::Tools).items() {
                let key = self.own_key(ListKind::Tools, server, shown);
                let is_in =
                    def.is_none_or(|def| def.is_some_and(|def| def.has(Capability::Tools, server, &key)));
                if is_in {
                    let wire =
                        names::wire_name(self.shape.alias(server), self.shape.separator, server, shown);
                    let target = Target { server: server.clone(), key };
                    tools.push(Tool { target, wire: Some(wire), definition });
                }
            }
        }
        tools
    }

    /// The tools that the tenant switched off, as their servers define them.
    pub fn tools_off(&self) -> Vec<Tool> {
        let mut off = Vec::new();
        for (server, offer) in &self.offers {
            let items = offer.list(ListKind::Tools).iter();
            for item in items.filter(|item| self.shape.is_off(ListKind::Tools, server, &item.key)) {
                let target = Target { server: server.clone(), key: item.key.clone() };
                off.push(Tool { target, wire: None, definition: item.raw.clone() });
            }
        }
        off
    }

    /// Whether some tool of a server mirrors arguments into headers.
    pub fn mirrors(&self, server: &ServerName) -> bool {
        self.offers.get(server).is_some_and(|offer| offer.mirrors)
    }

    /// The definition of an item.
    pub fn item(&self, server: &ServerName, kind: ListKind, key: &str) -> Option<&Item> {
        self.offers.get(server)?.list(kind).iter().find(|item| &*item.key == key)
    }

    /// Whether a server's offer is in it.
    pub fn knows(&self, server: &ServerName) -> bool {
        self.offers.contains_key(server)
    }

    /// The kinds of list that differ between two catalogs on one endpoint.
    pub fn changes(&self, before: &Catalog, scope: &Scope) -> Vec<ListKind> {
        let (Some(now), Some(then)) = (self.listing(scope), before.listing(scope)) else {
            return ListKind::ALL.to_vec();
        };
        ListKind::ALL.into_iter().filter(|&kind| !now.list(kind).is_same(then.list(kind))).collect()
    }

    /// What a search in a profile looks through.
    pub fn index(&self, profile: &ProfileName) -> Option<&Index> {
        let profiled = self.profiles.get(profile)?;
        Some(profiled.index.get_or_init(|| Index::build(self.tools(Some(profile)))))
    }

    /// The definition of a tool as the gathering endpoint lists it.
    pub fn definition(&self, target: &Target) -> Option<Bytes> {
        let (wire, _) = self.tools.iter().find(|(_, other)| *other == target)?;
        self.all.list(ListKind::Tools).get(wire)
    }

    /// The profiles that it has lists for.
    pub fn profiles(&self) -> impl Iterator<Item = &ProfileName> {
        self.profiles.keys()
    }
}

/// The lists of a profile.
fn profile_listing(def: &ProfileDef, shape: &Shape, all: &[Vec<Entry>; 4]) -> Listing {
    let chosen = |kind: ListKind| {
        let entries = all[kind as usize].iter();
        entries.filter(move |entry| def.has(kind.capability(), &entry.target.server, &entry.target.key))
    };
    let plain = |entry: &Entry| (entry.wire.clone(), entry.raw.clone());
    Listing::build(ListKind::ALL.map(|kind| match (def.kind, kind) {
        (ProfileKind::Search, ListKind::Tools) => {
            let is_in = |server: &&ServerName| def.servers.as_ref().is_none_or(|all| all.contains(server));
            let servers: Vec<_> = shape.aliases.keys().filter(is_in).map(ServerName::as_str).collect();
            let own = Own::ALL.map(|own| (own.name().to_owned(), own.definition(&servers)));
            let pinned =
                |entry: &&Entry| Choice::lets_in(&def.pinned, &entry.target.server, &entry.target.key);
            own.into_iter().chain(chosen(kind).filter(pinned).map(plain)).collect()
        }
        _ => chosen(kind).map(plain).collect(),
    }))
}

/// A template as a pattern: any text in place of its expressions (RFC 6570).
fn as_pattern(template: &str) -> String {
    let mut pattern = String::with_capacity(template.len());
    let mut inside = false;
    for c in template.chars() {
        match c {
            '{' => (inside, pattern) = (true, pattern + "*"),
            '}' => inside = false,
            c if !inside => pattern.push(c),
            _ => {}
        }
    }
    pattern
}

/// An item as the gathering endpoint lists it.
fn listed(item: &Item, wire: &str, alias: &str, views: &[(Span, String)]) -> Bytes {
    if wire == &*item.key && views.is_empty() {
        return item.raw.clone();
    }
    let mut edits = Edits::new();
    if wire != &*item.key {
        edits.set(item.key_span, Value::from(wire).to_string());
    }
    for (span, uri) in views {
        edits.set(*span, Value::from(wrap(alias, uri)).to_string());
    }
    edits.apply(&Parts::one(item.raw.clone())).whole()
}

#[cfg(test)]
mod tests;
