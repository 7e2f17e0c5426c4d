//! What is kept, and for how long. Old rows go in small pieces, so that nobody who writes waits for it.

use std::time::{Duration, SystemTime};

use puerto_core::def::KeepDef;

use crate::db::Db;
use crate::error::StoreError;
use crate::store::{Store, micros};

/// Rows deleted at once: 10 ms for 10,000 (ops reference 1.7), so this holds the writer for about 2.
pub(crate) const CHUNK: i64 = 2_048;

/// How long the answer to a request with an Idempotency-Key is remembered. Clients try again for minutes.
const REQUESTS_KEPT: Duration = Duration::from_hours(24);

/// Newest rows whose size stands for that of all.
const SAMPLE: i64 = 1_000;

impl Store {
    /// Deletes events that are too old, too many or too large in all, the oldest first; answers how many.
    pub async fn events_trim(&self, keep: &KeepDef) -> Result<u64, StoreError> {
        let (keep, mut gone) = (keep.clone(), 0);
        let excess = self.read(move |db| excess(db, &keep).map(|excess| (excess, keep))).await?;
        let (mut excess, keep) = excess;
        let oldest = micros(SystemTime::now()).saturating_sub(span(Duration::from_hours(24) * keep.days));
        loop {
            let deleted = self.change(move |db| chunk(db, excess, (keep.days > 0).then_some(oldest))).await?;
            gone += deleted;
            excess = excess.saturating_sub(deleted.cast_signed());
            if deleted == 0 {
                break;
            }
        }
        let before = micros(SystemTime::now()).saturating_sub(span(REQUESTS_KEPT));
        self.change(move |db| db.execute("DELETE FROM requests WHERE at < ?1", &[&before])).await?;
        Ok(gone)
    }
}

fn span(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// How many events there are beyond what their number and their size may be.
fn excess(db: &mut Db, keep: &KeepDef) -> Result<i64, StoreError> {
    let number = |db: &mut Db, sql: &str| {
        db.first(sql, &[], |row| row.get::<Option<i64>>(0)).map(|found| found.flatten().unwrap_or_default())
    };
    let count = number(db, "SELECT count(*) FROM events")?;
    let rows = i64::try_from(keep.rows).unwrap_or(i64::MAX);
    let by_rows = if rows > 0 { count - rows } else { 0 };
    let size = number(
        db,
        &format!(
            "SELECT CAST(avg(length(payload) + length(source) + length(id) + 100) AS BIGINT)
             FROM (SELECT payload, source, id FROM events ORDER BY seq DESC LIMIT {SAMPLE}) AS newest"
        ),
    )?;
    let bytes = i64::try_from(keep.megabytes.saturating_mul(1 << 20)).unwrap_or(i64::MAX);
    let by_bytes = if bytes > 0 && size > 0 { count - bytes / size } else { 0 };
    Ok(by_rows.max(by_bytes).max(0))
}

/// Deletes one piece: of the oldest events those that are in excess, or were kept before a moment. What came with an
/// archive may have been kept before what has smaller numbers.
fn chunk(db: &mut Db, excess: i64, before: Option<i64>) -> Result<u64, StoreError> {
    let mut gone = 0;
    if let much @ 1.. = excess.min(CHUNK) {
        let sql = format!("SELECT seq FROM events ORDER BY seq LIMIT 1 OFFSET {}", much - 1);
        if let Some(last) = db.first(&sql, &[], |row| row.get::<i64>(0))? {
            gone += db.execute("DELETE FROM events WHERE seq <= ?1", &[&last])?;
        }
    }
    if let Some(before) = before {
        let oldest = format!("SELECT seq, at FROM events ORDER BY seq LIMIT {CHUNK}");
        let sql =
            format!("DELETE FROM events WHERE seq IN (SELECT seq FROM ({oldest}) AS oldest WHERE at < ?1)");
        gone += db.execute(&sql, &[&before])?;
    }
    Ok(gone)
}
