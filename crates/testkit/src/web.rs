//! A small HTTP service that answers as a test says: well, badly, late, or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it answers.
#[derive(Debug, Clone)]
pub struct Says {
    /// Status of its answers.
    pub status: u16,
    /// Body of its answers.
    pub body: String,
    /// Whether it answers at all; it takes requests either way.
    pub answers: bool,
}

impl Default for Says {
    fn default() -> Self {
        Self { status: 200, body: r#"{"status":"ok"}"#.into(), answers: true }
    }
}

/// The service. Dropped, it is gone, and its port is closed.
pub struct Web {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<(String, String)>>>,
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
        self.heard.lock().expect("nobody panics here").clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        *self.is_over.lock().expect("nobody panics here") = true;
        // Wakes the thread that waits for connections, which sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, says: &Mutex<Says>, heard: &Mutex<Vec<(String, String)>>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim() != "" {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if std::io::Read::read_exact(&mut reader, &mut body).is_err() {
        return;
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    heard.lock().expect("nobody panics here").push((first.trim().to_owned(), body));
    let says = says.lock().expect("nobody panics here").clone();
    if !says.answers {
        // Until the one who asked goes.
        let _ = reader.read_line(&mut line);
        return;
    }
    let head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        says.status,
        says.body.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(says.body.as_bytes()));
    let _ = stream.shutdown(Shutdown::Write);
}
