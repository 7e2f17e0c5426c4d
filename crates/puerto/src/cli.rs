//! The command line, defined once: parsing and help come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// One port between AI agents and everything they use.
#[derive(Debug, Parser)]
#[command(name = "puerto", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArg {
    /// Configuration file [default: PUERTO_CONFIG, else ./config/servers.json, else the embedded one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which running hub.
#[derive(Debug, Clone, Args)]
pub(crate) struct HubArg {
    /// Address of the running hub
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", env = "PUERTO_URL")]
    pub(crate) url: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One client on standard input and output.
#[derive(Debug, Args)]
pub(crate) struct Stdio {
    /// Which configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Tenant to work in
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Only this server, under its own names
    #[arg(long, conflicts_with = "profile")]
    pub(crate) server: Option<String>,
    /// Only what belongs to this profile
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Never join a running hub
    #[arg(long)]
    pub(crate) alone: bool,
}

/// Tools of a running hub.
#[derive(Debug, Args)]
pub(crate) struct Tools {
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
    /// Only this tenant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Only what belongs to this profile
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Also those that are switched off
    #[arg(long)]
    pub(crate) all: bool,
    /// Say how many tokens each costs a model that is shown the list, the dearest first
    #[arg(long)]
    pub(crate) cost: bool,
}

/// A built-in server on its own.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Which one
    pub(crate) server: Builtin,
    /// file: directory to serve; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Vec<String>,
    /// db: the database, sqlite://path
    #[arg(long, conflicts_with = "url_env")]
    pub(crate) url: Option<String>,
    /// db: environment variable that holds the database's URL
    #[arg(long, value_name = "NAME")]
    pub(crate) url_env: Option<String>,
    /// db: file of SQL to run once when the database is opened
    #[arg(long, value_name = "FILE", requires = "writable")]
    pub(crate) init_file: Option<PathBuf>,
    /// file, db: offer the tools that change something
    #[arg(long)]
    pub(crate) writable: bool,
    /// Serve Streamable HTTP at this loopback address instead of standard input and output
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "listen")]
    pub(crate) http: Option<String>,
    /// Serve newline-delimited messages over TCP at this address; one that is not loopback needs a token
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Environment variable that holds the token which clients over TCP must show first
    #[arg(long, value_name = "NAME", requires = "listen")]
    pub(crate) token_env: Option<String>,
}

/// Servers from other programs' files.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files to read: mcpServers, VS Code's mcp.json, Codex's config.toml, a registry's server.json, a bundle (.mcpb)
    #[arg(value_name = "FILE", required_unless_present = "from", conflicts_with = "from")]
    pub(crate) files: Vec<PathBuf>,
    /// Read the files of this program, in your home directory and in this one
    #[arg(long, value_name = "CLIENT")]
    pub(crate) from: Option<ClientKind>,
    /// Which configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Tenant that gets the servers
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Value that a server.json or a bundle asks for; may be given several times
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "from")]
    pub(crate) set: Vec<String>,
    /// Read the file only where this is its SHA-256
    #[arg(long, value_name = "HEX", conflicts_with = "from")]
    pub(crate) sha256: Option<String>,
    /// server.json: take its remote address and not its package
    #[arg(long)]
    pub(crate) remote: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write without asking
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// One server, from the command line.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the server
    pub(crate) name: String,
    /// Its address; or its program, which is better given after "--"
    #[arg(value_name = "URL")]
    pub(crate) target: Vec<String>,
    /// Its program and arguments
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<String>,
    /// stdio, http, sse, websocket, tcp or openapi [default: follows from what is given]
    #[arg(long, short = 't')]
    pub(crate) transport: Option<String>,
    /// Variable for its process; "${NAME}" refers to Puerto's own environment
    #[arg(long, short = 'e', value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Header of every request to it
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// Working directory of its process
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Which configuration.
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Tenant that gets the server
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Everything that a hub keeps; or the entry of the hub for a client.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// File to write the archive to; standard output without one
    #[arg(conflicts_with = "client")]
    pub(crate) file: Option<PathBuf>,
    /// What to write: everything, to be restored, or what GET /context shows
    #[arg(long, value_enum, default_value_t = ExportForm::Archive, conflicts_with = "client")]
    pub(crate) form: ExportForm,
    /// Leave the audit trails out, where one was tampered with
    #[arg(long, conflicts_with = "client")]
    pub(crate) no_audit: bool,
    /// Only this tenant's data; with --client the tenant to work in
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
    /// Print the entry that points this client at the hub, and no data
    #[arg(long, help_heading = "An entry for a client")]
    pub(crate) client: Option<ClientKind>,
    /// The client starts `puerto stdio`
    #[arg(long, conflicts_with = "http", requires = "client", help_heading = "An entry for a client")]
    pub(crate) stdio: bool,
    /// The client calls the running hub's address; the default where the client can
    #[arg(long, requires = "client", help_heading = "An entry for a client")]
    pub(crate) http: bool,
    /// Name of the entry
    #[arg(long, default_value = "puerto", requires = "client", help_heading = "An entry for a client")]
    pub(crate) name: String,
    /// Profile to work with
    #[arg(long, requires = "client", help_heading = "An entry for a client")]
    pub(crate) profile: Option<String>,
    /// Which configuration.
    #[command(flatten, next_help_heading = "An entry for a client")]
    pub(crate) config: ConfigArg,
    /// Merge it into the client's file, of which a copy is kept
    #[arg(long, requires = "client", help_heading = "An entry for a client")]
    pub(crate) write: bool,
    /// Of the file in this directory and not the one in your home directory
    #[arg(long, requires = "client", help_heading = "An entry for a client")]
    pub(crate) project: bool,
}

/// What `puerto export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// An archive of everything
    Archive,
    /// {models, agents, tasks, audit, events} as plain JSON
    Context,
}

/// Takes an archive into a hub.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What `puerto export` has written; - is standard input
    pub(crate) file: PathBuf,
    /// What becomes of what is there: it stays, or it goes
    #[arg(long, value_enum, default_value_t = RestoreMode::Merge)]
    pub(crate) mode: RestoreMode,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Replace without asking
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Refuse all but this tenant's data
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
}

/// What becomes of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RestoreMode {
    /// It stays; what is not there is added
    Merge,
    /// It goes, but the audit trail and tasks that run; the archive takes its place
    Replace,
}

/// A program that keeps a list of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientKind {
    /// claude_desktop_config.json
    ClaudeDesktop,
    /// ~/.claude.json and .mcp.json
    ClaudeCode,
    /// .cursor/mcp.json
    Cursor,
    /// mcp.json
    Vscode,
    /// ~/.codeium/windsurf/mcp_config.json
    Windsurf,
    /// ~/.codex/config.toml
    Codex,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the hub and serve
    Up {
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
        /// Listen on this port instead of gateway.port; 0 takes a free one
        #[arg(long)]
        port: Option<u16>,
    },
    /// Serve one client on standard input and output: joins a running hub, else runs by itself
    Stdio(Stdio),
    /// Work through a task list with the servers of a configuration
    Run {
        /// Task list: [{"type": server, "action": tool, "params": {arguments}}]
        tasks: PathBuf,
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
        /// Tenant to work in
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Tasks at the same time; 1 = in order
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
        concurrency: u16,
        /// Go on after a failure
        #[arg(long)]
        keep_going: bool,
        /// Print one JSON object a task
        #[arg(long)]
        json: bool,
    },
    /// Run one built-in server on its own
    Serve(Serve),
    /// Write a configuration to begin with
    Init {
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Take over servers from other programs' files
    Import(Import),
    /// Add one server to the configuration
    Add(Add),
    /// Write everything that a running hub keeps into an archive; with --client print the entry that points a client at it
    Export(Export),
    /// Take an archive into a running hub
    Restore(Restore),
    /// Copy the hub's own database to a file, while it works
    Backup {
        /// File to write
        file: PathBuf,
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look for what would keep the hub from working, and say what to do
    Doctor {
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a configuration file
    Check {
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print the JSON Schema of configuration files instead
        #[arg(long, conflicts_with_all = ["json", "config"])]
        schema: bool,
    },
    /// List tools of a running hub
    Tools(Tools),
    /// List servers of a running hub
    Servers {
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Call a tool on a running hub
    Call {
        /// The tool, as server.tool
        tool: String,
        /// Arguments as a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
        /// Tenant to work in
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Let a running hub take over its configuration file now
    Reload {
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Show what a running hub would change if it took over its configuration file
    Diff {
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Show how a running hub is
    Status {
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Show what a server wrote to its standard error, or the last operations
    Logs {
        /// The server; without one the last operations are shown
        server: Option<String>,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
        /// Tenant to look in
        #[arg(long, default_value = "default")]
        tenant: String,
        /// How many lines
        #[arg(long, short = 'n', default_value_t = 50)]
        lines: u32,
    },
    /// Show how every watched service is
    Checks(Checks),
    /// Show what happened, and what happens from now on
    Events(Events),
    /// Show what is wrong and who was told; acknowledge, silence, try out
    Alerts {
        /// What to do.
        #[command(subcommand)]
        command: Alerts,
    },
    /// Show who did what, and check that the record of it is whole
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: Audit,
    },
    /// Print the OpenAPI document of the REST interface
    Openapi,
}

/// `puerto events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
    /// Go on with what happens from now on
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Tenant to look in; all by default
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Types, with commas between; server.* stands for all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// This grave at least: info, warning, error or critical
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// Who reported it
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// A text that the payload holds
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 50, conflicts_with = "follow")]
    pub(crate) lines: u32,
}

/// `puerto checks`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Checks {
    /// What to change, where something is.
    #[command(subcommand)]
    pub(crate) change: Option<ChecksChange>,
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
    /// Tenant to look in; all by default
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Check those first that were not checked within the last ten seconds
    #[arg(long)]
    pub(crate) now: bool,
}

/// `puerto checks add` and `rm`.
#[derive(Debug, Subcommand)]
pub(crate) enum ChecksChange {
    /// Watch a service from now on; the running hub keeps it in its store
    Add(ChecksAdd),
    /// Watch a service no longer that was added so
    Rm {
        /// Its name
        name: String,
        /// Tenant that it belongs to
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
}

/// `puerto checks add`.
#[derive(Debug, Args)]
pub(crate) struct ChecksAdd {
    /// What to check: http://…, tcp://host:port, push:// and the others of docs/services.md
    #[arg(value_name = "URL")]
    pub(crate) target: String,
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// Tenant that it belongs to
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Time from one check to the next, as in 30s
    #[arg(long, value_name = "TIME")]
    pub(crate) interval: Option<String>,
    /// Longest time of one check
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// What must hold, as in '[STATUS] == 200'; may be given several times
    #[arg(long = "condition", value_name = "CONDITION")]
    pub(crate) conditions: Vec<String>,
    /// Bad checks in a row after which it is down
    #[arg(long)]
    pub(crate) failures: Option<u32>,
    /// What it is shown together with
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Service that it depends on; may be given several times
    #[arg(long = "parent", value_name = "SERVICE")]
    pub(crate) parents: Vec<String>,
    /// Take the place of one of this name that was added so
    #[arg(long)]
    pub(crate) replace: bool,
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
}

/// `puerto alerts`.
#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// Show what is wrong, and why nobody is told
    List {
        /// Tenant to look in; all by default
        #[arg(long)]
        tenant: Option<String>,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Say that you work on an alert: no more reminders until it is over
    Ack {
        /// Its id
        id: String,
        /// What you do about it
        #[arg(long, short)]
        reason: String,
        /// Your name
        #[arg(long)]
        who: Option<String>,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Tell nobody of some alerts for a time
    Silence(SilenceArgs),
    /// Send a notice to a channel, to see whether it arrives
    Test {
        /// The channel, as alerts.channels names it
        channel: String,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Show what was told, what waits, and what was given up
    Sent {
        /// Only what is waiting, sent or dead
        #[arg(long)]
        state: Option<String>,
        /// Send this one again, which was given up
        #[arg(long, value_name = "KEY")]
        again: Option<String>,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: u32,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Play a history back under the configuration: who would have been told when, and what was kept back
    Simulate {
        /// The history: one JSON object in a line
        file: PathBuf,
        /// Which configuration.
        #[command(flatten)]
        config: ConfigArg,
        /// Time to go on for after the last line
        #[arg(long, default_value = "1h")]
        after: String,
        /// Print JSON, one object in a line
        #[arg(long)]
        json: bool,
    },
}

/// `puerto alerts silence`.
#[derive(Debug, Args)]
pub(crate) struct SilenceArgs {
    /// Labels, as in service=web-* or 'severity=warning|info'
    #[arg(value_name = "LABEL=VALUE")]
    pub(crate) labels: Vec<String>,
    /// How long, as in 2h
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    pub(crate) lasts: String,
    /// Why
    #[arg(long, short, required_unless_present_any = ["end", "list"])]
    pub(crate) reason: Option<String>,
    /// Your name
    #[arg(long)]
    pub(crate) who: Option<String>,
    /// Tenant whose alerts are meant
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// End this silence
    #[arg(long, value_name = "ID", conflicts_with = "labels")]
    pub(crate) end: Option<String>,
    /// Show what is silenced
    #[arg(long, conflicts_with_all = ["labels", "end"])]
    pub(crate) list: bool,
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
}

/// `puerto audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Show records
    List(AuditList),
    /// Check the trail of a running hub, or an exported file
    Verify {
        /// What `puerto audit export` or `prove`, or `puerto export`, has written; without it a running hub checks its own
        file: Option<PathBuf>,
        /// The key that must have signed; without it the one that the file names
        #[arg(long, value_name = "KEY", requires = "file")]
        key: Option<String>,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Print what shows that a record is in the trail
    Prove {
        /// Its number
        seq: u64,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Print a record, with what was given and answered where its tenant keeps that
    Show {
        /// Its number
        seq: u64,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
    /// Erase what was given and answered, and the salts of the digests; the records stay, and the trail is found whole
    Erase(Box<AuditErase>),
    /// Print the whole trail with its checkpoints
    Export {
        /// As events of the Open Cybersecurity Schema Framework, which cannot be verified
        #[arg(long)]
        ocsf: bool,
        /// Which hub.
        #[command(flatten)]
        hub: HubArg,
    },
}

/// Which records of the audit trail.
#[derive(Debug, Args)]
pub(crate) struct AuditWhich {
    /// Of which tenant; of all by default
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Who did it
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// What was done: an operation, or the beginning of several with * at its end
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// At which server
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// Of the operation with this id, as logs and errors name it
    #[arg(long)]
    pub(crate) request: Option<String>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}

impl AuditWhich {
    /// What is given beside the tenant, by its names over REST.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all = [
            ("agent", &self.agent),
            ("action", &self.action),
            ("server", &self.server),
            ("request", &self.request),
            ("since", &self.since),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

/// `puerto audit list`.
#[derive(Debug, Args)]
pub(crate) struct AuditList {
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
    /// Which records.
    #[command(flatten)]
    pub(crate) which: AuditWhich,
    /// Of the trail of this name that came with an archive; see `puerto audit verify`
    #[arg(long)]
    pub(crate) segment: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 50)]
    pub(crate) lines: u32,
}

/// `puerto audit erase`.
#[derive(Debug, Args)]
pub(crate) struct AuditErase {
    /// Which hub.
    #[command(flatten)]
    pub(crate) hub: HubArg,
    /// Of which records.
    #[command(flatten)]
    pub(crate) which: AuditWhich,
    /// Of the operation that this record is about
    #[arg(long, conflicts_with = "request")]
    pub(crate) seq: Option<u64>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Do it; without this it is only said what would be erased
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A built-in server.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Builtin {
    /// This machine: metrics, processes, uptime
    Monitor,
    /// Files under given directories
    File,
    /// A SQLite database
    Db,
}
