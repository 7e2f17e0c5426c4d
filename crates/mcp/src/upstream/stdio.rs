//! A child process that speaks newline-delimited JSON-RPC on its standard streams, shared by all callers
//! of a tenant where its definition does not say otherwise.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use puerto_core::def::LimitsDef;
use puerto_core::{Code, Error, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;

use crate::frame::Parts;
use crate::lines::{self, Lines};
use crate::upstream::pipe::{Fitting, Pipe};
use crate::upstream::{Event, LogRing};

/// Time a child gets to leave after its input has closed, and again after SIGTERM.
const LEAVE: Duration = Duration::from_secs(2);

/// How to run a server.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable; found on PATH, never through a shell.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: Option<String>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What it may take from the machine.
    pub limits: LimitsDef,
    /// Files that it may have open, until it wants more, where the limits do not say; as many as we where nothing does.
    pub open_files: Option<u64>,
}

/// The child itself, to be stopped by its owner.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pipe: Arc<Pipe>,
}

/// Starts a child and the tasks that talk to it.
pub(super) fn start(program: &Program, mut fitting: Fitting<'_>) -> Result<(Arc<Pipe>, Process)> {
    let mut command = Command::new(&program.command);
    command.args(&program.args).env_clear().envs(program.env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: stopping reaches what the child started, and Ctrl-C reaches only us.
    command.process_group(0).kill_on_drop(true);
    bound(&mut command, program);
    if let Some(cwd) = &program.cwd {
        command.current_dir(cwd);
    }
    let mut child = command.spawn().map_err(|cause| {
        let text = format!("could not run {:?}: {cause}; is it installed and on PATH?", program.command);
        Error::upstream(Code::UpstreamDown, text)
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::hub(Code::Internal, "a child came without its streams"));
    };
    let (pipe, messages) = fitting.pipe(child.id());
    let Fitting { message_max, events, log, .. } = fitting;
    tokio::spawn(write(stdin, messages, pipe.clone()));
    tokio::spawn(read(stdout, pipe.clone(), message_max, events, log.clone()));
    tokio::spawn(read_errors(stderr, log));
    Ok((pipe.clone(), Process { child, pipe }))
}

/// Sets what the child may take, and that it ends with us, even where we are ended by force.
#[allow(unsafe_code, reason = "only what runs in the child between fork and exec can do this")]
fn bound(command: &mut Command, program: &Program) {
    let (limits, open_files) = (program.limits, program.open_files);
    let ours = nix::unistd::getpid();
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_limits(limits, open_files)?;
            #[cfg(target_os = "linux")]
            {
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                // We may have ended before that was set.
                if nix::unistd::getppid() != ours {
                    return Err(std::io::ErrorKind::Interrupted.into());
                }
            }
            Ok(())
        });
    }
}

fn set_limits(limits: LimitsDef, open_files: Option<u64>) -> std::io::Result<()> {
    let set = |resource: Resource, value: Option<u64>| match value {
        // No more than we may have ourselves.
        Some(value) => {
            let (_, most) = getrlimit(resource)?;
            setrlimit(resource, value.min(most), value.min(most))
        }
        None => Ok(()),
    };
    set(Resource::RLIMIT_AS, limits.memory.map(|mib| u64::from(mib) << 20))?;
    set(Resource::RLIMIT_CPU, limits.cpu_seconds.map(u64::from))?;
    match (limits.open_files, open_files) {
        (None, Some(soft)) => {
            let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
            setrlimit(Resource::RLIMIT_NOFILE, soft.min(most), most)?;
        }
        (limit, _) => set(Resource::RLIMIT_NOFILE, limit.map(u64::from))?,
    }
    set(Resource::RLIMIT_NPROC, limits.processes.map(u64::from))?;
    Ok(())
}

impl Process {
    /// Ends the child and everything in its group: first by closing its input, then by asking, then by force.
    pub async fn stop(mut self) {
        self.pipe.hang_up.cancel();
        let group = self.child.id().and_then(|pid| i32::try_from(pid).ok()).map(nix::unistd::Pid::from_raw);
        if tokio::time::timeout(LEAVE, self.child.wait()).await.is_err() {
            signal(group, nix::sys::signal::SIGTERM);
            if tokio::time::timeout(LEAVE, self.child.wait()).await.is_err() {
                signal(group, nix::sys::signal::SIGKILL);
                let _ = self.child.wait().await;
            }
        }
        // What the child left behind in its group, npx's grandchildren for one, ends with it.
        signal(group, nix::sys::signal::SIGKILL);
        self.pipe.close("it was stopped");
    }

    /// Waits until the child has ended, for whatever reason.
    pub async fn ended(&mut self) -> String {
        self.pipe.closed.cancelled().await;
        match tokio::time::timeout(LEAVE, self.child.wait()).await {
            Ok(Ok(status)) => format!("the process ended ({status})"),
            Ok(Err(cause)) => format!("the process ended ({cause})"),
            Err(_) => "the process closed its output".into(),
        }
    }
}

fn signal(group: Option<nix::unistd::Pid>, signal: nix::sys::signal::Signal) {
    if let Some(group) = group {
        // The group may be gone already, which is what we want.
        let _ = nix::sys::signal::killpg(group, signal);
    }
}

/// Carries messages to the far end, a line each, until the owner hangs up; those that wait still go out.
pub(super) async fn write(
    output: impl AsyncWrite + Unpin,
    mut messages: mpsc::Receiver<Parts>,
    pipe: Arc<Pipe>,
) {
    tokio::pin!(output);
    tokio::select! {
        biased;
        () = lines::write(&mut output, &mut messages) => {}
        () = pipe.hang_up.cancelled() => {}
    }
}

/// Reads what comes from the far end, a line each.
pub(super) async fn read(
    input: impl AsyncRead + Unpin,
    pipe: Arc<Pipe>,
    line_max: usize,
    events: mpsc::Sender<Event>,
    log: Arc<LogRing>,
) {
    let mut lines = Lines::new(input, line_max);
    let why = loop {
        match lines.next().await {
            Ok(Some(line)) => pipe.read(&line, &events, &log),
            Ok(None) => break "it closed the connection".to_owned(),
            Err(too_long) => {
                let why = format!("{too_long}; the connection is ended");
                log.push(format!("puerto: {why}"));
                break why;
            }
        }
    };
    pipe.close(why);
    let _ = events.send(Event::Closed).await;
}

async fn read_errors(stderr: ChildStderr, log: Arc<LogRing>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LogRing::LINE_MAX as u64).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => log.push(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}
