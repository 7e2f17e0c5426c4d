//! What was defined, as an immutable snapshot. Calls read it; a change publishes a new one whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::def::TenantDef;
use crate::id::TenantId;
use crate::quota::Quota;

/// Every tenant at one moment.
#[derive(Debug, Default)]
pub struct View {
    /// By id.
    pub tenants: BTreeMap<TenantId, Arc<TenantView>>,
}

/// One tenant at one moment; holds only that tenant's things.
#[derive(Debug)]
pub struct TenantView {
    /// Its id.
    pub id: TenantId,
    /// Its definition.
    pub def: TenantDef,
    /// Its live counters, shared with the views before and after this one.
    pub quota: Arc<Quota>,
}

impl TenantView {
    /// A tenant as it is defined now. Its counters go on where its limits are the same.
    pub fn new(id: TenantId, def: TenantDef, before: Option<&TenantView>) -> Arc<Self> {
        let same = before.filter(|before| before.def.quotas == def.quotas);
        let quota = same.map_or_else(|| Arc::new(Quota::new(&def.quotas)), |before| before.quota.clone());
        Arc::new(Self { id, def, quota })
    }
}

impl View {
    /// The first view of a configuration.
    pub fn new(tenants: BTreeMap<TenantId, TenantDef>) -> Self {
        let made = tenants.into_iter().map(|(id, def)| (id.clone(), TenantView::new(id, def, None)));
        Self { tenants: made.collect() }
    }
}
