//! What is on the wire: both eras on one URL, and nothing changed that need not be.

use puerto_testkit::{Fixture, Hub, odd, scripted, scripted_http, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

fn odd_hub() -> Hub {
    Hub::with_servers(PUERTO, &json!({"odd": odd(&[])}))
}

fn fixture_hub(era: &str) -> (Fixture, Hub) {
    let fixture = Fixture::start(PUERTO, era);
    let hub = Hub::with_servers(PUERTO, &json!({"fixture": {"url": fixture.url}}));
    (fixture, hub)
}

#[test]
fn numbers_unknown_members_and_order_survive() {
    let hub = odd_hub();
    let arguments =
        r#"{"z":1.10,"big":123456789012345678901234567890,"e":1E+2,"a":{"b":[1.0,-0]},"u":"\u00e4"}"#;
    let session = hub.session("/mcp", "2025-11-25");
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{{"vendor":1.10,"name":"odd__raw","arguments":{arguments}}}}}"#
    );
    let answer = session.send(&text);
    assert!(
        answer.body.contains(r#""id":9007199254740993"#) && answer.body.contains(r#""vendor":1.10"#),
        "{}",
        answer.body
    );
    let seen = answer.response()["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(
        seen.contains(&format!(r#""arguments":{arguments}"#))
            && seen.contains(r#""vendor":1.10,"name":"raw""#),
        "{seen}"
    );
    let listed = hub.modern("/mcp", "tools/list", json!({})).body;
    assert!(listed.contains(r#""vendorKey":1.10"#), "{listed}");
}

#[test]
fn both_eras_share_one_url() {
    let hub = odd_hub();
    let discovered = hub.modern("/mcp", "server/discover", json!({})).response();
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]));
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = hub.session("/mcp", version);
        assert_eq!(session.opened["result"]["protocolVersion"], version);
        assert_eq!(
            session.ask("ping", json!({})).response(),
            json!({"jsonrpc": "2.0", "id": "q", "result": {}})
        );
        assert_eq!(session.end().status, 200);
        assert_eq!(session.ask("ping", json!({})).status, 404);
    }
    assert_eq!(hub.session("/mcp", "1900-01-01").opened["result"]["protocolVersion"], "2025-11-25");
    let nothing = hub.post("/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(nothing.status == 400 && nothing.body.contains("session required"), "{nothing:?}");
    assert_eq!(hub.get("/mcp").status, 405);
    assert_eq!(hub.post("/mcp", "{").json()["error"]["code"], -32700);
    assert_eq!(hub.post("/mcp", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#).status, 400);
    let no_id = r#"{"jsonrpc":"2.0","method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    assert_eq!(hub.post("/mcp", no_id).json()["error"]["code"], -32600);
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    assert!(hub.post("/mcp", &deep).body.contains("nested too deeply"));
}

#[test]
fn batches_belong_to_the_revision_that_had_them() {
    let hub = odd_hub();
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":"b","method":"tools/list"}]"#;
    let answers = hub.session("/mcp", "2025-03-26").send(batch).json();
    assert_eq!(
        (answers.as_array().unwrap().len(), &answers[0]["id"], &answers[1]["id"]),
        (2, &json!(1), &json!("b"))
    );
    assert_eq!(hub.session("/mcp", "2025-11-25").send(batch).status, 400);
}

#[test]
fn pages_are_sealed() {
    let config = json!({"tenants": {"default": {"servers": {"odd": odd(&[])}}}, "gateway": {"page_size": 4}});
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:odd", "ready");
    let first = hub.modern("/mcp", "tools/list", json!({})).response();
    let cursor = first["result"]["nextCursor"].as_str().unwrap();
    let second = hub.modern("/mcp", "tools/list", json!({"cursor": cursor})).response();
    let count = |answer: &Value| answer["result"]["tools"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), second["result"]["nextCursor"].is_null()), (4, 2, true));
    for (path, cursor) in [("/mcp", "made-up"), ("/mcp/default/odd", cursor)] {
        assert_eq!(
            hub.modern(path, "tools/list", json!({"cursor": cursor})).response()["error"]["code"],
            -32602
        );
    }
}

#[test]
fn changes_of_lists_reach_clients_of_both_eras() {
    let hub = odd_hub();
    let session = hub.session("/mcp", "2025-11-25");
    let mut stream = session.stream();
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listen = hub.modern_events("/mcp", "subscriptions/listen", filter);
    let first = listen.next_message().unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}));
    hub.call("/mcp", "odd__changed", json!({}));
    assert_eq!(stream.next_message().unwrap()["method"], "notifications/tools/list_changed");
    let told = listen.next_message().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
}

#[test]
fn updates_of_resources_cross_eras() {
    for era in ["legacy", "modern"] {
        let (_fixture, hub) = fixture_hub(era);
        let uri = "test://watched-resource";
        let session = hub.session("/mcp", "2025-11-25");
        let mut stream = session.stream();
        assert_eq!(
            session.ask("resources/subscribe", json!({"uri": uri})).response()["result"],
            json!({}),
            "{era}"
        );
        let filter = json!({"notifications": {"resourceSubscriptions": [uri]}});
        let mut listen = hub.modern_events("/mcp", "subscriptions/listen", filter);
        assert_eq!(
            listen.next_message().unwrap()["params"]["notifications"]["resourceSubscriptions"],
            json!([uri]),
            "{era}"
        );
        hub.call("/mcp", "fixture__test_trigger_resource_update", json!({"uri": uri}));
        for message in [stream.next_message().unwrap(), listen.next_message().unwrap()] {
            assert_eq!(
                (&message["method"], &message["params"]["uri"]),
                (&json!("notifications/resources/updated"), &json!(uri)),
                "{era}"
            );
        }
    }
}

#[test]
fn progress_keeps_the_clients_token_in_every_pair() {
    for era in ["legacy", "modern"] {
        let (_fixture, hub) = fixture_hub(era);
        let params = json!({"name": "fixture__test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": "mine"}});
        let session = hub.session("/mcp", "2025-11-25");
        for answer in
            [hub.modern("/mcp", "tools/call", params.clone()), session.ask("tools/call", params.clone())]
        {
            let messages = answer.messages();
            let progress: Vec<_> =
                messages.iter().filter(|m| m["method"] == "notifications/progress").collect();
            assert!(
                progress.len() >= 3 && progress.iter().all(|m| m["params"]["progressToken"] == "mine"),
                "{era}: {messages:?}"
            );
            assert!(messages.last().unwrap()["result"].is_object());
        }
    }
}

#[test]
fn resources_prompts_and_completion_work_in_every_pair() {
    for era in ["legacy", "modern", "both"] {
        let (_fixture, hub) = fixture_hub(era);
        let session = hub.session("/mcp", "2025-11-25");
        for (method, params, part) in [
            ("resources/read", json!({"uri": "test://static-text"}), "contents"),
            ("resources/read", json!({"uri": "test://template/7/data"}), "contents"),
            ("prompts/get", json!({"name": "fixture__test_simple_prompt"}), "messages"),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "fixture__test_prompt_with_arguments"}, "argument": {"name": "arg1", "value": "t"}}),
                "completion",
            ),
        ] {
            for answer in [hub.modern("/mcp", method, params.clone()), session.ask(method, params.clone())] {
                assert!(!answer.response()["result"][part].is_null(), "{era} {method}: {}", answer.body);
            }
        }
        let missing = hub.modern("/mcp", "resources/read", json!({"uri": "test://nowhere"})).response();
        assert_eq!(
            (&missing["error"]["code"], &missing["error"]["data"]["uri"]),
            (&json!(-32602), &json!("test://nowhere")),
            "{era}"
        );
    }
}

#[test]
fn resources_with_one_uri_stay_two() {
    let (one, other) = (Fixture::start(PUERTO, "both"), Fixture::start(PUERTO, "both"));
    let hub = Hub::with_servers(PUERTO, &json!({"a": {"url": one.url}, "b": {"url": other.url}}));
    let listed = hub.modern("/mcp", "resources/list", json!({})).response();
    let uris: Vec<_> = listed["result"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["uri"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        uris.contains(&"test://static-text".into()) && uris.contains(&"puerto://b/test://static-text".into()),
        "{uris:?}"
    );
    let read =
        hub.modern("/mcp", "resources/read", json!({"uri": "puerto://b/test://static-text"})).response();
    assert_eq!(read["result"]["contents"][0]["uri"], "puerto://b/test://static-text", "{read}");
}

#[test]
fn headers_must_say_what_the_body_says() {
    let hub = odd_hub();
    let (text, _) = puerto_testkit::hub::modern_text("tools/call", json!({"name": "odd__pid"}));
    let send = |headers: &[(&str, &str)]| {
        let all: Vec<_> = [("Content-Type", "application/json")].iter().chain(headers).copied().collect();
        let answer = hub.request("POST", "/mcp", &all, &text);
        (answer.status, answer.json()["error"]["code"].clone())
    };
    let (version, method, name) =
        (("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "odd__pid"));
    assert_eq!(send(&[version, method, name]).0, 200);
    for bad in [
        &[method, name][..],
        &[("MCP-Protocol-Version", "2025-11-25"), method, name],
        &[version, name],
        &[version, ("Mcp-Method", "tools/list"), name],
        &[version, method],
        &[version, method, ("Mcp-Name", "odd__raw")],
        &[version, method, ("Mcp-Name", "=?base64?x?=")],
    ] {
        assert_eq!(send(bad), (400, json!(-32020)), "{bad:?}");
    }
}

/// Servers of each era, as a process and over HTTP, behind one hub.
fn of_both_eras() -> (Hub, [puerto_testkit::process::Process; 2]) {
    let (legacy, legacy_http) = scripted_http("legacy");
    let (modern, modern_http) = scripted_http("modern");
    let hub = Hub::with_servers(
        PUERTO,
        &json!({"old": scripted(&[]), "new": scripted(&["--era", "modern"]),
            "old-http": legacy_http, "new-http": modern_http}),
    );
    (hub, [legacy, modern])
}

const SERVERS: [&str; 4] = ["old", "new", "old-http", "new-http"];

/// Sends a request as it is written in both eras; `request` gets the text to put behind its last parameter.
fn in_both_eras(hub: &Hub, tool: &str, request: impl Fn(&str) -> String) -> [String; 2] {
    let (sample, _) = puerto_testkit::hub::modern_text("x", json!({}));
    let meta = serde_json::from_str::<Value>(&sample).unwrap()["params"]["_meta"].to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", tool),
    ];
    let modern = hub.request("POST", "/mcp", &headers, &request(&format!(r#","_meta":{meta}"#)));
    [hub.session("/mcp", "2025-11-25").send(&request("")).body, modern.body]
}

#[test]
fn what_nobody_knows_survives_in_every_pair_of_eras() {
    let (hub, _servers) = of_both_eras();
    // What a parser would spoil: numbers beyond a double, their spelling, order, escapes, spaces.
    let odd =
        r#"{ "b":1.0,"a":1E400, "n":12345678901234567890123,"z":-0,"u":"\u00e9\/","d":{"z":null,"a":[ ]}}"#;
    let unknown = r#""unknownMember":{"y":-0,"x":1E5}"#;
    for server in SERVERS {
        let tool = format!("{server}__raw");
        let request = |meta: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{odd},{unknown}{meta}}}}}"#
            )
        };
        for answer in in_both_eras(&hub, &tool, request) {
            for expected in [
                &format!(r#""name":"raw","arguments":{odd},{unknown}"#),
                r#""zz":1.0,"content":[{"type":"text","text":"","extra":1E30}],"seen":"#,
                r#""aa":{"y":-0,"b":1e2,"a":12345678901234567890123}"#,
            ] {
                assert!(answer.contains(expected), "{expected} through {server} in\n{answer}");
            }
        }
    }
}

#[test]
fn definitions_pass_as_they_are_written() {
    let (hub, _servers) = of_both_eras();
    let listed = hub.modern("/mcp", "tools/list", json!({})).body;
    for server in SERVERS {
        let rest =
            r#""zz":1,"description":"A tool","inputSchema":{"type":"object","x-b":1.0,"x-a":1e2},"aa":[]}"#;
        let expected = format!(r#"{{"name":"{server}__raw",{rest}"#);
        assert!(listed.contains(&expected), "{expected} in\n{listed}");
    }
}

#[test]
fn ids_come_back_as_they_were_written() {
    let hub =
        Hub::with_servers(PUERTO, &json!({"old": scripted(&[]), "new": scripted(&["--era", "modern"])}));
    for id in ["0", "-5", "9007199254740993", r#""""#, r#""7""#, r#""a b\u00e9/\"""#] {
        for tool in ["old__raw", "new__raw"] {
            let request = |meta: &str| {
                format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"{meta}}}}}"#
                )
            };
            for answer in in_both_eras(&hub, tool, request) {
                assert!(
                    answer.contains(&format!(r#""id":{id}"#)) && answer.contains("result"),
                    "{id} in {answer}"
                );
            }
        }
    }
}

/// How often a scripted server has received a text.
fn received(hub: &Hub, server: &str, text: &str) -> usize {
    let answer = hub.call("/mcp", &format!("{server}__received"), json!({}));
    answer["result"]["content"][0]["text"].as_str().unwrap().matches(text).count()
}

#[test]
fn a_cancelled_call_is_cancelled_at_its_server_in_every_pair_of_eras() {
    let hub =
        Hub::with_servers(PUERTO, &json!({"old": scripted(&[]), "new": scripted(&["--era", "modern"])}));
    for server in ["old", "new"] {
        let hang = json!({"name": format!("{server}__hang"), "arguments": {}});
        let arrived = |count: usize| {
            wait_until("the call is at the server", || {
                (received(&hub, server, r#""hang""#) == count).then_some(())
            });
        };
        let cancelled = |count: usize| {
            wait_until("the server is told that nobody waits", || {
                (received(&hub, server, "notifications/cancelled") == count).then_some(())
            });
        };
        // A legacy client says that it no longer waits.
        let session = hub.session("/mcp", "2025-11-25");
        std::thread::scope(|scope| {
            let call = scope.spawn(|| session.ask("tools/call", hang.clone()));
            arrived(1);
            let notice = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}"#;
            assert_eq!(session.send(notice).status, 202);
            cancelled(1);
            call.join().unwrap();
        });
        // A modern client hangs up.
        let (text, name) = puerto_testkit::hub::modern_text("tools/call", hang);
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: {}\r\nContent-Length: {}\r\n\r\n{text}",
            hub.address,
            name.unwrap(),
            text.len()
        );
        let mut leaving = std::net::TcpStream::connect(&hub.address).unwrap();
        std::io::Write::write_all(&mut leaving, head.as_bytes()).unwrap();
        arrived(2);
        drop(leaving);
        cancelled(2);
    }
}

#[test]
fn the_stream_of_a_session_ends_with_it() {
    let hub = odd_hub();
    let session = hub.session("/mcp", "2025-11-25");
    let mut stream = session.stream();
    assert_eq!(session.end().status, 200);
    assert_eq!(stream.next_message(), None);
    assert_eq!(session.end().status, 404);
}
