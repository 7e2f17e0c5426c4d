//! Reads events in every form that they are reported in: `{type, payload}`, CloudEvents 1.0 (one, a batch, or with its
//! attributes in headers), and one of either a line (NDJSON).

mod members;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use puerto_core::RequestId;
use puerto_core::event::{Event, Severity};
use serde_json::value::RawValue;

use members::Members;

/// Largest event, in bytes. It is a note about something, and not the thing itself.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of a payload. Deeper ones have no reader.
pub const EVENT_DEPTH_MAX: usize = 32;
/// Events of one request.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// Largest body of a request: a full batch of ordinary events.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest type, id, source and subject, in bytes.
pub const ATTRIBUTE_LEN_MAX: usize = 256;

/// What came.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The media type of the body, as its header says.
    pub content_type: &'a str,
    /// The attributes that came as headers `ce-…` (CloudEvents, HTTP binding 3.1), by their names without `ce-`.
    pub attributes: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// The source of events that name none.
    pub source: &'a str,
}

/// Why a report is refused. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no JSON, or no event.
    #[error("{at}: {why}")]
    Shape {
        /// Where: `type`, `events[3].source`, `line 2`.
        at: String,
        /// What is wrong there.
        why: String,
    },
    /// It is too large.
    #[error("{at}: {found} {unit} are more than the limit of {limit}")]
    Size {
        /// Where.
        at: String,
        /// How much there is.
        found: usize,
        /// Of what.
        unit: &'static str,
        /// How much there may be.
        limit: usize,
    },
}

impl Fault {
    fn shape(at: &str, why: impl Into<String>) -> Self {
        Self::Shape { at: at.to_owned(), why: why.into() }
    }

    /// The same fault, inside of something.
    fn within(self, place: &str) -> Self {
        let inside = |at: String| if at == "event" { place.to_owned() } else { format!("{place}.{at}") };
        match self {
            Self::Shape { at, why } => Self::Shape { at: inside(at), why },
            Self::Size { at, found, unit, limit } => Self::Size { at: inside(at), found, unit, limit },
        }
    }
}

/// Events of a report, in their order, and whether it was a list of them.
#[derive(Debug)]
pub struct Reported {
    /// The events; at least one.
    pub events: Vec<Event>,
    /// Whether they came as a list, so that the answer is one too.
    pub is_list: bool,
}

impl Report<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// Where one of its events is none, or there are too many, or one is too large.
    pub fn read(&self) -> Result<Reported, Fault> {
        limited("body", self.body.len(), "bytes", BATCH_BYTES_MAX)?;
        let media = self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if self.attributes.iter().any(|(name, _)| *name == "specversion") {
            return Ok(Reported { events: vec![self.in_headers(&media)?], is_list: false });
        }
        let text =
            std::str::from_utf8(self.body).map_err(|_| Fault::shape("body", "must be text in UTF-8"))?;
        if matches!(media.as_str(), "application/x-ndjson" | "application/ndjson" | "application/jsonl") {
            return self.lines(text);
        }
        let list = media == "application/cloudevents-batch+json" || text.trim_start().starts_with('[');
        if !list {
            return Ok(Reported { events: vec![self.one(text)?], is_list: false });
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|e| Fault::shape("body", not_json(&e)))?;
        self.many(items.iter().map(|item| item.get()), |n| format!("events[{n}]"))
    }

    fn lines(&self, text: &str) -> Result<Reported, Fault> {
        let lines: Vec<_> = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
        let numbers: Vec<_> = lines.iter().map(|(n, _)| n + 1).collect();
        self.many(lines.into_iter().map(|(_, line)| line), |n| format!("line {}", numbers[n]))
    }

    fn many<'a>(
        &self,
        items: impl ExactSizeIterator<Item = &'a str>,
        place: impl Fn(usize) -> String,
    ) -> Result<Reported, Fault> {
        if items.len() == 0 {
            return Err(Fault::shape("body", "holds no event"));
        }
        limited("body", items.len(), "events", BATCH_EVENTS_MAX)?;
        let read = items.enumerate().map(|(n, item)| self.one(item).map_err(|fault| fault.within(&place(n))));
        Ok(Reported { events: read.collect::<Result<_, _>>()?, is_list: true })
    }

    fn one(&self, text: &str) -> Result<Event, Fault> {
        limited("event", text.len(), "bytes", EVENT_BYTES_MAX)?;
        limited("event", depth(text), "levels", EVENT_DEPTH_MAX)?;
        let mut members = Members::read(text)?;
        let is_cloud = match members.take_text("specversion")? {
            Some(version) if version == "1.0" => true,
            Some(version) => {
                return Err(Fault::shape("specversion", format!("{version:?} is not known: use \"1.0\"")));
            }
            None => false,
        };
        let kind = members.take_text("type")?.ok_or_else(|| Fault::shape("type", "is missing"))?;
        let id = members.take_text("id")?;
        let source = members.take_text("source")?;
        if is_cloud && id.is_none() {
            return Err(Fault::shape("id", "is missing: a CloudEvent has one"));
        }
        if is_cloud && source.is_none() {
            return Err(Fault::shape("source", "is missing: a CloudEvent has one"));
        }
        let time_us = match (members.take("time"), members.take("timestamp").filter(|_| !is_cloud)) {
            (Some(time), _) => Some(instant("time", time)?),
            (None, Some(time)) => Some(instant("timestamp", time)?),
            (None, None) => None,
        };
        let payload =
            if is_cloud { data(&mut members)? } else { members.take("payload").map(ToOwned::to_owned) };
        let severity = members.take_text("severity")?;
        let head = Head { id, source, kind, severity, subject: members.take_text("subject")?, time_us };
        head.event(self.source, payload, members.rest())
    }

    /// An event whose attributes are headers, so that the body is its payload.
    fn in_headers(&self, media: &str) -> Result<Event, Fault> {
        limited("body", self.body.len(), "bytes", EVENT_BYTES_MAX)?;
        let named =
            |name: &str| self.attributes.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
        let must = |name: &'static str| {
            named(name).ok_or_else(|| Fault::shape(&format!("ce-{name}"), "is missing: a CloudEvent has one"))
        };
        let payload = match std::str::from_utf8(self.body) {
            Ok("") => None,
            Ok(text) if media.ends_with("json") => {
                limited("body", depth(text), "levels", EVENT_DEPTH_MAX)?;
                let read = serde_json::from_str::<Box<RawValue>>(text);
                Some(read.map_err(|e| Fault::shape("body", not_json(&e)))?)
            }
            Ok(text) => Some(raw(&serde_json::Value::from(text))),
            Err(_) => Some(raw(&serde_json::json!({"$base64": STANDARD.encode(self.body)}))),
        };
        let time = named("time").map(|time| instant("ce-time", &raw(&time.into()))).transpose()?;
        let own = ["specversion", "type", "id", "source", "subject", "time", "severity"];
        let rest: serde_json::Map<_, _> = self
            .attributes
            .iter()
            .filter(|(name, _)| !own.contains(name))
            .map(|(name, text)| ((*name).to_owned(), (*text).into()))
            .collect();
        let head = Head {
            id: Some(must("id")?),
            source: Some(must("source")?),
            kind: must("type")?,
            severity: named("severity"),
            subject: named("subject"),
            time_us: time,
        };
        head.event(self.source, payload, (!rest.is_empty()).then(|| raw(&rest.into())))
    }
}

/// What an event says of itself.
struct Head {
    id: Option<String>,
    source: Option<String>,
    kind: String,
    severity: Option<String>,
    subject: Option<String>,
    time_us: Option<i64>,
}

impl Head {
    fn event(
        self,
        source: &str,
        payload: Option<Box<RawValue>>,
        extensions: Option<Box<RawValue>>,
    ) -> Result<Event, Fault> {
        let severity = match &self.severity {
            Some(name) => Severity::named(name).ok_or_else(|| {
                Fault::shape("severity", format!("{name:?} is none: use info, warning, error or critical"))
            })?,
            None => Severity::named(&self.kind).unwrap_or(Severity::Info),
        };
        Ok(Event {
            id: attribute("id", self.id.unwrap_or_else(|| RequestId::next().to_string()))?,
            source: attribute("source", self.source.unwrap_or_else(|| source.to_owned()))?,
            kind: attribute("type", self.kind)?,
            severity,
            subject: self.subject.map(|subject| attribute("subject", subject)).transpose()?,
            time_us: self.time_us,
            payload: payload.unwrap_or_else(|| raw(&serde_json::Value::Null)),
            extensions,
        })
    }
}

fn attribute(name: &str, text: String) -> Result<String, Fault> {
    limited(name, text.len(), "bytes", ATTRIBUTE_LEN_MAX)?;
    match text.chars().any(char::is_control) {
        _ if text.is_empty() => Err(Fault::shape(name, "is empty")),
        true => Err(Fault::shape(name, "holds a control character")),
        false => Ok(text),
    }
}

/// The payload of a CloudEvent (JSON format 3.1).
fn data(members: &mut Members<'_>) -> Result<Option<Box<RawValue>>, Fault> {
    let (data, bytes) = (members.take("data"), members.take_text("data_base64")?);
    match (data, bytes) {
        (Some(_), Some(_)) => Err(Fault::shape("data_base64", "stands beside data: only one of them may")),
        (data, None) => Ok(data.map(ToOwned::to_owned)),
        (None, Some(text)) if STANDARD.decode(&text).is_ok() => {
            Ok(Some(raw(&serde_json::json!({"$base64": text}))))
        }
        (None, Some(_)) => Err(Fault::shape("data_base64", "is not base64")),
    }
}

/// A point in time: RFC 3339, or milliseconds since 1970.
fn instant(at: &str, value: &RawValue) -> Result<i64, Fault> {
    let text = value.get();
    let found = match serde_json::from_str::<String>(text) {
        Ok(text) => text.parse::<Timestamp>().ok(),
        Err(_) => text.parse::<i64>().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    };
    found.map(Timestamp::as_microsecond).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Fault::shape(at, format!("{shown} is no time: use RFC 3339, or milliseconds since 1970"))
    })
}

fn limited(at: &str, found: usize, unit: &'static str, limit: usize) -> Result<(), Fault> {
    if found <= limit {
        return Ok(());
    }
    Err(Fault::Size { at: at.to_owned(), found, unit, limit })
}

/// How deep a text of JSON nests. Reading it would take as many calls in each other.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn not_json(error: &serde_json::Error) -> String {
    format!("is not what it should be: {error}")
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests;
