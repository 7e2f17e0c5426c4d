//! When each schedule fired last, so that a fire is done once: whatever hubs look at the same database, and however
//! often they start.

use std::collections::BTreeMap;

use puerto_core::TenantId;

use crate::error::StoreError;
use crate::store::Store;
use crate::tasks::{self, NewTask, TaskRow};

/// What became of a fire.
#[derive(Debug, Clone)]
pub enum Fired {
    /// A task was made.
    Made(Box<TaskRow>),
    /// The task of an earlier fire waits or runs still, and this one was left out.
    Overlaps,
    /// Too many tasks wait.
    Crowded,
    /// It was done before.
    Before,
}

impl Store {
    /// When each schedule fired last, in microseconds since 1970.
    pub async fn schedules_load(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let all = "SELECT name, fired FROM schedules";
        let rows = self.read(move |db| db.query(all, &[], |row| Ok((row.get(0)?, row.get(1)?)))).await?;
        Ok(rows.into_iter().collect())
    }

    /// Notes that a schedule fired for a moment and keeps the task of it, together. Where `alone`, no task is made
    /// while an earlier one of the same schedule is not over.
    pub async fn schedule_fire(
        &self,
        schedule: &str,
        at_us: i64,
        tenant: &TenantId,
        task: NewTask,
        alone: bool,
    ) -> Result<Fired, StoreError> {
        let (schedule, tenant) = (schedule.to_owned(), tenant.clone());
        self.change(move |db| {
            let sql = "INSERT INTO schedules (name, fired) VALUES (?1, ?2) ON CONFLICT (name)
                DO UPDATE SET fired = excluded.fired WHERE schedules.fired < excluded.fired RETURNING fired";
            if db.first(sql, &[&schedule, &at_us], |row| row.get::<i64>(0))?.is_none() {
                return Ok(Fired::Before);
            }
            let open = "SELECT id FROM tasks WHERE schedule = ?1 AND status IN ('queued', 'running') LIMIT 1";
            if alone && db.first(open, &[&schedule], |row| row.get::<i64>(0))?.is_some() {
                return Ok(Fired::Overlaps);
            }
            match tasks::create(db, &tenant, &task) {
                Ok(made) => Ok(Fired::Made(Box::new(made))),
                Err(StoreError::Crowded { .. }) => Ok(Fired::Crowded),
                Err(error) => Err(error),
            }
        })
        .await
    }
}
