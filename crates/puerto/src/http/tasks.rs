//! Tasks over HTTP: taken in, listed, read, cancelled.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use puerto_core::def::Priority;
use puerto_core::record::Kind;
use puerto_core::{Action, Code, Error};
use puerto_store::{Item, NewTask, Scope, Status, TaskFilter, TaskRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{self, wrong};
use super::problem::Refused;
use super::rest::{Answer, Api, Asked, TenantQuery};
use crate::tasks::lists::{self, LIST_BYTES_MAX, Saved};

/// Longest name of a task, in bytes.
const NAME_LEN_MAX: usize = 128;
/// Items of one task at the same time.
const CONCURRENCY_MAX: i64 = 64;
/// Priorities go from this below zero to this above.
const PRIORITY_MAX: i64 = 100;

/// What is to be done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: String,
    #[serde(default)]
    priority: Value,
    tasks: Option<Box<RawValue>>,
    concurrency: Option<i64>,
    #[serde(default)]
    keep_going: bool,
}

/// A task.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskView {
    id: i64,
    name: String,
    tenant: String,
    /// `high`, `normal`, `low`, or a number.
    #[schemars(with = "String")]
    priority: Value,
    /// `queued`, `running`, `done`, `failed`, `cancelled` or `interrupted`.
    status: &'static str,
    /// Whether it was cancelled and has not ended yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    cancelling: bool,
    /// The saved list that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The schedule that wanted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// When it came, in milliseconds since 1970.
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
    /// Items in its list.
    total: i64,
    /// Items that did what they should.
    good: i64,
    /// Items that failed.
    failed: i64,
    /// Why it did not go well, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An item that has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ItemView {
    /// Its place in the list, from 1.
    item: i64,
    /// The server.
    #[serde(rename = "type")]
    server: String,
    /// The tool.
    action: String,
    /// `done` or `failed`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    duration_ms: f64,
}

/// A task with its items.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskDetail {
    #[serde(flatten)]
    task: TaskView,
    /// Those that have ended, in their order.
    items: Vec<ItemView>,
}

/// Tasks, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskPage {
    tasks: Vec<TaskView>,
    /// Where the page ends: the `before` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

impl TaskView {
    pub(super) fn of(row: &TaskRow) -> Self {
        let TaskRow { task, .. } = row;
        let named = Priority::ALL.into_iter().find(|one| one.number() == task.priority);
        Self {
            id: row.id,
            name: task.name.clone(),
            tenant: row.tenant.clone(),
            priority: named.map_or(task.priority.into(), |one| one.name().into()),
            status: row.status.name(),
            cancelling: row.is_cancelling,
            file: task.file.clone(),
            schedule: task.schedule.clone(),
            created_at: row.created_us / 1000,
            started_at: row.started_us.map(|us| us / 1000),
            ended_at: row.ended_us.map(|us| us / 1000),
            duration_ms: row.started_us.zip(row.ended_us).map(|(from, to)| (to - from) as f64 / 1e3),
            total: task.total,
            good: row.good,
            failed: row.failed,
            error: row.error.clone(),
        }
    }
}

impl ItemView {
    fn of(item: Item) -> Self {
        Self {
            item: item.place + 1,
            server: item.server,
            action: item.action,
            status: if item.error.is_none() { "done" } else { "failed" },
            error: item.error,
            duration_ms: item.duration_us as f64 / 1e3,
        }
    }
}

/// Which tasks are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TasksQuery {
    tenant: Option<String>,
    status: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

/// `POST /tasks`.
pub(super) async fn create(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Use, &tenant.view.id)?;
    let work = async {
        let task = new(&api.tasks.def.dir, &bytes).await?;
        api.tasks.create(&tenant.view.id, task).await
    };
    let row = ctx.run(Kind::Control("task.create"), work).await?;
    Ok((StatusCode::CREATED, Json(TaskView::of(&row))).into_response())
}

/// What a body asks for, with its list.
async fn new(dir: &str, bytes: &[u8]) -> Result<NewTask, Error> {
    if bytes.len() > 2 * LIST_BYTES_MAX {
        let text = format!("the task: {} bytes are too many; a list may have {LIST_BYTES_MAX}", bytes.len());
        return Err(Error::caller(Code::TooLarge, text));
    }
    let given: Given = body::read("task", bytes)?;
    let name = given.name;
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        let why = format!("must have 1 to {NAME_LEN_MAX} bytes, without control characters");
        return Err(wrong("task", "name", why));
    }
    let priority = priority(&given.priority).ok_or_else(|| {
        let why = "must be \"high\", \"normal\", \"low\" or a whole number from -100 to 100";
        wrong("task", "priority", why)
    })?;
    let concurrency = given.concurrency.unwrap_or(1);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        let why = format!("must be a whole number from 1 to {CONCURRENCY_MAX}");
        return Err(wrong("task", "concurrency", why));
    }
    let (file, list, total) = match given.tasks {
        Some(list) if list.get().len() > LIST_BYTES_MAX => {
            let text = format!("tasks: more than {LIST_BYTES_MAX} bytes");
            return Err(Error::caller(Code::TooLarge, text));
        }
        Some(list) => {
            let parsed = puerto_host::parse(list.get()).map_err(|e| wrong("task", "tasks", e))?;
            (None, list.get().to_owned(), parsed.len())
        }
        None => {
            let (file, list, total) = saved(dir, &name).await?;
            (Some(file), list, total)
        }
    };
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    let keep_going = given.keep_going;
    Ok(NewTask { name, priority, file, schedule: None, list, total, concurrency, keep_going })
}

/// A saved list: its file, its text, its items.
pub(crate) async fn saved(dir: &str, name: &str) -> Result<(String, String, usize), Error> {
    let (dir, name) = (dir.to_owned(), name.to_owned());
    let read = tokio::task::spawn_blocking(move || lists::read(&dir, &name)).await;
    let Saved { file, text } =
        read.map_err(|e| Error::hub(Code::Internal, "a task of Puerto broke").inside(e))??;
    let parsed = puerto_host::parse(&text)
        .map_err(|e| Error::caller(Code::BadRequest, format!("the task list {file}: {e}")))?;
    Ok((file, text, parsed.len()))
}

fn priority(given: &Value) -> Option<i64> {
    match given {
        Value::Null => Some(0),
        Value::String(name) => Priority::ALL.into_iter().find(|one| one.name() == name).map(Priority::number),
        Value::Number(number) => number.as_i64().filter(|n| (-PRIORITY_MAX..=PRIORITY_MAX).contains(n)),
        _ => None,
    }
}

/// `GET /tasks`.
pub(super) async fn list(Shared(api): Shared<Api>, Asked(query): Asked<TasksQuery>) -> Answer<TaskPage> {
    let (scope, ctx) = api.scope(query.tenant.as_deref())?;
    let status = match &query.status {
        Some(name) => Some(Status::named(name).ok_or_else(|| {
            let names = Status::ALL.map(Status::name).join(", ");
            let text = format!("the query string does not fit: status: {name:?} is none: use one of {names}");
            Error::caller(Code::BadRequest, text)
        })?),
        None => None,
    };
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let which = TaskFilter { status, before: query.before, limit };
    let work = async { Ok(api.store.tasks_list(&scope, which).await?) };
    let rows = match ctx {
        Some(ctx) => ctx.run(Kind::Control("task.list"), work).await?,
        None => work.await?,
    };
    let next = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.id)).flatten();
    Ok(Json(TaskPage { tasks: rows.iter().map(TaskView::of).collect(), next }))
}

/// `GET /tasks/{id}`.
pub(super) async fn read(
    Shared(api): Shared<Api>,
    Path(id): Path<String>,
    Asked(query): Asked<TenantQuery>,
) -> Answer<TaskDetail> {
    let (scope, ctx) = api.scope(query.tenant.as_deref())?;
    let number = number(&id)?;
    let work = async { Ok(api.store.task_read(&scope, number).await?) };
    let found = match ctx {
        Some(ctx) => ctx.run(Kind::Control("task.read"), work).await?,
        None => work.await?,
    };
    let (row, items) = found.ok_or_else(|| Error::not_found("task", &id))?;
    let items = items.into_iter().map(ItemView::of).collect();
    Ok(Json(TaskDetail { task: TaskView::of(&row), items }))
}

/// `POST /tasks/{id}/cancel`.
pub(super) async fn cancel(
    Shared(api): Shared<Api>,
    Path(id): Path<String>,
    Asked(query): Asked<TenantQuery>,
) -> Answer<TaskView> {
    let number = number(&id)?;
    let (scope, _) = api.scope(query.tenant.as_deref())?;
    // Whose it is says who may end it, and where that is recorded.
    let found = api.store.task_read(&scope, number).await.map_err(Error::from)?;
    let (row, _) = found.ok_or_else(|| Error::not_found("task", &id))?;
    let (tenant, ctx) = api.find(&row.tenant)?;
    ctx.require(Action::Use, &tenant.view.id)?;
    let scope = Scope::tenant(tenant.view.id.clone());
    let row = ctx.run(Kind::Control("task.cancel"), api.tasks.cancel(&scope, number)).await?;
    Ok(Json(TaskView::of(&row)))
}

fn number(id: &str) -> Result<i64, Error> {
    id.parse().map_err(|_| Error::not_found("task", id))
}
