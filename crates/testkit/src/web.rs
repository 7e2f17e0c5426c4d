//! A small HTTP service that answers as a test says: well, badly, late, or not at all.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// How it answers.
#[derive(Debug, Clone)]
pub struct Says {
    /// Status of its answers.
    pub status: u16,
    /// Body of its answers.
    pub body: String,
    /// Further headers of its answers, as they stand there.
    pub headers: Vec<&'static str>,
    /// Statuses of its next answers, each for one request, before `status`.
    pub next: VecDeque<u16>,
    /// Whether it answers at all; it takes requests either way.
    pub answers: bool,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its first line.
    pub line: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// What it was answered.
    pub status: u16,
}

impl Heard {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The path, with its query.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

impl Default for Says {
    fn default() -> Self {
        let body = r#"{"status":"ok"}"#.into();
        Self { status: 200, body, headers: Vec::new(), next: VecDeque::new(), answers: true }
    }
}

/// The service. Dropped, it is gone, and its port is closed.
pub struct Web {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    is_over: Arc<Mutex<bool>>,
}

impl Web {
    /// Starts one on a free port.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    /// Starts one at an address that was in use before.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = crate::wait_until("the port is free", || TcpListener::bind(address).ok());
        let this = Self {
            address: listener.local_addr().expect("it has an address"),
            says: Arc::default(),
            heard: Arc::default(),
            is_over: Arc::default(),
        };
        let (says, heard, is_over) = (this.says.clone(), this.heard.clone(), this.is_over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if *is_over.lock().expect("nobody panics here") {
                    return;
                }
                let (says, heard) = (says.clone(), heard.clone());
                std::thread::spawn(move || serve(&stream, &says, &heard));
            }
        });
        this
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Changes how it answers from now on.
    pub fn says(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().expect("nobody panics here"));
    }

    /// What was asked so far: the first line and the body of each request.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.requests().into_iter().map(|heard| (heard.line, heard.body)).collect()
    }

    /// Every request so far, whatever it was answered.
    pub fn requests(&self) -> Vec<Heard> {
        self.heard.lock().expect("nobody panics here").clone()
    }

    /// Waits for so many requests at a path that were answered well.
    pub fn wait_for(&self, path: &str, count: usize) -> Vec<Heard> {
        crate::wait_until(&format!("{count} requests came to {path}"), || {
            let taken = |heard: &Heard| heard.path() == path && heard.status < 300;
            let found: Vec<_> = self.requests().into_iter().filter(taken).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        *self.is_over.lock().expect("nobody panics here") = true;
        // Wakes the thread that waits for connections, which sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, says: &Mutex<Says>, heard: &Mutex<Vec<Heard>>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut headers, mut length) = (String::new(), String::new(), Vec::new(), 0);
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim() != "" {
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        line.clear();
    }
    if let Some((_, value)) = headers.iter().find(|(name, _)| name == "content-length") {
        length = value.parse().unwrap_or(0);
    }
    let mut body = vec![0; length];
    if std::io::Read::read_exact(&mut reader, &mut body).is_err() {
        return;
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    let says = {
        let mut says = says.lock().expect("nobody panics here");
        let status = says.next.pop_front().unwrap_or(says.status);
        Says { status, ..says.clone() }
    };
    let (line_of_it, status) = (first.trim().to_owned(), says.status);
    heard.lock().expect("nobody panics here").push(Heard { line: line_of_it, headers, body, status });
    if !says.answers {
        // Until the one who asked goes.
        let _ = reader.read_line(&mut line);
        return;
    }
    let more: String = says.headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
        says.status,
        says.body.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(says.body.as_bytes()));
    let _ = stream.shutdown(Shutdown::Write);
}
