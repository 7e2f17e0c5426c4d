//! The hub: tenants, sessions and what all operations share. It is built once from definitions and handed
//! down; there is no other state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use puerto_core::def::{HubDef, ProfileKind, Separator, TenantDef};
use puerto_core::{
    Caller, Code, Ctx, Error, ProfileName, Recorder, Result, ServerName, TenantId, TenantView, View,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adopt::{Maker, Plan, Remembered, Tenants};
use crate::catalog::{Catalog, Found, Scope};
use crate::cursor::Seal;
use crate::door::sse::Streams;
use crate::offer::{ListKind, Offer};
use crate::session::{Session, Sessions};
use crate::tenant::{Change, Save, Tenant};
use crate::upstream::link::Link;
use crate::upstream::{Reach, Rules, Upstream};

/// How often unused sessions are looked for.
const REAP: Duration = Duration::from_secs(15);

/// Makes the way to a server from its definition.
pub type ReachOf<'a> = dyn Fn(&TenantId, &ServerName) -> std::result::Result<Reach, String> + 'a;

/// What a hub is built from.
pub struct Build<'a> {
    /// The whole configuration.
    pub def: &'a HubDef,
    /// Tenants as defined.
    pub view: View,
    /// What all servers have in common.
    pub rules: Rules,
    /// How each server is reached.
    pub reach: &'a ReachOf<'a>,
    /// What servers offered when they were last seen.
    pub remembered: Vec<(TenantId, ServerName, Offer)>,
    /// Keeps offers for the next start.
    pub save: Save,
    /// Where operations are recorded.
    pub recorder: Recorder,
    /// Seals cursors; the same key across restarts keeps them valid.
    pub cursor_key: [u8; 32],
}

/// Values that doors and operations read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between server and tool on the wire.
    pub separator: Separator,
    /// Items on a page.
    pub page_size: usize,
    /// Largest body, line or message, in bytes.
    pub body_max: usize,
}

/// The hub.
pub struct Hub {
    /// Values that doors and operations read.
    pub settings: Settings,
    /// Tenants at work.
    tenants: ArcSwap<Tenants>,
    rules: Arc<Rules>,
    save: Save,
    /// Legacy sessions with clients.
    pub sessions: Sessions,
    /// Streams of clients that speak HTTP+SSE.
    pub streams: Streams,
    /// Seals cursors.
    pub seal: Seal,
    /// Ends streams and takes in nothing new; calls in flight go on.
    pub draining: CancellationToken,
    /// Ends everything.
    pub stopping: CancellationToken,
    recorder: Recorder,
    tasks: Mutex<JoinSet<()>>,
}

/// Where a client came in: a tenant, and which part of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// The part.
    pub scope: Scope,
}

impl Endpoint {
    /// The servers in scope.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.tenant.upstreams(&self.scope)
    }

    /// Whether it is the same place as another.
    pub fn is(&self, other: &Self) -> bool {
        self.tenant.view.id == other.tenant.view.id && self.scope == other.scope
    }

    /// Whether three tools stand here for all others.
    pub fn searches(&self) -> bool {
        let profile = self.scope.profile.as_ref().and_then(|name| self.tenant.view.def.profiles.get(name));
        profile.is_some_and(|profile| profile.kind == ProfileKind::Search)
    }

    /// The catalog of its tenant.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.tenant.keeper.catalog()
    }

    /// The list that a change is about, where it is one of this endpoint's.
    pub fn list_changed(&self, change: &Change) -> Option<ListKind> {
        match change {
            Change::List { server, kind } if self.scope.profile.is_none() => {
                self.scope.server.as_ref().is_none_or(|own| own == server).then_some(*kind)
            }
            Change::Profile { profile, kind } => {
                (self.scope.profile.as_ref() == Some(profile)).then_some(*kind)
            }
            _ => None,
        }
    }
}

impl Hub {
    /// Builds a hub and begins to supervise its servers.
    pub fn start(build: Build<'_>) -> Arc<Self> {
        let gateway = &build.def.gateway;
        let stopping = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let rules = Arc::new(build.rules);
        let mut remembered: Remembered =
            build.remembered.into_iter().map(|(tenant, server, offer)| ((tenant, server), offer)).collect();
        let mut maker = Maker {
            separator: gateway.separator,
            rules: rules.clone(),
            save: build.save.clone(),
            reach: build.reach,
            remembered: &mut remembered,
            tasks: &mut tasks,
            stopping: &stopping,
        };
        let tenants: Tenants =
            build.view.tenants.into_iter().map(|(id, view)| (id, maker.tenant(view, None))).collect();
        let hub = Arc::new(Self {
            settings: Settings {
                separator: gateway.separator,
                page_size: gateway.page_size,
                body_max: gateway.max_body_bytes,
            },
            tenants: ArcSwap::from_pointee(tenants),
            rules,
            save: build.save,
            sessions: Sessions::new(gateway.max_sessions, Duration::from_secs(gateway.session_idle_timeout)),
            streams: Streams::default(),
            seal: Seal::new(build.cursor_key),
            draining: CancellationToken::new(),
            stopping: stopping.clone(),
            recorder: build.recorder,
            tasks: Mutex::new(tasks),
        });
        hub.spawn(reap(Arc::downgrade(&hub), stopping));
        hub
    }

    /// Runs something in the background until the hub stops; whoever calls this gives it an end.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are let go of here, so that the set does not grow.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    /// Tenants at work, as they are now.
    pub fn tenants(&self) -> Arc<Tenants> {
        self.tenants.load_full()
    }

    /// A tenant; a foreign one does not exist.
    pub fn tenant(&self, id: &str) -> Result<Arc<Tenant>> {
        self.tenants.load().get(id).cloned().ok_or_else(|| Error::not_found("tenant", id))
    }

    /// Takes over other definitions. What is the same goes on untouched; a server that is defined otherwise gives
    /// way to a new one, and ends when the calls that it has are done.
    pub fn adopt(&self, defs: BTreeMap<TenantId, TenantDef>, reach: &ReachOf<'_>) -> Plan {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.tenants();
        let plan = Plan::between(&before, &defs);
        let mut maker = Maker {
            separator: self.settings.separator,
            rules: self.rules.clone(),
            save: self.save.clone(),
            reach,
            remembered: &mut Remembered::new(),
            tasks: &mut tasks,
            stopping: &self.stopping,
        };
        let tenants: Tenants = defs
            .into_iter()
            .map(|(id, def)| {
                let old = before.get(&id);
                let view = TenantView::new(id.clone(), def, old.map(|old| &*old.view));
                (id, maker.tenant(view, old))
            })
            .collect();
        let stays = |up: &Arc<Upstream>| {
            let now = tenants.get(&up.tenant).and_then(|tenant| tenant.upstreams.get(&up.name));
            now.is_some_and(|now| Arc::ptr_eq(now, up))
        };
        let gone: Vec<_> =
            before.values().flat_map(|t| t.upstreams.values()).filter(|up| !stays(up)).cloned().collect();
        for upstream in gone {
            tasks.spawn(async move { upstream.retire().await });
        }
        self.tenants.store(Arc::new(tenants));
        plan
    }

    /// An endpoint by the parts of its address.
    pub fn endpoint(
        &self,
        tenant: Option<&str>,
        server: Option<&str>,
        profile: Option<&str>,
    ) -> Result<Endpoint> {
        let tenant = self.tenant(tenant.unwrap_or(TenantId::default().as_str()))?;
        let server = server.map(|given| tenant.named(given)).transpose()?;
        let profile = match (profile, &server) {
            (None, _) => None,
            (Some(_), Some(_)) => {
                let text = "a profile gathers servers, and one server was named: use /mcp/{tenant}?profile=…";
                return Err(Error::caller(Code::BadRequest, text));
            }
            (Some(given), None) => {
                let known = tenant.view.def.profiles.get_key_value(given);
                Some(known.ok_or_else(|| Error::not_found("profile", given))?.0.clone())
            }
        };
        Ok(Endpoint { tenant, scope: Scope { server, profile } })
    }

    /// The same place as it is defined now: a connection may be older than that.
    pub fn current(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        let Scope { server, profile } = &endpoint.scope;
        let server = server.as_ref().map(ServerName::as_str);
        self.endpoint(
            Some(endpoint.tenant.view.id.as_str()),
            server,
            profile.as_ref().map(ProfileName::as_str),
        )
    }

    /// A context for one operation of the local user in a tenant.
    pub fn ctx(&self, tenant: &Tenant, limit: Duration) -> Ctx {
        let caller = Caller::local(tenant.view.id.clone());
        Ctx::new(caller, tenant.view.clone(), self.recorder.clone(), limit)
    }

    /// A context for one operation that the hub itself does in a tenant: the named part of it.
    pub fn own_ctx(&self, tenant: &Tenant, part: &'static str, limit: Duration) -> Ctx {
        let caller = Caller::hub(tenant.view.id.clone(), part);
        Ctx::new(caller, tenant.view.clone(), self.recorder.clone(), limit)
    }

    /// Records that found no place.
    pub fn records_lost(&self) -> u64 {
        self.recorder.lost()
    }

    /// Arguments and results that were to be kept and could not, since the start.
    pub fn texts_lost(&self) -> u64 {
        self.recorder.texts().lost()
    }

    /// Ends a session and what hangs on it: its calls, its subscriptions, its sessions at servers and its instances of
    /// them.
    pub async fn end_session(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.sessions.remove(id)?;
        let Ok(tenant) = self.tenant(session.tenant.as_str()) else { return Some(session) };
        tenant.upstreams.values().for_each(|upstream| upstream.release(&session));
        for uri in session.subscriptions() {
            let Ok(Found { target, .. }) =
                tenant.keeper.catalog().find(&session.scope, ListKind::Resources, &uri.into())
            else {
                continue;
            };
            if let Some(upstream) = tenant.upstream(&target.server).ok().and_then(|up| up.served(&session)) {
                upstream.unsubscribe(&target.key).await;
            }
        }
        for (server, remote) in session.remotes() {
            let live = tenant.upstreams.get(&server).and_then(|up| up.connected());
            if let Some(Link::Http(http)) = live.as_ref().map(|live| &live.link) {
                let _ = tokio::time::timeout(Duration::from_secs(1), http.end(&remote)).await;
            }
        }
        Some(session)
    }

    /// Stops: lets go of sessions, ends every server with its processes, waits for all tasks.
    pub async fn stop(&self) {
        self.draining.cancel();
        self.stopping.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

async fn reap(hub: std::sync::Weak<Hub>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(REAP) => {}
        }
        let Some(hub) = hub.upgrade() else { return };
        for id in hub.sessions.expired() {
            hub.end_session(&id).await;
        }
    }
}
