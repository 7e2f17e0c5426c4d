//! Definitions: one per noun. `ServerDef` is the entry in the file, the body of the API and the
//! stored document; `HubDef` is the whole file. Unknown keys are errors everywhere.

pub mod alerts;
pub mod audit;
pub mod channel;
pub mod copies;
pub mod overrides;
pub mod profile;
pub mod service;
pub mod span;
pub mod status_page;
pub mod tasks;
pub mod telemetry;
pub mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::alerts::{AlertsDef, Measure, RouteDef, RuleDef};
pub use self::audit::{AuditDef, AuditMode, TrailDef};
pub use self::channel::{ChannelDef, ChannelKind, PriorityDef, SmtpDef, SmtpTls, TemplateDef};
pub use self::copies::{CopiesDef, HookDef};
pub use self::overrides::{OverrideDef, OverridesDef};
pub use self::profile::{ProfileDef, ProfileKind};
pub use self::service::{DnsDef, DnsType, GrpcDef, ObjectiveDef, ServiceDef, TlsDef};
pub use self::span::Span;
pub use self::status_page::StatusPageDef;
pub use self::tasks::{CatchUp, Overlap, Priority, ScheduleDef, TasksDef};
pub use self::telemetry::TelemetryDef;
pub use self::window::{Day, WindowDef};
use crate::id::{ProfileName, ServerName, TenantId};
use crate::secret::Secret;

/// The configuration of one Puerto: the file `config/servers.json`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HubDef {
    /// Where the schema of this file lies; editors use it, Puerto does not.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// Version of this file's format. `1.0.0` is the only one.
    #[serde(default = "HubDef::version")]
    pub version: String,
    /// Tenants by id, each with its servers. A caller that names none works in "default".
    pub tenants: BTreeMap<TenantId, TenantDef>,
    /// The listener and the MCP endpoint.
    #[serde(default)]
    pub gateway: GatewayDef,
    /// How servers are started.
    #[serde(default)]
    pub orchestrator: OrchestratorDef,
    /// What is logged and how.
    #[serde(default)]
    pub logging: LoggingDef,
    /// Where spans of what is done are sent.
    #[serde(default)]
    pub telemetry: TelemetryDef,
    /// Where Puerto keeps its own data.
    #[serde(default)]
    pub store: StoreDef,
    /// The audit trail, as far as it concerns all tenants.
    #[serde(default)]
    pub audit: TrailDef,
    /// The watch: events, services, alerts.
    #[serde(default)]
    pub watch: WatchDef,
    /// Task lists that run in the background.
    #[serde(default)]
    pub tasks: TasksDef,
    /// Watched services.
    #[serde(default)]
    pub services: Vec<ServiceDef>,
    /// Who hears of what is wrong, and when.
    #[serde(default)]
    pub alerts: AlertsDef,
    /// Models: not available in this version, must be empty.
    #[serde(default)]
    pub models: BTreeMap<String, Reserved>,
    /// Access: not available in this version, must be empty. Until then only loopback is served.
    #[serde(default)]
    pub access: BTreeMap<String, Reserved>,
    /// MCP Apps of our own kind: pages that use the tools of a tenant.
    #[serde(default)]
    pub apps: AppsDef,
}

impl HubDef {
    fn version() -> String {
        "1.0.0".into()
    }
}

/// A section whose part of Puerto does not exist yet: anything inside is refused rather than ignored.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(extend("not" = {}))]
pub struct Reserved {}

impl<'de> Deserialize<'de> for Reserved {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom(
            "this section is not available in this version of Puerto; leave it empty",
        ))
    }
}

/// An organisation or project.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantDef {
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Environment for every process of this tenant, beside the allow-listed part of ours.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Limits; 0 means none.
    #[serde(default)]
    pub quotas: QuotasDef,
    /// Servers by name.
    #[serde(default)]
    pub servers: BTreeMap<ServerName, ServerDef>,
    /// What of these servers' tools, prompts and resources is shown otherwise, or not at all.
    #[serde(default)]
    pub overrides: OverridesDef,
    /// What of its operations is recorded so that it can be checked.
    #[serde(default)]
    pub audit: AuditDef,
    /// Named subsets, each served at `/mcp/{tenant}?profile=name`.
    #[serde(default)]
    pub profiles: BTreeMap<ProfileName, ProfileDef>,
    /// A page for everyone at `/status/{tenant}`, with badges; there is none where it is left out.
    #[serde(default)]
    pub status_page: Option<StatusPageDef>,
}

/// Limits of a tenant; 0 means none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotasDef {
    /// Servers that may be defined.
    pub max_servers: u32,
    /// Tools that one server may offer; the rest is left out and reported.
    pub max_tools_per_server: u32,
    /// Calls that may run at the same time.
    pub max_concurrent_requests: u32,
    /// Calls in any minute, refilled evenly.
    pub requests_per_minute: u32,
}

/// How Puerto reaches a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A child process that speaks on its standard streams.
    Stdio,
    /// Streamable HTTP, both eras.
    Http,
    /// HTTP+SSE, of 2024-11-05: a stream of events down, posts up.
    Sse,
    /// Newline-delimited messages over TCP.
    Tcp,
    /// A WebSocket, one message a frame.
    Websocket,
    /// An HTTP API, by its OpenAPI document: each of its operations becomes a tool.
    Openapi,
    /// A server inside this process.
    Builtin,
}

impl Transport {
    /// The one that an address stands for.
    pub fn of_url(url: &str) -> Self {
        match url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("tcp") => Transport::Tcp,
            Some("ws" | "wss") => Transport::Websocket,
            _ => Transport::Http,
        }
    }

    /// As written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Stdio => "stdio",
            Transport::Http => "http",
            Transport::Sse => "sse",
            Transport::Tcp => "tcp",
            Transport::Websocket => "websocket",
            Transport::Openapi => "openapi",
            Transport::Builtin => "builtin",
        }
    }
}

/// Which protocol era to speak with a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EraDef {
    /// Probe, then decide (specification 2026-07-28, versioning).
    #[default]
    Auto,
    /// 2026-07-28 only.
    Modern,
    /// The initialize handshake only: 2024-11-05 to 2025-11-25.
    Legacy,
}

/// Which callers share one process of a server, or one connection to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Everyone in the tenant.
    #[default]
    Shared,
    /// Each user has one. There is one user, the local one, so that it is what `shared` is.
    PerUser,
    /// Each session of a client has one, which ends with it. What belongs to no session (requests of 2026-07-28,
    /// REST, task lists) shares one more, from which the lists are taken.
    PerSession,
}

/// A kind of thing that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Tools.
    Tools,
    /// Resources and their templates.
    Resources,
    /// Prompts.
    Prompts,
}

/// A built-in server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuiltinName {
    /// This machine: metrics, processes, uptime.
    Monitor,
    /// Files under configured roots.
    File,
    /// A SQLite database.
    Db,
}

impl BuiltinName {
    /// As written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            BuiltinName::Monitor => "monitor",
            BuiltinName::File => "file",
            BuiltinName::Db => "db",
        }
    }
}

/// An MCP server, as defined.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerDef {
    /// A label for people and lists, such as `database`.
    #[serde(rename = "type", default)]
    pub label: Option<String>,
    /// How to reach it. Left out, it follows from `command`, `url`, `builtin` or `file`; behind an `http` address
    /// Streamable HTTP is tried first, then HTTP+SSE.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// Which built-in server (`builtin`).
    #[serde(default)]
    pub builtin: Option<BuiltinName>,
    /// Options of a built-in server.
    #[serde(default)]
    pub options: OptionsDef,
    /// Program to run, never through a shell (`stdio`).
    #[serde(default)]
    pub command: Option<String>,
    /// Its arguments (`stdio`).
    #[serde(default)]
    pub args: Vec<String>,
    /// Its working directory (`stdio`); Puerto's own where left out.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Its environment, beside the tenant's (`stdio`).
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Its address (`http`, `sse`, `websocket`: `ws://host/path`, `tcp`: `tcp://host:port`), or where its OpenAPI
    /// document is (`openapi`).
    #[serde(default)]
    pub url: Option<String>,
    /// Headers on every request to it (`http`, `sse`, `websocket`, `openapi`).
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// The file that holds its OpenAPI document, JSON or YAML (`openapi`).
    #[serde(default)]
    pub file: Option<String>,
    /// Where the API is, in place of what the document says (`openapi`).
    #[serde(default)]
    pub base_url: Option<String>,
    /// Which operations of the document become tools; all where left out (`openapi`).
    #[serde(default)]
    pub operations: OperationsDef,
    /// Credentials for the API (`openapi`).
    #[serde(default)]
    pub auth: AuthDef,
    /// Pages of one answer that are fetched and joined, 1 where left out (`openapi`).
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub pages: Option<u32>,
    /// Largest answer of the API in bytes, 1 MiB where left out (`openapi`).
    #[serde(default)]
    #[schemars(range(min = 1024, max = 268435456))]
    pub max_response_bytes: Option<u32>,
    /// Shown to the server before anything else (`tcp`).
    #[serde(default)]
    pub token: Option<Secret>,
    /// Protocol era to speak with it.
    #[serde(default)]
    pub era: EraDef,
    /// Who shares its process, or the connection to it (`stdio`, `sse`, `tcp`, `websocket`).
    #[serde(default)]
    pub sharing: Sharing,
    /// Sessions that may have one of their own at the same time, where `sharing` is `per_session`; 32 where left
    /// out. Further ones are refused.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    pub max_instances: Option<u32>,
    /// Whether it exists at all for callers.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What to take over from it; everything where left out.
    #[serde(default)]
    pub capabilities: Option<Vec<Capability>>,
    /// Longest time one call may take, in seconds.
    #[serde(default)]
    #[schemars(range(min = 1, max = 86400))]
    pub call_timeout: Option<u32>,
    /// Calls in a row without an answer after which further ones are refused at once, with one trial every 10 s.
    /// 0 means never; 5 where left out.
    #[serde(default)]
    #[schemars(range(max = 10000))]
    pub max_failures: Option<u32>,
    /// Seconds without a call after which its process is put to rest (`stdio`); the next call wakes it. 0 means
    /// never; `orchestrator.idle_timeout` where left out.
    #[serde(default)]
    #[schemars(range(max = 2592000))]
    pub idle_timeout: Option<u32>,
    /// Seconds after which its process is replaced by a new one, once no call is under way (`stdio`).
    #[serde(default)]
    #[schemars(range(min = 1, max = 31536000))]
    pub max_lifetime: Option<u32>,
    /// What its process may take from the machine (`stdio`).
    #[serde(default)]
    pub limits: LimitsDef,
    /// Calls that may be under way at this server at the same time; more wait in a bounded queue.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    pub max_concurrent: Option<u32>,
    /// Anything else, for people and tools; Puerto only shows it.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

impl ServerDef {
    /// The transport, given or following from the other keys.
    pub fn transport(&self) -> Option<Transport> {
        self.transport.or(match (&self.builtin, &self.command, &self.url, &self.file) {
            (Some(_), None, None, None) => Some(Transport::Builtin),
            (None, Some(_), None, None) => Some(Transport::Stdio),
            (None, None, Some(url), None) => Some(Transport::of_url(url)),
            (None, None, None, Some(_)) => Some(Transport::Openapi),
            _ => None,
        })
    }

    /// Longest time one call may take. Five minutes: long tools exist, and the client's own limit
    /// (60 s in the official SDKs) cancels earlier where it wants to.
    pub fn call_limit(&self) -> Duration {
        Duration::from_secs(self.call_timeout.unwrap_or(300).into())
    }

    /// Sessions with an instance of their own at the same time. 32 processes of Node take some 2 GiB.
    pub fn instance_limit(&self) -> usize {
        self.max_instances.unwrap_or(32) as usize
    }

    /// Calls under way at the same time. 64 keeps one client from starving a server's memory.
    pub fn concurrent_limit(&self) -> usize {
        self.max_concurrent.unwrap_or(64) as usize
    }
}

/// What a process may take from the machine; the system enforces it. Left out means no limit of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsDef {
    /// Address space, in MiB. Runtimes reserve far more than they use: Node needs some 2000 at least.
    #[serde(default)]
    #[schemars(range(min = 16, max = 16777216))]
    pub memory: Option<u32>,
    /// Processor time in all, in seconds; then the process is ended, and started anew.
    #[serde(default)]
    #[schemars(range(min = 1, max = 31536000))]
    pub cpu_seconds: Option<u32>,
    /// Files and sockets open at the same time.
    #[serde(default)]
    #[schemars(range(min = 16, max = 1048576))]
    pub open_files: Option<u32>,
    /// Processes and threads of the user that runs Puerto, all taken together.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1048576))]
    pub processes: Option<u32>,
}

/// Which operations of an OpenAPI document become tools. A pattern is `GET /pets/*` (a method, `*` for any, and
/// a path, which may be left out), `tag:pets`, or an operation's id such as `pets.*`; `*` stands for any text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperationsDef {
    /// Only these; all where it is empty.
    pub include: Vec<String>,
    /// None of these, even where they are included.
    pub exclude: Vec<String>,
}

/// Credentials for an HTTP API. They go to the API's own origin and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthDef {
    /// A token, sent as `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// A user and a password, sent as `Authorization: Basic …`.
    pub basic: Option<BasicDef>,
    /// Headers by name, such as an API key.
    pub header: BTreeMap<String, Secret>,
    /// Parameters of the query by name, such as an API key.
    pub query: BTreeMap<String, Secret>,
}

impl AuthDef {
    /// Whether it holds no credential.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicDef {
    /// The user.
    pub username: Secret,
    /// The password.
    #[serde(default = "BasicDef::empty")]
    pub password: Secret,
}

impl BasicDef {
    fn empty() -> Secret {
        Secret::new("")
    }
}

/// Options of the built-in servers; each server reads its own and refuses the others'.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionsDef {
    /// `file`: directories that it serves. A path that begins with `/` is inside the first of them.
    #[serde(default)]
    pub roots: Vec<String>,
    /// `db`: the database, as `sqlite://path`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// `db`, when writable: SQL run once when the database is opened, such as `CREATE TABLE IF NOT EXISTS`.
    #[serde(default)]
    pub init: Option<String>,
    /// `file`, `db`: whether tools that change something exist.
    #[serde(default)]
    pub writable: bool,
}

/// The listener and the MCP endpoint.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayDef {
    /// Address to listen on. Only loopback until access is configured.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// A second port with the same routes.
    pub mcp_port: Option<u16>,
    /// A third port with the same routes.
    pub websocket_port: Option<u16>,
    /// What stands between server and tool in names on the MCP wire.
    pub separator: Separator,
    /// Browser origins allowed beside loopback ones, as `https://host[:port]`.
    pub allowed_origins: Vec<String>,
    /// Largest request body and largest upstream answer, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: usize,
    /// How many items a page of a list holds.
    #[schemars(range(min = 1, max = 10000))]
    pub page_size: usize,
    /// Legacy sessions that may be open.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_sessions: usize,
    /// Seconds after which an unused legacy session ends.
    #[schemars(range(min = 10, max = 604_800))]
    pub session_idle_timeout: u64,
    /// Longest wait for calls in flight when stopping, in seconds.
    #[schemars(range(max = 3600))]
    pub drain_timeout: u64,
}

impl Default for GatewayDef {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8080,
            mcp_port: None,
            websocket_port: None,
            separator: Separator::default(),
            allowed_origins: Vec::new(),
            // The largest payloads seen are base64 images of about 16 MB (reference: gateways, parity floor).
            max_body_bytes: 32 * 1024 * 1024,
            // Many clients read only the first page, so a page is large.
            page_size: 1000,
            max_sessions: 10_000,
            session_idle_timeout: 1800,
            drain_timeout: 10,
        }
    }
}

/// What stands between server and tool in names on the MCP wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Separator {
    /// `server__tool`: accepted by every known client.
    #[default]
    #[serde(rename = "__")]
    DoubleUnderscore,
    /// `server.tool`: the canonical form; several clients refuse it.
    #[serde(rename = ".")]
    Dot,
    /// `server_tool`.
    #[serde(rename = "_")]
    Underscore,
}

impl Separator {
    /// The text.
    pub const fn text(self) -> &'static str {
        match self {
            Separator::DoubleUnderscore => "__",
            Separator::Dot => ".",
            Separator::Underscore => "_",
        }
    }
}

/// How servers are started.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrchestratorDef {
    /// Start every enabled server at boot; otherwise at its first use.
    pub auto_start: bool,
    /// Restarts in a row before a server counts as failed; a call or `start` tries again.
    pub max_retries: u32,
    /// Longest time from start to the first catalog, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub startup_timeout: u64,
    /// Seconds without a call after which the process of a server is put to rest (`stdio`), where the server's own
    /// `idle_timeout` says nothing; 0 = never.
    #[schemars(range(max = 2592000))]
    pub idle_timeout: u64,
}

impl Default for OrchestratorDef {
    fn default() -> Self {
        Self { auto_start: true, max_retries: 3, startup_timeout: 30, idle_timeout: 0 }
    }
}

/// What is logged and how.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingDef {
    /// Lowest level shown.
    pub level: LogLevel,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Lowest level shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For developers.
    Debug,
    /// One line per operation.
    #[default]
    Info,
    /// What may need a look.
    Warn,
    /// What needs somebody to act.
    Error,
}

/// A word that is no log level.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log level: use TRACE, DEBUG, INFO, WARN or ERROR")]
pub struct InvalidLevel(String);

impl std::str::FromStr for LogLevel {
    type Err = InvalidLevel;

    /// As in the environment, where upper and lower case are both customary.
    fn from_str(given: &str) -> Result<Self, InvalidLevel> {
        Ok(match given.to_ascii_uppercase().as_str() {
            "TRACE" => LogLevel::Trace,
            "DEBUG" => LogLevel::Debug,
            "INFO" => LogLevel::Info,
            "WARN" | "WARNING" => LogLevel::Warn,
            "ERROR" => LogLevel::Error,
            _ => return Err(InvalidLevel(given.into())),
        })
    }
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The watch.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchDef {
    /// One more port that serves the same, for whoever expects the watch there (5050).
    pub port: Option<u16>,
    /// Watch the servers of this hub too, without a word in `services`.
    pub servers: bool,
    /// Something that answers as long as this hub is online, as `tcp://1.1.1.1:53`. While it does not, nothing is said
    /// of services that do not answer either.
    pub connectivity: Option<Secret>,
}

impl Default for WatchDef {
    fn default() -> Self {
        Self { port: None, servers: true, connectivity: None }
    }
}

/// Where Puerto keeps its own data.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreDef {
    /// `sqlite://path`, `postgres://user:password@host/name`, or `sqlite::memory:` to keep nothing.
    pub url: Secret,
    /// What of it is kept, and for how long.
    pub retention: RetentionDef,
}

impl Default for StoreDef {
    fn default() -> Self {
        Self { url: Secret::new("sqlite://data/puerto.db"), retention: RetentionDef::default() }
    }
}

/// What is kept, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionDef {
    /// Events.
    pub events: KeepDef,
}

/// When the oldest rows go: as soon as one of these is passed; 0 means no limit.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepDef {
    /// Age, in days.
    pub days: u32,
    /// Number.
    pub rows: u64,
    /// Size of all, in MiB, as their texts have it.
    pub megabytes: u64,
}

impl Default for KeepDef {
    fn default() -> Self {
        Self { days: 90, rows: 1_000_000, megabytes: 1024 }
    }
}

/// MCP Apps of our own kind.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppsDef {
    /// Directory that holds one folder per app.
    pub dir: String,
}

impl Default for AppsDef {
    fn default() -> Self {
        Self { dir: "plugins".into() }
    }
}
