//! Everything that is kept goes out as one archive and comes back, whole or not at all, over the real binary.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use puerto_testkit::http::Answer;
use puerto_testkit::process::Process;
use puerto_testkit::{Hub, postgres, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PUERTO;
use crate::audit::hub_on;

fn sqlite() -> String {
    "sqlite://data/puerto.db".to_owned()
}

/// Something of everything that people and programs tell a hub.
fn fill(hub: &Hub) {
    for (n, tenant) in ["default", "acme"].into_iter().enumerate() {
        for event in 0..30 {
            let body =
                json!({"type": "error", "id": format!("{event}"), "source": "test", "payload": {"n": event}});
            assert_eq!(hub.post(&format!("/events?tenant={tenant}"), &body.to_string()).status, 201);
        }
        for noun in ["model", "agent"] {
            let body = json!({"type": noun, "data": {"name": format!("{noun} {n}"), "status": "busy"}});
            assert_eq!(hub.post(&format!("/register?tenant={tenant}"), &body.to_string()).status, 201);
        }
        let body = json!({"action": "deploy", "agent": "bot", "details": {"of": tenant}}).to_string();
        assert_eq!(hub.post(&format!("/audit?tenant={tenant}"), &body).status, 201);
    }
    let list = json!({"name": "look", "tasks": [{"type": "monitor", "action": "get_uptime"}]});
    let id = hub.post("/tasks", &list.to_string()).json()["id"].clone();
    wait_until("the task is done", || {
        (hub.get(&format!("/tasks/{id}")).json()["status"] == "done").then_some(())
    });
}

/// What of a context does not come from the hub itself.
fn told(hub: &Hub) -> Value {
    let mut context = hub.get("/context").json();
    let events = context["events"].as_array().unwrap();
    let events: Vec<_> = events.iter().filter(|event| event["source"] == "test").cloned().collect();
    context["events"] = events.into();
    context.as_object_mut().unwrap().remove("audit");
    context
}

fn export(hub: &Hub, query: &str) -> String {
    let answer = hub.get(&format!("/export?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn import(hub: &Hub, query: &str, body: &str) -> Answer {
    hub.request("POST", &format!("/import?{query}"), &[("Content-Type", "application/x-ndjson")], body)
}

/// The record of an operation that went well, once it is written.
fn ended(hub: &Hub, action: &str) -> Value {
    wait_until(&format!("{action} is recorded"), || {
        let records = hub.get(&format!("/audit?action={action}")).json();
        records["audit"].as_array().unwrap().iter().find(|one| one["outcome"] == "ok").cloned()
    })
}

fn kill(hub: Hub) -> TempDir {
    let done = Command::new("kill").args(["-KILL", &hub.process.pid().to_string()]).status();
    assert!(done.unwrap().success());
    let Hub { dir, process, .. } = hub;
    drop(process);
    dir
}

fn count(report: &Value, section: &str) -> (u64, u64, u64) {
    let sections = report["sections"].as_array().unwrap_or_else(|| panic!("{report}"));
    let one = sections.iter().find(|one| one["section"] == section).unwrap_or_else(|| panic!("{report}"));
    let number = |name: &str| one[name].as_u64().unwrap();
    (number("added"), number("present"), number("removed"))
}

#[test]
fn export_wipe_and_import_give_the_same_context_on_every_store() {
    for (from, to) in [(sqlite(), postgres()), (postgres(), sqlite())] {
        let hub = hub_on(&from);
        fill(&hub);
        let before = told(&hub);
        assert_eq!(before["events"].as_array().unwrap().len(), 60);
        let archive = export(&hub, "");
        // Wiped on the spot ...
        assert_eq!(hub.post("/clear", r#"{"confirm":true}"#).status, 200);
        assert_eq!(told(&hub)["events"], json!([]));
        let report = import(&hub, "", &archive).json();
        assert_eq!(count(&report, "registrations"), (4, 0, 0), "{report}");
        // ... the trail was never gone.
        assert_eq!(count(&report, "audit").0, 0, "{report}");
        assert_eq!(told(&hub), before);
        // ... and in a new store of the other kind, where what the hub says of its own start gives way.
        let other = hub_on(&to);
        let report = import(&other, "mode=replace&confirm=true", &archive).json();
        assert_eq!(told(&other), before, "{report}");
        let again = import(&other, "", &archive).json();
        assert!(again["sections"].as_array().unwrap().iter().all(|one| one["added"] == 0), "{again}");
        assert_eq!(told(&other), before);
    }
}

#[test]
fn a_trail_that_came_is_a_segment_which_is_read_and_verified_by_itself() {
    let from = hub_on(&sqlite());
    fill(&from);
    let key = from.get("/audit/verify").json()["key"].clone();
    let archive = export(&from, "");
    for hub in [hub_on(&sqlite()), hub_on(&postgres())] {
        let report = import(&hub, "", &archive).json();
        let audit =
            report["sections"].as_array().unwrap().iter().find(|one| one["section"] == "audit").unwrap();
        let name = audit["segment"].as_str().unwrap().to_owned();
        assert_eq!(ended(&from, "archive.export")["tenant"], "acme");
        let found = hub.get("/audit/verify").json();
        assert_eq!(
            (&found["ok"], &found["segments"][0]["segment"], &found["segments"][0]["key"]),
            (&json!(true), &json!(name), &key),
            "{found}"
        );
        let listed = hub.get(&format!("/audit?segment={name}&agent=bot")).json();
        assert_eq!(listed["audit"].as_array().unwrap().len(), 2, "{listed}");
        assert_eq!(hub.get("/audit?agent=bot").json()["audit"], json!([]));
        assert_eq!(hub.get("/audit?segment=none").status, 404);
        let url = format!("http://{}", hub.address);
        let (code, said, err) = hub.command(&["audit", "verify", "--url", &url]);
        assert!(code == 0 && said.contains(&format!("segment {name} is whole")), "{said}{err}");
        let (code, said, err) = hub.command(&["audit", "list", "--segment", &name, "--url", &url]);
        assert!(code == 0 && said.contains("deploy"), "{said}{err}");
        // The hub's own trail says which one came.
        assert_eq!(ended(&hub, "archive.import")["object"], json!(name));
    }
}

/// What was tampered with goes nowhere, and keeps nothing else from going.
#[test]
fn a_trail_that_was_tampered_with_is_taken_in_by_no_hub() {
    let from = hub_on(&sqlite());
    fill(&from);
    let (_, dir) = from.stop();
    let db = rusqlite::Connection::open(dir.path().join("data/puerto.db")).unwrap();
    let sql = "UPDATE audit_blocks SET packed = unhex(replace(hex(packed), hex('bot'), hex('cat')))
        WHERE instr(packed, 'bot') > 0";
    assert!(db.execute(sql, []).unwrap() > 0);
    drop(db);
    let from = Hub::start_in(PUERTO, &json!({"tenants": {"default": {}, "acme": {}}}), dir);
    let hub = hub_on(&sqlite());
    let refused = import(&hub, "", &export(&from, ""));
    assert!(refused.status == 400 && refused.body.contains("section audit"), "{}", refused.body);
    let file = hub.dir.path().join("all.ndjson").display().to_string();
    let (from, to) = (format!("http://{}", from.address), format!("http://{}", hub.address));
    assert_eq!(hub.command(&["export", &file, "--no-audit", "--url", &from]).0, 0);
    let (code, said, err) = hub.command(&["restore", &file, "--url", &to]);
    assert!(code == 0 && !said.contains("audit"), "{said}{err}");
}

#[test]
fn modes_do_what_they_say_and_nothing_more() {
    let hub = hub_on(&sqlite());
    fill(&hub);
    let archive = export(&hub, "");
    let before = told(&hub);
    let newer = r#"{"type":"agent","data":{"name":"agent 0","status":"idle"}}"#;
    assert_eq!(hub.post("/register", newer).status, 200);
    hub.post("/events", r#"{"type":"info","source":"test","id":"later"}"#);
    let there = told(&hub);
    for mode in ["merge", "replace"] {
        let report = import(&hub, &format!("mode={mode}&dry_run=true"), &archive).json();
        assert_eq!(report["dry_run"], true);
        assert_eq!(told(&hub), there, "{mode}");
    }
    assert_eq!(count(&import(&hub, "", &archive).json(), "registrations"), (0, 4, 0));
    assert_eq!(told(&hub), there);
    let refused = import(&hub, "mode=replace", &archive);
    assert!(refused.status == 400 && refused.body.contains("confirm=true"), "{}", refused.body);
    assert_eq!(told(&hub), there);
    let trail = hub.get("/audit?limit=1").json()["audit"][0]["seq"].as_u64().unwrap();
    assert_eq!(import(&hub, "mode=replace&confirm=true", &archive).status, 200);
    assert_eq!(told(&hub), before);
    assert!(hub.get("/audit?limit=1").json()["audit"][0]["seq"].as_u64().unwrap() >= trail);
    assert_eq!(hub.get("/audit/verify").json()["ok"], true);
    for (query, named) in [("mode=swap", "mode"), ("form=xml", "form"), ("tenant=nobody", "nobody")] {
        let refused = if query.starts_with("form") {
            hub.get(&format!("/export?{query}"))
        } else {
            import(&hub, query, "")
        };
        assert!(refused.status >= 400 && refused.body.contains(named), "{query}: {}", refused.body);
    }
}

#[test]
fn one_tenants_archive_has_its_data_alone() {
    for hub in [hub_on(&sqlite()), hub_on(&postgres())] {
        fill(&hub);
        let archive = export(&hub, "tenant=acme");
        assert!(
            !archive.contains(r#""tenant":"default""#) && !archive.contains("\"of\":\"default\""),
            "{archive}"
        );
        assert_eq!(archive.matches(r#""source":"test""#).count(), 30);
        let other = hub_on(&sqlite());
        let refused = import(&other, "tenant=default", &archive);
        assert!(refused.status == 400 && refused.body.contains("line 1"), "{}", refused.body);
        fill(&other);
        let before = other.get("/context?tenant=default").json()["models"].clone();
        assert_eq!(import(&other, "tenant=acme&mode=replace&confirm=true", &archive).status, 200);
        assert_eq!(other.get("/context?tenant=default").json()["models"], before);
        let found = other.get("/audit/verify").json();
        assert_eq!(
            (&found["ok"], &found["segments"][0]["tenant"]),
            (&json!(true), &json!("acme")),
            "{found}"
        );
    }
}

#[test]
fn a_bad_archive_is_refused_with_section_and_line_and_nothing_of_it_stays() {
    let from = hub_on(&sqlite());
    fill(&from);
    let archive = export(&from, "");
    let half = &archive[..archive.len() / 2];
    for hub in [hub_on(&sqlite()), hub_on(&postgres())] {
        let before = told(&hub);
        for (text, named) in [
            (half.to_owned(), "cut off"),
            (archive.replacen(r#"{"n":7}"#, r#"{"n":8}"#, 1), "section events, line 2: lines 3 to"),
            (archive.replacen(r#""severity":"error""#, r#""severity":"grim""#, 1), "severity"),
            (
                archive.replacen("puerto_archive\":1", "puerto_archive\":9", 1),
                "use the Puerto that has written it",
            ),
            (String::new(), "it is empty"),
            ("PK\u{3}\u{4}".into(), "could not read the context"),
            (r#"{"hello":1}"#.into(), "hello"),
            ("{}".into(), "no archive of Puerto"),
        ] {
            let refused = import(&hub, "mode=replace&confirm=true", &text);
            assert!(refused.status == 400 && refused.body.contains(named), "{named}: {}", refused.body);
            assert_eq!(told(&hub), before);
        }
        assert_eq!(import(&hub, "", &archive).status, 200);
    }
}

#[test]
fn a_plain_context_goes_out_and_comes_in() {
    let hub = hub_on(&sqlite());
    fill(&hub);
    let before = told(&hub);
    let context = export(&hub, "form=context");
    let all: Value = serde_json::from_str(&context).unwrap();
    assert!(all["events"].as_array().unwrap().len() > 60 && !all["audit"].as_array().unwrap().is_empty());
    // Where it came from it is known, to the millisecond that it tells.
    let report = import(&hub, "", &context).json();
    assert_eq!((count(&report, "events").0, count(&report, "tasks").0), (0, 0), "{report}");
    for other in [hub_on(&sqlite()), hub_on(&postgres())] {
        // What people's tools make of it is the same.
        let pretty = serde_json::to_string_pretty(&all).unwrap();
        let report = import(&other, "mode=replace&confirm=true", &pretty).json();
        assert_eq!(count(&report, "tasks"), (1, 0, 0), "{report}");
        let mut now = told(&other);
        for task in now["tasks"].as_array_mut().unwrap() {
            // It is told in milliseconds alone.
            task["duration_ms"] = before["tasks"][0]["duration_ms"].clone();
        }
        assert_eq!(now, before);
        let found = other.get("/audit/verify").json();
        assert_eq!((&found["ok"], &found["segments"][0]["key"]), (&json!(true), &Value::Null), "{found}");
        let refused = import(&other, "", &context.replacen("\"type\":\"error\"", "\"type\":7", 1));
        assert!(refused.status == 400 && refused.body.contains("].type: invalid type"), "{}", refused.body);
        // Of one tenant its own alone.
        let acme = export(&hub, "form=context&tenant=acme");
        assert_eq!(import(&other, "tenant=acme", &acme).status, 200);
        let refused = import(&other, "tenant=acme", &context);
        assert!(
            refused.status == 400 && refused.body.contains("where the archive is of"),
            "{}",
            refused.body
        );
        let refused = import(&other, "", &context.replacen("\"tenant\":\"acme\"", "\"tenant\":\"A B\"", 1));
        assert!(refused.status == 400 && refused.body.contains("s[0]: tenant"), "{}", refused.body);
    }
}

/// Asks for an archive to be taken in, and sends so many bytes of it.
fn send_import(hub: &Hub, archive: &str, bytes: usize) -> TcpStream {
    let (host, length) = (&hub.address, archive.len());
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /import?mode=replace&confirm=true HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&archive.as_bytes()[..bytes]).unwrap();
    stream
}

#[test]
fn a_hub_that_is_killed_in_the_middle_of_an_import_is_as_before() {
    let from = hub_on(&sqlite());
    fill(&from);
    let archive = export(&from, "");
    for store in [sqlite(), postgres()] {
        let mut hub = hub_on(&store);
        hub.post("/events", r#"{"type":"info","source":"test","id":"mine"}"#);
        let before = told(&hub);
        let config = std::fs::read_to_string(hub.dir.path().join("puerto.json")).unwrap();
        for part in [archive.len() / 3, archive.len() - 20] {
            // It is under way when nobody else may begin one. Where whoever asks for that comes first, it is the import
            // that is refused, and begun again.
            let stream = wait_until("the import is under way", || {
                let stream = send_import(&hub, &archive, part);
                hub.get("/health");
                import(&hub, "", &archive[..10]).body.contains("under way").then_some(stream)
            });
            hub = Hub::start_text(PUERTO, &config, kill(hub));
            drop(stream);
            hub.wait_for("default:monitor", "ready");
            assert_eq!(told(&hub), before);
        }
        // All of it is there, and the end comes whenever it comes: it is as before, or all is taken over.
        for round in 0..5 {
            let stream = send_import(&hub, &archive, archive.len());
            for _ in 0..round {
                hub.get("/health");
            }
            hub = Hub::start_text(PUERTO, &config, kill(hub));
            drop(stream);
            hub.wait_for("default:monitor", "ready");
            let now = told(&hub);
            assert!(now == before || now == told(&from), "{now}");
        }
        assert_eq!(import(&hub, "", &archive).status, 200);
    }
}

#[test]
fn commands_write_and_read_files() {
    let hub = hub_on(&sqlite());
    fill(&hub);
    let url = format!("http://{}", hub.address);
    let (code, said, err) = hub.command(&["export", "all.ndjson", "--url", &url]);
    assert!(code == 0 && said.contains("events") && said.contains("SHA-256"), "{said}{err}");
    let (code, said, _) = hub.command(&["export", "all.ndjson", "--url", &url, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(code == 0 && said["sections"][0]["section"] == "events", "{said}");
    let (code, text, _) = hub.command(&["export", "--url", &url, "--form", "context"]);
    assert!(code == 0 && serde_json::from_str::<Value>(&text).unwrap()["models"].is_array());
    // Who takes it for a list of servers is told what it is.
    let (code, _, err) = hub.command(&["import", "all.ndjson", "--config", "puerto.json"]);
    assert!(code == 1 && err.contains("puerto restore all.ndjson"), "{err}");
    // Ordinary tools check it.
    let script = r#"test "$(head -n -1 all.ndjson | sha256sum | cut -d' ' -f1)" = "$(tail -n 1 all.ndjson | grep -o '[0-9a-f]\{64\}"}$' | tr -d '"}')""#;
    let done = Command::new("sh").args(["-c", script]).current_dir(hub.dir.path()).status();
    assert!(done.unwrap().success());

    // So does Puerto, without a hub, against the key that is trusted.
    let key = hub.get("/audit/verify").json()["key"].as_str().unwrap().to_owned();
    let (code, said, err) = hub.command(&["audit", "verify", "all.ndjson", "--key", &key]);
    assert!(code == 0 && said.starts_with("the archive is whole") && said.contains(&key), "{said}{err}");
    let (code, _, err) = hub.command(&["audit", "verify", "all.ndjson", "--key", &key.replace('A', "B")]);
    assert!(code == 1 && err.contains("no audit trail in it is signed by"), "{err}");

    let other = hub_on(&sqlite());
    let to = format!("http://{}", other.address);
    let file = hub.dir.path().join("all.ndjson");
    let file = file.to_str().unwrap();
    let (code, said, err) = other.command(&["restore", file, "--dry-run", "--url", &to]);
    assert!(code == 0 && said.contains("this is what would happen"), "{said}{err}");
    let (code, _, err) = other.command(&["restore", file, "--mode", "replace", "--url", &to]);
    assert!(code == 1 && err.contains("--yes"), "{err}");
    let (code, said, err) = other.command(&["restore", file, "--mode", "replace", "--yes", "--url", &to]);
    assert!(code == 0 && said.contains("segment"), "{said}{err}");
    assert_eq!(told(&other), told(&hub));
    let cut = std::fs::read_to_string(file).unwrap();
    std::fs::write(other.dir.path().join("cut.ndjson"), &cut[..cut.len() - 9]).unwrap();
    for command in [&["restore", "cut.ndjson", "--url", &to][..], &["audit", "verify", "cut.ndjson"]] {
        let (code, _, err) = other.command(command);
        assert!(code == 1 && err.contains("manifest"), "{err}");
    }
    let (code, _, err) = other.command(&["restore", "none.ndjson", "--url", &to]);
    assert!(code == 1 && err.contains("could not read none.ndjson"), "{err}");
    let (code, _, err) = other.command(&["export", "no/such/dir/all.ndjson", "--url", &to]);
    assert!(code == 1 && err.contains("could not write"), "{err}");
}

#[test]
fn a_backup_that_is_made_while_many_write_is_whole_and_has_what_was_answered() {
    let hub = hub_on(&sqlite());
    let (stop, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let (before, made) = std::thread::scope(|scope| {
        for writer in 0..64 {
            let (hub, stop, answered) = (&hub, &stop, &answered);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let body = json!({"type": "info", "source": format!("w{writer}"), "id": format!("{n}")});
                    assert_eq!(hub.post("/events", &body.to_string()).status, 201);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        wait_until("events are kept", || (answered.load(Ordering::SeqCst) >= 300).then_some(()));
        let before = answered.load(Ordering::SeqCst);
        let made = hub.command(&["backup", "copy.db", "--config", "puerto.json", "--json"]);
        stop.store(true, Ordering::SeqCst);
        (before, made)
    });
    let (code, said, err) = made;
    assert_eq!(code, 0, "{err}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["events"].as_u64().unwrap() >= u64::from(before), "{before}: {said}");
    let (code, _, err) = hub.command(&["backup", "copy.db", "--config", "puerto.json"]);
    assert!(code == 1 && err.contains("it is there already"), "{err}");
    // A hub on the copy has it, and its trail is whole.
    let restored = hub_on(&format!("sqlite://{}", hub.dir.path().join("copy.db").display()));
    let kept = rusqlite::Connection::open(hub.dir.path().join("copy.db")).unwrap();
    let kept: i64 =
        kept.query_row("SELECT count(*) FROM events WHERE source LIKE 'w%'", [], |row| row.get(0)).unwrap();
    assert!(kept >= i64::from(before));
    assert_eq!(restored.get("/audit/verify").json()["ok"], true);

    for (store, named) in [(postgres(), "pg_dump"), ("sqlite::memory:".into(), "puerto export FILE")] {
        let config = json!({"tenants": {"default": {}}, "store": {"url": store}}).to_string();
        std::fs::write(hub.dir.path().join("other.json"), config).unwrap();
        let (code, _, err) = hub.command(&["backup", "other.db", "--config", "other.json"]);
        assert!(code == 1 && err.contains(named), "{err}");
    }
}

/// A disk that takes no more: what is asked then fails with a reason, what was answered stays, and it goes on by itself
/// once there is room.
#[test]
fn a_full_disk_loses_nothing_that_was_answered() {
    let dir = TempDir::new().unwrap();
    let config = json!({"tenants": {"default": {}}});
    std::fs::write(dir.path().join("puerto.json"), config.to_string()).unwrap();
    // No file may grow beyond 2 MiB; without the trap that would end the process.
    let script = format!("trap '' XFSZ; ulimit -f 4096; exec '{PUERTO}' up --port 0 --config puerto.json");
    let process = Process::start(Command::new("bash").args(["-c", &script]).current_dir(dir.path()));
    let first = process.line();
    let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    let hub = Hub { process, address, program: PUERTO.into(), dir };
    let large = "x".repeat(60_000);
    let mut answered = 0;
    let refused = (0..500)
        .find_map(|n| {
            let body = json!({"type": "info", "source": "test", "id": format!("{n}"), "payload": large});
            let answer = hub.post("/events", &body.to_string());
            answered += u32::from(answer.status == 201);
            (answer.status != 201).then_some(answer)
        })
        .expect("the disk is full at some time");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(answered > 5, "{answered}");
    let said = hub.process.errors();
    assert!(said.contains("puerto.db") && said.contains("free"), "{said}");
    // Reading goes on.
    let read = hub.get("/events?source=test&limit=1000").json();
    assert_eq!(read["events"].as_array().unwrap().len() as u32, answered);
    let hub = Hub::start_in(PUERTO, &config, kill(hub));
    let read = hub.get("/events?source=test&limit=1000").json();
    assert_eq!(read["events"].as_array().unwrap().len() as u32, answered);
    assert_eq!(hub.get("/audit/verify").json()["ok"], true);
    assert_eq!(hub.post("/events", r#"{"type":"info","source":"test","id":"again"}"#).status, 201);
}

/// Starts a hub that cannot use its data; answers what it says.
fn refused(dir: &TempDir, wrap: &str) -> String {
    let config = json!({"tenants": {"default": {}}}).to_string();
    std::fs::write(dir.path().join("puerto.json"), config).unwrap();
    let script = format!("{wrap} '{PUERTO}' up --port 0 --config puerto.json");
    let mut hub = Process::start(Command::new("sh").args(["-c", &script]).current_dir(dir.path()));
    assert!(!hub.wait().success());
    wait_until("it says why", || Some(hub.errors()).filter(|said| said.contains("error:")))
}

#[test]
fn data_that_cannot_be_used_is_named_with_what_to_do() {
    let used = || {
        let hub = hub_on(&sqlite());
        fill(&hub);
        hub.stop().1
    };
    // Locked by another program.
    let dir = used();
    let file = dir.path().join("data/puerto.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let said = refused(&dir, "exec");
    assert!(said.contains("another process keeps it locked; stop that process"), "{said}");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    // Damaged: its pages are overwritten.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let said = refused(&dir, "exec");
    assert!(said.contains("it is damaged") && said.contains("puerto restore"), "{said}");
    // Read-only: for the administrator nothing is, so the hub is somebody else.
    let dir = used();
    let mode = |path: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.path().join(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    [("", 0o755), ("data", 0o555), ("data/puerto.db", 0o444)]
        .into_iter()
        .for_each(|(path, bits)| mode(path, bits));
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let wrap = if is_root { "exec setpriv --reuid 65534 --regid 65534 --clear-groups --" } else { "exec" };
    let said = refused(&dir, wrap);
    assert!(said.contains("read-only") && said.contains("write permission"), "{said}");
    mode("data", 0o755);
}
