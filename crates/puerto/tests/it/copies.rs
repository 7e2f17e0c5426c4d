//! Copies of the audit trail's checkpoints: at a webhook and at syslogs, late where a receiver was down, and whole.

use std::process::Command;

use puerto_testkit::syslog::Syslog;
use puerto_testkit::web::Heard;
use puerto_testkit::{Hub, Web, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn hub(copies: Value) -> Hub {
    let config = json!({
        "tenants": {"default": {"servers": {"monitor": {"builtin": "monitor"}}}, "acme": {}},
        "audit": {"every_seconds": 1, "copies": copies},
    });
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:monitor", "ready");
    hub
}

fn report(hub: &Hub) {
    assert_eq!(hub.post("/audit", r#"{"action":"deploy","agent":"bot","details":{}}"#).status, 201);
}

/// The signed texts of the file of checkpoints.
fn kept(hub: &Hub) -> Vec<String> {
    let text = std::fs::read_to_string(hub.dir.path().join("data/checkpoints.txt")).unwrap_or_default();
    text.split("puerto/audit\n").skip(1).map(|rest| format!("puerto/audit\n{rest}")).collect()
}

/// What `GET /metrics/prometheus` says of attempts.
fn attempts(hub: &Hub, to: &str, result: &str) -> u64 {
    let series = format!("puerto_checkpoint_copies_total{{to=\"{to}\",result=\"{result}\"}} ");
    let text = hub.get("/metrics/prometheus").body;
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

/// The newest copy, once it stands for all that is kept.
fn newest(hub: &Hub, copies: impl Fn() -> Vec<Value>) -> Value {
    wait_until("the newest checkpoint was copied", || {
        let (last, copy) = (kept(hub).pop()?, copies().pop()?);
        (copy["note"] == last).then_some(copy)
    })
}

/// A copy says what is in its signed text, which `puerto audit verify` has accepted in the file.
fn check(hub: &Hub, copy: &Value) {
    let note = copy["note"].as_str().unwrap();
    let lines: Vec<_> = note.lines().collect();
    assert_eq!((&copy["type"], &copy["origin"]), (&json!("audit.checkpoint"), &json!("puerto/audit")));
    assert_eq!(lines[0], "puerto/audit");
    assert_eq!(lines[1], copy["size"].to_string());
    assert_eq!(lines[3], format!("time {}", copy["time"].as_str().unwrap()));
    let url = format!("http://{}", hub.address);
    let (code, said, _) = hub.command(&["audit", "verify", "--json", "--url", &url]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["ok"]), (0, &json!(true)), "{said}");
    assert_eq!(said["key"], copy["key"]);
    if said["size"] == copy["size"] {
        assert_eq!(said["root"], copy["root"]);
    }
}

/// Whether a request is signed as Standard Webhooks has it, by Python's own functions.
fn is_signed(heard: &Heard) -> bool {
    let script = "import base64, hashlib, hmac, sys\n\
        key, id, at, body = sys.argv[1:]\n\
        key = base64.b64decode(key.removeprefix('whsec_'))\n\
        signed = hmac.new(key, f'{id}.{at}.{body}'.encode(), hashlib.sha256).digest()\n\
        print('v1,' + base64.b64encode(signed).decode())";
    let header = |name: &str| heard.header(name).unwrap().to_owned();
    let given = [SECRET.to_owned(), header("webhook-id"), header("webhook-timestamp"), heard.body.clone()];
    let made = Command::new("python3").args(["-c", script]).args(given).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim() == header("webhook-signature")
}

#[test]
fn a_webhook_gets_checkpoints_signed_and_the_last_one_before_the_end() {
    let hook = Web::start();
    let webhook = json!({"url": format!("{}trail", hook.url()), "secret": SECRET, "headers": {"x-key": "k"}});
    let mut hub = hub(json!({"webhook": webhook}));
    report(&hub);
    let copies = || hook.requests().iter().map(Heard::json).collect::<Vec<_>>();
    let copy = newest(&hub, copies);
    check(&hub, &copy);
    for heard in hook.requests() {
        assert!(is_signed(&heard), "{heard:?}");
        assert_eq!((heard.path(), heard.header("x-key")), ("/trail", Some("k")));
    }
    // Each is in the file, byte for byte.
    let all = kept(&hub);
    assert!(copies().iter().all(|copy| all.iter().any(|note| copy["note"] == **note)));
    assert!(attempts(&hub, "webhook", "sent") >= 1 && attempts(&hub, "webhook", "failed") == 0);

    // Whoever has only what the webhook got finds that somebody has cut the trail.
    let url = format!("http://{}", hub.address);
    let (_, export, _) = hub.command(&["audit", "export", "--url", &url]);
    let lines: Vec<_> = export.lines().collect();
    let verify = |records: &[&str]| {
        let notes: String = copies().iter().map(|copy| copy["note"].as_str().unwrap().to_owned()).collect();
        let text = format!("{}\n{}\n", records.join("\n"), json!({"checkpoints": notes}));
        std::fs::write(hub.dir.path().join("trail.ndjson"), text).unwrap();
        hub.command(&["audit", "verify", "trail.ndjson", "--key", copy["key"].as_str().unwrap()])
    };
    let (code, said, err) = verify(&lines[..lines.len() - 1]);
    assert!(code == 0 && said.starts_with("the trail is whole"), "{said}{err}");
    let cut = 1 + usize::try_from(copy["size"].as_u64().unwrap()).unwrap() - 1;
    let (code, said, err) = verify(&lines[..cut]);
    assert!(code == 1 && format!("{said}{err}").contains("truncated"), "{said}{err}");

    report(&hub);
    hub.process.terminate();
    hub.process.wait();
    assert_eq!(copies().pop().unwrap()["note"], kept(&hub).pop().unwrap());
}

#[test]
fn a_receiver_that_was_down_gets_the_newest_and_everybody_is_told_once() {
    let hook = Web::start();
    let address = hook.address();
    drop(hook);
    let hub = hub(json!({"webhook": {"url": format!("http://{address}/s3cret"), "secret": SECRET}}));
    let told = |kind: &str, tenant: &str| {
        let found = hub.get(&format!("/events?type={kind}&tenant={tenant}")).json();
        found["events"].as_array().unwrap().clone()
    };
    report(&hub);
    wait_until("it was tried several times", || (attempts(&hub, "webhook", "failed") >= 3).then_some(()));
    let before = kept(&hub).len();
    report(&hub);
    wait_until("the trail is sealed meanwhile", || (kept(&hub).len() > before).then_some(()));
    let hook = Web::start_at(address);
    // Busy first, and then well.
    hook.says(|says| says.next = [503].into());
    let well = || -> Vec<Value> {
        hook.requests().iter().filter(|heard| heard.status == 200).map(Heard::json).collect()
    };
    let copy = newest(&hub, well);
    check(&hub, &copy);
    assert_eq!(hook.requests()[0].status, 503);
    for tenant in ["default", "acme"] {
        let failing = wait_until("it is an event", || told("audit.copies_failing", tenant).pop());
        assert_eq!((&failing["severity"], &failing["payload"]), (&json!("error"), &json!({"to": "webhook"})));
        wait_until("so is the end of it", || told("audit.copies_sent", tenant).pop());
        assert_eq!(told("audit.copies_failing", tenant).len(), 1);
    }
    let log = hub.process.errors();
    let complaints: Vec<_> = log.lines().filter(|line| line.contains("are not copied")).collect();
    assert_eq!(complaints.len(), 1, "{log}");
    assert!(complaints[0].contains(&address.to_string()), "{log}");
    assert!(!log.contains("s3cret") && !log.contains(SECRET), "{log}");
}

#[test]
fn a_syslog_gets_checkpoints_over_udp_over_tcp_and_by_the_socket_of_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    for log in [Syslog::udp(), Syslog::tcp(), Syslog::unix(&dir.path().join("log"))] {
        let hub = hub(json!({"syslog": log.url}));
        report(&hub);
        let copies = || -> Vec<Value> {
            log.logged().iter().map(|logged| serde_json::from_str(&logged.text).unwrap()).collect()
        };
        let copy = newest(&hub, copies);
        check(&hub, &copy);
        for (logged, copy) in log.logged().iter().zip(copies()) {
            // Log audit, informational.
            assert_eq!((logged.priority, &*logged.program, &*logged.kind), (110, "puerto", "checkpoint"));
            assert_eq!(logged.process, hub.process.pid().to_string());
            assert_eq!(copy["time"], *logged.time);
            assert!(!logged.host.is_empty());
        }
        assert!(attempts(&hub, "syslog", "sent") >= 1 && attempts(&hub, "webhook", "sent") == 0);
    }
}
