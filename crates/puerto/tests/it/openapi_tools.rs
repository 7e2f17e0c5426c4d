//! HTTP APIs as servers: their OpenAPI documents become tools, and calls of the tools become requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use puerto_testkit::play::{play, reply};
use puerto_testkit::{Hub, pets, root, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// The text blocks of a result in one, and whether it is an error.
fn said(answer: &Value) -> (String, bool) {
    let blocks = answer["result"]["content"].as_array().unwrap_or_else(|| panic!("no result: {answer}"));
    let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    (texts.join("\n"), answer["result"]["isError"] == true)
}

/// Calls a tool of the server `api`; answers its structured content.
fn call(hub: &Hub, tool: &str, arguments: Value) -> Value {
    let answer = hub.call("/mcp/default/api", tool, arguments);
    assert_eq!(answer["result"]["isError"], false, "{tool}: {answer}");
    answer["result"]["structuredContent"].clone()
}

#[test]
fn another_hub_is_used_by_its_own_document() {
    let far = Hub::with_servers(PUERTO, &json!({"monitor": {"builtin": "monitor"}}));
    let document = root().join("api/openapi.json");
    let api = json!({"file": document, "base_url": format!("http://{}", far.address), "operations": {"exclude": ["POST /api/servers/*"]}});
    let hub = Hub::with_servers(PUERTO, &json!({"api": api}));
    let names = hub.tool_names("/mcp");
    assert!(
        names.contains(&"api__server_read".to_owned()) && !names.contains(&"api__server_stop".to_owned()),
        "{names:?}"
    );
    let server = call(&hub, "server_read", json!({"tenant": "default", "server": "monitor"}));
    assert_eq!((&server["status"], &server["transport"]), (&json!("ready"), &json!("builtin")));
    let called = call(&hub, "tool_call", json!({"name": "monitor.get_uptime", "body": {}}));
    assert!(called["result"].to_string().contains("uptime_seconds"), "{called}");
    let (text, is_error) =
        said(&hub.call("/mcp/default/api", "server_read", json!({"tenant": "default", "server": "nobody"})));
    assert!(is_error && text.starts_with("HTTP 404 Not Found\n") && text.contains("not_found"), "{text}");
    let (text, is_error) =
        said(&hub.call("/mcp/default/api", "server_read", json!({"tenant": "..", "server": "x"})));
    assert!(is_error && text.contains("would lead to another path"), "{text}");
    let answer = hub.call("/mcp/default/api", "nobody", json!({}));
    assert!(answer["error"]["message"].as_str().unwrap().contains("unknown tool"), "{answer}");
}

#[test]
fn a_framework_of_others_understands_what_tools_send() {
    let (_server, origin) = pets();
    let api = json!({"transport": "openapi", "url": format!("{origin}/schema"), "auth": {"bearer": "harbour-token"}});
    let hub = Hub::with_servers(PUERTO, &json!({"api": api}));
    assert_eq!(
        hub.tool_names("/mcp/default/api"),
        ["echo", "pets_add", "pets_get", "pets_list", "pets_remove", "picture"]
    );
    let tools = hub.get("/api/tenants/default").body;
    assert!(tools.contains("POST /upload is left out: its body is multipart/form-data"), "{tools}");
    let listed = call(&hub, "pets_list", json!({"tags": ["cat", "no & none"]}));
    assert_eq!(listed, json!({"result": [{"id": 2, "name": "Tom", "tags": ["cat", "grey"]}]}));
    assert_eq!(call(&hub, "pets_get", json!({"id": 1}))["name"], "Rex");
    assert_eq!(
        call(&hub, "pets_add", json!({"name": "Ada", "tags": []})),
        json!({"id": 3, "name": "Ada", "tags": []})
    );
    assert_eq!(
        said(&hub.call("/mcp/default/api", "pets_remove", json!({"id": 1}))).0,
        "HTTP 204 No Content, without a body"
    );
    let (text, is_error) = said(&hub.call("/mcp/default/api", "pets_get", json!({"id": 9})));
    assert!(is_error && text.contains("no such pet"), "{text}");
    let picture = hub.call("/mcp/default/api", "picture", json!({}));
    let picture = &picture["result"]["content"][0];
    assert_eq!((&picture["type"], &picture["mimeType"]), (&json!("image"), &json!("image/png")));
    let echo = call(
        &hub,
        "echo",
        json!({"word": "a/../b?c#d %", "where": {"x": "1&2", "y": [3, 4]}, "list": ["a|b", "c"], "X-Trace": "t1", "theme": "dark blue; x", "user": "me & you", "roles": ["r 1", "r2"]}),
    );
    let expected = json!({
        "path": "/echo/a%2F..%2Fb%3Fc%23d%20%25", "word": "a/../b?c#d %", "trace": "t1",
        "query": [["where[x]", "1&2"], ["where[y]", "3"], ["where[y]", "4"], ["list", "a|b|c"]],
        "form": [["roles", "r 1"], ["roles", "r2"], ["user", "me & you"]],
        "theme": "dark%20blue%3B%20x", "agent": format!("puerto/{}", env!("CARGO_PKG_VERSION")),
    });
    assert_eq!(echo, expected);
}

#[test]
fn further_pages_are_told_of_or_joined() {
    let (_server, origin) = pets();
    let url = format!("{origin}/schema");
    let api = |pages: u32| json!({"transport": "openapi", "url": url, "pages": pages});
    let hub = Hub::with_servers(PUERTO, &json!({"api": api(1), "all": api(5)}));
    let first = hub.call("/mcp/default/api", "pets_list", json!({}));
    assert_eq!(first["result"]["structuredContent"]["result"].as_array().unwrap().len(), 1, "{first}");
    assert_eq!(first["result"]["_meta"]["puerto/next"], json!({"arguments": {"page": 2}}), "{first}");
    assert!(said(&first).0.contains("There is more: call again with {\"page\":2}"), "{first}");
    let all = hub.call("/mcp/default/all", "pets_list", json!({}));
    let ids: Vec<_> = all["result"]["structuredContent"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pet| &pet["id"])
        .collect();
    assert_eq!(ids, [1, 2], "{all}");
    assert!(!said(&all).0.contains("There is more"), "{all}");
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let (_server, origin) = pets();
    let api = json!({"transport": "openapi", "url": format!("{origin}/schema"), "auth": {"bearer": "wrong-token-1", "query": {"key": "wrong-token-2"}}, "headers": {"X-Own": "wrong-token-3"}});
    let hub = Hub::with_servers(PUERTO, &json!({"api": api}));
    let (text, is_error) = said(&hub.call("/mcp/default/api", "pets_add", json!({"name": "Ada"})));
    // The API repeats what it was sent.
    assert!(is_error && text.contains("who are you, Bearer (hidden)"), "{text}");
    let mut shown = text;
    for path in
        ["/api/servers/default/api", "/api/servers/default/api/logs", "/api/records", "/api/tools", "/health"]
    {
        shown += &hub.get(path).body;
    }
    shown += &hub.command(&["check", "--config", "puerto.json"]).1;
    shown += &hub.process.errors();
    assert!(!shown.contains("wrong-token"), "{shown}");
}

/// A document of operations `GET /name`, one for each name.
fn gets(names: &[&str]) -> Value {
    let paths = names.iter().map(|name| (format!("/{name}"), json!({"get": {"operationId": name}})));
    json!({"openapi": "3.1.0", "paths": paths.collect::<serde_json::Map<_, _>>()})
}

#[test]
fn hostile_answers_harm_only_their_own_call() {
    let stolen = Arc::new(Mutex::new(Vec::new()));
    let heard = stolen.clone();
    let thief = play(move |head, _| {
        heard.lock().unwrap().push(head.to_owned());
        reply("200 OK", "text/plain", "", "mine")
    });
    let names = ["huge", "html", "fails", "away", "round", "near", "hangs", "broken", "packed", "endless"];
    let url = play(move |head, _| {
        let path =
            head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        let to = |place: &str| reply("302 Found", "text/plain", &format!("Location: {place}\r\n"), "");
        match path.as_str() {
            "/mcp" => reply("200 OK", "application/json", "", &gets(&names).to_string()),
            "/huge" => reply("200 OK", "text/plain", "", &"x".repeat(200_000)),
            "/html" => reply("200 OK", "text/html", "", "<h1>hello</h1>"),
            "/fails" => reply("500 Internal Server Error", "text/html", "", &"<p>".repeat(10_000)),
            "/away" => to(&thief),
            "/round" => to("/round"),
            "/near" => to("/html"),
            "/hangs" => loop {
                std::thread::park();
            },
            "/broken" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".into(),
            "/packed" => reply("200 OK", "application/json", "Content-Encoding: gzip\r\n", "??"),
            _ => format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{}", "x".repeat(3_000_000)),
        }
    });
    let api = json!({"transport": "openapi", "url": url, "auth": {"header": {"X-Key": "s3cret-key"}, "query": {"k": "s3cret-key"}}, "max_response_bytes": 100_000, "call_timeout": 2});
    let hub = Hub::with_servers(PUERTO, &json!({"api": api}));
    for (tool, fails, words) in [
        ("huge", true, "larger than 100000 bytes (max_response_bytes)"),
        ("endless", true, "larger than 100000 bytes"),
        ("html", false, "<h1>hello</h1>"),
        ("fails", true, "HTTP 500 Internal Server Error\n<p><p>"),
        ("away", true, "redirects to another origin"),
        ("round", true, "redirects more than 3 times"),
        ("near", false, "<h1>hello</h1>"),
        ("broken", true, "broke off"),
        ("packed", true, "not asked for"),
        ("hangs", true, "did not answer within 2 s"),
    ] {
        let (text, is_error) = said(&hub.call("/mcp/default/api", tool, json!({})));
        assert_eq!(is_error, fails, "{tool}: {text}");
        assert!(text.contains(words) && text.len() < 20_000 && !text.contains("s3cret"), "{tool}: {text}");
    }
    assert!(stolen.lock().unwrap().is_empty(), "{stolen:?}");
    assert_eq!(hub.get("/api/servers").json()["servers"]["default:api"], "ready");
}

/// An API that answers nothing; tells when it was asked, and when it was left.
fn silent() -> (String, Arc<Mutex<Vec<&'static str>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            told.lock().unwrap().push("asked");
            let _ = reader.read_to_end(&mut Vec::new());
            told.lock().unwrap().push("left");
        }
    });
    (origin, seen)
}

#[test]
fn whoever_leaves_ends_the_request_too() {
    let (origin, seen) = silent();
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("hangs.json");
    std::fs::write(&file, gets(&["hangs"]).to_string()).unwrap();
    let hub = Hub::with_servers(PUERTO, &json!({"api": {"file": file, "base_url": origin}}));
    let (text, name) =
        puerto_testkit::hub::modern_text("tools/call", json!({"name": "hangs", "arguments": {}}));
    let mut client = TcpStream::connect(&hub.address).unwrap();
    write!(
        client,
        "POST /mcp/default/api HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {}\r\nContent-Length: {}\r\n\r\n{text}",
        hub.address,
        name.unwrap(),
        text.len()
    )
    .unwrap();
    let is = |events: &[&str]| (*seen.lock().unwrap() == events).then_some(());
    wait_until("the API is asked", || is(&["asked"]));
    drop(client);
    wait_until("the API is left", || is(&["asked", "left"]));
}

#[test]
fn a_document_that_is_of_no_use_says_why() {
    let foreign =
        json!({"openapi": "3.0.0", "paths": {}, "servers": [{"url": "https://elsewhere.example/v1"}]})
            .to_string();
    let url = play(move |head, _| match head.split([' ', '?']).nth(1).unwrap_or_default() {
        "/foreign" => reply("200 OK", "application/json", "", &foreign),
        "/page" => reply("200 OK", "text/html", "", "<!doctype html><p>docs"),
        "/old" => reply("200 OK", "application/json", "", r#"{"swagger": "2.0"}"#),
        "/torn" => reply("200 OK", "application/yaml", "", "openapi: [3"),
        _ => reply("404 Not Found", "text/plain", "", "nothing"),
    });
    let origin = url.trim_end_matches("/mcp").to_owned();
    let at = |path: &str| json!({"transport": "openapi", "url": format!("{origin}{path}?token=s3cret")});
    let servers = json!({
        "foreign": at("/foreign"), "page": at("/page"), "old": at("/old"), "torn": at("/torn"), "gone": at("/gone"),
        "nobody": {"transport": "openapi", "url": "http://127.0.0.1:1/openapi.json?token=s3cret"},
        "missing": {"file": "no/such.yaml"},
        "homeless": {"file": "homeless.json"},
    });
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("homeless.json"), gets(&["a"]).to_string()).unwrap();
    let config = json!({"tenants": {"default": {"servers": servers}}, "orchestrator": {"max_retries": 0}});
    let hub = Hub::start_in(PUERTO, &config, dir);
    for (server, words) in [
        ("foreign", "write \"base_url\": \"https://elsewhere.example/v1\""),
        ("page", "it is a page and no OpenAPI document"),
        ("old", "Swagger 2.0"),
        ("torn", "it is no YAML"),
        ("gone", "HTTP 404 Not Found"),
        ("nobody", "http://127.0.0.1:1 could not be asked"),
        ("missing", "No such file"),
        ("homeless", "write \"base_url\""),
    ] {
        hub.wait_for(&format!("default:{server}"), "failed");
        let why = hub.get(&format!("/api/servers/default/{server}")).json()["error"].to_string();
        let why = why.replace("\\\"", "\"");
        assert!(why.contains(words) && !why.contains("s3cret"), "{server}: {why}");
    }
}

#[test]
fn a_changed_definition_reads_the_document_again() {
    let document = Arc::new(Mutex::new(gets(&["old"])));
    let served = document.clone();
    let url = play(move |_, _| reply("200 OK", "application/json", "", &served.lock().unwrap().to_string()));
    let server = |pages: u32| json!({"transport": "openapi", "url": url, "pages": pages});
    let hub = Hub::with_servers(PUERTO, &json!({"api": server(1), "same": server(1)}));
    assert_eq!(hub.tool_names("/mcp"), ["api__old", "same__old"]);
    *document.lock().unwrap() = gets(&["new"]);
    let config = json!({"tenants": {"default": {"servers": {"api": server(2), "same": server(1)}}}});
    let (fresh, file) = (hub.dir.path().join("new.json"), hub.dir.path().join("puerto.json"));
    std::fs::write(&fresh, config.to_string()).unwrap();
    std::fs::rename(fresh, file).unwrap();
    wait_until("the changed server has read its document again", || {
        (hub.tool_names("/mcp") == ["api__new", "same__old"]).then_some(())
    });
    assert_eq!(hub.post("/api/servers/default/same/restart", "").status, 200);
    assert_eq!(hub.tool_names("/mcp"), ["api__new", "same__new"]);
}
