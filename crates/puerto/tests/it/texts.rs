//! Arguments and results that a tenant keeps beside its audit trail: sealed, shown to whoever may see them, erased.

use puerto_testkit::{Fixture, Hub, postgres, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// A hub whose first tenant keeps texts, and whose second one does not.
fn hub_on(store: &str, server: &str, key: Option<&str>) -> Hub {
    let servers = json!({"echo": {"url": server}});
    let mut config = json!({
        "tenants": {"default": {"audit": {"texts": true}, "servers": servers}, "acme": {"servers": servers}},
        "store": {"url": store},
        "audit": {"every_seconds": 1},
    });
    if let Some(key) = key {
        config["audit"]["texts_key"] = key.into();
    }
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:echo", "ready");
    hub.wait_for("acme:echo", "ready");
    hub
}

/// The numbers of the records of calls of a tenant that have ended, once there are so many.
fn calls(hub: &Hub, tenant: &str, count: usize) -> Vec<Value> {
    wait_until("the calls are recorded", || {
        let found = hub.get(&format!("/audit?tenant={tenant}&action=tools/call&after=0")).json();
        let mut ended = found["audit"].as_array().unwrap().clone();
        ended.retain(|record| record.get("outcome").is_some());
        (ended.len() == count).then_some(ended)
    })
}

fn puerto(hub: &Hub, arguments: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", hub.address);
    hub.command(&[&["audit"], arguments, &["--url", &url]].concat())
}

/// What is kept of an operation, whose beginning may have a record of its own.
fn texts(hub: &Hub, record: &Value) -> (Option<String>, Option<String>) {
    let path = format!("/audit?request={}&after=0", record["request"].as_str().unwrap());
    let (mut arguments, mut result) = (None, None);
    for record in hub.get(&path).json()["audit"].as_array().unwrap() {
        let shown = hub.get(&format!("/audit/{}", record["seq"])).json();
        assert_eq!(shown["record"], *record);
        for (name, text) in [("arguments", &mut arguments), ("result", &mut result)] {
            if let Some(found) = shown.get(name) {
                assert_eq!(found["is_recorded"], true, "{shown}");
                *text = found["text"].as_str().map(ToOwned::to_owned);
            }
        }
    }
    (arguments, result)
}

#[test]
fn a_tenant_that_keeps_texts_sees_them_until_they_are_erased_and_the_trail_stays_whole() {
    let fixture = Fixture::start(PUERTO, "both");
    let stores = [
        ("sqlite://data/puerto.db".to_owned(), None),
        (postgres(), Some("0123456789abcdef0123456789abcdef")),
    ];
    for (store, key) in stores {
        let hub = hub_on(&store, &fixture.url, key);
        for tenant in ["default", "acme"] {
            let path = format!("/mcp/{tenant}");
            hub.call(&path, "echo__echo", json!({"patient": "Jane Roe", "long": "x".repeat(40_000)}));
            hub.call(&path, "echo__wait", json!({"ms": 300}));
        }
        let own = calls(&hub, "default", 2);
        let (arguments, result) = texts(&hub, &own[0]);
        let arguments: Value = serde_json::from_str(&arguments.unwrap()).unwrap();
        assert_eq!(
            (&arguments["patient"], own[0]["arguments"].get("sha256_ends")),
            (&json!("Jane Roe"), None)
        );
        assert!(result.unwrap().contains("Jane Roe"));
        // The one that went on for longer.
        let (arguments, result) = texts(&hub, &own[1]);
        assert!(arguments.unwrap().contains("300") && result.is_some());
        let others = calls(&hub, "acme", 2);
        assert_eq!(texts(&hub, &others[0]), (None, None));
        assert!(hub.get(&format!("/audit/{}", others[0]["seq"])).json().get("salt").is_some());

        let seq = own[0]["seq"].to_string();
        let (code, shown, err) = puerto(&hub, &["show", &seq]);
        assert!(code == 0 && shown.contains("Jane Roe") && shown.contains("\nresult: "), "{shown}{err}");
        let (code, _, err) = puerto(&hub, &["erase", "--seq", &seq]);
        assert!(
            code == 1 && err.contains(&format!("records of seq {seq}")) && err.contains("Nothing was erased"),
            "{err}"
        );
        assert!(texts(&hub, &own[0]).0.is_some());
        let proved = || hub.get(&format!("/audit/prove/{seq}")).json()["record"].clone();
        let record = proved();
        let (code, said, err) = puerto(&hub, &["erase", "--seq", &seq, "--yes"]);
        assert!(code == 0 && said.contains("the texts of"), "{said}{err}");
        assert_eq!(texts(&hub, &own[0]), (None, None));
        assert!(hub.get(&format!("/audit/{seq}")).json().get("salt").is_none());
        assert!(texts(&hub, &own[1]).0.is_some(), "only of the one");
        let (_, shown, _) = puerto(&hub, &["show", &seq]);
        assert!(!shown.contains("Jane Roe") && shown.contains("nothing is kept"), "{shown}");
        let verified = hub.get("/audit/verify").json();
        assert!(verified["ok"] == true && proved() == record, "{verified}");

        let erased = hub.post("/audit/erase?tenant=default", r#"{"agent":"local","confirm":true}"#).json();
        assert!(erased["erased"]["texts"].as_u64() >= Some(1), "{erased}");
        assert_eq!(texts(&hub, &own[1]), (None, None));
        assert!(hub.get(&format!("/audit/{}", others[0]["seq"])).json().get("salt").is_some());
        // Who has looked and who has erased is in the trail, and what was erased.
        let erasure = wait_until("the erasures are recorded", || {
            let found = hub.get("/audit?action=audit.erase&tenant=default").json()["audit"].clone();
            found.as_array().unwrap().iter().find(|record| record["outcome"] == "ok").cloned()
        });
        assert_eq!(erasure["object"], "records of agent local");
        let looks = hub.get("/audit?action=audit.show&tenant=default").json()["audit"].clone();
        assert!(looks.as_array().unwrap().iter().any(|record| record["object"] == seq.as_str()), "{looks}");
        assert_eq!(
            hub.get("/events?type=audit.erased&tenant=acme").json()["events"].as_array().unwrap().len(),
            1
        );
        assert_eq!(hub.get("/audit/verify").json()["ok"], true);
    }
}

#[test]
fn nobody_finds_texts_in_the_files_of_the_hub() {
    let fixture = Fixture::start(PUERTO, "both");
    let hub = hub_on("sqlite://data/puerto.db", &fixture.url, None);
    hub.call("/mcp/default", "echo__echo", json!({"patient": "Jane Roe"}));
    let call = calls(&hub, "default", 1).remove(0);
    assert!(texts(&hub, &call).0.unwrap().contains("Jane Roe"));
    let export = puerto(&hub, &["export"]).1;
    assert!(export.contains("tools/call") && !export.contains("Jane Roe"));
    let (code, dir) = hub.stop();
    assert_eq!(code, Some(0));
    let data = dir.path().join("data");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|bytes| bytes == b"Jane Roe"), "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert!(names.contains(&"texts.key".to_owned()), "{names:?}");
}

#[test]
fn a_key_that_cannot_be_used_is_told_before_anything_is_lost() {
    let fixture = Fixture::start(PUERTO, "both");
    let hub = hub_on("sqlite://data/puerto.db", &fixture.url, None);
    for (path, body, named) in [
        ("/audit/erase", r#"{"sequence":1}"#, "sequence"),
        ("/audit/erase", r#"{"until":"yesterday","confirm":true}"#, "until:"),
        ("/audit/erase", "{}", "all records"),
    ] {
        let answer = hub.post(path, body);
        assert!(answer.status == 400 && answer.body.contains(named), "{body}: {}", answer.body);
    }
    assert_eq!(hub.post("/audit/erase", r#"{"seq":99999,"confirm":true}"#).status, 404);
    assert_eq!(hub.get("/audit/99999").status, 404);
    let (_, dir) = hub.stop();
    std::fs::write(dir.path().join("data/texts.key"), "too short").unwrap();
    let config = json!({"tenants": {"default": {"audit": {"texts": true}}}});
    std::fs::write(dir.path().join("puerto.json"), config.to_string()).unwrap();
    let program = std::path::Path::new(PUERTO);
    let started = ["up", "--config", "puerto.json", "--port", "0"];
    let (code, _, err) = puerto_testkit::hub::command(program, dir.path(), &started);
    assert!(code != 0 && err.contains("texts.key") && err.contains("32 characters"), "{err}");
}
