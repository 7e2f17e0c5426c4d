//! Commands that ask a running hub: `tools`, `servers`, `call`, `status`, `logs`.

use std::process::ExitCode;

use puerto_core::Result;
use serde_json::Value;

use super::client::Client;
use super::failed;
use crate::cli::{HubArg, Tools};
use crate::out;

/// Prints an answer: as it is for machines, else as `show` makes of it.
pub(super) fn print(hub: &HubArg, answer: Result<Value>, show: impl FnOnce(&Value) -> String) -> ExitCode {
    match answer {
        Ok(value) if hub.json => out::line(value.to_string()),
        Ok(value) => out::line(show(&value)),
        Err(error) => return failed(&error),
    }
    ExitCode::SUCCESS
}

/// `puerto tools`.
pub(crate) async fn tools(args: &Tools) -> ExitCode {
    let given = [
        args.tenant.as_ref().map(|tenant| format!("tenant={tenant}")),
        args.profile.as_ref().map(|profile| format!("profile={profile}")),
        args.all.then(|| "all=1".to_owned()),
        args.cost.then(|| "cost=1".to_owned()),
    ];
    let query = given.into_iter().flatten().collect::<Vec<_>>().join("&");
    let answer = Client::new(&args.hub.url).get(&format!("/api/tools?{query}")).await;
    print(&args.hub, answer, |value| tool_table(value, args.cost))
}

fn tool_table(value: &Value, cost: bool) -> String {
    let mut tools: Vec<_> = value["tools"].as_array().into_iter().flatten().collect();
    if cost {
        tools.sort_by_key(|tool| std::cmp::Reverse(tool["tokens"].as_u64()));
    }
    let rows = tools.iter().map(|tool| {
        let what = tool["definition"]["description"].as_str().unwrap_or_default();
        let what = match tool["enabled"] == false {
            true => "(switched off)".to_owned(),
            false => what.lines().next().unwrap_or_default().chars().take(80).collect(),
        };
        let tokens = cost.then(|| text(&tool["tokens"]));
        [Some(text(&tool["tenant"])), Some(text(&tool["name"])), tokens, Some(what)]
            .into_iter()
            .flatten()
            .collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !cost {
        return columns(&["TENANT", "TOOL", "DESCRIPTION"], &rows);
    }
    let table = columns(&["TENANT", "TOOL", "TOKENS", "DESCRIPTION"], &rows);
    let cost = &value["cost"];
    let part = |noun: &str, key: &str| {
        let of = cost[key].as_object().into_iter().flatten();
        of.map(|(name, tokens)| format!("  {noun} {name}: {tokens}")).collect::<Vec<_>>()
    };
    let total = format!("\nabout {} tokens of a model's context for this list", text(&cost["tokens"]));
    let lines = [vec![table, total], part("server", "servers"), part("profile", "profiles")].concat();
    lines.join("\n")
}

/// `puerto servers`.
pub(crate) async fn servers(hub: &HubArg) -> ExitCode {
    print(hub, all_servers(&Client::new(&hub.url)).await, |value| {
        let servers = value["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rows = servers.iter().map(|s| {
            let why = s["error"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
            let instances = s["instances"].as_array().map_or(0, Vec::len);
            let state = match instances {
                0 => text(&s["status"]),
                1 => format!("{} (1 instance)", text(&s["status"])),
                _ => format!("{} ({instances} instances)", text(&s["status"])),
            };
            vec![
                text(&s["tenant"]),
                text(&s["name"]),
                state,
                text(&s["transport"]),
                text(&s["protocol"]),
                text(&s["tools"]),
                text(&s["restarts"]),
                why,
            ]
        });
        columns(
            &["TENANT", "SERVER", "STATE", "TRANSPORT", "PROTOCOL", "TOOLS", "RESTARTS", "WHY"],
            &rows.collect::<Vec<_>>(),
        )
    })
}

async fn all_servers(client: &Client) -> Result<Value> {
    let list = client.get("/api/servers").await?;
    let mut all = Vec::new();
    for key in list["servers"].as_object().into_iter().flat_map(|map| map.keys()) {
        if let Some((tenant, name)) = key.split_once(':') {
            all.push(client.get(&format!("/api/servers/{tenant}/{name}")).await?);
        }
    }
    Ok(serde_json::json!({"total": all.len(), "servers": all}))
}

/// `puerto call`. Exit code 1 where the tool says that it failed.
pub(crate) async fn call(hub: &HubArg, tenant: &str, tool: &str, arguments: String) -> ExitCode {
    let answer =
        Client::new(&hub.url).post(&format!("/api/tools/{tool}/call?tenant={tenant}"), arguments).await;
    let bad = answer.as_ref().is_ok_and(|value| value["result"]["isError"] == Value::Bool(true));
    let printed = print(hub, answer, |value| readable(&value["result"]));
    if bad { ExitCode::FAILURE } else { printed }
}

/// A tool's result for people: what is structured as JSON, texts as they are, anything else by its kind.
pub(crate) fn readable(result: &Value) -> String {
    if let Some(structured) = result.get("structuredContent").filter(|s| !s.is_null()) {
        return serde_json::to_string_pretty(structured).unwrap_or_default();
    }
    let blocks = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = blocks.iter().map(|block| match block["type"].as_str() {
        Some("text") => block["text"].as_str().unwrap_or_default().to_owned(),
        Some("resource_link") => format!("[link {}]", text(&block["uri"])),
        Some(kind) => format!("[{kind}, {} bytes of base64]", block["data"].as_str().map_or(0, str::len)),
        None => block.to_string(),
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// `puerto reload`, and `puerto diff`, which only looks.
pub(crate) async fn reload(hub: &HubArg, preview: bool) -> ExitCode {
    let path = if preview { "/api/reload?preview=true" } else { "/api/reload" };
    let answer = Client::new(&hub.url).post(path, String::new()).await;
    print(hub, answer, |value| {
        let mut lines = Vec::new();
        for (key, sign) in [("added", "+"), ("changed", "~"), ("removed", "-")] {
            let names = value[key].as_array().into_iter().flatten();
            lines.extend(names.map(|name| format!("{sign} {}", text(name))));
        }
        lines.push(format!("  {} unchanged", text(&value["unchanged"])));
        let reshaped = value["reshaped"].as_array().into_iter().flatten();
        lines.extend(reshaped.map(|tenant| format!("~ overrides or profiles of tenant {}", text(tenant))));
        let later = value["next_start"].as_array().into_iter().flatten();
        lines.extend(
            later.map(|section| format!("! {} is different, and counts at the next start", text(section))),
        );
        lines.join("\n")
    })
}

/// `puerto status`.
pub(crate) async fn status(hub: &HubArg) -> ExitCode {
    let client = Client::new(&hub.url);
    let answer = async {
        let health = client.get("/health").await?;
        let tenants = client.get("/api/tenants").await?;
        Ok(serde_json::json!({"health": health, "tenants": tenants["tenants"]}))
    };
    print(hub, answer.await, |value| {
        let health = &value["health"];
        let mut lines =
            vec![format!("{} for {} s at {}", text(&health["status"]), text(&health["uptime_s"]), hub.url)];
        for (name, part) in health["components"].as_object().into_iter().flatten() {
            lines.push(format!("  {name:<10} {:<10} {}", text(&part["status"]), text(&part["detail"])));
        }
        for (name, status) in value["tenants"].as_object().into_iter().flatten() {
            lines.push(format!("  tenant {name}: {}", text(status)));
        }
        lines.join("\n")
    })
}

/// `puerto logs`.
pub(crate) async fn logs(hub: &HubArg, tenant: &str, server: Option<&str>, lines: u32) -> ExitCode {
    let client = Client::new(&hub.url);
    match server {
        Some(server) => {
            let answer = client.get(&format!("/api/servers/{tenant}/{server}/logs?lines={lines}")).await;
            print(hub, answer, |value| {
                let lines = value["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
                lines
                    .iter()
                    .map(|line| {
                        format!(
                            "{} {}",
                            when(line["at_ms"].as_i64().map(|ms| ms * 1000)),
                            text(&line["text"])
                        )
                    })
                    .collect::<Vec<_>>()
                    .join("\n")
            })
        }
        None => {
            let answer =
                client.get(&format!("/api/records?tenant={tenant}&limit={}", lines.clamp(1, 1000))).await;
            print(hub, answer, |value| {
                let records = value["records"].as_array().map(Vec::as_slice).unwrap_or_default();
                let rows = records.iter().rev().map(|r| {
                    let ms = r["duration_us"].as_f64().unwrap_or_default() / 1e3;
                    vec![
                        when(r["at_us"].as_i64()),
                        text(&r["kind"]),
                        text(&r["server"]),
                        text(&r["object"]),
                        text(&r["outcome"]),
                        format!("{ms:.1} ms"),
                        text(&r["client"]),
                        text(&r["detail"]),
                    ]
                });
                columns(
                    &["TIME", "OPERATION", "SERVER", "OBJECT", "OUTCOME", "TOOK", "CLIENT", "WHY"],
                    &rows.collect::<Vec<_>>(),
                )
            })
        }
    }
}

pub(super) fn when(at_us: Option<i64>) -> String {
    at_us
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default()
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rows in columns as wide as they need to be.
pub(super) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "nothing to show".into();
    }
    let width =
        |at: usize| rows.iter().map(|row| row[at].chars().count()).chain([head[at].len()]).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}
