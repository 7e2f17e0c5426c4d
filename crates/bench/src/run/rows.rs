//! What is compared: the cases, who takes part in them, and what Puerto may cost.

use std::time::Duration;

use hyper::Uri;

use crate::load::{Era, Plan, Scenario, Way};

/// How many tools the long list has.
pub(super) const LIST_TOOLS: usize = 500;
/// How many servers the crowded tenant has; the last of them never answers `tools/list`.
pub(super) const SERVERS: usize = 20;
/// How many tools each of the others has.
pub(super) const SERVER_TOOLS: usize = 26;
/// How many servers the wide tenant has, and how many tools each of them.
pub(super) const WIDE_SERVERS: usize = 100;
pub(super) const WIDE_TOOLS: usize = 20;

/// Who answers the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Passthrough,
    Puerto,
    /// Puerto again, over Streamable HTTP: what another way in is compared with.
    PuertoStreamable,
    FastMcp,
    ContextForge,
    McpProxy,
    Supergateway,
    McpHub,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Passthrough => "pass-through",
            Kind::Puerto => "Puerto",
            Kind::PuertoStreamable => "Puerto, Streamable HTTP",
            Kind::FastMcp => "FastMCP proxy",
            Kind::ContextForge => "ContextForge",
            Kind::McpProxy => "mcp-proxy",
            Kind::Supergateway => "supergateway",
            Kind::McpHub => "mcp-hub",
        }
    }

    /// Whether it answers often enough for short turns.
    pub(super) fn is_fast(self) -> bool {
        matches!(self, Kind::Passthrough | Kind::Puerto | Kind::PuertoStreamable)
    }
}

/// What stands behind the contestants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// One server over HTTP.
    Http,
    /// The same; contestants are new, so that their memory is.
    Large,
    /// One server with many tools.
    List,
    /// Many servers, one of which hangs.
    Crowd,
    /// One server over stdio.
    Stdio,
    /// Other ways in than Streamable HTTP.
    Ways,
    /// A hundred servers with two thousand tools.
    Wide,
}

impl Setup {
    pub(super) const ALL: [Setup; 7] =
        [Setup::Http, Setup::Large, Setup::List, Setup::Crowd, Setup::Stdio, Setup::Ways, Setup::Wide];

    pub(super) fn name(self) -> &'static str {
        match self {
            Setup::Http => "calls over HTTP",
            Setup::Large => "memory of large answers",
            Setup::List => "a long list",
            Setup::Crowd => "many servers",
            Setup::Stdio => "calls over stdio",
            Setup::Ways => "other ways in",
            Setup::Wide => "a hundred servers",
        }
    }

    /// Who starts anew every round.
    pub(super) fn fresh(self) -> &'static [Kind] {
        match self {
            Setup::Http | Setup::Large | Setup::List | Setup::Stdio => &[Kind::Passthrough, Kind::Puerto],
            // Nothing but a hub merges lists.
            Setup::Crowd => &[],
            Setup::Ways => &[Kind::Puerto],
            Setup::Wide => &[Kind::Puerto],
        }
    }
}

/// What Puerto may cost in a case.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// CPU per call, as a multiple of the pass-through's: the limit, and what we aim at.
    Cpu { limit: f64, aim: Option<f64> },
    /// Median time of a call beyond the pass-through's, in µs.
    Added { p50_us: f64 },
    /// Peak memory beyond that before, per call in flight, as a multiple of the answer.
    Memory { limit: f64 },
    /// CPU per call and slowest percent, both in µs.
    Absolute { cpu_us: f64, p99_us: f64 },
    /// Slowest percent, in µs.
    Slowest { p99_us: f64 },
}

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) setup: Setup,
    pub(super) target: Target,
    pub(super) connections: usize,
    pub(super) bytes: usize,
    scenario: Scenario,
    era: Era,
    pub(super) way: Way,
}

const SMALL: Target = Target::Cpu { limit: 1.75, aim: Some(1.5) };
const SINGLE: Target = Target::Added { p50_us: 60.0 };
const BULK: Target = Target::Cpu { limit: 1.3, aim: None };
const LIST: Target = Target::Absolute { cpu_us: 100.0, p99_us: 5000.0 };

#[rustfmt::skip]
pub(super) const ROWS: [Row; 18] = [
    call("small call, modern, c=16", Setup::Http, Era::Modern, 16, SMALL),
    call("small call, modern, c=1", Setup::Http, Era::Modern, 1, SINGLE),
    call("small call, legacy, c=16", Setup::Http, Era::Legacy, 16, SMALL),
    call("small call, legacy, c=1", Setup::Http, Era::Legacy, 1, SINGLE),
    call("small call, modern, stdio server, c=16", Setup::Stdio, Era::Modern, 16, SMALL),
    call("small call, modern, stdio server, c=1", Setup::Stdio, Era::Modern, 1, SINGLE),
    call("small call, legacy, stdio server, c=16", Setup::Stdio, Era::Legacy, 16, SMALL),
    call("small call, legacy, stdio server, c=1", Setup::Stdio, Era::Legacy, 1, SINGLE),
    call("small call, modern, stdio server, c=64", Setup::Stdio, Era::Modern, 64, SMALL),
    call("small call, legacy, stdio server, c=64", Setup::Stdio, Era::Legacy, 64, SMALL),
    over("small call, HTTP+SSE, c=16", Way::Sse),
    over("small call, WebSocket, c=16", Way::Websocket),
    large("256 KiB answer, c=4", Setup::Http, Scenario::Payload, 4, 256 << 10, BULK),
    large("256 KiB argument, c=4", Setup::Http, Scenario::Argument, 4, 256 << 10, BULK),
    large("1 MiB answer, c=16", Setup::Large, Scenario::Payload, 16, 1 << 20, Target::Memory { limit: 3.0 }),
    large("list of 500 tools, c=16", Setup::List, Scenario::List, 16, 0, LIST),
    large("list of 20 servers, one hanging, c=16", Setup::Crowd, Scenario::List, 16, 0, LIST),
    large("list of 2,000 tools of 100 servers, c=16", Setup::Wide, Scenario::List, 16, 0, Target::Slowest { p99_us: 20_000.0 }),
];

const fn call(name: &'static str, setup: Setup, era: Era, connections: usize, target: Target) -> Row {
    Row { name, setup, target, connections, bytes: 0, scenario: Scenario::Call, era, way: Way::Streamable }
}

/// Another way in, which Puerto itself over Streamable HTTP is compared with.
const fn over(name: &'static str, way: Way) -> Row {
    Row { way, ..call(name, Setup::Ways, Era::Legacy, 16, BULK) }
}

const fn large(
    name: &'static str,
    setup: Setup,
    scenario: Scenario,
    connections: usize,
    bytes: usize,
    target: Target,
) -> Row {
    Row { name, setup, target, connections, bytes, scenario, era: Era::Modern, way: Way::Streamable }
}

impl Row {
    /// Who Puerto is compared with.
    pub(super) fn base(&self) -> Kind {
        if self.way == Way::Streamable { Kind::Passthrough } else { Kind::PuertoStreamable }
    }

    /// `prefix` is what the contestant puts before the names of tools.
    pub(super) fn plan(&self, url: Uri, way: Way, prefix: &str, window: Duration, warm_up: Duration) -> Plan {
        Plan {
            url,
            scenario: self.scenario,
            era: self.era,
            way,
            connections: self.connections,
            window,
            warm_up,
            tool: format!("{prefix}{}", self.scenario.tool()),
            bytes: self.bytes,
            expect: self.setup.tools(),
        }
    }
}

impl Setup {
    /// How many tools the list has, where the list is what is measured.
    pub(super) fn tools(self) -> Option<usize> {
        match self {
            Setup::List => Some(LIST_TOOLS),
            Setup::Crowd => Some((SERVERS - 1) * SERVER_TOOLS),
            Setup::Wide => Some(WIDE_SERVERS * WIDE_TOOLS),
            Setup::Http | Setup::Large | Setup::Stdio | Setup::Ways => None,
        }
    }
}
