//! Starts the gateways of others: what `peers/install bench` installs, on loopback, each with files and
//! settings of its own and nothing to report home.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::rows::Setup;
use super::stage::{ATTEMPT, Contestant, ready};
use crate::Result;
use crate::load::Era;
use crate::process::Process;

/// How long a gateway may take until it can be set up; ContextForge makes some 80 tables first.
const SET_UP: Duration = Duration::from_secs(180);
/// More than any answer of theirs to a setup has.
const ANSWER_MAX: usize = 1 << 20;

const FASTMCP: &str = "import sys
from fastmcp.server import create_proxy
proxy = create_proxy(sys.argv[1])
proxy.run(transport='http', host='127.0.0.1', port=int(sys.argv[2]), show_banner=False, log_level='ERROR')
";

/// For programs on Node that listen on every address and have no option for it.
const ON_LOOPBACK: &str = "const { Server } = require('node:net');
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  const named = typeof port !== 'number' || typeof rest[0] === 'string';
  return named ? listen.call(this, port, ...rest) : listen.call(this, port, '127.0.0.1', ...rest);
};
";

/// One worker with no authentication, plugins, console or limits of its own. With sessions it keeps its
/// connection to the server from call to call, and is several times as fast. The secrets protect nothing
/// here, but it does not start without.
const CONTEXTFORGE: [(&str, &str); 18] = [
    ("DATABASE_URL", "sqlite:///./contextforge.db"),
    ("CACHE_TYPE", "memory"),
    ("USE_STATEFUL_SESSIONS", "true"),
    ("AUTH_REQUIRED", "false"),
    ("MCP_REQUIRE_AUTH", "false"),
    ("EMAIL_AUTH_ENABLED", "false"),
    ("ALLOW_UNAUTHENTICATED_ADMIN", "true"),
    ("JWT_SECRET_KEY", "puerto-bench: authentication is off, so nothing rests on this"),
    ("AUTH_ENCRYPTION_SECRET", "puerto-bench: nothing is kept here that has to be a secret"),
    ("SSRF_ALLOW_LOCALHOST", "true"),
    ("RATE_LIMITING_ENABLED", "false"),
    ("PLUGINS_ENABLED", "false"),
    ("MCPGATEWAY_UI_ENABLED", "false"),
    ("MCPGATEWAY_ADMIN_API_ENABLED", "false"),
    ("MCPGATEWAY_CATALOG_ENABLED", "false"),
    ("OBSERVABILITY_ENABLED", "false"),
    ("OTEL_ENABLE_OBSERVABILITY", "false"),
    ("LOG_LEVEL", "ERROR"),
];

pub(super) async fn fastmcp(peers: Option<&Path>, to: &str, setup: Setup) -> Result<Contestant> {
    let python = installed(peers, ".cache/modern/bin/python")?;
    let (dir, port) = (TempDir::new()?, free_port()?);
    let script = dir.path().join("proxy.py");
    fs::write(&script, FASTMCP)?;
    let mut command = Command::new(python);
    command.arg(script).args([to, &port.to_string()]);
    ready(started(command, dir, port)?, Era::Modern, setup.tools()).await
}

/// mcp-proxy offers a program over HTTP; it does not forward from HTTP to HTTP.
pub(super) async fn mcp_proxy(peers: Option<&Path>, bench: &str) -> Result<Contestant> {
    let program = installed(peers, ".cache/legacy/bin/mcp-proxy")?;
    let (dir, port) = (TempDir::new()?, free_port()?);
    let mut command = Command::new(program);
    command.args(["--log-level", "ERROR", "--port", &port.to_string(), "--", bench, "upstream", "--stdio"]);
    ready(started(command, dir, port)?, Era::Legacy, None).await
}

/// supergateway, with a process for each session; without sessions it starts one for each call, as it does
/// in the modern era either way.
pub(super) async fn supergateway(peers: Option<&Path>, bench: &str) -> Result<Contestant> {
    let (dir, port) = (TempDir::new()?, free_port()?);
    let mut command = node(peers, "supergateway/dist/index.js", dir.path())?;
    // It gives the line to a shell.
    let line = format!("'{}' upstream --stdio", bench.replace('\'', r"'\''"));
    command.args(["--stdio", &line, "--outputTransport", "streamableHttp", "--stateful"]);
    command.args(["--logLevel", "none", "--port", &port.to_string()]);
    ready(started(command, dir, port)?, Era::Legacy, None).await
}

/// ContextForge in front of the server at `to`, which it is told over its REST interface.
pub(super) async fn contextforge(peers: Option<&Path>, to: &str) -> Result<Contestant> {
    let program = installed(peers, ".cache/contextforge/bin/mcpgateway")?;
    let (dir, port) = (TempDir::new()?, free_port()?);
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--workers", "1"]);
    command.envs(CONTEXTFORGE).env("HOME", dir.path());
    let mut contestant = Contestant { prefix: "bench-", ..started(command, dir, port)? };
    let server = json!({"name": "bench", "url": to, "transport": "STREAMABLEHTTP"}).to_string();
    let url = format!("http://127.0.0.1:{port}/v1/gateways");
    set_up(&mut contestant, || Request::post(&url).body(server.clone()), |_| true).await?;
    ready(contestant, Era::Legacy, None).await
}

/// mcp-hub in front of the server at `to`. Clients reach it over SSE only: a GET of its URL names the path
/// to which messages are posted.
pub(super) async fn mcp_hub(peers: Option<&Path>, to: &str) -> Result<Contestant> {
    let (dir, port) = (TempDir::new()?, free_port()?);
    let config = dir.path().join("hub.json");
    fs::write(&config, json!({"mcpServers": {"bench": {"url": to}}}).to_string())?;
    // It asks for its catalog of servers on the network unless it finds one that is new and has entries.
    let cache = dir.path().join(".mcp-hub/cache");
    fs::create_dir_all(&cache)?;
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
    let catalog = json!({"registry": {"servers": [{"id": "none"}]}, "lastFetchedAt": u64::try_from(now)?});
    fs::write(cache.join("registry.json"), catalog.to_string())?;
    let mut command = node(peers, "mcp-hub/dist/cli.js", dir.path())?;
    command.args(["--port", &port.to_string(), "--config"]).arg(config);
    let mut contestant = Contestant { prefix: "bench__", sse_only: true, ..started(command, dir, port)? };
    let url = format!("http://127.0.0.1:{port}/api/health");
    let connected = |answer: &str| answer.contains(r#""status":"connected""#);
    set_up(&mut contestant, || Request::get(&url).body(String::new()), connected).await?;
    Ok(contestant)
}

/// The blackbox exporter of Prometheus with the settings of its package, and its address.
pub(super) async fn blackbox(peers: Option<&Path>) -> Result<(Contestant, Uri)> {
    let place = ".cache/prometheus-blackbox-exporter";
    let program = installed(peers, &format!("{place}/usr/bin/prometheus-blackbox-exporter"))?;
    let settings = installed(peers, &format!("{place}/etc/prometheus/blackbox.yml"))?;
    let (dir, port) = (TempDir::new()?, free_port()?);
    let mut command = Command::new(program);
    command.arg("--config.file").arg(settings).args(["--web.listen-address", &format!("127.0.0.1:{port}")]);
    command.args(["--log.level", "error"]);
    let mut contestant = started(command, dir, port)?;
    let url = format!("http://127.0.0.1:{port}/-/healthy");
    set_up(&mut contestant, || Request::get(&url).body(String::new()), |_| true).await?;
    Ok((contestant, format!("http://127.0.0.1:{port}/").parse()?))
}

fn installed(peers: Option<&Path>, program: &str) -> Result<PathBuf> {
    let path = peers.ok_or("no --peers given")?.join(program);
    // Not resolved any further: Python finds its environment by the name it is called by.
    match path.exists() {
        true => Ok(std::path::absolute(path)?),
        false => Err("not installed: run peers/install bench".into()),
    }
}

/// A program of the npm packages, listening on loopback only and at home in `dir`.
fn node(peers: Option<&Path>, program: &str, dir: &Path) -> Result<Command> {
    let program = installed(peers, &format!("npm/node_modules/{program}"))?;
    // Where the private Node has no package for the platform, the machine's own must do, as in `peers/run`.
    let node = installed(peers, "npm/node_modules/.bin/node").unwrap_or_else(|_| "node".into());
    let preload = dir.join("loopback.cjs");
    fs::write(&preload, ON_LOOPBACK)?;
    let mut command = Command::new(node);
    command.arg("--require").arg(preload).arg(program).env("HOME", dir);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NODE_OPTIONS"] {
        command.env_remove(name);
    }
    Ok(command)
}

fn started(mut command: Command, dir: TempDir, port: u16) -> Result<Contestant> {
    let process = Process::start(command.current_dir(dir.path()), &dir.path().join("log"))?;
    Ok(Contestant {
        url: format!("http://127.0.0.1:{port}/mcp").parse()?,
        process,
        prefix: "",
        sse_only: false,
        _dir: dir,
    })
}

/// A port that was free just now, for programs that cannot choose one and say which.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Sends a request until somebody listens and gives the answer that is waited for.
async fn set_up(
    contestant: &mut Contestant,
    request: impl Fn() -> hyper::http::Result<Request<String>>,
    done: impl Fn(&str) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + SET_UP;
    loop {
        let asked = timeout(ATTEMPT, ask(request()?)).await;
        let error = match asked.map_err(|_| format!("no answer within {ATTEMPT:?}"))? {
            Ok((status, text)) if !status.is_success() => return Err(format!("{status} {text}").into()),
            Ok((_, text)) if done(&text) => return Ok(()),
            Ok((_, text)) => text,
            Err(error) => error.to_string(),
        };
        contestant.again(deadline, &error).await?;
    }
}

/// One request with its answer, on a connection of its own.
async fn ask(request: Request<String>) -> Result<(StatusCode, String)> {
    let (mut head, body) = request.into_parts();
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(Request::from_parts(head, Full::from(body))).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
