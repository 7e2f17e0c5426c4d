//! One record per operation. Logs, metrics, audit, usage and the live feed are readers of records.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use crate::code::Code;
use crate::error::Origin;
use crate::id::RequestId;
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
}

/// The sending end of the bounded channel of records.
#[derive(Debug, Clone)]
pub struct Recorder {
    to: mpsc::Sender<Record>,
    lost: Arc<AtomicU64>,
}

/// A reserved place in the channel: ending an operation that holds one cannot fail.
pub type Slot = mpsc::OwnedPermit<Record>;

impl Recorder {
    /// A recorder and the receiving end, with room for this many records.
    pub fn new(room: usize) -> (Self, mpsc::Receiver<Record>) {
        let (to, from) = mpsc::channel(room);
        (Self { to, lost: Arc::default() }, from)
    }

    /// Reserves a place before the work begins, or counts the record as lost: recording is best
    /// effort until a tenant can require an audit.
    pub fn reserve(&self) -> Option<Slot> {
        let slot = self.to.clone().try_reserve_owned().ok();
        if slot.is_none() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }

    /// Records that found no place since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
