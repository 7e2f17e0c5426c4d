//! Services that are added, replaced and removed while the hub runs: checked for real, kept over restarts, seen by other
//! hubs, and never against the file.

use puerto_testkit::{Hub, Web, postgres, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;
use crate::services::{config, events, read, service, wait_for};

const JSON: (&str, &str) = ("content-type", "application/json");

fn put(hub: &Hub, name: &str, body: &Value) -> (u16, Value) {
    let path = format!("/api/services/default/{name}");
    let answer = hub.request("PUT", &path, &[JSON], &body.to_string());
    (answer.status, answer.json())
}

fn delete(hub: &Hub, name: &str) -> (u16, Value) {
    let answer = hub.request("DELETE", &format!("/api/services/default/{name}"), &[], "");
    (answer.status, answer.json())
}

/// What a refusal says.
fn said((status, problem): (u16, Value), expected: u16) -> String {
    assert_eq!(status, expected, "{problem}");
    problem["detail"].as_str().unwrap_or_else(|| panic!("no detail in {problem}")).to_owned()
}

/// What the audit trail has of services, the oldest first: what was done, and to which.
fn acts(hub: &Hub) -> Vec<String> {
    let found = hub.get("/audit?after=0&limit=1000").json();
    let records = found["audit"].as_array().cloned().unwrap_or_else(|| panic!("no records in {found}"));
    let changes = records.iter().filter_map(|record| {
        let action = record["action"].as_str()?;
        let is_change = ["service.create", "service.replace", "service.delete"].contains(&action);
        is_change.then(|| format!("{action} {}", record["object"].as_str().unwrap_or("nothing")))
    });
    changes.collect()
}

#[test]
fn a_service_by_api_is_checked_replaced_kept_and_deleted() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let (one, two) = (Web::start(), Web::start());
        let config = config(&store, json!([]));
        let hub = Hub::start(PUERTO, &config);
        let def = service("web", &one.url(), json!({}));
        let made = hub.post("/api/services", &def.to_string());
        assert_eq!((made.status, &made.json()["source"]), (201, &json!("api")), "{}", made.body);
        wait_for(&hub, "web", "ok");
        one.says(|says| says.status = 500);
        wait_for(&hub, "web", "down");
        one.says(|says| says.status = 200);
        wait_for(&hub, "web", "ok");
        let again = hub.post("/api/services", &def.to_string());
        assert!(said((again.status, again.json()), 409).contains("PUT takes its place"));

        let (_, dir) = hub.stop();
        let hub = Hub::start_in(PUERTO, &config, dir);
        assert_eq!(wait_for(&hub, "web", "ok")["source"], "api");
        // The definition that is sent again is none that is new: its state stays.
        let since = read(&hub, "web")["since"].clone();
        let (status, same) = put(&hub, "web", &def);
        assert_eq!((status, &same["since"]), (200, &since), "{same}");
        two.says(|says| says.status = 500);
        let (status, other) = put(&hub, "web", &service("web", &two.url(), json!({"failures": 1})));
        assert_eq!((status, &other["url"]), (200, &json!(two.url())), "{other}");
        wait_for(&hub, "web", "down");
        assert_eq!(put(&hub, "second", &json!({"url": "push://"})).0, 201);
        assert_eq!(delete(&hub, "web"), (200, json!({"status": "deleted"})));
        assert_eq!(delete(&hub, "web").0, 404);
        assert_eq!(hub.get("/api/services").json()["total"], 1);

        let told = ["service.created", "service.down", "service.up", "service.replaced", "service.replaced"];
        wait_until(&format!("all of it is told; it is {:?}", events(&hub, "web")), || {
            let events = events(&hub, "web");
            // A check that a busy machine holds up may tell of more between them.
            let mut each = events.iter();
            let has_all = told.iter().all(|kind| each.any(|event| event == kind));
            (has_all && events.ends_with(&["service.deleted".into()])).then_some(())
        });
        wait_until(&format!("all of it is recorded; it is {:?}", acts(&hub)), || {
            let acts = acts(&hub);
            let has = |act: &str| acts.iter().any(|one| one == act);
            ["service.create web", "service.replace web", "service.create second", "service.delete web"]
                .into_iter()
                .all(has)
                .then_some(())
        });
    }
}

#[test]
fn the_file_wins_and_is_not_changed_by_api() {
    let web = Web::start();
    let filed = service("filed", &web.url(), json!({}));
    let hub = Hub::start(PUERTO, &config("sqlite://data/puerto.db", json!([filed])));
    assert_eq!(read(&hub, "filed")["source"], "file");
    let post = hub.post("/api/services", &filed.to_string());
    for refused in [(post.status, post.json()), put(&hub, "filed", &filed), delete(&hub, "filed")] {
        assert!(said(refused, 409).contains("is defined in the configuration file"));
    }
    for name in ["later", "stays"] {
        assert_eq!(put(&hub, name, &service(name, &web.url(), json!({"parents": ["filed"]}))).0, 201);
    }
    wait_for(&hub, "stays", "ok");
    let since = read(&hub, "stays")["since"].clone();

    let both = config("sqlite://data/puerto.db", json!([filed, service("later", &web.url(), json!({}))]));
    std::fs::write(hub.dir.path().join("puerto.json"), both.to_string()).unwrap();
    wait_until("the file wins", || (read(&hub, "later")["source"] == "file").then_some(()));
    let list = hub.get("/api/services").json();
    assert_eq!((&list["total"], &list["ignored"][0]["name"]), (&json!(3), &json!("later")), "{list}");
    let why = list["ignored"][0]["why"].as_str().unwrap();
    assert!(why.contains("the configuration file defines a service of this name"), "{why}");
    assert_eq!(read(&hub, "stays")["since"], since);
    assert_eq!(put(&hub, "later", &filed).0, 400);
    assert_eq!(put(&hub, "later", &json!({"url": "push://"})).0, 409);

    // What is ignored can be deleted all the same; what the file has stays.
    assert_eq!(delete(&hub, "later").0, 200);
    let list = hub.get("/api/services").json();
    assert_eq!((&list["total"], &list["ignored"]), (&json!(3), &json!([])), "{list}");
    assert!(said(delete(&hub, "later"), 409).contains("is defined in the configuration file"));
}

#[test]
fn a_body_that_does_not_fit_names_the_member() {
    let mut config = config("sqlite::memory:", json!([]));
    config["tenants"]["default"]["servers"] = json!({"monitor": {"builtin": "monitor"}});
    let hub = Hub::start(PUERTO, &config);
    let url = "http://127.0.0.1:1/";
    for (body, member) in [
        (json!({"name": "web"}), "body: "),
        (json!({"name": "web", "url": "harbour"}), "url: "),
        (json!({"name": "web", "url": url, "headers": {"x": ["harbour"]}}), "headers.x: "),
        (
            json!({"name": "web", "url": url, "conditions": ["[STATUS] == 200", "[STATUS] =="]}),
            "conditions[1]: ",
        ),
        (json!({"name": "web", "url": url, "interval": "soon"}), "interval: "),
        (json!({"name": "web", "url": url, "tenant": "none"}), "tenant: there is no tenant"),
        (json!({"name": "web", "url": url, "parents": ["none"]}), "parents[0]: "),
        (json!({"name": "web", "url": url, "parents": ["web"]}), "parents[0]: "),
        (json!({"name": "web", "url": "mcp://default/none"}), "url: the tenant has no such server"),
        (
            json!({"name": "web", "url": url, "body": "${PATH}"}),
            "body: variables are filled in by the file alone",
        ),
        (json!({"url": url}), "name: it is missing"),
    ] {
        let answer = hub.post("/api/services", &body.to_string());
        let detail = said((answer.status, answer.json()), 400);
        let expected = format!("could not read the service: {member}");
        assert!(detail.starts_with(&expected), "{body}: {detail}");
        assert!(!detail.contains("harbour"), "{detail}");
    }
    assert!(said(put(&hub, "web", &json!({"name": "other", "url": url})), 400).contains("name: the path"));
    let long = json!({"name": "web", "url": url, "body": "x".repeat(64 * 1024)});
    assert_eq!(hub.post("/api/services", &long.to_string()).status, 413);
    assert_eq!(hub.get("/api/services/default/web").status, 404);

    // Its own servers are watched by themselves; a definition takes the place of that until it is deleted.
    assert_eq!(read(&hub, "monitor")["source"], "server");
    assert!(said(delete(&hub, "monitor"), 409).contains("watch.servers"));
    assert_eq!(put(&hub, "monitor", &json!({"url": "mcp://default/monitor", "group": "own"})).0, 201);
    assert_eq!(read(&hub, "monitor")["source"], "api");
    assert_eq!(delete(&hub, "monitor").0, 200);
    assert_eq!(read(&hub, "monitor")["source"], "server");

    assert_eq!(put(&hub, "parent", &json!({"url": "push://"})).0, 201);
    assert_eq!(put(&hub, "child", &json!({"url": "push://", "parents": ["parent"]})).0, 201);
    assert!(said(delete(&hub, "parent"), 409).contains("\"child\" names it as its parent"));
    let circle = said(put(&hub, "parent", &json!({"url": "push://", "parents": ["child"]})), 400);
    assert!(circle.contains("in a circle"), "{circle}");
}

#[test]
fn secrets_of_a_definition_are_told_nowhere() {
    let web = Web::start();
    let hub = Hub::start(PUERTO, &config("sqlite://data/puerto.db", json!([])));
    let url = web.url().replace("http://", "http://me:harbour@") + "?key=harbour";
    let def =
        service("web", &url, json!({"headers": {"x-key": "harbour"}, "body": "harbour", "method": "POST"}));
    assert_eq!(put(&hub, "web", &def).0, 201);
    wait_for(&hub, "web", "ok");
    wait_until("it is recorded", || (!acts(&hub).is_empty()).then_some(()));
    let archive = hub.get("/export").body;
    assert!(archive.contains("\"has_secrets\":true"), "{archive}");
    for path in ["/api/services", "/api/services/default/web", "/events?after=0", "/audit", "/api/records"] {
        let body = hub.get(path).body;
        assert!(!body.contains("harbour"), "{path}: {body}");
    }
    assert!(!archive.contains("harbour"), "{archive}");

    let other = Hub::start(PUERTO, &config("sqlite::memory:", json!([])));
    assert_eq!(
        other.request("POST", "/import", &[("content-type", "application/x-ndjson")], &archive).status,
        200
    );
    let ignored = wait_until("what came is shown", || {
        let list = other.get("/api/services").json();
        list["ignored"].as_array().filter(|ignored| !ignored.is_empty()).cloned()
    });
    assert!(ignored[0]["why"].as_str().unwrap().contains("holds no secrets"), "{ignored:?}");
    let answer = other.get("/api/services/default/web");
    assert!(said((answer.status, answer.json()), 404).contains("define it again"));
    assert_eq!(put(&other, "web", &def).0, 200);
    wait_for(&other, "web", "ok");
}

#[test]
fn hubs_with_one_database_watch_the_same() {
    let store = postgres();
    let web = Web::start();
    let [one, two] = [0, 1].map(|_| Hub::start(PUERTO, &config(&store, json!([]))));
    assert_eq!(put(&one, "web", &service("web", &web.url(), json!({}))).0, 201);
    wait_until("the other hub watches it", || {
        (two.get("/api/services/default/web").status == 200).then_some(())
    });
    assert_eq!(wait_for(&two, "web", "ok")["source"], "api");
    assert_eq!(delete(&two, "web").0, 200);
    wait_until("the first hub has heard", || {
        (one.get("/api/services/default/web").status == 404).then_some(())
    });
}

#[test]
fn the_command_adds_and_removes() {
    let web = Web::start();
    let hub = Hub::start(PUERTO, &config("sqlite::memory:", json!([])));
    let at = format!("http://{}", hub.address);
    let add = |more: &[&str]| {
        let url = web.url();
        let given = ["checks", "add", &url, "--name", "web", "--interval", "1s", "--url", &at];
        hub.command(&[&given, more].concat())
    };
    let (code, out, errors) = add(&["--condition", "[STATUS] == 200", "--group", "shop"]);
    assert!(code == 0 && out.contains("web is watched: http://"), "{out}{errors}");
    assert_eq!(wait_for(&hub, "web", "ok")["group"], "shop");
    let (code, _, errors) = add(&[]);
    assert!(code == 1 && errors.contains("defined by API already"), "{errors}");
    let (code, out, errors) = add(&["--replace", "--json"]);
    let service: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{errors}"));
    assert_eq!((code, &service["name"], &service["group"]), (0, &json!("web"), &json!(null)));
    let (code, _, errors) = add(&["--replace", "--condition", "[STATUS] =="]);
    assert!(code == 1 && errors.contains("conditions[0]: "), "{errors}");
    let (code, out, errors) = hub.command(&["checks", "rm", "web", "--url", &at]);
    assert!(code == 0 && out.contains("web is watched no longer"), "{out}{errors}");
    let (code, _, errors) = hub.command(&["checks", "rm", "web", "--url", &at]);
    assert!(code == 1 && errors.contains("no service named"), "{errors}");
}
