//! Looks records up. A block is searched as text: what a record must say of itself stands in it in one way only, since it is
//! canonical JSON, so that few records have to be read as JSON.

use std::borrow::Cow;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::block::{self, Line, Range};
use super::canonical::quoted;
use super::{AuditFilter, AuditRow, Phase};
use crate::db::{Db, Filter, Misread, Row};
use crate::error::StoreError;
use crate::store::Scope;

/// Records of one reading, at most: a page for a person or a screen.
const PAGE_MAX: u32 = 1_000;

/// Bytes of blocks that are searched at once, about.
const SEARCH_BYTES: usize = 2 * 1024 * 1024;

/// What of a record is asked for.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    at_us: i64,
    #[serde(borrow)]
    phase: Cow<'a, str>,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    server: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request: Option<Cow<'a, str>>,
}

/// What a record must be like.
struct Wanted<'a> {
    scope: Option<&'a str>,
    which: &'a AuditFilter,
    /// Texts that stand in each of them.
    words: Vec<Finder<'static>>,
}

impl<'a> Wanted<'a> {
    fn new(scope: &'a Scope, which: &'a AuditFilter) -> Self {
        let (scope, action) = (scope.name(), which.action.as_deref());
        let stem = action.and_then(|action| action.strip_suffix('*'));
        let members = [
            ("tenant", scope),
            ("actor", which.actor.as_deref()),
            ("server", which.server.as_deref()),
            ("request", which.request.as_deref()),
            ("action", action.filter(|_| stem.is_none())),
        ];
        let mut words: Vec<_> =
            members.into_iter().filter_map(|(name, value)| Some(member(name, value?))).collect();
        // The beginning of a text: all but the quotation mark behind it.
        words.extend(stem.map(|stem| member("action", stem)).map(|mut text| {
            text.pop();
            text
        }));
        if let [phase] = which.phases[..] {
            words.push(member("phase", phase.name()));
        }
        let words = words.iter().map(|word| Finder::new(word).into_owned()).collect();
        Self { scope, which, words }
    }

    fn asks_nothing(&self) -> bool {
        let AuditFilter { phases, since_us, until_us, .. } = self.which;
        self.words.is_empty() && phases.is_empty() && since_us.is_none() && until_us.is_none()
    }

    /// Whether a record is one. What its text contains may stand elsewhere in it, so it is read.
    fn is(&self, text: &str) -> bool {
        if self.asks_nothing() {
            return true;
        }
        if self.words.iter().any(|word| word.find(text.as_bytes()).is_none()) {
            return false;
        }
        let Ok(told) = serde_json::from_str::<Told<'_>>(text) else { return false };
        let AuditFilter { actor, action, server, request, phases, since_us, until_us, .. } = self.which;
        let is_action = |action: &String| match action.strip_suffix('*') {
            Some(stem) => told.action.starts_with(stem),
            None => told.action == action.as_str(),
        };
        self.scope.is_none_or(|tenant| told.tenant == tenant)
            && actor.as_ref().is_none_or(|actor| told.actor == actor.as_str())
            && server.as_ref().is_none_or(|server| told.server.as_deref() == Some(server))
            && request.as_ref().is_none_or(|request| told.request.as_deref() == Some(request))
            && action.as_ref().is_none_or(is_action)
            && (phases.is_empty() || phases.iter().any(|phase| phase.name() == told.phase))
            && since_us.is_none_or(|since| told.at_us >= since)
            && until_us.is_none_or(|until| told.at_us < until)
    }
}

/// A member as it stands in a record.
fn member(name: &str, value: &str) -> String {
    let mut text = format!("\"{name}\":");
    quoted(value, &mut text);
    text
}

/// One record.
pub(super) fn one(db: &mut Db, seq: i64) -> Result<Option<AuditRow>, StoreError> {
    let first = block::holding(db, seq)?;
    let blocks = block::blocks(db, Range::between(first, first), 1)?;
    let line = blocks.iter().flat_map(block::Block::lines).find(|line| line.seq == seq);
    line.as_ref().map(row).transpose()
}

/// Records in a scope: the newest first, or from a number on the oldest first.
pub(super) fn list(db: &mut Db, scope: &Scope, which: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
    if let Some(segment) = &which.segment {
        return of_segment(db, scope, which, segment);
    }
    let wanted = Wanted::new(scope, which);
    let (after, before) = (which.after.unwrap_or(0), which.before.unwrap_or(i64::MAX));
    let mut range = Range {
        from: block::holding(db, after.saturating_add(1))?,
        to: before.saturating_sub(1),
        is_backwards: which.after.is_none(),
        since_us: which.since_us.unwrap_or(i64::MIN),
        until_us: which.until_us.unwrap_or(i64::MAX),
    };
    let (limit, mut found) = (limit(which), Vec::new());
    while found.len() < limit {
        let blocks = block::blocks(db, range, SEARCH_BYTES)?;
        let Some(last) = blocks.last() else { break };
        range = range.after(last);
        let hits = blocks.iter().filter(|block| wanted.words.iter().all(|word| block.contains(word)));
        for block in hits {
            let mut lines = block.lines();
            lines.retain(|line| line.seq > after && line.seq < before);
            let fits = |line: &&Line<'_>| wanted.is(line.text);
            let left = limit - found.len();
            let rows: Result<Vec<_>, _> = match range.is_backwards {
                true => lines.iter().rev().filter(fits).take(left).map(row).collect(),
                false => lines.iter().filter(fits).take(left).map(row).collect(),
            };
            found.extend(rows?);
        }
    }
    Ok(found)
}

/// Records of a trail that came with an archive, where each is a row.
fn of_segment(
    db: &mut Db,
    scope: &Scope,
    which: &AuditFilter,
    segment: &str,
) -> Result<Vec<AuditRow>, StoreError> {
    let request = which.request.as_ref().map(|request| format!("%{}%", member("request", request)));
    let mut filter = Filter::default();
    scope.narrow(&mut filter);
    for (condition, value) in [("actor = ?", &which.actor), ("server = ?", &which.server)] {
        if let Some(value) = value {
            filter.and(condition, value);
        }
    }
    match which.action.as_deref().map(|action| (action, action.strip_suffix('*'))) {
        Some((_, Some(stem))) => filter.and("substr(action, 1, length(?)) = ?", stem),
        Some((action, None)) => filter.and("action = ?", action),
        None => {}
    }
    if !which.phases.is_empty() {
        let names: Vec<_> = which.phases.iter().map(|phase| format!("'{}'", Phase::name(*phase))).collect();
        filter.word(&format!("phase IN ({})", names.join(", ")));
    }
    for (condition, value) in [
        ("at >= ?", which.since_us),
        ("at < ?", which.until_us),
        ("place > ?", which.after),
        ("place < ?", which.before),
    ] {
        if let Some(value) = value {
            filter.and(condition, value);
        }
    }
    if let Some(request) = &request {
        filter.and("document LIKE ?", request);
    }
    filter.and("segment = (SELECT id FROM audit_segments WHERE name = ?)", segment);
    filter.word("document IS NOT NULL");
    let order = if which.after.is_some() { "" } else { "DESC" };
    let order = format!("ORDER BY place {order} LIMIT {}", limit(which));
    let read = |row: &Row<'_>| {
        let document = RawValue::from_string(row.get(1)?).map_err(|error| Misread(error.to_string()))?;
        Ok(AuditRow { seq: row.get(0)?, document })
    };
    filter.query(db, "SELECT place, document FROM audit_segment_rows", &order, read)
}

fn limit(which: &AuditFilter) -> usize {
    (if which.limit == 0 { PAGE_MAX } else { which.limit.min(PAGE_MAX) }) as usize
}

/// A record as it is answered.
fn row(line: &Line<'_>) -> Result<AuditRow, StoreError> {
    let document = RawValue::from_string(line.text.to_owned()).map_err(|error| StoreError::Sql {
        place: "the audit trail".into(),
        why: format!("record {} is damaged ({error}); see `puerto audit verify`", line.seq),
    })?;
    Ok(AuditRow { seq: line.seq, document })
}
