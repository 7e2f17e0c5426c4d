//! From definitions to tenants at work: the first time, and again when the definitions have changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use puerto_core::def::{Separator, TenantDef};
use puerto_core::{ServerName, TenantId, TenantView};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::catalog::Part;
use crate::hub::ReachOf;
use crate::names;
use crate::offer::Offer;
use crate::shape::Shape;
use crate::tenant::{Keeper, Save, Tenant};
use crate::upstream::{Birth, Reach, Rules, Upstream};

/// Tenants at work.
pub type Tenants = BTreeMap<TenantId, Arc<Tenant>>;
/// What servers offered when they were last seen.
pub(crate) type Remembered = BTreeMap<(TenantId, ServerName), Offer>;

/// What becomes of the servers when other definitions are taken over, each as `tenant:server`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// New.
    pub added: Vec<String>,
    /// Defined otherwise: each ends and begins anew.
    pub changed: Vec<String>,
    /// No longer defined.
    pub removed: Vec<String>,
    /// How many go on untouched.
    pub unchanged: usize,
    /// Tenants whose overrides or profiles are different: their lists are made anew.
    pub reshaped: Vec<String>,
}

impl Plan {
    /// From what is at work to what is defined.
    pub fn between(now: &Tenants, defs: &BTreeMap<TenantId, TenantDef>) -> Self {
        let mut plan = Self::default();
        for (id, def) in defs {
            for name in def.servers.keys() {
                let old = now.get(id).and_then(|tenant| tenant.upstreams.get(name).map(|up| (tenant, up)));
                match old {
                    None => plan.added.push(format!("{id}:{name}")),
                    Some((tenant, up)) if is_same(up, &tenant.view.def, def) => plan.unchanged += 1,
                    Some(_) => plan.changed.push(format!("{id}:{name}")),
                }
            }
        }
        let defined = |up: &&Arc<Upstream>| {
            defs.get(&up.tenant).is_some_and(|tenant| tenant.servers.contains_key(&up.name))
        };
        let all = now.values().flat_map(|tenant| tenant.upstreams.values());
        let shape = |def: &TenantDef| (def.overrides.clone(), def.profiles.clone());
        plan.reshaped = defs
            .iter()
            .filter(|(id, def)| now.get(*id).is_some_and(|tenant| shape(&tenant.view.def) != shape(def)))
            .map(|(id, _)| id.to_string())
            .collect();
        plan.removed = all.filter(|up| !defined(up)).map(|up| format!("{}:{}", up.tenant, up.name)).collect();
        plan
    }
}

/// Whether a server goes on as it is: it, and what its tenant gives it, are defined as before.
fn is_same(upstream: &Upstream, before: &TenantDef, now: &TenantDef) -> bool {
    now.servers.get(&upstream.name) == Some(&upstream.def)
        && before.env == now.env
        && before.quotas.max_tools_per_server == now.quotas.max_tools_per_server
}

/// Makes tenants.
pub(crate) struct Maker<'a> {
    pub(crate) separator: Separator,
    pub(crate) rules: Arc<Rules>,
    pub(crate) save: Save,
    pub(crate) reach: &'a ReachOf<'a>,
    pub(crate) remembered: &'a mut Remembered,
    pub(crate) tasks: &'a mut JoinSet<()>,
    pub(crate) stopping: &'a CancellationToken,
}

impl Maker<'_> {
    /// A tenant, with those servers of the one before that go on.
    pub(crate) fn tenant(&mut self, view: Arc<TenantView>, before: Option<&Arc<Tenant>>) -> Arc<Tenant> {
        let enabled = view.def.servers.iter().filter(|(_, def)| def.enabled).map(|(name, _)| name);
        let aliases = names::aliases(enabled.collect::<std::collections::BTreeSet<_>>());
        let shape = Shape::new(aliases, self.separator, &view.def.overrides, view.def.profiles.clone());
        let keeper = match before {
            Some(before) => {
                before.keeper.reshape(shape);
                before.keeper.clone()
            }
            None => {
                let known = self.known(&view);
                Arc::new(Keeper::new(shape, known, self.save.clone()))
            }
        };
        let names: Vec<_> = view.def.servers.keys().cloned().collect();
        let upstreams = names.into_iter().map(|name| {
            let old = before.and_then(|tenant| tenant.upstreams.get(&name).map(|up| (tenant, up)));
            let upstream = match old {
                Some((tenant, up)) if is_same(up, &tenant.view.def, &view.def) => up.clone(),
                _ => self.upstream(&view, &name, &keeper, old.map(|(_, up)| up)),
            };
            (name, upstream)
        });
        let upstreams = upstreams.collect();
        Arc::new(Tenant { view, upstreams, keeper })
    }

    /// What is remembered of a tenant's servers, as parts of its catalog.
    fn known(&self, view: &TenantView) -> Vec<Part> {
        let tools_max = view.def.quotas.max_tools_per_server as usize;
        let enabled = view.def.servers.iter().filter(|(_, def)| def.enabled);
        let known = enabled.filter_map(|(server, def)| {
            let offer = self.remembered.get(&(view.id.clone(), server.clone()))?;
            Some(Part {
                server: server.clone(),
                offer: Arc::new(offer.clone()),
                kinds: def.capabilities.clone(),
                tools_max,
            })
        });
        known.collect()
    }

    fn upstream(
        &mut self,
        view: &Arc<TenantView>,
        name: &ServerName,
        keeper: &Arc<Keeper>,
        before: Option<&Arc<Upstream>>,
    ) -> Arc<Upstream> {
        let hears = keeper.clone();
        let tools_max = view.def.quotas.max_tools_per_server as usize;
        let birth = Birth {
            tenant: view.id.clone(),
            name: name.clone(),
            def: view.def.servers[name].clone(),
            reach: Arc::new((self.reach)(&view.id, name).unwrap_or_else(|why| {
                Reach::Builtin(Box::new(move |_| Box::pin(std::future::ready(Err(why.clone())))))
            })),
            rules: self.rules.clone(),
            remembered: self.remembered.remove(&(view.id.clone(), name.clone())),
            before: before.cloned(),
            owner: None,
            log: Arc::default(),
            hear: Arc::new(move |upstream, news| {
                if !upstream.is_retired() {
                    hears.hear(upstream, tools_max, news);
                }
            }),
        };
        Upstream::spawn(birth, self.tasks, self.stopping)
    }
}
