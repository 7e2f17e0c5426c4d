//! The fixture starts, says where, answers in both eras, and ends with the test that started it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

struct Fixture {
    process: Child,
    address: String,
}

impl Fixture {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fixture"))
            .args(["--port", "0", "--exit-with-stdin"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening ").unwrap();
        let address = url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap().to_owned();
        Self { process, address }
    }

    /// POSTs one message and returns the status and the message in the answer.
    fn post(&self, headers: &str, message: &Value) -> (u16, Value) {
        let body = message.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let (start, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
        (status, serde_json::from_str(&body[start..=end]).unwrap())
    }

    fn discover(&self) -> (u16, Value) {
        let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: server/discover\r\n";
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}});
        let params = json!({"_meta": meta});
        self.post(headers, &json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": params}))
    }

    fn initialize(&self) -> (u16, Value) {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}});
        self.post("", &json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success(), "the fixture ends by itself");
    }
}

#[test]
fn answers_both_eras_on_one_url() {
    let fixture = Fixture::start(&[]);
    let (status, discovered) = fixture.discover();
    assert_eq!((status, &discovered["result"]["resultType"]), (200, &json!("complete")));
    // The session's stream stays open, so the answer to initialize is only looked at on the other two.
}

#[test]
fn a_legacy_server_knows_no_discovery() {
    let fixture = Fixture::start(&["--era", "legacy"]);
    let (status, refused) = fixture.discover();
    assert_eq!(status, 400);
    assert_eq!(
        refused,
        json!({"jsonrpc": "2.0", "id": null,
            "error": {"code": -32000, "message": "Bad Request: Server not initialized"}})
    );
    let (status, started) = fixture.initialize();
    assert_eq!((status, &started["result"]["protocolVersion"]), (200, &json!("2025-11-25")));
}

#[test]
fn a_modern_server_refuses_the_handshake() {
    let fixture = Fixture::start(&["--era", "modern"]);
    let (_, refused) = fixture.initialize();
    assert_eq!(refused["error"]["code"], -32022);
    assert_eq!(refused["error"]["data"]["supported"], json!(["2026-07-28"]));
    assert_eq!(fixture.discover().0, 200);
}
