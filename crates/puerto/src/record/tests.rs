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
    let mut told = || {
        let mut batch = Vec::new();
        told.take(&mut batch);
        drafts(&mut batch)
    };
    let run = |kind, done| {
        let ctx = ctx(&tenant, &recorder);
        async move { ctx.run(Kind::Control(kind), async { done }).await }
    };
    run("server.stop", Ok(())).await.unwrap();
    run("server.list", Ok(())).await.unwrap();
    run("tenant.read", Err(Error::caller(Code::Forbidden, "no"))).await.unwrap_err();
    let long = ctx(&tenant, &recorder);
    let mut op = long.begin(Kind::Mcp("tools/call".into()));
    long.decided(&mut op).unwrap();
    let mut all = told();
    assert_eq!(all.len(), 3);
    assert!(told().is_empty(), "its beginning is told once");
    op.end(Outcome::ToolError);
    all.extend(told());
    let expected = [
        "act server.stop allow ok",
        "act tenant.read deny forbidden",
        "decision tools/call allow -",
        "result tools/call allow tool_error",
    ];
    assert_eq!(kept(all).await, expected);
}

#[tokio::test]
async fn a_tenant_decides_what_is_recorded() {
    for (audit, expected) in [(json!({"mode": "off"}), 0), (json!({}), 1), (json!({"readings": true}), 2)] {
        let (recorder, mut told) = Recorder::new(100);
        let tenant = tenant(&audit);
        for kind in ["server.stop", "server.list"] {
            ctx(&tenant, &recorder).run(Kind::Control(kind), async { Ok(()) }).await.unwrap();
        }
        let mut batch = Vec::new();
        told.take(&mut batch);
        assert_eq!(drafts(&mut batch).len(), expected);
    }
}

#[tokio::test]
async fn what_must_be_recorded_does_not_run_unrecorded() {
    let run = |tenant: &Arc<TenantView>, recorder: &Recorder| {
        let ctx = ctx(tenant, recorder);
        async move { ctx.run(Kind::Control("server.stop"), async { Ok("ran") }).await }
    };
    let required = tenant(&json!({"mode": "required"}));
    let (full, _told) = Recorder::new(1);
    let _other = ctx(&required, &full).begin(Kind::Control("server.start"));
    assert_eq!(run(&required, &full).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(run(&tenant(&json!({})), &full).await.unwrap(), "ran");
    assert_eq!(full.lost(), 2);
    let (recorder, _told) = Recorder::new(100);
    assert_eq!(run(&required, &recorder).await.unwrap(), "ran");
    recorder.keeping().note(true);
    assert_eq!(run(&required, &recorder).await.unwrap_err().code(), Code::Unavailable);
    recorder.keeping().note(false);
    assert_eq!(run(&required, &recorder).await.unwrap(), "ran");
}
