//! What is compared: the cases, who takes part in them, and what Puerto may cost.

use std::time::Duration;

use hyper::Uri;

use crate::load::{Era, Plan, Scenario};

/// How many tools the long list has.
pub(super) const LIST_TOOLS: usize = 500;
/// How many servers the crowded tenant has; the last of them never answers `tools/list`.
pub(super) const SERVERS: usize = 20;
/// How many tools each of the others has.
pub(super) const SERVER_TOOLS: usize = 26;

/// Who answers the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Passthrough,
    Puerto,
    FastMcp,
    McpProxy,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Passthrough => "pass-through",
            Kind::Puerto => "Puerto",
            Kind::FastMcp => "FastMCP proxy",
            Kind::McpProxy => "mcp-proxy",
        }
    }

    /// Whether it answers often enough for short turns.
    pub(super) fn is_fast(self) -> bool {
        matches!(self, Kind::Passthrough | Kind::Puerto)
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
}

impl Setup {
    pub(super) const ALL: [Setup; 5] = [Setup::Http, Setup::Large, Setup::List, Setup::Crowd, Setup::Stdio];

    pub(super) fn name(self) -> &'static str {
        match self {
            Setup::Http => "calls over HTTP",
            Setup::Large => "memory of large answers",
            Setup::List => "a long list",
            Setup::Crowd => "many servers",
            Setup::Stdio => "calls over stdio",
        }
    }

    /// Who starts anew every round.
    pub(super) fn fresh(self) -> &'static [Kind] {
        match self {
            Setup::Http | Setup::Large | Setup::List | Setup::Stdio => &[Kind::Passthrough, Kind::Puerto],
            // Nothing but a hub merges lists.
            Setup::Crowd => &[],
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
}

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) setup: Setup,
    pub(super) target: Target,
    pub(super) connections: usize,
    pub(super) bytes: usize,
    scenario: Scenario,
    era: Era,
}

const SMALL: Target = Target::Cpu { limit: 1.75, aim: Some(1.5) };
const SINGLE: Target = Target::Added { p50_us: 60.0 };
const BULK: Target = Target::Cpu { limit: 1.3, aim: None };
const LIST: Target = Target::Absolute { cpu_us: 100.0, p99_us: 5000.0 };

#[rustfmt::skip]
pub(super) const ROWS: [Row; 13] = [
    call("small call, modern, c=16", Setup::Http, Era::Modern, 16, SMALL),
    call("small call, modern, c=1", Setup::Http, Era::Modern, 1, SINGLE),
    call("small call, legacy, c=16", Setup::Http, Era::Legacy, 16, SMALL),
    call("small call, legacy, c=1", Setup::Http, Era::Legacy, 1, SINGLE),
    call("small call, modern, stdio server, c=16", Setup::Stdio, Era::Modern, 16, SMALL),
    call("small call, modern, stdio server, c=1", Setup::Stdio, Era::Modern, 1, SINGLE),
    call("small call, legacy, stdio server, c=16", Setup::Stdio, Era::Legacy, 16, SMALL),
    call("small call, legacy, stdio server, c=1", Setup::Stdio, Era::Legacy, 1, SINGLE),
    large("256 KiB answer, c=4", Setup::Http, Scenario::Payload, 4, 256 << 10, BULK),
    large("256 KiB argument, c=4", Setup::Http, Scenario::Argument, 4, 256 << 10, BULK),
    large("1 MiB answer, c=16", Setup::Large, Scenario::Payload, 16, 1 << 20, Target::Memory { limit: 3.0 }),
    large("list of 500 tools, c=16", Setup::List, Scenario::List, 16, 0, LIST),
    large("list of 20 servers, one hanging, c=16", Setup::Crowd, Scenario::List, 16, 0, LIST),
];

const fn call(name: &'static str, setup: Setup, era: Era, connections: usize, target: Target) -> Row {
    Row { name, setup, target, connections, bytes: 0, scenario: Scenario::Call, era }
}

const fn large(
    name: &'static str,
    setup: Setup,
    scenario: Scenario,
    connections: usize,
    bytes: usize,
    target: Target,
) -> Row {
    Row { name, setup, target, connections, bytes, scenario, era: Era::Modern }
}

impl Row {
    pub(super) fn plan(&self, url: Uri, window: Duration, warm_up: Duration) -> Plan {
        Plan {
            url,
            scenario: self.scenario,
            era: self.era,
            connections: self.connections,
            window,
            warm_up,
            tool: self.scenario.tool().to_owned(),
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
            Setup::Http | Setup::Large | Setup::Stdio => None,
        }
    }
}
