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
    let shown = batch.iter().map(|Entry { record, step }| {
        let step = match step {
            Step::Begun => "begun",
            Step::Ended => "ended after all",
            Step::Whole => "ended",
        };
        format!("{} {step}", record.kind.name())
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
async fn what_is_known_only_at_the_end_is_told_with_it() {
    let (recorder, mut records) = Recorder::new(1);
    let ctx = ctx(&recorder);
    for is_decided in [false, true] {
        let (mut op, mut lost) =
            (ctx.begin(Kind::Control("server.stop")), ctx.begin(Kind::Control("server.stop")));
        if is_decided {
            ctx.decided(&mut op).unwrap();
        }
        op.end_with(Outcome::ToolError, |record| record.bytes_out = 7);
        op.end_with(Outcome::Ok, |record| record.bytes_out = 8);
        lost.end_with(Outcome::Ok, |_| panic!("it has no record"));
        let mut batch = Vec::new();
        records.take(&mut batch);
        let [entry] = &batch[..] else { panic!("{batch:?}") };
        assert_eq!((entry.record.outcome, entry.record.bytes_out), (Outcome::ToolError, 7));
    }
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
            ended += usize::from(entry.has_ended());
            match entry.step {
                Step::Begun => begun += 1,
                Step::Ended => begun -= 1,
                Step::Whole => {}
            }
        }
    }
    assert_eq!((ended, begun), (16_000, 0));
    drop((tasks, runtime));
}
