//! Names. Lines up to an empty one name servers, those after it tools that each of them has. Aliases and wire names
//! fit, differ, and lead back to what they stand for; so do the canonical name and every other form. A second round
//! calls servers and tools as the first has listed them, since a name of ours must not take the place of another.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use puerto_core::ServerName;
use puerto_core::def::Separator;
use puerto_mcp::catalog::{Catalog, Part, Scope, Target};
use puerto_mcp::names::{ALIAS_MAX, WIRE_NAME_MAX, aliases, readings};
use puerto_mcp::offer::{ListKind, Offer};
use puerto_mcp::shape::Shape;
use serde_json::json;

/// Servers, and tools of each, at most.
const EACH_MAX: usize = 4;

fuzz_target!(|text: &str| {
    let (servers, tools) = text.split_once("\n\n").unwrap_or((text, "tool"));
    let servers: BTreeSet<_> =
        servers.lines().filter_map(|line| ServerName::new(line).ok()).take(EACH_MAX).collect();
    let tools: BTreeSet<_> =
        tools.lines().filter(|line| !line.is_empty()).take(EACH_MAX).map(str::to_owned).collect();
    for separator in [Separator::DoubleUnderscore, Separator::Dot, Separator::Underscore] {
        let listed = round(&servers, &tools, separator);
        let given = aliases(&servers);
        let mut again = tools.clone();
        for (wire, target) in listed {
            let prefix = format!("{}{}", given[&target.server], separator.text());
            again.extend(wire.strip_prefix(&prefix).filter(|rest| !rest.is_empty()).map(str::to_owned));
        }
        let more = given.values().filter_map(|alias| ServerName::new(alias).ok());
        round(&servers.iter().cloned().chain(more).collect(), &again, separator);
    }
});

/// Lists every tool of every server; answers where each name on the wire leads.
fn round(
    servers: &BTreeSet<ServerName>,
    tools: &BTreeSet<String>,
    separator: Separator,
) -> BTreeMap<String, Target> {
    let aliases = aliases(servers);
    let mut taken = BTreeSet::new();
    for alias in aliases.values() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!((1..=ALIAS_MAX).contains(&alias.len()) && alias.chars().all(fits), "{alias:?}");
        assert!(taken.insert(alias), "two servers are called {alias:?}: {aliases:?}");
    }
    let list: Vec<_> = tools.iter().map(|tool| json!({ "name": tool })).collect();
    let offer = json!({ "capabilities": { "tools": {} }, "tools": list }).to_string();
    let offer = Arc::new(Offer::from_json(&offer.into()).expect("a list of names is an offer"));
    let part = |server: &ServerName| Part {
        server: server.clone(),
        offer: offer.clone(),
        kinds: None,
        tools_max: 0,
    };
    let parts: Vec<_> = servers.iter().map(part).collect();
    let shape = Shape::new(aliases.clone(), separator, &Default::default(), Default::default());
    let catalog = Catalog::merge(&parts, Arc::new(shape));
    let mut listed = BTreeMap::new();
    for wire in catalog.all.list(ListKind::Tools).keys() {
        let fits = |c: char| {
            c.is_ascii_alphanumeric() || "_-".contains(c) || (c == '.' && separator == Separator::Dot)
        };
        assert!(wire.len() <= WIRE_NAME_MAX && wire.chars().all(fits), "{wire:?}");
        let target = leads(&catalog, wire).expect("what is listed leads somewhere");
        assert!(listed.insert(wire.to_owned(), target).is_none(), "{wire:?} is listed twice");
    }
    let led: BTreeSet<_> = listed.values().map(|target| (&target.server, &*target.key)).collect();
    for (server, tool) in servers.iter().flat_map(|server| tools.iter().map(move |tool| (server, tool))) {
        assert!(led.contains(&(server, tool)), "no name leads to {server}.{tool}: {listed:?}");
        for form in [format!("{server}.{tool}"), format!("{}__{tool}", aliases[server])] {
            let meant =
                |(other, name): &(&ServerName, &str)| servers.contains(*other) && tools.contains(*name);
            let mut all = readings(&form, &aliases).filter(meant);
            assert!(all.any(|read| read == (server, tool)), "{form:?} is not read as {server}.{tool}");
            let found = leads(&catalog, &form).expect("a full name leads somewhere");
            assert!(tools.contains(&*found.key), "{form:?} leads to {found:?}, which nobody offers");
        }
    }
    listed
}

/// Where the name of a tool leads on the gathering endpoint.
fn leads(catalog: &Catalog, name: &str) -> Option<Target> {
    catalog.find(&Scope::default(), ListKind::Tools, &name.into()).ok().map(|found| found.target)
}
