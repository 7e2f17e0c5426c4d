//! Apps of our own kind: folders, pages with their configuration, and the connection that a page works over.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use puerto_testkit::http::Answer;
use puerto_testkit::process::Process;
use puerto_testkit::{Hub, root, scripted, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// Writes files below a directory, with the folders that they need.
fn write(dir: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn hub() -> Hub {
    let hub = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    write(
        &hub.dir.path().join("plugins"),
        &[
            ("ask/index.html", "<html><head></head><body><p>hi</p></body></html>"),
            ("ask/app.js", "1"),
            ("ask/img/a.svg", "<svg/>"),
            ("ask/app.json", r#"{"name": "Ask", "more": [1]}"#),
            ("ask/.env", "SECRET"),
            ("ask/.git/config", "SECRET"),
            ("bare/tool.txt", "x"),
            ("bare/app.json", "[]"),
            ("not an id/index.html", "x"),
            (
                "set/index.html",
                "<head><base href='/apps/set/'><script>\nwindow.__MCP_CONFIG__ = {};\ngo();</script>",
            ),
        ],
    );
    hub
}

#[test]
fn apps_are_listed_and_shown() {
    let hub = hub();
    let entry = |id: &str| json!({"app_id": id, "ui_path": format!("/apps/{id}"), "has_ui": true});
    let bare = json!({"app_id": "bare", "ui_path": null, "has_ui": false});
    assert_eq!(hub.get("/api/apps").json(), json!({"apps": [entry("ask"), bare, entry("set")], "total": 3}));
    assert_eq!(
        hub.get("/api/apps/ask").json(),
        json!({
            "app_id": "ask", "has_ui": true, "metadata": {"name": "Ask", "more": [1]},
            "ui_files": ["app.js", "app.json", "img/a.svg", "index.html"],
        })
    );
    assert_eq!(
        hub.get("/api/apps/bare").json(),
        json!({"app_id": "bare", "has_ui": false, "metadata": {}, "ui_files": ["app.json", "tool.txt"]})
    );
    let status = hub.get("/api/gateway/status").json();
    assert!(status["uptime_s"].is_u64() && status["version"].is_string(), "{status}");
    let counts = ["tenants", "servers", "servers_ready", "apps", "app_connections"].map(|name| &status[name]);
    assert_eq!((&status["status"], counts), (&json!("running"), [1, 1, 1, 3, 0].map(Value::from).each_ref()));
    for path in ["/api/apps/none", "/api/apps/..", "/apps/none", "/apps/bare", "/apps/ask?tenant=none"] {
        assert_eq!(
            (hub.get(path).status, hub.get(path).json()["code"].clone()),
            (404, json!("not_found")),
            "{path}"
        );
    }
}

#[test]
fn without_a_folder_there_are_no_apps() {
    let hub = Hub::start(PUERTO, &json!({"tenants": {"default": {}}}));
    assert_eq!(hub.get("/api/apps").json(), json!({"apps": [], "total": 0}));
    assert_eq!(hub.get("/apps/hello").status, 404);
}

#[test]
fn a_page_gets_its_configuration_from_the_request() {
    let hub = hub();
    let address = &hub.address;
    let set = |app: &str, scheme: &str, host: &str| {
        format!(
            r#"window.__MCP_CONFIG__ = {{"appId":"{app}","tenantId":"default","wsUrl":"ws{scheme}://{host}/ws/app/{app}/default","apiUrl":"http{scheme}://{host}/api"}};"#
        )
    };
    let base = r#"<base href="/apps/ask/">"#;
    let expected = |base: &str, set: &str| {
        format!("<html><head>{base}</head><body><p>hi</p><script>{set}</script>\n</body></html>")
    };
    assert_eq!(hub.get("/apps/ask").body, expected(base, &set("ask", "", address)));
    assert_eq!(hub.get("/apps/ask/").body, expected("", &set("ask", "", address)));
    assert_eq!(hub.get("/apps/ask/index.html").body, expected("", &set("ask", "", address)));
    assert_eq!(
        hub.get("/apps/set?tenant=default").body,
        format!("<head><base href='/apps/set/'><script>\n{}\ngo();</script>", set("set", "", address))
    );
    let headers = [("Host", "localhost:9"), ("X-Forwarded-Proto", "https")];
    let elsewhere = hub.request("GET", "/apps/ask", &headers, "");
    assert_eq!(elsewhere.body, expected(base, &set("ask", "s", "localhost:9")));
}

#[test]
fn files_have_types_tags_and_a_strict_policy() {
    let hub = hub();
    let header = |answer: &Answer, name: &str| answer.header(name).unwrap_or_default().to_owned();
    for (path, kind) in [
        ("/apps/ask", "text/html; charset=utf-8"),
        ("/apps/ask/app.js", "text/javascript; charset=utf-8"),
        ("/apps/ask/app.json", "application/json"),
        ("/apps/ask/img/a.svg", "image/svg+xml"),
        ("/apps/bare/tool.txt", "text/plain; charset=utf-8"),
    ] {
        let answer = hub.get(path);
        assert_eq!((answer.status, &*header(&answer, "content-type")), (200, kind), "{path}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        let policy = header(&answer, "content-security-policy");
        let connect = format!("connect-src 'self' ws://{};", hub.address);
        for part in [
            "default-src 'self';",
            "script-src 'self' ",
            "frame-ancestors 'self'",
            "object-src 'none'",
            &connect,
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        let scripts = policy.split(';').find(|part| part.contains("script-src")).unwrap();
        assert!(!scripts.contains("unsafe-inline"), "{policy}");
        assert_eq!(scripts.matches("'sha256-").count(), usize::from(path == "/apps/ask"), "{path}: {policy}");

        let tag = header(&answer, "etag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 34, "{tag}");
        for known in [tag.clone(), format!("\"x\", W/{tag}")] {
            let again = hub.request("GET", path, &[("If-None-Match", &known)], "");
            assert_eq!(
                (again.status, &*again.body, header(&again, "etag")),
                (304, "", tag.clone()),
                "{path}"
            );
        }
        assert_eq!(hub.request("GET", path, &[("If-None-Match", "\"other\"")], "").status, 200);
    }
    write(&hub.dir.path().join("plugins"), &[("ask/app.js", "2")]);
    assert_eq!(hub.get("/apps/ask/app.js?v=2").body, "2");
    assert_eq!(hub.get("/apps/ask?theme=dark").status, 200);
}

#[test]
fn nothing_outside_the_folder_or_hidden_is_served() {
    let hub = hub();
    let plugins = hub.dir.path().join("plugins");
    std::fs::write(hub.dir.path().join("secret.txt"), "SECRET").unwrap();
    let link =
        |to: &Path, name: &str| std::os::unix::fs::symlink(to, plugins.join("ask").join(name)).unwrap();
    link(&hub.dir.path().join("secret.txt"), "absolute.txt");
    link(Path::new("../../secret.txt"), "up.txt");
    link(Path::new("../bare"), "sibling");
    link(Path::new("../.."), "folder");
    link(Path::new(".env"), "inside.txt");
    for path in [
        "../../secret.txt",
        "..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "%2e%2e%2f%2e%2e%2fsecret.txt",
        "img/../../../secret.txt",
        "..%5c..%5csecret.txt",
        "%2fetc/passwd",
        "/etc/passwd",
        "absolute.txt",
        "up.txt",
        "sibling/tool.txt",
        "folder/secret.txt",
        ".env",
        "%2eenv",
        ".git/config",
        "app.js%00",
        "img",
        "img/",
        "none.js",
    ] {
        let answer = hub.get(&format!("/apps/ask/{path}"));
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &json!("not_found")),
            "{path}: {}",
            answer.body
        );
    }
    for path in
        ["/apps/../secret.txt", "/apps/%2e%2e/secret.txt", "/apps/..%2fsecret.txt", "/apps/.", "/apps//"]
    {
        assert_eq!(hub.get(path).status, 404, "{path}");
    }
    let files = hub.get("/api/apps/ask").json()["ui_files"].to_string();
    assert!(
        !["absolute", "up.txt", "sibling", "folder", ".git", ".env"].iter().any(|name| files.contains(name)),
        "{files}"
    );
    let large = std::fs::File::create(plugins.join("ask/large.txt")).unwrap();
    large.set_len(33 * 1024 * 1024).unwrap();
    assert_eq!(hub.get("/apps/ask/large.txt").status, 413);
}

/// A page that works over its connection, without a browser.
struct Page(Process);

impl Page {
    fn open(hub: &Hub, app: &str) -> Self {
        let mut command = Command::new(root().join("peers/run"));
        command.arg("node").arg(root().join("crates/testkit/servers/app.mjs"));
        Self(Process::start(command.arg(format!("ws://{}/ws/app/{app}/default", hub.address))))
    }

    fn say(&mut self, line: &str) {
        writeln!(self.0.stdin(), "{line}").unwrap();
    }

    /// The next message, with whether its envelope is whole.
    fn next(&self) -> Value {
        let message: Value = serde_json::from_str(&self.0.line()).unwrap();
        if !["closed", "refused"].contains(&message["type"].as_str().unwrap()) {
            assert!(message["timestamp"].as_u64().unwrap() > 1_700_000_000_000, "{message}");
            assert!(message["message_id"].is_string() && message["data"].is_object(), "{message}");
        }
        message
    }

    /// The data of the next message that is an answer; it has this type.
    fn answer(&self, kind: &str) -> Value {
        loop {
            let mut message = self.next();
            if message["type"] != "server_event" {
                assert_eq!(message["type"], kind, "{message}");
                return message["data"].take();
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: Value, id: &str) {
        let data = json!({"tool_name": tool, "arguments": arguments});
        self.say(&json!({"type": "tool_call", "data": data, "timestamp": 1, "message_id": id}).to_string());
    }
}

#[test]
fn a_page_sees_the_tools_and_calls_them() {
    let hub = hub();
    let mut page = Page::open(&hub, "ask");
    let state = page.answer("app_state");
    assert_eq!(
        (&state["app_id"], &state["tenant_id"], &state["servers_status"]),
        (&json!("ask"), &json!("default"), &json!({"monitor": "ready"}))
    );
    assert_eq!(state["available_tools"], hub.get("/api/tenants/default/tools").json()["tools"]);
    page.say(r#"{"type":"app_ready","data":{}}"#);
    assert_eq!(page.answer("app_state"), state);
    page.say(r#"{"type":"ping"}"#);
    assert_eq!(page.answer("pong"), json!({}));
    for name in ["monitor.get_uptime", "monitor__get_uptime"] {
        page.call(name, json!({}), "first");
        let result = page.answer("tool_result");
        assert_eq!((&result["tool_name"], &result["correlation_id"]), (&json!(name), &json!("first")));
        assert!(result["result"]["structuredContent"]["uptime_seconds"].is_number(), "{result}");
    }
    page.call("monitor.nothing", json!({}), "second");
    let error = page.answer("tool_error");
    assert_eq!(
        (&error["tool_name"], &error["correlation_id"]),
        (&json!("monitor.nothing"), &json!("second"))
    );
    assert!(error["error"].is_string(), "{error}");
    page.call("none.such", json!({}), "third");
    assert!(page.answer("tool_error")["error"].as_str().unwrap().contains("no tool named"));
    for garbage in [
        "garbage",
        "[1]",
        r#"{"type":"dance"}"#,
        r#"{"type":"tool_call","data":{}}"#,
        r#"{"type":"tool_call"}"#,
    ] {
        page.say(garbage);
        let error = page.answer("error");
        assert_eq!(error["error"], "bad_request", "{garbage}: {error}");
        assert!(error["details"].is_string(), "{garbage}: {error}");
    }
    let status = |hub: &Hub| hub.get("/api/gateway/status").json()["app_connections"].clone();
    assert_eq!(status(&hub), 1);
    page.0.close_stdin();
    assert_eq!(page.next()["type"], "closed");
    wait_until("the connection is no longer counted", || (status(&hub) == 0).then_some(()));
    let record = wait_until("the call is recorded", || {
        let records = hub.get("/api/records?server=monitor").json()["records"].take();
        records.as_array().unwrap().iter().find(|record| record["outcome"] == "ok").cloned()
    });
    assert_eq!((&record["kind"], &record["client"]), (&json!("tools/call"), &json!("app ask")));
}

#[test]
fn a_page_hears_of_its_servers() {
    let hub = hub();
    let page = Page::open(&hub, "ask");
    page.answer("app_state");
    assert_eq!(hub.post("/api/servers/default/monitor/stop", "").status, 200);
    let told = page.next();
    assert_eq!(told["type"], "server_event");
    assert_eq!(told["data"], json!({"server": "monitor", "event": "state", "status": "stopped"}));
}

#[test]
fn a_connection_has_its_limits() {
    let servers = json!({"slow": scripted(&["--era", "modern"])});
    let config =
        json!({"tenants": {"default": {"servers": servers}}, "gateway": {"max_body_bytes": 100_000}});
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:slow", "ready");
    write(&hub.dir.path().join("plugins"), &[("ask/index.html", "x")]);
    let mut page = Page::open(&hub, "ask");
    page.answer("app_state");
    for at in 0..33 {
        page.call("slow.hang", json!({}), &at.to_string());
    }
    let error = page.answer("tool_error");
    assert_eq!(error["correlation_id"], "32", "{error}");
    assert!(error["error"].as_str().unwrap().contains("32 calls under way"), "{error}");
    page.say("long 200000");
    assert_eq!(page.answer("error")["error"], "too_large");
    assert_eq!(page.next()["type"], "closed");
}

#[test]
fn a_hub_that_stops_answers_and_closes_its_connections() {
    let hub = Hub::with_servers(PUERTO, &json!({"slow": scripted(&["--era", "modern"])}));
    write(&hub.dir.path().join("plugins"), &[("ask/index.html", "x")]);
    let mut page = Page::open(&hub, "ask");
    page.answer("app_state");
    page.call("slow.hang", json!({}), "never");
    page.say(r#"{"type":"ping"}"#);
    page.answer("pong");
    let (code, _dir) = hub.stop();
    assert_eq!(code, Some(0));
    let last = std::iter::from_fn(|| Some(page.next())).find(|message| message["type"] == "closed");
    assert!(last.is_some());
}

#[test]
fn a_page_of_a_tenant_that_is_gone_is_told_so() {
    let server = json!({"servers": {"monitor": {"builtin": "monitor"}}});
    let both = json!({"tenants": {"default": server, "other": {}}});
    let hub = Hub::start(PUERTO, &both);
    hub.wait_for("default:monitor", "ready");
    write(&hub.dir.path().join("plugins"), &[("ask/index.html", "x")]);
    let mut page = Page::open(&hub, "ask");
    page.answer("app_state");
    std::fs::write(hub.dir.path().join("puerto.json"), json!({"tenants": {"other": {}}}).to_string())
        .unwrap();
    assert_eq!(hub.post("/api/reload", "").status, 200);
    page.call("monitor.get_uptime", json!({}), "late");
    assert!(page.answer("tool_error")["error"].as_str().unwrap().contains("no tenant"));
    page.say(r#"{"type":"app_ready"}"#);
    assert_eq!(page.answer("error")["error"], "not_found");
    assert_eq!(page.next()["type"], "closed");
}

#[test]
fn a_connection_is_refused_before_it_opens() {
    let hub = hub();
    let asks = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (path, status) in [
        ("/ws/app/none/default", 404),
        ("/ws/app/ask/none", 404),
        ("/ws/app/../default", 404),
        ("/ws/app/ask", 404),
        ("/ws/app/ask/default/more", 404),
    ] {
        let answer = hub.request("GET", path, &asks, "");
        assert_eq!((answer.status, &answer.json()["status"]), (status, &json!(status)), "{path}");
    }
    assert_eq!(hub.get("/ws/app/ask/default").status, 400);
    let mut foreign = asks.to_vec();
    foreign.push(("Origin", "http://evil.example"));
    assert_eq!(hub.request("GET", "/ws/app/ask/default", &foreign, "").status, 403);
    assert_eq!(Page::open(&hub, "none").next()["type"], "refused");
}

/// The example needs nothing but its own files, and has no script of its own in its page.
#[test]
fn the_example_is_whole() {
    let config = json!({
        "tenants": {"default": {"servers": {"monitor": {"builtin": "monitor"}}}},
        "apps": {"dir": root().join("plugins")},
    });
    let hub = Hub::start(PUERTO, &config);
    let about = hub.get("/api/apps/hello").json();
    assert_eq!(about["ui_files"], json!(["app.js", "app.json", "icon.svg", "index.html", "style.css"]));
    assert_eq!(about["metadata"]["name"], "Hello");
    let page = std::fs::read_to_string(root().join("plugins/hello/index.html")).unwrap();
    let links = page.split(['"']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    for link in links {
        assert_eq!(hub.get(&format!("/apps/hello/{link}")).status, 200, "{link}");
    }
    let shown = hub.get("/apps/hello");
    assert_eq!(shown.header("content-security-policy").unwrap().matches("'sha256-").count(), 1);
    assert!(
        shown.body.contains(r#"<base href="/apps/hello/">"#) && shown.body.contains(r#""appId":"hello""#)
    );
}
