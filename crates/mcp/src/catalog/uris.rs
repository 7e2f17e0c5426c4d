//! URIs on the gathering endpoint: most stay as their servers give them, since models and results name them. Two kinds
//! do not: one that another server has too, and the views of MCP Apps (`ui://`), which are told apart always, because
//! a view that came from another server would act in its name (ext-apps 2026-01-26).

use std::collections::HashSet;

use bytes::Bytes;
use puerto_core::ServerName;

use super::{Catalog, Target};
use crate::offer::ListKind;
use crate::scan::{Scanner, Span, unquoted};

/// Scheme of the URI that a resource gets when another server owns the same URI:
/// `puerto://{alias}/{original}`, the original unchanged behind it.
pub const WRAPPED: &str = "puerto://";
/// Scheme of views. Hosts look for it, so a view that is told apart keeps it: `ui://{alias}/{rest}`.
const VIEW: &str = "ui://";

pub(super) fn wrap(alias: &str, uri: &str) -> String {
    match uri.strip_prefix(VIEW) {
        Some(rest) => format!("{VIEW}{alias}/{rest}"),
        None => format!("{WRAPPED}{alias}/{uri}"),
    }
}

pub(super) fn is_view(uri: &str) -> bool {
    uri.starts_with(VIEW)
}

/// Where the definition of a tool names its view, and which: `_meta.ui.resourceUri`, and the older
/// `_meta["ui/resourceUri"]`.
pub(super) fn views(definition: &Bytes) -> Vec<(Span, String)> {
    // Most tools have none, and looking is cheaper than reading.
    if memchr::memmem::find(definition, VIEW.as_bytes()).is_none() {
        return Vec::new();
    }
    let mut spans = Vec::new();
    // An offer's items were scanned before, so what is in them is well-formed.
    let _ = Scanner::new(definition).object(|s, key| {
        match (key, s.peek()) {
            ("_meta", Some(b'{')) => s.object(|s, key| match (key, s.peek()) {
                ("ui/resourceUri", _) => s.value().map(|span| spans.push(span)),
                ("ui", Some(b'{')) => s
                    .object(|s, key| {
                        let value = s.value()?;
                        if key == "resourceUri" {
                            spans.push(value);
                        }
                        Ok(())
                    })
                    .map(drop),
                _ => s.value().map(drop),
            }),
            _ => s.value(),
        }
        .map(drop)
    });
    let found = |span: Span| Some((span, unquoted(span.of(definition))?.into_owned()));
    spans.into_iter().filter_map(found).filter(|(_, uri)| is_view(uri)).collect()
}

impl Catalog {
    /// Where a URI may lead on the gathering endpoint, the most likely first. A URI that nobody listed
    /// may belong to any server with resources.
    pub(super) fn resource(&self, uri: &str) -> Vec<Target> {
        if let Some(target) = self.resources.get(uri) {
            return vec![target.clone()];
        }
        let prefixed = uri.strip_prefix(WRAPPED).or_else(|| uri.strip_prefix(VIEW));
        if let Some((alias, rest)) = prefixed.and_then(|rest| rest.split_once('/'))
            && let Some((server, _)) = self.shape.aliases.iter().find(|(_, known)| *known == alias)
        {
            let key = if is_view(uri) { format!("{VIEW}{rest}").into() } else { rest.into() };
            return vec![Target { server: server.clone(), key }];
        }
        if is_view(uri) {
            return self.view(uri).into_iter().collect();
        }
        if uri.starts_with(WRAPPED) {
            return Vec::new();
        }
        let by_template = self.templates.iter().filter(|(prefix, ..)| uri.starts_with(prefix.as_str()));
        let mut found: Vec<Target> = by_template
            .map(|(.., target)| target.server.clone())
            .map(|server| Target { server, key: uri.into() })
            .collect();
        let others = self.offers.iter().filter(|(_, offer)| offer.about.can.resources);
        found.extend(others.map(|(server, _)| Target { server: server.clone(), key: uri.into() }));
        let mut seen = HashSet::new();
        found.retain(|target| seen.insert(target.server.clone()));
        found
    }

    /// A view by its server's own URI, as pages write it: only where a single server has it.
    fn view(&self, uri: &str) -> Option<Target> {
        let listed = self.each.iter().filter(|(_, own)| own.list(ListKind::Resources).get(uri).is_some());
        let named = self.views.iter().filter(|(_, views)| views.contains(uri));
        let owners: HashSet<&ServerName> =
            listed.map(|(server, _)| server).chain(named.map(|(server, _)| server)).collect();
        let mut owners = owners.into_iter();
        match (owners.next(), owners.next()) {
            (Some(server), None) => Some(Target { server: server.clone(), key: uri.into() }),
            _ => None,
        }
    }

    /// Whether a template, as listed on the gathering endpoint, is one of a server's; its own form of it.
    pub(super) fn template(&self, listed: &str) -> Option<Target> {
        self.templates.iter().find(|(_, whole, _)| whole == listed).map(|(.., target)| target.clone())
    }

    /// The URI on the gathering endpoint of what a server calls by another.
    pub fn outward_uri(&self, server: &ServerName, uri: &str) -> String {
        let taken = self.resources.get(uri).is_some_and(|owner| owner.server != *server);
        if taken || is_view(uri) { wrap(self.shape.alias(server), uri) } else { uri.to_owned() }
    }

    /// Whether something of a server has another URI on the gathering endpoint than its own.
    pub fn wraps(&self, server: &ServerName) -> bool {
        self.wrapping.contains(server)
    }
}
