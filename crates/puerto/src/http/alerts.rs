//! Alerts over HTTP: what is wrong and why nobody is told, acknowledged, silenced, tried out; what was sent and what could
//! not be; and alerts of others, in Alertmanager's form.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use puerto_core::def::Span;
use puerto_core::record::Kind;
use puerto_core::{Action, Code, Ctx, Error, Severity, TenantId};
use puerto_store::{NoticeFilter, NoticeRow, NoticeState, Scope};
use puerto_watch::alert::{
    AlertView, Alerted, ForeignSignal, Labels, Notice, Outcome, Reason, Received, Signal, Silence, received,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{self, wrong};
use super::problem::Refused;
use super::rest::{Answer, Api, Asked, Done, TenantQuery};
use crate::alerts::{self, now_ms};

/// Notices of one page where nothing is said.
const PAGE: u32 = 100;
/// Notices of one page at most.
const PAGE_MAX: u32 = 1_000;
/// Longest name of who did something, in bytes.
const WHO_LEN_MAX: usize = 256;

/// `GET /alerts`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Alerts {
    /// What holds or settles, the worst first, each with why nobody is told of it.
    #[schemars(with = "Vec<Value>")]
    alerts: Vec<AlertView>,
    total: usize,
    /// Alerts that found no place since the start.
    lost: u64,
}

/// One alert.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct OneAlert(#[schemars(with = "Value")] AlertView);

/// `GET /alerts/silences`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Silences {
    /// The one that ends first first.
    silences: Vec<SilenceView>,
    total: usize,
}

/// Alerts that nobody is told of for a time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SilenceView {
    id: String,
    tenant: String,
    /// Which alerts: labels, and what they must be like.
    #[serde(rename = "match")]
    #[schemars(with = "Value")]
    matchers: Labels,
    who: String,
    reason: String,
    /// In milliseconds since 1970.
    from: i64,
    /// In milliseconds since 1970.
    until: i64,
}

/// `GET /alerts/notifications`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Notifications {
    /// The newest first.
    notifications: Vec<Notification>,
    /// Where the page ends: the `before` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// What was told, or is to be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Notification {
    seq: i64,
    /// Names it.
    key: String,
    tenant: String,
    channel: String,
    /// `waiting`, `sent` or `dead`: given up.
    state: &'static str,
    /// When it was decided, in milliseconds since 1970.
    decided_at: i64,
    attempts: i64,
    /// When it is tried next, where it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<i64>,
    /// When it was sent or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[schemars(with = "Value")]
    notice: Option<Box<RawValue>>,
}

/// `POST /alerts/test`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tried {
    channel: String,
    /// Where it leads, without what may be a secret.
    place: String,
    /// `sent`, or `failed`.
    result: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// `POST /api/v2/alerts`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Taken {
    /// How many alerts were taken in.
    received: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledged {
    reason: String,
    #[serde(default)]
    who: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quieten {
    #[serde(rename = "match")]
    matchers: Labels,
    reason: String,
    #[serde(default)]
    who: Option<String>,
    /// How long; or `until`.
    #[serde(rename = "for", default)]
    lasts: Option<Span>,
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestOf {
    channel: String,
}

/// Which notices are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotificationsQuery {
    tenant: Option<String>,
    state: Option<String>,
    channel: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

impl From<Silence> for SilenceView {
    fn from(silence: Silence) -> Self {
        let Silence { id, tenant, matchers, who, reason, from_ms, until_ms } = silence;
        Self { id, tenant: tenant.to_string(), matchers, who, reason, from: from_ms, until: until_ms }
    }
}

impl From<NoticeRow> for Notification {
    fn from(row: NoticeRow) -> Self {
        Self {
            seq: row.seq,
            key: row.key,
            tenant: row.tenant,
            channel: row.channel,
            state: row.state.name(),
            decided_at: row.decided_us / 1000,
            attempts: row.attempts,
            next_at: (row.state == NoticeState::Waiting).then_some(row.next_us / 1000),
            ended_at: row.ended_us.map(|us| us / 1000),
            error: row.error,
            notice: RawValue::from_string(row.document).ok(),
        }
    }
}

/// Runs something that the pipeline may refuse, keeps what came of it, and answers then.
async fn changed<T>(
    api: &Api,
    ctx: &Ctx,
    kind: &'static str,
    change: impl FnOnce(&mut puerto_watch::alert::Pipeline) -> Result<T, puerto_watch::alert::Refused> + Send,
) -> Result<T, Error> {
    let work = async {
        let done = change(&mut api.alerts.pipeline()).map_err(alerts::Asked)?;
        api.alerts.keep().await?;
        Ok(done)
    };
    ctx.run(Kind::Control(kind), work).await
}

/// The tenant that a question is about; every one that the caller may see where none is named.
fn whose(api: &Api, given: Option<&str>) -> Result<Option<TenantId>, Error> {
    given.map(|tenant| Ok(api.find(tenant)?.0.view.id.clone())).transpose()
}

/// Who did something: as they say, else as they are known.
fn who(given: Option<String>, ctx: &Ctx) -> Result<String, Error> {
    match given.filter(|who| !who.trim().is_empty()) {
        Some(who) if who.len() > WHO_LEN_MAX || who.chars().any(char::is_control) => Err(wrong(
            "body",
            "who",
            format!("a name has at most {WHO_LEN_MAX} bytes, and no control characters"),
        )),
        Some(who) => Ok(who),
        None => Ok(ctx.caller.actor().name().to_owned()),
    }
}

/// `GET /alerts`.
pub(super) async fn list(Shared(api): Shared<Api>, Asked(query): Asked<TenantQuery>) -> Answer<Alerts> {
    let tenant = whose(&api, query.tenant.as_deref())?;
    let work = async {
        let pipeline = api.alerts.pipeline();
        let (alerts, lost) = (pipeline.alerts(tenant.as_ref(), now_ms()), pipeline.lost());
        Ok(Alerts { total: alerts.len(), alerts, lost })
    };
    Ok(Json(api.read_everywhere("alert.list", work).await?))
}

/// An alert by its id, and who may act on it.
fn find(api: &Api, id: &str) -> Result<(AlertView, Ctx), Error> {
    let found = api.alerts.pipeline().explain(None, id, now_ms());
    let view = found.ok_or_else(|| Error::not_found("alert", id))?;
    let (_, ctx) = api.find(view.tenant.as_str()).map_err(|_| Error::not_found("alert", id))?;
    Ok((view, ctx))
}

/// `GET /alerts/{id}`.
pub(super) async fn read(Shared(api): Shared<Api>, Path(id): Path<String>) -> Answer<OneAlert> {
    let (view, ctx) = find(&api, &id)?;
    Ok(Json(ctx.run(Kind::Control("alert.read"), async { Ok(OneAlert(view)) }).await?))
}

/// `POST /alerts/{id}/ack`.
pub(super) async fn acknowledge(
    Shared(api): Shared<Api>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Answer<OneAlert> {
    let (view, ctx) = find(&api, &id)?;
    ctx.require(Action::Manage, &view.tenant)?;
    let given: Acknowledged = body::read("acknowledgement", &bytes)?;
    let who = who(given.who, &ctx)?;
    let done = changed(&api, &ctx, "alert.acknowledge", |pipeline| {
        pipeline.acknowledge(Some(&view.tenant), &id, &who, &given.reason, now_ms())
    });
    let done = done.await?;
    let payload = serde_json::json!({"id": id, "who": who, "reason": given.reason});
    api.feed.tell(&view.tenant, "alert.acknowledged", Severity::Info, Some(&view.alert.subject), &payload);
    Ok(Json(OneAlert(done)))
}

/// `GET /alerts/silences`.
pub(super) async fn silences(Shared(api): Shared<Api>, Asked(query): Asked<TenantQuery>) -> Answer<Silences> {
    let tenant = whose(&api, query.tenant.as_deref())?;
    let work = async {
        let silences = api.alerts.pipeline().silences(tenant.as_ref());
        let silences: Vec<_> = silences.into_iter().map(SilenceView::from).collect();
        Ok(Silences { total: silences.len(), silences })
    };
    Ok(Json(api.read_everywhere("silence.list", work).await?))
}

/// `POST /alerts/silences`.
pub(super) async fn silence(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Manage, &tenant.view.id)?;
    let given: Quieten = body::read("silence", &bytes)?;
    let from_ms = given.from.map_or_else(now_ms, Timestamp::as_millisecond);
    let until_ms = match (given.lasts, given.until) {
        (Some(lasts), None) => {
            from_ms.saturating_add(i64::try_from(lasts.get().as_millis()).unwrap_or(i64::MAX))
        }
        (None, Some(until)) => until.as_millisecond(),
        _ => {
            return Err(
                wrong("silence", "body", "say how long: either \"for\", as in \"2h\", or \"until\"").into()
            );
        }
    };
    let silence = Silence {
        id: String::new(),
        tenant: tenant.view.id.clone(),
        matchers: given.matchers,
        who: who(given.who, &ctx)?,
        reason: given.reason,
        from_ms,
        until_ms,
    };
    let made = changed(&api, &ctx, "silence.create", |pipeline| pipeline.silence(silence, now_ms())).await?;
    Ok((StatusCode::CREATED, Json(SilenceView::from(made))).into_response())
}

/// `DELETE /alerts/silences/{id}`.
pub(super) async fn expire(Shared(api): Shared<Api>, Path(id): Path<String>) -> Answer<SilenceView> {
    let all = api.alerts.pipeline().silences(None);
    let silence = all.into_iter().find(|one| one.id == id);
    let silence = silence.ok_or_else(|| Error::not_found("silence", &id))?;
    let (_, ctx) = api.find(silence.tenant.as_str()).map_err(|_| Error::not_found("silence", &id))?;
    ctx.require(Action::Manage, &silence.tenant)?;
    let ended = changed(&api, &ctx, "silence.end", |pipeline| pipeline.expire(Some(&silence.tenant), &id));
    Ok(Json(ended.await?.into()))
}

/// `POST /alerts/test`.
pub(super) async fn test(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Answer<Tried> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Manage, &tenant.view.id)?;
    let given: TestOf = body::read("test", &bytes)?;
    let channel = api.alerts.channel(&given.channel)?;
    let notice = trial(&tenant.view.id, &given.channel);
    let work = async {
        let error = match api.alerts.try_out(&channel, &notice).await {
            Outcome::Sent => None,
            Outcome::Retry { why, .. } | Outcome::Refused { why } => Some(why),
        };
        let result = if error.is_none() { "sent" } else { "failed" };
        Ok(Tried { channel: given.channel, place: channel.place(), result, error })
    };
    Ok(Json(ctx.run(Kind::Control("channel.test"), work).await?))
}

/// A notice that tries a channel out.
fn trial(tenant: &TenantId, channel: &str) -> Notice {
    let now = now_ms();
    let labels =
        Labels::from([("rule".to_owned(), "test".to_owned()), ("tenant".into(), tenant.to_string())]);
    Notice {
        key: format!("test-{now}-{channel}"),
        tenant: tenant.clone(),
        channel: channel.into(),
        group: format!("test-{now}"),
        labels: labels.clone(),
        reason: Reason::Test,
        alerts: vec![Alerted {
            id: format!("test-{now}"),
            rule: "test".into(),
            subject: channel.into(),
            severity: Severity::Info,
            labels,
            summary: format!("Puerto tries out the channel {channel}"),
            description: "Nothing is wrong.".into(),
            value: None,
            since_ms: now,
            until_ms: None,
        }],
        more: 0,
        at_ms: now,
    }
}

/// `GET /alerts/notifications`.
pub(super) async fn notifications(
    Shared(api): Shared<Api>,
    Asked(query): Asked<NotificationsQuery>,
) -> Answer<Notifications> {
    let (scope, _) = api.scope(query.tenant.as_deref())?;
    let state = query.state.as_deref().map(|name| {
        NoticeState::named(name).ok_or_else(|| {
            let text =
                format!("the query string does not fit: state: {name:?} is none: use waiting, sent or dead");
            Error::caller(Code::BadRequest, text)
        })
    });
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let which =
        NoticeFilter { state: state.transpose()?, channel: query.channel, before: query.before, limit };
    let work = async { Ok(api.store.notices_list(&scope, which).await?) };
    let rows = api.read_everywhere("notification.list", work).await?;
    let next = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.seq)).flatten();
    Ok(Json(Notifications { notifications: rows.into_iter().map(Notification::from).collect(), next }))
}

/// `POST /alerts/notifications/{key}/retry`.
pub(super) async fn again(Shared(api): Shared<Api>, Path(key): Path<String>) -> Answer<Done> {
    let found = api.store.notice_read(&Scope::all(), &key).await.map_err(Error::from)?;
    let row = found.ok_or_else(|| Error::not_found("notification", &key))?;
    let (tenant, ctx) = api.find(&row.tenant).map_err(|_| Error::not_found("notification", &key))?;
    ctx.require(Action::Manage, &tenant.view.id)?;
    let scope = Scope::tenant(tenant.view.id.clone());
    let work = async {
        let again = api.store.notice_again(&scope, &key, now_ms() * 1000).await?;
        again.ok_or_else(|| {
            let text = format!(
                "the notification is {}; only one that was given up can be sent again",
                row.state.name()
            );
            Error::caller(Code::Conflict, text)
        })
    };
    ctx.run(Kind::Control("notification.retry"), work).await?;
    api.alerts.look();
    Ok(Json(Done { status: "waiting" }))
}

/// `POST /api/v2/alerts`.
pub(super) async fn receive(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Answer<Taken> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Use, &tenant.view.id)?;
    let given = received(&bytes, now_ms())
        .map_err(|fault| Error::caller(Code::BadRequest, format!("could not read the alerts: {fault}")))?;
    let signals: Vec<_> = given.into_iter().map(|one| foreign(&tenant.view.id, one)).collect();
    let work = async {
        api.alerts.receive(&signals).await?;
        Ok(Taken { received: signals.len() })
    };
    Ok(Json(ctx.run(Kind::Control("alert.receive"), work).await?))
}

fn foreign(tenant: &TenantId, given: Received) -> Signal {
    let said = |name: &str| given.annotations.get(name).cloned();
    Signal::Foreign(ForeignSignal {
        tenant: tenant.clone(),
        summary: said("summary").or_else(|| said("title")).unwrap_or_default(),
        description: said("description").or_else(|| said("message")).unwrap_or_default(),
        since_ms: given.starts_ms,
        until_ms: if given.is_over {
            Some(given.ends_ms.unwrap_or(i64::MAX).min(now_ms()))
        } else {
            given.ends_ms
        },
        labels: given.labels,
    })
}
