//! `puerto doctor`: what would keep the hub from working, before and while it runs, each with what to do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use puerto_core::def::{GatewayDef, HubDef, ServerDef, TenantDef, Transport, WatchDef};
use puerto_store::{Store, StoreError};
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Client;
use super::draft::harmless;
use super::stdio::hub_runs;
use crate::cli::ConfigArg;
use crate::config::{self, Origin, Severity};
use crate::out;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    /// What was looked at.
    about: String,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, about: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, about: about.into(), found: found.into(), todo: None });
    }

    fn bad(
        &mut self,
        level: Level,
        about: impl Into<String>,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) {
        let (about, found, todo) = (about.into(), found.into(), Some(todo.into()));
        self.0.push(Finding { level, about, found, todo });
    }
}

/// Runs the command. 0: nothing keeps the hub from working; 1: something does.
pub(crate) async fn run(given: &ConfigArg, json: bool) -> ExitCode {
    let mut findings = Findings::default();
    if let Some(def) = configuration(given, &mut findings) {
        for (id, tenant) in &def.tenants {
            for (name, server) in &tenant.servers {
                let about = format!("server {id}:{name}");
                program(&about, tenant, server, &mut findings);
                roots(&about, server, &mut findings);
                document(&about, server, &mut findings);
            }
        }
        store(def.store.url.reveal(), &mut findings).await;
        ports(&def.gateway, &def.watch, &mut findings).await;
    }
    let bad = findings.0.iter().filter(|finding| finding.level == Level::Problem).count();
    if json {
        out::line(json!({ "ok": bad == 0, "findings": findings.0 }));
    } else {
        for finding in &findings.0 {
            out::line(shown(finding));
        }
        out::line(match bad {
            0 => "\nnothing keeps the hub from working".to_owned(),
            1 => "\n1 problem".to_owned(),
            many => format!("\n{many} problems"),
        });
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    };
    let todo = finding.todo.as_ref().map(|todo| format!("\n           do: {todo}")).unwrap_or_default();
    format!("{level:<9}  {}: {}{todo}", finding.about, finding.found)
}

/// Whether the configuration is good. Where only variables are missing, the rest is still looked at.
fn configuration(given: &ConfigArg, findings: &mut Findings) -> Option<HubDef> {
    let origin = config::locate(given.config.as_deref(), &super::env);
    let problems = match config::load_from(&origin, &super::env) {
        Ok(loaded) => {
            let about = match &origin {
                Origin::File(path) => path.display().to_string(),
                Origin::Builtin => super::BUILT_IN.to_owned(),
            };
            let count: usize = loaded.def.tenants.values().map(|tenant| tenant.servers.len()).sum();
            findings.ok("configuration", format!("{about}, {count} servers"));
            for warning in &loaded.warnings {
                problem(warning, findings);
            }
            return Some(loaded.def);
        }
        Err(problems) => problems,
    };
    problems.iter().for_each(|found| problem(found, findings));
    let loaded = super::load_without_variables(&origin);
    if loaded.is_none() {
        findings.bad(
            Level::Warning,
            "the rest",
            "was not looked at",
            "mend the configuration first, then run this again",
        );
    }
    loaded
}

fn problem(found: &config::Problem, findings: &mut Findings) {
    let level = if found.severity == Severity::Error { Level::Problem } else { Level::Warning };
    let place = if found.line > 0 {
        format!("{}:{}:{}", found.file, found.line, found.column)
    } else {
        found.file.clone()
    };
    let at = if found.path.is_empty() { String::new() } else { format!(" (at {})", found.path) };
    let expected = match (&found.found, &found.expected) {
        (Some(there), Some(wanted)) => format!(": found {there}, expected {wanted}"),
        _ => String::new(),
    };
    let todo = found.help.clone().unwrap_or_else(|| "see docs/configuration.md".into());
    findings.bad(level, format!("configuration {place}"), format!("{}{expected}{at}", found.message), todo);
}

/// Whether a server's program is there and can be started.
fn program(about: &str, tenant: &TenantDef, server: &ServerDef, findings: &mut Findings) {
    let Some(command) = server.command.as_deref().filter(|_| server.transport() == Some(Transport::Stdio))
    else {
        return;
    };
    if !server.enabled {
        return;
    }
    let dir = server.cwd.as_deref().map(Path::new);
    if let Some(dir) = dir.filter(|dir| !dir.is_dir()) {
        let text = format!("its directory {} does not exist", harmless(&dir.display().to_string()));
        return findings.bad(Level::Problem, about, text, "make it, or change \"cwd\"");
    }
    let own = |env: &std::collections::BTreeMap<String, puerto_core::Secret>| {
        env.get("PATH").map(|path| path.reveal().to_owned())
    };
    let path =
        own(&server.env).or_else(|| own(&tenant.env)).or_else(|| super::env("PATH")).unwrap_or_default();
    match find(command, &path, dir.unwrap_or(Path::new("."))) {
        Some(found) => findings.ok(about, format!("{} starts it", harmless(&found.display().to_string()))),
        None if command.contains('/') => {
            let text = format!("{} is no program that can be started", harmless(command));
            findings.bad(
                Level::Problem,
                about,
                text,
                "mend the path in \"command\", or make the file executable",
            );
        }
        None => {
            let text = format!("the program {} is not in PATH", harmless(command));
            findings.bad(Level::Problem, about, text, how_to_get(command));
        }
    }
}

/// Whether the directories of a built-in `file` server exist.
fn roots(about: &str, server: &ServerDef, findings: &mut Findings) {
    for root in server.options.roots.iter().filter(|root| server.enabled && !Path::new(root).is_dir()) {
        let text = format!("its directory {} does not exist", harmless(root));
        findings.bad(Level::Problem, about, text, "make it, or change \"roots\"; relative paths start here");
    }
}

/// Whether tools can be made of a server's OpenAPI document, where that is a file.
fn document(about: &str, server: &ServerDef, findings: &mut Findings) {
    let Some(file) = server.file.as_deref().filter(|_| server.enabled) else { return };
    let read = |settings| puerto_servers::openapi::read_file(Path::new(file), &settings);
    match crate::compose::api(server).and_then(read) {
        Ok(api) => {
            findings.ok(about, format!("{} tools for {}", api.tools().len(), harmless(&api.address())));
        }
        Err(why) => {
            findings.bad(Level::Problem, about, harmless(&why), "mend the document, or change \"file\"");
        }
    }
}

/// Where a program lies that the system would start.
fn find(command: &str, path: &str, dir: &Path) -> Option<PathBuf> {
    let starts =
        |file: &PathBuf| std::fs::metadata(file).is_ok_and(|about| about.is_file() && executable(&about));
    if command.contains('/') {
        return Some(dir.join(command)).filter(starts);
    }
    std::env::split_paths(path)
        .filter(|dir| !dir.as_os_str().is_empty())
        .map(|dir| dir.join(command))
        .find(starts)
}

#[cfg(unix)]
fn executable(about: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn executable(_: &std::fs::Metadata) -> bool {
    true
}

fn how_to_get(command: &str) -> &'static str {
    match command {
        "npx" | "npm" | "node" => {
            "install Node.js 18 or later (https://nodejs.org), which brings node and npx"
        }
        "uvx" | "uv" => "install uv (https://docs.astral.sh/uv), which brings uvx",
        "docker" => "install Docker, or a program that takes its place under this name",
        "bunx" | "bun" => "install Bun (https://bun.sh)",
        "deno" => "install Deno (https://deno.com)",
        "python" => "write \"python3\", or install Python",
        _ => "install it, or write its whole path in \"command\"",
    }
}

/// Whether Puerto can keep its data where it should.
async fn store(url: &str, findings: &mut Findings) {
    if url.starts_with("postgres") {
        let address = url.to_owned();
        let reached = tokio::task::spawn_blocking(move || Store::reach(&address)).await;
        return match reached.unwrap_or(Err(StoreError::Closed)) {
            Ok(()) => findings.ok("store", "the Postgres server answers, and lets us in"),
            Err(error) => {
                let todo =
                    "start the server, or set store.url; nothing else can keep Puerto's data meanwhile";
                findings.bad(Level::Problem, "store", error.to_string(), todo);
            }
        };
    }
    let Some(path) = url.strip_prefix("sqlite://") else {
        return findings.ok("store", "in memory: nothing is kept");
    };
    let file = Path::new(path);
    let bad = |why: String, findings: &mut Findings| {
        findings.bad(Level::Problem, "store", why, "make it writable for you, or set store.url");
    };
    if file.exists() {
        return match std::fs::OpenOptions::new().append(true).open(file) {
            Ok(_) => findings.ok("store", format!("{path} can be written")),
            Err(error) => bad(format!("{path} cannot be written: {error}"), findings),
        };
    }
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let there = whole.ancestors().skip(1).find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let probe = there.join(format!(".puerto-doctor-{}", std::process::id()));
    match std::fs::File::create_new(&probe) {
        Ok(_) => {
            let _ = std::fs::remove_file(&probe);
            findings.ok("store", format!("{path} will be made at the first start"));
        }
        Err(error) => bad(format!("{path} cannot be made in {}: {error}", there.display()), findings),
    }
}

/// Whether the hub can listen, or one runs already; then how that one is.
async fn ports(gateway: &GatewayDef, watch: &WatchDef, findings: &mut Findings) {
    let host = gateway.host.trim_start_matches('[').trim_end_matches(']');
    let named = [
        ("gateway.port", Some(gateway.port)),
        ("gateway.mcp_port", gateway.mcp_port),
        ("gateway.websocket_port", gateway.websocket_port),
        ("watch.port", watch.port),
    ];
    let mut asked = false;
    for (setting, port) in named.into_iter().filter_map(|(setting, port)| Some((setting, port?))) {
        if port == 0 {
            findings.ok(setting, "0: a free port at every start");
            continue;
        }
        let about = format!("port {port}");
        let Err(error) = tokio::net::TcpListener::bind((host, port)).await else {
            findings.ok(about, "free; no hub runs there");
            continue;
        };
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let base = format!("http://{shown}:{port}");
        if hub_runs(&base).await {
            findings.ok(about, format!("a hub runs at {base}"));
            if !asked {
                running(&base, findings).await;
            }
            asked = true;
        } else if error.kind() == std::io::ErrorKind::AddrInUse {
            let todo = format!("end that program, or set {setting} to another port (0 takes a free one)");
            findings.bad(Level::Problem, about, "another program listens there, and it is no hub", todo);
        } else {
            let todo = format!("set gateway.host or {setting} to an address that this machine has");
            findings.bad(Level::Problem, about, format!("cannot be listened on: {error}"), todo);
        }
    }
}

/// How a running hub is, and which of its servers do not serve.
async fn running(base: &str, findings: &mut Findings) {
    let client = Client::new(base);
    let ask = async {
        let about = client.get("/").await?;
        let health = client.get("/health").await?;
        let servers = client.get("/api/servers").await?;
        Ok::<_, puerto_core::Error>((about, health, servers))
    };
    let (about, health, servers) = match ask.await {
        Ok(answers) => answers,
        Err(error) => {
            let todo = "look at its log, and start it again";
            return findings.bad(Level::Problem, "running hub", error.chain(), todo);
        }
    };
    let (version, own) = (text(&about["version"]), env!("CARGO_PKG_VERSION"));
    if version != own {
        let found = format!("it is version {version}, and this program is {own}");
        findings.bad(Level::Warning, "running hub", found, "start it again with this program");
    }
    for (name, part) in
        health["components"].as_object().into_iter().flatten().filter(|(name, _)| *name != "servers")
    {
        if part["status"] != "healthy" {
            let found = format!("{name} is {}: {}", text(&part["status"]), text(&part["detail"]));
            findings.bad(Level::Problem, "running hub", found, "look at its log");
        }
    }
    let mut down = 0;
    for (name, status) in servers["servers"].as_object().into_iter().flatten() {
        if !matches!(text(status), "failed" | "backing_off") {
            continue;
        }
        down += 1;
        let (tenant, server) = name.split_once(':').unwrap_or(("default", name));
        let view = client.get(&format!("/api/servers/{tenant}/{server}")).await.unwrap_or(Value::Null);
        let why = text(&view["error"]).lines().next().unwrap_or_default();
        let found =
            format!("is down ({}){}{}", text(status), if why.is_empty() { "" } else { ": " }, harmless(why));
        let todo = match text(&view["transport"]) {
            "stdio" => format!("see what it wrote: puerto logs {server} --tenant {tenant} --url {base}"),
            _ => "look at its address and whether it runs; the hub tries it again by itself".into(),
        };
        findings.bad(Level::Problem, format!("running server {name}"), found, todo);
    }
    if down == 0 {
        findings.ok(
            "running hub",
            format!("{} for {} s, no server is down", text(&health["status"]), health["uptime_s"]),
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
