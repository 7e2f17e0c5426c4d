//! The table of tasks: lists that wait, run, or have run. Whoever runs one holds it by beats; one whose beats ended
//! was interrupted, and is never run again by itself, since nobody knows what of it was done.

use std::time::{Duration, SystemTime};

use puerto_core::TenantId;

use crate::db::{Db, Filter, Misread, Param, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// Tasks of one tenant that may wait. More would wait for hours.
pub const QUEUED_MAX: i64 = 1_000;
/// Tasks that are kept after their end; the oldest go first.
const ENDED_KEPT: i64 = 10_000;
/// Tasks of one reading.
const TASKS_PAGE_MAX: u32 = 1_000;
/// Tasks that are deleted at once, with up to 10,000 items each.
const TASKS_CHUNK: i64 = 10;

/// How a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits.
    Queued,
    /// It runs.
    Running,
    /// Every item did what it should.
    Done,
    /// An item failed, or it could not begin.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// The hub ended while it ran.
    Interrupted,
}

impl Status {
    /// Every one.
    pub const ALL: [Status; 6] = [
        Status::Queued,
        Status::Running,
        Status::Done,
        Status::Failed,
        Status::Cancelled,
        Status::Interrupted,
    ];

    /// As it is kept and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Done => "done",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Interrupted => "interrupted",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A task to be done.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its name.
    pub name: String,
    /// How soon among those that wait: the greatest first.
    pub priority: i64,
    /// The file that its list was read from.
    pub file: Option<String>,
    /// The schedule that wants it.
    pub schedule: Option<String>,
    /// Its list, as text.
    pub list: String,
    /// Items in the list.
    pub total: i64,
    /// Items at the same time.
    pub concurrency: i64,
    /// Whether it goes on after a failure.
    pub keep_going: bool,
}

/// A task as it is kept.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// Its number; a later one has a greater one.
    pub id: i64,
    /// Its tenant.
    pub tenant: String,
    /// What was asked for.
    pub task: NewTask,
    /// How it is.
    pub status: Status,
    /// When it came, in microseconds since 1970.
    pub created_us: i64,
    /// When it began.
    pub started_us: Option<i64>,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// Items that did what they should.
    pub good: i64,
    /// Items that failed.
    pub failed: i64,
    /// Why it did not go well, as a whole.
    pub error: Option<String>,
    /// Whether somebody has cancelled it and it has not ended yet.
    pub is_cancelling: bool,
}

/// An item that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place in the list, from 0.
    pub place: i64,
    /// The server.
    pub server: String,
    /// The tool.
    pub action: String,
    /// Why it failed; nothing where it did what it should.
    pub error: Option<String>,
    /// How long it took, in microseconds.
    pub duration_us: i64,
}

/// How a task ended.
#[derive(Debug, Clone)]
pub struct TaskEnd {
    /// How.
    pub status: Status,
    /// Why, where it did not go well.
    pub error: Option<String>,
}

/// Which tasks to read; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// With this status.
    pub status: Option<Status>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// How many at most; 0 means as many as there may be.
    pub limit: u32,
}

const COLUMNS: &str =
    "id, tenant, name, priority, file, schedule, total, concurrency, keep_going, status, created,
    started, ended, good, failed, error, cancelling";

impl Store {
    /// Keeps a task that waits; answers it once it is on the disk.
    ///
    /// # Errors
    /// `Crowded`, where too many wait.
    pub async fn task_create(&self, tenant: &TenantId, task: NewTask) -> Result<TaskRow, StoreError> {
        let tenant = tenant.clone();
        self.change(move |db| create(db, &tenant, &task)).await
    }

    /// Takes the next one that waits, for the hub of this name, whose beats keep it.
    pub async fn task_take(&self, owner: &str) -> Result<Option<TaskRow>, StoreError> {
        let waits = "SELECT id FROM tasks WHERE status = 'queued' LIMIT 1";
        if self.read(move |db| db.first(waits, &[], |row| row.get::<i64>(0))).await?.is_none() {
            return Ok(None);
        }
        let (owner, at) = (owner.to_owned(), micros(SystemTime::now()));
        let sql = format!(
            "UPDATE tasks SET status = 'running', started = ?1, beat = ?1, owner = ?2 WHERE id =
             (SELECT id FROM tasks WHERE status = 'queued' ORDER BY priority DESC, id LIMIT 1)
             RETURNING {COLUMNS}, list"
        );
        self.change(move |db| db.first(&sql, &[&at, &owner], row)).await
    }

    /// Tells that a hub still runs these; answers which of them somebody has cancelled.
    pub async fn tasks_beat(&self, owner: &str, running: &[i64]) -> Result<Vec<i64>, StoreError> {
        let (owner, at) = (owner.to_owned(), micros(SystemTime::now()));
        let rows: Vec<(i64, i64, String)> = running.iter().map(|id| (at, *id, owner.clone())).collect();
        let sql = "UPDATE tasks SET beat = ?1 WHERE id = ?2 AND owner = ?3 RETURNING cancelling";
        let cancelling = self
            .change(move |db| {
                let rows: Vec<Vec<&dyn Param>> =
                    rows.iter().map(|(at, id, owner)| -> Vec<&dyn Param> { vec![at, id, owner] }).collect();
                db.first_of_each(sql, &rows, |row| row.get::<i64>(0))
            })
            .await?;
        let told = running.iter().zip(cancelling);
        Ok(told.filter(|(_, cancelling)| cancelling.unwrap_or(0) != 0).map(|(id, _)| *id).collect())
    }

    /// Marks those as interrupted that nobody was heard to run for so long; answers them.
    pub async fn tasks_interrupt(&self, silence: Duration) -> Result<Vec<TaskRow>, StoreError> {
        let at = micros(SystemTime::now());
        let oldest = at.saturating_sub(i64::try_from(silence.as_micros()).unwrap_or(i64::MAX));
        let found = "SELECT id FROM tasks WHERE status = 'running' AND beat < ?1 LIMIT 1";
        if self.read(move |db| db.first(found, &[&oldest], |row| row.get::<i64>(0))).await?.is_none() {
            return Ok(Vec::new());
        }
        let why = "the hub ended while it ran; it is not run again by itself";
        let sql = format!(
            "UPDATE tasks SET status = 'interrupted', ended = ?2, error = ?3
             WHERE status = 'running' AND beat < ?1 RETURNING {COLUMNS}, ''"
        );
        self.change(move |db| db.query(&sql, &[&oldest, &at, &why], row)).await
    }

    /// Keeps what became of items of a task.
    pub async fn task_items(&self, id: i64, items: Vec<Item>) -> Result<(), StoreError> {
        self.change(move |db| {
            let rows: Vec<Vec<&dyn Param>> = items
                .iter()
                .map(|item| -> Vec<&dyn Param> {
                    let Item { place, server, action, error, duration_us } = item;
                    vec![&id, place, server, action, error, duration_us]
                })
                .collect();
            let sql = "INSERT INTO task_items (task, place, server, action, error, duration)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (task, place) DO NOTHING";
            db.first_of_each(sql, &rows, |_| Ok(()))?;
            let failed = items.iter().filter(|item| item.error.is_some()).count() as i64;
            let good = items.len() as i64 - failed;
            let sql = "UPDATE tasks SET good = good + ?1, failed = failed + ?2 WHERE id = ?3";
            db.execute(sql, &[&good, &failed, &id]).map(drop)
        })
        .await
    }

    /// Keeps how a task ended that this hub took; answers it. Nothing where it is no longer kept.
    pub async fn task_end(
        &self,
        owner: &str,
        id: i64,
        outcome: TaskEnd,
    ) -> Result<Option<TaskRow>, StoreError> {
        let (owner, at) = (owner.to_owned(), micros(SystemTime::now()));
        // A hub that was slow to beat may have been taken for dead: what it says is what happened.
        let sql = format!(
            "UPDATE tasks SET status = ?1, error = ?2, ended = ?3, cancelling = 0
             WHERE id = ?4 AND owner = ?5 AND status IN ('running', 'interrupted') RETURNING {COLUMNS}, ''"
        );
        self.change(move |db| {
            db.first(&sql, &[&outcome.status.name(), &outcome.error, &at, &id, &owner], row)
        })
        .await
    }

    /// Cancels a task of a scope: one that waits is over, one that runs is told to end. Answers it, as it was and as
    /// it is now; nothing where there is none.
    pub async fn task_cancel(&self, scope: &Scope, id: i64) -> Result<Option<(Status, TaskRow)>, StoreError> {
        let (scope, at) = (scope.clone(), micros(SystemTime::now()));
        self.change(move |db| {
            let Some(before) = find(db, &scope, id)? else { return Ok(None) };
            match before.status {
                Status::Queued => {
                    let sql = "UPDATE tasks SET status = 'cancelled', ended = ?1 WHERE id = ?2";
                    db.execute(sql, &[&at, &id])?
                }
                Status::Running => db.execute("UPDATE tasks SET cancelling = 1 WHERE id = ?1", &[&id])?,
                _ => return Ok(Some((before.status, before))),
            };
            Ok(find(db, &scope, id)?.map(|now| (before.status, now)))
        })
        .await
    }

    /// Tasks of a scope, the newest first, without their items.
    pub async fn tasks_list(&self, scope: &Scope, which: TaskFilter) -> Result<Vec<TaskRow>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            if let Some(status) = which.status {
                filter.and("status = ?", status.name());
            }
            if let Some(before) = which.before {
                filter.and("id < ?", before);
            }
            let limit = if which.limit == 0 { TASKS_PAGE_MAX } else { which.limit.min(TASKS_PAGE_MAX) };
            filter.query(
                db,
                &format!("SELECT {COLUMNS}, '' FROM tasks"),
                &format!("ORDER BY id DESC LIMIT {limit}"),
                row,
            )
        })
        .await
    }

    /// One task of a scope, with the items that have ended, in their order.
    pub async fn task_read(
        &self,
        scope: &Scope,
        id: i64,
    ) -> Result<Option<(TaskRow, Vec<Item>)>, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            let Some(task) = find(db, &scope, id)? else { return Ok(None) };
            let sql = "SELECT place, server, action, error, duration FROM task_items WHERE task = ?1 ORDER BY place";
            let items = db.query(sql, &[&id], |row| {
                Ok(Item {
                    place: row.get(0)?,
                    server: row.get(1)?,
                    action: row.get(2)?,
                    error: row.get(3)?,
                    duration_us: row.get(4)?,
                })
            })?;
            Ok(Some((task, items)))
        })
        .await
    }

    /// Deletes ended tasks beyond those that are kept, the oldest first; answers how many.
    pub async fn tasks_trim(&self) -> Result<u64, StoreError> {
        let last = format!(
            "SELECT id FROM tasks WHERE status NOT IN ('queued', 'running') ORDER BY id DESC LIMIT 1 OFFSET {ENDED_KEPT}"
        );
        let Some(last) = self.read(move |db| db.first(&last, &[], |row| row.get::<i64>(0))).await? else {
            return Ok(0);
        };
        self.tasks_delete(&Scope::all(), last, false).await
    }

    /// Deletes tasks up to a number, those that have ended or also those that wait, in small pieces; answers how many.
    pub(crate) async fn tasks_delete(
        &self,
        scope: &Scope,
        last: i64,
        with_queued: bool,
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let scope = scope.clone();
            let deleted = self.change(move |db| delete_some(db, &scope, last, with_queued)).await?;
            gone += deleted;
            if deleted == 0 {
                return Ok(gone);
            }
        }
    }
}

/// Keeps a task that waits, inside a change.
pub(crate) fn create(db: &mut Db, tenant: &TenantId, task: &NewTask) -> Result<TaskRow, StoreError> {
    let (tenant, at) = (tenant.as_str(), micros(SystemTime::now()));
    let count = "SELECT count(*) FROM tasks WHERE tenant = ?1 AND status = 'queued'";
    if db.first(count, &[&tenant], |row| row.get::<i64>(0))?.unwrap_or_default() >= QUEUED_MAX {
        return Err(StoreError::Crowded { what: "tasks that wait", limit: QUEUED_MAX });
    }
    let NewTask { name, priority, file, schedule, list, total, concurrency, keep_going } = task;
    let sql = format!(
        "INSERT INTO tasks (tenant, name, priority, status, file, schedule, created, total, good, failed, cancelling,
         concurrency, keep_going, owner, beat, list)
         VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6, ?7, 0, 0, 0, ?8, ?9, '', 0, ?10) RETURNING {COLUMNS}, ''"
    );
    let going = i64::from(*keep_going);
    let made = db.first(
        &sql,
        &[&tenant, name, priority, file, schedule, &at, total, concurrency, &going, list],
        row,
    )?;
    made.ok_or(StoreError::Closed)
}

fn find(db: &mut Db, scope: &Scope, id: i64) -> Result<Option<TaskRow>, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    filter.and("id = ?", id);
    Ok(filter.query(db, &format!("SELECT {COLUMNS}, '' FROM tasks"), "", row)?.into_iter().next())
}

fn delete_some(db: &mut Db, scope: &Scope, last: i64, with_queued: bool) -> Result<u64, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    filter.and("id <= ?", last);
    filter.word(if with_queued { "status <> 'running'" } else { "status NOT IN ('queued', 'running')" });
    let which = format!("ORDER BY id LIMIT {TASKS_CHUNK}");
    let ids = filter.query(db, "SELECT id FROM tasks", &which, |row| row.get::<i64>(0))?;
    for id in &ids {
        db.execute("DELETE FROM task_items WHERE task = ?1", &[id])?;
        db.execute("DELETE FROM tasks WHERE id = ?1", &[id])?;
    }
    Ok(ids.len() as u64)
}

fn row(row: &Row<'_>) -> Result<TaskRow, Misread> {
    let status: String = row.get(9)?;
    Ok(TaskRow {
        id: row.get(0)?,
        tenant: row.get(1)?,
        task: NewTask {
            name: row.get(2)?,
            priority: row.get(3)?,
            file: row.get(4)?,
            schedule: row.get(5)?,
            total: row.get(6)?,
            concurrency: row.get(7)?,
            keep_going: row.get::<i64>(8)? != 0,
            list: row.get(17)?,
        },
        status: Status::named(&status).ok_or_else(|| Misread(format!("{status} is no status")))?,
        created_us: row.get(10)?,
        started_us: row.get(11)?,
        ended_us: row.get(12)?,
        good: row.get(13)?,
        failed: row.get(14)?,
        error: row.get(15)?,
        is_cancelling: row.get::<i64>(16)? != 0,
    })
}
