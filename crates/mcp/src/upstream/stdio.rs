//! A child process that speaks newline-delimited JSON-RPC on its standard streams, shared by all callers
//! of a tenant: ids are remapped, a writer task owns its input and a reader task its output, so neither a
//! slow caller nor a vanished one can hold up another.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use puerto_core::{Code, Error, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::frame::{Frame, Kind, Parts};
use crate::sse::one_line;
use crate::upstream::link::{Asked, Link, Request, closed};
use crate::upstream::mailbox::{Mail, Mailbox, Slot, mailbox};
use crate::upstream::{Event, LogRing};
use crate::wire;

/// Lines that may wait for a child to read them. A child that reads nothing holds up its own callers
/// (each until its deadline) and nobody else.
const OUT_QUEUE: usize = 256;
/// Notifications that may wait for one caller to read them; more are dropped, never the response.
const NOTICE_QUEUE: usize = 256;
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
}

/// The pipe to a running child.
#[derive(Debug)]
pub struct Pipe {
    to: mpsc::Sender<Parts>,
    pending: Mutex<HashMap<u64, Pending>>,
    next: AtomicU64,
    /// Ends when the child has closed its output.
    pub closed: CancellationToken,
    /// The child's process id.
    pub pid: Option<u32>,
}

#[derive(Debug)]
struct Pending {
    slot: Slot,
    /// Whether notifications that belong to it are wanted.
    notices: bool,
    asker: Option<u64>,
}

impl Pending {
    fn notice(&self, frame: Frame) -> bool {
        (self.notices || self.asker.is_some()) && self.slot.before(frame, NOTICE_QUEUE)
    }
}

/// The child itself, to be stopped by its owner.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pipe: Arc<Pipe>,
    stop_writing: CancellationToken,
}

/// Starts a child and the two tasks that talk to it.
pub fn start(
    program: &Program,
    line_max: usize,
    events: mpsc::Sender<Event>,
    log: Arc<LogRing>,
) -> Result<(Arc<Pipe>, Process)> {
    let mut command = Command::new(&program.command);
    command.args(&program.args).env_clear().envs(program.env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: stopping reaches what the child started, and Ctrl-C reaches only us.
    command.process_group(0).kill_on_drop(true);
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
    let (to, lines) = mpsc::channel(OUT_QUEUE);
    let closed = CancellationToken::new();
    let pipe =
        Arc::new(Pipe { to, pending: Mutex::default(), next: AtomicU64::new(1), closed, pid: child.id() });
    let stop_writing = CancellationToken::new();
    tokio::spawn(write_lines(stdin, lines, stop_writing.clone()));
    tokio::spawn(read_lines(stdout, pipe.clone(), line_max, events, log.clone()));
    tokio::spawn(read_errors(stderr, log));
    Ok((pipe.clone(), Process { child, pipe, stop_writing }))
}

impl Process {
    /// Ends the child and everything in its group: first by closing its input, then by asking, then by force.
    pub async fn stop(mut self) {
        self.stop_writing.cancel();
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
        self.pipe.fail_all();
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

impl Pipe {
    /// An id that no other request to this child has.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request.
    pub async fn send(self: &Arc<Self>, request: Request) -> Result<Waiting> {
        let (slot, mailbox) = mailbox();
        let Request { id, notices, asker, .. } = request;
        self.locked().insert(id, Pending { slot, notices, asker });
        let quiet = matches!(&*request.method, "initialize");
        let waiting = Waiting { pipe: self.clone(), id, mailbox, over: false, quiet };
        self.tell(request.text).await?;
        Ok(waiting)
    }

    /// Sends one message.
    pub async fn tell(&self, text: Parts) -> Result<()> {
        if self.closed.is_cancelled() {
            return Err(closed("before the request was sent"));
        }
        self.to.send(one_line(text)).await.map_err(|_| closed("before the request was sent"))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail_all(&self) {
        self.closed.cancel();
        self.locked().clear();
    }

    /// Gives a message from the child to whom it concerns.
    fn take(self: &Arc<Self>, frame: Frame, events: &mpsc::Sender<Event>) {
        match frame.kind() {
            Kind::Response => {
                let id = std::str::from_utf8(&frame.raw(frame.id)).ok().and_then(|id| id.parse::<u64>().ok());
                let pending = id.and_then(|id| self.locked().remove(&id));
                if let Some(pending) = pending {
                    pending.slot.answer(frame);
                }
            }
            Kind::Request => self.question(&frame),
            Kind::Notification => self.notice(&frame, events),
            Kind::Nothing => {}
        }
    }

    /// A question goes to the client whose call is under way. Where calls of several clients are, nobody
    /// can tell whose question it is, and showing it to the wrong one would leak.
    fn question(self: &Arc<Self>, frame: &Frame) {
        let asked = Asked { link: Link::Stdio(self.clone()), session: None, id: frame.share(frame.id) };
        let method = frame.method_name();
        if method == "ping" {
            let _ = self.to.try_send(wire::result(&asked.id, ""));
            return;
        }
        let roots = method == "roots/list";
        let passed_on = {
            let pending = self.locked();
            let mut askers = pending.values().filter(|p| p.asker.is_some());
            let first = askers.next();
            let alone = first.is_some_and(|f| askers.all(|p| p.asker == f.asker));
            first.filter(|_| alone).is_some_and(|p| p.notice(frame.clone()))
        };
        if passed_on {
            return;
        }
        let refusal = if roots {
            wire::result(&asked.id, r#""roots":[]"#)
        } else {
            wire::Refusal::new(wire::METHOD_NOT_FOUND, "no client can be asked now").render(&asked.id, false)
        };
        let _ = self.to.try_send(refusal);
    }

    fn notice(&self, frame: &Frame, events: &mpsc::Sender<Event>) {
        if let Some(event) = Event::from_notice(frame) {
            let _ = events.try_send(event);
            return;
        }
        let pending = self.locked();
        let concerned = match &*frame.method_name() {
            "notifications/progress" => {
                let token = std::str::from_utf8(&frame.raw(frame.params.progress_token))
                    .ok()
                    .and_then(|t| t.parse().ok());
                token.and_then(|token: u64| pending.get(&token))
            }
            // A log line names no request: it belongs to the one under way, where there is only one.
            "notifications/message" if pending.len() == 1 => pending.values().next(),
            _ => None,
        };
        if let Some(concerned) = concerned {
            concerned.notice(frame.clone());
        }
    }
}

/// A request to a child under way.
#[derive(Debug)]
pub struct Waiting {
    pipe: Arc<Pipe>,
    id: u64,
    mailbox: Mailbox,
    over: bool,
    quiet: bool,
}

impl Waiting {
    /// Where it runs.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// The next message for this request.
    pub async fn next(&mut self) -> Result<Frame> {
        match self.mailbox.next().await {
            Some(Mail::Before(frame)) => Ok(frame),
            Some(Mail::Answer(frame)) => {
                self.over = true;
                Ok(frame)
            }
            None => {
                self.over = true;
                Err(closed("while the call was under way"))
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over || self.pipe.locked().remove(&self.id).is_none() || self.quiet {
            return;
        }
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{}}}}}"#,
            self.id
        );
        // A child whose queue is full reads nothing, so it would not read this either.
        let _ = self.pipe.to.try_send(text.into());
    }
}

async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Parts>, stop: CancellationToken) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = stop.cancelled() => None,
        };
        let Some(line) = line else { return };
        add_line(&mut buffer, &line);
        // What else waits goes out in the same write.
        while buffer.len() < 64 * 1024 {
            match lines.try_recv() {
                Ok(line) => add_line(&mut buffer, &line),
                Err(_) => break,
            }
        }
        if stdin.write_all(&buffer).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
        buffer.clear();
    }
}

fn add_line(buffer: &mut BytesMut, line: &Parts) {
    line.iter().for_each(|part| buffer.extend_from_slice(part));
    buffer.extend_from_slice(b"\n");
}

async fn read_lines(
    mut stdout: ChildStdout,
    pipe: Arc<Pipe>,
    line_max: usize,
    events: mpsc::Sender<Event>,
    log: Arc<LogRing>,
) {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    let mut searched = 0;
    'reading: loop {
        while let Some(step) = memchr::memchr(b'\n', &buffer[searched..]) {
            let line = buffer.split_to(searched + step + 1).freeze();
            searched = 0;
            read_line(&line, &pipe, &events, &log);
        }
        searched = buffer.len();
        if searched > line_max {
            log.push(format!(
                "puerto: a line on stdout is longer than {line_max} bytes; the process is ended"
            ));
            break;
        }
        buffer.reserve(16 * 1024);
        match stdout.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break 'reading,
            Ok(_) => {}
        }
    }
    pipe.fail_all();
    let _ = events.send(Event::Closed).await;
}

fn read_line(line: &Bytes, pipe: &Arc<Pipe>, events: &mpsc::Sender<Event>, log: &LogRing) {
    let trimmed = line.trim_ascii();
    if trimmed.is_empty() {
        return;
    }
    let line = line.slice_ref(trimmed);
    match Frame::parse(line.clone()) {
        Ok(frame) => pipe.take(frame, events),
        // Many servers print a greeting to stdout; it is kept where people look, and does no harm.
        Err(fault) => {
            log.push(format!("puerto: not MCP on stdout ({fault}): {}", String::from_utf8_lossy(&line)));
        }
    }
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
