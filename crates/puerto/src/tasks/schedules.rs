//! Saved lists that run by the clock. What is due is the host's to say; this brings the time, and notes in the store what
//! fired, together with the task that came of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use puerto_core::def::{CatchUp, Overlap, ScheduleDef};
use puerto_core::record::Kind;
use puerto_core::{Result, Severity};
use puerto_host::schedule::{Schedule, Timer};
use puerto_store::{Fired, NewTask};
use serde_json::json;

use super::{TASK_LIMIT, Tasks};
use crate::http::tasks::saved;

/// How often it is looked what is due, where nothing is sooner: clocks are set, and machines sleep.
const LOOK: Duration = Duration::from_secs(1);

/// The part of the hub that does this, as records name it.
const PART: &str = "schedule";

/// A schedule at work.
struct Running {
    name: String,
    def: ScheduleDef,
    timer: Timer,
}

impl Tasks {
    /// Fires what is due, until the hub drains.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        let draining = self.hub.draining.clone();
        if self.def.schedules.values().all(|def| !def.enabled) {
            return;
        }
        let Some(last) = self.keep(|| self.store.schedules_load()).await else { return };
        let started = Timestamp::now();
        let mut running = Vec::new();
        for (name, def) in self.def.schedules.iter().filter(|(_, def)| def.enabled) {
            match Schedule::parse(&def.cron, &def.timezone, started) {
                Ok(schedule) => {
                    let last = last.get(name).and_then(|us| Timestamp::from_microsecond(*us).ok());
                    let timer = Timer::new(schedule, def.catch_up == CatchUp::Last, last, started);
                    running.push(Running { name: name.clone(), def: def.clone(), timer });
                }
                // The configuration was checked: the time has run out for it, or its zone is gone.
                Err(unfit) => tracing::error!(schedule = name, %unfit, "a schedule cannot be used"),
            }
        }
        while !draining.is_cancelled() {
            let now = Timestamp::now();
            for one in &mut running {
                if let Some(due) = one.timer.due(now)
                    && self.fire(one, due).await
                {
                    one.timer.done(due);
                }
            }
            let next = running.iter().filter_map(|one| one.timer.next()).min();
            let wait = next.and_then(|next| Duration::try_from(next.duration_since(Timestamp::now())).ok());
            tokio::select! {
                () = draining.cancelled() => {}
                () = tokio::time::sleep(wait.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK)) => {}
            }
        }
    }

    /// Fires a schedule for a moment; whether that is done, well or not.
    async fn fire(&self, one: &Running, due: Timestamp) -> bool {
        let Running { name, def, .. } = one;
        let tell = |kind: &str, severity, why: &str| {
            let payload = json!({"schedule": name, "task": def.task, "due": due.to_string(), "why": why});
            self.feed.tell(&def.tenant, kind, severity, Some(name), &payload);
        };
        match self.task_of(one, due).await {
            Ok(Fired::Made(row)) => self.made(&row),
            Ok(Fired::Before) => {}
            Ok(Fired::Overlaps) => {
                tell("schedule.skipped", Severity::Info, "the task of an earlier time is not over");
            }
            Ok(Fired::Crowded) => tell("schedule.skipped", Severity::Warning, "too many tasks wait"),
            // The store cannot be used now; it is tried again.
            Err(error) if error.code() == puerto_core::Code::Unavailable => {
                tracing::warn!(schedule = name, error = error.chain(), "a schedule could not fire");
                return false;
            }
            Err(error) => tell("schedule.failed", Severity::Error, error.public()),
        }
        true
    }

    async fn task_of(&self, Running { name, def, .. }: &Running, due: Timestamp) -> Result<Fired> {
        let tenant = self.hub.tenant(def.tenant.as_str())?;
        let work = async {
            let (file, list, total) = saved(&self.def.dir, &def.task).await?;
            let task = NewTask {
                name: def.task.clone(),
                priority: def.priority.number(),
                file: Some(file),
                schedule: Some(name.clone()),
                list,
                total: i64::try_from(total).unwrap_or(i64::MAX),
                concurrency: 1,
                keep_going: false,
            };
            let alone = def.overlap == Overlap::Skip;
            let due = due.as_microsecond();
            Ok(self.store.schedule_fire(name, due, &def.tenant, task, alone).await?)
        };
        self.hub.own_ctx(&tenant, PART, TASK_LIMIT).run(Kind::Control("task.create"), work).await
    }
}
