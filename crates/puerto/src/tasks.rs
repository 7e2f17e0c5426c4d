//! Tasks: lists that run in the background, through the host, as many at the same time as the configuration says. What
//! waits and what became of each is in the store, so that a hub that ends loses none and runs none twice.

pub(crate) mod lists;
mod schedules;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use puerto_core::def::TasksDef;
use puerto_core::record::{Kind, Outcome};
use puerto_core::{Code, Ctx, Error, Origin, Result, Severity, TenantId};
use puerto_host::{Done, Options, Summary};
use puerto_mcp::hub::Hub;
use puerto_mcp::tenant::Tenant;
use puerto_store::{Item, NewTask, Scope, Status, Store, StoreError, TaskEnd, TaskRow};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::command::ask::readable;
use crate::feed::Feed;

/// Longest time of one item where its server sets none: see `call_timeout`.
pub(crate) const TASK_LIMIT: Duration = Duration::from_secs(3600);
/// How often we tell that our tasks run, and look for those of others.
const BEAT: Duration = Duration::from_secs(2);
/// A task whose hub was not heard of for so long is interrupted: seven beats.
const SILENCE: Duration = Duration::from_secs(15);
/// Items that are kept together, where they end faster than the disk takes them.
const ITEMS_BATCH: usize = 256;
/// How soon something is kept again that could not be.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest error of an item, in bytes: a tool may say anything.
const ERROR_LEN_MAX: usize = 2048;

/// The part of the hub that does this, as records name it.
const PART: &str = "task";

/// Tasks of a hub.
pub(crate) struct Tasks {
    hub: Arc<Hub>,
    store: Store,
    feed: Feed,
    /// Where saved lists are.
    pub(crate) def: TasksDef,
    /// Names this process among those that share the store.
    owner: String,
    /// Tells that something new waits.
    news: Notify,
    /// What runs here, and how to end it.
    running: Mutex<BTreeMap<i64, CancellationToken>>,
}

impl Tasks {
    /// Tasks of a hub; none runs before `work`.
    pub(crate) fn new(hub: Arc<Hub>, store: Store, feed: Feed, def: TasksDef) -> Result<Arc<Self>> {
        let mut name = [0; 16];
        getrandom::fill(&mut name)
            .map_err(|e| Error::hub(Code::Internal, "the system gave no random bytes").inside(e))?;
        let owner = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let (news, running) = (Notify::new(), Mutex::default());
        Ok(Arc::new(Self { hub, store, feed, def, owner, news, running }))
    }

    /// Takes in a task; it runs when its turn comes.
    pub(crate) async fn create(&self, tenant: &TenantId, task: NewTask) -> Result<TaskRow> {
        let row = self.store.task_create(tenant, task).await?;
        self.made(&row);
        Ok(row)
    }

    /// Tells of a task that waits now.
    pub(crate) fn made(&self, row: &TaskRow) {
        self.tell(row);
        self.news.notify_one();
    }

    /// Cancels a task: one that waits is over at once, one that runs soon.
    pub(crate) async fn cancel(&self, scope: &Scope, id: i64) -> Result<TaskRow> {
        let found = self.store.task_cancel(scope, id).await?;
        let (before, row) = found.ok_or_else(|| Error::not_found("task", &id.to_string()))?;
        match before {
            Status::Queued => self.tell(&row),
            Status::Running => self.end_here(id),
            ended => {
                let text = format!("task {id} is {} already", ended.name());
                return Err(Error::caller(Code::Conflict, text));
            }
        }
        Ok(row)
    }

    fn end_here(&self, id: i64) {
        if let Some(token) = self.running().get(&id) {
            token.cancel();
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what waits, until the hub drains.
    pub(crate) async fn work(self: Arc<Self>) {
        let mut runs = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let draining = self.hub.draining.clone();
        while !draining.is_cancelled() {
            let has_room = runs.len() < self.def.concurrency as usize;
            let taken = match has_room {
                true => self.store.task_take(&self.owner).await,
                false => Ok(None),
            };
            match taken {
                Ok(Some(row)) => {
                    runs.spawn(self.clone().run(row));
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "could not look for tasks that wait"),
            }
            tokio::select! {
                () = draining.cancelled() => {}
                Some(_) = runs.join_next() => {}
                () = self.news.notified(), if has_room => {}
                _ = beat.tick() => self.look().await,
            }
        }
        while runs.join_next().await.is_some() {}
    }

    /// Tells that ours run, ends those that somebody cancelled elsewhere, and finds those that nobody runs any more.
    async fn look(&self) {
        let ids: Vec<_> = self.running().keys().copied().collect();
        let looked = async {
            if !ids.is_empty() {
                let cancelled = self.store.tasks_beat(&self.owner, &ids).await?;
                cancelled.into_iter().for_each(|id| self.end_here(id));
            }
            self.store.tasks_interrupt(SILENCE).await
        };
        match looked.await {
            Ok(interrupted) => interrupted.iter().for_each(|row| self.tell(row)),
            Err(error) => tracing::warn!(%error, "could not look after tasks that run"),
        }
    }

    async fn run(self: Arc<Self>, row: TaskRow) {
        let token = CancellationToken::new();
        self.running().insert(row.id, token.clone());
        self.tell(&row);
        let worked = AssertUnwindSafe(self.outcome(&row, &token)).catch_unwind().await;
        let end = worked.unwrap_or_else(|_| TaskEnd {
            status: Status::Failed,
            error: Some("a fault in Puerto ended it".into()),
        });
        let ended = self.keep(|| self.store.task_end(&self.owner, row.id, end.clone())).await;
        self.running().remove(&row.id);
        if let Some(Some(row)) = ended {
            self.tell(&row);
        }
    }

    /// Runs a task; answers how it ended. The run is an operation of its own, and so is each call that it makes.
    async fn outcome(&self, row: &TaskRow, token: &CancellationToken) -> TaskEnd {
        let failed = |error: String| TaskEnd { status: Status::Failed, error: Some(error) };
        let tasks = match puerto_host::parse(&row.task.list) {
            Ok(tasks) => tasks,
            Err(invalid) => return failed(invalid.to_string()),
        };
        let tenant = match self.hub.tenant(&row.tenant) {
            Ok(tenant) => tenant,
            Err(error) => return failed(error.public().to_owned()),
        };
        let mut op = self.ctx(&tenant).begin(Kind::Control("task.run"));
        op.note(|record| record.object = Some(row.task.name.as_str().into()));
        if let Err(error) = self.ctx(&tenant).decided(&mut op) {
            op.fail(&error);
            return failed(error.public().to_owned());
        }
        let options = Options {
            concurrency: usize::try_from(row.task.concurrency).unwrap_or(1),
            keep_going: row.task.keep_going,
        };
        let (to, from) = mpsc::unbounded_channel();
        let work = async {
            let report = |done: Done| drop(to.send(item(&done)));
            let run = puerto_host::run(&tenant, tasks, options, || self.ctx(&tenant), report);
            let ended = tokio::select! {
                summary = run => ended(&summary),
                () = token.cancelled() => TaskEnd { status: Status::Cancelled, error: None },
                () = self.hub.draining.cancelled() => {
                    let why = "the hub was stopped while it ran; it is not run again by itself".to_owned();
                    TaskEnd { status: Status::Interrupted, error: Some(why) }
                }
            };
            drop(to);
            ended
        };
        let (end, ()) = tokio::join!(work, self.keep_items(row.id, from));
        op.end(match end.status {
            Status::Done => Outcome::Ok,
            Status::Failed => Outcome::Error(Code::UpstreamError, Origin::Upstream),
            _ => Outcome::Cancelled,
        });
        end
    }

    fn ctx(&self, tenant: &Tenant) -> Ctx {
        self.hub.own_ctx(tenant, PART, TASK_LIMIT)
    }

    /// Keeps what became of items, as they end.
    async fn keep_items(&self, id: i64, mut from: mpsc::UnboundedReceiver<Item>) {
        let mut batch = Vec::new();
        while from.recv_many(&mut batch, ITEMS_BATCH).await > 0 {
            let items = std::mem::take(&mut batch);
            self.keep(|| self.store.task_items(id, items.clone())).await;
        }
    }

    /// Keeps something, and tries again where it cannot be kept, until the hub stops.
    async fn keep<T, W: Future<Output = Result<T, StoreError>>>(&self, work: impl Fn() -> W) -> Option<T> {
        loop {
            match work().await {
                Ok(kept) => return Some(kept),
                Err(error) => tracing::warn!(%error, "what became of a task could not be kept"),
            }
            if self.hub.draining.is_cancelled() {
                return None;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Tells how a task is now.
    fn tell(&self, row: &TaskRow) {
        let (kind, severity) = match row.status {
            Status::Queued => ("task.queued", Severity::Info),
            Status::Running => ("task.started", Severity::Info),
            Status::Done => ("task.done", Severity::Info),
            Status::Failed => ("task.failed", Severity::Error),
            Status::Cancelled => ("task.cancelled", Severity::Info),
            Status::Interrupted => ("task.interrupted", Severity::Warning),
        };
        let payload = json!({
            "id": row.id, "name": row.task.name, "schedule": row.task.schedule, "total": row.task.total,
            "good": row.good, "failed": row.failed, "error": row.error,
        });
        let Ok(tenant) = TenantId::new(&row.tenant) else { return };
        self.feed.tell(&tenant, kind, severity, Some(&row.task.name), &payload);
    }
}

fn ended(summary: &Summary) -> TaskEnd {
    let Summary { good, failed, left } = *summary;
    if failed == 0 && left == 0 {
        return TaskEnd { status: Status::Done, error: None };
    }
    let left = if left > 0 { format!(", {left} not begun") } else { String::new() };
    TaskEnd { status: Status::Failed, error: Some(format!("{good} done, {failed} failed{left}")) }
}

fn item(done: &Done) -> Item {
    let error = match &done.result {
        _ if done.is_good() => None,
        Err(error) => Some(error.public().to_owned()),
        Ok(result) => {
            let result: Value = serde_json::from_str(result.get()).unwrap_or_default();
            Some(readable(&result)).filter(|text| !text.is_empty()).or(Some("the tool failed".into()))
        }
    };
    Item {
        place: i64::try_from(done.index).unwrap_or(i64::MAX),
        server: done.task.server.to_string(),
        action: done.task.action.clone(),
        error: error.map(|text| text.chars().take(ERROR_LEN_MAX / 4).collect()),
        duration_us: i64::try_from(done.took.as_micros()).unwrap_or(i64::MAX),
    }
}
