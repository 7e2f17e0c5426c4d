//! Archives over HTTP: everything that is kept goes out as one stream, and comes in as one, whole or not at all.

mod given;
mod told;

use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use puerto_core::record::{Kind, Outcome};
use puerto_core::{Code, Ctx, Error, Op, Result};
use puerto_store::Scope;
use puerto_store::archive::{BEGINNING, Export, Import, ImportError, Mode, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Refused;
use super::rest::{Answer, Api, Asked};
use given::Given;
use told::Telling;

/// Largest context that is taken in: it is read as one text. An archive has no such limit.
const CONTEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest wait for the next piece of an archive. Who sends it holds the only place.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the rest of an archive that was refused is read: a client that still sends would not see the reason.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to export.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    tenant: Option<String>,
    #[serde(default)]
    form: Form,
    /// `false` leaves audit trails out: one that was tampered with is taken in by no hub.
    audit: Option<bool>,
}

/// In which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// Everything, to be imported.
    #[default]
    Archive,
    /// What `GET /context` shows, of everything.
    Context,
}

/// How to import.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    tenant: Option<String>,
    #[serde(default)]
    mode: GivenMode,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    confirm: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GivenMode {
    #[default]
    Merge,
    Replace,
}

/// What an import did, or would do.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Imported(#[schemars(with = "ImportedView")] Report);

/// The same, for the document of the interface.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "the shape of what `Report` writes")]
pub(crate) struct ImportedView {
    /// `merge` or `replace`.
    mode: String,
    /// Whether nothing was changed.
    dry_run: bool,
    /// Of one tenant alone, this one.
    tenant: Option<String>,
    /// Each section: `records` in the archive, of which `added` were added and `present` were there; `removed` before; the
    /// `segment` that an audit trail is kept as.
    sections: Vec<Value>,
}

/// The record of an operation that goes on after its function.
struct Going(Option<Op>);

impl Going {
    fn begin(ctx: Option<&Ctx>, name: &'static str) -> Result<Self> {
        let Some(ctx) = ctx else { return Ok(Self(None)) };
        let mut op = ctx.begin(Kind::Control(name));
        if let Err(error) = ctx.decided(&mut op) {
            op.fail(&error);
            return Err(error);
        }
        Ok(Self(Some(op)))
    }

    fn end(&mut self, failed: Option<&Error>) {
        match (&mut self.0, failed) {
            (Some(op), None) => op.end(Outcome::Ok),
            (Some(op), Some(error)) => op.fail(error),
            (None, _) => {}
        }
    }
}

/// Something that is written piece by piece.
enum Source {
    Archive(Box<Export>),
    Context(Box<Telling>),
}

impl Source {
    async fn next(&mut self) -> Result<Option<String>> {
        match self {
            Source::Archive(export) => Ok(export.next().await?),
            Source::Context(telling) => telling.next().await,
        }
    }
}

/// `GET /export`.
pub(super) async fn export(
    Shared(api): Shared<Api>,
    Asked(query): Asked<ExportQuery>,
) -> Result<Response, Refused> {
    let (scope, ctx) = api.managed(query.tenant.as_deref())?;
    let mut going = Going::begin(ctx.as_ref(), "archive.export")?;
    let source = source(&api, &scope, &query).await.inspect_err(|error| going.end(Some(error)))?;
    let (kind, name) = match query.form {
        Form::Archive => ("application/x-ndjson", "attachment; filename=\"puerto.ndjson\""),
        Form::Context => ("application/json", "attachment; filename=\"context.json\""),
    };
    let head = [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)];
    Ok((head, Body::from_stream(pieces(source, going))).into_response())
}

async fn source(api: &Api, scope: &Scope, query: &ExportQuery) -> Result<Source> {
    if query.form == Form::Context {
        return Ok(Source::Context(Box::new(Telling::new(api.store.clone(), scope.clone()))));
    }
    let sealed = if query.audit.unwrap_or(true) { Some(api.seal.sealed().await?) } else { None };
    let export = api.store.archive_export(scope, env!("CARGO_PKG_VERSION"), sealed).await?;
    Ok(Source::Archive(Box::new(export)))
}

fn pieces(source: Source, going: Going) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::unfold(Some((source, going)), async |state| {
        let (mut source, mut going) = state?;
        match source.next().await {
            Ok(Some(text)) => Some((Ok(Bytes::from(text)), Some((source, going)))),
            Ok(None) => {
                going.end(None);
                None
            }
            // The connection breaks, so that half of it does not look like all.
            Err(error) => {
                tracing::warn!("an export broke off: {}", error.chain());
                going.end(Some(&error));
                Some((Err(error), None))
            }
        }
    })
}

/// `POST /import`.
pub(super) async fn import(
    Shared(api): Shared<Api>,
    Asked(query): Asked<ImportQuery>,
    body: Body,
) -> Answer<Imported> {
    let (_, ctx) = api.managed(query.tenant.as_deref())?;
    let mut going = Going::begin(ctx.as_ref(), "archive.import")?;
    let mut body = body.into_data_stream();
    let done = take(&api, &query, &mut body).await;
    if let (Ok(report), Some(op)) = (&done, &mut going.0) {
        let came: Vec<_> = report.sections.iter().filter_map(|one| one.segment.as_deref()).collect();
        let came = if report.dry_run { "dry run".to_owned() } else { came.join(" ") };
        op.note(|record| record.object = (!came.is_empty()).then(|| came.into()));
    }
    going.end(done.as_ref().err());
    let report = match done {
        Ok(report) => report,
        Err(error) => {
            let until = Instant::now() + PATIENCE;
            while let Ok(Some(Ok(_))) = timeout_at(until, body.next()).await {}
            return Err(error.into());
        }
    };
    if !report.dry_run {
        api.tell("context.imported", (query.tenant.as_deref(), ctx.as_ref()), &json!(report));
    }
    Ok(Json(Imported(report)))
}

async fn take(api: &Api, query: &ImportQuery, body: &mut BodyDataStream) -> Result<Report> {
    let mode = match query.mode {
        GivenMode::Merge => Mode::Merge,
        GivenMode::Replace => Mode::Replace,
    };
    if mode == Mode::Replace && !query.dry_run && !query.confirm {
        let text = "confirm: add confirm=true to delete what is there and put the archive in its place, or dry_run=true \
                    to see what that would do; nothing was changed";
        return Err(Error::caller(Code::BadRequest, text));
    }
    let mut import = api.store.archive_import(mode, query.dry_run, query.tenant.clone())?;
    let mut first = Vec::new();
    while first.len() < BEGINNING.len() {
        let Some(piece) = next(body).await? else { break };
        first.extend_from_slice(&piece);
    }
    if first.is_empty() || first.starts_with(BEGINNING.as_bytes()) {
        import.push(&first).await?;
        drop(first);
        while let Some(piece) = next(body).await? {
            import.push(&piece).await?;
        }
        return Ok(import.end().await?);
    }
    while let Some(piece) = next(body).await? {
        if first.len() + piece.len() > CONTEXT_BYTES_MAX {
            let text = format!(
                "the body is no archive of Puerto, and as a context it has more than {CONTEXT_BYTES_MAX} bytes; export an \
                 archive in its place (GET /export)"
            );
            return Err(Error::caller(Code::TooLarge, text));
        }
        first.extend_from_slice(&piece);
    }
    context(import, &first, query.tenant.clone()).await
}

/// Takes in a context, as the archive that it stands for.
async fn context(mut import: Import, text: &[u8], tenant: Option<String>) -> Result<Report> {
    let given = Given::read(text, tenant)?;
    let done = match import.push(given.archive.as_bytes()).await {
        Ok(()) => import.end().await,
        Err(error) => Err(error),
    };
    done.map_err(|error| match error {
        ImportError::Refused { line, why, .. } => {
            let text =
                format!("could not import the context: {}: {why}; nothing was changed", given.place(line));
            Error::caller(Code::BadRequest, text)
        }
        other => other.into(),
    })
}

async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>> {
    match timeout(SILENCE, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) => {
            Err(Error::caller(Code::BadRequest, "the body broke off; nothing was changed").inside(error))
        }
        Err(_) => {
            let text =
                format!("nothing more of the body came for {} s; nothing was changed", SILENCE.as_secs());
            Err(Error::caller(Code::BadRequest, text))
        }
    }
}
