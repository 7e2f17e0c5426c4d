//! NVIDIA GPUs through NVML, which is loaded when first asked for. A machine without it has no GPU to
//! show, which is an answer and not an error.

use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::percent;
use crate::call::blocking;

/// More devices than any one machine has; the answer stays bounded.
const DEVICES_MAX: u32 = 64;

/// NVML, once loaded. A failure is tried again at the next question: drivers are installed later.
#[derive(Default)]
pub(super) struct Gpu(Arc<Mutex<Option<Nvml>>>);

/// GPUs of this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GpuView {
    /// Whether GPUs can be read at all.
    pub(super) available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Version of the driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    /// The devices. What a device does not tell is null.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<DeviceView>,
}

/// A GPU.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceView {
    index: u32,
    name: Option<String>,
    uuid: Option<String>,
    /// Share of time in which it computed.
    usage_percent: Option<u32>,
    memory_total_bytes: Option<u64>,
    memory_used_bytes: Option<u64>,
    memory_usage_percent: Option<f64>,
    temperature_celsius: Option<u32>,
    power_watts: Option<f64>,
}

impl Gpu {
    pub(super) async fn view(&self, cancel: &CancellationToken) -> Result<GpuView, CallError> {
        let mut nvml = self.0.clone().lock_owned().await;
        blocking(cancel, move || {
            if nvml.is_none() {
                match Nvml::init() {
                    Ok(loaded) => *nvml = Some(loaded),
                    Err(error) => return Ok(absent(&error.to_string())),
                }
            }
            Ok(nvml.as_ref().map_or_else(|| absent("not loaded"), devices))
        })
        .await
    }
}

fn absent(error: &str) -> GpuView {
    let reason = format!("could not load the NVIDIA management library: {error}");
    GpuView { available: false, reason: Some(reason), driver: None, devices: Vec::new() }
}

fn devices(nvml: &Nvml) -> GpuView {
    match nvml.device_count() {
        Ok(count) => GpuView {
            available: true,
            reason: None,
            driver: nvml.sys_driver_version().ok(),
            devices: (0..count.min(DEVICES_MAX)).map(|index| device(nvml, index)).collect(),
        },
        Err(error) => absent(&error.to_string()),
    }
}

fn device(nvml: &Nvml, index: u32) -> DeviceView {
    let device = nvml.device_by_index(index).ok();
    let device = device.as_ref();
    let memory = device.and_then(|device| device.memory_info().ok());
    DeviceView {
        index,
        name: device.and_then(|device| device.name().ok()),
        uuid: device.and_then(|device| device.uuid().ok()),
        usage_percent: device.and_then(|device| device.utilization_rates().ok()).map(|rates| rates.gpu),
        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_usage_percent: memory.as_ref().map(|memory| percent(memory.used, memory.total)),
        temperature_celsius: device.and_then(|device| device.temperature(TemperatureSensor::Gpu).ok()),
        power_watts: device
            .and_then(|device| device.power_usage().ok())
            .map(|milliwatts| f64::from(milliwatts) / 1000.0),
    }
}
