//! What processes take from the machine: those of a server, with everything that they have started, and the hub's own.
//! Read from /proc (proc(5)); elsewhere nothing is known.

mod meter;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

pub(crate) use meter::{Meter, Taken};

/// Processes of the machine that are read at once. One takes some 30 microseconds, so these a third of a second in ten;
/// where there are more, nothing is known rather than half of it.
const PROCESSES_MAX: usize = 10_000;

/// What processes take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory in use, in bytes. Pages that several share count for each.
    pub(crate) memory: u64,
    /// Processor time so far, of children that have ended too.
    pub(crate) cpu: Duration,
    /// How many processes they are.
    pub(crate) processes: u32,
    /// When the first of them began, in ticks since the machine did: an id may come again, with another beginning.
    began: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    group: u32,
    /// Processor time, in ticks: its own, and that of children that have ended.
    own_ticks: u64,
    ended_ticks: u64,
    began: u64,
    pages: u64,
}

impl Process {
    /// Reads a line of `stat`.
    fn parse(stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let id = |number| u32::try_from(field(number)?).ok();
        Some(Self {
            parent: id(4)?,
            group: id(5)?,
            own_ticks: field(14)? + field(15)?,
            ended_ticks: field(16)? + field(17)?,
            began: field(22)?,
            pages: field(24)?,
        })
    }
}

/// All processes of the machine, at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    by_id: BTreeMap<u32, Process>,
    /// Ids by their group, and by their parent: those that have left a group were started by one of it.
    by_group: BTreeSet<(u32, u32)>,
    by_parent: BTreeSet<(u32, u32)>,
    page_bytes: u64,
    ticks_per_second: u64,
}

impl Processes {
    /// Reads them, which takes a while; nothing where the system does not tell.
    pub(crate) fn read() -> Option<Self> {
        Self::read_in(Path::new("/proc"))
    }

    /// As above, on a thread where that holds up nobody.
    pub(crate) async fn read_aside() -> Option<Self> {
        tokio::task::spawn_blocking(Self::read).await.ok().flatten()
    }

    fn read_in(place: &Path) -> Option<Self> {
        let known = |name| u64::try_from(sysconf(name).ok()??).ok().filter(|value| *value > 0);
        let (page_bytes, ticks_per_second) = (known(SysconfVar::PAGE_SIZE)?, known(SysconfVar::CLK_TCK)?);
        let mut by_id = BTreeMap::new();
        for entry in std::fs::read_dir(place).ok()?.filter_map(Result::ok) {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has just ended is none any more.
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok();
            let Some(process) = stat.and_then(|stat| Process::parse(&stat)) else { continue };
            if by_id.len() >= PROCESSES_MAX {
                tracing::debug!(
                    "there are more than {PROCESSES_MAX} processes; what servers take is not read"
                );
                return None;
            }
            by_id.insert(id, process);
        }
        if by_id.is_empty() {
            return None;
        }
        Some(Self {
            by_group: by_id.iter().map(|(id, process)| (process.group, *id)).collect(),
            by_parent: by_id.iter().map(|(id, process)| (process.parent, *id)).collect(),
            by_id,
            page_bytes,
            ticks_per_second,
        })
    }

    /// What the group of this leader takes, with all that was started from it, as `npx` and `uvx` start the server;
    /// nothing where there is no such process, or it is somebody else's by now and leads no group.
    pub(crate) fn of(&self, leader: u32) -> Option<Usage> {
        let first = self.by_id.get(&leader).filter(|first| first.group == leader)?;
        let mut found = BTreeSet::from([leader]);
        let mut unseen: Vec<u32> = Self::under(&self.by_group, leader).collect();
        unseen.push(leader);
        while let Some(id) = unseen.pop() {
            found.insert(id);
            unseen.extend(Self::under(&self.by_parent, id).filter(|child| !found.contains(child)));
        }
        let all = found.iter().filter_map(|id| self.by_id.get(id));
        let (pages, ticks) = all
            .fold((0, 0), |(pages, ticks), one| (pages + one.pages, ticks + one.own_ticks + one.ended_ticks));
        Some(self.usage(pages, ticks, found.len(), first.began))
    }

    /// What this process takes, and none that it has started.
    pub(crate) fn own(&self) -> Option<Usage> {
        let me = self.by_id.get(&std::process::id())?;
        Some(self.usage(me.pages, me.own_ticks, 1, me.began))
    }

    fn under(pairs: &BTreeSet<(u32, u32)>, above: u32) -> impl Iterator<Item = u32> + '_ {
        pairs.range((above, 0)..=(above, u32::MAX)).map(|(_, id)| *id)
    }

    fn usage(&self, pages: u64, ticks: u64, processes: usize, began: u64) -> Usage {
        Usage {
            memory: pages * self.page_bytes,
            cpu: Duration::from_secs_f64(ticks as f64 / self.ticks_per_second as f64),
            processes: u32::try_from(processes).unwrap_or(u32::MAX),
            began,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of `stat` of a process that has taken so many ticks and pages.
    fn line(id: u32, parent: u32, group: u32, ticks: u64, pages: u64) -> String {
        format!(
            "{id} (a) b) S {parent} {group} {group} 0 -1 4194560 100 0 0 0 {ticks} 50 7 3 20 0 1 0 900 1000000 {pages} 1844"
        )
    }

    fn place(lines: &[(u32, String)]) -> tempfile::TempDir {
        let place = tempfile::TempDir::new().unwrap();
        for (id, text) in lines {
            std::fs::create_dir(place.path().join(id.to_string())).unwrap();
            std::fs::write(place.path().join(id.to_string()).join("stat"), text).unwrap();
        }
        std::fs::create_dir(place.path().join("sys")).unwrap();
        place
    }

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let expected =
            Process { parent: 1, group: 42, own_ticks: 300, ended_ticks: 10, began: 900, pages: 300 };
        assert_eq!(Process::parse(&line(7, 1, 42, 250, 300)), Some(expected));
        assert_eq!(Process::parse(""), None);
        assert_eq!(Process::parse("7 (a) S 1 42"), None);
    }

    #[test]
    fn a_group_counts_with_all_that_was_started_from_it() {
        let place = place(&[
            (10, line(10, 1, 10, 0, 100)),
            // npx starts the server in its group, a browser leaves it, and its pages stay with the browser.
            (11, line(11, 10, 10, 50, 200)),
            (12, line(12, 11, 12, 50, 400)),
            (13, line(13, 12, 12, 50, 800)),
            // Whose parent has ended.
            (14, line(14, 1, 10, 50, 1600)),
            (20, line(20, 1, 20, 1000, 9999)),
            (21, "gone".into()),
        ]);
        let all = Processes::read_in(place.path()).unwrap();
        let used = all.of(10).unwrap();
        assert_eq!((used.memory, used.processes, used.began), (3100 * all.page_bytes, 5, 900));
        assert_eq!(used.cpu.as_millis() as u64, (4 * 50 + 5 * 60) * 1000 / all.ticks_per_second);
        assert_eq!(all.of(20).unwrap().processes, 1);
        for id in [11, 21, 99] {
            assert_eq!(all.of(id), None, "{id}");
        }
    }

    #[test]
    fn where_the_system_does_not_tell_nothing_is_known() {
        let place = tempfile::TempDir::new().unwrap();
        assert!(Processes::read_in(place.path()).is_none());
        assert!(Processes::read_in(&place.path().join("none")).is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_among_them() {
        let own = Processes::read().unwrap().own().unwrap();
        assert!(own.memory > 100_000 && own.processes == 1, "{own:?}");
    }
}
