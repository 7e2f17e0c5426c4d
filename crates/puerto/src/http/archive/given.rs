//! A plain context, `{models, agents, tasks, audit, events}`, as the archive that it stands for: so it is checked, staged and
//! taken over by what takes in archives. What a context does not tell (the list of a task, the key of a trail) is not there.

use std::collections::BTreeMap;

use puerto_core::def::Priority;
use puerto_core::{Code, Error, Result, Severity};
use puerto_store::archive::{FORMAT, Header, Writer};
use puerto_store::audit::canonical::canonical;
use puerto_store::audit::tree::{self, Edge};
use puerto_store::audit::verify::{hex, number};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::super::body::{self, wrong};

/// Members that the hub adds to what a model or an agent says of itself.
const OURS: [&str; 3] = ["tenant", "registered_at", "last_seen"];

/// A context that somebody gives.
pub(super) struct Given {
    /// As an archive.
    pub(super) archive: String,
    /// The first line of each section of it, and what its records are in the context.
    sections: Vec<(u64, &'static str)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parts {
    models: Option<Vec<BTreeMap<String, Box<RawValue>>>>,
    agents: Option<Vec<BTreeMap<String, Box<RawValue>>>>,
    tasks: Option<Vec<Task>>,
    audit: Option<Vec<Value>>,
    events: Option<Vec<Event>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    id: i64,
    name: String,
    tenant: String,
    priority: Value,
    status: String,
    #[serde(default, rename = "cancelling")]
    _cancelling: bool,
    file: Option<String>,
    schedule: Option<String>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    #[serde(rename = "duration_ms")]
    _duration_ms: Option<f64>,
    total: i64,
    good: i64,
    failed: i64,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    seq: i64,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    severity: Severity,
    source: String,
    subject: Option<String>,
    tenant: String,
    timestamp: i64,
    time: Option<i64>,
    payload: Box<RawValue>,
    extensions: Option<Box<RawValue>>,
}

impl Given {
    /// Reads one, of one tenant where one is named.
    pub(super) fn read(text: &[u8], tenant: Option<String>) -> Result<Self> {
        let parts: Parts = body::read("context", text)?;
        let Parts { models, agents, tasks, audit, events } = parts;
        if models.is_none() && agents.is_none() && tasks.is_none() && audit.is_none() && events.is_none() {
            let why = "is no archive of Puerto, and no object with models, agents, tasks, audit or events";
            return Err(wrong("context", "body", why));
        }
        let header = Header { format: FORMAT, version: "context".into(), at_us: 0, tenant };
        let mut this = Writing { writer: Writer::new(&header), line: 1, sections: Vec::new() };
        this.section("events", None, "events");
        for event in events.unwrap_or_default() {
            this.record(&event.line()?);
        }
        this.section("registrations", None, "models");
        for (n, model) in models.unwrap_or_default().into_iter().enumerate() {
            this.record(&registration("model", n, model)?);
        }
        this.sections.push((this.line, "agents"));
        for (n, agent) in agents.unwrap_or_default().into_iter().enumerate() {
            this.record(&registration("agent", n, agent)?);
        }
        this.section("tasks", None, "tasks");
        for (n, task) in tasks.unwrap_or_default().into_iter().enumerate() {
            this.record(&task.line(n)?);
        }
        trail(&mut this, &audit.unwrap_or_default())?;
        Ok(Self { archive: this.writer.take() + &this.writer.end(), sections: this.sections })
    }

    /// What a line of the archive is in the context.
    pub(super) fn place(&self, line: u64) -> String {
        let of = self.sections.iter().rfind(|(first, _)| *first < line);
        match of {
            // Its records stand there in another order.
            Some((_, "audit")) | None => "audit".to_owned(),
            Some((first, name)) => format!("{name}[{}]", line - first - 1),
        }
    }
}

struct Writing {
    writer: Writer,
    line: u64,
    sections: Vec<(u64, &'static str)>,
}

impl Writing {
    fn section(&mut self, name: &str, trail: Option<&Value>, part: &'static str) {
        self.line += 1;
        self.writer.section(name, trail);
        self.sections.push((self.line, part));
    }

    fn record(&mut self, line: &str) {
        self.line += 1;
        self.writer.record(line);
    }
}

/// Members as a line; JSON with line breaks stands in it as a text.
fn line(members: &BTreeMap<String, Box<RawValue>>) -> Result<String> {
    let mut single = BTreeMap::new();
    for (name, value) in members.iter().filter(|(_, value)| value.get() != "null") {
        match value.get().contains(['\n', '\r']) {
            true => single.insert(format!("{name}_text"), json_of(&value.get())?),
            false => single.insert(name.clone(), value.clone()),
        };
    }
    serde_json::to_string(&single)
        .map_err(|e| Error::hub(Code::Internal, "could not write a record").inside(e))
}

fn json_of(value: &impl serde::Serialize) -> Result<Box<RawValue>> {
    to_raw_value(value).map_err(|e| Error::hub(Code::Internal, "could not write a record").inside(e))
}

fn members(given: &[(&str, Value)]) -> Result<BTreeMap<String, Box<RawValue>>> {
    given.iter().map(|(name, value)| Ok(((*name).to_owned(), json_of(value)?))).collect()
}

fn micros(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}

impl Event {
    fn line(self) -> Result<String> {
        let mut row = members(&[
            ("seq", self.seq.into()),
            ("tenant", self.tenant.into()),
            ("source", self.source.into()),
            ("id", self.id.into()),
            ("type", self.kind.into()),
            ("severity", self.severity.name().into()),
            ("subject", self.subject.into()),
            ("at_us", micros(self.timestamp).into()),
            ("time_us", self.time.map(micros).into()),
        ])?;
        let payload = if self.payload.get() == "null" { json_of(&json!(null))? } else { self.payload };
        let mut text = {
            row.extend(self.extensions.map(|extensions| ("extensions".to_owned(), extensions)));
            row.insert("payload".to_owned(), payload.clone());
            line(&row)?
        };
        // `null` is a payload too, where it means nothing elsewhere.
        if payload.get() == "null" {
            text.pop();
            text.push_str(",\"payload\":null}");
        }
        Ok(text)
    }
}

impl Task {
    fn line(self, n: usize) -> Result<String> {
        let named = |name: &str| Priority::ALL.into_iter().find(|one| one.name() == name);
        let priority = match &self.priority {
            Value::String(name) => named(name).map(Priority::number),
            other => other.as_i64(),
        };
        let priority =
            priority.ok_or_else(|| wrong("context", &format!("tasks[{n}].priority"), "is no priority"))?;
        line(&members(&[
            ("id", self.id.into()),
            ("tenant", self.tenant.into()),
            ("name", self.name.into()),
            ("priority", priority.into()),
            ("status", self.status.into()),
            ("file", self.file.into()),
            ("schedule", self.schedule.into()),
            ("created_us", micros(self.created_at).into()),
            ("started_us", self.started_at.map(micros).into()),
            ("ended_us", self.ended_at.map(micros).into()),
            ("total", self.total.into()),
            ("good", self.good.into()),
            ("failed", self.failed.into()),
            ("error", self.error.into()),
            ("concurrency", 1.into()),
            ("keep_going", false.into()),
            ("list", "[]".into()),
        ])?)
    }
}

fn registration(kind: &str, n: usize, mut given: BTreeMap<String, Box<RawValue>>) -> Result<String> {
    let part = format!("{kind}s[{n}]");
    let text = |name: &str| -> Option<String> { serde_json::from_str(given.get(name)?.get()).ok() };
    let time = |name: &str| -> Result<i64> {
        let found = given.get(name).and_then(|value| serde_json::from_str(value.get()).ok());
        found
            .map(micros)
            .ok_or_else(|| wrong("context", &format!("{part}.{name}"), "is no time in milliseconds"))
    };
    let name = text("name").or_else(|| text("id"));
    let name = name.ok_or_else(|| wrong("context", &format!("{part}.name"), "is missing (or id)"))?;
    let mut row = members(&[
        ("tenant", text("tenant").unwrap_or_else(|| "default".into()).into()),
        ("kind", kind.into()),
        ("name", name.into()),
        ("registered_us", time("registered_at")?.into()),
        ("seen_us", time("last_seen")?.into()),
    ])?;
    // That it is offline is what the hub finds, and not what it says.
    let is_offline = text("status").is_some_and(|status| status == "offline");
    let is_ours = |name: &str| OURS.contains(&name) || is_offline && name == "status";
    given.retain(|name, _| !is_ours(name));
    row.insert("data".to_owned(), json_of(&given)?);
    line(&row)
}

/// Audit records as a trail that nobody has signed, the oldest first.
fn trail(to: &mut Writing, records: &[Value]) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut texts = Vec::with_capacity(records.len());
    for (n, record) in records.iter().enumerate() {
        texts.push(canonical(record).map_err(|e| wrong("context", &format!("audit[{n}]"), e))?);
    }
    texts.sort_by_key(|text| number(text));
    let mut edge = Edge::default();
    edge.extend(tree::leaves(texts.iter().map(String::as_bytes)));
    let head = json!({"key": null, "records": edge.size(), "root": hex(&edge.root()), "checkpoints": ""});
    to.section("audit", Some(&head), "audit");
    texts.iter().for_each(|text| to.record(text));
    Ok(())
}
