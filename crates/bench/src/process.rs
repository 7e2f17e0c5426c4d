//! What a process uses, read from the kernel; and processes that end with us.
//!
//! CPU time comes from the process's own CPU clock: nanoseconds, threads that have ended included.
//! (`utime`/`stime` in `/proc/PID/stat` tick every 10 ms, `/proc/PID/schedstat` is one thread.)

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::Result;

/// How long a process may take to say that it listens.
const START: Duration = Duration::from_secs(10);

/// The CPU time that `pids` have used so far, together.
pub(crate) fn cpu(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu_of(*pid)).sum()
}

#[cfg(target_os = "linux")]
fn cpu_of(pid: u32) -> Result<Duration> {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))
        .and_then(nix::time::ClockId::now)
        .map_err(|error| format!("could not read the CPU clock of process {pid}: {error}"))?;
    Ok(Duration::from(clock))
}

#[cfg(not(target_os = "linux"))]
fn cpu_of(_pid: u32) -> Result<Duration> {
    Err("CPU time per process is read on Linux only".into())
}

/// Resident memory now, in bytes.
pub(crate) fn rss(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| status_bytes(*pid, "VmRSS:")).sum()
}

/// The largest resident memory since the start or the last [`reset_peak`], in bytes.
pub(crate) fn rss_peak(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| status_bytes(*pid, "VmHWM:")).sum()
}

/// Lets the peak start again at what is resident now.
pub(crate) fn reset_peak(pids: &[u32]) -> Result<()> {
    for pid in pids {
        fs::write(format!("/proc/{pid}/clear_refs"), "5")
            .map_err(|error| format!("could not reset the memory peak of process {pid}: {error}"))?;
    }
    Ok(())
}

fn status_bytes(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|error| format!("could not read the memory of process {pid}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()).ok_or("no such line in status")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

/// `pids` and all their descendants.
pub(crate) fn with_children(pids: &[u32]) -> Vec<u32> {
    let mut all = pids.to_vec();
    let mut next = 0;
    while next < all.len() {
        let tasks = fs::read_dir(format!("/proc/{}/task", all[next])).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        next += 1;
    }
    all
}

/// A process that we started, with a process group of its own. Dropping it kills the whole group, and
/// descendants that have left it, so that a gateway's stdio children go with it, whatever the gateway does.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    /// Kept open: a process that prints to a closed pipe dies of it.
    _stdout: Option<ChildStdout>,
}

impl Process {
    /// Starts `command`, its output going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out = fs::File::create(log)?;
        let err = out.try_clone()?;
        Self::spawn(command.stdout(out).stderr(err))
    }

    /// Starts one of our own parts and waits for the URL it prints.
    pub(crate) async fn start_listening(arguments: &[&str]) -> Result<(Self, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        let (process, line) = Self::start_printing(command.args(arguments)).await?;
        let url =
            line.strip_prefix("listening ").ok_or_else(|| format!("{arguments:?} did not start: {line}"))?;
        Ok((process, url.to_owned()))
    }

    /// Starts `command` and waits for the first line that it prints.
    pub(crate) async fn start_printing(command: &mut Command) -> Result<(Self, String)> {
        let mut process = Self::spawn(command.stdout(Stdio::piped()))?;
        let mut lines = BufReader::new(process.child.stdout.take().ok_or("no output pipe")?).lines();
        let line =
            timeout(START, lines.next_line()).await.map_err(|_| "it printed nothing")??.unwrap_or_default();
        process._stdout = Some(lines.into_inner().into_inner());
        Ok((process, line))
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let child =
            command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn().map_err(|error| {
                format!("could not start {}: {error}", command.as_std().get_program().to_string_lossy())
            })?;
        let group = Pid::from_raw(child.id().ok_or("the process has no id")?.cast_signed());
        Ok(Self { child, group, _stdout: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.group.as_raw().cast_unsigned()
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The id is gone once we know that it has ended: it may be somebody else's by then.
        let descendants = self.child.id().map(|pid| with_children(&[pid])).unwrap_or_default();
        let _ = killpg(self.group, Signal::SIGKILL);
        for pid in descendants {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_process_can_be_measured() {
        let me = [std::process::id()];
        let before = cpu(&me).unwrap();
        assert!(crate::text::text(1 << 20).len() > 1);
        assert!(cpu(&me).unwrap() > before);
        assert!(rss(&me).unwrap() > 100_000);
        assert!(rss_peak(&me).unwrap() > 100_000);
        assert!(with_children(&me).contains(&me[0]));
    }

    #[tokio::test]
    async fn a_child_that_left_the_group_ends_too() {
        let mut command = Command::new("sh");
        command.args(["-c", "setsid tail -f /dev/null & echo $!; wait"]);
        let (process, line) = Process::start_printing(&mut command).await.unwrap();
        let child = Pid::from_raw(line.parse().unwrap());
        let left = async {
            while nix::unistd::getpgid(Some(child)).unwrap() != child {
                tokio::task::yield_now().await;
            }
        };
        timeout(START, left).await.unwrap();
        drop(process);
        let runs = || {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let ended = async {
            while runs() {
                tokio::task::yield_now().await;
            }
        };
        timeout(START, ended).await.unwrap();
    }
}
