//! What archives promise: everything is in them, they are taken in whole or not at all, and between SQLite and Postgres.

use std::collections::BTreeMap;

use puerto_core::{Event, Secret, ServiceName, Severity};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::archive::{Header, Import, ImportError, Mode, Report, Sealed, Writer};
use crate::audit::checkpoint::{Checkpoint, Signer};

use super::*;

fn signer() -> Signer {
    Signer::new(&[1; 32]).unwrap()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

fn event(id: &str, payload: &str) -> Event {
    Event {
        id: id.into(),
        source: "test".into(),
        kind: "error".into(),
        severity: Severity::Error,
        subject: Some("\"quoted\"\n".into()),
        time_us: Some(7),
        payload: raw(payload),
        extensions: Some(raw(r#"{"x":[1,  2]}"#)),
    }
}

fn task(name: &str) -> NewTask {
    NewTask {
        name: name.into(),
        priority: 10,
        file: Some("backup.json".into()),
        schedule: None,
        list: "[\n  // nothing\n]".into(),
        total: 2,
        concurrency: 1,
        keep_going: true,
    }
}

fn notice(of: &str, key: &str) -> NewNotice {
    NewNotice {
        key: format!("{of}-{key}"),
        tenant: tenant(of),
        channel: "team".into(),
        group: key.into(),
        document: json!({"summary": key}).to_string(),
        decided_us: 5_000_000,
    }
}

/// A store with something of everything.
async fn fill(store: &Store) {
    for of in ["a", "b"] {
        let payloads = ["{\"n\": 1.50}", "[\n 1,\r\n 2 ]", "null", "\"é\\u0000\""];
        let events: Vec<_> =
            payloads.iter().enumerate().map(|(n, text)| event(&n.to_string(), text)).collect();
        store.events_append(&tenant(of), events, None).await.unwrap();
        store.registry_save(&tenant(of), Noun::Agent, "bot", raw(r#"{"name":"bot"}"#)).await.unwrap();
        store.registry_save(&tenant(of), Noun::Model, "m", raw(r#"{"id":"m","k":2}"#)).await.unwrap();
        store.catalog_save(&tenant(of), &name("files"), r#"{"tools":[1]}"#).await.unwrap();
        let made = store.task_create(&tenant(of), task("nightly")).await.unwrap();
        let taken = store.task_take("hub").await.unwrap().unwrap();
        assert_eq!(made.id, taken.id);
        let item = |place, error: Option<&str>| Item {
            place,
            server: "s".into(),
            action: "a".into(),
            error: error.map(Into::into),
            duration_us: 5,
        };
        store.task_items(made.id, vec![item(0, None), item(1, Some("no"))]).await.unwrap();
        let end = TaskEnd { status: Status::Failed, error: Some("no".into()) };
        store.task_end("hub", made.id, end).await.unwrap();
        let sum = Sum { good: 3, bad: 1, unknown: 0, total_us: 9, longest_us: 4 };
        let sums = BTreeMap::from([((tenant(of), ServiceName::new("web").unwrap()), sum)]);
        store.checks_add(SystemTime::now(), sums).await.unwrap();
        store.alerts_decide("{}", vec![notice(of, "sent"), notice(of, "dead")]).await.unwrap();
        store.notice_sent(&format!("{of}-sent")).await.unwrap();
        store.notice_dead(&format!("{of}-dead"), "nobody answers").await.unwrap();
        let service =
            (r#"{"name":"shop","url":"https://shop.test/"}"#.to_owned(), Some(Secret::new("harbour")));
        let shop = ServiceName::new("shop").unwrap();
        assert_eq!(store.service_save(&tenant(of), &shop, service, true).await.unwrap(), Saved::Added);
        store.audit_append(vec![draft(of, "files", "read"), draft(of, "files", "write")]);
        store.flush().await.unwrap();
    }
    store.change(|db| db.execute("INSERT INTO schedules VALUES ('nightly', 100)", &[])).await.unwrap();
}

async fn sealed(store: &Store) -> Option<Sealed> {
    let (size, root) = store.audit_head().await.unwrap();
    let checkpoints = signer().sign(&Checkpoint { size, root, time: "2026-11-22T10:00:00Z".into() });
    Some(Sealed { key: signer().verifier(), checkpoints, size, root })
}

async fn export(store: &Store, scope: &Scope) -> String {
    let mut export = store.archive_export(scope, "1.0.0", sealed(store).await).await.unwrap();
    let mut text = String::new();
    while let Some(piece) = export.next().await.unwrap() {
        text += &piece;
    }
    text
}

async fn push(import: &mut Import, text: &str) -> Result<(), ImportError> {
    // In pieces that end anywhere.
    for piece in text.as_bytes().chunks(1_000) {
        import.push(piece).await?;
    }
    Ok(())
}

async fn import(store: &Store, text: &str, mode: Mode, is_dry_run: bool) -> Result<Report, ImportError> {
    let mut import = store.archive_import(mode, is_dry_run, None)?;
    push(&mut import, text).await?;
    import.end().await
}

/// All that a store keeps of a section, without the first line of an archive, which tells the time.
fn records<'a>(archive: &'a str, section: &str) -> Vec<&'a str> {
    let begins = format!("{{\"section\":\"{section}\"");
    let lines = archive.lines().skip_while(|line| !line.starts_with(&begins)).skip(1);
    lines.take_while(|line| !line.starts_with("{\"section\"") && !line.starts_with("{\"manifest\"")).collect()
}

const SECTIONS: [&str; 9] = [
    "events",
    "registrations",
    "tasks",
    "task_items",
    "schedules",
    "checks",
    "catalogs",
    "notices",
    "services",
];

fn same(one: &str, other: &str) {
    for section in SECTIONS {
        assert_eq!(records(one, section), records(other, section), "{section}");
    }
}

fn counts(report: &Report) -> Vec<(&str, u64, u64, u64, u64)> {
    report.sections.iter().map(|s| (s.section, s.records, s.added, s.present, s.removed)).collect()
}

#[tokio::test]
async fn stores_of_each_kind_exchange_everything() {
    for (from, _dir) in each() {
        fill(&from).await;
        let archive = export(&from, &Scope::all()).await;
        assert_eq!(records(&archive, "events").len(), 8);
        for (to, _dir) in each() {
            let report = import(&to, &archive, Mode::Merge, false).await.unwrap();
            let all = [
                ("events", 8, 8, 0, 0),
                ("registrations", 4, 4, 0, 0),
                ("tasks", 2, 2, 0, 0),
                ("task_items", 4, 4, 0, 0),
                ("schedules", 1, 1, 0, 0),
                ("checks", 6, 6, 0, 0),
                ("catalogs", 2, 2, 0, 0),
                ("notices", 4, 4, 0, 0),
                ("services", 2, 2, 0, 0),
                ("audit", 4, 4, 0, 0),
            ];
            assert_eq!(counts(&report), all);
            let again = export(&to, &Scope::all()).await;
            same(&archive, &again);
            // Both go on with numbers that were never given.
            let kept = to.events_append(&tenant("a"), vec![event("new", "1")], None).await.unwrap();
            assert_eq!(kept.kept[0].seq, 9);
            assert_eq!(to.task_create(&tenant("a"), task("next")).await.unwrap().id, 3);
            assert_eq!(to.events_total().await.unwrap(), 9);
        }
    }
}

#[tokio::test]
async fn a_second_import_adds_nothing_and_a_dry_run_changes_nothing() {
    for (store, _dir) in each() {
        fill(&store).await;
        let archive = export(&store, &Scope::all()).await;
        let report = import(&store, &archive, Mode::Merge, false).await.unwrap();
        assert!(report.sections.iter().all(|s| s.added == 0 && s.present == s.records), "{report:?}");
        same(&archive, &export(&store, &Scope::all()).await);
        assert_eq!(store.segments_list().await.unwrap(), []);

        let (other, _dir) = (Store::open("sqlite::memory:", Path::new("")).unwrap(), ());
        for round in 0..2 {
            let would = import(&other, &archive, Mode::Replace, true).await.unwrap();
            assert!(
                would.dry_run && would.sections.iter().all(|s| s.added == s.records),
                "{round} {would:?}"
            );
            assert_eq!(records(&export(&other, &Scope::all()).await, "events"), Vec::<&str>::new());
        }
        import(&other, &archive, Mode::Merge, false).await.unwrap();
        let before = export(&other, &Scope::all()).await;
        let report = import(&other, &archive, Mode::Merge, false).await.unwrap();
        assert!(report.sections.iter().all(|s| s.added == 0), "{report:?}");
        assert_eq!(other.segments_list().await.unwrap().len(), 1);
        same(&before, &export(&other, &Scope::all()).await);
    }
}

#[tokio::test]
async fn merging_keeps_what_is_there_and_replacing_does_not() {
    for (store, _dir) in each() {
        fill(&store).await;
        let archive = export(&store, &Scope::all()).await;
        store.context_clear(&Scope::all()).await.unwrap();
        // Its number is none that the archive has; the next one's is.
        store.events_append(&tenant("a"), vec![event("0", "\"mine\"")], None).await.unwrap();
        store.registry_save(&tenant("a"), Noun::Agent, "bot", raw(r#"{"name":"bot","v":2}"#)).await.unwrap();
        store.change(|db| db.execute("UPDATE schedules SET fired = 200", &[])).await.unwrap();
        let report = import(&store, &archive, Mode::Merge, false).await.unwrap();
        assert_eq!(
            counts(&report)[..3],
            [("events", 8, 7, 1, 0), ("registrations", 4, 3, 1, 0), ("tasks", 2, 2, 0, 0)]
        );
        let merged = export(&store, &Scope::all()).await;
        assert!(
            merged.contains(r#""payload":"mine""#) && merged.contains(r#"{"name":"bot","v":2}"#),
            "{merged}"
        );

        let report = import(&store, &archive, Mode::Replace, false).await.unwrap();
        assert_eq!(counts(&report)[0], ("events", 8, 8, 0, 8));
        let replaced = export(&store, &Scope::all()).await;
        for section in SECTIONS.into_iter().filter(|section| *section != "schedules") {
            assert_eq!(records(&archive, section), records(&replaced, section), "{section}");
        }
        // What has fired does not fire again.
        assert_eq!(records(&replaced, "schedules"), [r#"{"name":"nightly","fired_us":200}"#]);
        assert_eq!(store.audit_total().await.unwrap(), 4);
    }
}

/// An archive names no secret, says that one was left out, and replaces no definition that still has its own.
#[tokio::test]
async fn secrets_of_services_are_in_no_archive() {
    for (store, _dir) in each() {
        fill(&store).await;
        let archive = export(&store, &Scope::all()).await;
        assert!(!archive.contains("harbour"), "{archive}");
        let line = records(&archive, "services")[0];
        assert!(line.ends_with(r#""has_secrets":true}"#), "{line}");
        import(&store, &archive, Mode::Replace, false).await.unwrap();
        let kept = store.services_list(&Scope::all()).await.unwrap();
        assert!(kept.len() == 2 && kept.iter().all(|one| one.secrets.is_some()), "{kept:?}");
        let (other, _dir) = (Store::open("sqlite::memory:", Path::new("")).unwrap(), ());
        import(&other, &archive, Mode::Replace, false).await.unwrap();
        let came = other.services_list(&Scope::tenant(tenant("a"))).await.unwrap();
        assert!(came.len() == 1 && came[0].has_secrets && came[0].secrets.is_none(), "{came:?}");
    }
}

#[tokio::test]
async fn nobody_is_told_because_of_an_import() {
    for (store, _dir) in each() {
        store.alerts_decide("{}", vec![notice("a", "waiting")]).await.unwrap();
        let archive = export(&store, &Scope::all()).await;
        for (to, _dir) in each() {
            import(&to, &archive, Mode::Merge, false).await.unwrap();
            assert_eq!(to.notices_due(i64::MAX / 2, Duration::from_secs(1), 10).await.unwrap(), []);
            let row = to.notice_read(&Scope::all(), "a-waiting").await.unwrap().unwrap();
            assert_eq!(row.state, NoticeState::Dead);
            assert_eq!(
                row.error.as_deref(),
                Some("it waited when it was exported; it is not sent by itself")
            );
        }
    }
}

/// A task that takes the place of another has none of its items.
#[tokio::test]
async fn what_belongs_to_what_is_replaced_goes_with_it() {
    for (store, _dir) in each() {
        fill(&store).await;
        let header = Header { format: 1, version: "1".into(), at_us: 1, tenant: None };
        let mut writer = Writer::new(&header);
        writer.section("tasks", None);
        let archive = export(&store, &Scope::all()).await;
        writer.record(&records(&archive, "tasks")[0].replace("nightly", "another"));
        let report = import(&store, &writer.end(), Mode::Replace, false).await.unwrap();
        assert_eq!(counts(&report), [("tasks", 1, 1, 0, 2)]);
        let (row, items) = store.task_read(&Scope::all(), 1).await.unwrap().unwrap();
        assert_eq!((row.task.name.as_str(), items), ("another", vec![]));
        assert_eq!(store.events_count(&Scope::all()).await.unwrap(), 8);
    }
}

#[tokio::test]
async fn numbers_that_are_taken_are_given_anew_in_their_order() {
    for (store, _dir) in each() {
        let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
        fill(&from).await;
        let archive = export(&from, &Scope::all()).await;
        for n in 0..3 {
            store.events_append(&tenant("a"), vec![event(&format!("own {n}"), "1")], None).await.unwrap();
        }
        store.task_create(&tenant("a"), task("own")).await.unwrap();
        import(&store, &archive, Mode::Merge, false).await.unwrap();
        let events = store
            .events_list(&Scope::all(), EventFilter { after: Some(0), ..EventFilter::default() })
            .await
            .unwrap();
        let ids: Vec<_> = events.iter().map(|row| (row.seq, row.event.id.as_str())).collect();
        assert_eq!(ids[..5], [(1, "own 0"), (2, "own 1"), (3, "own 2"), (4, "0"), (5, "1")]);
        let (row, items) = store.task_read(&Scope::all(), 2).await.unwrap().unwrap();
        assert_eq!((row.task.name.as_str(), row.status, items.len()), ("nightly", Status::Failed, 2));
        assert_eq!(items[1].error.as_deref(), Some("no"));
        // Again: the same ones are known by what they are, whatever their numbers.
        let report = import(&store, &archive, Mode::Merge, false).await.unwrap();
        assert!(report.sections.iter().all(|s| s.added == 0), "{report:?}");
    }
}

#[tokio::test]
async fn what_waited_or_ran_is_not_run_by_an_import() {
    for (store, _dir) in each() {
        store.task_create(&tenant("a"), task("waits")).await.unwrap();
        let archive = export(&store, &Scope::all()).await;
        let other = Store::open("sqlite::memory:", Path::new("")).unwrap();
        import(&other, &archive, Mode::Merge, false).await.unwrap();
        assert!(other.task_take("hub").await.unwrap().is_none());
        let (row, _) = other.task_read(&Scope::all(), 1).await.unwrap().unwrap();
        assert_eq!((row.status, row.ended_us), (Status::Interrupted, Some(row.created_us)));
    }
}

#[tokio::test]
async fn an_archive_of_one_tenant_has_its_data_alone_and_its_trail_can_be_checked() {
    for (store, _dir) in each() {
        fill(&store).await;
        for n in 0..20 {
            store.audit_append(vec![draft(["b", "b", "a"][n % 3], "secret-of-b", "x")]);
        }
        store.flush().await.unwrap();
        let archive = export(&store, &Scope::tenant(tenant("a"))).await;
        assert!(!archive.contains(r#""tenant":"b""#), "{archive}");
        assert_eq!((records(&archive, "task_items").len(), records(&archive, "schedules").len()), (2, 0));
        for (other, _dir) in each() {
            fill(&other).await;
            let report = import(&other, &archive, Mode::Replace, false).await.unwrap();
            assert_eq!(report.tenant.as_deref(), Some("a"));
            // The other tenant's stay.
            let all = export(&other, &Scope::all()).await;
            assert_eq!(all.matches(r#""tenant":"b","source""#).count(), 4);
            let [found] = &other.segments_verify().await.unwrap()[..] else { panic!("one segment") };
            assert_eq!(
                (&found.verdict.faults[..], found.verdict.size, found.segment.records),
                (&[][..], 24, 24)
            );
            assert_eq!(found.segment.tenant.as_deref(), Some("a"));
        }
        for (only, why) in [("b", "the archive is of tenant \"a\""), ("c", "only data of \"c\"")] {
            let mut import = store.archive_import(Mode::Merge, false, Some(only.into())).unwrap();
            let refused = push(&mut import, &archive).await.unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_trail_that_came_is_a_segment_of_its_own_and_tampering_with_it_is_named() {
    for (store, _dir) in each() {
        let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
        fill(&from).await;
        let archive = export(&from, &Scope::all()).await;
        store.audit_append(vec![draft("a", "own", "own")]);
        store.flush().await.unwrap();
        let report = import(&store, &archive, Mode::Merge, false).await.unwrap();
        let name = report.sections.last().unwrap().segment.clone().unwrap();
        assert_eq!(store.audit_total().await.unwrap(), 1);
        let which = AuditFilter { segment: Some(name.clone()), ..AuditFilter::default() };
        assert_eq!(objects(&store, &Scope::all(), which.clone()).await, ["write", "read", "write", "read"]);
        assert_eq!(objects(&store, &Scope::tenant(tenant("b")), which.clone()).await, ["write", "read"]);
        let none = AuditFilter { segment: Some("none".into()), ..AuditFilter::default() };
        assert_eq!(objects(&store, &Scope::all(), none).await, Vec::<String>::new());
        // It travels on, beside the trail of the hub that it came to.
        let further = Store::open("sqlite::memory:", Path::new("")).unwrap();
        import(&further, &export(&store, &Scope::all()).await, Mode::Merge, false).await.unwrap();
        assert_eq!(further.segments_list().await.unwrap().len(), 2);

        for (sql, kind) in [
            (
                "UPDATE audit_segment_rows SET document = replace(document, 'read', 'edit') WHERE place = 3",
                "changed",
            ),
            ("DELETE FROM audit_segment_rows WHERE place = 2", "missing"),
            ("DELETE FROM audit_segment_rows WHERE place = 4", "truncated"),
        ] {
            store.change(move |db| db.execute(sql, &[])).await.unwrap();
            let found = store.segments_verify().await.unwrap();
            let kinds: Vec<_> = found[0].verdict.faults.iter().map(|fault| fault.kind).collect();
            assert!(kinds.contains(&kind), "{sql}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn an_archive_that_is_not_as_it_should_be_is_refused_and_leaves_nothing() {
    for (store, _dir) in each() {
        let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
        fill(&from).await;
        let whole = export(&from, &Scope::all()).await;
        let lines: Vec<&str> = whole.lines().collect();
        let first = |section: &str| {
            let begins = format!("{{\"section\":\"{section}\"");
            lines.iter().position(|line| line.starts_with(&begins)).unwrap() + 2
        };
        let cut = lines[..lines.len() - 1].join("\n") + "\n";
        let half = lines[..lines.len() - 1].join("\n");
        let twice = |n: usize| {
            let mut lines = lines.clone();
            lines.insert(n, lines[n - 1]);
            lines.join("\n")
        };
        let events = first("events");
        let cases = vec![
            (cut, lines.len() - 1, "audit", "without its manifest: it was cut off"),
            (half, lines.len() - 2, "audit", "in the middle of the next line: it was cut off"),
            (whole.replacen("\"seq\":3", "\"seq\":-3", 1), events + 2, "events", "seq: -3 is no number"),
            (whole.replacen("\"seq\":3", "\"seq\":33", 1), events - 1, "events", "were changed"),
            (
                whole.replacen("\"severity\":\"error\"", "\"severity\":\"grim\"", 1),
                events,
                "events",
                "severity: \"grim\"",
            ),
            (whole.replacen("\"type\":", "\"kind\":", 1), events, "events", "type: is missing"),
            (
                whole.replacen("\"type\":", "\"x\":1,\"type\":", 1),
                events,
                "events",
                "x: this member is not known",
            ),
            (whole.replacen("\"tenant\":\"a\"", "\"tenant\":\"A B\"", 1), events, "events", "tenant: "),
            (twice(events), events + 1, "events", "the same stands in the archive before"),
            (
                whole.replacen("\"section\":\"tasks\"", "\"section\":\"dreams\"", 1),
                first("tasks") - 1,
                "dreams",
                "not known",
            ),
            (whole.replacen("\"task\":1,", "\"task\":9,", 1), lines.len(), "", "SHA-256"),
            (
                whole.replacen("\"object\":\"read\"", "\"object\":\"edit\"", 1),
                first("audit") + 3,
                "audit",
                "records 1 to 4",
            ),
            (
                whole.replacen("puerto/audit\\n4", "puerto/audit\\n5", 1),
                first("audit") - 1,
                "audit",
                "signature",
            ),
        ];
        for (text, line, section, why) in cases {
            let refused = import(&store, &text, Mode::Replace, false).await.unwrap_err();
            let ImportError::Refused { line: at, section: of, why: said } = &refused else {
                panic!("{refused:?}")
            };
            let of_changed = why == "SHA-256";
            assert!(
                of_changed || (*at == line as u64 && of.as_deref() == Some(section)),
                "{why}: {refused:?}"
            );
            assert!(said.contains(why), "{why}: {refused:?}");
            let now = export(&store, &Scope::all()).await;
            assert!(SECTIONS.iter().all(|section| records(&now, section).is_empty()), "{now}");
            assert_eq!(store.segments_list().await.unwrap(), []);
        }
        import(&store, &whole, Mode::Merge, false).await.unwrap();
    }
}

/// Whichever byte of an archive is another one, it is refused.
#[tokio::test]
async fn not_a_byte_of_an_archive_can_be_changed() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    fill(&store).await;
    let whole = export(&store, &Scope::tenant(tenant("a"))).await;
    let read = |text: &[u8]| crate::archive::check(std::io::BufRead::lines(text));
    let checked = read(whole.as_bytes()).unwrap();
    assert_eq!((checked.trails.len(), checked.trails[0].records), (1, 4), "{checked:?}");
    let mut bytes = whole.into_bytes();
    // The last line break may be there or not.
    for at in 0..bytes.len() - 1 {
        let was = bytes[at];
        bytes[at] = if was == b'1' { b'2' } else { b'1' };
        assert!(
            read(&bytes).is_err(),
            "byte {at}: {}",
            String::from_utf8_lossy(&bytes[at.saturating_sub(20)..])
        );
        bytes[at] = was;
    }
    assert!(read(&bytes).is_ok());
}

#[tokio::test]
async fn a_connection_that_is_lost_leaves_nothing_of_an_import() {
    let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
    fill(&from).await;
    let archive = export(&from, &Scope::all()).await;
    let store = Store::open(&postgres(), Path::new("")).unwrap();
    store.catalog_save(&tenant("a"), &name("x"), "{}").await.unwrap();
    for part in [archive.len() / 2, archive.len()] {
        let mut import = store.archive_import(Mode::Merge, false, None).unwrap();
        push(&mut import, &archive[..part]).await.unwrap();
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        store.read(move |db| db.query(others, &[], |_| Ok(()))).await.unwrap();
        // The first one to ask is told of the connection, the next one has another.
        let _ = store.flush().await;
        let rest = push(&mut import, &archive[part..]).await;
        let refused = if rest.is_ok() { import.end().await.map(drop) } else { rest }.unwrap_err().to_string();
        assert!(refused.contains("the connection was lost while the archive came"), "{refused}");
        assert_eq!(store.events_count(&Scope::all()).await.unwrap(), 0);
    }
    import(&store, &archive, Mode::Merge, false).await.unwrap();
    assert_eq!(store.events_count(&Scope::all()).await.unwrap(), 8);
}

/// Archives whose sums are right and whose content is not.
#[tokio::test]
async fn a_forged_archive_is_refused_too() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    let header = Header { format: 1, version: "1".into(), at_us: 1, tenant: None };
    let forged = |fill: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new(&header);
        fill(&mut writer);
        writer.end()
    };
    let item = r#"{"task":7,"place":0,"server":"s","action":"a","duration_us":1}"#;
    let trail = |root: &str| json!({"key": null, "records": 1, "root": root, "checkpoints": ""});
    let agents: Vec<_> = (0..=REGISTRATIONS_MAX)
        .map(|n| json!({"tenant": "a", "kind": "agent", "name": format!("{n}"), "registered_us": 1, "seen_us": 1, "data": {}}).to_string())
        .collect();
    for (text, why) in [
        (
            forged(&|w| {
                w.section("task_items", None);
                w.record(item);
                w.section("tasks", None);
            }),
            "number 7, which the archive does not hold",
        ),
        (
            forged(&|w| {
                w.section("audit", Some(&trail("00")));
            }),
            "trail.root: is no hash",
        ),
        (
            forged(&|w| {
                w.section("audit", Some(&trail(&"0".repeat(64))));
                w.record("{}");
            }),
            "this is no audit record",
        ),
        (
            forged(&|w| {
                w.section("registrations", None);
                agents.iter().for_each(|a| w.record(a));
            }),
            "1000 registrations already",
        ),
        (
            forged(&|w| {
                w.section("events", None);
                w.section("events", None);
            }),
            "there twice",
        ),
    ] {
        let refused = import(&store, &text, Mode::Merge, false).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{why}: {refused}");
    }
    let all = export(&store, &Scope::all()).await;
    assert!(SECTIONS.iter().all(|section| records(&all, section).is_empty()), "{all}");
}

#[tokio::test]
async fn one_import_at_a_time_and_others_write_meanwhile() {
    for (store, _dir) in each() {
        let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
        fill(&from).await;
        let archive = export(&from, &Scope::all()).await;
        let (some, rest) = archive.split_at(archive.len() / 2);
        let mut first = store.archive_import(Mode::Merge, false, None).unwrap();
        push(&mut first, some).await.unwrap();
        assert_eq!(store.archive_import(Mode::Merge, false, None).err(), Some(ImportError::Busy));
        store.events_append(&tenant("a"), vec![event("meanwhile", "1")], None).await.unwrap();
        assert_eq!(store.events_count(&Scope::all()).await.unwrap(), 1);
        push(&mut first, rest).await.unwrap();
        first.end().await.unwrap();
        assert_eq!(store.events_count(&Scope::all()).await.unwrap(), 9);
        // One that is given up frees the place.
        drop(store.archive_import(Mode::Merge, false, None).unwrap());
        let again = store.archive_import(Mode::Merge, false, None);
        assert!(again.is_ok());
    }
}

/// An event that came with an archive may be older than those before it; they do not go with it.
#[tokio::test]
async fn old_events_that_were_imported_take_no_younger_ones_with_them() {
    for (store, _dir) in each() {
        let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
        from.events_append(&tenant("a"), vec![event("old", "1")], None).await.unwrap();
        from.change(|db| db.execute("UPDATE events SET at = 1", &[])).await.unwrap();
        let archive = export(&from, &Scope::all()).await;
        for id in ["young", "younger"] {
            store.events_append(&tenant("a"), vec![event(id, "1")], None).await.unwrap();
        }
        import(&store, &archive, Mode::Merge, false).await.unwrap();
        let keep = puerto_core::def::KeepDef { days: 1, rows: 0, megabytes: 0 };
        assert_eq!(store.events_trim(&keep).await.unwrap(), 1);
        let left = store.events_list(&Scope::all(), EventFilter::default()).await.unwrap();
        assert_eq!(left.iter().map(|row| row.event.id.as_str()).collect::<Vec<_>>(), ["younger", "young"]);
    }
}

async fn pages_max(store: &Store, more: i64) {
    let set = move |db: &mut Db| {
        let there: i64 = db.first("PRAGMA page_count", &[], |row| row.get(0))?.unwrap();
        db.execute(&format!("PRAGMA max_page_count = {}", there + more), &[]).map(drop)
    };
    store.change(set).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_leaves_all_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(URL, dir.path()).unwrap();
    fill(&store).await;
    let before = export(&store, &Scope::all()).await;
    let from = Store::open("sqlite::memory:", Path::new("")).unwrap();
    for n in 0..40 {
        let large = format!("\"{}\"", "x".repeat(10_000));
        from.events_append(&tenant("z"), vec![event(&n.to_string(), &large)], None).await.unwrap();
    }
    let archive = export(&from, &Scope::all()).await;
    pages_max(&store, 20).await;
    for _ in 0..3 {
        let refused = import(&store, &archive, Mode::Merge, false).await.unwrap_err();
        assert!(matches!(&refused, ImportError::Store(StoreError::Full { .. })), "{refused}");
        assert!(refused.to_string().contains("free space"), "{refused}");
        same(&before, &export(&store, &Scope::all()).await);
    }
    // The trail goes on, and so does everything once there is room.
    store.audit_append(vec![draft("a", "x", "after")]);
    store.flush().await.unwrap();
    pages_max(&store, 10_000).await;
    import(&store, &archive, Mode::Merge, false).await.unwrap();
    assert_eq!(store.events_count(&Scope::tenant(tenant("z"))).await.unwrap(), 40);
    let checked = store.audit_verify("", &signer().verifier()).await.unwrap();
    assert_eq!((checked.size, checked.faults.len()), (5, 0), "{checked:?}");
}

/// No key and no secret, and no other form of a number or a text.
#[tokio::test]
async fn an_archive_holds_no_keys_and_is_read_by_anybody() {
    let store = Store::open("sqlite::memory:", Path::new("")).unwrap();
    fill(&store).await;
    let key = store.secret_get_or_create("audit").await.unwrap();
    let archive = export(&store, &Scope::all()).await;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!archive.contains(&hex) && !archive.contains("salt"));
    for line in archive.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
}
