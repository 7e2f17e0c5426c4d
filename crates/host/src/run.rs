//! Runs a list: in order, or several tasks at once; results come as they are ready.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use puerto_core::{Ctx, Error, Result};
use puerto_mcp::operate::tool_call;
use puerto_mcp::tenant::Tenant;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::list::Task;

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Tasks at the same time; 1 = in order.
    pub concurrency: usize,
    /// Go on after a failure.
    pub keep_going: bool,
}

/// A task that has ended.
#[derive(Debug)]
pub struct Done {
    /// Its place in the list, from 0.
    pub index: usize,
    /// It.
    pub task: Task,
    /// What came of it.
    pub result: Result<Box<RawValue>>,
    /// How long it took.
    pub took: Duration,
}

impl Done {
    /// Whether it did what it should: it was answered, and the tool did not say that it failed.
    pub fn is_good(&self) -> bool {
        self.result.as_ref().is_ok_and(|result| !says_failed(result))
    }
}

fn says_failed(result: &RawValue) -> bool {
    serde_json::from_str::<Value>(result.get()).is_ok_and(|result| result["isError"] == Value::Bool(true))
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tasks that did what they should.
    pub good: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Tasks that were not begun after a failure.
    pub left: usize,
}

/// Runs a list in a tenant. Each task gets a context of its own from `ctx`; `report` hears of each as it ends.
pub async fn run(
    tenant: &Arc<Tenant>,
    tasks: Vec<Task>,
    options: Options,
    ctx: impl Fn() -> Ctx,
    mut report: impl FnMut(Done),
) -> Summary {
    let total = tasks.len();
    let mut summary = Summary::default();
    let work = tasks.into_iter().enumerate().map(|(index, task)| {
        let ctx = ctx();
        async move {
            let began = Instant::now();
            let result = one(tenant, ctx, &task).await;
            Done { index, task, result, took: began.elapsed() }
        }
    });
    let mut running = stream::iter(work).buffer_unordered(options.concurrency.max(1));
    while let Some(done) = running.next().await {
        let good = done.is_good();
        if good {
            summary.good += 1;
        } else {
            summary.failed += 1;
        }
        report(done);
        if !good && !options.keep_going {
            break;
        }
    }
    summary.left = total - summary.good - summary.failed;
    summary
}

async fn one(tenant: &Arc<Tenant>, ctx: Ctx, task: &Task) -> Result<Box<RawValue>> {
    if !tenant.upstreams.contains_key(&task.server) {
        let known: Vec<_> = tenant.upstreams.keys().map(puerto_core::ServerName::as_str).collect();
        return Err(Error::not_found("server", task.server.as_str())
            .inside(std::io::Error::other(format!("servers here: {}", known.join(", ")))));
    }
    tool_call(tenant, ctx, &task.server, &task.action, &task.params).await
}
