//! Messages to a syslog (RFC 5424): where they go, and how they are written. Sending is done in `alert/send/syslog.rs`.

use std::fmt;
use std::path::PathBuf;

use http::Uri;

use crate::probe::{Address, Host};

/// Facility 13 (log audit), severity 6 (informational).
const PRIORITY: u8 = 13 * 8 + 6;
/// The port where none is named (RFC 5426; over TCP it is custom).
const PORT: u16 = 514;
/// Longest name of a host (RFC 5424, section 6).
const HOST_LEN_MAX: usize = 255;

/// A syslog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog(pub(crate) Way);

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// One datagram a message (RFC 5426).
    Udp(Address),
    /// Messages with their length before them (RFC 6587, octet counting).
    Tcp(Address),
    /// The socket of this machine's own, which takes datagrams.
    Unix(PathBuf),
}

impl Syslog {
    /// Reads an address such as `udp://host:514`, `tcp://host:601` or `unix:///dev/log`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(address: &str) -> Result<Self, &'static str> {
        let address = address.trim();
        if let Some(path) = address.strip_prefix("unix://") {
            let is_whole = path.starts_with('/') && !path.contains('\0');
            return if is_whole {
                Ok(Self(Way::Unix(path.into())))
            } else {
                Err("the path of a socket begins with a slash")
            };
        }
        let uri: Uri = address.parse().map_err(|_| "it is no address of a syslog")?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !is_bare || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("a syslog has a host and a port only");
        }
        let host = uri.host().and_then(Host::parse).ok_or("it is no address of a syslog")?;
        let to = Address { host, port: uri.port_u16().unwrap_or(PORT) };
        match uri.scheme_str() {
            Some("udp") => Ok(Self(Way::Udp(to))),
            Some("tcp") => Ok(Self(Way::Tcp(to))),
            _ => Err("it is no address of a syslog"),
        }
    }
}

impl fmt::Display for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Udp(to) | Way::Tcp(to) => write!(f, "{to}"),
            Way::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A message of Puerto: when (RFC 3339), on which host, of which kind, and a document of JSON. What is no ASCII is escaped
/// in it, so that no receiver has to know how it is encoded.
pub fn message(at: &str, host: &str, kind: &str, document: &str) -> String {
    let host: String = host.chars().filter(char::is_ascii_graphic).take(HOST_LEN_MAX).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let mut line = format!("<{PRIORITY}>1 {at} {host} puerto {} {kind} - ", std::process::id());
    let mut units = [0; 2];
    for c in document.chars() {
        match c {
            c if c.is_ascii() => line.push(c),
            c => line.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (given, shown) in [
            ("udp://127.0.0.1:5514", "127.0.0.1:5514"),
            ("udp://logs.example.com", "logs.example.com:514"),
            ("tcp://[::1]:601/", "[::1]:601"),
            ("unix:///dev/log", "/dev/log"),
        ] {
            assert_eq!(Syslog::new(given).unwrap().to_string(), shown, "{given}");
        }
        for bad in [
            "",
            "127.0.0.1:514",
            "http://127.0.0.1:514",
            "udp://",
            "udp://user@host:514",
            "tcp://host:514/path",
            "unix://dev/log",
            "tls://host",
        ] {
            assert!(Syslog::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_ascii() {
        let line = message("2026-11-22T10:00:00.000Z", "har bour\n", "checkpoint", r#"{"note":"a\n— 😀"}"#);
        let expected = format!(
            r#"<110>1 2026-11-22T10:00:00.000Z harbour puerto {} checkpoint - {{"note":"a\n\u2014 \ud83d\ude00"}}"#,
            std::process::id()
        );
        assert_eq!(line, expected);
        assert!(message("t", "", "k", "{}").starts_with("<110>1 t - puerto "));
    }
}
