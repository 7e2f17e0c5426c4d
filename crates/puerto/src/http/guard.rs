//! Who may call from where: while only loopback is served, a request must name this machine and, where a
//! browser sends one, come from a page of this machine or of a configured origin. This is what stops a
//! web page anywhere from reaching the hub through a name that it makes resolve to 127.0.0.1.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};
use puerto_core::{Code, Error, Result};

/// Checks Host and Origin of every request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Origins allowed beside loopback ones.
    pub(crate) origins: Vec<String>,
}

impl Guard {
    /// Whether a request may come in.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<()> {
        let host = headers
            .get(HOST)
            .and_then(|h| h.to_str().ok())
            .or_else(|| uri.authority().map(http::uri::Authority::as_str));
        if !host.is_some_and(is_loopback) {
            return Err(Error::caller(
                Code::OriginRefused,
                "the Host header does not name this machine (localhost, 127.0.0.1 or [::1])",
            ));
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let local =
            ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme).is_some_and(is_loopback));
        if local || self.origins.iter().any(|allowed| allowed.trim_end_matches('/') == origin) {
            return Ok(());
        }
        Err(Error::caller(
            Code::OriginRefused,
            "pages of this origin may not call; gateway.allowed_origins lists those that may",
        ))
    }
}

/// Whether `host[:port]` is this machine, by name or address.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || is_port(port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> bool {
        let guard = Guard { origins: vec!["https://console.example".into()] };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        guard.check(&headers, &Uri::from_static("/mcp")).is_ok()
    }

    #[test]
    fn this_machine_may_call() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "127.8.8.8", "[::1]:8080", "LOCALHOST"] {
            assert!(check(host, None), "{host}");
            assert!(check(host, Some("http://localhost:5173")), "{host}");
        }
        assert!(check("localhost", Some("https://console.example")));
    }

    #[test]
    fn others_may_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost:80@evil",
            "[::2]",
            "[::1]x",
            "",
        ] {
            assert!(!check(host, None), "{host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "https://console.example.evil",
            "http://localhost.evil",
            "file://",
        ] {
            assert!(!check("localhost", Some(origin)), "{origin}");
        }
    }
}
