//! Conditions on what a check has found, in the grammar of Gatus, which its users know by heart: `[STATUS] == 200`,
//! `[BODY].user.name == pat(j*)`, `len([BODY].items) > 3`, `has([BODY].errors) == false`,
//! `[STATUS] == any(200, 429)`, `[CERTIFICATE_EXPIRATION] > 48h`. It is read when the configuration is, so that
//! a mistake is told before the first check.

mod parse;
mod value;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

pub use parse::Fault;
use value::Resolved;

/// Longest condition, in bytes.
pub const CONDITION_LEN_MAX: usize = 1024;
/// Characters of a value that are shown where a condition does not hold.
const SHOWN_MAX: usize = 100;

/// What a check has found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Whether it was reached: a connection was made and, where something is asked, an answer began. Over gRPC,
    /// whether it is serving.
    pub connected: bool,
    /// The HTTP status, or the status of gRPC.
    pub status: Option<u16>,
    /// All of it, from the look-up of the name to the last byte read.
    pub response_time: Duration,
    /// The address that was spoken with.
    pub ip: Option<IpAddr>,
    /// What was answered.
    pub body: Vec<u8>,
    /// Time left until the certificate expires; negative ones count as none.
    pub certificate_expiration: Option<Duration>,
    /// The code of a DNS answer, such as `NOERROR`.
    pub dns_rcode: Option<&'static str>,
    /// What went wrong, in words for people; holds no secrets of the definition.
    pub error: Option<String>,
    /// Where the time went.
    pub phases: Phases,
}

/// Where the time of a check went, in the order of what happens; 0 for what did not. After a redirect, that of the
/// last request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// Until the name had addresses.
    pub name: Duration,
    /// Then until there was a connection.
    pub connect: Duration,
    /// Then until the TLS handshake was over.
    pub tls: Duration,
    /// Then until the answer began.
    pub first_byte: Duration,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: Box<str>,
    left: Side,
    operator: Operator,
    right: Side,
}

/// How a condition was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it holds.
    pub holds: bool,
    /// The condition with what was found beside it, as `[STATUS] (503) == 200`.
    pub shown: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// As written.
    Text(Box<str>),
    /// `pat(…)`.
    Like(Box<str>),
    /// `any(…)`.
    Any(Vec<Side>),
    /// Something that was found.
    Of(Place),
    /// `len(…)`.
    Length(Place),
    /// `has(…)`.
    Has(Place),
}

/// Where to look in what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    text: Box<str>,
    part: Part,
    path: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Status,
    ResponseTime,
    Ip,
    Body,
    Connected,
    CertificateExpiration,
    DnsRcode,
}

impl Part {
    const ALL: [(&'static str, Part); 7] = [
        ("STATUS", Part::Status),
        ("RESPONSE_TIME", Part::ResponseTime),
        ("IP", Part::Ip),
        ("BODY", Part::Body),
        ("CONNECTED", Part::Connected),
        ("CERTIFICATE_EXPIRATION", Part::CertificateExpiration),
        ("DNS_RCODE", Part::DnsRcode),
    ];
}

/// One step into a body of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(Box<str>),
    Item(usize),
}

/// A body that is read as JSON when a condition first asks for it.
struct Reader<'a> {
    found: &'a Found,
    json: std::cell::OnceCell<Option<Value>>,
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is none: what was found there, and how to write it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        parse::condition(text)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it looks into what was answered, so that a check has to read it.
    pub fn needs_body(&self) -> bool {
        self.left.needs_body() || self.right.needs_body()
    }

    /// Whether it holds for what was found.
    pub fn judge(&self, found: &Found) -> Judgement {
        judge(std::slice::from_ref(self), found).remove(0)
    }

    fn judged(&self, reader: &Reader<'_>) -> Judgement {
        let (left, right) = (self.left.resolve(reader), self.right.resolve(reader));
        let holds = match self.operator {
            Operator::Equal => left.is(&right),
            Operator::NotEqual => !left.is(&right),
            Operator::Less => left.order(&right).is_some_and(std::cmp::Ordering::is_lt),
            Operator::LessOrEqual => left.order(&right).is_some_and(std::cmp::Ordering::is_le),
            Operator::Greater => left.order(&right).is_some_and(std::cmp::Ordering::is_gt),
            Operator::GreaterOrEqual => left.order(&right).is_some_and(std::cmp::Ordering::is_ge),
        };
        let shown = format!("{} {} {}", self.left.show(&left), self.operator, self.right.show(&right));
        Judgement { holds, shown }
    }
}

/// Judges conditions on one outcome, in order; a body is read once for all of them.
pub fn judge(conditions: &[Condition], found: &Found) -> Vec<Judgement> {
    let reader = Reader { found, json: std::cell::OnceCell::new() };
    conditions.iter().map(|condition| condition.judged(&reader)).collect()
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        })
    }
}

impl Side {
    fn needs_body(&self) -> bool {
        match self {
            Side::Text(_) | Side::Like(_) => false,
            Side::Any(sides) => sides.iter().any(Side::needs_body),
            Side::Of(place) | Side::Length(place) | Side::Has(place) => place.part == Part::Body,
        }
    }

    fn resolve<'a>(&'a self, reader: &'a Reader<'_>) -> Resolved<'a> {
        match self {
            Side::Text(text) => Resolved::text(text),
            Side::Like(pattern) => Resolved::Like(pattern),
            Side::Any(sides) => Resolved::Any(sides.iter().map(|side| side.resolve(reader)).collect()),
            Side::Of(place) => place.resolve(reader),
            Side::Length(place) => place.length(reader),
            Side::Has(place) => Resolved::text(if matches!(place.resolve(reader), Resolved::Nothing) {
                "false"
            } else {
                "true"
            }),
        }
    }

    /// The side as written, and what stands there now, where that is not the same.
    fn show(&self, resolved: &Resolved<'_>) -> String {
        let written = match self {
            Side::Text(text) => return text.to_string(),
            Side::Like(pattern) => return format!("pat({pattern})"),
            Side::Any(sides) => {
                let sides: Vec<_> = sides.iter().map(|side| side.show(&Resolved::Nothing)).collect();
                return format!("any({})", sides.join(", "));
            }
            Side::Of(place) => place.text.to_string(),
            Side::Length(place) => format!("len({})", place.text),
            Side::Has(place) => format!("has({})", place.text),
        };
        let value = resolved.to_string();
        let cut: String = value.chars().take(SHOWN_MAX).collect();
        let dots = if cut.len() < value.len() { "…" } else { "" };
        format!("{written} ({cut}{dots})")
    }
}

impl Place {
    fn resolve<'a>(&self, reader: &'a Reader<'_>) -> Resolved<'a> {
        let found = reader.found;
        match self.part {
            Part::Status => found.status.map_or(Resolved::Nothing, |status| Resolved::number(status.into())),
            Part::ResponseTime => Resolved::time(found.response_time),
            Part::Ip => found.ip.map_or(Resolved::Nothing, |ip| Resolved::owned(ip.to_string())),
            Part::Connected => Resolved::text(if found.connected { "true" } else { "false" }),
            Part::CertificateExpiration => {
                found.certificate_expiration.map_or(Resolved::Nothing, Resolved::time)
            }
            Part::DnsRcode => found.dns_rcode.map_or(Resolved::Nothing, Resolved::text),
            Part::Body if self.path.is_empty() => {
                Resolved::owned(String::from_utf8_lossy(&found.body).into_owned())
            }
            Part::Body => self.in_body(reader).map_or(Resolved::Nothing, Resolved::json),
        }
    }

    fn in_body<'a>(&self, reader: &'a Reader<'_>) -> Option<&'a Value> {
        let body = reader.json.get_or_init(|| serde_json::from_slice(&reader.found.body).ok()).as_ref()?;
        self.path.iter().try_fold(body, |value, step| match step {
            Step::Key(key) => value.get(&**key),
            Step::Item(at) => value.get(at),
        })
    }

    /// Items of a list, members of an object, else characters.
    fn length<'a>(&self, reader: &'a Reader<'_>) -> Resolved<'a> {
        let length = match (self.part, self.in_body_or_whole(reader)) {
            (Part::Body, Some(Value::Array(items))) => items.len(),
            (Part::Body, Some(Value::Object(members))) => members.len(),
            _ => match self.resolve(reader) {
                Resolved::Nothing => return Resolved::Nothing,
                other => other.to_string().chars().count(),
            },
        };
        Resolved::number(length as f64)
    }

    fn in_body_or_whole<'a>(&self, reader: &'a Reader<'_>) -> Option<&'a Value> {
        if self.part == Part::Body { self.in_body(reader) } else { None }
    }
}

#[cfg(test)]
mod tests;
