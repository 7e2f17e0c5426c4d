//! From the name of a host to a connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::{Check, Told, span};
use crate::condition::Found;

/// A host: an address, or a name that has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(Arc<str>),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Host {
    /// Of a text as it stands in a URL, where an IPv6 address has brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Some(Host::Ip(ip));
        }
        let is_well = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // 253: the longest name that DNS can carry (RFC 1035, section 2.3.4).
        let is_name = !text.is_empty() && text.len() <= 253 && text.chars().all(is_well);
        is_name.then(|| Host::Name(text.to_ascii_lowercase().into()))
    }

    /// Its addresses, found by the system, in the system's order.
    pub(super) async fn resolve(&self, port: u16, found: &mut Found) -> Told<Vec<SocketAddr>> {
        let name = match self {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
            Host::Name(name) => name,
        };
        let start = Instant::now();
        let addresses: io::Result<Vec<_>> = lookup_host((&**name, port)).await.map(Iterator::collect);
        found.phases.name = start.elapsed();
        match addresses {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            Ok(_) => Err(format!("the name {name} has no address")),
            Err(error) => {
                let why = words(&error);
                let why = why.strip_prefix("failed to lookup address information: ").unwrap_or(&why);
                Err(format!("could not find the address of {name}: {}", lower(why)))
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Ip(ip) => write!(f, "{ip}"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl Address {
    /// Makes a connection. The addresses of a name are tried in order; each may take its share of the time.
    pub(super) async fn connect(&self, check: &mut Check<'_>) -> Told<TcpStream> {
        let (deadline, found) = (check.deadline, &mut *check.found);
        let addresses = self.host.resolve(self.port, found).await?;
        let start = Instant::now();
        let mut last = String::new();
        for (at, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addresses.len() - at) as u32;
            let failed = match timeout_at(now + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A check writes once and waits: nothing is gained by gathering.
                    let _ = stream.set_nodelay(true);
                    found.phases.connect = start.elapsed();
                    found.ip = Some(address.ip());
                    return Ok(stream);
                }
                Ok(Err(error)) => words(&error),
                Err(_) => format!("no answer within {}", span(share)),
            };
            last = match self.host {
                Host::Ip(_) => format!("could not connect to {self}: {failed}"),
                Host::Name(_) => format!("could not connect to {self} ({}): {failed}", address.ip()),
            };
        }
        Err(last)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What the system says, without its number.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    lower(text.split(" (os error").next().unwrap_or(&text))
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        let shown = |text| Host::parse(text).map(|host| host.to_string());
        assert_eq!(shown("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(shown("[::1]").as_deref(), Some("[::1]"));
        assert_eq!(shown("Db_1.Example").as_deref(), Some("db_1.example"));
        for bad in ["", "a b", "a/b", "[x]", "ä", "a@b", &"a".repeat(254)] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
