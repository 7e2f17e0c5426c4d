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

impl View {
    /// The first view of a configuration.
    pub fn new(tenants: BTreeMap<TenantId, TenantDef>) -> Self {
        let made = tenants.into_iter().map(|(id, def)| {
            let quota = Arc::new(Quota::new(&def.quotas));
            (id.clone(), Arc::new(TenantView { id, def, quota }))
        });
        Self { tenants: made.collect() }
    }
}
