//! What the way of records promises: nothing is told twice or lost, and whoever finds no place is counted.

use std::time::Duration;

use crate::def::{HubDef, TenantDef};
use crate::record::{Kind, Outcome};
use crate::{Caller, Ctx, TenantId, TenantView};

use super::*;

fn ctx(recorder: &Recorder) -> Ctx {
    let def: HubDef = serde_json::from_str(r#"{"tenants":{"a":{}}}"#).unwrap();
    let (id, def): (TenantId, TenantDef) = def.tenants.into_iter().next().unwrap();
    let tenant = TenantView::new(id.clone(), def, None);
    Ctx::new(Caller::local(id), tenant, recorder.clone(), Duration::from_secs(1))
}

/// What was told, in short, with the kind of each operation.
fn told(records: &mut Records) -> Vec<String> {
    let mut batch = Vec::new();
    records.take(&mut batch);
    let shown = batch.iter().map(|entry| match entry {
        Entry::Begun(record) => format!("{} begun", record.kind.name()),
        Entry::Ended { record, was_begun: true } => format!("{} ended after all", record.kind.name()),
        Entry::Ended { record, .. } => format!("{} ended", record.kind.name()),
    });
    shown.collect()
}

#[tokio::test]
async fn a_beginning_is_told_once_and_only_where_the_end_comes_later() {
    let (recorder, mut records) = Recorder::new(10);
    let begin = |kind| {
        let ctx = ctx(&recorder);
        let mut op = ctx.begin(Kind::Control(kind));
        ctx.decided(&mut op).unwrap();
        (ctx, op)
    };
    let (long, short) = (begin("long.run"), begin("short.run"));
    drop(short);
    assert_eq!(told(&mut records), ["long.run begun", "short.run ended"]);
    // It takes the place that the other one had.
    let (mut other, (ctx, mut op)) = (begin("other.run"), long);
    ctx.decided(&mut op).unwrap();
    op.end(Outcome::Ok);
    assert_eq!(told(&mut records), ["other.run begun", "long.run ended after all"]);
    other.1.end(Outcome::Ok);
    let (ctx, mut twice) = begin("twice.run");
    ctx.decided(&mut twice).unwrap();
    twice.end(Outcome::Ok);
    assert_eq!(told(&mut records), ["other.run ended after all", "twice.run ended"]);
    assert_eq!(told(&mut records), Vec::<String>::new());
}

#[tokio::test]
async fn who_finds_no_place_is_counted_and_places_come_back() {
    let (recorder, mut records) = Recorder::new(2);
    let ctx = ctx(&recorder);
    let begin = || ctx.begin(Kind::Control("server.stop"));
    let (one, two, three) = (begin(), begin(), begin());
    drop(three);
    assert_eq!(recorder.lost(), 1);
    drop((one, two));
    // They have ended and are not read yet.
    drop(begin());
    assert_eq!((told(&mut records).len(), recorder.lost()), (2, 2));
    drop(begin());
    assert_eq!((told(&mut records).len(), recorder.lost()), (1, 2));
}

#[test]
fn many_threads_send_and_the_reader_gets_all_in_the_order_of_time_and_hears_of_the_end() {
    let (recorder, mut records) = Recorder::new(PARTS_MAX * PART_ROOM * 64);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let tasks = (0..16).map(|_| {
        let ctx = ctx(&recorder);
        runtime.spawn(async move {
            for n in 0..1_000 {
                ctx.run(Kind::Control("server.stop"), async { Ok(()) }).await.unwrap();
                if n % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    drop(recorder);
    let (mut begun, mut ended) = (0, 0);
    let mut batch = Vec::new();
    while records.wait(&mut batch) {
        assert!(batch.windows(2).all(|two| two[0].at() <= two[1].at()));
        for entry in batch.drain(..) {
            match entry {
                Entry::Begun(_) => begun += 1,
                Entry::Ended { was_begun, .. } => {
                    ended += 1;
                    begun -= usize::from(was_begun);
                }
            }
        }
    }
    assert_eq!((ended, begun), (16_000, 0));
    drop((tasks, runtime));
}
