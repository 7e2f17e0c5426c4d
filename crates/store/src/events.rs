//! The table of events: one numbered row each, in the order in which they were kept. Readers go by that number, so
//! that they miss none and see none twice, however many come meanwhile.

use std::time::SystemTime;

use puerto_core::{Event, Severity, TenantId};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::db::{Db, Filter, Misread, Param, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Rows of one reading, at most: a page for a person or a screen.
pub const PAGE_MAX: u32 = 1_000;

const INSERT: &str = "INSERT INTO events (tenant, source, id, kind, severity, subject, at, time, payload, extensions)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (tenant, source, id) DO NOTHING RETURNING seq";

const FIND: &str = "SELECT seq, at FROM events WHERE tenant = ?1 AND source = ?2 AND id = ?3";

const ALL: &str =
    "SELECT seq, tenant, source, id, kind, severity, subject, at, time, payload, extensions FROM events";

/// Where an event is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its number; a later event has a greater one.
    pub seq: i64,
    /// When it was kept, in microseconds since 1970.
    pub at_us: i64,
    /// Whether it came now; one that was there already is the same as before.
    pub is_new: bool,
}

/// A key that names one request, so that it can be sent again without being done again.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key, as its client chose it.
    pub name: String,
    /// What stands for the request's body.
    pub digest: [u8; 32],
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Each event, in the order of the request.
    pub kept: Vec<Kept>,
    /// Whether the request had come before.
    pub is_repeated: bool,
}

/// Which events to read; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Names of types, or their beginnings where one ends with `.*`; any of them.
    pub kinds: Vec<String>,
    /// The source.
    pub source: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// This grave at least.
    pub severity: Option<Severity>,
    /// A text that the payload holds, whatever its case.
    pub text: Option<String>,
    /// Kept at or after this moment, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// Kept before this moment.
    pub until_us: Option<i64>,
    /// Only those after this number, the oldest first.
    pub after: Option<i64>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// How many at most, and never more than [`PAGE_MAX`]; 0 means as many as that.
    pub limit: u32,
}

/// An event as it is kept. Serialized, it is what REST answers.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its number.
    pub seq: i64,
    /// Its tenant.
    pub tenant: String,
    /// When it was kept, in microseconds since 1970.
    pub at_us: i64,
    /// The event.
    pub event: Event,
}

impl Serialize for EventRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = &self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("id", &event.id)?;
        map.serialize_entry("type", &event.kind)?;
        map.serialize_entry("severity", &event.severity)?;
        map.serialize_entry("source", &event.source)?;
        if let Some(subject) = &event.subject {
            map.serialize_entry("subject", subject)?;
        }
        map.serialize_entry("tenant", &self.tenant)?;
        map.serialize_entry("timestamp", &(self.at_us / 1000))?;
        if let Some(time) = event.time_us {
            map.serialize_entry("time", &(time / 1000))?;
        }
        map.serialize_entry("payload", &event.payload)?;
        if let Some(extensions) = &event.extensions {
            map.serialize_entry("extensions", extensions)?;
        }
        map.end()
    }
}

/// How many events there were when somebody looked. Counting a million takes 20 ms in SQLite and 150 in Postgres;
/// going on from here takes less than one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// The oldest event then; while it is there, none has gone.
    oldest: Option<i64>,
    /// The newest event then.
    newest: i64,
    count: i64,
}

impl Tally {
    fn renew(self, db: &mut Db) -> Result<Self, StoreError> {
        let oldest = db.first("SELECT seq FROM events ORDER BY seq LIMIT 1", &[], |row| row.get(0))?;
        let from = if oldest == self.oldest { self } else { Self { oldest, ..Self::default() } };
        let new = "SELECT count(*), max(seq) FROM events WHERE seq > ?1";
        let found =
            db.first(new, &[&from.newest], |row| Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?)))?;
        let (count, newest) = found.unwrap_or_default();
        Ok(Self { count: from.count + count, newest: newest.unwrap_or(from.newest), ..from })
    }
}

impl Store {
    /// Keeps events, all of them or none; answers once they are on the disk. One that is there already, by tenant,
    /// source and id, is left as it is.
    ///
    /// # Errors
    /// `KeyReused`, where the key came before with another body.
    pub async fn events_append(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        key: Option<Key>,
    ) -> Result<Appended, StoreError> {
        let (tenant, at) = (tenant.clone(), micros(SystemTime::now()));
        let done = self
            .change(move |db| {
                if let Some(key) = &key
                    && let Some(kept) = answered(db, &tenant, key)?
                {
                    return Ok(Appended { kept, is_repeated: true });
                }
                let kept = append(db, &tenant, at, &events)?;
                if let Some(key) = &key {
                    remember(db, &tenant, at, key, &kept)?;
                }
                Ok(Appended { kept, is_repeated: false })
            })
            .await?;
        self.count_ingested(done.kept.iter().filter(|kept| kept.is_new).count());
        if let Some(newest) = done.kept.iter().filter(|kept| kept.is_new).map(|kept| kept.seq).max() {
            self.news().send_if_modified(|seq| std::mem::replace(seq, newest.max(*seq)) < newest);
        }
        Ok(done)
    }

    /// Events in a scope: the newest first, or from a number on the oldest first.
    pub async fn events_list(&self, scope: &Scope, which: EventFilter) -> Result<Vec<EventRow>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| list(db, &scope, &which)).await
    }

    /// How many events of a scope are kept.
    pub async fn events_count(&self, scope: &Scope) -> Result<i64, StoreError> {
        let scope = scope.clone();
        let counted = self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            filter.query(db, "SELECT count(*) FROM events", "", |row| row.get(0))
        });
        Ok(counted.await?.first().copied().unwrap_or_default())
    }

    /// How many events all tenants have together. Cheap enough to be asked every few seconds: only what is new is
    /// counted, and everything only once the oldest ones have gone.
    pub async fn events_total(&self) -> Result<i64, StoreError> {
        let mut tally = self.tally().lock().await;
        let before = *tally;
        *tally = self.read(move |db| before.renew(db)).await?;
        Ok(tally.count)
    }

    /// The number of the newest event that is kept, whoever kept it; 0 where nothing is.
    pub async fn events_newest(&self) -> Result<i64, StoreError> {
        let newest = "SELECT seq FROM events ORDER BY seq DESC LIMIT 1";
        Ok(self.read(move |db| db.first(newest, &[], |row| row.get(0))).await?.unwrap_or_default())
    }

    /// The number of the oldest event that is kept; of none where nothing is.
    pub async fn events_oldest(&self) -> Result<Option<i64>, StoreError> {
        let oldest = "SELECT seq FROM events ORDER BY seq LIMIT 1";
        self.read(move |db| db.first(oldest, &[], |row| row.get(0))).await
    }
}

impl Store {
    /// After events came with an archive, perhaps between those that are there: they are counted anew, and whoever follows
    /// looks.
    pub(crate) async fn events_imported(&self) {
        *self.tally().lock().await = Tally::default();
        let newest =
            self.read(|db| db.first("SELECT max(seq) FROM events", &[], |row| row.get::<Option<i64>>(0)));
        if let Ok(Some(Some(newest))) = newest.await {
            self.news().send_if_modified(|seq| std::mem::replace(seq, newest.max(*seq)) < newest);
        }
    }
}

/// What was answered to a request that came before.
fn answered(db: &mut Db, tenant: &TenantId, key: &Key) -> Result<Option<Vec<Kept>>, StoreError> {
    let sql = "SELECT digest, answer FROM requests WHERE tenant = ?1 AND key = ?2";
    let found = db.first(sql, &[&tenant.as_str(), &key.name], |row| {
        Ok((row.get::<Vec<u8>>(0)?, row.get::<String>(1)?))
    })?;
    let Some((digest, answer)) = found else { return Ok(None) };
    if digest != key.digest {
        return Err(StoreError::KeyReused { key: key.name.clone() });
    }
    let pairs: Vec<(i64, i64)> = serde_json::from_str(&answer).unwrap_or_default();
    Ok(Some(pairs.into_iter().map(|(seq, at_us)| Kept { seq, at_us, is_new: false }).collect()))
}

fn remember(db: &mut Db, tenant: &TenantId, at: i64, key: &Key, kept: &[Kept]) -> Result<(), StoreError> {
    let pairs: Vec<_> = kept.iter().map(|kept| (kept.seq, kept.at_us)).collect();
    let answer = serde_json::to_string(&pairs).unwrap_or_default();
    let sql = "INSERT INTO requests (tenant, key, at, digest, answer) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.execute(sql, &[&tenant.as_str(), &key.name, &at, &&key.digest[..], &answer]).map(drop)
}

fn append(db: &mut Db, tenant: &TenantId, at: i64, events: &[Event]) -> Result<Vec<Kept>, StoreError> {
    let tenant = tenant.as_str();
    let severities: Vec<_> = events.iter().map(|event| rank(event.severity)).collect();
    let payloads: Vec<_> = events.iter().map(|event| event.payload.get()).collect();
    let extensions: Vec<_> =
        events.iter().map(|event| event.extensions.as_deref().map(RawValue::get)).collect();
    let rows: Vec<Vec<&dyn Param>> = events
        .iter()
        .enumerate()
        .map(|(n, event)| -> Vec<&dyn Param> {
            vec![
                &tenant,
                &event.source,
                &event.id,
                &event.kind,
                &severities[n],
                &event.subject,
                &at,
                &event.time_us,
                &payloads[n],
                &extensions[n],
            ]
        })
        .collect();
    let given = db.first_of_each(INSERT, &rows, |row| row.get::<i64>(0))?;
    let mut kept = Vec::with_capacity(events.len());
    for (event, seq) in events.iter().zip(given) {
        kept.push(match seq {
            Some(seq) => Kept { seq, at_us: at, is_new: true },
            None => {
                let there = db.first(FIND, &[&tenant, &event.source, &event.id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
                let (seq, at_us) = there.unwrap_or_default();
                Kept { seq, at_us, is_new: false }
            }
        });
    }
    Ok(kept)
}

fn list(db: &mut Db, scope: &Scope, which: &EventFilter) -> Result<Vec<EventRow>, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    if let Some(severity) = which.severity.filter(|severity| *severity > Severity::Info) {
        // In the text, so that the index of grave ones serves.
        filter.word(&format!("severity >= {}", rank(severity)));
    }
    narrow_kinds(&mut filter, &which.kinds);
    if let Some(source) = &which.source {
        filter.and("source = ?", source);
    }
    if let Some(subject) = &which.subject {
        filter.and("subject = ?", subject);
    }
    if let Some(text) = &which.text {
        let text = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        filter.and("lower(payload) LIKE ? ESCAPE '\\'", format!("%{text}%"));
    }
    for (condition, value) in [
        ("at >= ?", which.since_us),
        ("at < ?", which.until_us),
        ("seq > ?", which.after),
        ("seq < ?", which.before),
    ] {
        if let Some(value) = value {
            filter.and(condition, value);
        }
    }
    let order = if which.after.is_some() { "" } else { "DESC" };
    let limit = if which.limit == 0 { PAGE_MAX } else { which.limit.min(PAGE_MAX) };
    filter.query(db, ALL, &format!("ORDER BY seq {order} LIMIT {limit}"), row)
}

/// Any of some types. A beginning is a range of names, so that the index serves: `/` follows the dot.
fn narrow_kinds<'a>(filter: &mut Filter<'a>, kinds: &'a [String]) {
    if kinds.is_empty() || kinds.iter().any(|kind| kind == "*") {
        return;
    }
    let each = kinds.iter().map(|kind| match kind.strip_suffix(".*") {
        Some(stem) => {
            let (from, to) = (filter.value(format!("{stem}.")), filter.value(format!("{stem}/")));
            format!("(kind >= {from} AND kind < {to})")
        }
        None => format!("kind = {}", filter.value(kind.as_str())),
    });
    let any = each.collect::<Vec<_>>().join(" OR ");
    filter.word(&format!("({any})"));
}

/// A severity as it is kept; it sorts as severities do.
fn rank(severity: Severity) -> i64 {
    Severity::ALL.iter().position(|one| *one == severity).unwrap_or_default() as i64
}

fn row(row: &Row<'_>) -> Result<EventRow, Misread> {
    let json = |text: String| RawValue::from_string(text).map_err(|error| Misread(error.to_string()));
    let rank: i64 = row.get(5)?;
    Ok(EventRow {
        seq: row.get(0)?,
        tenant: row.get(1)?,
        at_us: row.get(7)?,
        event: Event {
            source: row.get(2)?,
            id: row.get(3)?,
            kind: row.get(4)?,
            severity: usize::try_from(rank)
                .ok()
                .and_then(|rank| Severity::ALL.get(rank).copied())
                .unwrap_or(Severity::Info),
            subject: row.get(6)?,
            time_us: row.get(8)?,
            payload: json(row.get(9)?)?,
            extensions: row.get::<Option<String>>(10)?.map(json).transpose()?,
        },
    })
}
