//! Audit trails in archives, and those that came with one: each stays a tree of its own, with its root, its key and its
//! checkpoints, and is never mixed into the hub's. Of an archive of one tenant the records of others are left out; the
//! roots of the parts that they fill stand for them, so that the tree can be checked all the same.

use std::collections::HashMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Taken;
use crate::audit::Phase;
use crate::audit::block::{self, Block, Line, Range};
use crate::audit::checkpoint::{Verifier, notes};
use crate::audit::tree::{self, Hash};
use crate::audit::verify::{self, Verdict, Verification, hex, unhex};
use crate::db::{Db, Misread, Param, Row};
use crate::error::StoreError;
use crate::store::{Store, micros};

/// Checkpoints of one trail in an archive, the newest. The last one stands for every record; those before it only tell
/// where a fault lies, and ten thousand reach back for a day of work without a pause.
pub const CHECKPOINTS_MAX: usize = 10_000;
/// Records of a trail that are read at once, of which each has 64 KiB at most.
pub(crate) const TRAIL_PAGE: usize = 500;

/// Staged records that are compared at once.
const STAGED_READ: i64 = 10_000;

/// The name of the section that a trail is.
pub(crate) const AUDIT: &str = "audit";
/// The staged records of trails; `segment` is the place of the trail in the archive.
pub(crate) const STAGED_TRAILS: &str =
    "CREATE TEMPORARY TABLE staged_audit AS SELECT segment, place, tenant, at, phase, actor, action, server, height, leaf,
     document FROM audit_segment_rows LIMIT 0";

const STAGE: &str =
    "INSERT INTO staged_audit (segment, place, tenant, at, phase, actor, action, server, height, leaf, document)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// What a section says of its trail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// The key that has signed; nothing where nobody has.
    pub(crate) key: Option<String>,
    /// Records of the tree.
    pub(crate) records: u64,
    /// Its root, in hex.
    pub(crate) root: String,
    /// Signed checkpoints, one after the other.
    #[serde(default)]
    pub(crate) checkpoints: String,
}

/// Records of others: the root of the part of the tree that they fill.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// The part has two to the power of this many records.
    pub(crate) height: u32,
    /// Its root, in hex.
    pub(crate) root: String,
    /// The number of its first record.
    pub(crate) seq: u64,
}

/// How a line begins that is a part and no record.
const PART: &str = "{\"height\":";

/// What a record says of itself.
#[derive(Debug, Deserialize)]
struct Told {
    tenant: String,
    at_us: i64,
    phase: String,
    actor: String,
    action: String,
    server: Option<String>,
}

/// A line of a trail, to be staged.
#[derive(Debug)]
pub(crate) struct Leaf {
    place: i64,
    told: Option<Told>,
    height: i64,
    hash: Hash,
    document: Option<String>,
}

/// A trail that is being read out of an archive.
pub(crate) struct Incoming {
    pub(crate) head: Head,
    root: Hash,
    lines: u64,
    next: u64,
    verification: Verification,
}

impl Incoming {
    /// Begins one; what is wrong with its head is told.
    pub(crate) fn new(head: Head) -> Result<Self, String> {
        let root = unhex(&head.root).ok_or("trail.root: is no hash")?;
        let verification = verification(head.key.as_deref(), &head.checkpoints)?;
        let this = Self { head, root, lines: 0, next: 1, verification };
        this.sound()?;
        Ok(this)
    }

    fn sound(&self) -> Result<(), String> {
        self.verification.first_fault().map_or(Ok(()), |fault| Err(fault.what.clone()))
    }

    /// Takes in a line.
    pub(crate) fn take(&mut self, line: &str, of: Option<&str>) -> Result<Leaf, String> {
        self.lines += 1;
        let place = i64::try_from(self.next).unwrap_or(i64::MAX);
        if line.starts_with(PART) {
            let Part { height, root, seq } =
                serde_json::from_str(line).map_err(|error| format!("this is no part of a trail: {error}"))?;
            let hash = unhex(&root).ok_or("root: is no hash")?;
            if seq != self.next || !self.verification.take_part(height, hash) {
                return Err(format!("a part of the tree does not begin with record {seq}"));
            }
            self.next += 1 << height;
            return Ok(Leaf { place, told: None, height: height.into(), hash, document: None });
        }
        let told: Told =
            serde_json::from_str(line).map_err(|error| format!("this is no audit record: {error}"))?;
        if of.is_some_and(|of| of != told.tenant) {
            return Err(format!("tenant: {:?}, where the archive is of another alone", told.tenant));
        }
        if ![Phase::Decision, Phase::Result, Phase::Act, Phase::Report].iter().any(|p| p.name() == told.phase)
        {
            return Err(format!("phase: {:?} is none", told.phase));
        }
        let hash = tree::leaf(line.as_bytes());
        self.verification.take(self.next, verify::number(line), hash, true);
        self.next += 1;
        self.sound()?;
        Ok(Leaf { place, told: Some(told), height: 0, hash, document: Some(line.to_owned()) })
    }

    /// At its end: whether it is the trail that its head tells of, whole.
    pub(crate) fn end(self) -> Result<Ended, String> {
        let verdict = self.verification.end(Some((self.head.records, self.root)));
        if let Some(fault) = verdict.faults.first() {
            return Err(fault.what.clone());
        }
        if self.head.key.is_some() && verdict.unsealed > 0 {
            return Err(format!("no checkpoint stands for the last {} records", verdict.unsealed));
        }
        Ok(Ended { head: self.head, root: self.root, lines: self.lines })
    }
}

/// A trail that was read and is whole.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) head: Head,
    root: Hash,
    lines: u64,
}

impl Ended {
    /// What it is called once it is a segment.
    pub(crate) fn name(&self) -> String {
        hex(&self.root)[..16].to_owned()
    }
}

fn verification(key: Option<&str>, checkpoints: &str) -> Result<Verification, String> {
    if notes(checkpoints).count() > CHECKPOINTS_MAX {
        return Err(format!("trail.checkpoints: more than {CHECKPOINTS_MAX}"));
    }
    match key {
        None => Ok(Verification::unsigned()),
        Some(key) => {
            let key = Verifier::parse(key).ok_or("trail.key: is no key, which looks like puerto/audit+…")?;
            Ok(Verification::new(checkpoints, &key))
        }
    }
}

/// Stages records of the trail at a place of the archive.
pub(crate) fn stage(db: &mut Db, trail: i64, leaves: &[Leaf]) -> Result<(), StoreError> {
    let none = None::<String>;
    let empty = String::new();
    let hashes: Vec<&[u8]> = leaves.iter().map(|leaf| &leaf.hash[..]).collect();
    let rows = leaves.iter().zip(&hashes).map(|(leaf, hash)| -> Vec<&dyn Param> {
        let Leaf { place, height, document, .. } = leaf;
        match &leaf.told {
            Some(told) => vec![
                &trail,
                place,
                &told.tenant,
                &told.at_us,
                &told.phase,
                &told.actor,
                &told.action,
                &told.server,
                height,
                hash,
                document,
            ],
            None => vec![&trail, place, &empty, &0_i64, &empty, &empty, &empty, &none, height, hash, &none],
        }
    });
    db.first_of_each(STAGE, &rows.collect::<Vec<_>>(), |_| Ok(())).map(drop)
}

/// Keeps the staged trails as segments, but those that are there already, as a segment or in the hub's own trail.
pub(crate) fn apply(db: &mut Db, of: Option<&str>, trails: &[Ended]) -> Result<Vec<Taken>, StoreError> {
    let mut taken = Vec::new();
    for (place, trail) in (1_i64..).zip(trails) {
        let is_there = is_segment(db, trail)? || is_own(db, place)?;
        if !is_there {
            keep(db, of, place, trail)?;
        }
        let (added, present) = if is_there { (0, trail.lines) } else { (trail.lines, 0) };
        let segment = (!is_there).then(|| trail.name());
        taken.push(Taken { section: AUDIT, segment, records: trail.lines, added, present, removed: 0 });
    }
    Ok(taken)
}

fn is_segment(db: &mut Db, trail: &Ended) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM audit_segments WHERE root = ?1";
    Ok(trail.head.records == 0 || db.first(sql, &[&&trail.root[..]], |row| row.get::<i64>(0))?.is_some())
}

/// Whether the hub's own trail has every record of a staged one in its place. The first one is looked at alone: it tells
/// nearly always.
fn is_own(db: &mut Db, place: i64) -> Result<bool, StoreError> {
    let (mut after, mut limit) = (0_i64, 1_i64);
    loop {
        let sql = "SELECT place, leaf FROM staged_audit WHERE segment = ?1 AND place > ?2 AND height = 0
            AND document IS NOT NULL ORDER BY place LIMIT ?3";
        let shown =
            db.query(sql, &[&place, &after, &limit], |row| Ok((row.get(0)?, row.get::<Vec<u8>>(1)?)))?;
        let (Some((first, _)), Some((last, _))) = (shown.first(), shown.last()) else { return Ok(true) };
        let own: HashMap<i64, Hash> = block::leaves(db, *first, *last)?.into_iter().collect();
        if shown.iter().any(|(seq, leaf)| own.get(seq).is_none_or(|own| own[..] != leaf[..])) {
            return Ok(false);
        }
        (after, limit) = (*last, STAGED_READ);
    }
}

fn keep(db: &mut Db, of: Option<&str>, place: i64, trail: &Ended) -> Result<(), StoreError> {
    let Ended { head, root, .. } = trail;
    let key = head.key.clone().unwrap_or_default();
    let (at, of) = (micros(SystemTime::now()), of.map(ToOwned::to_owned));
    let sql = "INSERT INTO audit_segments (name, imported, tenant, key, records, root, checkpoints)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let records = head.records.cast_signed();
    let id =
        db.first(sql, &[&trail.name(), &at, &of, &key, &records, &&root[..], &head.checkpoints], |row| {
            row.get::<i64>(0)
        })?;
    let rows = "INSERT INTO audit_segment_rows (segment, place, tenant, at, phase, actor, action, server, height, leaf, document)
        SELECT CAST(?1 AS BIGINT), place, tenant, at, phase, actor, action, server, height, leaf, document FROM staged_audit
        WHERE segment = ?2";
    db.execute(rows, &[&id.unwrap_or_default(), &place]).map(drop)
}

/// A trail that came with an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    #[serde(skip)]
    pub(crate) id: i64,
    /// What it is called: the beginning of its root.
    pub segment: String,
    /// When it came, in microseconds since 1970.
    pub imported_us: i64,
    /// Where only one tenant's records are in it, that tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The key that has signed it; nothing where nobody has.
    pub key: Option<String>,
    /// Records of its tree.
    pub records: u64,
    /// Its root, in hex.
    pub root: String,
    #[serde(skip)]
    pub(crate) checkpoints: String,
}

/// A segment, and whether it is as it came.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentVerdict {
    /// The segment.
    #[serde(flatten)]
    pub segment: Segment,
    /// What was found.
    pub verdict: Verdict,
}

const SEGMENTS: &str =
    "SELECT id, name, imported, tenant, key, records, root, checkpoints FROM audit_segments";

fn segment(row: &Row<'_>) -> Result<Segment, Misread> {
    let key: String = row.get(4)?;
    let root: Vec<u8> = row.get(6)?;
    Ok(Segment {
        id: row.get(0)?,
        segment: row.get(1)?,
        imported_us: row.get(2)?,
        tenant: row.get(3)?,
        key: Some(key).filter(|key| !key.is_empty()),
        records: row.get::<i64>(5)?.cast_unsigned(),
        root: hex(&root.try_into().map_err(|_| Misread("no hash".into()))?),
        checkpoints: row.get(7)?,
    })
}

/// A record of a trail, or a part of one, as it is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) place: i64,
    pub(crate) tenant: String,
    pub(crate) height: u32,
    pub(crate) leaf: Vec<u8>,
    pub(crate) document: Option<String>,
}

/// Records of a segment, or of the hub's own trail, after a place.
pub(crate) fn page(
    db: &mut Db,
    segment: Option<i64>,
    after: i64,
    last: i64,
) -> Result<Vec<Kept>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(Kept {
            place: row.get(0)?,
            tenant: row.get(1)?,
            height: u32::try_from(row.get::<i64>(2)?).unwrap_or(u32::MAX),
            leaf: row.get(3)?,
            document: row.get(4)?,
        })
    };
    match segment {
        None => {
            let start = block::holding(db, after.saturating_add(1))?;
            // One question's worth of blocks.
            let blocks = block::blocks(db, Range::between(start, last), 1)?;
            let lines = blocks.iter().flat_map(Block::lines);
            Ok(lines.filter(|line| line.seq > after && line.seq <= last).map(own).collect())
        }
        Some(segment) => {
            let sql = format!(
                "SELECT place, tenant, height, leaf, document FROM audit_segment_rows
                 WHERE segment = ?1 AND place > ?2 AND place <= ?3 ORDER BY place LIMIT {TRAIL_PAGE}"
            );
            db.query(&sql, &[&segment, &after, &last], read)
        }
    }
}

/// A record of the hub's own trail. One that tells no tenant is nobody's.
fn own(line: Line<'_>) -> Kept {
    let told = serde_json::from_str::<Told>(line.text);
    Kept {
        place: line.seq,
        tenant: told.map(|told| told.tenant).unwrap_or_default(),
        height: 0,
        leaf: line.leaf.to_vec(),
        document: Some(line.text.to_owned()),
    }
}

impl Store {
    /// The trails that came with archives, the oldest first.
    pub async fn segments_list(&self) -> Result<Vec<Segment>, StoreError> {
        self.read(|db| db.query(&format!("{SEGMENTS} ORDER BY id"), &[], segment)).await
    }

    /// Reads every segment, and tells whether each is as it came.
    pub async fn segments_verify(&self) -> Result<Vec<SegmentVerdict>, StoreError> {
        let mut found = Vec::new();
        for segment in self.segments_list().await? {
            let verdict = self.segment_verify(&segment).await?;
            found.push(SegmentVerdict { segment, verdict });
        }
        Ok(found)
    }

    async fn segment_verify(&self, segment: &Segment) -> Result<Verdict, StoreError> {
        let wrong = |why: String| self.failed(&format!("segment {}: {why}", segment.segment));
        let mut verification = verification(segment.key.as_deref(), &segment.checkpoints).map_err(wrong)?;
        let (id, mut after) = (segment.id, 0);
        loop {
            let kept = self.read(move |db| page(db, Some(id), after, i64::MAX)).await?;
            let Some(last) = kept.last() else { break };
            after = last.place;
            for Kept { place, height, leaf, document, .. } in &kept {
                match document {
                    Some(text) => {
                        let hash = tree::leaf(text.as_bytes());
                        verification.take(
                            place.cast_unsigned(),
                            verify::number(text),
                            hash,
                            leaf[..] == hash,
                        );
                    }
                    None => {
                        let hash = leaf.as_slice().try_into().unwrap_or_default();
                        verification.take_hidden(place.cast_unsigned(), *height, hash);
                    }
                }
            }
        }
        let root = unhex(&segment.root).unwrap_or_default();
        Ok(verification.end(Some((segment.records, root))))
    }
}
