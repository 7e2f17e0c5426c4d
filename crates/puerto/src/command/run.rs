//! `puerto run`: work through a task list with the servers of a configuration.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use puerto_core::def::LogLevel;
use puerto_core::{Code, Error, Result};
use puerto_host::{Done, Options, Summary};
use serde_json::Value;

use super::{failed, start_logging};
use crate::cli::ConfigArg;
use crate::tasks::TASK_LIMIT;
use crate::{compose, out};

/// Runs the command. 0: every task did what it should; 1: one failed, or the run could not begin.
pub(crate) async fn run(
    tasks: &Path,
    given: &ConfigArg,
    tenant: &str,
    options: Options,
    json: bool,
) -> ExitCode {
    let (mut def, _) = match super::load(given) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // Results are the output; a line per operation beside them would say everything twice.
    def.logging.level = def.logging.level.max(LogLevel::Error);
    // Only servers that a task names are started.
    def.orchestrator.auto_start = false;
    start_logging(&def.logging);
    match list(tasks, &def, tenant, options, json).await {
        Ok(summary) if summary.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

async fn list(
    path: &Path,
    def: &puerto_core::def::HubDef,
    tenant: &str,
    options: Options,
    json: bool,
) -> Result<Summary> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::caller(Code::NotFound, format!("could not read the task list {shown}")).inside(e)
    })?;
    let tasks =
        puerto_host::parse(&text).map_err(|e| Error::caller(Code::BadRequest, format!("{shown}:{e}")))?;
    let works = compose::start(def, &super::env).await?;
    let tenant = works.hub.tenant(tenant)?.clone();
    let total = tasks.len();
    let bar = if std::io::stderr().is_terminal() && !json {
        ProgressBar::new(total as u64)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let report = |done: Done| {
        let text = if json { machine(&done) } else { human(&done, total) };
        bar.suspend(|| out::line(text));
        bar.inc(1);
    };
    let summary =
        puerto_host::run(&tenant, tasks, options, || works.hub.ctx(&tenant, TASK_LIMIT), report).await;
    bar.finish_and_clear();
    if !json {
        let left = if summary.left > 0 { format!(", {} not begun", summary.left) } else { String::new() };
        out::error_line(format!("{} done, {} failed{left}", summary.good, summary.failed));
    }
    works.stop().await;
    Ok(summary)
}

fn machine(done: &Done) -> String {
    let mut line = serde_json::json!({
        "task": done.index + 1, "type": done.task.server.as_str(), "action": done.task.action,
        "ok": done.is_good(), "duration_ms": done.took.as_secs_f64() * 1e3,
    });
    match &done.result {
        Ok(result) => line["result"] = serde_json::from_str(result.get()).unwrap_or(Value::Null),
        Err(error) => {
            line["error"] = serde_json::json!({"code": error.code().name(), "origin": error.origin().name(), "detail": error.chain()});
        }
    }
    line.to_string()
}

fn human(done: &Done, total: usize) -> String {
    let mark = if done.is_good() { "ok" } else { "FAILED" };
    let head = format!(
        "[{}/{total}] {}.{} {mark} ({:.1} ms)",
        done.index + 1,
        done.task.server,
        done.task.action,
        done.took.as_secs_f64() * 1e3
    );
    let body = match &done.result {
        Ok(result) => super::ask::readable(&serde_json::from_str(result.get()).unwrap_or(Value::Null)),
        Err(error) => error.chain(),
    };
    let body: Vec<_> = body.lines().map(|line| format!("    {line}")).collect();
    format!("{head}\n{}", body.join("\n"))
}
