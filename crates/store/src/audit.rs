//! The audit trail: who did what, one numbered record each, in an order that cannot be changed unseen. Every record is a
//! leaf of a Merkle tree (RFC 6962), and what stands for the whole tree is signed from time to time (`checkpoint.rs`)
//! and kept elsewhere. Only the writer appends, so the tree has one end.

pub mod canonical;
pub mod checkpoint;
mod document;
mod draft;
mod leaves;
pub mod tree;
pub mod verify;

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::db::{Db, Filter, Misread, Param, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store};

use checkpoint::Verifier;
pub use draft::{Draft, Phase};
use leaves::Leaves;
use tree::{Edge, Hash};
use verify::{Verdict, Verification};

/// Records of one reading, at most: a page for a person or a screen.
const PAGE_MAX: u32 = 1_000;

/// Records read at once by a verification: some 10 MB.
const VERIFY_PAGE: usize = 20_000;

const INSERT: &str = "INSERT INTO audit (seq, tenant, at, phase, actor, action, server, leaf, document, salt)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// Which records to read; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Who did it.
    pub actor: Option<String>,
    /// What was done: an operation, or the beginning of several where it ends with `*`.
    pub action: Option<String>,
    /// At which server.
    pub server: Option<String>,
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
        self.read(move |db| db.first("SELECT seq, document FROM audit WHERE seq = ?1", &[&seq], row)).await
    }

    /// Records in a scope: the newest first, or from a number on the oldest first.
    pub async fn audit_list(&self, scope: &Scope, which: AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| list(db, &scope, &which)).await
    }

    /// How many records all tenants have together: they are numbered without a gap, and none ever goes.
    pub async fn audit_total(&self) -> Result<i64, StoreError> {
        let last = "SELECT seq FROM audit ORDER BY seq DESC LIMIT 1";
        Ok(self.read(move |db| db.first(last, &[], |row| row.get(0))).await?.unwrap_or_default())
    }

    /// How many records a scope has.
    pub async fn audit_count(&self, scope: &Scope) -> Result<i64, StoreError> {
        let scope = scope.clone();
        let counted = self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            filter.query(db, "SELECT count(*) FROM audit", "", |row| row.get(0))
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
        let leaves = self.read(move |db| {
            let sql = "SELECT leaf FROM audit WHERE seq <= ?1 ORDER BY seq";
            db.query(sql, &[&count], |row| {
                row.get::<Vec<u8>>(0)?.try_into().map_err(|_| Misread("no hash".into()))
            })
        });
        let leaves: Vec<Hash> = leaves.await?;
        let path = usize::try_from(seq - 1).ok().and_then(|index| tree::inclusion(&leaves, index));
        Ok(path.map(|path| (row, path)))
    }
}

impl Store {
    /// Reads the whole trail and compares it with the checkpoints of a key.
    pub async fn audit_verify(&self, checkpoints: &str, key: &Verifier) -> Result<Verdict, StoreError> {
        let (edge, last) = self.read(ends).await?;
        let mut verification = Verification::new(checkpoints, key);
        let mut page = self.leaves_after(0, last).await?;
        while let Some(from) = page.last() {
            let hashing = tokio::task::spawn_blocking(move || (page.hashes(), page));
            // The next page is read while this one is hashed.
            let (read, hashed) = tokio::join!(self.leaves_after(from, last), hashing);
            let (hashes, leaves) = hashed.map_err(|_| self.failed("the reading was interrupted"))?;
            for ((seq, kept, text), hash) in leaves.iter().zip(hashes) {
                verification.take(seq.cast_unsigned(), Some(kept), text, hash);
            }
            page = read?;
        }
        Ok(verification.end(edge.map(|edge| (edge.size(), edge.root()))))
    }

    async fn leaves_after(&self, seq: i64, last: i64) -> Result<Leaves, StoreError> {
        self.read(move |db| {
            let sql = format!(
                "SELECT seq, leaf, document FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT {VERIFY_PAGE}"
            );
            let mut leaves = Leaves::default();
            db.query(&sql, &[&seq, &last], |row| leaves.add(row))?;
            Ok(leaves)
        })
        .await
    }
}

/// The end of the tree.
fn head(db: &mut Db) -> Result<Edge, StoreError> {
    ends(db)?.0.ok_or_else(|| StoreError::Sql {
        place: "the audit trail".into(),
        why: "what was kept of its end is damaged; see `puerto audit verify`".into(),
    })
}

/// The end of the tree, nothing where it is damaged, and the number of the last record: one question, so that both are of one moment.
fn ends(db: &mut Db) -> Result<(Option<Edge>, i64), StoreError> {
    let sql = "SELECT last, size, roots FROM (SELECT max(seq) AS last FROM audit) AS rows
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
pub(crate) fn append(db: &mut Db, drafts: Vec<Draft>) -> Result<i64, StoreError> {
    // Another hub may have appended since.
    let mut edge = head(db)?;
    let first = edge.size().cast_signed() + 1;
    let lines: Vec<Line> = drafts.into_iter().map(|draft| Line::new(draft, &mut edge)).collect();
    let texts: Vec<_> = lines.iter().map(Line::texts).collect();
    let rows: Vec<_> = lines.iter().zip(&texts).map(|(line, texts)| line.params(texts)).collect();
    db.first_of_each(INSERT, &rows, |_| Ok(()))?;
    let (size, roots) = edge.to_parts();
    let sql = "INSERT INTO audit_head (one, size, roots) VALUES (1, ?1, ?2)
        ON CONFLICT (one) DO UPDATE SET size = excluded.size, roots = excluded.roots";
    db.execute(sql, &[&size.cast_signed(), &&roots[..]])?;
    Ok(first)
}

/// A record with its number, as a row.
struct Line {
    seq: i64,
    tenant: Arc<str>,
    at_us: i64,
    phase: &'static str,
    actor: Arc<str>,
    action: Cow<'static, str>,
    server: Option<Arc<str>>,
    leaf: Hash,
    document: String,
    salt: Option<[u8; 16]>,
}

/// What of a row is borrowed from it, as statements take it.
struct Texts<'a> {
    tenant: &'a str,
    actor: &'a str,
    action: &'a str,
    server: Option<&'a str>,
    leaf: &'a [u8],
    salt: Option<&'a [u8]>,
}

impl Line {
    /// The next leaf of the tree.
    fn new(draft: Draft, edge: &mut Edge) -> Self {
        let Draft { tenant, at_us, phase, actor, action, server, salt, document } = draft;
        let seq = edge.size() + 1;
        let document = document.numbered(seq);
        let leaf = tree::leaf(document.as_bytes());
        edge.push(leaf);
        let (seq, phase) = (seq.cast_signed(), phase.name());
        Self { seq, tenant, at_us, phase, actor, action, server, leaf, document, salt }
    }

    fn texts(&self) -> Texts<'_> {
        Texts {
            tenant: &self.tenant,
            actor: &self.actor,
            action: &self.action,
            server: self.server.as_deref(),
            leaf: &self.leaf,
            salt: self.salt.as_ref().map(|salt| &salt[..]),
        }
    }

    /// In the order of `INSERT`.
    fn params<'a>(&'a self, of: &'a Texts<'a>) -> [&'a dyn Param; 10] {
        let Self { seq, at_us, phase, document, .. } = self;
        let Texts { tenant, actor, action, server, leaf, salt } = of;
        [seq, tenant, at_us, phase, actor, action, server, leaf, document, salt]
    }
}

fn list(db: &mut Db, scope: &Scope, which: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    let seq = if which.segment.is_some() { "place" } else { "seq" };
    for (condition, value) in [("actor = ?", &which.actor), ("server = ?", &which.server)] {
        if let Some(value) = value {
            filter.and(condition, value);
        }
    }
    match which.action.as_deref().map(|action| (action, action.strip_suffix('*'))) {
        Some((_, Some(stem))) => filter.and("substr(action, 1, length(?)) = ?", stem),
        Some((action, None)) => filter.and("action = ?", action),
        None => {}
    }
    if !which.phases.is_empty() {
        let names: Vec<_> = which.phases.iter().map(|phase| format!("'{}'", phase.name())).collect();
        filter.word(&format!("phase IN ({})", names.join(", ")));
    }
    for (condition, value) in [
        ("at >= ?", which.since_us),
        ("at < ?", which.until_us),
        (&format!("{seq} > ?"), which.after),
        (&format!("{seq} < ?"), which.before),
    ] {
        if let Some(value) = value {
            filter.and(condition, value);
        }
    }
    let order = if which.after.is_some() { "" } else { "DESC" };
    let limit = if which.limit == 0 { PAGE_MAX } else { which.limit.min(PAGE_MAX) };
    let order = format!("ORDER BY {seq} {order} LIMIT {limit}");
    let Some(segment) = &which.segment else {
        return filter.query(db, "SELECT seq, document FROM audit", &order, row);
    };
    filter.and("segment = (SELECT id FROM audit_segments WHERE name = ?)", segment);
    filter.word("document IS NOT NULL");
    filter.query(db, "SELECT place, document FROM audit_segment_rows", &order, row)
}

fn row(row: &Row<'_>) -> Result<AuditRow, Misread> {
    let document = RawValue::from_string(row.get(1)?).map_err(|error| Misread(error.to_string()))?;
    Ok(AuditRow { seq: row.get(0)?, document })
}
