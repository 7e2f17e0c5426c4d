//! Nine real services, and a hundred that depend on one of them, on a clock that the test moves: each is asked over HTTP, its
//! answers are judged, and what follows is told.

use std::sync::Arc;

use puerto_core::def::ServiceDef;
use puerto_testkit::Web;
use serde_json::json;

use super::*;
use crate::condition::Found;
use crate::health::{Health, State, Thresholds, Verdict};
use crate::probe::tests::tls::{authority, file, issue, secure};
use crate::probe::{Prober, Target};

/// Seconds between two rounds of checks.
const ROUND: i64 = 60;

/// A service that is watched.
struct Watched {
    def: ServiceDef,
    target: Arc<Target>,
    health: Health,
    good: u32,
    checks: u32,
}

/// All of them, and the story that they make.
struct Stage {
    prober: Arc<Prober>,
    watched: Vec<Watched>,
    story: Story,
}

impl Stage {
    fn new(alerts: Value, services: Vec<Value>) -> Self {
        let watched = services.into_iter().map(|service| {
            let def: ServiceDef = serde_json::from_value(service).unwrap();
            let thresholds = Thresholds { failures: def.failures, successes: def.successes };
            let target = Arc::new(Target::new(&def).unwrap());
            Watched { def, target, health: Health::new(thresholds), good: 0, checks: 0 }
        });
        Self { prober: Arc::new(Prober::new()), watched: watched.collect(), story: Story::brief(alerts) }
    }

    /// Checks all of them, as often as is said; each round takes its time on the clock of the story.
    async fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            let found = self.found().await;
            for (watched, found) in self.watched.iter_mut().zip(found) {
                let (verdict, _) = watched.target.judge(&found);
                watched.checks += 1;
                watched.good += u32::from(verdict == Verdict::Good);
                if let Some(change) = watched.health.take(verdict) {
                    let ServiceDef { name, parents, .. } = &watched.def;
                    let signal =
                        json!({"name": name, "state": change.to, "parents": parents, "why": found.error});
                    self.story.see(json!({ "service": signal }));
                }
            }
            self.story.pass(ROUND);
        }
    }

    /// What all of them say at the same time.
    async fn found(&self) -> Vec<Found> {
        let probes = self.watched.iter().map(|watched| {
            let (prober, target) = (self.prober.clone(), watched.target.clone());
            tokio::spawn(async move { prober.probe(&target).await })
        });
        let mut found = Vec::new();
        for probe in probes.collect::<Vec<_>>() {
            found.push(probe.await.unwrap());
        }
        found
    }

    fn of(&self, name: &str) -> &Watched {
        self.watched.iter().find(|watched| watched.def.name.as_str() == name).unwrap()
    }

    fn state(&self, name: &str) -> State {
        self.of(name).health.state()
    }

    fn acknowledge(&mut self, subject: &str) {
        let (id, now_ms) = (self.story.id(subject), self.story.now_ms);
        self.story.pipeline.acknowledge(None, &id, "ada", "on it", now_ms).unwrap();
    }
}

fn service(name: &str, url: &str, more: Value) -> Value {
    let mut def = json!({"name": name, "url": url, "timeout": "20s", "failures": 2, "successes": 2});
    let Value::Object(more) = more else { panic!("an object") };
    def.as_object_mut().unwrap().extend(more);
    def
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_services_and_all_that_is_told_of_them() {
    let ours = authority(2090);
    let trusted = file(&ours);
    let expired = secure(&issue(&ours, "localhost", 2020, 2025), &[]).await;
    let secured = format!("https://localhost:{}", expired.port());
    let [database, api, shop, killed, slow, flaps, odd, fine] = std::array::from_fn(|_| Web::start());
    let of_database = json!({"parents": ["database"]});
    let mut services = vec![
        service("database", &database.url(), json!({})),
        service("api", &api.url(), json!({"conditions": ["[STATUS] == 200", "[BODY].status == ok"]})),
        service("shop", &shop.url(), json!({"parents": ["api"]})),
        service("killed", &killed.url(), json!({})),
        service("slow", &slow.url(), json!({"timeout": "300ms"})),
        service("flaps", &flaps.url(), json!({"failures": 1, "successes": 1})),
        service("odd", &odd.url(), json!({"conditions": ["[STATUS] == any(200, 204)"]})),
        service("fine", &fine.url(), json!({})),
        service("cert", &secured, json!({"tls": {"ca_file": trusted.path()}})),
    ];
    let children = (0..100).map(|n| service(&format!("child-{n}"), &database.url(), of_database.clone()));
    services.extend(children);
    let alerts = json!({
        "route": {"channels": ["team"], "group_by": ["service"]},
        "escalate": [{"after": "15m", "channels": ["boss"]}],
    });
    let mut stage = Stage::new(alerts, services);

    // All are well but the one whose certificate has expired.
    stage.rounds(3).await;
    assert_eq!(stage.state("cert"), State::Down);
    let well = stage.watched.iter().filter(|watched| watched.health.state() == State::Ok).count();
    assert_eq!((well, stage.story.told()), (108, vec!["70 team fired cert".to_owned()]));
    let view = stage.story.pipeline.explain(None, &stage.story.id("cert"), stage.story.now_ms).unwrap();
    assert_eq!(view.alert.description, "the certificate expired on 2025-01-01 00:00 UTC");
    stage.acknowledge("cert");

    // The database fails, and with it all that depend on it; one is killed, one answers nothing.
    let address = killed.address();
    drop(killed);
    database.says(|says| says.status = 500);
    slow.says(|says| says.answers = false);
    stage.rounds(3).await;
    let down = |stage: &Stage, of: &str| {
        let all = stage.watched.iter().filter(|watched| watched.def.name.as_str().starts_with(of));
        all.filter(|watched| watched.health.state() == State::Down).count()
    };
    assert_eq!((down(&stage, "child"), down(&stage, "")), (100, 104));
    let mut told = stage.story.told();
    told.sort();
    assert_eq!(told, ["250 team fired database", "250 team fired killed", "250 team fired slow"]);
    assert_eq!(stage.story.held("child-42"), ["database, which it depends on, is down"]);
    assert_eq!(stage.story.held("cert"), ["ada acknowledged it: on it"]);
    stage.acknowledge("database");

    // One changes with every check; another answers what nobody asked for.
    odd.says(|says| says.status = 503);
    for _ in 0..11 {
        flaps.says(|says| says.status = 500);
        stage.rounds(1).await;
        flaps.says(|says| says.status = 200);
        stage.rounds(1).await;
    }
    assert_eq!((stage.state("flaps"), stage.state("odd")), (State::Flapping, State::Down));
    let told = stage.story.told();
    let of = |subject: &str| told.iter().filter(|line| line.contains(subject)).cloned().collect::<Vec<_>>();
    // Of those that nobody works on the boss hears.
    assert_eq!(of("killed"), ["1150 boss escalated killed"]);
    assert_eq!(of("slow"), ["1150 boss escalated slow"]);
    assert_eq!(of("odd"), ["430 team fired odd", "1330 boss escalated odd"]);
    assert_eq!((of("cert").len(), of("database").len(), of("child").len()), (0, 0, 0));
    assert!(of("flaps").last().unwrap().contains("fired flaps"), "{told:?}");

    // All come back, and each is told with how long it was gone, wherever it was told before.
    let _killed = Web::start_at(address);
    database.says(|says| says.status = 200);
    slow.says(|says| says.answers = true);
    odd.says(|says| says.status = 200);
    stage.rounds(30).await;
    assert_eq!((down(&stage, ""), stage.state("flaps")), (1, State::Ok));
    let mut told = stage.story.told();
    told.retain(|line| !line.contains("flaps"));
    told.sort();
    assert_eq!(
        told,
        [
            "1740 boss resolved killed(1500s)",
            "1740 boss resolved odd(1320s)",
            "1740 boss resolved slow(1500s)",
            "1740 team resolved database(1500s)",
            "1740 team resolved killed(1500s)",
            "1740 team resolved odd(1320s)",
            "1740 team resolved slow(1500s)",
        ]
    );
    let uptime = |name: &str| f64::from(stage.of(name).good) / f64::from(stage.of(name).checks);
    assert_eq!((uptime("fine"), uptime("api"), uptime("cert")), (1.0, 1.0, 0.0));
    assert!((uptime("database") - 33.0 / 58.0).abs() < 1e-9, "{}", uptime("database"));
    // What was acknowledged once and falls again is told again.
    database.says(|says| says.status = 500);
    stage.rounds(3).await;
    assert!(stage.story.told().iter().any(|line| line.ends_with("team fired database")));
}
