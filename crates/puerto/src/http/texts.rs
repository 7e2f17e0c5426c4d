//! Arguments and results that a tenant keeps beside its audit trail, over HTTP: shown, and erased.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use bytes::Bytes;
use puerto_core::record::Kind;
use puerto_core::{Action, Code, Digest, Error};
use puerto_mcp::frame::Parts;
use puerto_mcp::scan::Span;
use puerto_store::{AuditFilter, AuditRow, Erased, Opened, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{self, wrong};
use super::rest::{Answer, Api, Asked, TenantQuery, instant};

/// A record of the audit trail with the texts that are kept of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// The record, byte for byte.
    #[schemars(with = "Value")]
    record: AuditRow,
    /// What the operation was given, where its tenant keeps that.
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Text>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Text>,
    /// What made its digests, in hex; absent where there are none, or where it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Text {
    /// Itself.
    text: String,
    /// Whether it is the one that the record stands for.
    is_recorded: bool,
}

/// What was erased.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErasedView {
    #[schemars(with = "Value")]
    erased: Erased,
}

/// Of which records, and whether whoever asks means it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    seq: Option<i64>,
    request: Option<String>,
    agent: Option<String>,
    action: Option<String>,
    server: Option<String>,
    since: Option<String>,
    until: Option<String>,
    confirm: bool,
}

impl Wanted {
    /// In words, for the record of it.
    fn shown(&self) -> String {
        let seq = self.seq.map(|seq| seq.to_string());
        let members = [
            ("seq", &seq),
            ("request", &self.request),
            ("agent", &self.agent),
            ("action", &self.action),
            ("server", &self.server),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = members.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
        let given: Vec<_> = given.collect();
        if given.is_empty() { "all records".to_owned() } else { format!("records of {}", given.join(", ")) }
    }
}

/// What a record says of itself, as far as it concerns its texts.
#[derive(Debug, Deserialize)]
struct Record {
    tenant: String,
    at_us: i64,
    request: Option<String>,
    arguments: Option<Value>,
    result: Option<Value>,
}

impl Record {
    fn of(row: &AuditRow) -> Result<Self, Error> {
        serde_json::from_str(row.document.get())
            .map_err(|e| Error::hub(Code::Internal, "a record of the audit trail cannot be read").inside(e))
    }
}

async fn found(api: &Api, seq: i64) -> Result<(AuditRow, Record), Error> {
    let row = api.store.audit_read(seq).await?;
    let row = row.ok_or_else(|| Error::not_found("audit record", &seq.to_string()))?;
    let record = Record::of(&row)?;
    Ok((row, record))
}

/// `GET /audit/{seq}`.
pub(super) async fn show(Shared(api): Shared<Api>, Path(seq): Path<i64>) -> Answer<Shown> {
    let (row, record) = found(&api, seq).await?;
    // Of a tenant that is no longer there whoever may do anything everywhere may see it.
    let ctx = match api.find(&record.tenant) {
        Ok((tenant, ctx)) => {
            ctx.require(Action::Manage, &tenant.view.id)?;
            Some(ctx)
        }
        Err(error) if error.code() == Code::NotFound => api.everywhere(Action::Manage)?,
        Err(error) => return Err(error.into()),
    };
    let work = async { Ok(api.store.audit_texts(seq, &record.tenant).await?) };
    let Opened { salt, arguments, result } = match ctx {
        Some(ctx) => ctx.run_on(Kind::Control("audit.show"), Some(seq.to_string().into()), work).await?,
        None => work.await?,
    };
    let text = |text: Option<Vec<u8>>, digest: &Option<Value>| {
        let (text, salt) = (text?, salt?);
        let is_recorded = digest.as_ref().is_some_and(|digest| is_digest(digest, &text, &salt));
        Some(Text { text: String::from_utf8_lossy(&text).into_owned(), is_recorded })
    };
    Ok(Json(Shown {
        arguments: text(arguments, &record.arguments),
        result: text(result, &record.result),
        record: row,
        salt: salt.map(|salt| hex(&salt)),
    }))
}

/// Whether a record's digest is that of a text.
fn is_digest(told: &Value, text: &[u8], salt: &[u8; 16]) -> bool {
    let Ok(end) = u32::try_from(text.len()) else { return false };
    let parts = Parts::one(Bytes::copy_from_slice(text));
    let Digest { sha256, bytes, .. } =
        puerto_mcp::digest::digest(&parts, Span { start: 0, end }, salt, text.len());
    told["sha256"] == hex(&sha256) && told["bytes"] == bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `POST /audit/erase`.
pub(super) async fn erase(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Answer<ErasedView> {
    let (scope, ctx) = api.managed(query.tenant.as_deref())?;
    let wanted: Wanted = match bytes.is_empty() {
        true => Wanted::default(),
        false => body::read("erasure", &bytes)?,
    };
    let shown = wanted.shown();
    let object: Arc<str> = shown.as_str().into();
    let work = async {
        let which = which(&api, &scope, &wanted).await?;
        if !wanted.confirm {
            let text = format!(
                "confirm: send \"confirm\": true (--yes) to erase what was given and answered, with the salts of the \
                 digests, of {shown}; the records stay. Nothing was erased"
            );
            return Err(Error::caller(Code::BadRequest, text));
        }
        Ok(api.store.audit_erase(&scope, which).await?)
    };
    let erased = match &ctx {
        Some(ctx) => ctx.run_on(Kind::Control("audit.erase"), Some(object), work).await?,
        None => work.await?,
    };
    let payload = json!({"of": shown, "erased": erased});
    api.tell("audit.erased", (query.tenant.as_deref(), ctx.as_ref()), &payload);
    Ok(Json(ErasedView { erased }))
}

async fn which(api: &Api, scope: &Scope, wanted: &Wanted) -> Result<AuditFilter, Error> {
    let time = |name: &str, text: &Option<String>| {
        let text = text.as_deref();
        text.map(|text| {
            instant(name, text).map_err(|_| wrong("erasure", name, "must be a time as in RFC 3339"))
        })
        .transpose()
    };
    let mut which = AuditFilter {
        actor: wanted.agent.clone(),
        action: wanted.action.clone(),
        server: wanted.server.clone(),
        request: wanted.request.clone(),
        since_us: time("since", &wanted.since)?,
        until_us: time("until", &wanted.until)?,
        ..AuditFilter::default()
    };
    if let Some(seq) = wanted.seq {
        let (_, record) = found(api, seq).await?;
        if !scope.holds(&record.tenant) {
            return Err(Error::not_found("audit record", &seq.to_string()));
        }
        // What began and ended at different moments has two records, of one request and one time, which says where to look.
        (which.since_us, which.until_us) = (Some(record.at_us), Some(record.at_us + 1));
        match record.request {
            Some(request) => which.request = Some(request),
            None => (which.after, which.before) = (Some(seq - 1), Some(seq + 1)),
        }
    }
    Ok(which)
}
