//! Who asks. A caller always belongs to a tenant.

use crate::code::Code;
use crate::error::{Error, Result};
use crate::id::TenantId;

/// The kind and name of who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The person at this machine: loopback only, until credentials exist.
    LocalUser,
    /// Puerto itself, in the background: the named part.
    Hub(&'static str),
}

impl Actor {
    /// As in records and logs.
    pub fn name(&self) -> &str {
        match self {
            Actor::LocalUser => "local",
            Actor::Hub(part) => part,
        }
    }
}

/// Something that an operation does to an object; what a permission names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See that it exists and how it is.
    Read,
    /// Use it: call a tool, read a resource, get a prompt.
    Use,
    /// Start, stop, restart, change it.
    Manage,
}

/// Anything that a permission can name. It belongs to one tenant.
pub trait Object {
    /// The tenant that owns it.
    fn tenant(&self) -> &TenantId;
}

impl Object for TenantId {
    fn tenant(&self) -> &TenantId {
        self
    }
}

/// Who asks, on behalf of which tenant. Made at the edge and nowhere else.
#[derive(Debug, Clone)]
pub struct Caller {
    tenant: TenantId,
    actor: Actor,
}

impl Caller {
    /// The local user, working in a tenant. This is the seam: real credentials resolve to a caller here.
    pub fn local(tenant: TenantId) -> Self {
        Self { tenant, actor: Actor::LocalUser }
    }

    /// Puerto's own background work in a tenant.
    pub fn hub(tenant: TenantId, part: &'static str) -> Self {
        Self { tenant, actor: Actor::Hub(part) }
    }

    /// The tenant worked in.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who it is.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether this caller may do that. A foreign object is *not found*, so its existence stays hidden.
    pub fn require(&self, _action: Action, on: &impl Object) -> Result<()> {
        if on.tenant() == &self.tenant {
            Ok(())
        } else {
            Err(Error::caller(Code::NotFound, "no such object in this tenant"))
        }
    }
}
