//! `puerto checks`: how every watched service is, and services that are added to a running hub.

use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::ask::{columns, print, text};
use super::client::Client;
use crate::cli::{Checks, ChecksAdd, ChecksChange, HubArg};
use crate::out;

/// Runs the command. The exit code says whether all is well, or the change was made.
pub(crate) async fn run(args: &Checks) -> ExitCode {
    match &args.change {
        None => list(args).await,
        Some(ChecksChange::Add(args)) => add(args).await,
        Some(ChecksChange::Rm { name, tenant, hub }) => rm(name, tenant, hub).await,
    }
}

fn path(tenant: &str, name: &str) -> String {
    let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    format!("/api/services/{}/{}", escaped(tenant), escaped(name))
}

async fn add(args: &ChecksAdd) -> ExitCode {
    let mut def = json!({"name": args.name, "tenant": args.tenant, "url": args.target});
    let given = [
        ("interval", args.interval.as_ref().map(|time| json!(time))),
        ("timeout", args.timeout.as_ref().map(|time| json!(time))),
        ("conditions", (!args.conditions.is_empty()).then(|| json!(args.conditions))),
        ("failures", args.failures.map(|times| json!(times))),
        ("group", args.group.as_ref().map(|group| json!(group))),
        ("parents", (!args.parents.is_empty()).then(|| json!(args.parents))),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            def[key] = value;
        }
    }
    let client = Client::new(&args.hub.url);
    let answer = match args.replace {
        true => client.put(&path(&args.tenant, &args.name), def.to_string()).await,
        false => client.post("/api/services", def.to_string()).await,
    };
    print(&args.hub, answer, |service| {
        out::harmless(&format!("{} is watched: {}", text(&service["name"]), text(&service["url"])))
    })
}

async fn rm(name: &str, tenant: &str, hub: &HubArg) -> ExitCode {
    let answer = Client::new(&hub.url).delete(&path(tenant, name)).await;
    print(hub, answer, |_| out::harmless(&format!("{name} is watched no longer")))
}

async fn list(args: &Checks) -> ExitCode {
    let client = Client::new(&args.hub.url);
    let query = args.tenant.as_ref().map_or_else(String::new, |tenant| format!("?tenant={tenant}"));
    let answer = async {
        if args.now {
            client.get(&format!("/check-services{query}")).await?;
        }
        client.get(&format!("/api/services{query}")).await
    };
    let answer = answer.await;
    let is_well =
        answer.as_ref().is_ok_and(|value| !services(value).any(|service| service["state"] == "down"));
    let code = print(&args.hub, answer, |value| {
        let rows = services(value).map(|service| {
            let percent =
                |share: &Value| share.as_f64().map_or_else(|| "-".into(), |share| format!("{share:.2} %"));
            let last = &service["last"];
            let cells = [
                text(&service["tenant"]),
                text(&service["name"]),
                text(&service["state"]),
                last["response_ms"].as_f64().map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms")),
                percent(&service["uptime"]["24h"]),
                percent(&service["uptime"]["30d"]),
                text(&service["url"]),
                text(&last["error"]).chars().take(100).collect(),
            ];
            cells.map(|cell| out::harmless(&cell)).into()
        });
        columns(
            &["TENANT", "SERVICE", "STATE", "TOOK", "24 H", "30 D", "URL", "WHY"],
            &rows.collect::<Vec<_>>(),
        )
    });
    if is_well { code } else { ExitCode::FAILURE }
}

fn services(value: &Value) -> impl Iterator<Item = &Value> {
    value["services"].as_array().into_iter().flatten()
}
