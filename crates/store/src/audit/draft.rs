//! A record before it has its number.

use std::sync::Arc;

use puerto_core::{Digest, Origin, Outcome, Record, RequestId, TenantId, Texts};
use serde_json::{Map, Value};

use super::canonical::{Inexact, canonical};
use super::document::{Again, Document, Members};
use super::packed::Mark;
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

    /// Whether its text is that of another one but for what is marked in it.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Told::Seen(one, phase), Told::Seen(other, before)) => phase == before && are_alike(one, other),
            _ => false,
        }
    }

    /// Writes its text behind that of one that it is like, the last one there, which begins at `last` and has the second
    /// marks, and packs it.
    pub(super) fn write_again(
        &self,
        seq: u64,
        (to, last): (&mut Vec<u8>, usize),
        (marks, before): (&mut Vec<Mark>, &[Mark]),
        packed: &mut Vec<u8>,
    ) {
        if let Told::Seen(record, phase) = &self.0 {
            seen(record, *phase, self.at_us(), seq, Again::new((to, last), (marks, before), packed));
        }
    }

    /// Writes its text, with its number, and where in it is what hardly ever is as in the record before.
    pub(crate) fn write(&self, seq: u64, to: &mut Vec<u8>, marks: &mut Vec<Mark>) {
        let document = Document::new(to, marks);
        match &self.0 {
            Told::Seen(record, phase) => seen(record, *phase, self.at_us(), seq, document),
            Told::Reported(report) => report.write(seq, document),
        }
    }
}

/// Whether all that [`seen`] writes and nothing marks is the same. Nobody would notice a name that is left out here: the hash
/// would be that of the wrong text.
fn are_alike(one: &Record, other: &Record) -> bool {
    // Each is named, so that one that is added is thought of.
    let Record {
        kind,
        tenant,
        caller,
        client,
        protocol,
        server,
        object,
        outcome,
        detail,
        arguments,
        result,
        at: _,
        request: _,
        trace: _,
        duration: _,
        bytes_in: _,
        bytes_out: _,
        audited: _,
        salt: _,
        texts: _,
        traced: _,
    } = one;
    let is_whole = |digest: &Option<Digest>| digest.as_ref().map(|digest| digest.is_whole);
    *outcome == other.outcome
        && is_whole(arguments) == is_whole(&other.arguments)
        && is_whole(result) == is_whole(&other.result)
        && same(tenant, &other.tenant)
        && same(caller, &other.caller)
        && same(kind.name(), other.kind.name())
        && both(server.as_deref(), other.server.as_deref())
        && both(object.as_deref(), other.object.as_deref())
        && both(client.as_deref(), other.client.as_deref())
        && both(*protocol, other.protocol)
        && both(detail.as_deref(), other.detail.as_deref())
}

/// Whether two texts are the same. Names are shared, so most often they lie in one place.
fn same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

fn both(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same(one, other),
        _ => one.is_none() && other.is_none(),
    }
}

fn seen(record: &Record, phase: Phase, at_us: i64, seq: u64, mut document: impl Members) {
    let has_ended = phase != Phase::Decision;
    let name = |text| cut(text, NAME_BYTES_MAX);
    document.text("action", name(record.kind.name()));
    document.text("actor", name(&record.caller));
    if let Some(digest) = &record.arguments {
        document.digest("arguments", digest);
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
    document.id("request", record.request.text(&mut [0; RequestId::LEN_MAX]));
    if let Some(digest) = record.result.as_ref().filter(|_| has_ended) {
        document.digest("result", digest);
    }
    document.number("seq", seq);
    document.maybe("server", record.server.as_deref().map(name));
    document.text("tenant", &record.tenant);
    document.hex("trace", record.trace.trace_id.to_be_bytes());
    document.end();
}

impl Report {
    fn write(&self, seq: u64, mut document: Document<'_>) {
        document.text("action", &self.action);
        document.text("actor", &self.agent);
        document.number("at_us", self.at_us.cast_unsigned());
        document.json("details", self.details.as_bytes());
        document.text("phase", Phase::Report.name());
        document.text("reporter", &self.reporter);
        document.number("seq", seq);
        document.text("tenant", &self.tenant);
        document.end();
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;
    use puerto_core::record::Kind;
    use puerto_core::trace::Trace;
    use puerto_core::{Audited, Code};

    use super::super::packed::{Marked, pack, unpack};
    use super::*;

    const PHASES: [Phase; 3] = [Phase::Decision, Phase::Result, Phase::Act];
    const OUTCOMES: [Outcome; 4] = [
        Outcome::Ok,
        Outcome::ToolError,
        Outcome::Error(Code::Forbidden, Origin::Caller),
        Outcome::Error(Code::UpstreamTimeout, Origin::Upstream),
    ];

    prop_compose! {
        /// A record of any kind and its number.
        fn draft()(
            names in proptest::array::uniform5(any::<String>()),
            number in any::<u64>(),
            (phase, outcome) in (0..PHASES.len(), 0..OUTCOMES.len()),
            (has_names, is_whole, has_arguments, is_first) in any::<(bool, bool, bool, bool)>(),
        ) -> (Draft, u64) {
            let [action, caller, client, object, detail] = names;
            let some = |text: String| has_names.then_some(text);
            let digest = Digest { sha256: hash_of(number % 3), is_whole, bytes: number };
            let record = Record {
                at: SystemTime::UNIX_EPOCH + Duration::from_micros(number >> 12),
                request: RequestId::from_number(number),
                trace: Trace { trace_id: number.into(), span_id: number, parent_id: 0, flags: 1 },
                kind: Kind::Mcp(action.into()),
                tenant: if is_first { "a" } else { "b" }.into(),
                caller: caller.into(),
                client: some(client).map(Into::into),
                protocol: has_names.then_some(if is_first { "2025-11-25" } else { "2026-07-28" }),
                server: has_names.then(|| if is_first { "files" } else { "git" }.into()),
                object: some(object).map(Into::into),
                outcome: OUTCOMES[outcome],
                duration: Duration::from_nanos(number),
                bytes_in: number,
                bytes_out: 0,
                detail: some(detail).map(Into::into),
                audited: Audited::Acts,
                salt: None,
                arguments: has_arguments.then_some(digest),
                result: has_names.then_some(digest),
                texts: None,
                traced: None,
            };
            (Draft::of(record, PHASES[phase]), number >> 11)
        }
    }

    /// One that has every kind of digit, and is the same for the same seed.
    fn hash_of(seed: u64) -> [u8; 32] {
        std::array::from_fn(|at| (at as u8).wrapping_mul(37).wrapping_add(seed as u8 * 101))
    }

    const ALL_NAMES: u16 = (1 << 12) - 1;

    /// A bit for each name: whether it is as in the record before. All are, all but one, or any.
    fn names() -> impl Strategy<Value = u16> {
        let all_but_one = (0..ALL_NAMES.count_ones()).prop_map(|other| ALL_NAMES & !(1 << other));
        prop_oneof![Just(ALL_NAMES), all_but_one, 0..=ALL_NAMES]
    }

    proptest! {
        /// Whatever callers and servers call themselves: what is hashed is the one way to write it (RFC 8785).
        #[test]
        fn every_record_is_written_as_the_standard_has_it((draft, seq) in draft()) {
            let mut text = b"what stands before it".to_vec();
            let start = text.len();
            draft.write(seq, &mut text, &mut Vec::new());
            let text = std::str::from_utf8(&text[start..]).unwrap();
            let value: Value = serde_json::from_str(text).unwrap();
            prop_assert_eq!(canonical(&value), Ok(text.to_owned()));
            prop_assert_eq!(value["seq"].as_u64(), Some(seq));
        }

        /// With the names of the first, or of the second where they are the same, and the numbers of the second.
        #[test]
        fn what_is_copied_from_the_record_before_is_what_would_be_written(
            (one, seq) in draft(), (other, number) in draft(), names in names(),
        ) {
            let (Told::Seen(first, phase), Told::Seen(second, other_phase)) = (one.0, other.0) else { unreachable!() };
            let is_other = |at: u16| names & 1 << at == 0;
            let digest = |kept: Option<Digest>, other: Option<Digest>, at| match is_other(at) {
                true => other,
                false => kept.map(|kept| Digest { is_whole: kept.is_whole, bytes: number, sha256: hash_of(number % 2) }),
            };
            let record = Record {
                kind: if is_other(0) { second.kind } else { first.kind.clone() },
                caller: if is_other(1) { second.caller } else { first.caller.clone() },
                client: if is_other(2) { second.client } else { first.client.clone() },
                server: if is_other(3) { second.server } else { first.server.clone() },
                object: if is_other(4) { second.object } else { first.object.clone() },
                outcome: if is_other(5) { second.outcome } else { first.outcome },
                detail: if is_other(6) { second.detail } else { first.detail.clone() },
                protocol: if is_other(7) { second.protocol } else { first.protocol },
                arguments: digest(first.arguments, second.arguments, 8),
                result: digest(first.result, second.result, 9),
                tenant: if is_other(10) { second.tenant } else { first.tenant.clone() },
                ..second
            };
            let second = Draft::of(record, if is_other(11) { other_phase } else { phase });
            let first = Draft::of(first, phase);
            let (mut text, mut marks) = (Vec::new(), Vec::new());
            first.write(seq, &mut text, &mut marks);
            let (mut alone, mut marks_alone) = (Vec::new(), Vec::new());
            second.write(number, &mut alone, &mut marks_alone);
            if names == ALL_NAMES {
                prop_assert!(second.is_like(&first));
            }
            if second.is_like(&first) {
                let (mut packed, mut marks_again) = (Vec::new(), Vec::new());
                pack(Marked { text: &text, marks: &marks }, Marked::default(), &mut packed);
                // Others stand before it in a block.
                text.splice(..0, *b"others");
                let (start, last) = (text.len(), b"others".len());
                second.write_again(number, (&mut text, last), (&mut marks_again, &marks), &mut packed);
                prop_assert_eq!(str::from_utf8(&text[start..]), str::from_utf8(&alone));
                prop_assert_eq!(&marks_again, &marks_alone);
                let (before, again) = text[last..].split_at(start - last);
                let texts = [before, again].map(|text| str::from_utf8(text).unwrap());
                prop_assert_eq!(unpack(&packed), texts.join("\n"));
            }
        }

        #[test]
        fn records_of_every_kind_are_the_same_when_they_were_packed(
            drafts in proptest::collection::vec(draft(), 1..12),
        ) {
            let written: Vec<_> = drafts.iter().map(|(draft, seq)| {
                let (mut text, mut marks) = (Vec::new(), Vec::new());
                draft.write(*seq, &mut text, &mut marks);
                (text, marks)
            }).collect();
            let (mut packed, mut before) = (Vec::new(), Marked::default());
            for (text, marks) in &written {
                let one = Marked { text, marks };
                pack(one, before, &mut packed);
                before = one;
            }
            let texts: Vec<_> = written.iter().map(|(text, _)| str::from_utf8(text).unwrap()).collect();
            prop_assert_eq!(unpack(&packed), texts.join("\n"));
        }
    }
}
