//! A record before it has its number.

use std::sync::Arc;

use puerto_core::{Digest, Origin, Outcome, Record, TenantId, Texts};
use serde_json::{Map, Value};

use super::canonical::{Inexact, canonical};
use super::document::{Document, push_hex, push_number};
use crate::store::micros;

/// Longest name of a tool, resource or client program kept, in bytes. Callers choose these texts.
const NAME_BYTES_MAX: usize = 256;

/// Longest reason kept, in bytes.
const DETAIL_BYTES_MAX: usize = 2_048;

/// What a record tells of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// That it was allowed and began. How it ended has a record of its own, with the same request.
    Decision,
    /// How one ended that has a record of its beginning.
    Result,
    /// All of it: it ended before its beginning was written.
    Act,
    /// What somebody else reports.
    Report,
}

impl Phase {
    /// As in records.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Decision => "decision",
            Phase::Result => "result",
            Phase::Act => "act",
            Phase::Report => "report",
        }
    }
}

/// A record before it has its number.
#[derive(Debug, Clone)]
pub struct Draft(Told);

/// Who tells it.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "nearly every one is the large one")]
enum Told {
    /// The hub, of what it has seen.
    Seen(Record, Phase),
    /// Somebody else, of an agent.
    Reported(Report),
}

/// What somebody reports of an agent.
#[derive(Debug, Clone)]
struct Report {
    tenant: Arc<str>,
    at_us: i64,
    action: String,
    agent: String,
    reporter: String,
    /// Canonical JSON.
    details: String,
}

impl Draft {
    /// What the hub itself has seen.
    pub fn of(record: Record, phase: Phase) -> Self {
        Self(Told::Seen(record, phase))
    }

    /// What somebody else reports of an agent: `details` are kept as they are. `reporter` is who says so.
    ///
    /// # Errors
    /// Where the details hold a number that readers of JSON would take for another one.
    pub fn reported(
        tenant: &TenantId,
        reporter: &str,
        (action, agent): (&str, &str),
        details: &Map<String, Value>,
        at_us: i64,
    ) -> Result<Self, Inexact> {
        Ok(Self(Told::Reported(Report {
            tenant: tenant.shared(),
            at_us,
            action: action.to_owned(),
            agent: agent.to_owned(),
            reporter: reporter.to_owned(),
            details: canonical(&Value::Object(details.clone()))?,
        })))
    }

    /// Whose it is.
    pub(crate) fn tenant(&self) -> &Arc<str> {
        match &self.0 {
            Told::Seen(record, _) => &record.tenant,
            Told::Reported(report) => &report.tenant,
        }
    }

    /// When it was, in microseconds since 1970.
    pub(crate) fn at_us(&self) -> i64 {
        match &self.0 {
            Told::Seen(record, _) => micros(record.at),
            Told::Reported(report) => report.at_us,
        }
    }

    /// What made its digests of equal texts differ.
    pub(crate) fn salt(&self) -> Option<&[u8; 16]> {
        match &self.0 {
            Told::Seen(record, _) => record.salt.as_ref(),
            Told::Reported(_) => None,
        }
    }

    /// What its operation was given and what it gave, where they are to be kept.
    pub(crate) fn texts(&self) -> Option<&Texts> {
        match &self.0 {
            Told::Seen(record, _) => record.texts.as_deref(),
            Told::Reported(_) => None,
        }
    }

    /// Writes its text, with its number.
    pub(crate) fn write(&self, seq: u64, to: &mut String) {
        match &self.0 {
            Told::Seen(record, phase) => seen(record, *phase, self.at_us(), seq, to),
            Told::Reported(report) => report.write(seq, to),
        }
    }
}

fn seen(record: &Record, phase: Phase, at_us: i64, seq: u64, to: &mut String) {
    let has_ended = phase != Phase::Decision;
    let name = |text| cut(text, NAME_BYTES_MAX);
    let mut document = Document::new(to);
    document.text("action", name(record.kind.name()));
    document.text("actor", name(&record.caller));
    if let Some(digest) = &record.arguments {
        document.json("arguments", |to| shown(digest, to));
    }
    document.number("at_us", at_us.cast_unsigned());
    if has_ended {
        document.number("bytes_in", record.bytes_in);
        document.number("bytes_out", record.bytes_out);
    }
    document.maybe("client", record.client.as_deref().map(name));
    document.word("decision", if has_ended && record.outcome.is_denial() { "deny" } else { "allow" });
    if has_ended {
        document.maybe("detail", record.detail.as_deref().map(|text| cut(text, DETAIL_BYTES_MAX)));
        document.number("duration_us", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
    }
    document.maybe("object", record.object.as_deref().map(name));
    if has_ended {
        document.maybe("origin", record.outcome.origin().map(Origin::name));
        document.word("outcome", Outcome::name(record.outcome));
    }
    document.word("phase", phase.name());
    if let Some(protocol) = record.protocol {
        document.word("protocol", protocol);
    }
    document.json("request", |to| {
        to.push('"');
        record.request.append_to(to);
        to.push('"');
    });
    if let Some(digest) = record.result.as_ref().filter(|_| has_ended) {
        document.json("result", |to| shown(digest, to));
    }
    document.number("seq", seq);
    document.maybe("server", record.server.as_deref().map(name));
    document.hex("span", record.trace.span_id.to_be_bytes());
    document.text("tenant", &record.tenant);
    document.hex("trace", record.trace.trace_id.to_be_bytes());
    document.end();
}

impl Report {
    fn write(&self, seq: u64, to: &mut String) {
        let mut document = Document::new(to);
        document.text("action", &self.action);
        document.text("actor", &self.agent);
        document.number("at_us", self.at_us.cast_unsigned());
        document.json("details", |to| to.push_str(&self.details));
        document.text("phase", Phase::Report.name());
        document.text("reporter", &self.reporter);
        document.number("seq", seq);
        document.text("tenant", &self.tenant);
        document.end();
    }
}

/// Writes a digest as canonical JSON.
fn shown(digest: &Digest, to: &mut String) {
    to.push_str("{\"bytes\":");
    push_number(digest.bytes, to);
    to.push_str(if digest.is_whole { ",\"sha256\":\"" } else { ",\"sha256_ends\":\"" });
    push_hex(digest.sha256, to);
    to.push_str("\"}");
}

/// The longest beginning of a text that fits, ending between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}
