//! A real browser: an app that calls a tool, a page that holds the TypeScript SDK, and pages of others, which may
//! do neither. Pictures of the app are left in the directory for what tests leave.

use std::path::Path;
use std::process::Command;

use puerto_testkit::peers::client;
use puerto_testkit::{Hub, root, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// What the browser's window shows, in pixels.
const SIZE: (u32, u32) = (900, 720);

/// Copies a file or folder of the repository.
fn copy(from: &str, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(root().join(from)).arg(to).status().unwrap();
    assert!(copied.success(), "{from} cannot be copied");
}

/// A hub with the app of the repository, a page that holds the SDK as it is published, and a status page.
fn hub() -> Hub {
    let config = json!({
        "tenants": {"default": {
            "servers": {"monitor": {"builtin": "monitor"}},
            "status_page": {"title": "<b>Acme</b>"},
        }},
        "services": [{"name": "beat", "url": "push://", "group": "a".repeat(200), "public": true}],
    });
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:monitor", "ready");
    let plugins = hub.dir.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    copy("plugins/hello", &plugins.join("hello"));
    let page = plugins.join("sdk");
    copy("peers/pages/sdk", &page);
    let packages = "peers/npm/node_modules";
    copy(&format!("{packages}/@modelcontextprotocol/sdk/dist/esm"), &page.join("sdk"));
    copy(&format!("{packages}/zod"), &page.join("zod"));
    copy(&format!("{packages}/zod-to-json-schema/dist/esm"), &page.join("zod-to-json-schema"));
    hub
}

/// Whether a process has a text on its command line.
fn is_on_a_command_line(text: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    })
}

#[test]
fn a_browser_uses_apps_and_the_protocol_and_pages_of_others_cannot() {
    let hub = hub();
    let profile = hub.dir.path().join("profile");
    let (profile, pictures) = (profile.to_str().unwrap(), env!("CARGO_TARGET_TMPDIR"));
    let seen = client("browser", &[&hub.address, profile, pictures]);
    shows_what_the_tool_answered(&hub, &seen["hello"]);
    for scheme in ["light", "dark"] {
        is_a_picture(scheme, &seen["hello"]["pictures"][scheme]);
    }
    works_with_the_sdk(&seen["sdk"]);
    shows_how_services_are(&seen["status"]);
    refuses_pages_of_others(&hub, &seen);
    assert_eq!(seen["errors"], json!([]), "our own pages have nothing to complain of");
    wait_until("the browser has ended", || (!is_on_a_command_line(profile)).then_some(()));
}

/// The app shows what came over its WebSocket.
fn shows_what_the_tool_answered(hub: &Hub, seen: &Value) {
    assert_eq!(
        (&seen["status"], &seen["state"], &seen["tenant"]),
        (&json!(200), &json!("connected"), &json!("default"))
    );
    let heard = &seen["heard"];
    assert_eq!(heard["url"], format!("ws://{}/ws/app/hello/default", hub.address));
    let shown: Value = serde_json::from_str(seen["whole"].as_str().unwrap()).unwrap();
    assert_eq!(shown, heard["data"]["result"]["structuredContent"]);
    assert!(shown["uptime_seconds"].is_u64(), "{shown}");
    let line = seen["line"].as_str().unwrap();
    assert!(["day", "hour", "minute", "second"].iter().any(|unit| line.contains(unit)), "{line}");
    let servers = seen["servers"].as_str().unwrap();
    assert!(servers.contains("monitor") && servers.contains("ready"), "{servers}");
    assert!(seen["tools"].as_str().unwrap().contains("monitor.get_uptime"), "{}", seen["tools"]);
}

/// A picture is a PNG of the window's size with text on its ground, which is as light or dark as was asked.
fn is_a_picture(scheme: &str, seen: &Value) {
    let png = std::fs::read(seen["path"].as_str().unwrap()).unwrap();
    assert_eq!(png[..16], *b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "{seen}");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20)), SIZE, "{seen}");
    assert_eq!((&seen["width"], &seen["height"]), (&json!(SIZE.0), &json!(SIZE.1)));
    // Smooth letters have many shades; a page without them has a few.
    assert!(seen["colours"].as_u64().unwrap() > 50, "{seen}");
    let is_light = seen["first"][0].as_u64().unwrap() > 127;
    assert_eq!(is_light, scheme == "light", "{seen}");
}

/// The SDK's client worked in the page.
fn works_with_the_sdk(seen: &Value) {
    assert_eq!((&seen["error"], &seen["protocolVersion"]), (&Value::Null, &json!("2025-11-25")), "{seen}");
    assert_eq!(seen["serverInfo"]["name"], "puerto");
    let tools = ["monitor__get_metrics", "monitor__get_uptime", "monitor__list_processes"];
    assert_eq!(seen["tools"], json!(tools));
    assert!(seen["result"]["structuredContent"]["uptime_seconds"].is_u64(), "{seen}");
}

/// The status page says it in words, fits a phone, and has its own style in both schemes, without a script.
fn shows_how_services_are(seen: &Value) {
    for name in ["light", "dark", "phone"] {
        let (shown, text) = (&seen[name], seen[name]["text"].as_str().unwrap());
        assert!(text.contains("<b>Acme</b>") && text.contains("The service is not checked yet"), "{text}");
        assert_eq!(
            (&shown["scripts"], &shown["bars"], &shown["fits"]),
            (&json!(0), &json!(90), &json!(true))
        );
        let ground = if name == "dark" { "rgb(16, 22, 28)" } else { "rgb(246, 248, 250)" };
        assert_eq!(shown["ground"], ground, "{name}");
    }
}

/// What our own page may, one of another origin may not, nor is our page served under its name.
fn refuses_pages_of_others(hub: &Hub, seen: &Value) {
    assert_eq!(seen["hello"]["sockets"], json!(["opened", "opened"]));
    let foreign = &seen["foreign"];
    assert!(foreign["origin"].as_str().unwrap().starts_with("http://evil.example:"), "{foreign}");
    assert_eq!(foreign["sockets"], json!(["refused", "refused"]));
    for path in ["/ws/app/hello/default", "/ws/mcp/default"] {
        let why = format!("WebSocket connection to 'ws://{}{path}' failed", hub.address);
        let said = foreign["said"].as_array().unwrap().iter().filter_map(Value::as_str);
        let said: Vec<_> = said.filter(|text| text.contains(&why) && text.contains("403")).collect();
        assert_eq!(said.len(), 1, "{foreign}");
    }
    assert_eq!(foreign["rebound"], 403, "{foreign}");
}

#[test]
fn a_browser_that_finds_nothing_ends_too() {
    let dir = tempfile::TempDir::new().unwrap();
    let profile = dir.path().join("profile");
    let profile = profile.to_str().unwrap();
    let mut command = Command::new(root().join("peers/run"));
    // Nothing listens at this port.
    let done = command.args(["browser", "127.0.0.1:1", profile, profile]).output().unwrap();
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("127.0.0.1:1/apps/hello"), "{done:?}");
    wait_until("the browser has ended", || (!is_on_a_command_line(profile)).then_some(()));
}
