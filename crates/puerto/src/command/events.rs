//! `puerto events`: what happened, and what happens from now on.

use std::fmt::Write as _;
use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::ask::{columns, print, text, when};
use super::client::Client;
use super::failed;
use crate::cli::Events;
use crate::out;

/// Runs the command.
pub(crate) async fn run(args: &Events) -> ExitCode {
    let client = Client::new(&args.hub.url);
    if args.follow {
        let shown = |event: Value| match args.hub.json {
            true => out::line(event.to_string()),
            false => out::line(line(&event)),
        };
        return match client.follow(&format!("/events/stream?{}", query(args)), shown).await {
            Ok(()) => {
                out::error_line("the hub has ended the stream");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        };
    }
    let path = format!("/events?limit={}&{}", args.lines.clamp(1, 1000), query(args));
    print(&args.hub, client.get(&path).await, |value| {
        let events = value["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rows = events.iter().rev().map(|event| cells(event).into());
        columns(
            &["TIME", "SEVERITY", "TYPE", "TENANT", "SOURCE", "SUBJECT", "PAYLOAD"],
            &rows.collect::<Vec<_>>(),
        )
    })
}

/// What is asked for, as a query string.
fn query(args: &Events) -> String {
    let given = [
        ("tenant", &args.tenant),
        ("type", &args.kind),
        ("severity", &args.severity),
        ("source", &args.source),
        ("since", &args.since),
        ("q", &args.text),
    ];
    let mut query = String::new();
    for (name, value) in given {
        if let Some(value) = value {
            let _ = write!(query, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
    }
    query
}

fn cells(event: &Value) -> [String; 7] {
    [
        when(event["timestamp"].as_i64().map(|ms| ms * 1000)),
        text(&event["severity"]),
        text(&event["type"]),
        text(&event["tenant"]),
        text(&event["source"]),
        text(&event["subject"]),
        text(&event["payload"]).chars().take(120).collect(),
    ]
    .map(|cell| out::harmless(&cell))
}

fn line(event: &Value) -> String {
    match event.get("next") {
        // The one message of a stream that is no event.
        Some(next) if event.get("seq").is_none() => {
            format!("(events before number {next} are no longer kept)")
        }
        _ => cells(event).join("  "),
    }
}
