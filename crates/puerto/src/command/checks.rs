//! `puerto checks`: how every watched service is.

use std::process::ExitCode;

use serde_json::Value;

use super::ask::{columns, print, text};
use super::client::Client;
use crate::cli::Checks;
use crate::out;

/// Runs the command. The exit code says whether all is well.
pub(crate) async fn run(args: &Checks) -> ExitCode {
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
