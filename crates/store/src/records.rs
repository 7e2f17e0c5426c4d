//! The table of records: one row for each operation, newest read first. Rows are narrow and there is
//! no index beside the row id, because every call pays for this table and people read it rarely.

use puerto_core::{Origin, RequestId, ServerName, record::Record};
use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Records kept: at about 160 bytes a row some 160 MB, and a week at 100 calls a minute.
pub(crate) const RECORDS_KEPT: u64 = 1_000_000;

/// Rows deleted at once: 10 ms for 10,000 (ops reference 1.7), so this holds the writer for about 2.
const TRIM_CHUNK: u64 = 2_048;

/// Rows of one reading, at most: a page for a person or a screen.
const RECENT_MAX: u32 = 1_000;

/// Longest name of a tool, resource or client program kept, in bytes. Callers choose these texts.
const NAME_BYTES_MAX: usize = 256;

/// Longest reason kept, in bytes.
const DETAIL_BYTES_MAX: usize = 2_048;

const INSERT: &str =
    "INSERT INTO records (at, request, trace_high, trace_low, span, duration, bytes_in, bytes_out, kind, tenant,
    caller, client, protocol, server, object, outcome, origin, detail)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

const RECENT: &str =
    "SELECT id, at, request, trace_high, trace_low, span, kind, tenant, caller, client, protocol,
    server, object, outcome, origin, duration, bytes_in, bytes_out, detail
    FROM records WHERE id < ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR server = ?3)
    ORDER BY id DESC LIMIT ?4";

/// Which records to read.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Of this server only.
    pub server: Option<ServerName>,
    /// How many at most; 0 and everything above 1,000 means 1,000.
    pub limit: u32,
    /// Only those older than the record of this id: the cursor, taken from the last row before.
    pub before: Option<i64>,
}

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordRow {
    /// Its place; a later record has a greater one.
    pub id: i64,
    /// When it began, in microseconds since 1970.
    pub at_us: i64,
    /// The request id, as in error bodies and logs.
    pub request: String,
    /// The trace id, in hex.
    pub trace: String,
    /// The span id, in hex.
    pub span: String,
    /// The method or `noun.verb`.
    pub kind: String,
    /// The tenant.
    pub tenant: String,
    /// Who asked.
    pub caller: String,
    /// The client program, as it calls itself.
    pub client: Option<String>,
    /// The protocol revision spoken with the caller.
    pub protocol: Option<String>,
    /// The server concerned.
    pub server: Option<String>,
    /// The tool, prompt or resource concerned.
    pub object: Option<String>,
    /// How it ended: `ok`, `tool_error`, `cancelled` or the name of an error code.
    pub outcome: String,
    /// Whose fault, where it is a fault.
    pub origin: Option<String>,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// Bytes of the request.
    pub bytes_in: i64,
    /// Bytes of the answer.
    pub bytes_out: i64,
    /// Why it failed, for the operator.
    pub detail: Option<String>,
}

impl Store {
    /// Records in a scope, newest first.
    pub async fn records_recent(&self, scope: &Scope, which: Recent) -> Result<Vec<RecordRow>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let limit = if which.limit == 0 { RECENT_MAX } else { which.limit.min(RECENT_MAX) };
            let before = which.before.unwrap_or(i64::MAX);
            let server = which.server.as_ref().map(ServerName::as_str);
            let mut statement = db.prepare_cached(RECENT)?;
            let rows = statement.query_map((before, scope.as_sql(), server, limit), row)?;
            rows.collect()
        })
        .await
    }
}

/// Inserts a batch, inside the writer's transaction. What a statement is given stays with it, so a text that
/// is that of the record before is not given again: most are, and SQLite copies each.
pub(crate) fn insert(db: &Connection, batch: &[Record]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(INSERT)?;
    let mut before: Option<&Record> = None;
    for record in batch {
        // SQLite's integers are signed: ids keep their bits, counts stop at the largest.
        statement.raw_bind_parameter(1, micros(record.at))?;
        statement.raw_bind_parameter(2, record.request.number().cast_signed())?;
        // Two integers: half the time of a blob, which SQLite copies.
        statement.raw_bind_parameter(3, ((record.trace.trace_id >> 64) as u64).cast_signed())?;
        statement.raw_bind_parameter(4, (record.trace.trace_id as u64).cast_signed())?;
        statement.raw_bind_parameter(5, record.trace.span_id.cast_signed())?;
        statement.raw_bind_parameter(6, i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX))?;
        statement.raw_bind_parameter(7, i64::try_from(record.bytes_in).unwrap_or(i64::MAX))?;
        statement.raw_bind_parameter(8, i64::try_from(record.bytes_out).unwrap_or(i64::MAX))?;
        let differs = |part: Name| {
            let text = part(record);
            (before.map(part) != Some(text)).then(|| text.map(|text| cut(text, NAME_BYTES_MAX)))
        };
        for (at, part) in NAMES {
            if let Some(text) = differs(part) {
                statement.raw_bind_parameter(at, text)?;
            }
        }
        statement.raw_bind_parameter(18, record.detail.as_deref().map(|text| cut(text, DETAIL_BYTES_MAX)))?;
        statement.raw_execute()?;
        before = Some(record);
    }
    Ok(())
}

/// A text of a record.
type Name = fn(&Record) -> Option<&str>;

/// Those that are names, each with its place in the statement.
const NAMES: [(usize, Name); 9] = [
    (9, |record| Some(record.kind.name())),
    (10, |record| Some(&record.tenant)),
    (11, |record| Some(&record.caller)),
    (12, |record| record.client.as_deref()),
    (13, |record| record.protocol),
    (14, |record| record.server.as_deref()),
    (15, |record| record.object.as_deref()),
    (16, |record| Some(record.outcome.name())),
    (17, |record| record.outcome.origin().map(Origin::name)),
];

/// Deletes what is beyond the newest `keep`, one chunk at most. Ids have no gaps but those of failed
/// inserts, so their distance stands for a count, which would have to read the whole table.
pub(crate) fn trim(db: &Connection, keep: u64) -> rusqlite::Result<usize> {
    let (keep, chunk) = (i64::try_from(keep).unwrap_or(i64::MAX), TRIM_CHUNK.cast_signed());
    db.prepare_cached(
        "DELETE FROM records WHERE id <= (SELECT max(id) FROM records) - ?1
         AND id < (SELECT min(id) FROM records) + ?2",
    )?
    .execute([keep, chunk])
}

/// The longest beginning of a text that fits, ending between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

fn row(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    let half = |column| row.get::<_, i64>(column).map(|half| u128::from(half.cast_unsigned()));
    let trace = (half(3)? << 64) | half(4)?;
    Ok(RecordRow {
        id: row.get(0)?,
        at_us: row.get(1)?,
        request: RequestId::from_number(row.get::<_, i64>(2)?.cast_unsigned()).to_string(),
        trace: format!("{trace:032x}"),
        span: format!("{:016x}", row.get::<_, i64>(5)?),
        kind: row.get(6)?,
        tenant: row.get(7)?,
        caller: row.get(8)?,
        client: row.get(9)?,
        protocol: row.get(10)?,
        server: row.get(11)?,
        object: row.get(12)?,
        outcome: row.get(13)?,
        origin: row.get(14)?,
        duration_us: row.get(15)?,
        bytes_in: row.get(16)?,
        bytes_out: row.get(17)?,
        detail: row.get(18)?,
    })
}
