//! A collector of spans and metrics, as far as OTLP over HTTP needs one: it keeps what it is sent, and refuses as told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::wait_until;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

/// A collector that listens until the test program ends.
pub struct Collector {
    /// Its address: `http://127.0.0.1:port`.
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    /// One that answers its first requests with these statuses, and further ones with 200.
    pub fn start(first: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut statuses) = (received.clone(), VecDeque::from(first.to_vec()));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let Some(request) = read(&mut reader) else { continue };
                kept.lock().expect("nobody panics here").push(request);
                let status = statuses.pop_front().unwrap_or(200);
                let answer =
                    format!("HTTP/1.1 {status} .\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                let _ = reader.into_inner().write_all(answer.as_bytes());
            }
        });
        Self { url, received }
    }

    /// Every request so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("nobody panics here").clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Value> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let requests = self.received().into_iter();
        let resources = requests.flat_map(|request| list(&request.body["resourceSpans"]));
        let scopes = resources.flat_map(|resource| list(&resource["scopeSpans"]));
        scopes.flat_map(|scope| list(&scope["spans"])).collect()
    }

    /// Every request with metrics so far.
    pub fn metrics(&self) -> Vec<Value> {
        let requests = self.received().into_iter().filter(|request| request.line == "POST /v1/metrics");
        requests.map(|request| request.body).collect()
    }

    /// Waits for so many spans of a trace.
    pub fn wait_for(&self, trace: &str, count: usize) -> Vec<Value> {
        wait_until("the spans have come", || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span["traceId"] == trace).collect();
            (spans.len() >= count).then_some(spans)
        })
    }
}

fn read(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).ok().filter(|length| *length > 0)?;
        Some(text.trim_end().to_owned())
    };
    let first = line()?.rsplit_once(' ')?.0.to_owned();
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { line: first, headers, body: serde_json::from_slice(&body).ok()? })
}
