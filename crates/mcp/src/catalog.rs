//! What a tenant's servers offer now, merged: immutable, swapped whole, answered from memory. Items are
//! sorted and joined once, so a page of a list is a slice of one text.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use puerto_core::ServerName;
use puerto_core::def::{Capability, Separator};

use crate::names;
use crate::offer::{Item, ListKind, Offer};

/// Scheme of the URI that a resource gets when another server owns the same URI:
/// `puerto://{alias}/{original}`, the original unchanged behind it.
pub const WRAPPED: &str = "puerto://";

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

/// One list, ready to send.
#[derive(Debug, Default)]
pub struct List {
    keys: Vec<Box<str>>,
    ends: Vec<u32>,
    text: Bytes,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// Items, joined by commas.
    pub items: Bytes,
    /// The last key, where more follow.
    pub next: Option<String>,
}

impl List {
    fn build(mut entries: Vec<(String, Bytes)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = BytesMut::with_capacity(entries.iter().map(|(_, raw)| raw.len() + 1).sum());
        let mut list = Self {
            keys: Vec::with_capacity(entries.len()),
            ends: Vec::with_capacity(entries.len()),
            text: Bytes::new(),
        };
        for (key, raw) in entries {
            if !text.is_empty() {
                text.extend_from_slice(b",");
            }
            text.extend_from_slice(&raw);
            list.keys.push(key.into());
            #[allow(clippy::cast_possible_truncation, reason = "offers are bounded far below 4 GiB")]
            list.ends.push(text.len() as u32);
        }
        list.text = text.freeze();
        list
    }

    /// Up to `size` items whose keys come after `after`. A key that has gone meanwhile still marks its place.
    pub fn page(&self, after: Option<&str>, size: usize) -> Page {
        let first = after.map_or(0, |key| self.keys.partition_point(|k| &**k <= key));
        let last = (first + size).min(self.keys.len());
        if first >= last {
            return Page { items: Bytes::new(), next: None };
        }
        let start = if first == 0 { 0 } else { self.ends[first - 1] as usize + 1 };
        let next = (last < self.keys.len()).then(|| self.keys[last - 1].to_string());
        Page { items: self.text.slice(start..self.ends[last - 1] as usize), next }
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, sorted: names or URIs as on the wire.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }
}

/// The four lists of one endpoint.
#[derive(Debug, Default)]
pub struct Listing {
    lists: [List; 4],
}

impl Listing {
    /// The list of a kind.
    pub fn list(&self, kind: ListKind) -> &List {
        &self.lists[kind as usize]
    }
}

/// What a tenant's servers offer.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Everything, under names that tell servers apart.
    pub all: Listing,
    /// Each server's own, as it names them.
    pub each: BTreeMap<ServerName, Listing>,
    /// The offers that this was merged from.
    pub offers: BTreeMap<ServerName, Arc<Offer>>,
    /// What was changed, left out or found wrong, for people.
    pub notices: Vec<String>,
    aliases: BTreeMap<ServerName, String>,
    tools: HashMap<String, Target>,
    prompts: HashMap<String, Target>,
    resources: HashMap<String, Target>,
    templates: Vec<(String, String, Target)>,
}

impl Catalog {
    /// Merges offers. The result depends on definitions and offers alone, not on who came first.
    pub fn merge(parts: &[Part], aliases: BTreeMap<ServerName, String>, separator: Separator) -> Self {
        let mut catalog = Self { aliases, ..Self::default() };
        let mut sorted: Vec<_> = parts.iter().collect();
        sorted.sort_by(|a, b| a.server.cmp(&b.server));
        let mut all: [Vec<(String, Bytes)>; 4] = Default::default();
        for part in sorted {
            let mut own: [Vec<(String, Bytes)>; 4] = Default::default();
            catalog
                .notices
                .extend(part.offer.notices.iter().map(|n| format!("server {:?}: {n}", part.server.as_str())));
            for kind in ListKind::ALL {
                for item in catalog.taken(part, kind) {
                    own[kind as usize].push((item.key.to_string(), item.raw.clone()));
                    let (wire, raw) = catalog.admit(part, kind, item, separator);
                    all[kind as usize].push((wire, raw));
                }
            }
            catalog.each.insert(part.server.clone(), Listing { lists: own.map(List::build) });
            catalog.offers.insert(part.server.clone(), part.offer.clone());
        }
        catalog.all = Listing { lists: all.map(List::build) };
        // The longest fixed beginning is the most telling one.
        catalog.templates.sort_by_key(|(prefix, ..)| std::cmp::Reverse(prefix.len()));
        catalog
    }

    /// The items of a part that the definition lets in.
    fn taken<'a>(&mut self, part: &'a Part, kind: ListKind) -> &'a [Item] {
        let wanted = match kind {
            ListKind::Tools => Capability::Tools,
            ListKind::Resources | ListKind::Templates => Capability::Resources,
            ListKind::Prompts => Capability::Prompts,
        };
        if part.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&wanted)) {
            return &[];
        }
        let items = part.offer.list(kind);
        if kind == ListKind::Tools && part.tools_max > 0 && items.len() > part.tools_max {
            self.notices.push(format!(
                "server {:?}: offers {} tools, quota max_tools_per_server takes the first {}",
                part.server.as_str(),
                items.len(),
                part.tools_max
            ));
            return &items[..part.tools_max];
        }
        items
    }

    /// Gives an item its name or URI on the gathering endpoint and remembers where that leads.
    fn admit(&mut self, part: &Part, kind: ListKind, item: &Item, separator: Separator) -> (String, Bytes) {
        let target = Target { server: part.server.clone(), key: item.key.clone() };
        let alias = self.aliases.get(&part.server).cloned().unwrap_or_default();
        let wire = match kind {
            ListKind::Tools | ListKind::Prompts => {
                names::wire_name(&alias, separator, &part.server, &item.key)
            }
            ListKind::Resources if self.resources.contains_key(&*item.key) => wrap(&alias, &item.key),
            ListKind::Templates if self.templates.iter().any(|(_, whole, _)| whole == &*item.key) => {
                wrap(&alias, &item.key)
            }
            ListKind::Resources | ListKind::Templates => item.key.to_string(),
        };
        match kind {
            ListKind::Tools => self.tools.insert(wire.clone(), target),
            ListKind::Prompts => self.prompts.insert(wire.clone(), target),
            ListKind::Resources => self.resources.insert(wire.clone(), target),
            ListKind::Templates => {
                let prefix = wire.split('{').next().unwrap_or_default().to_owned();
                self.templates.push((prefix, wire.clone(), target));
                None
            }
        };
        let plain = format!("{alias}{}{}", separator.text(), item.key);
        if wire != *item.key && wire != plain {
            let server = part.server.as_str();
            self.notices.push(format!(
                "server {server:?}: the {} {:?} is listed as {wire:?}",
                kind.noun(),
                item.key
            ));
        }
        (wire.clone(), renamed(item, &wire))
    }

    /// The listing of an endpoint: one server's, or everything.
    pub fn listing(&self, server: Option<&ServerName>) -> Option<&Listing> {
        match server {
            Some(server) => self.each.get(server),
            None => Some(&self.all),
        }
    }

    /// Where the name of a tool leads on the gathering endpoint, in whatever form it is written. A tool
    /// that is not listed but whose server is named leads to that server, which may know better.
    pub fn tool(&self, name: &str) -> Option<Target> {
        self.named(name, &self.tools, ListKind::Tools)
    }

    /// The same for a prompt.
    pub fn prompt(&self, name: &str) -> Option<Target> {
        self.named(name, &self.prompts, ListKind::Prompts)
    }

    fn named(&self, name: &str, index: &HashMap<String, Target>, kind: ListKind) -> Option<Target> {
        if let Some(target) = index.get(name) {
            return Some(target.clone());
        }
        let mut readings: Vec<_> = names::readings(name, &self.aliases).collect();
        readings.sort_by_key(|(server, tool)| !self.offers_item(server, kind, tool));
        let (server, tool) = readings.first()?;
        Some(Target { server: (*server).clone(), key: (*tool).into() })
    }

    fn offers_item(&self, server: &ServerName, kind: ListKind, key: &str) -> bool {
        self.item(server, kind, key).is_some()
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

    /// Where a URI may lead on the gathering endpoint, the most likely first. A URI that nobody listed
    /// may belong to any server with resources.
    pub fn resource(&self, uri: &str) -> Vec<Target> {
        if let Some(target) = self.resources.get(uri) {
            return vec![target.clone()];
        }
        if let Some((alias, rest)) = uri.strip_prefix(WRAPPED).and_then(|rest| rest.split_once('/')) {
            let owner = self.aliases.iter().find(|(_, a)| *a == alias);
            return owner
                .map(|(server, _)| Target { server: server.clone(), key: rest.into() })
                .into_iter()
                .collect();
        }
        let by_template = self.templates.iter().filter(|(prefix, ..)| uri.starts_with(prefix.as_str()));
        let mut found: Vec<Target> = by_template
            .map(|(.., target)| target.server.clone())
            .map(|server| Target { server, key: uri.into() })
            .collect();
        let others = self.offers.iter().filter(|(_, offer)| offer.about.can.resources);
        found.extend(others.map(|(server, _)| Target { server: server.clone(), key: uri.into() }));
        let mut seen = std::collections::HashSet::new();
        found.retain(|target| seen.insert(target.server.clone()));
        found
    }

    /// Whether a template, as listed on the gathering endpoint, is one of a server's; its own form of it.
    pub fn template(&self, listed: &str) -> Option<Target> {
        self.templates.iter().find(|(_, whole, _)| whole == listed).map(|(.., target)| target.clone())
    }

    /// The URI on the gathering endpoint of what a server calls by another.
    pub fn outward_uri(&self, server: &ServerName, uri: &str) -> String {
        match self.resources.get(uri) {
            Some(owner) if owner.server != *server => {
                wrap(self.aliases.get(server).map_or("", String::as_str), uri)
            }
            _ => uri.to_owned(),
        }
    }

    /// Whether some resource of a server is listed under another URI than its own.
    pub fn wraps(&self, server: &ServerName) -> bool {
        self.resources.iter().any(|(wire, target)| target.server == *server && wire.starts_with(WRAPPED))
    }

    /// The kinds of list that differ between two catalogs on one endpoint.
    pub fn changes(&self, before: &Catalog, server: Option<&ServerName>) -> Vec<ListKind> {
        let (Some(now), Some(then)) = (self.listing(server), before.listing(server)) else {
            return ListKind::ALL.to_vec();
        };
        ListKind::ALL.into_iter().filter(|&kind| now.list(kind).text != then.list(kind).text).collect()
    }
}

fn wrap(alias: &str, uri: &str) -> String {
    format!("{WRAPPED}{alias}/{uri}")
}

fn renamed(item: &Item, wire: &str) -> Bytes {
    if wire == &*item.key {
        return item.raw.clone();
    }
    let mut edits = crate::frame::Edits::new();
    edits.set(item.key_span, serde_json::Value::from(wire).to_string());
    edits.apply(&crate::frame::Parts::one(item.raw.clone())).whole()
}

#[cfg(test)]
mod tests;
