//! One record per operation. Logs, metrics, audit, usage and the live feed are readers of records.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::code::Code;
use crate::error::Origin;
use crate::id::RequestId;
use crate::text::Text;
use crate::trace::Trace;

/// What kind of operation a record is about; the name is the MCP method where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An MCP method, served at a door.
    Mcp(Cow<'static, str>),
    /// A change or a reading over REST or the command line, as `noun.verb`.
    Control(&'static str),
}

impl Kind {
    /// The method or `noun.verb`.
    pub fn name(&self) -> &str {
        match self {
            Kind::Mcp(method) => method,
            Kind::Control(name) => name,
        }
    }

    /// Whether it only looks at what there is: it runs nothing and changes nothing.
    pub fn is_reading(&self) -> bool {
        match self {
            Kind::Mcp(method) => {
                method.ends_with("/list")
                    || matches!(
                        &**method,
                        "ping" | "server/discover" | "subscriptions/listen" | "logging/setLevel"
                    )
            }
            Kind::Control(name) => {
                let verb = name.rsplit('.').next().unwrap_or_default();
                matches!(verb, "list" | "read" | "logs" | "tools" | "follow" | "verify" | "prove")
            }
        }
    }
}

/// What of a tenant's operations goes into the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audited {
    /// Nothing.
    Nothing,
    /// What runs or changes something, and what was refused.
    Acts,
    /// Everything.
    All,
}

/// What stands for a text that is not kept itself: whoever has the text and the salt can show that it was this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// SHA-256 of the record's salt and the text; of a long one, of its beginning and its end.
    pub sha256: [u8; 32],
    /// Whether all of the text is in it.
    pub is_whole: bool,
    /// Length of the text.
    pub bytes: u64,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Ok,
    /// The tool ran and said that it failed (`isError`); passed on untouched.
    ToolError,
    /// It failed before, on the way to, or in place of the tool's answer.
    Error(Code, Origin),
    /// The caller left or cancelled.
    Cancelled,
}

impl Outcome {
    /// As in logs, metrics and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ToolError => "tool_error",
            Outcome::Error(code, _) => code.name(),
            Outcome::Cancelled => "cancelled",
        }
    }

    /// Whether it was refused to its caller.
    pub const fn is_denial(self) -> bool {
        matches!(self, Outcome::Error(Code::Forbidden | Code::OriginRefused | Code::QuotaExceeded, _))
    }

    /// Whose fault, where it is a fault.
    pub const fn origin(self) -> Option<Origin> {
        match self {
            Outcome::ToolError => Some(Origin::Upstream),
            Outcome::Error(_, origin) => Some(origin),
            Outcome::Ok | Outcome::Cancelled => None,
        }
    }
}

/// What one operation did. Names are shared texts, so filling one in copies nothing.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it began, wall clock.
    pub at: SystemTime,
    /// Its id, as in error bodies and logs.
    pub request: RequestId,
    /// Its place in a trace.
    pub trace: Trace,
    /// What was asked.
    pub kind: Kind,
    /// The tenant.
    pub tenant: Arc<str>,
    /// Who asked.
    pub caller: Arc<str>,
    /// The client program, as it calls itself; never used to decide anything.
    pub client: Option<Arc<str>>,
    /// The protocol revision spoken with the caller, where the operation came over MCP.
    pub protocol: Option<&'static str>,
    /// The server concerned.
    pub server: Option<Arc<str>>,
    /// The tool, prompt or resource concerned, as its server names it.
    pub object: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// Bytes of the request as received.
    pub bytes_in: u64,
    /// Bytes of the answer as sent.
    pub bytes_out: u64,
    /// For the operator: why it failed.
    pub detail: Option<Box<str>>,
    /// Whether the audit trail has it.
    pub audited: Audited,
    /// What makes digests of equal texts differ; without it they say nothing.
    pub salt: Option<[u8; 16]>,
    /// What stands for its arguments.
    pub arguments: Option<Digest>,
    /// What stands for its result.
    pub result: Option<Digest>,
    /// Its arguments and its result themselves, where its tenant keeps them.
    pub texts: Option<Box<Texts>>,
    /// What only its spans tell; nothing where none are made of it.
    pub traced: Option<Box<Traced>>,
}

/// What an operation was given and what it gave, byte for byte.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Its arguments.
    pub arguments: Option<Text>,
    /// Its result.
    pub result: Option<Text>,
}

/// What only the spans of an operation tell.
#[derive(Debug, Clone, Default)]
pub struct Traced {
    /// The JSON-RPC id of the request, without quotes.
    pub request_id: Option<Box<str>>,
    /// The number of the client's session. Its id is known to its client alone.
    pub session: Option<u64>,
    /// What was asked of servers, in order; the last one gave the answer.
    pub asked: Vec<Asked>,
}

/// A request to a server: a span of its own below that of the operation.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its span; the server's own are below it.
    pub span_id: u64,
    /// How long after the beginning of the operation it was sent.
    pub after: Duration,
    /// The server.
    pub server: Arc<str>,
    /// The protocol revision spoken with it.
    pub protocol: &'static str,
}

impl Record {
    /// Whether the audit trail takes it in.
    pub fn is_for_audit(&self) -> bool {
        match self.audited {
            Audited::Nothing => false,
            Audited::All => true,
            Audited::Acts => !self.kind.is_reading() || self.outcome.is_denial(),
        }
    }
}
