//! A tenant at work: its servers' live sides and the catalog that is merged from them. Nothing in here can
//! be reached from another tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use puerto_core::def::Separator;
use puerto_core::{Error, Result, ServerName, TenantId, TenantView};
use tokio::sync::broadcast;

use crate::catalog::{Catalog, Part};
use crate::offer::{ListKind, Offer};
use crate::upstream::{News, Upstream};

/// Changes that a slow listener may fall behind; beyond it some are missed, and it is told by the next.
const CHANGE_QUEUE: usize = 256;
/// Something that clients may want to hear of.
#[derive(Debug, Clone)]
pub enum Change {
    /// A list of a server.
    List {
        /// The server.
        server: ServerName,
        /// The list.
        kind: ListKind,
    },
    /// A resource.
    Updated {
        /// The server.
        server: ServerName,
        /// Its URI at its server.
        uri: Arc<str>,
    },
    /// The state of a server, by its name in REST.
    State {
        /// The server.
        server: ServerName,
        /// How it is now.
        state: &'static str,
    },
}

/// Keeps what a server offers for the next start.
pub type Save = Arc<dyn Fn(&TenantId, &ServerName, &Offer) + Send + Sync>;

/// A tenant at work.
#[derive(Debug)]
pub struct Tenant {
    /// As defined.
    pub view: Arc<TenantView>,
    /// Its servers, by name.
    pub upstreams: BTreeMap<ServerName, Arc<Upstream>>,
    /// What they offer.
    pub keeper: Arc<Keeper>,
}

/// Holds the catalog of a tenant and publishes its changes.
pub struct Keeper {
    catalog: ArcSwap<Catalog>,
    parts: Mutex<BTreeMap<ServerName, Part>>,
    aliases: ArcSwap<BTreeMap<ServerName, String>>,
    separator: Separator,
    changes: broadcast::Sender<Change>,
    save: Save,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    /// A keeper that begins with what servers offered when they were last seen.
    pub fn new(
        aliases: BTreeMap<ServerName, String>,
        separator: Separator,
        parts: Vec<Part>,
        save: Save,
    ) -> Self {
        let catalog = Catalog::merge(&parts, aliases.clone(), separator);
        Self {
            catalog: ArcSwap::from_pointee(catalog),
            parts: Mutex::new(parts.into_iter().map(|part| (part.server.clone(), part)).collect()),
            aliases: ArcSwap::from_pointee(aliases),
            separator,
            changes: broadcast::Sender::new(CHANGE_QUEUE),
            save,
        }
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The alias of a server on the wire.
    pub fn alias(&self, server: &ServerName) -> String {
        self.aliases.load().get(server).cloned().unwrap_or_default()
    }

    /// Goes on with these servers and their aliases: what others offered is gone.
    pub fn reshape(&self, aliases: BTreeMap<ServerName, String>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = parts.keys().filter(|server| !aliases.contains_key(*server)).cloned().collect();
        if gone.is_empty() && **self.aliases.load() == aliases {
            return;
        }
        gone.iter().for_each(|server| drop(parts.remove(server)));
        let all: Vec<_> = parts.values().cloned().collect();
        let touched: Vec<_> = gone.into_iter().chain(parts.keys().cloned()).collect();
        self.aliases.store(Arc::new(aliases.clone()));
        let catalog = Arc::new(Catalog::merge(&all, aliases, self.separator));
        let before = self.catalog.swap(catalog.clone());
        drop(parts);
        for server in touched {
            for kind in catalog.changes(&before, Some(&server)) {
                let _ = self.changes.send(Change::List { server: server.clone(), kind });
            }
        }
    }

    /// Hears of changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Takes in the news of a server.
    pub fn hear(&self, upstream: &Upstream, tools_max: usize, news: News) {
        match news {
            News::Offer(kinds) => self.take_offer(upstream, tools_max, kinds),
            News::Updated(uri) => {
                // Nobody listening is no fault.
                let _ = self.changes.send(Change::Updated { server: upstream.name.clone(), uri: uri.into() });
            }
            News::State => {
                let (server, state) = (upstream.name.clone(), upstream.state().name());
                let _ = self.changes.send(Change::State { server, state });
            }
        }
    }

    fn take_offer(&self, upstream: &Upstream, tools_max: usize, said: Vec<ListKind>) {
        let Some(offer) = upstream.offer() else { return };
        let server = upstream.name.clone();
        let part = Part {
            server: server.clone(),
            offer: offer.clone(),
            kinds: upstream.def.capabilities.clone(),
            tools_max,
        };
        // The lock also puts merges in order: a later catalog never gives way to an earlier one.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = parts.insert(server.clone(), part).is_some();
        let all: Vec<_> = parts.values().cloned().collect();
        let catalog = Arc::new(Catalog::merge(&all, BTreeMap::clone(&self.aliases.load()), self.separator));
        let before = self.catalog.swap(catalog.clone());
        drop(parts);
        (self.save)(&upstream.tenant, &server, &offer);
        // At a start every list is said to have changed; only real differences are told. Later a server's
        // word is passed on even where nothing differs, since clients may wait for it.
        let mut kinds = catalog.changes(&before, Some(&server));
        if said.len() < ListKind::ALL.len() {
            kinds.extend(said);
        } else if !known {
            kinds.extend(ListKind::ALL);
        }
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let _ = self.changes.send(Change::List { server: server.clone(), kind });
        }
    }
}

impl Tenant {
    /// The live side of a server; a foreign one does not exist here.
    pub fn upstream(&self, server: &ServerName) -> Result<&Arc<Upstream>> {
        self.upstreams.get(server).ok_or_else(|| Error::not_found("server", server.as_str()))
    }

    /// The catalog, after a bounded wait for servers in scope that come up for the first time. Servers that
    /// are down, stopped or known from before are never waited for.
    pub async fn catalog(&self, server: Option<&ServerName>) -> Arc<Catalog> {
        let in_scope = self.upstreams.values().filter(|up| server.is_none_or(|s| s == &up.name));
        // Seen means that the catalog has it: an offer that has come may still be on its way there.
        let seen = self.keeper.catalog();
        let unseen = in_scope.filter(|up| !seen.knows(&up.name));
        let coming: Vec<_> = unseen.filter_map(|up| Some((up, up.awaited_until()?))).collect();
        if !coming.is_empty() {
            futures_util::future::join_all(coming.iter().map(|(up, until)| up.first_offer(*until))).await;
        }
        self.keeper.catalog()
    }
}
