//! Names on the MCP wire. The canonical name is `server.tool`; many clients refuse a dot and anything
//! over 64 characters, so an endpoint that gathers servers lists `server__tool`. The same definitions
//! give the same names on every start, whatever order servers come up in.

use std::collections::{BTreeMap, BTreeSet};

use puerto_core::ServerName;
use puerto_core::def::Separator;
use sha2::{Digest, Sha256};

/// Longest name on the wire. Claude Desktop and OpenAI refuse more.
pub const WIRE_NAME_MAX: usize = 64;
/// Longest alias of a server, so that 38 characters stay for the tool.
pub const ALIAS_MAX: usize = 24;

/// Gives every server of a tenant its alias, `[a-z0-9-]{1,24}`. Names that fall together get a suffix
/// made from the full name, all but the first in order of names.
pub fn aliases<'a>(servers: impl IntoIterator<Item = &'a ServerName>) -> BTreeMap<ServerName, String> {
    let sorted: BTreeSet<_> = servers.into_iter().collect();
    let mut taken = BTreeSet::new();
    sorted
        .into_iter()
        .map(|server| {
            let plain: String = server.as_str().chars().map(alias_char).collect();
            let fits = Some(plain.clone()).filter(|plain| plain.len() <= ALIAS_MAX);
            // A server may be called as the alias of another: then further hashes are tried.
            let marked = (0..).map(|again: usize| {
                let full = format!("{server}{}", " ".repeat(again));
                shortened(&plain, &full, ALIAS_MAX, '-')
            });
            let mut free = fits.into_iter().chain(marked).filter(|alias| !taken.contains(alias));
            let alias = free.next().unwrap_or_default();
            taken.insert(alias.clone());
            (server.clone(), alias)
        })
        .collect()
}

fn alias_char(c: char) -> char {
    match c.to_ascii_lowercase() {
        '_' => '-',
        c => c,
    }
}

/// The name of a tool or prompt on an endpoint that gathers servers. Characters that clients refuse
/// become `_`; a name that had to change, is too long or ends like one of these ends in a hash of the canonical
/// name, so that two names never fall together by it.
pub fn wire_name(alias: &str, separator: Separator, server: &ServerName, tool: &str) -> String {
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || c == '_' || c == '-' || (c == '.' && separator == Separator::Dot)
    };
    let whole = format!("{alias}{}{tool}", separator.text());
    let clean: String = whole.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if clean == whole && whole.len() <= WIRE_NAME_MAX && !is_marked(&whole) {
        whole
    } else {
        shortened(&clean, &format!("{server}.{tool}"), WIRE_NAME_MAX, '_')
    }
}

/// The ways in which a prefixed name could be meant: each `(server, tool)` whose server exists. The wire
/// form of any separator is understood, and so is the canonical form.
pub fn readings<'a>(
    name: &'a str,
    aliases: &'a BTreeMap<ServerName, String>,
) -> impl Iterator<Item = (&'a ServerName, &'a str)> {
    aliases.iter().flat_map(move |(server, alias)| {
        [server.as_str(), alias.as_str()].into_iter().flat_map(move |prefix| {
            ["__", ".", "_"].into_iter().filter_map(move |separator| {
                let tool = name.strip_prefix(prefix)?.strip_prefix(separator)?;
                (!tool.is_empty()).then_some((server, tool))
            })
        })
    })
}

/// Digits of a hash in a name.
const HASH: usize = 8;

/// Whether a name ends as one does that has a hash.
fn is_marked(name: &str) -> bool {
    let end =
        name.len().checked_sub(HASH + 1).and_then(|at| name.get(at..)).and_then(|end| end.strip_prefix('_'));
    end.is_some_and(|end| end.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn shortened(text: &str, full: &str, limit: usize, joint: char) -> String {
    let digest = Sha256::digest(full.as_bytes());
    let hash: String = digest.iter().take(HASH / 2).map(|b| format!("{b:02x}")).collect();
    let keep = text.len().min(limit - HASH - 1);
    format!("{}{joint}{hash}", &text[..keep])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    #[test]
    fn ordinary_names_stay_readable() {
        assert_eq!(
            wire_name("files", Separator::DoubleUnderscore, &server("files"), "read_text"),
            "files__read_text"
        );
        assert_eq!(wire_name("files", Separator::Dot, &server("files"), "a.b"), "files.a.b");
        assert_eq!(wire_name("files", Separator::Underscore, &server("files"), "x"), "files_x");
    }

    #[test]
    fn what_clients_refuse_is_replaced_and_marked() {
        let name = wire_name("web", Separator::DoubleUnderscore, &server("web"), "search.all/now");
        assert!(name.starts_with("web__search_all_now_"), "{name}");
        let other = wire_name("web", Separator::DoubleUnderscore, &server("web"), "search_all.now");
        assert_ne!(name, other);
    }

    #[test]
    fn aliases_that_fall_together_differ() {
        let names = [server("My_DB"), server("my-db"), server("my_db")];
        let given = aliases(&names);
        assert_eq!(given.values().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(given[&names[0]], "my-db");
    }

    #[test]
    fn a_server_that_is_called_as_another_is_listed_gets_a_name_of_its_own() {
        let long = server("a-server-with-a-name-that-is-much-too-long");
        let alias = aliases([&long])[&long].clone();
        let given = aliases([&server(&alias), &long]);
        assert_eq!(given[alias.as_str()], alias);
        assert_ne!(given[&long], alias);
    }

    #[test]
    fn a_tool_that_is_called_as_another_is_listed_gets_a_name_of_its_own() {
        let listed = |tool: &str| wire_name("web", Separator::DoubleUnderscore, &server("web"), tool);
        let first = listed("search.all");
        let second = first.strip_prefix("web__").unwrap();
        assert_ne!(listed(second), first);
        assert!(listed(second).starts_with(&first));
    }

    proptest! {
        #[test]
        fn names_fit_every_client_and_read_back(
            servers in prop::collection::btree_set("[A-Za-z0-9][A-Za-z0-9_-]{0,40}", 1..8), tool in "\\PC{1,80}",
        ) {
            let servers: Vec<_> = servers.iter().map(|s| server(s)).collect();
            let aliases = aliases(&servers);
            let mut seen = BTreeSet::new();
            for (name, alias) in &aliases {
                prop_assert!(alias.len() <= ALIAS_MAX && alias.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
                prop_assert!(seen.insert(alias.clone()));
                let wire = wire_name(alias, Separator::DoubleUnderscore, name, &tool);
                prop_assert!(wire.len() <= WIRE_NAME_MAX);
                prop_assert!(wire.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
                let canonical = format!("{name}.{tool}");
                prop_assert!(readings(&canonical, &aliases).any(|(s, t)| s == name && t == tool));
                for separator in ["__", ".", "_"] {
                    let form = format!("{alias}{separator}{tool}");
                    prop_assert!(readings(&form, &aliases).any(|(s, t)| s == name && t == tool));
                }
            }
        }
    }
}
