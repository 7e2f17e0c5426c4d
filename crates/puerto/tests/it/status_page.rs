//! The public status page and its badges: what everyone may see of services, and nothing else.

use std::time::Duration;

use puerto_testkit::{Hub, Web, wait_until};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::PUERTO;

const TITLE: &str = "</title><script>alert('title')</script>";
const DESCRIPTION: &str = "\"><img src=x onerror=alert(2)> & more";

/// A tenant with a page, one without, and services of both, of which some are for everyone.
fn config(web: &Web) -> Value {
    // An answer has as long as the interval: a machine that stands still for a moment must not make a service look down.
    let service = |name: &str, url: &str, more: Value| {
        let mut def = json!({"name": name, "url": url, "interval": "5s", "failures": 1, "public": true});
        for (key, value) in more.as_object().unwrap() {
            def[key] = value.clone();
        }
        def
    };
    let announced = json!([{"from": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}]);
    json!({
        "tenants": {
            "default": {"status_page": {"title": TITLE, "description": DESCRIPTION}},
            "acme": {},
        },
        "store": {"url": "sqlite::memory:"},
        "services": [
            service("shop", &web.url(), json!({"group": "<b>Web & more</b>", "description": "'shop' <i>",
                "labels": {"team": "hush-hush"}})),
            service("mail", "tcp://127.0.0.1:1", json!({"labels": {"team": "hush-hush"}})),
            service("work", &web.url(), json!({"maintenance": announced})),
            service("beat", "push://", json!({"interval": "1h"})),
            service("private", &web.url(), json!({"public": false})),
            service("paused", &web.url(), json!({"enabled": false})),
            service("other", &web.url(), json!({"tenant": "acme"})),
        ],
    })
}

/// Waits until the page says something that is looked for in its data.
fn wait_for<T>(hub: &Hub, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
    wait_until(what, || found(&hub.get("/status/default.json").json()))
}

/// A service of the data of a page.
fn service<'a>(page: &'a Value, name: &str) -> Option<&'a Value> {
    let groups = page["groups"].as_array()?.iter();
    groups.filter_map(|group| group["services"].as_array()).flatten().find(|one| one["name"] == name)
}

/// A hub whose page shows how each service is, and how the first was.
fn hub(web: &Web) -> Hub {
    let hub = Hub::start(PUERTO, &config(web));
    wait_for(&hub, "the page says how everything is and was", |page| {
        let is_whole = page["summary"] == "1 of 4 services is down"
            && service(page, "shop")?["state"] == "ok"
            && service(page, "work")?["state"] == "maintenance"
            && service(page, "shop")?["uptime"]["90d"] == 100.0
            && service(page, "mail")?["uptime"]["90d"] == 0.0;
        is_whole.then_some(())
    });
    hub
}

#[test]
fn the_page_shows_what_is_public_and_nothing_else() {
    let web = Web::start();
    let hub = hub(&web);
    let data = hub.get("/status/default.json");
    let page = data.json();
    assert_eq!((&page["state"], &page["total"], &page["left_out"]), (&json!("down"), &json!(4), &json!(0)));
    assert_eq!((&page["title"], &page["description"]), (&json!(TITLE), &json!(DESCRIPTION)));
    let shop = service(&page, "shop").unwrap();
    let days = shop["days"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]["uptime"], &days[89]["uptime"]), (90, &Value::Null, &json!(100.0)));
    assert!(shop["response_ms"].as_f64().unwrap() > 0.0, "{shop}");
    assert_eq!(service(&page, "work").unwrap()["maintenance_until"], 4_102_444_800_000_i64);
    assert_eq!(service(&page, "beat").unwrap()["state"], "pending");

    let html = hub.get("/status/default");
    assert!(html.body.contains("1 of 4 services is down"), "{}", html.body);
    assert!(html.body.contains("<span class=\"state down\">mail</span>: down since <time"), "{}", html.body);
    assert!(html.body.contains("until <time datetime=\"2100-01-01T00:00:00Z\">"), "{}", html.body);
    assert_eq!(html.body.matches("<rect ").count(), 4 * 90);
    for answer in [&data, &html] {
        for hidden in ["private", "paused", "other", "hush", "127.0.0.1", "refused", "push:"] {
            assert!(!answer.body.contains(hidden), "{hidden} is shown: {}", answer.body);
        }
        assert_eq!(answer.header("cache-control"), Some("public, max-age=30"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    // What others wrote stays text, and nothing but our own style would be taken from it.
    for hostile in ["<script", "<img", "<i>", "<b>Web", "onerror=alert(2)>", "alert('title')"] {
        assert!(!html.body.contains(hostile), "{hostile}: {}", html.body);
    }
    assert!(html.body.contains("<h1>&lt;/title&gt;&lt;script&gt;alert(&#39;title&#39;)&lt;/script&gt;</h1>"));
    assert!(html.body.contains("<h2>&lt;b&gt;Web &amp; more&lt;/b&gt;</h2>"));
    let policy = html.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
}

#[test]
fn badges_say_how_a_public_service_is() {
    let web = Web::start();
    let hub = hub(&web);
    for (path, title) in [
        ("shop/health.svg", "shop: health up"),
        ("mail/health.svg", "mail: health down"),
        ("work/health.svg", "work: health maintenance"),
        ("shop/uptime.svg", "shop: uptime 90d 100 %"),
        ("shop/uptime.svg?days=1", "shop: uptime 1d 100 %"),
        ("mail/uptime.svg?days=7", "mail: uptime 7d 0.00 %"),
        ("mail/uptime.svg?days=30", "mail: uptime 30d 0.00 %"),
        ("beat/uptime.svg", "beat: uptime 90d not known"),
        ("beat/response.svg", "beat: response not known"),
    ] {
        let badge = hub.get(&format!("/status/default/{path}"));
        assert_eq!((badge.status, badge.header("content-type")), (200, Some("image/svg+xml")), "{path}");
        assert!(badge.body.contains(&format!("<title>{title}</title>")), "{path}: {}", badge.body);
        assert_eq!(badge.header("cache-control"), Some("public, max-age=30"));
    }
    let took = hub.get("/status/default/shop/response.svg").body;
    assert!(took.contains("<title>shop: response ") && took.contains(" ms</title>"), "{took}");
    for (path, status) in [
        ("default/shop/uptime.svg?days=2", 400),
        ("default/shop/uptime.svg?day=1", 400),
        ("default/private/health.svg", 404),
        ("default/paused/health.svg", 404),
        ("default/none/uptime.svg", 404),
        ("acme/other/response.svg", 404),
        ("nobody/shop/health.svg", 404),
    ] {
        assert_eq!(hub.get(&format!("/status/{path}")).status, status, "{path}");
    }
}

/// There is no telling a tenant without a page from one that is not there.
#[test]
fn a_tenant_that_wants_no_page_has_none() {
    let web = Web::start();
    let mut config = config(&web);
    let hub = Hub::start(PUERTO, &config);
    let said = |path: &str| {
        let mut answer = hub.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        answer.body = answer.body.replace(path, "PATH");
        let mut problem = answer.json();
        problem.as_object_mut().unwrap().remove("request_id");
        problem
    };
    let nowhere = said("/nowhere");
    assert_eq!(nowhere["detail"], "nothing is served at PATH");
    for path in ["/status/acme", "/status/acme.json", "/status/nobody", "/status/nobody.json", "/status"] {
        assert_eq!(said(path), nowhere, "{path}");
    }
    assert_eq!(hub.get("/status/default").status, 200);
    config["tenants"]["default"] = json!({});
    config["tenants"]["acme"] = json!({"status_page": {}});
    std::fs::write(hub.dir.path().join("puerto.json"), config.to_string()).unwrap();
    wait_until("the page is off", || (hub.get("/status/default").status == 404).then_some(()));
    let page = hub.get("/status/acme.json").json();
    assert_eq!((&page["title"], &page["total"]), (&json!("acme"), &json!(1)));
}

/// However many ask, a page is put together once in five seconds, and nothing of it is recorded.
#[test]
fn many_visitors_cost_no_more_than_one() {
    let web = Web::start();
    let hub = Hub::start(PUERTO, &config(&web));
    let begin = Instant::now();
    let seen: Vec<i64> = std::thread::scope(|scope| {
        let visitor = || {
            let visit = |_| hub.get("/status/default.json").json()["at"].as_i64().unwrap();
            (0..25).map(visit).collect::<Vec<_>>()
        };
        let visitors: Vec<_> = (0..8).map(|_| scope.spawn(visitor)).collect();
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    });
    assert_eq!(seen.len(), 200);
    let pages: std::collections::BTreeSet<_> = seen.into_iter().collect();
    let most = begin.elapsed().div_duration_f64(Duration::from_secs(5)) as usize + 1;
    assert!(pages.len() <= most, "{} pages in {:?}", pages.len(), begin.elapsed());
    let records = hub.get("/audit?limit=1000").body;
    assert!(!records.contains("status"), "{records}");
}
