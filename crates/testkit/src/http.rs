//! A minimal HTTP client: what a test sends is exactly what it says, headers and all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: String,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("{e}: HTTP {} {:?}", self.status, self.body))
    }

    /// Every message in it: one, or those of an event stream.
    pub fn messages(&self) -> Vec<Value> {
        if self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
            return data.map(|data| serde_json::from_str(data).expect("an event holds JSON")).collect();
        }
        if self.body.is_empty() { Vec::new() } else { vec![self.json()] }
    }

    /// The last message: the response.
    pub fn response(&self) -> Value {
        self.messages().pop().unwrap_or_else(|| panic!("no message: HTTP {} {:?}", self.status, self.body))
    }
}

/// A stream of events, read one by one.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// The next message; nothing when the stream has ended.
    pub fn next_message(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect("an event holds JSON"));
            }
        }
    }
}

fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).expect("the hub accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    // A server that refuses a large body may close before it has all of it: its answer says why.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    BufReader::new(stream)
}

fn head(reader: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer comes");
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status in {line:?}"));
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("headers come");
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return (status, headers),
        }
    }
}

/// Sends a request and reads its whole answer.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut reader = send(address, method, path, headers, body.as_bytes());
    let (status, headers) = head(&mut reader);
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let mut body = Vec::new();
    if chunked {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).expect("a chunk comes");
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk has a size");
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).expect("a chunk is whole");
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else {
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, n)| n.parse().ok());
        body.resize(length.unwrap_or(0), 0);
        reader.read_exact(&mut body).expect("the body is whole");
    }
    Answer { status, headers, body: String::from_utf8(body).expect("the body is text") }
}

/// Sends a request and hands its event stream over once the head of the answer is there.
pub fn events(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Events {
    let mut reader = send(address, method, path, headers, body.as_bytes());
    let (status, headers) = head(&mut reader);
    let kind = headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    assert_eq!((status, kind), (200, Some("text/event-stream")), "{headers:?}");
    Events(reader)
}
