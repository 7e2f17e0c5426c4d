//! `puerto check`: whether Puerto could run with a configuration, and everything that is wrong with it.

use std::process::ExitCode;

use puerto_core::def::HubDef;
use serde_json::json;

use crate::cli::ConfigArg;
use crate::config::{self, Loaded, Origin, Problem};
use crate::out;

/// Runs it.
pub(crate) fn run(given: &ConfigArg, json: bool, schema: bool) -> ExitCode {
    if schema {
        out::line(format_args!("{:#}", config::schema()));
        return ExitCode::SUCCESS;
    }
    let origin = config::locate(given.config.as_deref(), &super::env);
    let name = match &origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Builtin => format!("no {}, so the built-in configuration", config::DEFAULT),
    };
    let done = config::load_from(&origin, &super::env);
    if json {
        out::line(for_programs(&name, &done));
    } else {
        for_people(&name, &done);
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn for_people(name: &str, done: &Result<Loaded, Vec<Problem>>) {
    let problems = match done {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    };
    for problem in problems {
        out::error_line(format_args!("{problem}\n"));
    }
    match done {
        Ok(loaded) => {
            let (tenants, servers) = size(&loaded.def);
            let warned = match loaded.warnings.len() {
                0 => String::new(),
                n => format!(", {}", count(n, "warning")),
            };
            let defined = format_args!("{}, {}{warned}", count(tenants, "tenant"), count(servers, "server"))
                .to_string();
            out::line(format_args!("{name}: ok ({defined})"));
        }
        Err(problems) => out::error_line(format_args!("{name}: {}", count(problems.len(), "problem"))),
    }
}

fn for_programs(name: &str, done: &Result<Loaded, Vec<Problem>>) -> serde_json::Value {
    match done {
        Ok(loaded) => {
            let (tenants, servers) = size(&loaded.def);
            json!({ "ok": true, "file": name, "tenants": tenants, "servers": servers, "problems": loaded.warnings })
        }
        Err(problems) => json!({ "ok": false, "file": name, "problems": problems }),
    }
}

fn size(def: &HubDef) -> (usize, usize) {
    (def.tenants.len(), def.tenants.values().map(|tenant| tenant.servers.len()).sum())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
