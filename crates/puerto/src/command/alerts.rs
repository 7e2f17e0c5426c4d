//! `puerto alerts`: what is wrong, who was told, and what a configuration would have told. A history is played back here,
//! with nothing but the configuration.

use std::path::Path;
use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use puerto_core::def::Span;
use puerto_core::{Code, Error, Result};
use puerto_watch::alert::{Moment, Notice, simulate};
use serde_json::{Value, json};

use super::ask::{columns, print, text, when};
use super::client::Client;
use super::{failed, load};
use crate::cli::{Alerts, ConfigArg, HubArg, SilenceArgs};
use crate::out;

/// Runs the command. `list` says by its exit code whether nothing is wrong, `test` whether the notice was sent.
pub(crate) async fn run(command: &Alerts) -> ExitCode {
    match command {
        Alerts::List { tenant, hub } => list(tenant.as_deref(), hub).await,
        Alerts::Ack { id, reason, who, hub } => {
            let body = json!({"reason": reason, "who": who}).to_string();
            let answer = Client::new(&hub.url).post(&format!("/alerts/{}/ack", escaped(id)), body).await;
            print(hub, answer, |alert| format!("acknowledged: {}", out::harmless(&text(&alert["summary"]))))
        }
        Alerts::Silence(args) => silence(args).await,
        Alerts::Test { channel, hub } => test(channel, hub).await,
        Alerts::Sent { state, again: None, lines, hub } => sent(state.as_deref(), *lines, hub).await,
        Alerts::Sent { again: Some(key), hub, .. } => {
            let path = format!("/alerts/notifications/{}/retry", escaped(key));
            print(hub, Client::new(&hub.url).post(&path, "{}".into()).await, |_| "it is sent again".into())
        }
        Alerts::Simulate { file, config, after, json } => match played(file, config, after, *json) {
            Ok(code) => code,
            Err(error) => failed(&error),
        },
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<_>> = rows.map(|row| row.iter().map(|cell| out::harmless(cell)).collect()).collect();
    columns(head, &rows)
}

async fn list(tenant: Option<&str>, hub: &HubArg) -> ExitCode {
    let query = tenant.map_or_else(String::new, |tenant| format!("?tenant={}", escaped(tenant)));
    let answer = Client::new(&hub.url).get(&format!("/alerts{query}")).await;
    let is_well =
        answer.as_ref().is_ok_and(|value| items(value, "alerts").all(|one| one["stage"] != "firing"));
    let code = print(hub, answer, |value| {
        if value["total"] == 0 {
            return "nothing is wrong".into();
        }
        let rows = items(value, "alerts").map(|alert| {
            let held: Vec<_> = items(alert, "held").map(|held| text(&held["because"])).collect();
            let told = match (&alert["told_ms"], held.is_empty()) {
                (Value::Null, _) => held.join(", "),
                (at, true) => format!("told {}", when(at.as_i64().map(|ms| ms * 1000))),
                (_, false) => format!("told, {}", held.join(", ")),
            };
            [
                text(&alert["id"]),
                text(&alert["tenant"]),
                text(&alert["severity"]),
                text(&alert["stage"]),
                when(alert["since_ms"].as_i64().map(|ms| ms * 1000)),
                told,
                text(&alert["summary"]),
            ]
            .into()
        });
        table(&["ID", "TENANT", "SEVERITY", "STAGE", "SINCE", "TOLD", "SUMMARY"], rows)
    });
    if is_well { code } else { ExitCode::FAILURE }
}

async fn silence(args: &SilenceArgs) -> ExitCode {
    let client = Client::new(&args.hub.url);
    let query =
        args.tenant.as_ref().map_or_else(String::new, |tenant| format!("?tenant={}", escaped(tenant)));
    if let Some(id) = &args.end {
        let answer = client.delete(&format!("/alerts/silences/{}", escaped(id))).await;
        return print(&args.hub, answer, |_| "the silence is over".into());
    }
    if args.list {
        let answer = client.get(&format!("/alerts/silences{query}")).await;
        return print(&args.hub, answer, |value| {
            let rows = items(value, "silences").map(|silence| {
                let labels = silence["match"].as_object().into_iter().flatten();
                let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={}", text(value))).collect();
                [
                    text(&silence["id"]),
                    text(&silence["tenant"]),
                    labels.join(" "),
                    when(silence["until"].as_i64().map(|ms| ms * 1000)),
                    text(&silence["who"]),
                    text(&silence["reason"]),
                ]
                .into()
            });
            table(&["ID", "TENANT", "LABELS", "UNTIL", "WHO", "REASON"], rows)
        });
    }
    let answer = async {
        let labels: Result<serde_json::Map<_, _>> = args.labels.iter().map(|given| label(given)).collect();
        let body =
            json!({"match": labels?, "for": args.lasts, "reason": args.reason, "who": args.who}).to_string();
        client.post(&format!("/alerts/silences{query}"), body).await
    };
    print(&args.hub, answer.await, |made| {
        let until = when(made["until"].as_i64().map(|ms| ms * 1000));
        format!("silenced until {until}; `puerto alerts silence --end {}` ends it sooner", text(&made["id"]))
    })
}

fn label(given: &str) -> Result<(String, Value)> {
    let (name, value) = given.split_once('=').ok_or_else(|| {
        Error::caller(Code::BadRequest, format!("{given:?} is no label: write it as in service=web"))
    })?;
    Ok((name.to_owned(), value.into()))
}

async fn test(channel: &str, hub: &HubArg) -> ExitCode {
    let answer = Client::new(&hub.url).post("/alerts/test", json!({"channel": channel}).to_string()).await;
    let is_sent = answer.as_ref().is_ok_and(|value| value["result"] == "sent");
    let code = print(hub, answer, |value| match value["error"].as_str() {
        None => format!("sent to {}", text(&value["place"])),
        Some(why) => format!("not sent to {}: {}", text(&value["place"]), out::harmless(why)),
    });
    if is_sent { code } else { ExitCode::FAILURE }
}

async fn sent(state: Option<&str>, lines: u32, hub: &HubArg) -> ExitCode {
    let mut path = format!("/alerts/notifications?limit={}", lines.clamp(1, 1000));
    if let Some(state) = state {
        path += &format!("&state={}", escaped(state));
    }
    print(hub, Client::new(&hub.url).get(&path).await, |value| {
        let rows = items(value, "notifications").map(|one| {
            let first = &one["notice"]["alerts"][0];
            [
                when(one["decided_at"].as_i64().map(|ms| ms * 1000)),
                text(&one["tenant"]),
                text(&one["channel"]),
                text(&one["state"]),
                text(&one["notice"]["reason"]),
                text(&first["summary"]),
                text(&one["error"]).chars().take(100).collect(),
                text(&one["key"]),
            ]
            .into()
        });
        table(&["DECIDED", "TENANT", "CHANNEL", "STATE", "REASON", "FIRST", "WHY", "KEY"], rows)
    })
}

/// Plays a history back.
fn played(file: &Path, config: &ConfigArg, after: &str, json: bool) -> Result<ExitCode> {
    let bad = |text: String| Error::caller(Code::BadRequest, text);
    let after: Span = after.parse().map_err(|error| bad(format!("--after {after:?}: {error}")))?;
    let Ok((def, _)) = load(config) else { return Ok(ExitCode::FAILURE) };
    let history = std::fs::read_to_string(file)
        .map_err(|cause| bad(format!("could not read {}", file.display())).inside(cause))?;
    let moments = simulate(def.alerts, &history, after.get())
        .map_err(|fault| bad(format!("{}: {fault}", file.display())))?;
    for moment in &moments {
        match (json, serde_json::to_string(moment)) {
            (true, Ok(line)) => out::line(line),
            _ => out::line(out::harmless(&said(moment))),
        }
    }
    if moments.is_empty() && !json {
        out::line("nobody would have been told of anything");
    }
    Ok(ExitCode::SUCCESS)
}

fn said(moment: &Moment) -> String {
    let at = when(Some(moment.at_ms() * 1000));
    match moment {
        Moment::Notice(notice) => format!("{at}  to {}: {}", notice.channel, told(notice)),
        Moment::Held { rule, subject, because, .. } => {
            format!("{at}  nobody of {subject} ({rule}): {because}")
        }
    }
}

fn told(notice: &Notice) -> String {
    let alerts = notice.alerts.iter().map(|alert| match alert.until_ms {
        None => alert.summary.clone(),
        Some(until) => format!("{} (over after {} s)", alert.summary, (until - alert.since_ms) / 1000),
    });
    let alerts: Vec<_> = alerts.collect();
    let more = if notice.more > 0 { format!(", and {} more", notice.more) } else { String::new() };
    format!("{:?}, {}: {}{more}", notice.reason, notice.severity(), alerts.join("; "))
}
