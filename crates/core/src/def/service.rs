//! Services: what is watched, and how.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::yes;
use super::{Span, WindowDef};
use crate::id::{ServiceName, TenantId};
use crate::secret::Secret;

/// A watched service, as defined.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceDef {
    /// Its name, unique within its tenant.
    pub name: ServiceName,
    /// The tenant that it belongs to.
    #[serde(default)]
    pub tenant: TenantId,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// What it is shown together with.
    #[serde(default)]
    pub group: Option<String>,
    /// Whether it is checked.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What to check, and how: `http://…`, `https://…`, `tcp://host:port`, `tls://host:port` (its certificate),
    /// `dns://host` (a name server), `grpc://host:port` and `grpcs://host:port` (gRPC health), `icmp://host` (ping),
    /// `mcp://tenant/server` (a server of this hub) or `push://` (it reports by itself).
    pub url: Secret,
    /// Method of the request (`http`, `https`).
    #[serde(default = "ServiceDef::get")]
    pub method: String,
    /// Headers of the request (`http`, `https`, `grpc`, `grpcs`).
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Body of the request (`http`, `https`).
    #[serde(default)]
    pub body: Option<Secret>,
    /// Redirects that are followed at most (`http`, `https`); with 0 a redirect is the answer.
    #[serde(default = "ServiceDef::five")]
    #[schemars(range(max = 20))]
    pub redirects: u32,
    /// What a name server is asked (`dns`).
    #[serde(default)]
    pub dns: Option<DnsDef>,
    /// What is asked for by gRPC health (`grpc`, `grpcs`).
    #[serde(default)]
    pub grpc: GrpcDef,
    /// Which certificate is expected (`https`, `tls`, `grpcs`).
    #[serde(default)]
    pub tls: TlsDef,
    /// Time from one check to the next; for `push`, the longest time between two reports.
    #[serde(default = "ServiceDef::interval")]
    pub interval: Span,
    /// Longest time that one check may take. 5 s where left out, or the interval where that is shorter.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// What must hold for a check to be good, as in `[STATUS] == 200`. Where left out: `[STATUS] < 400` for `http`
    /// and `https`, `[DNS_RCODE] == NOERROR` for `dns`, `[CONNECTED] == true` for the others.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// Bad checks in a row after which it counts as down.
    #[serde(default = "ServiceDef::three")]
    #[schemars(range(min = 1, max = 100))]
    pub failures: u32,
    /// Good checks in a row after which it counts as up again.
    #[serde(default = "ServiceDef::two")]
    #[schemars(range(min = 1, max = 100))]
    pub successes: u32,
    /// Services of the same tenant that it depends on: while one of them is down, nobody is told that this one is.
    #[serde(default)]
    pub parents: Vec<ServiceName>,
    /// When work on it is announced; meanwhile nobody is told of anything.
    #[serde(default)]
    pub maintenance: Vec<WindowDef>,
    /// What it promises.
    #[serde(default)]
    pub objectives: Vec<ObjectiveDef>,
    /// Labels for alerts and lists.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether the public status page shows it.
    #[serde(default)]
    pub public: bool,
}

impl ServiceDef {
    fn get() -> String {
        "GET".into()
    }

    fn five() -> u32 {
        5
    }

    fn three() -> u32 {
        3
    }

    fn two() -> u32 {
        2
    }

    fn interval() -> Span {
        Span::from_secs(30)
    }

    /// Longest time that one check may take.
    pub fn time_limit(&self) -> Span {
        self.timeout.unwrap_or(Span::from_secs(5).min(self.interval))
    }
}

/// A question to a name server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsDef {
    /// The name that is asked for.
    pub name: String,
    /// The kind of record that is asked for.
    #[serde(rename = "type", default)]
    pub kind: DnsType,
}

/// A kind of DNS record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsType {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name that it is an alias of.
    Cname,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
    /// Texts.
    Txt,
    /// Where a service is.
    Srv,
    /// The name of an address.
    Ptr,
    /// The zone's own record.
    Soa,
}

/// A question by gRPC health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcDef {
    /// The service of the server that is asked for; the whole server where left out.
    pub service: String,
}

/// Which certificate a service must show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsDef {
    /// Take any certificate. Its expiry is found all the same.
    pub insecure: bool,
    /// The name that the certificate must be for; the host of the URL where left out.
    pub server_name: Option<String>,
    /// File with the certificates (PEM) of the authorities that are trusted, in place of the system's.
    pub ca_file: Option<String>,
}

/// What a service promises: the share of good checks over a time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveDef {
    /// Checks that are good, in percent, above 0 and below 100, such as 99.9.
    pub target: f64,
    /// Days over which it is judged.
    #[serde(default = "ObjectiveDef::month")]
    #[schemars(range(min = 1, max = 90))]
    pub window: u32,
}

impl ObjectiveDef {
    fn month() -> u32 {
        30
    }
}
