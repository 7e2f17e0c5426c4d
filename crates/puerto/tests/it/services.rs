//! Services: real ones that are killed, slowed and brought back, and what is said of each.

use puerto_testkit::{Fixture, Hub, Web, postgres, wait_until};
use serde_json::{Value, json};

use crate::PUERTO;

/// A service that is looked at often, and has time to answer: a machine that stands still for a moment is no outage.
pub(crate) fn service(name: &str, url: &str, more: Value) -> Value {
    let mut def = json!({"name": name, "url": url, "interval": "500ms", "timeout": "500ms", "failures": 2});
    for (key, value) in more.as_object().unwrap() {
        def[key] = value.clone();
    }
    def
}

pub(crate) fn config(store: &str, services: Value) -> Value {
    json!({"tenants": {"default": {}, "acme": {}}, "store": {"url": store}, "services": services})
}

pub(crate) fn read(hub: &Hub, name: &str) -> Value {
    hub.get(&format!("/api/services/default/{name}")).json()
}

/// Waits until a service is in a state.
pub(crate) fn wait_for(hub: &Hub, name: &str, state: &str) -> Value {
    wait_until(&format!("{name} is {state}; it is {}", read(hub, name)), || {
        Some(read(hub, name)).filter(|service| service["state"] == state)
    })
}

pub(crate) fn events(hub: &Hub, name: &str) -> Vec<String> {
    let found = hub.get(&format!("/events?type=service.*&subject={name}&after=0")).json();
    let events = found["events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn services_go_down_and_come_back_and_all_of_it_is_told() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let webs: Vec<Web> = (0..9).map(|_| Web::start()).collect();
        let condition = |text: &str| json!({"conditions": [text]});
        let more = |n: usize| match n {
            1 => condition("[BODY].status == ok"),
            2 => condition("[STATUS] == any(200, 204)"),
            8 => json!({"maintenance": [{"from": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}]}),
            _ => json!({}),
        };
        let services: Vec<_> =
            webs.iter().enumerate().map(|(n, web)| service(&format!("s{n}"), &web.url(), more(n))).collect();
        let hub = Hub::start(PUERTO, &config(&store, json!(services)));
        for n in 0..8 {
            wait_for(&hub, &format!("s{n}"), "ok");
        }
        wait_for(&hub, "s8", "maintenance");
        let round = hub.get("/check-services").json();
        assert_eq!(
            (&round["healthy"], &round["unhealthy"], &round["total"]),
            (&json!(9), &json!(0), &json!(9)),
            "{round}"
        );
        assert!(round["services"][0]["responseTime"].as_f64().unwrap() > 0.0, "{round}");

        // One is killed, one answers otherwise, one has another status, one is too slow, one is out for work.
        let mut webs = webs;
        let killed = webs.remove(0);
        let address = killed.address();
        drop(killed);
        webs[0].says(|says| says.body = r#"{"status":"degraded"}"#.into());
        webs[1].says(|says| says.status = 503);
        webs[2].says(|says| says.answers = false);
        webs[7].says(|says| says.status = 500);
        let down = ["s0", "s1", "s2", "s3"].map(|name| wait_for(&hub, name, "down"));
        for (service, why) in down.iter().zip([
            "connection refused",
            "[BODY].status (degraded) == ok",
            "[STATUS] (503) == any(200, 204)",
            "within 500 ms",
        ]) {
            let error = service["last"]["error"].as_str().unwrap();
            assert!(error.contains(why), "{error}");
        }
        let round = hub.get("/check-services").json();
        assert_eq!((&round["healthy"], &round["unhealthy"]), (&json!(5), &json!(4)), "{round}");
        assert!(round["services"][0]["error"].as_str().unwrap().contains("refused"), "{round}");
        let (code, said, _) = hub.command(&["checks", "--url", &format!("http://{}", hub.address)]);
        assert!(code == 1 && said.contains("s0") && said.contains("down"), "{said}");
        assert_eq!(wait_for(&hub, "s8", "maintenance")["last"]["good"], false);

        let _back = Web::start_at(address);
        webs[0].says(|says| *says = puerto_testkit::web::Says::default());
        webs[1].says(|says| says.status = 204);
        webs[2].says(|says| says.answers = true);
        for name in ["s0", "s1", "s2", "s3"] {
            let uptime = wait_for(&hub, name, "ok")["uptime"]["24h"].as_f64().unwrap();
            assert!(uptime > 0.0 && uptime < 100.0, "{name}: {uptime}");
            wait_until("it is told", || (events(&hub, name) == ["service.down", "service.up"]).then_some(()));
        }
        let told = hub.get("/events?type=service.down&subject=s0").json()["events"][0].clone();
        assert_eq!((&told["severity"], &told["payload"]["to"]), (&json!("critical"), &json!("down")));
        let up = hub.get("/events?type=service.up&subject=s0").json()["events"][0].clone();
        assert!(up["payload"]["lasted_s"].is_u64(), "{up}");
        assert_eq!(events(&hub, "s8"), ["service.maintenance"]);
        assert_eq!(events(&hub, "s5"), Vec::<String>::new());
    }
}

#[test]
fn sums_of_checks_outlive_the_hub() {
    for store in ["sqlite://data/puerto.db".to_owned(), postgres()] {
        let web = Web::start();
        let services = json!([service("web", &web.url(), json!({"objectives": [{"target": 99.0}]}))]);
        let hub = Hub::start(PUERTO, &config(&store, services.clone()));
        web.says(|says| says.status = 500);
        wait_for(&hub, "web", "down");
        let (_, dir) = hub.stop();
        drop(web);
        let mut paused = services;
        paused[0]["enabled"] = false.into();
        let hub = Hub::start_in(PUERTO, &config(&store, paused), dir);
        let service = read(&hub, "web");
        assert!(service["uptime"]["90d"].as_f64().unwrap() < 100.0, "{service}");
        assert!(service["objectives"][0]["budget_left"].as_f64().unwrap() < 0.0, "{service}");
        assert_eq!(service["state"], "pending");
    }
}

#[test]
fn servers_of_the_hub_are_watched_by_themselves() {
    let fixture = Fixture::start(PUERTO, "both");
    let config = json!({
        "tenants": {"default": {"servers": {"tools": {"url": fixture.url}, "off": {"url": fixture.url, "enabled": false}}}},
        "services": [service("front", "tcp://127.0.0.1:1", json!({"conditions": ["[CONNECTED] == false"]}))],
    });
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:tools", "ready");
    wait_until("a round finds it well", || {
        let round = hub.get("/check-services").json();
        (round["healthy"] == 2 && round["total"] == 2).then_some(())
    });
    assert_eq!(read(&hub, "tools")["url"], "mcp://default/tools");
    hub.post("/api/servers/default/tools/stop", "");
    let checked = hub.post("/api/services/default/tools/check", "").json();
    assert_eq!((&checked["state"], &checked["last"]["good"]), (&json!("down"), &json!(false)));
    assert!(checked["last"]["error"].as_str().unwrap().contains("it is stopped"), "{checked}");
}

#[test]
fn a_service_that_reports_by_itself_is_down_when_it_is_silent() {
    let hub = Hub::start(
        PUERTO,
        &config(
            "sqlite::memory:",
            json!([
                {"name": "backup", "url": "push://", "interval": "400ms", "failures": 1, "successes": 1},
                service("web", "tcp://127.0.0.1:1", json!({})),
            ]),
        ),
    );
    wait_for(&hub, "backup", "down");
    assert_eq!(hub.get("/api/services/default/backup/push").json()["status"], "ok");
    assert_eq!(hub.post("/api/services/default/backup/push?status=up&msg=done", "").status, 200);
    wait_until("it was up", || events(&hub, "backup").contains(&"service.up".to_owned()).then_some(()));
    hub.post("/api/services/default/backup/push?status=down&msg=disk%20full", "");
    let history = read(&hub, "backup")["history"].to_string();
    assert!(history.contains("disk full"), "{history}");
    for (path, status) in [
        ("/api/services/default/web/push", 409),
        ("/api/services/default/backup/push?status=maybe", 400),
        ("/api/services/default/other/push", 404),
        ("/api/services/nobody/backup/push", 404),
        ("/api/services/acme/backup/push", 404),
    ] {
        assert_eq!(hub.post(path, "").status, status, "{path}");
    }
}

#[test]
fn services_of_a_changed_file_are_taken_over() {
    let (one, two) = (Web::start(), Web::start());
    let first = service("one", &one.url(), json!({}));
    let hub = Hub::start(PUERTO, &config("sqlite::memory:", json!([first])));
    wait_for(&hub, "one", "ok");
    let since = read(&hub, "one")["since"].clone();
    let both = config("sqlite::memory:", json!([first, service("two", &two.url(), json!({}))]));
    std::fs::write(hub.dir.path().join("puerto.json"), both.to_string()).unwrap();
    wait_until("the second is watched", || {
        (hub.get("/api/services/default/two").status == 200).then_some(())
    });
    wait_for(&hub, "two", "ok");
    assert_eq!(read(&hub, "one")["since"], since);
    let none = config("sqlite::memory:", json!([]));
    std::fs::write(hub.dir.path().join("puerto.json"), none.to_string()).unwrap();
    wait_until("none is watched", || (hub.get("/api/services").json()["total"] == 0).then_some(()));
}

/// While the hub itself is offline nothing is said of services that do not answer either.
#[test]
fn nothing_is_said_while_the_hub_is_offline() {
    let (witness, web) = (Web::start(), Web::start());
    // More than fail before it is known that the hub is offline: for 5 s it is believed to be what it was.
    let mut config = config("sqlite::memory:", json!([service("web", &web.url(), json!({"failures": 20}))]));
    config["watch"] = json!({"connectivity": format!("tcp://{}", witness.address())});
    let hub = Hub::start(PUERTO, &config);
    wait_for(&hub, "web", "ok");
    drop(witness);
    web.says(|says| says.status = 500);
    wait_for(&hub, "web", "unknown");
    assert_eq!(events(&hub, "web"), ["service.unknown"]);
}
