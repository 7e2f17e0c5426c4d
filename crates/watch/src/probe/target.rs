//! What a check asks, made once of a definition. All that can be wrong with one definition by itself is found here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use puerto_core::def::ServiceDef;
use puerto_core::{Secret, ServerName, TenantId};
use rustls::pki_types;

use super::tcp::{Address, Host};
use super::tls::{Expected, Spoken, Trust};
use super::{Told, dns, grpc, http as over_http};
use crate::condition::{self, Condition, Found, Judgement};
use crate::health::Verdict;

/// The kinds of addresses that a service may have, with an example of each.
pub const SCHEMES: [(&str, &str); 10] = [
    ("http", "http://host/path"),
    ("https", "https://host/path"),
    ("tcp", "tcp://host:port"),
    ("tls", "tls://host:port"),
    ("dns", "dns://host"),
    ("grpc", "grpc://host:port"),
    ("grpcs", "grpcs://host:port"),
    ("icmp", "icmp://host"),
    ("mcp", "mcp://tenant/server"),
    ("push", "push://"),
];

/// Shortest interval. More often would be a load and no watch.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Headers that belong to the connection, and that only we write.
const OURS: [&str; 4] = ["connection", "content-length", "te", "transfer-encoding"];

/// What is wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}; {help}")]
pub struct Fault {
    /// The key of the definition.
    pub key: &'static str,
    /// What of it, where it is a list or an object.
    pub inside: Inside,
    /// Where in a text, in bytes, where that is known.
    pub at: Option<usize>,
    /// What is wrong. Holds nothing of the address, and no header's value.
    pub why: String,
    /// How to mend it.
    pub help: String,
}

impl Fault {
    /// Of all that a key holds.
    pub(crate) fn of(key: &'static str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key, inside: Inside::Whole, at: None, why: why.into(), help: help.into() }
    }

    /// Of a member of what a key holds.
    pub(crate) fn in_member(
        key: &'static str,
        member: &str,
        why: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { inside: Inside::Member(member.to_owned()), ..Self::of(key, why, help) }
    }
}

/// What of a value is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// All of it.
    Whole,
    /// An item of the list.
    Item(usize),
    /// A member of the object.
    Member(String),
}

/// What a check asks, and what must hold then.
#[derive(Debug, Clone)]
pub struct Target {
    pub(super) plan: Plan,
    /// Whose load it is: checks of one host are limited together.
    pub(super) host: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) reads: bool,
    conditions: Box<[Condition]>,
}

/// How it is asked.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Http(Box<over_http::Plan>),
    Tcp(Address),
    Tls(Address, Expected),
    Dns(dns::Plan),
    Grpc(Box<grpc::Plan>),
    Icmp(Host),
    Server(TenantId, ServerName),
    Push,
}

/// Reads one definition, and gathers what is wrong with it.
struct Reading<'a> {
    def: &'a ServiceDef,
    faults: Vec<Fault>,
}

impl Target {
    /// Reads a definition.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(def: &ServiceDef) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading { def, faults: Vec::new() };
        reading.times();
        let plan = reading.plan();
        let conditions = reading.conditions();
        let (Some(plan), []) = (plan, &reading.faults[..]) else { return Err(reading.faults) };
        let host = plan.host().map_or_else(String::new, Host::to_string);
        Ok(Self {
            reads: conditions.iter().any(Condition::needs_body),
            timeout: def.time_limit().get(),
            host: host.into(),
            conditions: conditions.into(),
            plan,
        })
    }

    /// The server of this hub that it is, where it is one: the hub knows how it is, and nothing is asked.
    pub fn server(&self) -> Option<(&TenantId, &ServerName)> {
        match &self.plan {
            Plan::Server(tenant, server) => Some((tenant, server)),
            _ => None,
        }
    }

    /// Whether it reports by itself.
    pub fn is_push(&self) -> bool {
        matches!(self.plan, Plan::Push)
    }

    /// What must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Judges what a check has found. An answer that came in part is bad, whatever holds of that part.
    pub fn judge(&self, found: &Found) -> (Verdict, Vec<Judgement>) {
        let judged = condition::judge(&self.conditions, found);
        let is_whole = !found.connected || found.error.is_none();
        let is_good = is_whole && judged.iter().all(|one| one.holds);
        (if is_good { Verdict::Good } else { Verdict::Bad }, judged)
    }
}

impl Plan {
    fn host(&self) -> Option<&Host> {
        match self {
            Plan::Http(plan) => Some(&plan.origin.address.host),
            Plan::Tcp(address) | Plan::Tls(address, _) => Some(&address.host),
            Plan::Dns(plan) => Some(&plan.server().host),
            Plan::Grpc(plan) => Some(&plan.address.host),
            Plan::Icmp(host) => Some(host),
            Plan::Server(..) | Plan::Push => None,
        }
    }
}

impl fmt::Display for Plan {
    /// What was asked, without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Http(plan) => plan.origin.address.fmt(f),
            Plan::Tcp(address) | Plan::Tls(address, _) => address.fmt(f),
            Plan::Dns(plan) => plan.server().fmt(f),
            Plan::Grpc(plan) => plan.address.fmt(f),
            Plan::Icmp(host) => host.fmt(f),
            Plan::Server(tenant, server) => write!(f, "{tenant}/{server}"),
            Plan::Push => f.write_str("push"),
        }
    }
}

impl Reading<'_> {
    fn fault(&mut self, key: &'static str, why: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::of(key, why, help));
    }

    fn fault_in(&mut self, key: &'static str, member: &str, why: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::in_member(key, member, why, help));
    }

    fn times(&mut self) {
        let (interval, timeout) = (self.def.interval, self.def.time_limit());
        if interval.get() < INTERVAL_MIN {
            self.fault("interval", format!("{interval} is too short"), "check every 100ms at most");
        } else if timeout > interval {
            let why = format!("{timeout} is longer than the interval of {interval}");
            self.fault("timeout", why, "a check must end before the next one begins");
        } else if timeout.get().is_zero() {
            self.fault("timeout", "no check takes no time", "leave it out, or write as in \"5s\"");
        }
    }

    fn conditions(&mut self) -> Vec<Condition> {
        if self.def.conditions.is_empty() {
            let scheme = self.def.url.reveal().split(':').next().unwrap_or_default().to_ascii_lowercase();
            let usual = match scheme.as_str() {
                "http" | "https" => "[STATUS] < 400",
                "dns" => "[DNS_RCODE] == NOERROR",
                _ => "[CONNECTED] == true",
            };
            return vec![Condition::parse(usual).expect("a test reads each")];
        }
        let mut conditions = Vec::with_capacity(self.def.conditions.len());
        for (at, text) in self.def.conditions.iter().enumerate() {
            match Condition::parse(text) {
                Ok(condition) => conditions.push(condition),
                Err(fault) => {
                    let (inside, at) = (Inside::Item(at), Some(fault.at.min(text.len())));
                    self.faults.push(Fault {
                        key: "conditions",
                        inside,
                        at,
                        why: fault.why,
                        help: fault.help,
                    });
                }
            }
        }
        conditions
    }

    /// Notes what is wrong with a key, and goes on.
    fn take<T>(&mut self, key: &'static str, help: &str, given: Told<T>) -> Option<T> {
        given.map_err(|why| self.fault(key, why, help)).ok()
    }

    fn plan(&mut self) -> Option<Plan> {
        let def = self.def;
        let Some((scheme, rest)) = def.url.reveal().split_once("://") else {
            let known = known_schemes();
            self.fault("url", "there is no \"scheme://\" in it", format!("write one of {known}"));
            return None;
        };
        let scheme = scheme.to_ascii_lowercase();
        let Some((scheme, example)) = SCHEMES.into_iter().find(|(known, _)| *known == scheme) else {
            // What stands before "://" in a text with a secret may be one too.
            let known = known_schemes();
            self.fault("url", "services are not reached by this scheme", format!("write one of {known}"));
            return None;
        };
        let help = format!("write it as in \"{example}\"");
        Some(match scheme {
            "http" | "https" => Plan::Http(Box::new(self.http(&help)?)),
            "tcp" => Plan::Tcp(self.take("url", &help, address(rest, None))?),
            "tls" => {
                let address = self.take("url", &help, address(rest, Some(443)))?;
                let expected = self.expected(&address.host, Spoken::Nothing)?;
                Plan::Tls(address, expected)
            }
            "dns" => {
                let server = self.take("url", &help, address(rest, Some(53)))?;
                let help = "write as in \"dns\": { \"name\": \"example.com\", \"type\": \"A\" }";
                let asked = def.dns.as_ref().ok_or("nothing says what the name server is asked".to_owned());
                let asked = self.take("dns", help, asked)?;
                Plan::Dns(self.take("dns", help, dns::Plan::new(server, &asked.name, asked.kind))?)
            }
            "grpc" | "grpcs" => Plan::Grpc(Box::new(self.grpc(scheme == "grpcs", rest, &help)?)),
            "icmp" => Plan::Icmp(self.take("url", &help, host_alone(rest))?),
            "mcp" => {
                let (tenant, server) = self.take("url", &help, server_of(rest))?;
                Plan::Server(tenant, server)
            }
            _ => {
                if !rest.is_empty() {
                    self.fault("url", "there is something behind \"push://\"", help);
                }
                Plan::Push
            }
        })
    }

    fn http(&mut self, help: &str) -> Option<over_http::Plan> {
        let unread = |_| "it cannot be read".to_owned();
        let given: Uri = self.take("url", help, self.def.url.reveal().parse().map_err(unread))?;
        let origin = over_http::Origin::of(&given).ok_or("its host cannot be read".to_owned());
        let origin = self.take("url", help, origin)?;
        let method = match self.def.method.to_ascii_uppercase().parse::<Method>() {
            Ok(method) if method != Method::CONNECT => Some(method),
            _ => {
                self.fault("method", "it is no method of HTTP that can be asked", "write as in \"GET\"");
                None
            }
        };
        let mut headers = self.headers()?;
        let (url, user) = self.take("url", help, over_http::without_user(&given))?;
        if let Some(user) = user {
            headers.entry(AUTHORIZATION).or_insert(user);
        }
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // The connection serves this one check (RFC 9112, section 9.6).
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let (trust, server_name) = (self.trust()?, self.server_name()?);
        Some(over_http::Plan {
            url,
            method: method?,
            headers,
            body: self.def.body.as_ref().map_or_else(Bytes::new, |body| body.reveal().to_owned().into()),
            redirects: self.def.redirects,
            origin,
            trust,
            server_name,
        })
    }

    fn grpc(&mut self, secure: bool, rest: &str, help: &str) -> Option<grpc::Plan> {
        let usual = secure.then_some(443);
        let address = self.take("url", help, address(rest, usual))?;
        let expected = if secure { Some(self.expected(&address.host, Spoken::Grpc)?) } else { None };
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://{address}/grpc.health.v1.Health/Check").parse();
        let url = self.take("url", help, url.map_err(|_| "it cannot be read".to_owned()))?;
        let mut headers = self.headers()?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let limit = format!("{}m", self.def.time_limit().get().as_millis().min(99_999_999));
        if let Ok(limit) = HeaderValue::from_str(&limit) {
            headers.insert("grpc-timeout", limit);
        }
        Some(grpc::Plan { address, expected, url, headers, message: grpc::message(&self.def.grpc.service) })
    }

    fn headers(&mut self) -> Option<HeaderMap> {
        headers(&self.def.headers, &mut self.faults)
    }

    fn expected(&mut self, host: &Host, spoken: Spoken) -> Option<Expected> {
        let trust = self.trust()?;
        let name = match self.server_name()? {
            Some(name) => name,
            None => self.take("url", "name a host that has one", over_http::server_name(host))?,
        };
        Some(Expected { trust, name, spoken })
    }

    fn trust(&mut self) -> Option<Trust> {
        let tls = &self.def.tls;
        match (&tls.ca_file, tls.insecure) {
            (Some(_), true) => {
                let help = "with \"insecure\" any certificate is taken: keep one of them";
                self.fault_in("tls", "ca_file", "\"ca_file\" means nothing beside \"insecure\"", help);
                None
            }
            (Some(file), false) => Some(Trust::File(std::path::Path::new(file).into())),
            (None, true) => Some(Trust::Any),
            (None, false) => Some(Trust::System),
        }
    }

    fn server_name(&mut self) -> Option<Option<pki_types::ServerName<'static>>> {
        let Some(name) = &self.def.tls.server_name else { return Some(None) };
        let parsed = pki_types::ServerName::try_from(name.clone())
            .map_err(|_| format!("{name:?} is no name that a certificate can be for"));
        match parsed {
            Ok(name) => Some(Some(name)),
            Err(why) => {
                let help = "write as in \"server_name\": \"example.com\"";
                self.fault_in("tls", "server_name", why, help);
                None
            }
        }
    }
}

/// The headers of a request, with the name of the one that asks; none where a fault was found.
pub(crate) fn headers(given: &BTreeMap<String, Secret>, faults: &mut Vec<Fault>) -> Option<HeaderMap> {
    let (mut headers, before) = (HeaderMap::new(), faults.len());
    let mut fault = |name: &str, why, help| faults.push(Fault::in_member("headers", name, why, help));
    for (name, value) in given {
        let Ok(header) = name.parse::<HeaderName>() else {
            fault(name, format!("{name:?} is no name of a header"), "write as in \"X-Api-Key\"");
            continue;
        };
        if OURS.contains(&header.as_str()) {
            fault(name, format!("{name:?} is written by Puerto itself"), "leave it out");
            continue;
        }
        let Ok(mut value) = HeaderValue::from_str(value.reveal()) else {
            fault(
                name,
                format!("the value of {name:?} is none that a header can have"),
                "it must be one line",
            );
            continue;
        };
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    let agent = HeaderValue::from_static(concat!("puerto/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(agent);
    (faults.len() == before).then_some(headers)
}

fn known_schemes() -> String {
    SCHEMES.map(|(scheme, _)| format!("{scheme}://")).join(", ")
}

/// `host:port`, or `host` where there is a usual port.
fn address(rest: &str, usual: Option<u16>) -> Told<Address> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let bare = Host::parse(rest).filter(|host| matches!(host, Host::Ip(_)));
    let (host, port) = match rest.rsplit_once(':') {
        _ if bare.is_some() => (rest, None),
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let host = Host::parse(host).ok_or("its host cannot be read")?;
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => Some(usual.ok_or("it names no port")?),
    };
    Ok(Address { host, port: port.ok_or("its port is none from 1 to 65535")? })
}

fn host_alone(rest: &str) -> Told<Host> {
    Host::parse(rest.strip_suffix('/').unwrap_or(rest)).ok_or_else(|| "its host cannot be read".into())
}

/// `tenant/server`
fn server_of(rest: &str) -> Told<(TenantId, ServerName)> {
    let (tenant, server) = rest.split_once('/').ok_or("it names no tenant and server")?;
    let tenant = TenantId::new(tenant).map_err(|error| error.to_string())?;
    Ok((tenant, ServerName::new(server).map_err(|error| error.to_string())?))
}
