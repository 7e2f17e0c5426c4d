//! A tenant at work: its servers' live sides and the catalog that is merged from them. Nothing in here can
//! be reached from another tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use puerto_core::{Error, ProfileName, Result, ServerName, TenantId, TenantView};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::catalog::{Catalog, Part, Scope};
use crate::offer::{ListKind, Offer};
use crate::shape::Shape;
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
    /// A list of a profile.
    Profile {
        /// The profile.
        profile: ProfileName,
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
    /// More than this listener could take in: anything may be different.
    Missed,
}

/// Hears of changes.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    /// The next one; nothing once none can come.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => Some(Change::Missed),
            Err(RecvError::Closed) => None,
        }
    }
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
    shape: ArcSwap<Shape>,
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
    pub fn new(shape: Shape, parts: Vec<Part>, save: Save) -> Self {
        let shape = Arc::new(shape);
        let catalog = Catalog::merge(&parts, shape.clone());
        Self {
            catalog: ArcSwap::from_pointee(catalog),
            parts: Mutex::new(parts.into_iter().map(|part| (part.server.clone(), part)).collect()),
            shape: ArcSwap::new(shape),
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
        self.shape.load().alias(server).to_owned()
    }

    /// Goes on in another shape: what servers without an alias in it offered is gone.
    pub fn reshape(&self, shape: Shape) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> =
            parts.keys().filter(|server| !shape.aliases.contains_key(*server)).cloned().collect();
        if gone.is_empty() && **self.shape.load() == shape {
            return;
        }
        gone.iter().for_each(|server| drop(parts.remove(server)));
        let touched: Vec<_> = gone.into_iter().chain(parts.keys().cloned()).collect();
        self.shape.store(Arc::new(shape));
        let (before, now) = self.merge(parts);
        for server in touched {
            self.tell(&server, &now.changes(&before, &Scope::server(&server)));
        }
        self.tell_profiles(&before, &now);
    }

    /// Merges anew; answers the catalog before and the one from now on. Whoever merges holds the lock, so that a
    /// later catalog never gives way to an earlier one.
    fn merge(&self, parts: MutexGuard<'_, BTreeMap<ServerName, Part>>) -> (Arc<Catalog>, Arc<Catalog>) {
        let all: Vec<_> = parts.values().cloned().collect();
        let now = Arc::new(Catalog::merge(&all, self.shape.load_full()));
        let before = self.catalog.swap(now.clone());
        drop(parts);
        (before, now)
    }

    fn tell(&self, server: &ServerName, kinds: &[ListKind]) {
        for kind in kinds {
            // Nobody listening is no fault.
            let _ = self.changes.send(Change::List { server: server.clone(), kind: *kind });
        }
    }

    fn tell_profiles(&self, before: &Catalog, now: &Catalog) {
        for profile in now.profiles() {
            let scope = Scope { server: None, profile: Some(profile.clone()) };
            for kind in now.changes(before, &scope) {
                let _ = self.changes.send(Change::Profile { profile: profile.clone(), kind });
            }
        }
    }

    /// Hears of changes from now on.
    pub fn changes(&self) -> Changes {
        Changes(self.changes.subscribe())
    }

    /// Takes in the news of a server.
    pub fn hear(&self, upstream: &Upstream, tools_max: usize, news: News) {
        match news {
            News::Offer(kinds) => self.take_offer(upstream, tools_max, kinds),
            News::Updated(uri) => {
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
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = parts.insert(server.clone(), part).is_some();
        let (before, catalog) = self.merge(parts);
        (self.save)(&upstream.tenant, &server, &offer);
        // At a start every list is said to have changed; only real differences are told. Later a server's
        // word is passed on even where nothing differs, since clients may wait for it.
        let mut kinds = catalog.changes(&before, &Scope::server(&server));
        if said.len() < ListKind::ALL.len() {
            kinds.extend(said);
        } else if !known {
            kinds.extend(ListKind::ALL);
        }
        kinds.sort();
        kinds.dedup();
        self.tell(&server, &kinds);
        self.tell_profiles(&before, &catalog);
    }
}

impl Tenant {
    /// The live side of a server; a foreign one does not exist here.
    pub fn upstream(&self, server: &ServerName) -> Result<&Arc<Upstream>> {
        self.upstreams.get(server).ok_or_else(|| Error::not_found("server", server.as_str()))
    }

    /// The name of a server that is given by its name or its alias.
    pub fn named(&self, given: &str) -> Result<ServerName> {
        let by_alias = |up: &&Arc<Upstream>| self.keeper.alias(&up.name) == given;
        let found = self.upstreams.get(given).or_else(|| self.upstreams.values().find(by_alias));
        let found = found.filter(|up| up.def.enabled).ok_or_else(|| Error::not_found("server", given))?;
        Ok(found.name.clone())
    }

    /// The servers that a scope takes in.
    pub fn upstreams(&self, scope: &Scope) -> impl Iterator<Item = &Arc<Upstream>> {
        let profile = scope.profile.as_ref().and_then(|profile| self.view.def.profiles.get(profile));
        let listed = profile.and_then(|profile| profile.servers.as_ref());
        self.upstreams.values().filter(move |up| {
            up.def.enabled
                && scope.server.as_ref().is_none_or(|server| *server == up.name)
                && listed.is_none_or(|servers| servers.contains(&up.name))
        })
    }

    /// The catalog, after a bounded wait for servers in scope that come up for the first time. Servers that
    /// are down, stopped or known from before are never waited for.
    pub async fn catalog(&self, scope: &Scope) -> Arc<Catalog> {
        // Seen means that the catalog has it: an offer that has come may still be on its way there.
        let seen = self.keeper.catalog();
        let unseen = self.upstreams(scope).filter(|up| !seen.knows(&up.name));
        let coming: Vec<_> = unseen.filter_map(|up| Some((up, up.awaited_until()?))).collect();
        if !coming.is_empty() {
            futures_util::future::join_all(coming.iter().map(|(up, until)| up.first_offer(*until))).await;
        }
        self.keeper.catalog()
    }
}

#[cfg(test)]
mod tests {
    use puerto_core::def::Separator;

    use super::*;

    #[tokio::test]
    async fn a_listener_that_fell_behind_is_told_so_once_and_hears_the_rest() {
        let shape =
            Shape::new(BTreeMap::default(), Separator::default(), &Default::default(), BTreeMap::default());
        let keeper = Keeper::new(shape, Vec::new(), Arc::new(|_, _, _| {}));
        let mut changes = keeper.changes();
        let server = ServerName::new("s").unwrap();
        (0..=CHANGE_QUEUE).for_each(|_| keeper.tell(&server, &[ListKind::Tools]));
        assert!(matches!(changes.next().await, Some(Change::Missed)));
        for _ in 0..CHANGE_QUEUE {
            assert!(matches!(changes.next().await, Some(Change::List { .. })));
        }
        drop(keeper);
        assert!(changes.next().await.is_none());
    }
}
