//! The OpenAPI document is committed, true, and complete.

use puerto_testkit::{Hub, Web, root, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

#[test]
fn the_committed_document_is_current() {
    let (code, document, _) = puerto_testkit::hub::command(PUERTO.as_ref(), &root(), &["openapi"]);
    assert_eq!(code, 0);
    expect_test::expect_file![root().join("api/openapi.json")].assert_eq(&document);
}

/// Every route of the document is served, and every answer has the members that its schema demands.
#[test]
fn every_route_in_it_answers() {
    let refusing = Web::start();
    refusing.says(|says| says.status = 400);
    let hub = Hub::start(
        PUERTO,
        &json!({
            "tenants": {"default": {"servers": {"monitor": {"builtin": "monitor"}}, "status_page": {}}},
            "services": [{"name": "beat", "url": "push://", "public": true}],
            "alerts": {"channels": {"refusing": {"type": "webhook", "url": refusing.url()}},
                "route": {"channels": ["refusing"], "group_wait": 0}},
        }),
    );
    hub.wait_for("default:monitor", "ready");
    let kept = r#"{"name":"kept","url":"push://"}"#;
    assert_eq!(hub.post("/api/services", kept).status, 201);
    let raised = r#"[{"labels":{"alertname":"x"}}]"#;
    assert_eq!(hub.post("/api/v2/alerts", raised).status, 200);
    let alert = hub.get("/alerts").json()["alerts"][0]["id"].clone();
    let notice = wait_until("a notice is given up", || {
        let dead = hub.get("/alerts/notifications?state=dead").json();
        dead["notifications"][0]["key"].as_str().map(str::to_owned)
    });
    let mut silence = Value::from(0);
    let app = hub.dir.path().join("plugins/hello");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("index.html"), "<p>hello").unwrap();
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("api/openapi.json")).unwrap()).unwrap();
    // So long that it runs still when it is to be cancelled.
    let list = vec![json!({"type": "monitor", "action": "get_uptime"}); 5_000];
    let list = json!({"name": "long", "tasks": list}).to_string();
    let mut task = Value::from(0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            // As data: of the page nothing but the schema of that can be looked at here.
            let tenant = if path == "/status/{tenant}" { "default.json" } else { "default" };
            let asked = path
                .replace("{tenant}", tenant)
                .replace("{server}", "monitor")
                .replace("{name}", "monitor.get_uptime")
                .replace(
                    "{service}",
                    match method.as_str() {
                        "put" => "kept",
                        "delete" => "added",
                        _ => "beat",
                    },
                )
                .replace("{seq}", "1")
                .replace("{key}", &notice)
                .replace("silences/{id}", &format!("silences/{}", silence.as_str().unwrap_or_default()))
                .replace("alerts/{id}", &format!("alerts/{}", alert.as_str().unwrap()))
                .replace("{id}", &task.to_string())
                .replace("{app}", "hello")
                .replace("{path}", "index.html");
            let (status, said) = operation["responses"].as_object().unwrap().iter().next().unwrap();
            if said["content"].get("text/event-stream").is_some() {
                // The head is looked at there; the rest has no end.
                drop(puerto_testkit::http::events(&hub.address, "GET", &asked, &[], ""));
                continue;
            }
            let body = match path.as_str() {
                "/events" => r#"{"type":"info"}"#,
                "/api/services" => r#"{"name":"added","url":"push://"}"#,
                "/api/services/{tenant}/{service}" => kept,
                "/register" => r#"{"type":"agent","data":{"name":"bot"}}"#,
                "/tasks" => list.as_str(),
                "/clear" | "/audit/erase" => r#"{"confirm":true}"#,
                "/import" => r#"{"models":[]}"#,
                "/audit" => r#"{"action":"deploy","agent":"bot"}"#,
                "/alerts/{id}/ack" => r#"{"reason":"mine"}"#,
                "/alerts/silences" => r#"{"match":{"service":"none"},"for":"1h","reason":"work"}"#,
                "/alerts/test" => r#"{"channel":"refusing"}"#,
                "/api/v2/alerts" => raised,
                _ => "{}",
            };
            let answer = match method.as_str() {
                "get" => hub.get(&asked),
                "post" => hub.post(&asked, body),
                "put" => hub.request("PUT", &asked, &[("content-type", "application/json")], body),
                other => hub.request(&other.to_uppercase(), &asked, &[], ""),
            };
            assert_eq!(answer.status.to_string(), *status, "{method} {asked}: {}", answer.body);
            if (method.as_str(), asked.as_str()) == ("post", "/tasks") {
                task = answer.json()["id"].clone();
            }
            if (method.as_str(), asked.as_str()) == ("post", "/alerts/silences") {
                silence = answer.json()["id"].clone();
            }
            if asked.ends_with("/stop") {
                // The next routes want it running again.
                assert_eq!(hub.post(&asked.replace("/stop", "/start"), "").status, 200);
            }
            let schema = &said["content"]["application/json"]["schema"];
            let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) else { continue };
            for required in
                document["components"]["schemas"][name]["required"].as_array().into_iter().flatten()
            {
                assert!(
                    answer.json().get(required.as_str().unwrap()).is_some(),
                    "{method} {asked} lacks {required}"
                );
            }
        }
    }
}

#[test]
fn every_route_of_the_router_is_in_it() {
    let document: Value = serde_json::from_str(include_str!("../../../../api/openapi.json")).unwrap();
    let source = include_str!("../../src/http/rest.rs");
    let routes = source.split(".route(").skip(1);
    let routes = routes.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    // The router marks what may hold slashes.
    let routes: Vec<_> = routes.map(|path| path.replace("{*", "{")).collect();
    assert!(!routes.is_empty(), "no route was found in the source");
    for path in &routes {
        assert!(document["paths"][path.as_str()].is_object(), "{path} is not in src/openapi.rs");
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), routes.len());
}

/// Methods that are not in the document are refused.
#[test]
fn nothing_else_is_served() {
    let hub = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    let document: Value = serde_json::from_str(include_str!("../../../../api/openapi.json")).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // Names that nobody has: an operation that should not be there must not do anything either.
        let asked: Vec<_> =
            path.split('/').map(|part| if part.starts_with('{') { "none" } else { part }).collect();
        let asked = asked.join("/");
        if methods.get("get").is_none() {
            assert_eq!(hub.get(&asked).status, 405, "get {asked}");
        }
        if methods.get("post").is_none() {
            assert_eq!(hub.post(&asked, "{}").status, 405, "post {asked}");
        }
    }
}
