//! The outbox of alerts: notices that were decided and wait to be sent, in one transaction with the state that they
//! follow from. What is there is sent at least once, whoever dies meanwhile; of hubs that share a database one has a
//! notice at a time.

use std::time::{Duration, SystemTime};

use puerto_core::TenantId;
use serde::Serialize;

use crate::db::{Db, Filter, Misread, Param, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Notices of one channel that may wait. More is a channel that nobody reads: further ones are kept as dead.
pub const NOTICES_WAITING_MAX: i64 = 10_000;
/// Size of one notice, in bytes; it names at most some hundred alerts.
pub const NOTICE_BYTES_MAX: usize = 256 * 1024;
/// Size of the state of all alerts, in bytes: some 2 KiB for each of 20,000 services.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Notices of one reading.
const NOTICES_PAGE_MAX: u32 = 1_000;
/// How long notices are kept that were sent or given up, and how many of them.
const NOTICES_KEPT: Duration = Duration::from_hours(90 * 24);
const NOTICES_KEPT_MAX: i64 = 100_000;
/// Notices deleted at once.
const NOTICES_CHUNK: i64 = 512;

/// How a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It waits, for the first time or for another attempt.
    Waiting,
    /// It was sent.
    Sent,
    /// It was given up; somebody may send it again.
    Dead,
}

impl NoticeState {
    /// Every one.
    pub const ALL: [NoticeState; 3] = [NoticeState::Waiting, NoticeState::Sent, NoticeState::Dead];

    /// As it is kept and shown.
    pub const fn name(self) -> &'static str {
        match self {
            NoticeState::Waiting => "waiting",
            NoticeState::Sent => "sent",
            NoticeState::Dead => "dead",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A notice that was decided.
#[derive(Debug, Clone)]
pub struct NewNotice {
    /// Names it: one of this key that is there already stays as it is.
    pub key: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// The channel that it goes to.
    pub channel: String,
    /// Its group of alerts: of one group and channel the next notice is due when those before it are sent or given up,
    /// so that no word of an end is overtaken by that of a beginning.
    pub group: String,
    /// The notice, as JSON.
    pub document: String,
    /// When it was decided, in microseconds since 1970. It is due at once.
    pub decided_us: i64,
}

/// A notice as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// Its number; a later one has a greater one.
    pub seq: i64,
    /// What names it.
    pub key: String,
    /// Its tenant.
    pub tenant: String,
    /// The channel that it goes to.
    pub channel: String,
    /// The notice, as JSON.
    pub document: String,
    /// How it is.
    pub state: NoticeState,
    /// When it was decided, in microseconds since 1970.
    pub decided_us: i64,
    /// Since when it waits: when it was decided, or when somebody had it wait again.
    pub since_us: i64,
    /// Attempts since then.
    pub attempts: i64,
    /// When it is due, where it waits.
    pub next_us: i64,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was sent or given up.
    pub ended_us: Option<i64>,
}

/// Which notices to read; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct NoticeFilter {
    /// In this state.
    pub state: Option<NoticeState>,
    /// Of this channel.
    pub channel: Option<String>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// How many at most; 0 means as many as there may be.
    pub limit: u32,
}

/// How many notices there are of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeCount {
    /// The tenant.
    pub tenant: String,
    /// The channel.
    pub channel: String,
    /// The state.
    pub state: NoticeState,
    /// How many.
    pub count: i64,
}

const COLUMNS: &str =
    "seq, key, tenant, channel, document, state, decided, since, attempts, next, error, ended";

impl Store {
    /// Keeps the state of all alerts, and the notices that follow from it, together. Answers how many of them are new.
    ///
    /// # Errors
    /// `TooLarge`, where a notice or the state is larger than it may be; then nothing is kept.
    pub async fn alerts_decide(&self, snapshot: &str, notices: Vec<NewNotice>) -> Result<u64, StoreError> {
        fits("the state of the alerts", snapshot, SNAPSHOT_BYTES_MAX)?;
        for notice in &notices {
            fits("a notice", &notice.document, NOTICE_BYTES_MAX)?;
        }
        let (snapshot, at) = (snapshot.to_owned(), micros(SystemTime::now()));
        self.change(move |db| {
            let sql = "INSERT INTO alerts (one, at, document) VALUES (1, ?1, ?2)
                ON CONFLICT (one) DO UPDATE SET at = excluded.at, document = excluded.document";
            db.execute(sql, &[&at, &snapshot])?;
            notices.iter().try_fold(0, |new, notice| Ok(new + u64::from(insert(db, notice)?)))
        })
        .await
    }

    /// The state of all alerts, as it was kept last.
    pub async fn alerts_snapshot(&self) -> Result<Option<String>, StoreError> {
        self.read(|db| db.first("SELECT document FROM alerts WHERE one = 1", &[], |row| row.get(0))).await
    }

    /// Takes notices that are due, those that are due longest first, and holds them for a time: until then no other hub
    /// gets them, nor this one again. A hub that dies meanwhile lets go of them by that.
    pub async fn notices_due(
        &self,
        now_us: i64,
        hold: Duration,
        limit: u32,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let due = format!(
            "SELECT seq FROM notices AS one WHERE state = 'waiting' AND next <= ?1 AND claimed <= ?1 AND NOT EXISTS
             (SELECT 1 FROM notices AS other WHERE other.state = 'waiting' AND other.tenant = one.tenant
              AND other.channel = one.channel AND other.line = one.line AND other.seq < one.seq)
             ORDER BY next, seq LIMIT {}",
            limit.min(NOTICES_PAGE_MAX)
        );
        let found = due.clone();
        if self.read(move |db| db.first(&found, &[&now_us], |row| row.get::<i64>(0))).await?.is_none() {
            return Ok(Vec::new());
        }
        let until = now_us.saturating_add(i64::try_from(hold.as_micros()).unwrap_or(i64::MAX));
        let sql = format!("UPDATE notices SET claimed = ?2 WHERE seq IN ({due}) RETURNING {COLUMNS}");
        let mut taken = self.change(move |db| db.query(&sql, &[&now_us, &until], row)).await?;
        taken.sort_by_key(|notice| (notice.next_us, notice.seq));
        Ok(taken)
    }

    /// Notes that a notice was sent. Answers whether it waited.
    pub async fn notice_sent(&self, key: &str) -> Result<bool, StoreError> {
        let (key, at) = (key.to_owned(), micros(SystemTime::now()));
        let sql = "UPDATE notices SET state = 'sent', attempts = attempts + 1, error = NULL, ended = ?2
            WHERE key = ?1 AND state <> 'sent'";
        self.change(move |db| Ok(db.execute(sql, &[&key, &at])? > 0)).await
    }

    /// Lets go of a notice until later: after an attempt that failed, for its reason, or without one. Answers whether it
    /// waits.
    pub async fn notice_later(&self, key: &str, at_us: i64, why: Option<&str>) -> Result<bool, StoreError> {
        let (key, why) = (key.to_owned(), why.map(ToOwned::to_owned));
        let tried = i64::from(why.is_some());
        let sql =
            "UPDATE notices SET attempts = attempts + ?3, error = COALESCE(?4, error), next = ?2, claimed = 0
            WHERE key = ?1 AND state = 'waiting'";
        self.change(move |db| Ok(db.execute(sql, &[&key, &at_us, &tried, &why])? > 0)).await
    }

    /// Gives a notice up, after an attempt that failed. Answers whether it waited.
    pub async fn notice_dead(&self, key: &str, why: &str) -> Result<bool, StoreError> {
        let (key, why, at) = (key.to_owned(), why.to_owned(), micros(SystemTime::now()));
        let sql = "UPDATE notices SET state = 'dead', attempts = attempts + 1, error = ?2, ended = ?3
            WHERE key = ?1 AND state = 'waiting'";
        self.change(move |db| Ok(db.execute(sql, &[&key, &why, &at])? > 0)).await
    }

    /// Has a notice of a scope that was given up wait again, from now on. Answers it; nothing where there is no such one.
    pub async fn notice_again(
        &self,
        scope: &Scope,
        key: &str,
        now_us: i64,
    ) -> Result<Option<NoticeRow>, StoreError> {
        let (scope, key) = (scope.clone(), key.to_owned());
        self.change(move |db| {
            let mut filter = Filter::default();
            let now = filter.value(now_us);
            scope.narrow(&mut filter);
            filter.and("key = ?", key.as_str());
            filter.word("state = 'dead'");
            let sql = format!(
                "UPDATE notices SET state = 'waiting', attempts = 0, since = {now}, next = {now}, claimed = 0, ended = NULL"
            );
            Ok(filter.query(db, &sql, &format!("RETURNING {COLUMNS}"), row)?.into_iter().next())
        })
        .await
    }

    /// Notices of a scope, the newest first.
    pub async fn notices_list(
        &self,
        scope: &Scope,
        which: NoticeFilter,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            if let Some(state) = which.state {
                filter.and("state = ?", state.name());
            }
            if let Some(channel) = &which.channel {
                filter.and("channel = ?", channel.as_str());
            }
            if let Some(before) = which.before {
                filter.and("seq < ?", before);
            }
            let limit = if which.limit == 0 { NOTICES_PAGE_MAX } else { which.limit.min(NOTICES_PAGE_MAX) };
            let (all, newest) =
                (format!("SELECT {COLUMNS} FROM notices"), format!("ORDER BY seq DESC LIMIT {limit}"));
            filter.query(db, &all, &newest, row)
        })
        .await
    }

    /// One notice of a scope.
    pub async fn notice_read(&self, scope: &Scope, key: &str) -> Result<Option<NoticeRow>, StoreError> {
        let (scope, key) = (scope.clone(), key.to_owned());
        self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            filter.and("key = ?", key.as_str());
            Ok(filter.query(db, &format!("SELECT {COLUMNS} FROM notices"), "", row)?.into_iter().next())
        })
        .await
    }

    /// How many notices of a scope there are, by tenant, channel and state.
    pub async fn notices_count(&self, scope: &Scope) -> Result<Vec<NoticeCount>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            let grouped = "GROUP BY tenant, channel, state ORDER BY tenant, channel, state";
            filter.query(db, "SELECT tenant, channel, state, count(*) FROM notices", grouped, |row| {
                let (tenant, channel, of) = (row.get(0)?, row.get(1)?, state(&row.get::<String>(2)?)?);
                Ok(NoticeCount { tenant, channel, state: of, count: row.get(3)? })
            })
        })
        .await
    }

    /// Deletes notices that were sent or given up too long ago, and those beyond the number that is kept, the oldest
    /// first; answers how many.
    pub async fn notices_trim(&self, now_us: i64) -> Result<u64, StoreError> {
        self.notices_delete(now_us, NOTICES_KEPT_MAX).await
    }

    /// The same with a number of those that stay.
    pub(crate) async fn notices_delete(&self, now_us: i64, kept: i64) -> Result<u64, StoreError> {
        let oldest = now_us.saturating_sub(i64::try_from(NOTICES_KEPT.as_micros()).unwrap_or(i64::MAX));
        let beyond = "SELECT seq FROM notices WHERE state <> 'waiting' ORDER BY seq DESC LIMIT 1 OFFSET ?1";
        let last = self.read(move |db| db.first(beyond, &[&kept], |row| row.get::<i64>(0))).await?;
        let (last, mut gone) = (last.unwrap_or_default(), 0);
        let sql = format!(
            "DELETE FROM notices WHERE seq IN (SELECT seq FROM notices WHERE state <> 'waiting'
             AND (seq <= ?1 OR ended < ?2) ORDER BY seq LIMIT {NOTICES_CHUNK})"
        );
        loop {
            let sql = sql.clone();
            let deleted = self.change(move |db| db.execute(&sql, &[&last, &oldest])).await?;
            gone += deleted;
            if deleted == 0 {
                return Ok(gone);
            }
        }
    }
}

fn fits(what: &'static str, text: &str, limit: usize) -> Result<(), StoreError> {
    match text.len() {
        bytes if bytes > limit => Err(StoreError::TooLarge { what: what.into(), bytes, limit }),
        _ => Ok(()),
    }
}

/// Keeps a notice; answers whether it is new.
fn insert(db: &mut Db, notice: &NewNotice) -> Result<bool, StoreError> {
    let NewNotice { key, tenant, channel, group, document, decided_us } = notice;
    let tenant = tenant.as_str();
    let count = "SELECT count(*) FROM notices WHERE state = 'waiting' AND tenant = ?1 AND channel = ?2";
    let waiting = db.first(count, &[&tenant, channel], |row| row.get::<i64>(0))?.unwrap_or_default();
    let (state, error, ended) = match waiting {
        NOTICES_WAITING_MAX.. => {
            let why = format!(
                "{NOTICES_WAITING_MAX} notices wait for this channel already; see why none can be sent"
            );
            (NoticeState::Dead, Some(why), Some(*decided_us))
        }
        _ => (NoticeState::Waiting, None, None),
    };
    let sql = "INSERT INTO notices (key, tenant, channel, line, document, state, decided, since, attempts, next, claimed,
         error, ended)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, ?7, 0, ?8, ?9) ON CONFLICT (key) DO NOTHING";
    let params: &[&dyn Param] =
        &[key, &tenant, channel, group, document, &state.name(), decided_us, &error, &ended];
    Ok(db.execute(sql, params)? > 0)
}

fn state(name: &str) -> Result<NoticeState, Misread> {
    NoticeState::named(name).ok_or_else(|| Misread(format!("{name} is no state of a notice")))
}

fn row(row: &Row<'_>) -> Result<NoticeRow, Misread> {
    Ok(NoticeRow {
        seq: row.get(0)?,
        key: row.get(1)?,
        tenant: row.get(2)?,
        channel: row.get(3)?,
        document: row.get(4)?,
        state: state(&row.get::<String>(5)?)?,
        decided_us: row.get(6)?,
        since_us: row.get(7)?,
        attempts: row.get(8)?,
        next_us: row.get(9)?,
        error: row.get(10)?,
        ended_us: row.get(11)?,
    })
}
