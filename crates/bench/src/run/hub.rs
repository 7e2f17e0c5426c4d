//! How Puerto is configured and started for a measurement: as shipped, with more room where a case
//! has more servers or tools than the default quotas allow.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokio::process::Command;

use super::world::World;
use crate::Result;
use crate::process::Process;

/// The configuration with the servers of `world`.
pub(super) fn configuration(world: &World, directory: &Path, port: u16) -> Value {
    let mut servers: Map<String, Value> = Map::new();
    for (name, url) in &world.servers {
        servers.insert(name.clone(), json!({ "transport": "http", "url": url }));
    }
    if let Some((program, arguments)) = world.command.split_first() {
        let server = json!({ "transport": "stdio", "command": program, "args": arguments });
        servers.insert("bench".to_owned(), server);
    }
    with_servers(&servers, directory, port)
}

/// The configuration with the servers of the default one, its files elsewhere.
pub(super) fn default_configuration(directory: &Path, port: u16) -> Value {
    let demo = format!("sqlite://{}", directory.join("demo.db").display());
    let servers = [
        ("monitor", json!({ "transport": "builtin", "builtin": "monitor" })),
        ("files", json!({ "transport": "builtin", "builtin": "file", "options": { "roots": [directory] } })),
        (
            "sqlite-demo",
            json!({
                "type": "database", "transport": "builtin", "builtin": "db",
                "options": { "url": demo, "writable": true, "init": "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT)" },
            }),
        ),
    ];
    let servers: Map<_, _> = servers.map(|(name, server)| (name.to_owned(), server)).into_iter().collect();
    with_servers(&servers, directory, port)
}

fn with_servers(servers: &Map<String, Value>, directory: &Path, port: u16) -> Value {
    let quotas = json!({ "max_servers": 64, "max_tools_per_server": 1000 });
    json!({
        "version": "1.0.0",
        "tenants": { "default": { "quotas": quotas, "servers": servers } },
        "gateway": { "host": "127.0.0.1", "port": port },
        "store": { "url": format!("sqlite://{}", directory.join("puerto.db").display()) },
    })
}

pub(super) fn start(puerto: &Path, configuration: &Value, directory: &Path, log: &Path) -> Result<Process> {
    let file = directory.join("servers.json");
    std::fs::write(&file, configuration.to_string())?;
    let mut command = Command::new(puerto);
    command.arg("up").arg("--config").arg(&file).current_dir(directory);
    Process::start(&mut command, log)
}
