//! How a tenant shows what its servers offer: aliases, overrides and profiles, ready to be asked on every call.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use puerto_core::def::{Capability, OverrideDef, OverridesDef, ProfileDef, Separator};
use puerto_core::{Pattern, ProfileName, ServerName};
use serde_json::Value;

use crate::frame::{Edits, Parts};
use crate::offer::{Item, ListKind};
use crate::scan::{Scanner, Span};

/// How a tenant shows what its servers offer.
#[derive(Debug, Default, PartialEq)]
pub struct Shape {
    /// The alias of each server on the wire.
    pub aliases: BTreeMap<ServerName, String>,
    /// Between server and tool on the wire.
    pub separator: Separator,
    /// Named subsets.
    pub profiles: BTreeMap<ProfileName, ProfileDef>,
    overrides: BTreeMap<Capability, Overrides>,
}

/// Overrides of one kind of object.
#[derive(Debug, Default, PartialEq)]
struct Overrides {
    exact: BTreeMap<ServerName, HashMap<Box<str>, OverrideDef>>,
    /// Those with stars, from the least to the most telling.
    wild: Vec<(Pattern, OverrideDef)>,
}

impl Shape {
    /// From definitions.
    pub fn new(
        aliases: BTreeMap<ServerName, String>,
        separator: Separator,
        overrides: &OverridesDef,
        profiles: BTreeMap<ProfileName, ProfileDef>,
    ) -> Self {
        let kinds = [Capability::Tools, Capability::Prompts, Capability::Resources];
        let filled = kinds.into_iter().filter(|kind| !overrides.of(*kind).is_empty());
        let overrides = filled.map(|kind| (kind, Overrides::new(overrides.of(kind)))).collect();
        Self { aliases, separator, profiles, overrides }
    }

    /// The alias of a server on the wire.
    pub fn alias(&self, server: &ServerName) -> &str {
        self.aliases.get(server).map_or("", String::as_str)
    }

    /// What is changed of an object; nothing for most.
    pub fn change(&self, kind: ListKind, server: &ServerName, key: &str) -> Option<Cow<'_, OverrideDef>> {
        self.overrides.get(&kind.capability())?.of(server, key)
    }

    /// Whether an object is switched off.
    pub fn is_off(&self, kind: ListKind, server: &ServerName, key: &str) -> bool {
        self.change(kind, server, key).is_some_and(|change| change.enabled == Some(false))
    }

    /// Whether anything of a kind is changed.
    pub fn changes(&self, kind: ListKind) -> bool {
        self.overrides.contains_key(&kind.capability())
    }

    /// Overrides of single objects of a server, by the object's name.
    pub fn named(&self, kind: ListKind, server: &ServerName) -> impl Iterator<Item = &str> {
        let exact = self.overrides.get(&kind.capability()).and_then(|overrides| overrides.exact.get(server));
        exact.into_iter().flat_map(|named| named.keys().map(|key| &**key))
    }
}

impl Overrides {
    fn new(defs: &BTreeMap<Pattern, OverrideDef>) -> Self {
        let mut made = Self::default();
        for (pattern, def) in defs {
            match ServerName::new(pattern.server()) {
                Ok(server) if pattern.is_exact() => {
                    made.exact.entry(server).or_default().insert(pattern.key().into(), def.clone());
                }
                _ => made.wild.push((pattern.clone(), def.clone())),
            }
        }
        // By name where two fix the same: the same file gives the same lists.
        made.wild.sort_by(|(a, _), (b, _)| (a.weight(), a).cmp(&(b.weight(), b)));
        made
    }

    fn of(&self, server: &ServerName, key: &str) -> Option<Cow<'_, OverrideDef>> {
        let exact = self.exact.get(server).and_then(|named| named.get(key));
        let mut wild =
            self.wild.iter().filter(|(pattern, _)| pattern.fits(server, key)).map(|(_, def)| def).peekable();
        if wild.peek().is_none() {
            return exact.map(Cow::Borrowed);
        }
        let mut whole = OverrideDef::default();
        wild.chain(exact).for_each(|def| whole.take(def));
        Some(Cow::Owned(whole))
    }
}

/// An item with changes laid over it; what is not changed stays byte for byte.
pub fn overlaid(item: &Item, kind: ListKind, change: &OverrideDef) -> Item {
    let mut spans: BTreeMap<&str, Span> = BTreeMap::new();
    let mut filled = false;
    // An offer's items were scanned before, so what is in them is well-formed.
    let whole = Scanner::new(&item.raw).object(|s, key| {
        let value = s.value()?;
        filled = true;
        if let Some(known) = ["name", "title", "description", "annotations"].into_iter().find(|k| *k == key) {
            spans.entry(known).or_insert(value);
        }
        Ok(())
    });
    let Ok(whole) = whole else { return item.clone() };
    let text = |text: &Option<String>| text.as_ref().map(|text| Value::from(text.as_str()).to_string());
    let hints = change
        .annotations
        .as_ref()
        .map(|hints| annotations(spans.get("annotations").map_or(b"{}", |span| span.of(&item.raw)), hints));
    let wanted = [
        ("name", text(&change.name)),
        ("title", text(&change.title)),
        ("description", text(&change.description)),
        ("annotations", hints),
    ];
    let mut edits = Edits::new();
    let mut added = Vec::new();
    for (key, text) in wanted.into_iter().filter_map(|(key, text)| Some((key, text?))) {
        match spans.get(key) {
            Some(span) => edits.set(*span, text),
            None => added.push(format!("\"{key}\":{text}")),
        }
    }
    if !added.is_empty() {
        edits.add_members(whole, filled, &added.join(","));
    }
    let raw = edits.apply(&Parts::one(item.raw.clone())).whole();
    Item::read(raw, kind, item.headers.clone()).unwrap_or_else(|| item.clone())
}

/// A server's annotations with others set over them; `null` takes one away.
fn annotations(theirs: &[u8], ours: &serde_json::Map<String, Value>) -> String {
    let mut members = Vec::new();
    if theirs.first() == Some(&b'{') {
        let _ = Scanner::new(theirs).object(|s, key| {
            let value = s.value()?;
            if !ours.contains_key(key) {
                members.push(format!("{}:{}", Value::from(key), String::from_utf8_lossy(value.of(theirs))));
            }
            Ok(())
        });
    }
    let set = ours.iter().filter(|(_, value)| !value.is_null());
    members.extend(set.map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))));
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn overrides(text: &str) -> Shape {
        Shape::new(
            BTreeMap::new(),
            Separator::default(),
            &serde_json::from_str(text).unwrap(),
            BTreeMap::new(),
        )
    }

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    #[test]
    fn what_fixes_more_of_a_name_counts_more() {
        let shape = overrides(
            r#"{"tools":{"*":{"enabled":false},"git.*":{"title":"Git"},"git.read_*":{"enabled":true},"git.read_x":{"title":"X"}}}"#,
        );
        let is_off = |name: &str, key: &str| shape.is_off(ListKind::Tools, &server(name), key);
        assert!(is_off("files", "read_a"));
        assert!(is_off("git", "push"));
        assert!(!is_off("git", "read_a"));
        assert!(!shape.is_off(ListKind::Prompts, &server("git"), "push"));
        let title =
            |key: &str| shape.change(ListKind::Tools, &server("git"), key).unwrap().title.clone().unwrap();
        assert_eq!(title("read_a"), "Git");
        assert_eq!(title("read_x"), "X");
    }

    #[test]
    fn changes_lie_over_an_item_and_the_rest_stays() {
        let raw =
            r#"{ "x":1.10, "name":"a", "description":"old", "annotations":{"readOnlyHint":false,"y":2e0} }"#;
        let item = Item::read(Bytes::from(raw), ListKind::Tools, Vec::new()).unwrap();
        let change: OverrideDef = serde_json::from_str(
            r#"{"name":"b","title":"T","description":"new \"one\"","annotations":{"readOnlyHint":true,"z":null,"y":null}}"#,
        )
        .unwrap();
        let shown = overlaid(&item, ListKind::Tools, &change);
        assert_eq!(
            shown.raw,
            r#"{ "x":1.10, "name":"b", "description":"new \"one\"", "annotations":{"readOnlyHint":true} ,"title":"T"}"#
        );
        assert_eq!(&*shown.key, "b");
        assert_eq!(shown.key_span.of(&shown.raw), br#""b""#);
    }
}
