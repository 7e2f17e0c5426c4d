//! Erasing what was given and what came of it, while the record that it happened stays. Nothing that is hashed is touched:
//! texts and salts lie beside the tree. Without its salt a digest says nothing either, however easily the text is guessed.

use std::collections::BTreeMap;
use std::time::SystemTime;

use puerto_core::TenantId;
use serde::Serialize;

use super::{AuditFilter, block};
use crate::db::Db;
use crate::error::StoreError;
use crate::retention::CHUNK;
use crate::store::{Scope, Store, micros};

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Records whose digests can no longer be compared with any text.
    pub records: u64,
    /// Records whose texts are gone.
    pub texts: u64,
}

impl Store {
    /// Erases the texts and the salts of records that are there now, a page at a time, so that nobody who writes waits for it.
    /// The records themselves stay, and the trail is found whole. What came with an archive has neither texts nor salts.
    pub async fn audit_erase(&self, scope: &Scope, which: AuditFilter) -> Result<Erased, StoreError> {
        let end = self.audit_total().await?.saturating_add(1);
        let before = Some(which.before.unwrap_or(end).min(end));
        let (mut erased, mut after) = (Erased::default(), which.after.unwrap_or(0));
        loop {
            let page = AuditFilter { after: Some(after), before, limit: 0, segment: None, ..which.clone() };
            let rows = self.audit_list(scope, page).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { return Ok(erased) };
            let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
            let gone = self.change(move |db| erase(db, &seqs)).await?;
            erased.records += gone.records;
            erased.texts += gone.texts;
            after = last;
        }
    }

    /// Erases texts that were kept for as many days as their tenant says, the oldest first, in small pieces; those of a tenant
    /// that is not named after `otherwise`. 0 days keep them. Salts stay: whoever has a text may still show that it was
    /// this one.
    pub async fn audit_texts_trim(
        &self,
        days: Vec<(TenantId, u32)>,
        otherwise: u32,
    ) -> Result<u64, StoreError> {
        let (now, mut gone) = (micros(SystemTime::now()), 0);
        for (tenant, oldest) in self.read(oldest).await? {
            let days = days.iter().find(|(id, _)| id.as_str() == tenant).map_or(otherwise, |(_, days)| *days);
            let before = now.saturating_sub(i64::from(days) * DAY_US);
            if days == 0 || oldest >= before {
                continue;
            }
            loop {
                let tenant = tenant.clone();
                let some = self.change(move |db| trim(db, &tenant, before)).await?;
                gone += some;
                if some == 0 {
                    break;
                }
            }
        }
        Ok(gone)
    }
}

/// When the oldest text of each tenant was given. Only the ends of the index are read, however many texts there are.
fn oldest(db: &mut Db) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT tenant, at FROM audit_texts WHERE tenant > ?1 ORDER BY tenant, at LIMIT 1";
    let mut found: Vec<(String, i64)> = Vec::new();
    loop {
        let last = found.last().map_or("", |(tenant, _)| tenant.as_str());
        let Some(next) = db.first(sql, &[&last], |row| Ok((row.get(0)?, row.get(1)?)))? else {
            return Ok(found);
        };
        found.push(next);
    }
}

fn erase(db: &mut Db, seqs: &[i64]) -> Result<Erased, StoreError> {
    db.erasing(|db| {
        let mut erased = Erased::default();
        let mut blocks: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for &seq in seqs {
            erased.texts += db.execute("DELETE FROM audit_texts WHERE seq = ?1", &[&seq])?;
            blocks.entry(block::holding(db, seq)?).or_default().push(seq);
        }
        for (first, seqs) in blocks {
            erased.records += block::erase_salts(db, first, &seqs)?;
        }
        Ok(erased)
    })
}

fn trim(db: &mut Db, tenant: &str, before: i64) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM audit_texts WHERE seq IN (SELECT seq FROM audit_texts WHERE tenant = ?1 AND at < ?2
         ORDER BY at LIMIT {CHUNK})"
    );
    db.erasing(|db| db.execute(&sql, &[&tenant, &before]))
}
