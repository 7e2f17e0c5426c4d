//! Metrics of the whole machine. Only the parts that are asked for are measured, side by side.

use std::time::Duration;

use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::{Disks, Networks, System};
use tokio_util::sync::CancellationToken;

use super::gpu::GpuView;
use super::{Monitor, percent, rounded};
use crate::call::{blocking, failed};

/// A container host can have thousands of mounts and virtual interfaces; past this the answer says nothing more.
const ITEMS_MAX: usize = 256;

/// Arguments of `get_metrics`: which parts to return; none means all.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsArgs {
    /// Processor use, overall and per core.
    cpu: bool,
    /// Memory and swap.
    mem: bool,
    /// Mounted disks.
    disk: bool,
    /// Network interfaces.
    net: bool,
    /// Load averages.
    load: bool,
    /// NVIDIA GPUs.
    gpu: bool,
}

impl MetricsArgs {
    /// With nothing asked for, everything is wanted.
    pub(super) fn wanted(self) -> Self {
        let Self { cpu, mem, disk, net, load, gpu } = self;
        if cpu || mem || disk || net || load || gpu {
            self
        } else {
            Self { cpu: true, mem: true, disk: true, net: true, load: true, gpu: true }
        }
    }
}

/// Metrics of this machine; only the parts asked for are there.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Metrics {
    /// When they were read, RFC 3339.
    measured_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem: Option<MemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<NetView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<LoadView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu: Option<GpuView>,
}

/// Processor use.
#[derive(Debug, Serialize, JsonSchema)]
struct CpuView {
    /// Over all cores.
    usage_percent: f64,
    /// Number of logical cores.
    cores: usize,
    /// Each logical core, in order.
    core_usage_percent: Vec<f64>,
    /// Model of the processor.
    brand: Option<String>,
    /// Time over which the use was measured.
    sample_ms: u64,
}

/// Memory and swap.
#[derive(Debug, Serialize, JsonSchema)]
struct MemView {
    total_bytes: u64,
    used_bytes: u64,
    /// What programs can still get without swapping.
    available_bytes: u64,
    usage_percent: f64,
    swap_total_bytes: u64,
    swap_used_bytes: u64,
    /// Limit of the container that Puerto runs in, where it is below the machine's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    container_limit_bytes: Option<u64>,
    /// What that container still has.
    #[serde(skip_serializing_if = "Option::is_none")]
    container_free_bytes: Option<u64>,
}

/// Mounted disks.
#[derive(Debug, Serialize, JsonSchema)]
struct DiskView {
    disks: Vec<DiskItem>,
    truncated: bool,
}

/// A mounted disk.
#[derive(Debug, Serialize, JsonSchema)]
struct DiskItem {
    mount_point: String,
    device: String,
    file_system: String,
    total_bytes: u64,
    used_bytes: u64,
    available_bytes: u64,
    usage_percent: f64,
    read_only: bool,
}

/// Network interfaces.
#[derive(Debug, Serialize, JsonSchema)]
struct NetView {
    interfaces: Vec<NetItem>,
    truncated: bool,
    /// Time over which the rates were measured.
    sample_ms: u64,
}

/// A network interface.
#[derive(Debug, Serialize, JsonSchema)]
struct NetItem {
    name: String,
    received_total_bytes: u64,
    transmitted_total_bytes: u64,
    /// Rate now.
    received_per_second_bytes: f64,
    /// Rate now.
    transmitted_per_second_bytes: f64,
    errors_total: u64,
}

/// Load averages: how many tasks ran or waited to run.
#[derive(Debug, Serialize, JsonSchema)]
struct LoadView {
    one_minute: f64,
    five_minutes: f64,
    fifteen_minutes: f64,
}

/// Measures the wanted parts at the same time, so that everything takes as long as the slowest.
pub(super) async fn collect(
    monitor: &Monitor,
    wanted: MetricsArgs,
    cancel: &CancellationToken,
) -> Result<Metrics, CallError> {
    let (cpu, mem, disk, net, load, gpu) = tokio::try_join!(
        only(wanted.cpu, monitor.cpu.read(System::refresh_cpu_usage, cpu)),
        only(wanted.mem, blocking(cancel, mem)),
        only(wanted.disk, blocking(cancel, disk)),
        only(wanted.net, monitor.networks.read(refresh_networks, net)),
        only(wanted.load, blocking(cancel, load)),
        only(wanted.gpu, monitor.gpu.view(cancel)),
    )?;
    Ok(Metrics { measured_at: now(), cpu, mem, disk, net, load, gpu })
}

/// Finer than a millisecond says nothing to a reader.
fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Millisecond).unwrap_or(now).to_string()
}

async fn only<T>(
    wanted: bool,
    part: impl Future<Output = Result<T, CallError>>,
) -> Result<Option<T>, CallError> {
    if wanted { part.await.map(Some) } else { Ok(None) }
}

fn cpu(system: &System, window: Duration) -> CpuView {
    let cores = system.cpus();
    CpuView {
        usage_percent: rounded(system.global_cpu_usage().into()),
        cores: cores.len(),
        core_usage_percent: cores.iter().map(|core| rounded(core.usage().into())).collect(),
        brand: cores.first().map(|core| core.brand().to_owned()).filter(|brand| !brand.is_empty()),
        sample_ms: window.as_millis() as u64,
    }
}

fn unreadable(part: &str) -> impl Fn(sysinfo::Error) -> CallError {
    move |error| failed(format!("could not read the {part} of this machine: {error}"))
}

fn mem() -> Result<MemView, CallError> {
    let mut system = System::new().map_err(unreadable("memory"))?;
    system.refresh_memory();
    let limit = system.cgroup_limits().filter(|limit| limit.total_memory < system.total_memory());
    Ok(MemView {
        total_bytes: system.total_memory(),
        used_bytes: system.used_memory(),
        available_bytes: system.available_memory(),
        usage_percent: percent(system.used_memory(), system.total_memory()),
        swap_total_bytes: system.total_swap(),
        swap_used_bytes: system.used_swap(),
        container_limit_bytes: limit.as_ref().map(|limit| limit.total_memory),
        container_free_bytes: limit.as_ref().map(|limit| limit.free_memory),
    })
}

fn disk() -> Result<DiskView, CallError> {
    let found = Disks::new_with_refreshed_list().map_err(unreadable("disks"))?;
    let mut disks: Vec<DiskItem> = found
        .iter()
        .map(|disk| {
            let used_bytes = disk.total_space().saturating_sub(disk.available_space());
            DiskItem {
                mount_point: disk.mount_point().display().to_string(),
                device: disk.name().to_string_lossy().into_owned(),
                file_system: disk.file_system().to_string_lossy().into_owned(),
                total_bytes: disk.total_space(),
                used_bytes,
                available_bytes: disk.available_space(),
                usage_percent: percent(used_bytes, disk.total_space()),
                read_only: disk.is_read_only(),
            }
        })
        .collect();
    disks.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    let truncated = disks.len() > ITEMS_MAX;
    disks.truncate(ITEMS_MAX);
    Ok(DiskView { disks, truncated })
}

fn refresh_networks(networks: &mut Networks) {
    networks.refresh(true);
}

fn net(networks: &Networks, window: Duration) -> NetView {
    let rate = |bytes: u64| rounded(bytes as f64 / window.as_secs_f64());
    let mut interfaces: Vec<NetItem> = networks
        .iter()
        .map(|(name, network)| NetItem {
            name: name.to_string_lossy().into_owned(),
            received_total_bytes: network.total_received(),
            transmitted_total_bytes: network.total_transmitted(),
            received_per_second_bytes: rate(network.received()),
            transmitted_per_second_bytes: rate(network.transmitted()),
            errors_total: network.total_errors_on_received() + network.total_errors_on_transmitted(),
        })
        .collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    let truncated = interfaces.len() > ITEMS_MAX;
    interfaces.truncate(ITEMS_MAX);
    NetView { interfaces, truncated, sample_ms: window.as_millis() as u64 }
}

fn load() -> Result<LoadView, CallError> {
    let load = System::load_average().map_err(unreadable("load"))?;
    Ok(LoadView {
        one_minute: rounded(load.one),
        five_minutes: rounded(load.five),
        fifteen_minutes: rounded(load.fifteen),
    })
}
