//! Servers and clients of others, as `peers/install` brings them, and the conformance fixture.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::Process;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// The definition of a peer's server as a child process.
pub fn peer(name: &str, arguments: &[&str]) -> Value {
    let arguments: Vec<_> = std::iter::once(&name).chain(arguments).collect();
    json!({"command": root().join("peers/run"), "args": arguments})
}

/// Runs a peer's client and reads the document that it prints.
pub fn client(name: &str, arguments: &[&str]) -> Value {
    let done = Command::new(root().join("peers/run"))
        .arg(name)
        .args(arguments)
        .output()
        .expect("peers/run runs; `make test` installs it");
    let text = String::from_utf8_lossy(&done.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{name}: {e}: {text}\n{}", String::from_utf8_lossy(&done.stderr)))
}

/// What OpenTelemetry's own messages understand of a request with metrics, as JSON again.
pub fn understood(request: &Value) -> Value {
    let mut reader = Command::new(root().join("peers/run"))
        .arg("otlp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("peers/run runs; `make test` installs it");
    let mut input = reader.stdin.take().expect("it is a pipe");
    input.write_all(request.to_string().as_bytes()).expect("it reads");
    drop(input);
    let done = reader.wait_with_output().expect("it ends");
    assert!(done.status.success(), "these messages are not OpenTelemetry's: {request}");
    serde_json::from_slice(&done.stdout).expect("it prints JSON")
}

/// Runs the official suite; answers whether all went as the baseline says, and what it printed.
pub fn conformance(url: &str, requirements: &str, baseline: Option<&Path>) -> (bool, String) {
    let mut command = Command::new(root().join("peers/conformance"));
    command.args([url, requirements]).args(baseline);
    let done = command.output().expect("peers/conformance runs");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), text)
}

/// The conformance fixture, over HTTP.
pub struct Fixture {
    /// Its MCP endpoint.
    pub url: String,
    /// The process.
    pub process: Process,
}

impl Fixture {
    /// Where the program lies: beside the hub's own, as `make test` builds both.
    pub fn program(hub: &str) -> PathBuf {
        let program = Path::new(hub).with_file_name("fixture");
        assert!(program.exists(), "{} is missing: cargo build -p puerto-testkit", program.display());
        program
    }

    /// Starts it for an era: `both`, `legacy`, `modern`.
    pub fn start(hub: &str, era: &str) -> Self {
        let process =
            Process::start(Command::new(Self::program(hub)).args(["--era", era, "--exit-with-stdin"]));
        let line = process.line();
        let url =
            line.strip_prefix("listening ").unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { url, process }
    }
}

/// The definition of the small server that crashes, hangs and answers what it was sent, as asked.
pub fn odd(arguments: &[&str]) -> Value {
    let script = root().join("crates/testkit/servers/odd.py");
    let all: Vec<_> = std::iter::once(script.to_str().expect("the path is text"))
        .chain(arguments.iter().copied())
        .collect();
    json!({"command": "python3", "args": all})
}

/// The definition of the small server that mistreats whoever calls it.
pub fn hostile() -> Value {
    json!({"command": "python3", "args": [root().join("crates/testkit/servers/hostile.py")]})
}

/// The definition of the fixture behind a shell that starts another process, which holds so many MiB of memory.
pub fn heavy(hub: &str, mebibytes: u32) -> Value {
    let fixture = Fixture::program(hub);
    // What has no end of a line is kept until it ends.
    let script = format!(
        "{{ head -c {mebibytes}M /dev/zero; tail -f /dev/null; }} | tail -n 1 >/dev/null & exec {} --stdio",
        fixture.display()
    );
    json!({"command": "sh", "args": ["-c", script]})
}

/// The definition of the small server of either era that shows exactly what it received, and waits, hangs or
/// refuses to start as asked.
pub fn scripted(arguments: &[&str]) -> Value {
    let script = root().join("crates/testkit/servers/scripted.py");
    let all: Vec<_> = std::iter::once(script.to_str().expect("the path is text"))
        .chain(arguments.iter().copied())
        .collect();
    json!({"command": "python3", "args": all})
}

/// The same server over HTTP, and the definition that reaches it.
pub fn scripted_http(era: &str) -> (Process, Value) {
    let script = root().join("crates/testkit/servers/scripted.py");
    let process = Process::start(Command::new("python3").arg(script).args(["--http", "--era", era]));
    let line = process.line();
    let url = line.strip_prefix("listening ").unwrap_or_else(|| panic!("no address in {line:?}"));
    (process, json!({"url": url}))
}

/// The small HTTP API on a framework of others; answers its origin too. Its document is at `/schema`.
pub fn pets() -> (Process, String) {
    let process = Process::start(Command::new(root().join("peers/run")).arg("pets"));
    let line = process.line();
    let origin =
        line.strip_prefix("listening ").unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
    (process, origin)
}
