//! What each upstream offered last, so that a hub that starts can answer lists before its servers do.
//! The document is opaque here: `puerto-mcp` writes and reads it.

use puerto_core::{ServerName, TenantId};
use std::time::SystemTime;

use crate::db::Filter;
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Largest document kept. A server with 1,000 tools of 10 kB each has 10 MB.
pub const CATALOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What one upstream offered last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its server.
    pub server: ServerName,
    /// When it was saved, in microseconds since 1970.
    pub at_us: i64,
    /// The document, as it was saved.
    pub document: String,
}

impl Store {
    /// Keeps what an upstream offers, instead of what was kept before.
    pub async fn catalog_save(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        document: &str,
    ) -> Result<(), StoreError> {
        if document.len() > CATALOG_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: format!("the catalog of server {server}"),
                bytes: document.len(),
                limit: CATALOG_BYTES_MAX,
            });
        }
        let (tenant, server, document) = (tenant.clone(), server.clone(), document.to_owned());
        let at = micros(SystemTime::now());
        self.change(move |db| {
            db.execute(
                "INSERT INTO catalogs (tenant, server, at, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tenant, server) DO UPDATE SET at = excluded.at, document = excluded.document",
                &[&tenant.as_str(), &server.as_str(), &at, &document],
            )
            .map(drop)
        })
        .await
    }

    /// Forgets what an upstream offered: its server is no longer defined.
    pub async fn catalog_remove(&self, tenant: &TenantId, server: &ServerName) -> Result<(), StoreError> {
        let (tenant, server) = (tenant.clone(), server.clone());
        self.change(move |db| {
            db.execute(
                "DELETE FROM catalogs WHERE tenant = ?1 AND server = ?2",
                &[&tenant.as_str(), &server.as_str()],
            )
            .map(drop)
        })
        .await
    }

    /// Every catalog in a scope, by tenant and server.
    pub async fn catalogs_load(&self, scope: &Scope) -> Result<Vec<Catalog>, StoreError> {
        let scope = scope.clone();
        let rows = self
            .read(move |db| {
                let mut filter = Filter::default();
                scope.narrow(&mut filter);
                let all = "SELECT tenant, server, at, document FROM catalogs";
                filter.query(db, all, "ORDER BY tenant, server", |row| {
                    Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get(2)?, row.get(3)?))
                })
            })
            .await?;
        // A name that is not valid (any more) belongs to nothing that can be defined.
        let made = rows.into_iter().filter_map(|(tenant, server, at_us, document)| {
            let (tenant, server) = (TenantId::new(&tenant).ok()?, ServerName::new(&server).ok()?);
            Some(Catalog { tenant, server, at_us, document })
        });
        Ok(made.collect())
    }
}
