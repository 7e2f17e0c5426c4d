//! A record before it has its number.

use std::borrow::Cow;
use std::sync::Arc;

use puerto_core::record::Kind;
use puerto_core::{Digest, Origin, Outcome, Record, TenantId};
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

/// A record before it has its number. Its names are those of the operation, shared and not copied.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(crate) tenant: Arc<str>,
    pub(crate) at_us: i64,
    pub(crate) phase: Phase,
    pub(crate) actor: Arc<str>,
    pub(crate) action: Cow<'static, str>,
    pub(crate) server: Option<Arc<str>>,
    pub(crate) salt: Option<[u8; 16]>,
    pub(crate) document: Document,
}

impl Draft {
    /// What the hub itself has seen.
    pub fn of(record: &Record, phase: Phase) -> Self {
        let has_ended = phase != Phase::Decision;
        let name = |text| cut(text, NAME_BYTES_MAX);
        let at_us = micros(record.at);
        let mut document = Document::new();
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
        document.text("decision", if has_ended && record.outcome.is_denial() { "deny" } else { "allow" });
        if has_ended {
            document.maybe("detail", record.detail.as_deref().map(|text| cut(text, DETAIL_BYTES_MAX)));
            document.number("duration_us", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
        }
        document.maybe("object", record.object.as_deref().map(name));
        if has_ended {
            document.maybe("origin", record.outcome.origin().map(Origin::name));
            document.text("outcome", Outcome::name(record.outcome));
        }
        document.text("phase", phase.name());
        document.maybe("protocol", record.protocol);
        document.json("request", |to| {
            to.push('"');
            record.request.append_to(to);
            to.push('"');
        });
        if let Some(digest) = record.result.as_ref().filter(|_| has_ended) {
            document.json("result", |to| shown(digest, to));
        }
        document.place_of_number();
        document.maybe("server", record.server.as_deref().map(name));
        document.hex("span", &record.trace.span_id.to_be_bytes());
        document.text("tenant", &record.tenant);
        document.hex("trace", &record.trace.trace_id.to_be_bytes());
        Self {
            tenant: record.tenant.clone(),
            at_us,
            phase,
            actor: shared(&record.caller),
            action: match &record.kind {
                Kind::Mcp(Cow::Borrowed(method)) | Kind::Control(method) => Cow::Borrowed(method),
                Kind::Mcp(Cow::Owned(method)) => Cow::Owned(name(method).to_owned()),
            },
            server: record.server.as_ref().map(shared),
            salt: record.salt,
            document,
        }
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
        let mut document = Document::new();
        document.text("action", action);
        document.text("actor", agent);
        document.number("at_us", at_us.cast_unsigned());
        let details = canonical(&Value::Object(details.clone()))?;
        document.json("details", |to| to.push_str(&details));
        document.text("phase", Phase::Report.name());
        document.text("reporter", reporter);
        document.place_of_number();
        document.text("tenant", tenant.as_str());
        Ok(Self {
            tenant: tenant.shared(),
            at_us,
            phase: Phase::Report,
            actor: agent.into(),
            action: Cow::Owned(action.to_owned()),
            server: None,
            salt: None,
            document,
        })
    }
}

/// Writes a digest as canonical JSON.
fn shown(digest: &Digest, to: &mut String) {
    to.push_str("{\"bytes\":");
    push_number(digest.bytes, to);
    to.push_str(if digest.is_whole { ",\"sha256\":\"" } else { ",\"sha256_ends\":\"" });
    push_hex(&digest.sha256, to);
    to.push_str("\"}");
}

/// A name as it is kept; shared where it fits.
fn shared(text: &Arc<str>) -> Arc<str> {
    match cut(text, NAME_BYTES_MAX) {
        whole if whole.len() == text.len() => text.clone(),
        beginning => beginning.into(),
    }
}

/// The longest beginning of a text that fits, ending between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}
