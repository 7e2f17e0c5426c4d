//! The engine of checks, on a paused clock and with servers of this hub in place of the network.

use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::*;

struct Stage {
    checks: Arc<Checks>,
    is_up: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<String>>>,
}

fn def(fields: Value) -> ServiceDef {
    serde_json::from_value(fields).unwrap()
}

fn key(name: &str) -> Key {
    (TenantId::default(), ServiceName::new(name).unwrap())
}

fn stage(witness: Option<&ServiceDef>) -> Stage {
    let (is_up, told) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let (up, to) = (is_up.clone(), told.clone());
    let servers: Servers =
        Arc::new(move |_, _| if up.load(Ordering::Relaxed) { Ok(()) } else { Err("it crashed".into()) });
    let tell: Tell = Arc::new(move |report| {
        let change = report.change.map(|change| format!("{:?} to {:?}", change.from, change.to));
        let why = report.outcome.and_then(|outcome| outcome.error.clone()).unwrap_or_default();
        if let Some(change) = change {
            to.lock().unwrap().push(format!("{} {change} {why}", report.def.name).trim().to_owned());
        }
    });
    Stage { checks: Checks::new(witness, servers, tell).unwrap(), is_up, told }
}

impl Stage {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

async fn pass(time: u64) {
    // In steps: whoever waits for less is woken on the way.
    for _ in 0..time * 10 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_checked_in_its_rhythm_and_its_changes_are_told() {
    let stage = stage(None);
    stage.checks.adopt(vec![def(json!({"name": "files", "url": "mcp://default/files", "interval": 10}))]);
    let running = tokio::spawn(stage.checks.clone().run());
    pass(11).await;
    assert_eq!(stage.told(), ["files Pending to Ok"]);
    stage.is_up.store(false, Ordering::Relaxed);
    pass(20).await;
    assert_eq!(stage.told(), Vec::<String>::new());
    pass(10).await;
    assert_eq!(stage.told(), ["files Ok to Down it crashed; [CONNECTED] (false) == true"]);
    stage.is_up.store(true, Ordering::Relaxed);
    pass(20).await;
    assert_eq!(stage.told(), ["files Down to Ok"]);
    let (view, outcomes) = stage.checks.view(&key("files")).unwrap();
    assert_eq!((view.state, outcomes.len()), (State::Ok, 6));
    assert_eq!((stage.checks.count(), stage.checks.lateness().1), ((1, 1), 0));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn one_that_reports_by_itself_is_down_when_it_is_silent() {
    let stage = stage(None);
    stage.checks.adopt(vec![def(json!({"name": "backup", "url": "push://", "interval": 60, "failures": 1}))]);
    let key = key("backup");
    let running = tokio::spawn(stage.checks.clone().run());
    pass(50).await;
    assert_eq!(stage.told(), Vec::<String>::new());
    stage.checks.heartbeat(&key, true, None).unwrap();
    assert_eq!(stage.told(), ["backup Pending to Ok"]);
    pass(125).await;
    assert_eq!(stage.told(), ["backup Ok to Down it has not reported within 1m"]);
    stage.checks.heartbeat(&key, true, None).unwrap();
    stage.checks.heartbeat(&key, true, None).unwrap();
    assert_eq!(stage.told(), ["backup Down to Ok"]);
    stage.checks.heartbeat(&key, false, Some("disk full".into())).unwrap();
    assert_eq!(stage.told(), ["backup Ok to Down disk full"]);
    let other = (key.0.clone(), ServiceName::new("other").unwrap());
    assert_eq!(stage.checks.heartbeat(&other, true, None), Err("there is no such service"));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_defined_as_before_keeps_its_state() {
    let stage = stage(None);
    let files = def(json!({"name": "files", "url": "mcp://default/files", "interval": 10}));
    stage.checks.adopt(vec![files.clone()]);
    let running = tokio::spawn(stage.checks.clone().run());
    pass(11).await;
    stage.told();
    let other = def(json!({"name": "other", "url": "mcp://default/other", "interval": 10, "enabled": false}));
    stage.checks.adopt(vec![files.clone(), other]);
    pass(20).await;
    assert_eq!(stage.told(), Vec::<String>::new());
    assert_eq!(
        stage.checks.views(None).iter().map(|view| view.state).collect::<Vec<_>>(),
        [State::Ok, State::Pending]
    );
    stage.checks.adopt(vec![ServiceDef { failures: 1, ..files }]);
    pass(11).await;
    assert_eq!(stage.told(), ["files Pending to Ok"]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn announced_work_hides_what_happens_meanwhile() {
    let stage = stage(None);
    let window = json!([{"from": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}]);
    stage.checks.adopt(vec![def(
        json!({"name": "files", "url": "mcp://default/files", "interval": 10, "failures": 1, "maintenance": window}),
    )]);
    stage.is_up.store(false, Ordering::Relaxed);
    let running = tokio::spawn(stage.checks.clone().run());
    pass(31).await;
    assert_eq!(stage.told(), ["files Pending to Maintenance"]);
    running.abort();
}

#[test]
fn urls_are_shown_without_what_may_be_secret() {
    for (url, shown) in [
        ("https://me:pw@shop.example:8443/health?token=x#y", "https://shop.example:8443/health"),
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
        ("push://", "push://"),
    ] {
        assert_eq!(shown_url(url), shown);
    }
}
