//! What is registered: the models and agents that others tell us of, one row each by tenant, kind and name.

use std::collections::BTreeMap;
use std::time::SystemTime;

use puerto_core::TenantId;
use serde_json::value::{RawValue, to_raw_value};

use crate::db::{Db, Filter, Misread, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Registrations of one tenant. Each is shown by `GET /context`, and nobody reads more.
pub const REGISTRATIONS_MAX: i64 = 1_000;
/// Registrations of one reading, of all tenants together.
const REGISTRATIONS_PAGE_MAX: i64 = 10_000;

/// What can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A model.
    Model,
    /// An agent.
    Agent,
}

impl Noun {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Noun::Model => "model",
            Noun::Agent => "agent",
        }
    }
}

/// A model or an agent, as it registered last.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// When it came first, in microseconds since 1970.
    pub registered_us: i64,
    /// When it came last.
    pub seen_us: i64,
    /// What it says of itself: an object, byte for byte.
    pub data: Box<RawValue>,
}

impl Registration {
    /// The members that it came with, and ours over them.
    pub fn members(&self, ours: &[(&str, &serde_json::Value)]) -> BTreeMap<String, Box<RawValue>> {
        let mut members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(self.data.get()).unwrap_or_default();
        for (name, value) in ours {
            members.insert((*name).to_owned(), to_raw_value(value).unwrap_or_default());
        }
        members
    }
}

/// What became of a registration.
#[derive(Debug, Clone)]
pub struct Registered {
    /// It, as it is kept now.
    pub now: Registration,
    /// As it was before, where it was there.
    pub before: Option<Registration>,
}

impl Store {
    /// Keeps a registration, in place of the one of this name.
    ///
    /// # Errors
    /// `Crowded`, where the tenant has too many.
    pub async fn registry_save(
        &self,
        tenant: &TenantId,
        noun: Noun,
        name: &str,
        data: Box<RawValue>,
    ) -> Result<Registered, StoreError> {
        let (tenant, name, at) = (tenant.to_string(), name.to_owned(), micros(SystemTime::now()));
        self.change(move |db| {
            let before = find(db, &tenant, noun, &name)?;
            if before.is_none() {
                let count = "SELECT count(*) FROM registrations WHERE tenant = ?1";
                let count: i64 = db.first(count, &[&tenant], |row| row.get(0))?.unwrap_or_default();
                if count >= REGISTRATIONS_MAX {
                    return Err(StoreError::Crowded { what: "registrations", limit: REGISTRATIONS_MAX });
                }
            }
            let sql = "INSERT INTO registrations (tenant, kind, name, registered, seen, data)
                VALUES (?1, ?2, ?3, ?4, ?4, ?5) ON CONFLICT (tenant, kind, name)
                DO UPDATE SET seen = excluded.seen, data = excluded.data";
            db.execute(sql, &[&tenant, &noun.name(), &name, &at, &data.get()])?;
            let registered_us = before.as_ref().map_or(at, |before| before.registered_us);
            let now = Registration { tenant, name, registered_us, seen_us: at, data };
            Ok(Registered { now, before })
        })
        .await
    }

    /// What is registered in a scope, by tenant and name.
    pub async fn registry_list(&self, scope: &Scope, noun: Noun) -> Result<Vec<Registration>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            filter.and("kind = ?", noun.name());
            filter.query(db, ALL, &format!("ORDER BY tenant, name LIMIT {REGISTRATIONS_PAGE_MAX}"), row)
        })
        .await
    }
}

const ALL: &str = "SELECT tenant, name, registered, seen, data FROM registrations";

fn find(db: &mut Db, tenant: &str, noun: Noun, name: &str) -> Result<Option<Registration>, StoreError> {
    let sql = format!("{ALL} WHERE tenant = ?1 AND kind = ?2 AND name = ?3");
    db.first(&sql, &[&tenant, &noun.name(), &name], row)
}

fn row(row: &Row<'_>) -> Result<Registration, Misread> {
    Ok(Registration {
        tenant: row.get(0)?,
        name: row.get(1)?,
        registered_us: row.get(2)?,
        seen_us: row.get(3)?,
        data: RawValue::from_string(row.get(4)?).map_err(|error| Misread(error.to_string()))?,
    })
}
