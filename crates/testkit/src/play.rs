//! A server over HTTP whose every answer a test writes, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

/// Serves at a free port: each request, by head and body, gets the text that is answered for it, and then its
/// connection closes. Answers the address of the endpoint. It ends with the test.
pub fn play(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let (mut head, mut body) = (String::new(), Vec::new());
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
                let length = head.lines().find_map(length).unwrap_or(0);
                let _ = reader.by_ref().take(length).read_to_end(&mut body);
                let text = answer(&head, &String::from_utf8_lossy(&body));
                let _ = reader.get_mut().write_all(text.as_bytes());
            });
        }
    });
    format!("http://{address}/mcp")
}

/// An answer of HTTP; `more` are further lines of its head.
pub fn reply(status: &str, kind: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// What a legacy server with one tool, `slow`, answers to everything but calls and streams.
pub fn shakes_hands(body: &str) -> String {
    let request: Value = serde_json::from_str(body).unwrap_or_default();
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}}, "serverInfo": {"name": "s", "version": "1"}})
        }
        "tools/list" => json!({"tools": [{"name": "slow", "inputSchema": {"type": "object"}}]}),
        "server/discover" => return reply("400 Bad Request", "text/plain", "", "what?"),
        _ => return reply("202 Accepted", "text/plain", "", ""),
    };
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
    reply("200 OK", "application/json", "Mcp-Session-Id: s1\r\n", &answer)
}
