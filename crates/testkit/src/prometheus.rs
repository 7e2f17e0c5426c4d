//! A Prometheus of the tests' own, and its `promtool`, as `peers/install` brings them: it scrapes one hub each second and
//! answers queries.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::request;
use crate::process::Process;
use crate::{root, wait_until};

/// A running Prometheus.
pub struct Prometheus {
    /// The process; it ends before its directory goes.
    _process: Process,
    address: String,
    _dir: TempDir,
}

/// One of its programs: where `peers/install` put it, else in the path.
fn program(name: &str) -> PathBuf {
    let own = root().join("peers/.cache/prometheus/usr/bin").join(name);
    if own.exists() { own } else { name.into() }
}

impl Prometheus {
    /// Starts one that scrapes `/metrics/prometheus` of a hub and has a file of rules.
    pub fn start(hub: &str, rules: &Path) -> Self {
        let dir = TempDir::new().expect("a directory can be made");
        let file = dir.path().join("prometheus.yml");
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "puerto",
                "metrics_path": "/metrics/prometheus",
                "static_configs": [{"targets": [hub]}],
            }],
        });
        std::fs::write(&file, config.to_string()).expect("the configuration can be written");
        // It must not outlive a test that is ended by force.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program("prometheus"));
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(dir.path().join("data"));
        command.args(["--web.listen-address", "127.0.0.1:0"]);
        let process = Process::start(&mut command);
        let address = wait_until("Prometheus listens", || {
            let errors = process.errors();
            let line = errors.lines().find(|line| line.contains("msg=\"Listening on\""))?;
            line.split_once(" address=").map(|(_, address)| address.trim().to_owned())
        });
        wait_until("Prometheus is ready", || {
            (request(&address, "GET", "/-/ready", &[], "").status == 200).then_some(())
        });
        Self { _process: process, address, _dir: dir }
    }

    /// What a query gives now.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = request(&self.address, "GET", &format!("/api/v1/query?query={encoded}"), &[], "").json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().expect("a query gives a vector").clone()
    }

    /// What it says at a path.
    pub fn get(&self, path: &str) -> Value {
        request(&self.address, "GET", path, &[], "").json()
    }
}

/// Runs `promtool` on a text; answers whether all is well, and what it said.
pub fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(program("promtool"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool runs; peers/install brings it");
    child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()).expect("promtool reads");
    let done = child.wait_with_output().expect("promtool ends");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), text)
}
