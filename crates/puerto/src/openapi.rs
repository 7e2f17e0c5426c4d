//! The OpenAPI document of the REST interface, made from one table of routes and the types that handlers
//! answer with. It is committed as `api/openapi.json` and compared by a test.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::http::alerts::{Alerts, Notifications, OneAlert, SilenceView, Silences, Taken, Tried};
use crate::http::archive::Imported;
use crate::http::audit::{Audit, Proof, Verified};
use crate::http::context::{Cleared, Context, RegistrationView};
use crate::http::events::{EventView, Events};
use crate::http::metrics::Numbers;
use crate::http::problem::Problem;
use crate::http::rest::{About, Done, Health, Logs, Records, ServerView, Servers, TenantView, Tenants};
use crate::http::services::{Round, ServiceView, Services};
use crate::http::status_page::StatusPage;
use crate::http::tasks::{TaskDetail, TaskPage, TaskView};
use crate::http::texts::{ErasedView, Shown as ShownTexts};
use crate::http::tools::{Called, Tools};
use crate::http::{AppView, AppsView, GatewayView};
use crate::reload::Changes;

/// A route: method, path, operation as `noun.verb`, what it does, what it answers.
struct Route {
    method: &'static str,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    answer: Value,
}

/// The document.
pub(crate) fn document() -> String {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes(&mut generator) {
        let parameters: Vec<_> = parameters(route.path)
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .chain(queries(route.operation))
            .collect();
        let problem = generator.subschema_for::<Problem>();
        let kind = match route.operation {
            "app.page" | "app.page_folder" => "text/html",
            "app.file" => "*/*",
            "status.health" | "status.uptime" | "status.response" => "image/svg+xml",
            "event.follow" => "text/event-stream",
            "metrics.scrape" => "text/plain",
            "audit.export" | "archive.export" => "application/x-ndjson",
            _ => "application/json",
        };
        let status = if route.operation.ends_with(".create") { "201" } else { "200" };
        let mut operation = json!({
            "operationId": route.operation,
            "summary": route.summary,
            "responses": {
                status: {"description": "done", "content": {kind: {"schema": route.answer}}},
                "default": {"description": "a problem", "content": {"application/problem+json": {"schema": problem}}},
            },
        });
        if route.operation == "status.read" {
            let content = &mut operation["responses"]["200"]["content"];
            content["text/html"] = json!({"schema": {"type": "string"}});
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        let has_body = [
            "tool.call",
            "context.clear",
            "alert.acknowledge",
            "alert.receive",
            "channel.test",
            "service.replace",
        ]
        .iter()
        .any(|name| route.operation.starts_with(name));
        if has_body || route.operation.ends_with(".create") {
            operation["requestBody"] =
                json!({"content": {"application/json": {"schema": {"type": "object"}}}});
        }
        if route.operation == "archive.import" {
            // An archive, or the context as it is read.
            let (archive, context) = (json!({"type": "string"}), json!({"type": "object"}));
            operation["requestBody"] = json!({"content": {
                "application/json": {"schema": context},
                "application/x-ndjson": {"schema": archive},
            }});
        }
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method] = operation;
    }
    let document = json!({
        "openapi": "3.0.3",
        "info": {"title": "Puerto", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn queries(operation: &str) -> Vec<Value> {
    let names: &[(&str, &str)] = match operation {
        "tool.list" => {
            &[("tenant", "string"), ("profile", "string"), ("all", "integer"), ("cost", "integer")]
        }
        "tenant.tools" => &[("profile", "string"), ("all", "integer"), ("cost", "integer")],
        "tool.call" | "tool.call_short" | "app.page" | "app.page_folder" | "app.file" => {
            &[("tenant", "string")]
        }
        "server.logs" => &[("lines", "integer")],
        "audit.export" => &[("form", "string")],
        "record.list" => {
            &[("tenant", "string"), ("server", "string"), ("limit", "integer"), ("before", "integer")]
        }
        "service.push" | "service.push_get" => &[("status", "string"), ("msg", "string")],
        "event.create"
        | "audit.create"
        | "audit.erase"
        | "service.round"
        | "service.list"
        | "registration.create"
        | "context.read"
        | "context.clear"
        | "task.create"
        | "task.read"
        | "task.cancel"
        | "alert.list"
        | "alert.receive"
        | "silence.list"
        | "silence.create"
        | "channel.test" => &[("tenant", "string")],
        "notification.list" => &[
            ("tenant", "string"),
            ("state", "string"),
            ("channel", "string"),
            ("before", "integer"),
            ("limit", "integer"),
        ],
        "task.list" => {
            &[("tenant", "string"), ("status", "string"), ("before", "integer"), ("limit", "integer")]
        }
        "audit.list" => &[
            ("tenant", "string"),
            ("agent", "string"),
            ("action", "string"),
            ("server", "string"),
            ("request", "string"),
            ("segment", "string"),
            ("since", "string"),
            ("until", "string"),
            ("after", "integer"),
            ("before", "integer"),
            ("limit", "integer"),
        ],
        "archive.export" => &[("tenant", "string"), ("form", "string"), ("audit", "boolean")],
        "archive.import" => {
            &[("tenant", "string"), ("mode", "string"), ("dry_run", "boolean"), ("confirm", "boolean")]
        }
        "event.list" | "event.follow" => &[
            ("tenant", "string"),
            ("type", "string"),
            ("source", "string"),
            ("subject", "string"),
            ("severity", "string"),
            ("q", "string"),
            ("since", "string"),
            ("until", "string"),
            ("after", "integer"),
            ("before", "integer"),
            ("limit", "integer"),
        ],
        "status.uptime" => &[("days", "integer")],
        "configuration.reload" => &[("preview", "boolean")],
        _ => &[],
    };
    names.iter().map(|(name, kind)| json!({"name": name, "in": "query", "schema": {"type": kind}})).collect()
}

fn routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    macro_rules! table {
        ($($method:ident $path:literal $operation:literal $answer:ty, $summary:literal;)*) => {
            vec![$(Route {
                method: stringify!($method), path: $path, operation: $operation, summary: $summary,
                answer: generator.subschema_for::<$answer>().to_value(),
            }),*]
        };
    }
    table! {
        get "/" "hub.about" About, "What this is; a page for browsers";
        get "/health" "hub.health" Health, "How the hub and its parts are";
        get "/api/tenants" "tenant.list" Tenants, "Every tenant and how it is";
        get "/api/tenants/{tenant}" "tenant.read" TenantView, "One tenant";
        get "/api/tenants/{tenant}/tools" "tenant.tools" Tools, "The tools of a tenant";
        post "/api/tenants/{tenant}/start" "tenant.start" Done, "Start every server of a tenant";
        post "/api/tenants/{tenant}/stop" "tenant.stop" Done, "Stop every server of a tenant";
        get "/api/servers" "server.list" Servers, "Every server and how it is";
        get "/api/servers/{tenant}/{server}" "server.read" ServerView, "One server";
        post "/api/servers/{tenant}/{server}/start" "server.start" Done, "Start a server and wait until it serves";
        post "/api/servers/{tenant}/{server}/stop" "server.stop" Done, "Stop a server and everything it started";
        post "/api/servers/{tenant}/{server}/restart" "server.restart" Done, "Stop a server and start it again";
        get "/api/servers/{tenant}/{server}/logs" "server.logs" Logs, "What a server wrote to its standard error";
        get "/api/tools" "tool.list" Tools, "The tools of every tenant";
        post "/api/tools/{name}/call" "tool.call" Called, "Call a tool; the body is its arguments";
        post "/api/tools/{name}" "tool.call_short" Called, "Call a tool; the body is its arguments";
        get "/api/apps" "app.list" AppsView, "Every app";
        get "/api/apps/{app}" "app.read" AppView, "One app, its files and what it says of itself";
        get "/apps/{app}" "app.page" String, "The page of an app, with its configuration";
        get "/apps/{app}/" "app.page_folder" String, "The page of an app, with its configuration";
        get "/apps/{app}/{path}" "app.file" String, "A file of an app; its path may hold slashes";
        get "/api/gateway/status" "gateway.read" GatewayView, "What the hub holds, in numbers";
        get "/api/records" "record.list" Records, "The last operations, newest first";
        get "/check-services" "service.round" Round, "Check every service that was not checked just now, and say how each is";
        get "/api/services" "service.list" Services, "Every watched service";
        post "/api/services" "service.create" ServiceView, "Watch a service: the body is an entry of the file's services";
        get "/api/services/{tenant}/{service}" "service.read" ServiceView, "One service, with its last checks";
        put "/api/services/{tenant}/{service}" "service.replace" ServiceView, "Define a service by API, anew or for the first time (201)";
        delete "/api/services/{tenant}/{service}" "service.delete" Done, "Watch a service no longer that was defined by API";
        post "/api/services/{tenant}/{service}/check" "service.check" ServiceView, "Check a service now";
        get "/api/services/{tenant}/{service}/push" "service.push_get" Done, "A service that reports by itself says how it is";
        post "/api/services/{tenant}/{service}/push" "service.push" Done, "A service that reports by itself says how it is";
        get "/status/{tenant}" "status.read" StatusPage, "The public status page of a tenant; as data with .json after the id";
        get "/status/{tenant}/{service}/health.svg" "status.health" String, "A badge that says how a public service is";
        get "/status/{tenant}/{service}/uptime.svg" "status.uptime" String, "A badge of its uptime over 1, 7, 30 or 90 days";
        get "/status/{tenant}/{service}/response.svg" "status.response" String, "A badge of how long its checks take";
        get "/events" "event.list" Events, "Events, newest first; after a number, oldest first";
        post "/events" "event.create" EventView, "Report an event, or many (a list, CloudEvents, NDJSON)";
        get "/events/stream" "event.follow" String, "Events as they happen (server-sent events)";
        get "/audit" "audit.list" Audit, "Who did what, newest first; after a number, oldest first";
        post "/audit" "audit.create" Value, "Report what an agent did: {action, agent, details}";
        get "/audit/verify" "audit.verify" Verified, "Check that the whole trail is as it was written";
        get "/audit/prove/{seq}" "audit.prove" Proof, "What shows that a record is in the trail";
        get "/audit/export" "audit.export" String, "The whole trail with its checkpoints, one JSON text a line";
        post "/register" "registration.create" RegistrationView, "Tell of a model or an agent: {type, data}";
        get "/audit/{seq}" "audit.show" ShownTexts, "A record, with what was given and answered where its tenant keeps that";
        post "/audit/erase" "audit.erase" ErasedView, "Erase what was given and answered; the records stay";
        get "/context" "context.read" Context, "Models, agents, tasks, audit and events at a glance";
        post "/clear" "context.clear" Cleared, "Delete events, tasks and registrations: {confirm: true}";
        get "/export" "archive.export" String, "Everything that is kept, as an archive (form=context: as GET /context shows it)";
        post "/import" "archive.import" Imported, "Take in an archive or a context, whole or not at all: mode=merge or replace, dry_run";
        get "/tasks" "task.list" TaskPage, "Tasks, newest first";
        post "/tasks" "task.create" TaskView, "Run a list in the background: {name, priority, tasks}";
        get "/tasks/{id}" "task.read" TaskDetail, "One task, and what became of its items";
        post "/tasks/{id}/cancel" "task.cancel" TaskView, "Cancel a task that waits or runs";
        get "/alerts" "alert.list" Alerts, "What is wrong, the worst first, and why nobody is told";
        get "/alerts/{id}" "alert.read" OneAlert, "One alert, and why nobody is told of it";
        post "/alerts/{id}/ack" "alert.acknowledge" OneAlert, "Say that somebody works on an alert: {reason}";
        get "/alerts/silences" "silence.list" Silences, "What nobody is told of for a time";
        post "/alerts/silences" "silence.create" SilenceView, "Tell nobody of some alerts for a time: {match, for, reason}";
        delete "/alerts/silences/{id}" "silence.end" SilenceView, "End a silence before its time";
        post "/alerts/test" "channel.test" Tried, "Send a notice to a channel to try it out: {channel}";
        get "/alerts/notifications" "notification.list" Notifications, "What was told, waits, or was given up, newest first";
        post "/alerts/notifications/{key}/retry" "notification.retry" Done, "Send again what was given up";
        post "/api/v2/alerts" "alert.receive" Taken, "Take in alerts of others, as Alertmanager does";
        post "/api/reload" "configuration.reload" Changes, "Take over the changed configuration file";
        get "/metrics" "metrics.read" Numbers, "How it goes, in a few numbers";
        get "/metrics/prometheus" "metrics.scrape" String, "Every metric, as OpenMetrics where that is asked for, else as Prometheus text";
    }
}
