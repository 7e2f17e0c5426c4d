//! The audit trail: who did what, one numbered record each, in an order that cannot be changed unseen. Every record is a
//! leaf of a Merkle tree (RFC 6962), and what stands for the whole tree is signed from time to time (`checkpoint.rs`)
//! and kept elsewhere. Only the writer appends, so the tree has one end.

pub(crate) mod block;
pub mod canonical;
pub mod checkpoint;
mod document;
mod draft;
mod erase;
mod hash;
pub(crate) mod packed;
mod search;
pub(crate) mod text;
pub mod tree;
pub mod verify;

use std::pin::pin;
use std::sync::Arc;

use futures_util::{TryStreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::db::{Db, Filter};
use crate::error::StoreError;
use crate::store::{Scope, Store};

use block::{Checked, Writing};
use checkpoint::Verifier;
pub use draft::{Draft, Phase};
pub use erase::Erased;
use text::Keyring;
pub use text::Opened;
use tree::{Edge, Hash};
use verify::{Verdict, Verification};

/// Which records to read; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Who did it.
    pub actor: Option<String>,
    /// What was done: an operation, or the beginning of several where it ends with `*`.
    pub action: Option<String>,
    /// At which server.
    pub server: Option<String>,
    /// Of the operation of this id, as in logs and error bodies.
    pub request: Option<String>,
    /// In any of these phases; all where there is none.
    pub phases: Vec<Phase>,
    /// Recorded at or after this moment, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// Recorded before this moment.
    pub until_us: Option<i64>,
    /// Only those after this number, the oldest first.
    pub after: Option<i64>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// How many at most, and never more than 1,000; 0 means as many as that.
    pub limit: u32,
    /// Of the trail of this name that came with an archive, and not of the hub's own; numbers are places in it.
    pub segment: Option<String>,
}

/// A record as it is kept: its text, byte for byte.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct AuditRow {
    /// Its number.
    #[serde(skip)]
    pub seq: i64,
    /// Its text; the number is in it.
    pub document: Box<RawValue>,
}

impl Store {
    /// Hands over records. Never waits: what finds no room is counted in `lost`.
    pub fn audit_append(&self, drafts: Vec<Draft>) {
        self.queue().push_audit(drafts, None);
    }

    /// Records what somebody reports; answers after it is on the disk.
    pub async fn audit_report(&self, draft: Draft) -> Result<AuditRow, StoreError> {
        let (to, from) = tokio::sync::oneshot::channel();
        if !self.queue().push_audit(vec![draft], Some(to)) {
            return Err(StoreError::Closed);
        }
        let seq = from.await.unwrap_or(Err(StoreError::Closed))?;
        let row = self.audit_read(seq).await?;
        row.ok_or_else(|| self.failed("a record that was just kept is not there"))
    }

    /// One record.
    pub async fn audit_read(&self, seq: i64) -> Result<Option<AuditRow>, StoreError> {
        self.read(move |db| search::one(db, seq)).await
    }

    /// Records in a scope: the newest first, or from a number on the oldest first.
    pub async fn audit_list(&self, scope: &Scope, which: AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| search::list(db, &scope, &which)).await
    }

    /// How many records all tenants have together: they are numbered without a gap, and none ever goes.
    pub async fn audit_total(&self) -> Result<i64, StoreError> {
        let size = self.read(|db| db.first("SELECT size FROM audit_head", &[], |row| row.get(0)));
        Ok(size.await?.unwrap_or_default())
    }

    /// How many records a scope has.
    pub async fn audit_count(&self, scope: &Scope) -> Result<i64, StoreError> {
        let scope = scope.clone();
        let counted = self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            let sum = "SELECT CAST(coalesce(sum(records), 0) AS BIGINT) FROM audit_counts";
            filter.query(db, sum, "", |row| row.get(0))
        });
        Ok(counted.await?.first().copied().unwrap_or_default())
    }

    /// The size and the root of the tree as it is on the disk.
    pub async fn audit_head(&self) -> Result<(u64, Hash), StoreError> {
        let edge = self.read(head).await?;
        Ok((edge.size(), edge.root()))
    }

    /// Shows that a record is in the trail: with its text, the size of the tree and a path of hashes. Reads the hash of every
    /// record. `None` where there is no such record.
    pub async fn audit_prove(
        &self,
        seq: i64,
        size: u64,
    ) -> Result<Option<(AuditRow, Vec<Hash>)>, StoreError> {
        let Some(row) = self.audit_read(seq).await? else { return Ok(None) };
        let count = i64::try_from(size).unwrap_or(i64::MAX);
        let leaves = self.read(move |db| block::leaves(db, 1, count)).await?;
        let leaves: Vec<Hash> = leaves.into_iter().map(|(_, leaf)| leaf).collect();
        let path = usize::try_from(seq - 1).ok().and_then(|index| tree::inclusion(&leaves, index));
        Ok(path.map(|path| (row, path)))
    }
}

impl Store {
    /// Reads the whole trail and compares it with the checkpoints of a key.
    pub async fn audit_verify(&self, checkpoints: &str, key: &Verifier) -> Result<Verdict, StoreError> {
        let (edge, last) = self.read(ends).await?;
        // Shares of the blocks, each read and hashed by a thread of its own, and taken in in their order.
        let shares = stream::try_unfold((self.clone(), Some(i64::MIN)), move |(store, from)| async move {
            let Some(from) = from else { return Ok(None) };
            let to = store.read(move |db| block::next_share(db, from, last)).await?;
            Ok(to.map(|to| ((store.clone(), (from, to)), (store, to.checked_add(1)))))
        });
        let checking = shares
            .map_ok(|(store, share)| async move { store.read(move |db| block::check(db, share)).await });
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut checked = pin!(checking.try_buffered(threads));
        let mut verification = Verification::new(checkpoints, key);
        while let Some(records) = checked.try_next().await? {
            for Checked { seq, own, hash, is_kept } in records {
                verification.take(seq.cast_unsigned(), own, hash, is_kept);
            }
        }
        Ok(verification.end(edge.map(|edge| (edge.size(), edge.root()))))
    }
}

/// The end of the tree.
fn head(db: &mut Db) -> Result<Edge, StoreError> {
    ends(db)?.0.ok_or_else(|| StoreError::Sql {
        place: "the audit trail".into(),
        why: "what was kept of its end is damaged; see `puerto audit verify`".into(),
    })
}

/// The end of the tree, nothing where it is damaged, and where the last block begins: one question, so that both are of one
/// moment.
fn ends(db: &mut Db) -> Result<(Option<Edge>, i64), StoreError> {
    let sql = "SELECT last, size, roots FROM (SELECT max(first) AS last FROM audit_blocks) AS blocks
        LEFT JOIN audit_head ON one = 1";
    let found = db.first(sql, &[], |row| {
        Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?, row.get::<Option<Vec<u8>>>(2)?))
    })?;
    let (last, size, roots) = found.unwrap_or_default();
    let (size, roots) = (size.unwrap_or_default(), roots.unwrap_or_default());
    let edge = Edge::from_parts(size.cast_unsigned(), &roots);
    Ok((edge, last.unwrap_or_default()))
}

/// Appends records, inside the writer's transaction; answers the number of the first.
pub(crate) fn append(db: &mut Db, keyring: &Keyring, batches: &[Vec<Draft>]) -> Result<i64, StoreError> {
    // Another hub may have appended since.
    let edge = head(db)?;
    let first = edge.size().cast_signed() + 1;
    let mut writing = Writing::new(db, keyring, edge);
    let drafts = || batches.iter().flatten();
    drafts().try_for_each(|draft| writing.add(draft))?;
    let (size, roots) = writing.end()?.to_parts();
    let sql = "INSERT INTO audit_head (one, size, roots) VALUES (1, ?1, ?2)
        ON CONFLICT (one) DO UPDATE SET size = excluded.size, roots = excluded.roots";
    db.execute(sql, &[&size.cast_signed(), &&roots[..]])?;
    count(db, drafts())?;
    Ok(first)
}

/// Notes how many records each tenant has: to count them, all would have to be read.
fn count<'a>(db: &mut Db, drafts: impl Iterator<Item = &'a Draft>) -> Result<(), StoreError> {
    let mut counts: Vec<(&Arc<str>, i64)> = Vec::new();
    for tenant in drafts.map(Draft::tenant) {
        match counts.iter_mut().find(|(known, _)| Arc::ptr_eq(known, tenant) || *known == tenant) {
            Some((_, count)) => *count += 1,
            None => counts.push((tenant, 1)),
        }
    }
    let sql = "INSERT INTO audit_counts (tenant, records) VALUES (?1, ?2)
        ON CONFLICT (tenant) DO UPDATE SET records = audit_counts.records + excluded.records";
    counts.iter().try_for_each(|(tenant, count)| db.execute(sql, &[&&***tenant, count]).map(drop))
}
