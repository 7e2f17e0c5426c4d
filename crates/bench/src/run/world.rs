//! The servers behind the contestants.

use crate::Result;
use crate::process::Process;

/// The tools of a server that is there to be called, of one with a long list, of one among many.
const FEW: usize = 5;
const LONG: usize = 500;
const EACH: usize = 25;
const SERVERS: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One server over HTTP.
    Http,
    /// One server over stdio, to be started by the contestant.
    Stdio,
    /// One server over HTTP with a long list.
    Long,
    /// Many servers over HTTP, one of which never answers `tools/list`.
    Many,
}

pub(super) struct World {
    pub(super) shape: Shape,
    /// The servers over HTTP by name.
    pub(super) servers: Vec<(String, String)>,
    /// The command of the server over stdio.
    pub(super) command: Vec<String>,
    /// The process of the server over HTTP.
    pub(super) pid: Option<u32>,
    _processes: Vec<Process>,
}

impl Shape {
    /// How many tools a complete list has.
    pub(super) fn tools_listed(self) -> usize {
        match self {
            Shape::Http | Shape::Stdio => FEW,
            Shape::Long => LONG,
            Shape::Many => (SERVERS - 1) * EACH,
        }
    }
}

impl World {
    pub(super) async fn start(shape: Shape) -> Result<Self> {
        let mut world =
            Self { shape, servers: Vec::new(), command: Vec::new(), pid: None, _processes: Vec::new() };
        let tools = match shape {
            Shape::Http | Shape::Stdio => FEW,
            Shape::Long => LONG,
            Shape::Many => EACH,
        }
        .to_string();
        if shape == Shape::Stdio {
            let bench = std::env::current_exe()?.to_string_lossy().into_owned();
            world.command = [&bench, "upstream", "--stdio", "--tools", &tools].map(str::to_owned).to_vec();
            return Ok(world);
        }
        let (process, url) = Process::start_listening(&["upstream", "--tools", &tools]).await?;
        world.pid = Some(process.pid());
        world._processes.push(process);
        if shape != Shape::Many {
            world.servers.push(("bench".to_owned(), url));
            return Ok(world);
        }
        // One process plays all that work: they are many to the gateway, which is what counts.
        world.servers = (1..SERVERS).map(|number| (format!("bench-{number}"), url.clone())).collect();
        let (process, url) = Process::start_listening(&["upstream", "--hang-list"]).await?;
        world.servers.push(("bench-hung".to_owned(), url));
        world._processes.push(process);
        Ok(world)
    }
}
