//! Deleting what was told and registered, of one tenant or of all. The audit trail, keys and remembered lists stay, and so
//! do the numbers: none of them is given again. Alerts and their notices stay too: what was promised is sent, and nobody
//! is told again of what holds still.

use serde::Serialize;

use crate::db::{Db, Filter};
use crate::error::StoreError;
use crate::retention::CHUNK;
use crate::store::{Scope, Store};

/// How much of each there is, or was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Events.
    pub events: u64,
    /// Tasks that do not run.
    pub tasks: u64,
    /// Models and agents.
    pub registrations: u64,
}

impl Store {
    /// What `context_clear` would delete of a scope.
    pub async fn context_count(&self, scope: &Scope) -> Result<Contents, StoreError> {
        let scope = scope.clone();
        self.read(move |db| {
            Ok(Contents {
                events: count(db, &scope, "SELECT count(*) FROM events", None)?,
                tasks: count(db, &scope, "SELECT count(*) FROM tasks", Some("status <> 'running'"))?,
                registrations: count(db, &scope, "SELECT count(*) FROM registrations", None)?,
            })
        })
        .await
    }

    /// Deletes the events, registrations and tasks of a scope that are there now, in small pieces, so that nobody who
    /// writes waits for it; tasks that run stay. Answers how many are gone.
    pub async fn context_clear(&self, scope: &Scope) -> Result<Contents, StoreError> {
        let mut gone = Contents::default();
        let (last_event, last_task) = self
            .read(move |db| {
                let mut last = |sql: &str| {
                    let last = db.first(sql, &[], |row| row.get::<Option<i64>>(0))?;
                    Ok::<_, StoreError>(last.flatten().unwrap_or_default())
                };
                Ok((last("SELECT max(seq) FROM events")?, last("SELECT max(id) FROM tasks")?))
            })
            .await?;
        loop {
            let scope = scope.clone();
            let deleted = self.change(move |db| delete_events(db, &scope, last_event)).await?;
            gone.events += deleted;
            if deleted == 0 {
                break;
            }
        }
        gone.tasks = self.tasks_delete(scope, last_task, true).await?;
        let scope = scope.clone();
        gone.registrations = self
            .change(move |db| {
                // What was answered to a request names events that are gone.
                delete(db, &scope, "requests")?;
                delete(db, &scope, "registrations")
            })
            .await?;
        Ok(gone)
    }
}

fn count(db: &mut Db, scope: &Scope, sql: &str, word: Option<&str>) -> Result<u64, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    if let Some(word) = word {
        filter.word(word);
    }
    let counted = filter.query(db, sql, "", |row| row.get::<i64>(0))?;
    Ok(counted.first().map_or(0, |count| count.cast_unsigned()))
}

fn delete_events(db: &mut Db, scope: &Scope, last: i64) -> Result<u64, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    filter.and("seq <= ?", last);
    let some = format!("ORDER BY seq LIMIT {CHUNK}) RETURNING seq");
    let sql = "DELETE FROM events WHERE seq IN (SELECT seq FROM events";
    Ok(filter.query(db, sql, &some, |row| row.get::<i64>(0))?.len() as u64)
}

fn delete(db: &mut Db, scope: &Scope, table: &str) -> Result<u64, StoreError> {
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    let gone = filter.query(db, &format!("DELETE FROM {table}"), "RETURNING tenant", |_| Ok(()))?;
    Ok(gone.len() as u64)
}
