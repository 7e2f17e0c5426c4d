//! What is compared, and what Puerto is to reach.

use super::world::Shape;
use crate::load::{Era, Scenario};

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) world: Shape,
    pub(super) scenario: Scenario,
    pub(super) era: Era,
    pub(super) connections: usize,
    pub(super) bytes: usize,
    pub(super) target: Target,
}

/// What Puerto is to reach in a case. Ratios are against the pass-through of the same round.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// CPU time per call: at most `.0` times the pass-through, better `.1`.
    Cpu(f64, f64),
    /// p50 at most this many microseconds above the pass-through.
    Added(f64),
    /// Extra memory per call in flight: at most `.0` times the payload.
    Memory(f64),
    /// At most this much CPU time per call and this p99, both in microseconds.
    Within(f64, f64),
}

const SMALL: Target = Target::Cpu(1.75, 1.5);
const LARGE: Target = Target::Cpu(1.3, 1.3);
const ALONE: Target = Target::Added(60.0);
const LIST: Target = Target::Within(100.0, 5000.0);
/// Few words for the table below: it is read by columns.
const CALL: Case = Case {
    name: "",
    world: Shape::Http,
    scenario: Scenario::Call,
    era: Era::Modern,
    connections: 16,
    bytes: 0,
    target: SMALL,
};
const LARGE_CALL: Case = Case { bytes: 256 << 10, target: LARGE, ..CALL };

pub(super) const CASES: &[Case] = &[
    Case { name: "small call, modern, http, c=16", ..CALL },
    Case { name: "small call, modern, http, c=1", connections: 1, target: ALONE, ..CALL },
    Case { name: "small call, legacy, http, c=16", era: Era::Legacy, ..CALL },
    Case { name: "small call, legacy, http, c=1", era: Era::Legacy, connections: 1, target: ALONE, ..CALL },
    Case { name: "small call, modern, stdio, c=16", world: Shape::Stdio, ..CALL },
    Case {
        name: "small call, modern, stdio, c=1",
        world: Shape::Stdio,
        connections: 1,
        target: ALONE,
        ..CALL
    },
    Case { name: "small call, legacy, stdio, c=16", world: Shape::Stdio, era: Era::Legacy, ..CALL },
    Case {
        name: "small call, legacy, stdio, c=1",
        world: Shape::Stdio,
        era: Era::Legacy,
        connections: 1,
        target: ALONE,
        ..CALL
    },
    Case { name: "256 KiB answer, c=16", scenario: Scenario::Payload, ..LARGE_CALL },
    Case { name: "256 KiB argument, c=16", scenario: Scenario::Argument, ..LARGE_CALL },
    Case {
        name: "1 MiB answer, c=16",
        scenario: Scenario::Payload,
        bytes: 1 << 20,
        target: Target::Memory(3.0),
        ..CALL
    },
    Case {
        name: "list of 500 tools, c=16",
        world: Shape::Long,
        scenario: Scenario::List,
        target: LIST,
        ..CALL
    },
    Case {
        name: "list of 475 tools of 20 servers, one hanging, c=16",
        world: Shape::Many,
        scenario: Scenario::List,
        target: LIST,
        ..CALL
    },
];
