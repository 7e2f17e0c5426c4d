//! A mail server of the tests' own: a real one, which writes down what it gets and refuses what it is told to.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use serde::Deserialize;

use crate::process::Process;
use crate::root;

/// A mail as the server got it.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    /// The sender of its envelope.
    pub from: String,
    /// The recipients of its envelope.
    pub to: Vec<String>,
    /// Its subject, decoded.
    pub subject: String,
    /// Its text, decoded.
    pub text: String,
    /// Its HTML, decoded.
    pub html: String,
    /// As it came over the wire.
    pub raw: String,
    /// Who sent it, where somebody had logged in.
    pub user: Option<String>,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// How a server speaks TLS.
#[derive(Debug, Clone, Copy)]
pub enum Speaks<'a> {
    /// Not at all.
    Plain,
    /// When it is asked to, by a certificate and its key (PEM).
    Starttls(&'a Path, &'a Path),
    /// From the first byte.
    Tls(&'a Path, &'a Path),
}

/// The server. It ends with this value.
pub struct MailServer {
    process: Mutex<Process>,
    port: u16,
}

impl MailServer {
    /// Starts one on a free port of 127.0.0.1; where there is a login, it takes mail of no one else.
    pub fn start(speaks: Speaks<'_>, login: Option<(&str, &str)>) -> Self {
        let mut command = Command::new(root().join("peers/run"));
        command.arg("mail");
        match speaks {
            Speaks::Plain => &mut command,
            Speaks::Starttls(cert, key) => command.arg("--starttls").args([cert, key]),
            Speaks::Tls(cert, key) => command.arg("--tls").args([cert, key]),
        };
        if let Some((user, password)) = login {
            command.args(["--login", user, password]);
        }
        let process = Process::start(&mut command);
        let line = process.line();
        let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        Self { process: Mutex::new(process), port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has it answer every further mail with this code, as 451 or 550; 250 takes them again.
    pub fn answers(&self, code: u16) {
        let mut process = self.process.lock().expect("nobody panics here");
        writeln!(process.stdin(), "{code}").expect("the server reads");
        // It says when it knows.
        assert_eq!(process.line(), code.to_string());
    }

    /// Waits for the next mail.
    pub fn mail(&self) -> Mail {
        let line = self.process.lock().expect("nobody panics here").line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}
