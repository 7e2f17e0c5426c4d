//! What the process of a server takes from the machine, with everything that it has started: they are one
//! process group. Read from /proc; elsewhere nothing is known.

use std::time::Duration;

/// What a group of processes takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory in use, in bytes. Pages that several share count for each.
    pub(crate) memory: u64,
    /// Processor time so far.
    pub(crate) cpu: Duration,
}

/// What the group of this leader takes; nothing where there is none.
pub(crate) fn of_group(leader: u32) -> Option<Usage> {
    let all = std::fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        of_group_member(&std::fs::read_to_string(path.join("stat")).ok()?, leader)
    });
    all.reduce(|sum, one| Usage { memory: sum.memory + one.memory, cpu: sum.cpu + one.cpu })
}

/// One line of `stat` (proc(5)), where the process is of the group.
fn of_group_member(stat: &str, leader: u32) -> Option<Usage> {
    // The name stands in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    if field(5)? != u64::from(leader) {
        return None;
    }
    // Ticks are a hundredth of a second and pages are 4 KiB wherever this runs.
    let ticks = field(14)? + field(15)?;
    Some(Usage { memory: field(24)? * 4096, cpu: Duration::from_millis(ticks * 10) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let line = "7 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 1000000 300 18446744073709551615";
        let usage = Usage { memory: 300 * 4096, cpu: Duration::from_secs(3) };
        assert_eq!(of_group_member(line, 42), Some(usage));
        assert_eq!(of_group_member(line, 7), None);
        assert_eq!(of_group_member("", 7), None);
    }
}
