//! The audit trail over HTTP: read, reported to, verified, proved, exported.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use puerto_core::record::Kind;
use puerto_core::{Action, Code, Error, TenantId};
use puerto_store::archive::SegmentVerdict;
use puerto_store::audit::verify::{self, Verdict};
use puerto_store::{AuditFilter, AuditRow, Draft, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::body::{self, wrong};
use super::problem::Refused;
use super::rest::{Answer, Api, Asked, TenantQuery, instant};
use crate::audit::ocsf;

/// Longest action and agent of a report, in bytes.
const NAME_LEN_MAX: usize = 256;
/// Largest report.
const REPORT_BYTES_MAX: usize = 64 * 1024;
/// Records that an export reads at once.
const EXPORT_PAGE: u32 = 1_000;

/// What others report.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reported {
    action: String,
    agent: String,
    #[serde(default)]
    details: Map<String, Value>,
}

/// Records, the newest first; after a number the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Audit {
    #[schemars(with = "Vec<serde_json::Value>")]
    audit: Vec<AuditRow>,
    /// Where the page ends: the `before` (or `after`) of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// What a verification found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Verified {
    /// Whether all is well.
    ok: bool,
    /// The key that must have signed the checkpoints.
    key: String,
    #[serde(flatten)]
    #[schemars(with = "serde_json::Value")]
    verdict: Verdict,
    /// The same of each trail that came with an archive.
    #[schemars(with = "Vec<serde_json::Value>")]
    segments: Vec<SegmentVerdict>,
}

/// What shows that a record is in the trail, without the database.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Proof {
    /// The record, byte for byte.
    record: String,
    /// Hashes from the record to the root, in hex (RFC 9162, section 2.1.3).
    path: Vec<String>,
    /// The signed statement of the root.
    checkpoint: String,
    /// The key that signed it.
    key: String,
}

/// Which records are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    tenant: Option<String>,
    agent: Option<String>,
    action: Option<String>,
    server: Option<String>,
    request: Option<String>,
    segment: Option<String>,
    since: Option<String>,
    until: Option<String>,
    after: Option<i64>,
    before: Option<i64>,
    limit: Option<u32>,
}

/// `POST /audit`.
pub(super) async fn report(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    body: Bytes,
) -> Result<Response, Refused> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Use, &tenant.view.id)?;
    let draft = drafted(&tenant.view.id, ctx.caller.actor().name(), &body);
    // The record itself says who has reported it: a second one of the reporting would say no more.
    let row = api.store.audit_report(draft?).await.map_err(Error::from)?;
    Ok((StatusCode::CREATED, Json(row)).into_response())
}

fn drafted(tenant: &TenantId, reporter: &str, text: &[u8]) -> Result<Draft, Error> {
    if text.len() > REPORT_BYTES_MAX {
        let text = format!("the record: {} bytes are more than the limit of {REPORT_BYTES_MAX}", text.len());
        return Err(Error::caller(Code::TooLarge, text));
    }
    let reported: Reported = body::read("record", text)?;
    for (name, text) in [("action", &reported.action), ("agent", &reported.agent)] {
        if text.is_empty() || text.len() > NAME_LEN_MAX || text.chars().any(char::is_control) {
            let why = format!("must have 1 to {NAME_LEN_MAX} bytes, without control characters");
            return Err(wrong("record", name, why));
        }
    }
    let names = (reported.action.as_str(), reported.agent.as_str());
    let now = Timestamp::now().as_microsecond();
    Draft::reported(tenant, reporter, names, &reported.details, now)
        .map_err(|e| wrong("record", "details", e))
}

/// `GET /audit`.
pub(super) async fn list(Shared(api): Shared<Api>, Asked(query): Asked<AuditQuery>) -> Answer<Audit> {
    let (scope, ctx) = api.scope(query.tenant.as_deref())?;
    let time = |text: Option<&str>, name: &str| text.map(|text| instant(name, text)).transpose();
    if query.after.is_some() && query.before.is_some() {
        let text = "the query string does not fit: after: stands beside before: only one of them may";
        return Err(Error::caller(Code::BadRequest, text).into());
    }
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let which = AuditFilter {
        since_us: time(query.since.as_deref(), "since")?,
        until_us: time(query.until.as_deref(), "until")?,
        actor: query.agent,
        action: query.action,
        server: query.server,
        request: query.request,
        phases: Vec::new(),
        after: query.after,
        before: query.before,
        limit,
        segment: query.segment,
    };
    let is_ascending = which.after.is_some();
    let work = async {
        if let Some(name) = &which.segment
            && !api.store.segments_list().await?.iter().any(|one| one.segment == *name)
        {
            return Err(Error::not_found("audit segment", name));
        }
        Ok(api.store.audit_list(&scope, which).await?)
    };
    let audit = match ctx {
        Some(ctx) => ctx.run(Kind::Control("audit.list"), work).await?,
        None => work.await.map_err(Refused::from)?,
    };
    let more = audit.len() == limit as usize || (is_ascending && !audit.is_empty());
    let next = more.then(|| audit.last().map(|row| row.seq)).flatten();
    Ok(Json(Audit { audit, next }))
}

/// `GET /audit/verify`.
pub(super) async fn verify(Shared(api): Shared<Api>) -> Answer<Verified> {
    let ctx = api.everywhere(Action::Read)?;
    let key = api.seal.verifier();
    let work = async {
        let checkpoints = api.seal.checkpoints().await?;
        let verdict = api.store.audit_verify(&checkpoints, &key).await?;
        Ok((verdict, api.store.segments_verify().await?))
    };
    let (verdict, segments) = match ctx {
        Some(ctx) => ctx.run(Kind::Control("audit.verify"), work).await?,
        None => work.await?,
    };
    let ok = verdict.faults.is_empty() && segments.iter().all(|one| one.verdict.faults.is_empty());
    Ok(Json(Verified { ok, key: key.to_string(), verdict, segments }))
}

/// `GET /audit/prove/{seq}`.
pub(super) async fn prove(Shared(api): Shared<Api>, Path(seq): Path<i64>) -> Answer<Proof> {
    api.everywhere(Action::Read)?;
    // The newest checkpoint takes the record in.
    let checkpoint = api.seal.now().await?;
    let key = api.seal.verifier();
    let sealed = key
        .open(&checkpoint)
        .map_err(|e| Error::hub(Code::Internal, "a checkpoint of ours is none").inside(e))?;
    let proved = api.store.audit_prove(seq, sealed.size).await.map_err(Error::from)?;
    let (row, path) = proved.ok_or_else(|| Error::not_found("audit record", &seq.to_string()))?;
    Ok(Json(Proof {
        record: row.document.get().to_owned(),
        path: path.iter().map(verify::hex).collect(),
        checkpoint,
        key: key.to_string(),
    }))
}

/// How an export is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// As it can be verified.
    #[default]
    Trail,
    /// As other programs read it.
    Ocsf,
}

/// What is asked of an export.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExportQuery {
    form: Form,
}

/// `GET /audit/export`: everything, one JSON text a line: what it is, the records, the checkpoints; or the records alone
/// as events of OCSF.
pub(super) async fn export(
    Shared(api): Shared<Api>,
    Asked(query): Asked<ExportQuery>,
) -> Result<Response, Refused> {
    api.everywhere(Action::Read)?;
    api.seal.now().await?;
    let checkpoints = api.seal.checkpoints().await?;
    let (size, _) = api.store.audit_head().await.map_err(Error::from)?;
    let is_trail = query.form == Form::Trail;
    let head = json!({"puerto_audit": 1, "key": api.seal.verifier().to_string(), "records": size});
    let (head, tail) = match is_trail {
        true => (Some(format!("{head}\n")), format!("{}\n", json!({"checkpoints": checkpoints}))),
        false => (None, String::new()),
    };
    let parts = futures_util::stream::unfold(Some((0, head)), move |state| {
        let (store, tail) = (api.store.clone(), tail.clone());
        async move {
            let (after, text) = state?;
            if let Some(text) = text {
                return Some((Ok(Bytes::from(text)), Some((after, None))));
            }
            let which = AuditFilter { after: Some(after), limit: EXPORT_PAGE, ..AuditFilter::default() };
            let rows = match store.audit_list(&Scope::all(), which).await {
                Ok(rows) => rows,
                // Half an export must not look like a whole one.
                Err(error) => return Some((Err(error), None)),
            };
            let rows: Vec<_> = rows.into_iter().filter(|row| row.seq.cast_unsigned() <= size).collect();
            let Some(last) = rows.last().map(|row| row.seq) else {
                return (!tail.is_empty()).then(|| (Ok(Bytes::from(tail)), None));
            };
            let line = |row: &AuditRow| match is_trail {
                true => Some(format!("{}\n", row.document)),
                false => ocsf::event(row.document.get()).map(|event| format!("{event}\n")),
            };
            let text: String = rows.iter().filter_map(line).collect();
            Some((Ok(Bytes::from(text)), Some((last, None))))
        }
    });
    let mut response = Response::new(Body::from_stream(parts));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}
