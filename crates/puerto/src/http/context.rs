//! The context over HTTP: models and agents register, everything is read at a glance, and cleared.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use puerto_core::record::Kind;
use puerto_core::{Action, Code, Ctx, Error, Severity};
use puerto_store::{
    AuditFilter, AuditRow, Contents, EventFilter, EventRow, Noun, Registration, Scope, TaskFilter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{self, wrong};
use super::events::EventView;
use super::problem::Refused;
use super::rest::{Answer, Api, Asked, TenantQuery};
use super::tasks::TaskView;

/// Time without a word after which an agent is shown as offline: most tell of themselves twice a minute.
const AGENT_SILENCE: Duration = Duration::from_secs(120);
/// Tasks, audit records and events that the context shows, of each.
const SHOWN_MAX: u32 = 100;
/// Largest registration: all of them are shown together.
const REGISTRATION_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a model or an agent, in bytes.
const NAME_LEN_MAX: usize = 256;

/// What somebody registers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(rename = "type")]
    noun: GivenNoun,
    data: Box<RawValue>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GivenNoun {
    Model,
    Agent,
}

/// What names it, of all that it says of itself.
#[derive(Debug, Deserialize)]
struct Named {
    name: Option<String>,
    id: Option<String>,
}

/// A model or an agent: what it says of itself, and what we know of it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Shown(BTreeMap<String, Box<RawValue>>);

/// The same, for the document of the interface.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "the shape of what `Shown` writes, beside the members that came")]
pub(crate) struct RegistrationView {
    tenant: String,
    /// When it came first, in milliseconds since 1970.
    registered_at: i64,
    /// When it came last.
    last_seen: i64,
    /// Of an agent what it says, else `online`; `offline` after two minutes without a word. Of a model what it says,
    /// else `registered`.
    status: String,
}

/// Everything at a glance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Context {
    #[schemars(with = "Vec<RegistrationView>")]
    models: Vec<Shown>,
    #[schemars(with = "Vec<RegistrationView>")]
    agents: Vec<Shown>,
    /// The newest first.
    tasks: Vec<TaskView>,
    #[schemars(with = "Vec<Value>")]
    audit: Vec<AuditRow>,
    #[schemars(with = "Vec<EventView>")]
    events: Vec<EventRow>,
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cleared {
    #[schemars(with = "Value")]
    cleared: Contents,
}

/// Whether whoever clears means it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Confirmation {
    confirm: bool,
}

/// `POST /register`.
pub(super) async fn register(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let (tenant, ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.require(Action::Use, &tenant.view.id)?;
    let (noun, name, data) = registration(&bytes)?;
    let kind = match noun {
        Noun::Model => "model.register",
        Noun::Agent => "agent.register",
    };
    let work = async { Ok(api.store.registry_save(&tenant.view.id, noun, &name, data).await?) };
    let done = ctx.run(Kind::Control(kind), work).await?;
    let now = SystemTime::now();
    // A heartbeat says nothing new: only what is different is told.
    let is_same = done.before.as_ref().is_some_and(|before| {
        before.data.get() == done.now.data.get() && status(noun, before, now) != OFFLINE
    });
    if !is_same {
        let kind = format!("{}.registered", noun.name());
        let payload = json!({"name": name, "is_new": done.before.is_none(), "data": done.now.data});
        api.feed.tell(&tenant.view.id, &kind, Severity::Info, Some(&name), &payload);
    }
    let answered = if done.before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((answered, Json(shown(noun, &done.now, now))).into_response())
}

fn registration(bytes: &[u8]) -> Result<(Noun, String, Box<RawValue>), Error> {
    if bytes.len() > REGISTRATION_BYTES_MAX {
        let text = format!(
            "the registration: {} bytes are more than the limit of {REGISTRATION_BYTES_MAX}",
            bytes.len()
        );
        return Err(Error::caller(Code::TooLarge, text));
    }
    let given: Given = body::read("registration", bytes)?;
    let named: Named = match given.data.get().starts_with('{') {
        true => serde_json::from_str(given.data.get()).map_err(|e| wrong("registration", "data", e))?,
        false => return Err(wrong("registration", "data", "must be an object")),
    };
    let (member, name) = match (named.name, named.id) {
        (Some(name), _) => ("data.name", name),
        (None, Some(id)) => ("data.id", id),
        (None, None) => return Err(wrong("registration", "data.name", "is missing (or data.id)")),
    };
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        let why = format!("must have 1 to {NAME_LEN_MAX} bytes, without control characters");
        return Err(wrong("registration", member, why));
    }
    let noun = match given.noun {
        GivenNoun::Model => Noun::Model,
        GivenNoun::Agent => Noun::Agent,
    };
    Ok((noun, name, given.data))
}

const OFFLINE: &str = "offline";

/// How it is: as it says, unless it has said nothing for too long.
fn status(noun: Noun, registration: &Registration, now: SystemTime) -> String {
    let now_us = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let silence = i64::try_from(now_us).unwrap_or(i64::MAX).saturating_sub(registration.seen_us);
    let is_silent = silence > AGENT_SILENCE.as_micros() as i64;
    let given = || {
        let data: Value = serde_json::from_str(registration.data.get()).ok()?;
        data.get("status")?.as_str().map(ToOwned::to_owned)
    };
    match noun {
        Noun::Agent if is_silent => OFFLINE.to_owned(),
        Noun::Agent => given().unwrap_or_else(|| "online".to_owned()),
        Noun::Model => given().unwrap_or_else(|| "registered".to_owned()),
    }
}

pub(super) fn shown(noun: Noun, registration: &Registration, now: SystemTime) -> Shown {
    Shown(registration.members(&[
        ("tenant", &json!(registration.tenant)),
        ("registered_at", &json!(registration.registered_us / 1000)),
        ("last_seen", &json!(registration.seen_us / 1000)),
        ("status", &json!(status(noun, registration, now))),
    ]))
}

/// `GET /context`.
pub(super) async fn read(Shared(api): Shared<Api>, Asked(query): Asked<TenantQuery>) -> Answer<Context> {
    let (scope, ctx) = api.scope(query.tenant.as_deref())?;
    let work = context(&api, &scope);
    let context = match ctx {
        Some(ctx) => ctx.run(Kind::Control("context.read"), work).await?,
        None => work.await?,
    };
    Ok(Json(context))
}

async fn context(api: &Api, scope: &Scope) -> Result<Context, Error> {
    let (store, now, limit) = (&api.store, SystemTime::now(), SHOWN_MAX);
    let of = |noun| async move {
        let all = store.registry_list(scope, noun).await?;
        Ok::<_, Error>(all.iter().map(|one| shown(noun, one, now)).collect())
    };
    let tasks = store.tasks_list(scope, TaskFilter { limit, ..TaskFilter::default() }).await?;
    Ok(Context {
        models: of(Noun::Model).await?,
        agents: of(Noun::Agent).await?,
        tasks: tasks.iter().map(TaskView::of).collect(),
        audit: store.audit_list(scope, AuditFilter { limit, ..AuditFilter::default() }).await?,
        events: store.events_list(scope, EventFilter { limit, ..EventFilter::default() }).await?,
    })
}

/// `POST /clear`.
pub(super) async fn clear(
    Shared(api): Shared<Api>,
    Asked(query): Asked<TenantQuery>,
    bytes: Bytes,
) -> Answer<Cleared> {
    let (scope, ctx) = api.managed(query.tenant.as_deref())?;
    let given = match bytes.is_empty() {
        true => Confirmation::default(),
        false => body::read("confirmation", &bytes)?,
    };
    let of = query.tenant.as_ref().map_or("all tenants".to_owned(), |tenant| format!("tenant {tenant:?}"));
    let work = async {
        if !given.confirm {
            let Contents { events, tasks, registrations } = api.store.context_count(&scope).await?;
            let text = format!(
                "confirm: send {{\"confirm\": true}} to delete {events} events, {tasks} tasks and {registrations} \
                 registrations of {of}; nothing was deleted"
            );
            return Err(Error::caller(Code::BadRequest, text));
        }
        Ok(api.store.context_clear(&scope).await?)
    };
    let cleared = match &ctx {
        Some(ctx) => ctx.run(Kind::Control("context.clear"), work).await?,
        None => work.await?,
    };
    api.tell("context.cleared", (query.tenant.as_deref(), ctx.as_ref()), &json!({"cleared": cleared}));
    Ok(Json(Cleared { cleared }))
}

impl Api {
    /// Tells that the data of a tenant, or of every one, is another now.
    pub(super) fn tell(&self, kind: &str, of: (Option<&str>, Option<&Ctx>), payload: &Value) {
        match of {
            (Some(_), Some(ctx)) => self.feed.tell(&ctx.tenant.id, kind, Severity::Warning, None, payload),
            _ => self.feed.tell_all(&self.hub, kind, Severity::Warning, payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_a_word_is_offline() {
        let seen = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let of = |text: &str| Registration {
            tenant: "a".into(),
            name: "n".into(),
            registered_us: 0,
            seen_us: Duration::from_hours(24).as_micros() as i64,
            data: RawValue::from_string(text.into()).unwrap(),
        };
        let (plain, busy) = (of("{}"), of(r#"{"status":"busy"}"#));
        let later = seen + AGENT_SILENCE;
        assert_eq!(status(Noun::Agent, &plain, seen), "online");
        assert_eq!(status(Noun::Agent, &busy, later), "busy");
        assert_eq!(status(Noun::Agent, &busy, later + Duration::from_secs(1)), "offline");
        assert_eq!(status(Noun::Model, &busy, later + Duration::from_secs(1)), "busy");
        assert_eq!(status(Noun::Model, &plain, later), "registered");
    }
}
