//! Who takes part, how each is started, and when it is ready.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::world::{Shape, World};
use super::{Setting, hub};
use crate::load::{Plan, probe};
use crate::process::Process;
use crate::{Error, Result};

/// How long a contestant may take until it answers at all, and then until it answers right.
const START: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(8);
/// How long one try may take, and the pause before the next.
const TRY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Direct,
    PassThrough,
    Puerto,
    FastMcp,
    McpProxy,
}

pub(super) struct Contestant {
    pub(super) kind: Kind,
    pub(super) url: Uri,
    /// The process that is measured: for direct calls, the server itself.
    pub(super) pid: u32,
    process: Option<Process>,
    log: PathBuf,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] =
        [Kind::Direct, Kind::PassThrough, Kind::Puerto, Kind::FastMcp, Kind::McpProxy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Direct => "direct (the server)",
            Kind::PassThrough => "pass-through",
            Kind::Puerto => "Puerto",
            Kind::FastMcp => "FastMCP proxy",
            Kind::McpProxy => "mcp-proxy",
        }
    }
}

impl Contestant {
    /// Starts `kind` in front of `world`; fails with the reason if it cannot take part.
    pub(super) async fn start(kind: Kind, world: &World, setting: &Setting) -> Result<Self> {
        let directory = tempfile::tempdir_in(&setting.directory)?.keep();
        let log = directory.join("log");
        let port = free_port()?;
        let mut url = format!("http://127.0.0.1:{port}/mcp");
        let process = match kind {
            Kind::Direct => {
                let pid = world.pid.ok_or("a server over stdio speaks no HTTP")?;
                let url = only_server(world)?.parse()?;
                return Ok(Self { kind, url, pid, process: None, log });
            }
            Kind::PassThrough => {
                let mut arguments = vec!["passthrough"];
                match world.shape {
                    Shape::Stdio => arguments.push("--stdio"),
                    _ => arguments.extend(["--to", only_server(world)?]),
                }
                arguments.extend(world.command.iter().map(String::as_str));
                let process;
                (process, url) = Process::start_listening(&arguments).await?;
                process
            }
            Kind::Puerto => {
                let puerto = setting.puerto.as_deref().ok_or("not given")?;
                url = format!("{url}/default{}", if world.shape == Shape::Many { "" } else { "/bench" });
                let configuration = hub::configuration(world, &directory, port);
                hub::start(puerto, &configuration, &directory, &log)?
            }
            Kind::FastMcp => {
                let fastmcp = setting.fastmcp.as_deref().ok_or("not installed")?;
                Process::start(&mut fastmcp_command(fastmcp, world, &directory, port)?, &log)?
            }
            Kind::McpProxy => {
                let mcp_proxy = setting.mcp_proxy.as_deref().ok_or("not installed")?;
                if world.shape != Shape::Stdio {
                    return Err("serves only stdio servers over HTTP".into());
                }
                let mut command = Command::new(mcp_proxy);
                command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--"]).args(&world.command);
                Process::start(&mut command, &log)?
            }
        };
        Ok(Self { kind, url: url.parse()?, pid: process.pid(), process: Some(process), log })
    }

    pub(super) fn of_process(kind: Kind, url: &str, process: Process, log: PathBuf) -> Result<Self> {
        Ok(Self { kind, url: url.parse()?, pid: process.pid(), process: Some(process), log })
    }

    /// Waits until `plan` is answered right, for as long as there is hope.
    pub(super) async fn ready(&mut self, plan: &Plan) -> Result<()> {
        let started = Instant::now();
        let mut first_answer = None;
        loop {
            let Err(error) = probe(plan, TRY).await else { return Ok(()) };
            if !is_refused(&error) {
                first_answer.get_or_insert_with(Instant::now);
            }
            let ended = self.process.as_mut().and_then(Process::ended);
            let settled = first_answer.is_some_and(|at| at.elapsed() > SETTLE);
            if let Some(status) = ended {
                return Err(format!("ended at the start ({status}): {}", self.last_words()).into());
            }
            if settled || started.elapsed() > START {
                return Err(format!("not ready: {error}").into());
            }
            sleep(PAUSE).await;
        }
    }

    pub(super) async fn stop(self) {
        if let Some(process) = self.process {
            process.stop().await;
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

/// Finds the program `name` under `directory`: in its `bin`, or in that of an environment in it.
pub(super) fn find(directory: Option<&Path>, name: &str) -> Result<Option<PathBuf>> {
    let Some(directory) = directory else { return Ok(None) };
    let directory = std::path::absolute(directory)?;
    let mut places = vec![directory.clone()];
    for entry in std::fs::read_dir(&directory).map_err(|error| format!("could not read --peers: {error}"))? {
        places.push(entry?.path());
    }
    Ok(places.into_iter().map(|place| place.join("bin").join(name)).find(|program| program.is_file()))
}

/// A port nobody listens on now; the one who takes it next is the contestant, most probably.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn only_server(world: &World) -> Result<&str> {
    match &world.servers[..] {
        [(_, url)] => Ok(url),
        _ => Err("gathers no servers".into()),
    }
}

fn fastmcp_command(fastmcp: &Path, world: &World, directory: &Path, port: u16) -> Result<Command> {
    let source = match &world.servers[..] {
        [(_, url)] => url.clone(),
        servers => {
            let mut entries: serde_json::Map<String, Value> =
                servers.iter().map(|(name, url)| (name.clone(), json!({ "url": url }))).collect();
            if let Some((program, arguments)) = world.command.split_first() {
                entries.insert("bench".to_owned(), json!({ "command": program, "args": arguments }));
            }
            let file = directory.join("mcp.json");
            std::fs::write(&file, json!({ "mcpServers": entries }).to_string())?;
            file.to_string_lossy().into_owned()
        }
    };
    let mut command = Command::new(fastmcp);
    command.args(["run", &source, "--transport", "http", "--port", &port.to_string(), "--no-banner"]);
    Ok(command)
}

fn is_refused(error: &Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}
