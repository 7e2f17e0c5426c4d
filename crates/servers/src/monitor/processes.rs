//! Running processes: who they are and what they use. Only what is harmless is even read: no command
//! line, no environment, no working directory.

use std::cmp::Reverse;
use std::time::Duration;

use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{rfc3339, rounded};
use crate::call::within;

/// As many as fit one look; the answer costs about 50 tokens a process.
const PROCESSES_DEFAULT: u64 = 20;
/// More than this is a dump rather than an answer.
const PROCESSES_MAX: u64 = 500;

/// Arguments of `list_processes`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProcessesArgs {
    /// Order: cpu (default) and mem put the largest first, pid and name the smallest.
    #[serde(default)]
    sort: Option<Sort>,
    /// How many to return at most; 20 where left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u64>,
    /// Only processes whose name contains this text, whatever its case.
    #[serde(default)]
    name: Option<String>,
}

impl ProcessesArgs {
    pub(super) fn checked_limit(&self) -> Result<usize, CallError> {
        within("limit", self.limit, PROCESSES_DEFAULT, PROCESSES_MAX).map(|limit| limit as usize)
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Cpu,
    Mem,
    Pid,
    Name,
}

/// Running processes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProcessesView {
    /// The processes, in the order asked for.
    processes: Vec<ProcessView>,
    /// How many matched, before the limit.
    total: usize,
    /// Whether the limit cut the list.
    truncated: bool,
    /// Time over which cpu_percent was measured.
    sample_ms: u64,
}

/// A running process.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProcessView {
    pid: u32,
    name: String,
    /// Pid of the process that started it.
    parent_pid: Option<u32>,
    /// Such as run, sleep or zombie.
    state: String,
    /// Percent of one core: 200 means two cores are busy.
    cpu_percent: f64,
    /// Resident memory.
    memory_bytes: u64,
    /// When it was started, RFC 3339.
    started_at: Option<String>,
}

/// Takes a sample of all processes.
pub(super) fn refresh(system: &mut System) {
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
}

/// What the last two samples say.
pub(super) fn view(system: &System, window: Duration, args: &ProcessesArgs, limit: usize) -> ProcessesView {
    let wanted = args.name.as_deref().map(str::to_lowercase);
    let mut found: Vec<(String, &Process)> = system
        .processes()
        .values()
        .map(|process| (process.name().to_string_lossy().into_owned(), process))
        .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| name.to_lowercase().contains(wanted)))
        .collect();
    // Ties go by pid, so that two equal questions get two equal answers.
    found.sort_by_key(|(_, process)| process.pid());
    match args.sort.unwrap_or_default() {
        Sort::Cpu => found.sort_by(|(_, a), (_, b)| b.cpu_usage().total_cmp(&a.cpu_usage())),
        Sort::Mem => found.sort_by_key(|(_, process)| Reverse(process.memory())),
        Sort::Pid => {}
        Sort::Name => found.sort_by(|(a, _), (b, _)| a.cmp(b)),
    }
    let total = found.len();
    found.truncate(limit);
    ProcessesView {
        processes: found.into_iter().map(|(name, process)| process_view(name, process)).collect(),
        total,
        truncated: total > limit,
        sample_ms: window.as_millis() as u64,
    }
}

fn process_view(name: String, process: &Process) -> ProcessView {
    ProcessView {
        pid: process.pid().as_u32(),
        name,
        parent_pid: process.parent().map(sysinfo::Pid::as_u32),
        state: format!("{:?}", process.status()).to_lowercase(),
        cpu_percent: rounded(process.cpu_usage().into()),
        memory_bytes: process.memory(),
        started_at: rfc3339(process.start_time()),
    }
}
