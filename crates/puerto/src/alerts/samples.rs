//! Samples: what rules about metrics, objectives and anomalies are judged by. They are read from where `GET
//! /metrics/prometheus` reads, so that a rule here and one in Prometheus see the same numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use puerto_core::TenantId;
use puerto_core::def::Measure;
use puerto_mcp::hub::Hub;
use puerto_store::{Grain, Scope, Store};
use puerto_watch::alert::{AnomalySignal, BurnSignal, MetricSignal, Signal};
use puerto_watch::anomaly::{Detectors, Judged, Reading};
use puerto_watch::check::{Checks, Key};
use puerto_watch::slo::{BURNS, Counts, Objective};

use super::{Alerts, now_ms};
use crate::audit::Seal;
use crate::http::readings;
use crate::record::metrics::{Form, list, series};
use crate::usage::{Meter, Taken};
use crate::watch::Watch;

/// How often samples are taken.
const SAMPLE: Duration = Duration::from_secs(10);
/// How often burn rates are: a sum of checks is of a minute.
const BURN_EVERY: u32 = 6;
/// How often what was learnt is written: each half hour, and at the end. A kill takes what was learnt since.
const KEEP_EVERY: u32 = 180;
/// The file that it lies in, beside the database.
const LEARNT: &str = "anomalies.json";
/// What readings of the hub's own process are of. No server is called so: names have no spaces.
const HUB: &str = "this hub";
/// Calls between two samples from which on a share of them that failed says something.
const CALLS_MIN: f64 = 5.0;

/// What samples are taken from.
pub(crate) struct Readers {
    pub(crate) hub: Arc<Hub>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) seal: Arc<Seal>,
}

/// What is remembered between two samples.
#[derive(Default)]
struct Sampler {
    detectors: Detectors,
    /// Calls of servers and tools until the last sample, and when that was.
    calls: BTreeMap<(TenantId, String), Calls>,
    at_ms: Option<i64>,
    /// The last check of each service that was taken in.
    checked: BTreeMap<Key, i64>,
}

/// Calls since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Calls {
    count: f64,
    failed: f64,
    seconds: f64,
}

impl Alerts {
    /// Takes samples until the hub drains, and keeps what was learnt of them.
    pub(super) async fn sample(&self, readers: &Readers) {
        let file = self.store.beside(LEARNT);
        let mut sampler = Sampler { detectors: learnt(file.as_deref()), ..Sampler::default() };
        let mut meter = Meter::default();
        let mut turn: u32 = 0;
        loop {
            let taken = meter.read(&readers.hub).await;
            self.metrics.takes(&taken);
            let readings = readings(&self.store, &readers.watch, &readers.seal, self).await;
            let text = self.metrics.render(&readers.hub, &self.store, &readings, Form::Text);
            let names = self.pipeline().metric_names();
            let mut signals = Vec::new();
            sampler.read(&text, &names, now_ms(), &mut signals);
            sampler.services(&readers.watch.checks, now_ms(), &mut signals);
            sampler.queues(&readers.hub, now_ms(), &mut signals);
            sampler.taken(&taken, now_ms(), &mut signals);
            // With the first ones too: what was spent before a restart goes on being spent.
            if turn.is_multiple_of(BURN_EVERY) {
                readers.watch.flush().await;
                burns(&self.store, &readers.watch.checks, &mut signals).await;
            }
            {
                let mut pipeline = self.pipeline();
                signals.iter().for_each(|signal| pipeline.observe(signal, now_ms()));
            }
            turn = turn.wrapping_add(1);
            let is_stopping = tokio::time::timeout(SAMPLE, readers.hub.draining.cancelled()).await.is_ok();
            if is_stopping || turn.is_multiple_of(KEEP_EVERY) {
                sampler.keep(file.clone()).await;
            }
            if is_stopping {
                return;
            }
        }
    }
}

impl Sampler {
    /// Takes in a scrape: series that rules are about, and what servers and tools did since the last one.
    fn read(&mut self, text: &str, names: &BTreeSet<String>, now_ms: i64, to: &mut Vec<Signal>) {
        let mut calls: BTreeMap<(TenantId, String), Calls> = BTreeMap::new();
        let operations = list::OPERATION_DURATION.name;
        for (name, labels, value) in text.lines().filter_map(series) {
            if let Some(part) = name.strip_prefix(operations) {
                count(part, &labels, value, &mut calls);
            }
            if names.contains(name) {
                to.push(Signal::Metric(MetricSignal { name: name.into(), labels, value }));
            }
        }
        let seconds = self.at_ms.map(|before| (now_ms - before) as f64 / 1000.0);
        for ((tenant, subject), now) in &calls {
            let known = self.calls.get(&(tenant.clone(), subject.clone()));
            // The first time it is not known over which time they were.
            let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) else { continue };
            let before = known.copied().unwrap_or_default();
            let made = now.count - before.count;
            let mut take = |measure, value| {
                self.take((tenant.clone(), subject.clone(), measure), now_ms, value, to);
            };
            take(Measure::Throughput, made / seconds);
            if made > 0.0 {
                take(Measure::Latency, (now.seconds - before.seconds) * 1000.0 / made);
            }
            if made >= CALLS_MIN {
                take(Measure::ErrorRate, (now.failed - before.failed) / made);
            }
        }
        (self.calls, self.at_ms) = (calls, Some(now_ms));
    }

    /// How long checks took that were made since the last sample.
    fn services(&mut self, checks: &Checks, now_ms: i64, to: &mut Vec<Signal>) {
        let views = checks.views(None);
        let watched: BTreeSet<Key> = views.iter().map(|v| (v.tenant.clone(), v.name.clone())).collect();
        self.checked.retain(|key, _| watched.contains(key));
        for view in views {
            // A server of this hub is asked for nothing, so that it takes no time.
            let is_timed =
                !view.def.url.reveal().starts_with("mcp://") && !view.def.url.reveal().starts_with("push://");
            let Some(last) = view.last.filter(|last| last.good && is_timed) else { continue };
            let known = self.checked.insert((view.tenant.clone(), view.name.clone()), last.at_ms);
            if known != Some(last.at_ms) {
                let reading = (view.tenant, view.name.to_string(), Measure::Latency);
                self.take(reading, now_ms, last.response_ms, to);
            }
        }
    }

    /// Calls that wait for servers.
    fn queues(&mut self, hub: &Hub, now_ms: i64, to: &mut Vec<Signal>) {
        for upstream in hub.tenants().values().flat_map(|tenant| tenant.upstreams.values()) {
            let Some(live) = upstream.connected() else { continue };
            let reading = (upstream.tenant.clone(), upstream.name.to_string(), Measure::QueueDepth);
            self.take(reading, now_ms, live.waiting() as f64, to);
        }
    }

    /// What servers and the hub take from the machine.
    fn taken(&mut self, all: &[Taken], now_ms: i64, to: &mut Vec<Signal>) {
        for one in all {
            let (tenant, subject) = match &one.owner {
                Some((tenant, server)) => (tenant.clone(), server.to_string()),
                None => (TenantId::default(), HUB.to_owned()),
            };
            let memory = one.largest.map(|bytes| (Measure::Memory, bytes as f64));
            let cpu = one.busiest.map(|cores| (Measure::Cpu, cores));
            for (measure, value) in memory.into_iter().chain(cpu) {
                self.take((tenant.clone(), subject.clone(), measure), now_ms, value, to);
            }
        }
    }

    /// Writes what was learnt, where there is a place for it.
    async fn keep(&self, file: Option<PathBuf>) {
        let Some(file) = file else { return };
        let text = self.detectors.snapshot();
        let kept = tokio::task::spawn_blocking(move || keep(&file, &text)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "what is ordinary could not be kept; after a restart it is learnt anew");
        }
    }

    fn take(&mut self, reading: Reading, now_ms: i64, value: f64, to: &mut Vec<Signal>) {
        if let Some(judged) = self.detectors.take(&reading, now_ms, value) {
            to.push(Signal::Anomaly(signal(reading, judged)));
        }
    }
}

/// What was learnt before; nothing where there is no such file, or it is damaged.
fn learnt(file: Option<&Path>) -> Detectors {
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| Detectors::restore(&text).ok()).unwrap_or_default()
}

/// Writes what was learnt, whole or not at all.
fn keep(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}

fn signal((tenant, subject, measure): Reading, judged: Judged) -> AnomalySignal {
    AnomalySignal {
        tenant,
        subject,
        measure,
        anomalous: judged.anomalous,
        value: judged.value,
        why: judged.why(),
    }
}

/// Counts a series of operations for its server, and for its tool.
fn count(
    part: &str,
    labels: &BTreeMap<String, String>,
    value: f64,
    calls: &mut BTreeMap<(TenantId, String), Calls>,
) {
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let (Some(tenant), Some(server)) =
        (label("tenant").and_then(|tenant| TenantId::new(tenant).ok()), label("server"))
    else {
        return;
    };
    if label("mcp_method_name") != Some("tools/call") {
        return;
    }
    let tool = label("gen_ai_tool_name").map(|tool| match tool.contains('.') {
        true => tool.to_owned(),
        false => format!("{server}.{tool}"),
    });
    for subject in [Some(server.to_owned()), tool].into_iter().flatten() {
        let known = calls.entry((tenant.clone(), subject)).or_default();
        match part {
            "_sum" => known.seconds += value,
            "_count" if label("error_type").is_some() => {
                known.count += value;
                known.failed += value;
            }
            "_count" => known.count += value,
            _ => {}
        }
    }
}

/// How fast the budgets of objectives are spent.
async fn burns(store: &Store, checks: &Checks, to: &mut Vec<Signal>) {
    let promising: Vec<_> = checks.views(None).into_iter().filter(|v| !v.def.objectives.is_empty()).collect();
    if promising.is_empty() {
        return;
    }
    let mut windows: BTreeMap<Duration, BTreeMap<Key, Counts>> = BTreeMap::new();
    for window in BURNS.iter().flat_map(|burn| [burn.long, burn.short]) {
        let grain = if window > Duration::from_hours(24) { Grain::Hour } else { Grain::Minute };
        let Ok(sums) = store.checks_since(&Scope::all(), grain, SystemTime::now() - window).await else {
            return;
        };
        let counted = sums.into_iter().map(|(key, sum)| {
            let whole = |count: i64| u64::try_from(count).unwrap_or(0);
            (key, Counts { good: whole(sum.good), total: whole(sum.good + sum.bad) })
        });
        windows.insert(window, counted.collect());
    }
    for view in promising {
        let key = (view.tenant.clone(), view.name.clone());
        for promised in &view.def.objectives {
            let objective = Objective { target: promised.target / 100.0 };
            let of = |window| windows.get(&window).and_then(|all| all.get(&key)).copied().unwrap_or_default();
            let burn = objective.burning(of);
            to.push(Signal::Burn(BurnSignal {
                tenant: view.tenant.clone(),
                name: view.name.clone(),
                group: view.def.group.clone(),
                labels: view.def.labels.clone(),
                target: promised.target,
                urgency: burn.map(|burn| burn.urgency),
                rate: burn.and_then(|burn| objective.rate(of(burn.long))).unwrap_or_default(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use puerto_core::ServerName;

    use super::*;

    #[test]
    fn what_servers_and_tools_do_is_compared_with_what_they_usually_do() {
        let (mut sampler, mut calls, mut seconds) = (Sampler::default(), 0.0, 0.0);
        let mut found = Vec::new();
        for at in 0..200 {
            calls += 10.0;
            seconds += if at < 190 { 0.2 } else { 20.0 };
            let text: String = [("sum", seconds), ("count", calls)]
                .map(|(part, value)| {
                    format!(
                        "mcp_server_operation_duration_seconds_{part}{{mcp_method_name=\"tools/call\",\
                         gen_ai_tool_name=\"db.query\",tenant=\"default\",server=\"db\",error_type=\"\"}} {value}\n"
                    )
                })
                .concat();
            sampler.read(&text, &BTreeSet::new(), at * 10_000, &mut found);
        }
        let anomalous: BTreeSet<_> = found
            .iter()
            .filter_map(|signal| match signal {
                Signal::Anomaly(found) if found.anomalous => Some((found.subject.as_str(), found.measure)),
                _ => None,
            })
            .collect();
        assert_eq!(anomalous, [("db", Measure::Latency), ("db.query", Measure::Latency)].into());
    }

    #[test]
    fn what_rests_gives_no_reading_and_what_was_just_started_none_of_its_time() {
        let taken = |owner: Option<&str>, largest, busiest| Taken {
            owner: owner.map(|name| (TenantId::default(), ServerName::new(name).unwrap())),
            memory: 0,
            cpu: Duration::ZERO,
            processes: 0,
            largest,
            busiest,
        };
        let all = [
            taken(Some("rests"), None, None),
            taken(Some("begins"), Some(1 << 20), None),
            taken(None, Some(2 << 20), Some(0.5)),
        ];
        let mut sampler = Sampler::default();
        sampler.taken(&all, 7, &mut Vec::new());
        let mut expected = Detectors::default();
        for (subject, measure, value) in [
            ("begins", Measure::Memory, 1_048_576.0),
            (HUB, Measure::Memory, 2_097_152.0),
            (HUB, Measure::Cpu, 0.5),
        ] {
            expected.take(&(TenantId::default(), subject.into(), measure), 7, value);
        }
        assert_eq!(sampler.detectors, expected);
    }

    #[test]
    fn what_was_learnt_outlives_the_hub() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join(LEARNT);
        assert_eq!(learnt(Some(&file)), Detectors::default());
        let mut detectors = Detectors::default();
        detectors.take(&(TenantId::default(), "web".into(), Measure::Latency), 0, 5.0);
        keep(&file, &detectors.snapshot()).unwrap();
        assert_eq!(learnt(Some(&file)), detectors);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(learnt(Some(&file)), Detectors::default());
    }

    #[test]
    fn series_that_rules_are_about_become_signals() {
        let mut found = Vec::new();
        let names = ["puerto_records_lost".to_owned()].into();
        Sampler::default().read("puerto_records_lost 3\nother 4\n", &names, 0, &mut found);
        let expected =
            MetricSignal { name: "puerto_records_lost".into(), labels: BTreeMap::new(), value: 3.0 };
        assert_eq!(found, [Signal::Metric(expected)]);
    }
}
