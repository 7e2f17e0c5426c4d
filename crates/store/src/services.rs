//! Services that were defined by API, one row each by tenant and name. What of a definition is secret stands in a column
//! of its own, so that archives and lists can do without it.

use std::time::SystemTime;

use puerto_core::{Secret, ServiceName, TenantId};

use crate::db::{Db, Filter, Misread, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Services of one tenant that are defined by API. Who has more writes them into the file, where a person reads them.
pub const API_SERVICES_MAX: i64 = 1_000;
/// Longest definition of a service, in bytes: the body of its request, with room.
pub const SERVICE_BYTES_MAX: usize = 64 * 1024;

/// A service that was defined by API.
#[derive(Debug, Clone)]
pub struct StoredService {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// When it was defined so, in microseconds since 1970. Later than that of each one that was kept before it.
    pub at_us: i64,
    /// Its definition as JSON, without what is secret.
    pub document: String,
    /// Whether something of the definition is secret.
    pub has_secrets: bool,
    /// The members that are secret, as JSON. Missing also where the definition came with an archive.
    pub secrets: Option<Secret>,
}

/// What became of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// There was none of this name.
    Added,
    /// It took the place of another.
    Replaced,
    /// There is one of this name, which was to stay.
    Present,
}

impl Store {
    /// Keeps a definition; in place of one of this name only where it `may_replace` it.
    ///
    /// # Errors
    /// `Crowded`, where the tenant has too many.
    pub async fn service_save(
        &self,
        tenant: &TenantId,
        name: &ServiceName,
        (document, secrets): (String, Option<Secret>),
        may_replace: bool,
    ) -> Result<Saved, StoreError> {
        let (tenant, name, now) = (tenant.to_string(), name.to_string(), micros(SystemTime::now()));
        self.change(move |db| {
            let is_there = "SELECT 1 FROM services WHERE tenant = ?1 AND name = ?2";
            let before = count(db, &format!("SELECT count(*) FROM ({is_there}) AS own"), &[&tenant, &name])?;
            if before > 0 && !may_replace {
                return Ok(Saved::Present);
            }
            let all = count(db, "SELECT count(*) FROM services WHERE tenant = ?1", &[&tenant])?;
            if before == 0 && all >= API_SERVICES_MAX {
                return Err(StoreError::Crowded { what: "services by API", limit: API_SERVICES_MAX });
            }
            // So that another hub sees by the latest time alone that something is new, whatever its clock says.
            let at = now.max(1 + count(db, "SELECT coalesce(max(at), 0) FROM services", &[])?);
            let (has_secrets, secrets) = (i64::from(secrets.is_some()), secrets.as_ref().map(Secret::reveal));
            let sql = "INSERT INTO services (tenant, name, at, document, has_secrets, secrets)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant, name) DO UPDATE SET at = excluded.at,
                document = excluded.document, has_secrets = excluded.has_secrets, secrets = excluded.secrets";
            let secrets = secrets.map(str::to_owned);
            db.execute(sql, &[&tenant, &name, &at, &document, &has_secrets, &secrets])?;
            Ok(if before == 0 { Saved::Added } else { Saved::Replaced })
        })
        .await
    }

    /// Deletes a definition; answers whether it was there.
    pub async fn service_delete(&self, tenant: &TenantId, name: &ServiceName) -> Result<bool, StoreError> {
        let (tenant, name) = (tenant.to_string(), name.to_string());
        let sql = "DELETE FROM services WHERE tenant = ?1 AND name = ?2";
        self.change(move |db| Ok(db.execute(sql, &[&tenant, &name])? > 0)).await
    }

    /// The definitions of a scope, by tenant and name.
    pub async fn services_list(&self, scope: &Scope) -> Result<Vec<StoredService>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            let all = "SELECT tenant, name, at, document, has_secrets, secrets FROM services";
            filter.query(db, all, "ORDER BY tenant, name", row)
        })
        .await
    }

    /// How many definitions there are, and the time of the latest: another after every change, also of another hub.
    pub async fn services_mark(&self) -> Result<(i64, i64), StoreError> {
        self.read(|db| {
            let sql = "SELECT count(*), coalesce(max(at), 0) FROM services";
            Ok(db.first(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.unwrap_or_default())
        })
        .await
    }
}

fn count(db: &mut Db, sql: &str, given: &[&dyn crate::db::Param]) -> Result<i64, StoreError> {
    Ok(db.first(sql, given, |row| row.get(0))?.unwrap_or_default())
}

fn row(row: &Row<'_>) -> Result<StoredService, Misread> {
    Ok(StoredService {
        tenant: row.get(0)?,
        name: row.get(1)?,
        at_us: row.get(2)?,
        document: row.get(3)?,
        has_secrets: row.get::<i64>(4)? != 0,
        secrets: row.get::<Option<String>>(5)?.map(Secret::new),
    })
}
