//! The built-in server `monitor`: this machine's metrics, processes and uptime, as the system reports
//! them. It never shows command lines or environments of processes, because secrets live there.

mod gpu;
mod metrics;
mod processes;
mod sampled;

use futures_util::future::BoxFuture;
use puerto_mcp::builtin::{About, Answer, Builtin, CallError, Contents, Resource, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sysinfo::{Networks, System};
use tokio_util::sync::CancellationToken;

use crate::OpenError;
use crate::call::{self, READS, answer, arguments, blocking, json_contents, tool};
use gpu::Gpu;
use metrics::{Metrics, MetricsArgs};
use processes::{ProcessesArgs, ProcessesView};
use sampled::Sampled;

const METRICS_URI: &str = "monitor://metrics";
const PROCESSES_URI: &str = "monitor://processes";
const UPTIME_URI: &str = "monitor://uptime";

/// The server. What needs two samples keeps the last one here.
pub(crate) struct Monitor {
    cpu: Sampled<System>,
    processes: Sampled<System>,
    networks: Sampled<Networks>,
    gpu: Gpu,
}

impl Monitor {
    pub(crate) fn open() -> Result<Self, OpenError> {
        let system = |error: sysinfo::Error| OpenError::System(error.to_string());
        Ok(Self {
            cpu: Sampled::new(System::new().map_err(system)?),
            processes: Sampled::new(System::new().map_err(system)?),
            networks: Sampled::new(Networks::new().map_err(system)?),
            gpu: Gpu::default(),
        })
    }

    async fn run(
        &self,
        tool: &str,
        given: &RawValue,
        cancel: &CancellationToken,
    ) -> Result<Answer, CallError> {
        match tool {
            "get_metrics" => answer(&self.metrics(arguments(tool, given)?, cancel).await?),
            "list_processes" => answer(&self.list_processes(arguments(tool, given)?).await?),
            "get_uptime" => {
                let NoArgs {} = arguments(tool, given)?;
                answer(&blocking(cancel, uptime).await?)
            }
            _ => Err(CallError::Unknown),
        }
    }

    async fn metrics(&self, args: MetricsArgs, cancel: &CancellationToken) -> Result<Metrics, CallError> {
        metrics::collect(self, args.wanted(), cancel).await
    }

    async fn list_processes(&self, args: ProcessesArgs) -> Result<ProcessesView, CallError> {
        let limit = args.checked_limit()?;
        self.processes
            .read(processes::refresh, move |system, window| processes::view(system, window, &args, limit))
            .await
    }

    async fn resource(&self, uri: &str, cancel: &CancellationToken) -> Result<Vec<Contents>, CallError> {
        match uri {
            METRICS_URI => json_contents(uri, &self.metrics(MetricsArgs::default(), cancel).await?),
            PROCESSES_URI => json_contents(uri, &self.list_processes(ProcessesArgs::default()).await?),
            UPTIME_URI => json_contents(uri, &blocking(cancel, uptime).await?),
            _ => Err(CallError::Unknown),
        }
    }
}

impl Builtin for Monitor {
    fn about(&self) -> About {
        About {
            name: "puerto-monitor",
            title: "Machine monitor".into(),
            instructions: "Live figures of the machine that Puerto runs on. Ask get_metrics only for the parts you \
                need; list_processes finds what uses processor or memory. Sizes are bytes, shares are percent."
                .into(),
        }
    }

    fn tools(&self) -> Vec<Tool> {
        vec![
            tool::<MetricsArgs, Metrics>(
                "get_metrics",
                "Machine metrics",
                "Live metrics of this machine. Set to true the parts that you want: cpu, mem, disk, net, load, gpu; \
                 with none set, all are returned. The first cpu or net question takes about 0.2 s, because a rate \
                 needs two samples.",
                READS,
            ),
            tool::<ProcessesArgs, ProcessesView>(
                "list_processes",
                "Processes",
                "Running processes, sorted by processor use (default), memory, pid or name. Shows pid, name, parent, \
                 state, start time and use; never command lines or environments. cpu_percent is of one core, so it \
                 can exceed 100.",
                READS,
            ),
            tool::<NoArgs, Uptime>(
                "get_uptime",
                "Uptime",
                "How long this machine has been up, since when, and what it is.",
                READS,
            ),
        ]
    }

    fn resources(&self) -> Vec<Resource> {
        let resource = |uri: &str, name: &str, description: &str| Resource {
            uri: uri.into(),
            name: name.into(),
            description: description.into(),
            mime_type: call::JSON,
        };
        vec![
            resource(METRICS_URI, "metrics", "All metrics of this machine, as from get_metrics"),
            resource(PROCESSES_URI, "processes", "The 20 processes that use the processor most"),
            resource(UPTIME_URI, "uptime", "How long this machine has been up"),
        ]
    }

    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a RawValue,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(CallError::Cancelled),
                done = self.run(tool, arguments, &cancel) => done,
            }
        })
    }

    fn read<'a>(
        &'a self,
        uri: &'a str,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<Contents>, CallError>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(CallError::Cancelled),
                done = self.resource(uri, &cancel) => done,
            }
        })
    }
}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

/// How long this machine has been up, and what it is.
#[derive(Debug, Serialize, JsonSchema)]
struct Uptime {
    /// Seconds since the machine was started.
    uptime_seconds: u64,
    /// When it was started, RFC 3339.
    booted_at: Option<String>,
    /// Name of the machine.
    hostname: Option<String>,
    /// Operating system with its version.
    os: Option<String>,
    /// Version of the kernel.
    kernel: Option<String>,
    /// Processor architecture.
    arch: String,
}

fn uptime() -> Result<Uptime, CallError> {
    let uptime_seconds =
        System::uptime().map_err(|error| call::failed(format!("could not read the uptime: {error}")))?;
    Ok(Uptime {
        uptime_seconds,
        booted_at: System::boot_time().ok().and_then(rfc3339),
        hostname: System::host_name().ok(),
        os: System::long_os_version().ok(),
        kernel: System::kernel_version().ok(),
        arch: System::cpu_arch(),
    })
}

/// Seconds since the epoch as RFC 3339.
fn rfc3339(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|at| at.to_string())
}

/// Two decimals are more than a sample is worth; the rest is noise that costs tokens.
fn rounded(n: f64) -> f64 {
    (n * 100.0).round() / 100.0
}

/// Share of a total, in percent.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { rounded(part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests;
