//! Starts the servers and the contestants, and waits until each of them answers. How others start is in
//! [`peers`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hyper::Uri;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::rows::{Kind, LIST_TOOLS, SERVER_TOOLS, SERVERS, Setup, WIDE_SERVERS, WIDE_TOOLS};
use super::{READY, peers};
use crate::Result;
use crate::load::{self, Era, Plan, Scenario, Way};
use crate::process::Process;

/// How long one attempt at a first call may take, and the pause before the next one.
pub(super) const ATTEMPT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Something that answers calls. Ends when dropped.
pub(super) struct Contestant {
    pub(super) url: Uri,
    pub(super) process: Process,
    /// What it puts before the names of tools.
    pub(super) prefix: &'static str,
    /// Its address is a stream of HTTP+SSE, and it has no other.
    pub(super) sse_only: bool,
    /// Where it keeps its files.
    pub(super) _dir: TempDir,
}

impl Contestant {
    /// Its address for a way in, as Puerto has them.
    pub(super) fn door(&self, way: Way) -> Result<Uri> {
        let (host, path) = (self.url.authority().ok_or("the URL names no host")?, self.url.path());
        if self.sse_only {
            return if way == Way::Sse {
                Ok(self.url.clone())
            } else {
                Err("it serves HTTP+SSE only".into())
            };
        }
        Ok(match way {
            Way::Streamable => self.url.clone(),
            Way::Sse => format!("http://{host}{path}/sse").parse()?,
            Way::Websocket => format!("http://{host}/ws{path}").parse()?,
        })
    }
}

/// What runs all the time.
pub(super) struct Stage {
    puerto: PathBuf,
    bench: String,
    /// The servers: of calls, of the long list, of the crowd, and the one that hangs.
    calls: (Process, String),
    list: (Process, String),
    _crowd: (Process, String),
    wide: (Process, String),
    _hang: (Process, String),
    puerto_crowd: Result<Contestant>,
    fastmcp: Result<Contestant>,
    fastmcp_list: Result<Contestant>,
    contextforge: Result<Contestant>,
    mcp_proxy: Result<Contestant>,
    supergateway: Result<Contestant>,
    mcp_hub: Result<Contestant>,
}

impl Contestant {
    /// Waits before the next attempt to reach it; fails when it has ended or `deadline` is over.
    pub(super) async fn again(&mut self, deadline: Instant, error: &str) -> Result<()> {
        if let Some(status) = self.process.ended() {
            return Err(format!("ended while starting: {status}").into());
        }
        if Instant::now() > deadline {
            return Err(format!("not ready in time: {error}").into());
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

impl Stage {
    pub(super) async fn start(puerto: PathBuf, installed: Option<&Path>) -> Result<Self> {
        let bench = std::env::current_exe()?.to_string_lossy().into_owned();
        let (list_tools, server_tools) = (LIST_TOOLS.to_string(), SERVER_TOOLS.to_string());
        let calls = Process::start_listening(&["upstream"]).await?;
        let list = Process::start_listening(&["upstream", "--tools", &list_tools]).await?;
        let crowd = Process::start_listening(&["upstream", "--tools", &server_tools]).await?;
        let wide = Process::start_listening(&["upstream", "--tools", &WIDE_TOOLS.to_string()]).await?;
        let hang = Process::start_listening(&["upstream", "--hang-list"]).await?;
        eprintln!("starting the other proxies");
        let (puerto_crowd, fastmcp, fastmcp_list, mcp_proxy, supergateway, mcp_hub) = tokio::join!(
            puerto_crowd(&puerto, &crowd.1, &hang.1),
            peers::fastmcp(installed, &calls.1, Setup::Http),
            peers::fastmcp(installed, &list.1, Setup::List),
            peers::mcp_proxy(installed, &bench),
            peers::supergateway(installed, &bench),
            peers::mcp_hub(installed, &calls.1),
        );
        // By itself: what it does until it listens keeps two cores busy, and the others would be late.
        let contextforge = peers::contextforge(installed, &calls.1).await;
        Ok(Self {
            puerto,
            bench,
            calls,
            list,
            _crowd: crowd,
            wide,
            _hang: hang,
            puerto_crowd,
            fastmcp,
            fastmcp_list,
            contextforge,
            mcp_proxy,
            supergateway,
            mcp_hub,
        })
    }

    /// The contestants of `setup` that run all the time.
    pub(super) fn lasting(&self, setup: Setup) -> Vec<(Kind, &Result<Contestant>)> {
        match setup {
            Setup::Http => vec![(Kind::FastMcp, &self.fastmcp), (Kind::ContextForge, &self.contextforge)],
            Setup::Large => vec![(Kind::FastMcp, &self.fastmcp)],
            Setup::List => vec![(Kind::FastMcp, &self.fastmcp_list)],
            Setup::Crowd => vec![(Kind::Puerto, &self.puerto_crowd)],
            Setup::Stdio => {
                vec![(Kind::McpProxy, &self.mcp_proxy), (Kind::Supergateway, &self.supergateway)]
            }
            Setup::Ways => vec![(Kind::McpHub, &self.mcp_hub)],
            Setup::Wide => Vec::new(),
        }
    }

    /// A new Puerto, or a new pass-through.
    pub(super) async fn fresh(&self, setup: Setup, kind: Kind) -> Result<Contestant> {
        let contestant = match kind {
            Kind::Puerto => self.puerto(setup).await?,
            _ => self.passthrough(setup).await?,
        };
        ready(contestant, Era::Modern, setup.tools()).await
    }

    async fn passthrough(&self, setup: Setup) -> Result<Contestant> {
        let stdio = ["passthrough", "--stdio", &self.bench, "upstream", "--stdio"];
        let (process, url) = match setup {
            Setup::Stdio => Process::start_listening(&stdio).await?,
            Setup::List => Process::start_listening(&["passthrough", "--to", &self.list.1]).await?,
            _ => Process::start_listening(&["passthrough", "--to", &self.calls.1]).await?,
        };
        Ok(Contestant { url: url.parse()?, process, prefix: "", sse_only: false, _dir: TempDir::new()? })
    }

    /// Puerto with a configuration of its own; its address is that of the hub.
    pub(super) async fn puerto_with(&self, config: Value) -> Result<Contestant> {
        puerto_with(&self.puerto, Some(config), "/").await
    }

    /// The server of calls as a program.
    pub(super) fn program(&self) -> Value {
        json!({"command": self.bench, "args": ["upstream", "--stdio"]})
    }

    /// A server over HTTP, as the configuration has it.
    pub(super) fn served(&self) -> Value {
        json!({"transport": "http", "url": self.calls.1})
    }

    /// Puerto in front of programs, each as often as it has a name here.
    pub(super) async fn puerto_with_programs(&self, names: &[&str]) -> Result<Contestant> {
        let servers = names.iter().map(|name| ((*name).to_owned(), self.program()));
        let servers = servers.collect::<serde_json::Map<_, _>>();
        puerto_up(&self.puerto, Some(servers.into()), "/mcp/default").await
    }

    async fn puerto(&self, setup: Setup) -> Result<Contestant> {
        let servers = match setup {
            Setup::List => json!({"bench": {"transport": "http", "url": self.list.1}}),
            Setup::Stdio => json!({"bench": self.program()}),
            Setup::Wide => {
                let server = |number| (format!("server-{number:02}"), json!({"url": self.wide.1}));
                let servers = (0..WIDE_SERVERS).map(server).collect::<serde_json::Map<_, _>>();
                return puerto_up(&self.puerto, Some(servers.into()), "/mcp/default").await;
            }
            _ => json!({"bench": self.served()}),
        };
        puerto_up(&self.puerto, Some(servers), "/mcp/default/bench").await
    }
}

/// Puerto with many servers, the last of which is at `hang`. It starts once, as a server that does
/// not come up keeps it busy for a while.
async fn puerto_crowd(puerto: &Path, crowd: &str, hang: &str) -> Result<Contestant> {
    let server = |number: usize| {
        let url = if number + 1 == SERVERS { hang } else { crowd };
        (format!("server-{number:02}"), json!({"transport": "http", "url": url}))
    };
    let servers = (0..SERVERS).map(server).collect::<serde_json::Map<_, _>>();
    let contestant = puerto_up(puerto, Some(servers.into()), "/mcp/default").await?;
    ready(contestant, Era::Modern, Setup::Crowd.tools()).await
}

/// Starts Puerto in a directory of its own, with `servers` or with the configuration it brings along.
pub(super) async fn puerto_up(puerto: &Path, servers: Option<Value>, path: &str) -> Result<Contestant> {
    let config = servers.map(|servers| json!({"tenants": {"default": {"servers": servers}}}));
    puerto_with(puerto, config, path).await
}

/// The same, with a whole configuration but for what each must have.
async fn puerto_with(puerto: &Path, config: Option<Value>, path: &str) -> Result<Contestant> {
    let dir = TempDir::new()?;
    let mut command = Command::new(puerto);
    command.args(["up", "--port", "0"]).current_dir(dir.path()).env_remove("PUERTO_CONFIG");
    if let Some(mut config) = config {
        config["version"] = "1.0.0".into();
        if config["tenants"].is_null() {
            config["tenants"] = json!({"default": {}});
        }
        let file = dir.path().join("bench.json");
        fs::write(&file, config.to_string())?;
        command.arg("--config").arg(file);
    }
    let (process, line) = Process::start_printing(command.stderr(Stdio::null())).await?;
    let address = line.split_whitespace().find(|word| word.starts_with("http://"));
    let address = address.ok_or_else(|| format!("puerto did not start: {line:?}"))?;
    Ok(Contestant {
        url: format!("{address}{path}").parse()?,
        process,
        prefix: "",
        sse_only: false,
        _dir: dir,
    })
}

/// Waits until `contestant` answers a call, or a list of `tools`.
pub(super) async fn ready(mut contestant: Contestant, era: Era, tools: Option<usize>) -> Result<Contestant> {
    let scenario = if tools.is_some() { Scenario::List } else { Scenario::Call };
    let plan = Plan { era, expect: tools, ..first_call(&contestant, scenario, scenario.tool()) };
    let deadline = Instant::now() + READY;
    loop {
        let Err(error) = load::probe(&plan, ATTEMPT).await else { return Ok(contestant) };
        contestant.again(deadline, &error.to_string()).await?;
    }
}

/// One call, to see whether `contestant` answers.
pub(super) fn first_call(contestant: &Contestant, scenario: Scenario, tool: &str) -> Plan {
    Plan {
        url: contestant.url.clone(),
        scenario,
        era: Era::Modern,
        way: Way::Streamable,
        connections: 1,
        window: Duration::ZERO,
        warm_up: Duration::ZERO,
        tool: format!("{}{tool}", contestant.prefix),
        bytes: 0,
        expect: None,
    }
}
