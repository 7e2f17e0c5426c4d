//! Which records the audit trail gets of what was told.

use std::time::Duration;

use puerto_core::def::{HubDef, TenantDef};
use puerto_core::record::Kind;
use puerto_core::{Caller, Code, Ctx, Error, Outcome, Recorder, TenantId, TenantView};
use puerto_store::{AuditFilter, Scope, Store};
use serde_json::{Value, json};

use super::*;

fn tenant(audit: &Value) -> Arc<TenantView> {
    let def: HubDef = serde_json::from_value(json!({"tenants": {"a": {"audit": audit}}})).unwrap();
    let (id, def): (TenantId, TenantDef) = def.tenants.into_iter().next().unwrap();
    TenantView::new(id, def, None)
}

fn ctx(tenant: &Arc<TenantView>, recorder: &Recorder) -> Ctx {
    Ctx::new(Caller::local(tenant.id.clone()), tenant.clone(), recorder.clone(), Duration::from_secs(1))
}

/// The phases, actions and outcomes that a store was given.
async fn kept(drafts: Vec<Draft>) -> Vec<String> {
    let store = Store::open("sqlite::memory:", std::path::Path::new("")).unwrap();
    store.audit_append(drafts);
    store.flush().await.unwrap();
    let rows =
        store.audit_list(&Scope::all(), AuditFilter { after: Some(0), ..AuditFilter::default() }).await;
    let shown = rows.unwrap().into_iter().map(|row| {
        let record: Value = serde_json::from_str(row.document.get()).unwrap();
        let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", text("phase"), text("action"), text("decision"), text("outcome"))
    });
    shown.collect()
}

#[tokio::test]
async fn a_short_act_has_one_record_and_a_long_one_two() {
    let (recorder, mut told) = Recorder::new(100);
    let tenant = tenant(&json!({}));
    let batch =
        |told: &mut mpsc::Receiver<Entry>| std::iter::from_fn(|| told.try_recv().ok()).collect::<Vec<_>>();
    let mut trail = Trail::default();
    let run = |kind, done| {
        let ctx = ctx(&tenant, &recorder);
        async move { ctx.run(Kind::Control(kind), async { done }).await }
    };
    run("server.stop", Ok(())).await.unwrap();
    run("server.list", Ok(())).await.unwrap();
    run("tenant.read", Err(Error::caller(Code::Forbidden, "no"))).await.unwrap_err();
    let long = ctx(&tenant, &recorder);
    let mut op = long.begin(Kind::Mcp("tools/call".into()));
    long.decided(&op).unwrap();
    let mut drafts = trail.drafts(&batch(&mut told));
    assert_eq!(drafts.len(), 3);
    op.end(Outcome::ToolError);
    drafts.extend(trail.drafts(&batch(&mut told)));
    let expected = [
        "act server.stop allow ok",
        "act tenant.read deny forbidden",
        "decision tools/call allow -",
        "result tools/call allow tool_error",
    ];
    assert_eq!(kept(drafts).await, expected);
    assert!(trail.open.is_empty());
}

#[tokio::test]
async fn a_tenant_decides_what_is_recorded() {
    for (audit, expected) in [(json!({"mode": "off"}), 0), (json!({}), 1), (json!({"readings": true}), 2)] {
        let (recorder, mut told) = Recorder::new(100);
        let tenant = tenant(&audit);
        for kind in ["server.stop", "server.list"] {
            ctx(&tenant, &recorder).run(Kind::Control(kind), async { Ok(()) }).await.unwrap();
        }
        let batch: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert_eq!(Trail::default().drafts(&batch).len(), expected);
    }
}

#[tokio::test]
async fn what_must_be_recorded_does_not_run_unrecorded() {
    let run = |tenant: &Arc<TenantView>, recorder: &Recorder| {
        let ctx = ctx(tenant, recorder);
        async move { ctx.run(Kind::Control("server.stop"), async { Ok("ran") }).await }
    };
    let required = tenant(&json!({"mode": "required"}));
    // One place is for the end, so nothing is left for the beginning.
    let (full, _told) = Recorder::new(1);
    assert_eq!(run(&required, &full).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(run(&tenant(&json!({})), &Recorder::new(1).0).await.unwrap(), "ran");
    let (recorder, _told) = Recorder::new(100);
    assert_eq!(run(&required, &recorder).await.unwrap(), "ran");
    recorder.keeping().note(true);
    assert_eq!(run(&required, &recorder).await.unwrap_err().code(), Code::Unavailable);
    recorder.keeping().note(false);
    assert_eq!(run(&required, &recorder).await.unwrap(), "ran");
}
