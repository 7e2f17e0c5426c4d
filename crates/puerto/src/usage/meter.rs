//! What servers and the hub take, from reading to reading: processor time adds up over restarts and never falls, and
//! the share of a core is that of a process that was there the last time too.

use std::collections::BTreeMap;
use std::time::Duration;

use puerto_core::{ServerName, TenantId};
use puerto_mcp::hub::Hub;
use tokio::time::Instant;

use super::{Processes, Usage};

/// Least time between two readings for a share of a core: the kernel counts in hundredths of a second.
const SHARE_OVER: Duration = Duration::from_secs(1);

/// Whose processes they are: of a server, or nobody else's than the hub's.
pub(super) type Owner = Option<(TenantId, ServerName)>;

/// The first process of each server that is a child, by its server: the shared one, and those of single sessions.
type Running = BTreeMap<Owner, Vec<u32>>;

/// What somebody takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    /// Who.
    pub(crate) owner: Owner,
    /// Memory in use, in bytes.
    pub(crate) memory: u64,
    /// Processor time since the hub began, over all restarts.
    pub(crate) cpu: Duration,
    /// How many processes run.
    pub(crate) processes: u32,
    /// Memory of the largest of its instances, where any runs: there are as many of them as there are sessions.
    pub(crate) largest: Option<u64>,
    /// Cores that the busiest of them keeps busy, where one was there at the last reading too.
    pub(crate) busiest: Option<f64>,
}

/// What is remembered of an owner.
#[derive(Debug, Default)]
struct Known {
    total: Duration,
    /// Processor time at the last reading, by first process and when that began.
    at_last: BTreeMap<(u32, u64), Duration>,
}

impl Known {
    fn take(&mut self, owner: Owner, used: &[(u32, Usage)], since: Option<Duration>) -> Taken {
        let before = std::mem::take(&mut self.at_last);
        let mut busiest = None::<f64>;
        for (id, used) in used {
            let key = (*id, used.began);
            // What a process took whose parent did not wait for it is gone with it, and is not taken back.
            let known = before.get(&key).copied();
            let more = used.cpu.saturating_sub(known.unwrap_or_default());
            self.total += more;
            self.at_last.insert(key, used.cpu);
            if let (Some(_), Some(since)) = (known, since) {
                let share = more.as_secs_f64() / since.as_secs_f64();
                busiest = Some(busiest.map_or(share, |most| most.max(share)));
            }
        }
        Taken {
            owner,
            memory: used.iter().map(|(_, used)| used.memory).sum(),
            cpu: self.total,
            processes: used.iter().map(|(_, used)| used.processes).sum(),
            largest: used.iter().map(|(_, used)| used.memory).max(),
            busiest,
        }
    }
}

/// Remembers what everybody had taken.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    known: BTreeMap<Owner, Known>,
    at: Option<Instant>,
}

impl Meter {
    /// What everybody takes now. Servers that no longer exist are forgotten; nothing is known where the system does not
    /// tell.
    pub(crate) async fn read(&mut self, hub: &Hub) -> Vec<Taken> {
        let running = running(hub);
        match Processes::read_aside().await {
            Some(processes) => self.take(Instant::now(), running, &processes),
            None => Vec::new(),
        }
    }

    fn take(&mut self, now: Instant, running: Running, processes: &Processes) -> Vec<Taken> {
        let since = self.at.map(|at| now - at).filter(|since| *since >= SHARE_OVER);
        self.at = Some(now);
        self.known.retain(|owner, _| owner.is_none() || running.contains_key(owner));
        let mut all = Vec::new();
        let of_servers = running.into_iter().map(|(owner, ids)| {
            let used = ids.into_iter().filter_map(|id| Some((id, processes.of(id)?)));
            (owner, used.collect())
        });
        let own = processes.own().map(|used| (None, vec![(std::process::id(), used)]));
        for (owner, used) in of_servers.chain(own) {
            all.push(self.known.entry(owner.clone()).or_default().take(owner, &used, since));
        }
        all
    }
}

/// The servers of a hub that are its children, whether they run or rest.
fn running(hub: &Hub) -> Running {
    let tenants = hub.tenants();
    let all = tenants.values().flat_map(|tenant| tenant.upstreams.values());
    let children = all.filter(|upstream| upstream.def.command.is_some());
    let first = children.map(|upstream| {
        let instances = upstream.instances();
        let ids = instances.values().filter_map(|own| own.pid()).chain(upstream.pid());
        (Some((upstream.tenant.clone(), upstream.name.clone())), ids.collect())
    });
    first.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu_s: u64, began: u64, memory: u64) -> Usage {
        Usage { memory, cpu: Duration::from_secs(cpu_s), processes: 2, began }
    }

    #[test]
    fn processor_time_adds_up_over_restarts_and_never_falls() {
        let (mut known, tick) = (Known::default(), Some(Duration::from_secs(10)));
        let mut take = |used: &[(u32, Usage)]| {
            let taken = known.take(None, used, tick);
            (taken.cpu.as_secs(), taken.busiest, taken.largest, taken.processes)
        };
        assert_eq!(take(&[(7, usage(3, 1, 50))]), (3, None, Some(50), 2));
        assert_eq!(take(&[(7, usage(8, 1, 50))]), (8, Some(0.5), Some(50), 2));
        // A child of it has ended that nobody waited for.
        assert_eq!(take(&[(7, usage(6, 1, 50))]), (8, Some(0.0), Some(50), 2));
        // It was started anew, under the same id.
        assert_eq!(take(&[(7, usage(2, 9, 50))]), (10, None, Some(50), 2));
        // It rests, and is woken.
        assert_eq!(take(&[]), (10, None, None, 0));
        assert_eq!(take(&[(8, usage(1, 20, 50))]), (11, None, Some(50), 2));
        // A second session has one of its own.
        assert_eq!(take(&[(8, usage(2, 20, 50)), (9, usage(30, 21, 70))]), (42, Some(0.1), Some(70), 4));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_hub_itself_is_read_and_what_is_defined_no_longer_is_forgotten() {
        use std::io::{Read as _, Write as _};
        use std::os::unix::process::CommandExt as _;
        use std::process::Stdio;

        let mut cat = std::process::Command::new("cat");
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = cat.spawn().unwrap();
        // A process that is there has no memory yet; one that answers has.
        child.stdin.as_mut().unwrap().write_all(b"here").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
        let (mut meter, processes) = (Meter::default(), Processes::read().unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        let owner: Owner = Some((TenantId::default(), ServerName::new("cat").unwrap()));
        let now = Instant::now();
        let first = meter.take(now, Running::from([(owner.clone(), vec![child.id()])]), &processes);
        assert_eq!(first.iter().map(|taken| &taken.owner).collect::<Vec<_>>(), [&owner, &None]);
        assert!(first.iter().all(|taken| taken.memory > 0 && taken.busiest.is_none()), "{first:?}");
        let second = meter.take(now + Duration::from_secs(10), Running::new(), &processes);
        assert_eq!((second.len(), second[0].busiest, meter.known.len()), (1, Some(0.0), 1));
        // Too soon for a share.
        let third = meter.take(now + Duration::from_secs(10), Running::new(), &processes);
        assert_eq!(third[0].busiest, None);
    }
}
