//! A running hub, and sessions with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Events, events, request};
use crate::process::Process;
use crate::wait_until;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const BOTH: (&str, &str) = ("Accept", "application/json, text/event-stream");

/// A hub of our own: its own directory, its own port.
pub struct Hub {
    /// The process.
    pub process: Process,
    /// `127.0.0.1:port`.
    pub address: String,
    /// The program.
    pub program: PathBuf,
    /// Its directory, with configuration and data.
    pub dir: TempDir,
}

impl Hub {
    /// Starts `puerto up` with a configuration; the port is free, the data lies in a directory of its own.
    pub fn start(program: &str, config: &Value) -> Self {
        Self::start_in(program, config, TempDir::new().expect("a directory can be made"))
    }

    /// The same in a directory that holds data of an earlier run.
    pub fn start_in(program: &str, config: &Value, dir: TempDir) -> Self {
        Self::start_text(program, &config.to_string(), dir)
    }

    /// The same with a configuration as people write it.
    pub fn start_text(program: &str, config: &str, dir: TempDir) -> Self {
        let file = dir.path().join("puerto.json");
        std::fs::write(&file, config).expect("the configuration can be written");
        let mut command = Command::new(program);
        command.args(["up", "--port", "0", "--config"]).arg(&file).current_dir(dir.path());
        for name in ["PUERTO_CONFIG", "MCP_HUB_CONFIG", "MCP_HUB_PLUGINS_DIR", "LOG_LEVEL"] {
            command.env_remove(name);
        }
        let process = Process::start(&mut command);
        let first = process.line();
        let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address =
            address.unwrap_or_else(|| panic!("no address in {first:?}:\n{}", process.errors())).to_owned();
        Self { process, address, program: program.into(), dir }
    }

    /// Starts it with servers in the default tenant, and waits until all of them serve.
    pub fn with_servers(program: &str, servers: &Value) -> Self {
        let hub = Self::start(program, &json!({"tenants": {"default": {"servers": servers}}}));
        for name in servers.as_object().expect("servers are an object").keys() {
            hub.wait_for(&format!("default:{name}"), "ready");
        }
        hub
    }

    /// Waits until a server, `tenant:name`, is in a state.
    pub fn wait_for(&self, server: &str, state: &str) {
        wait_until(&format!("server {server} is {state}; it is {}", self.get("/api/servers").body), || {
            (self.get("/api/servers").json()["servers"][server] == state).then_some(())
        });
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        request(&self.address, "GET", path, &[], "")
    }

    /// `POST` of JSON.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        request(&self.address, "POST", path, &[JSON], body)
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        request(&self.address, method, path, headers, body)
    }

    /// A modern request, as a careful client sends it.
    pub fn modern(&self, path: &str, method: &str, params: Value) -> Answer {
        let (text, name) = modern_text(method, params);
        let mut headers = vec![JSON, BOTH, ("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
        headers.extend(name.as_deref().map(|name| ("Mcp-Name", name)));
        request(&self.address, "POST", path, &headers, &text)
    }

    /// A modern request whose answer is a stream.
    pub fn modern_events(&self, path: &str, method: &str, params: Value) -> Events {
        let (text, name) = modern_text(method, params);
        let mut headers = vec![JSON, BOTH, ("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
        headers.extend(name.as_deref().map(|name| ("Mcp-Name", name)));
        events(&self.address, "POST", path, &headers, &text)
    }

    /// The names that an endpoint lists.
    pub fn tool_names(&self, path: &str) -> Vec<String> {
        let answer = self.modern(path, "tools/list", json!({})).response();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools in {answer}"));
        tools.iter().map(|tool| tool["name"].as_str().expect("a tool has a name").to_owned()).collect()
    }

    /// Calls a tool in the modern era; answers the whole message.
    pub fn call(&self, path: &str, tool: &str, arguments: Value) -> Value {
        self.modern(path, "tools/call", json!({"name": tool, "arguments": arguments})).response()
    }

    /// Opens a legacy session.
    pub fn session(&self, path: &str, version: &str) -> Session<'_> {
        Session::open(self, path, version, json!({}))
    }

    /// Runs the program with arguments in the hub's directory; answers exit code and both outputs.
    pub fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        command(&self.program, self.dir.path(), arguments)
    }

    /// Stops it gracefully; answers its exit code and its directory.
    pub fn stop(mut self) -> (Option<i32>, TempDir) {
        self.process.terminate();
        (self.process.wait().code(), self.dir)
    }
}

/// Runs a program in a directory; answers exit code and both outputs.
pub fn command(program: &Path, dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(program).args(arguments).current_dir(dir).output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
}

/// The text of a modern request, and the name in it that headers mirror.
pub fn modern_text(method: &str, mut params: Value) -> (String, Option<String>) {
    let name = ["name", "uri"].iter().find_map(|key| params[key].as_str()).map(Into::into);
    let meta = &mut params["_meta"];
    if meta["io.modelcontextprotocol/protocolVersion"].is_null() {
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    }
    if meta["io.modelcontextprotocol/clientCapabilities"].is_null() {
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    (json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(), name)
}

/// A legacy session.
pub struct Session<'a> {
    hub: &'a Hub,
    path: String,
    /// Its id.
    pub id: String,
    /// What `initialize` answered.
    pub opened: Value,
    version: String,
}

impl<'a> Session<'a> {
    /// Makes the handshake.
    pub fn open(hub: &'a Hub, path: &str, version: &str, capabilities: Value) -> Self {
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"}});
        let text = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string();
        let answer = hub.request("POST", path, &[JSON, BOTH], &text);
        let id =
            answer.header("mcp-session-id").unwrap_or_else(|| panic!("no session: {answer:?}")).to_owned();
        let session = Self { hub, path: path.into(), id, opened: answer.response(), version: version.into() };
        assert_eq!(session.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).status, 202);
        session
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        vec![JSON, BOTH, ("Mcp-Session-Id", &self.id), ("MCP-Protocol-Version", &self.version)]
    }

    /// Posts a text.
    pub fn send(&self, text: &str) -> Answer {
        self.hub.request("POST", &self.path, &self.headers(), text)
    }

    /// Asks, and waits for every message of the answer.
    pub fn ask(&self, method: &str, params: Value) -> Answer {
        self.send(&json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params}).to_string())
    }

    /// Asks for something whose answer is a stream.
    pub fn ask_events(&self, method: &str, params: Value) -> Events {
        let text = json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params}).to_string();
        events(&self.hub.address, "POST", &self.path, &self.headers(), &text)
    }

    /// Opens the session's own stream.
    pub fn stream(&self) -> Events {
        events(&self.hub.address, "GET", &self.path, &self.headers(), "")
    }

    /// Ends it.
    pub fn end(&self) -> Answer {
        self.hub.request("DELETE", &self.path, &self.headers(), "")
    }
}
