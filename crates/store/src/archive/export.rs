//! Writes an archive, a page at a time: each is a short reading of its own, so that neither the writer nor a snapshot of
//! the database is held while somebody takes hours to read. What changes meanwhile is in it or not; what is numbered
//! ends with the greatest number that there was at the beginning.

use std::collections::VecDeque;
use std::time::SystemTime;

use serde_json::{json, value};

use super::FORMAT;
use super::lines::{Header, Writer};
use super::section::{Owner, SECTIONS, Section, Value};
use super::trail::{AUDIT, CHECKPOINTS_MAX, Head, Kept, Part, Segment, page};
use crate::audit::checkpoint::{Verifier, notes};
use crate::audit::tree::{Covered, Hash};
use crate::audit::verify::hex;
use crate::db::{Db, Filter};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// The hub's own trail, as it is signed for.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The key that signs.
    pub key: Verifier,
    /// The newest checkpoints, one after the other.
    pub checkpoints: String,
    /// Records that the last of them stands for.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// An archive that is being written.
pub struct Export {
    store: Store,
    tenant: Option<String>,
    /// Nothing once its last piece is out.
    writer: Option<Writer>,
    left: VecDeque<Next>,
}

/// What comes next.
enum Next {
    /// A section, after a row: its key.
    Rows { section: &'static Section, after: Option<Vec<Value>>, last: Option<i64> },
    /// A trail, after a place.
    Trail(Trail),
}

struct Trail {
    segment: Option<i64>,
    head: Head,
    after: i64,
    covered: Covered,
    is_open: bool,
}

impl Store {
    /// Begins an archive of a scope; `sealed` is the hub's own trail, nothing where no audit trail is to be in it.
    pub async fn archive_export(
        &self,
        scope: &Scope,
        version: &str,
        sealed: Option<Sealed>,
    ) -> Result<Export, StoreError> {
        let tenant = scope.name().map(ToOwned::to_owned);
        let at_us = micros(SystemTime::now());
        let header = Header { format: FORMAT, version: version.to_owned(), at_us, tenant: tenant.clone() };
        let mut left = VecDeque::new();
        for section in SECTIONS.iter().filter(|one| tenant.is_none() || !matches!(one.owner, Owner::Hub)) {
            let last = match section.number {
                Some(number) => {
                    let sql = format!("SELECT max({number}) FROM {}", section.name);
                    let last = self.read(move |db| db.first(&sql, &[], |row| row.get::<Option<i64>>(0)));
                    Some(last.await?.flatten().unwrap_or_default())
                }
                None => None,
            };
            left.push_back(Next::Rows { section, after: None, last });
        }
        if let Some(sealed) = &sealed {
            let segments = self.segments_list().await?.into_iter().map(of_segment);
            left.extend([own(sealed)].into_iter().chain(segments).map(Next::Trail));
        }
        Ok(Export { store: self.clone(), tenant, writer: Some(Writer::new(&header)), left })
    }
}

fn own(sealed: &Sealed) -> Trail {
    // Those of other hubs on this file may be newer than what is exported.
    let fitting = notes(&sealed.checkpoints)
        .filter(|note| sealed.key.open(note).is_ok_and(|note| note.size <= sealed.size))
        .collect::<Vec<_>>();
    let newest = fitting.len().saturating_sub(CHECKPOINTS_MAX);
    let head = Head {
        key: Some(sealed.key.to_string()),
        records: sealed.size,
        root: hex(&sealed.root),
        checkpoints: fitting[newest..].concat(),
    };
    Trail { segment: None, head, after: 0, covered: Covered::default(), is_open: false }
}

fn of_segment(segment: Segment) -> Trail {
    let Segment { id, key, records, root, checkpoints, .. } = segment;
    let head = Head { key, records, root, checkpoints };
    Trail { segment: Some(id), head, after: 0, covered: Covered::default(), is_open: false }
}

impl Export {
    /// The next piece, some megabytes at most; nothing after the last one.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        loop {
            let Some(writer) = &mut self.writer else { return Ok(None) };
            let is_done = match self.left.front_mut() {
                None => return Ok(self.writer.take().map(Writer::end)),
                Some(Next::Rows { section, after, last }) => {
                    if after.is_none() {
                        writer.section(section.name, None);
                    }
                    let (section, last, of) = (*section, *last, self.tenant.clone());
                    let from = after.take();
                    let rows = self
                        .store
                        .read(move |db| rows(db, section, from.as_deref(), last, of.as_deref()))
                        .await?;
                    rows.iter().for_each(|row| writer.record(&section.line(row)));
                    let is_done = rows.len() < section.page as usize;
                    *after = rows.into_iter().next_back();
                    is_done
                }
                Some(Next::Trail(trail)) => {
                    let (segment, after, last) =
                        (trail.segment, trail.after, trail.head.records.cast_signed());
                    let kept = self.store.read(move |db| page(db, segment, after, last)).await?;
                    trail.write(writer, &kept, self.tenant.as_deref())
                }
            };
            if is_done {
                self.left.pop_front();
            }
            let text = writer.take();
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }
}

impl Trail {
    /// Writes a page; answers whether it was the last.
    fn write(&mut self, writer: &mut Writer, kept: &[Kept], tenant: Option<&str>) -> bool {
        if !std::mem::replace(&mut self.is_open, true) {
            writer.section(AUDIT, Some(&value::to_value(&self.head).unwrap_or_default()));
        }
        for Kept { place, tenant: of, height, leaf, document } in kept {
            let shown = document.as_deref().filter(|_| tenant.is_none_or(|tenant| tenant == of));
            match shown {
                Some(document) => {
                    self.uncover(writer);
                    writer.record(document);
                }
                None => {
                    let hash = leaf.as_slice().try_into().unwrap_or_default();
                    self.covered.push(place.cast_unsigned() - 1, *height, hash);
                }
            }
        }
        if let Some(last) = kept.last() {
            self.after = last.place;
            return false;
        }
        self.uncover(writer);
        true
    }

    /// Writes what stands for the records that were not shown.
    fn uncover(&mut self, writer: &mut Writer) {
        for (index, height, root) in self.covered.take() {
            let part = Part { height, root: hex(&root), seq: index + 1 };
            writer.record(&json!(part).to_string());
        }
    }
}

/// Rows of a section after one, in the order of their numbers or their keys.
fn rows(
    db: &mut Db,
    section: &Section,
    after: Option<&[Value]>,
    last: Option<i64>,
    tenant: Option<&str>,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let order: Vec<&str> = section.number.map_or(section.key.to_vec(), |number| vec![number]);
    let mut filter = Filter::default();
    if let Some(row) = after {
        let of = |name: &str| section.columns.iter().position(|column| column.name == name);
        let values = order.iter().filter_map(|name| row.get(of(name)?)).map(|value| match value {
            Value::Whole(number) => filter.value(*number),
            Value::Text(text) => filter.value(text.clone()),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        filter.word(&format!("({}) > ({values})", order.join(", ")));
    }
    if let (Some(number), Some(last)) = (section.number, last) {
        filter.and(&format!("{number} <= ?"), last);
    }
    match (&section.owner, tenant) {
        (_, None) | (Owner::Hub, _) => {}
        (Owner::Tenant, Some(tenant)) => filter.and("tenant = ?", tenant),
        (Owner::Row { column, section: of }, Some(tenant)) => {
            let number = of.number.unwrap_or_default();
            filter.and(&format!("{column} IN (SELECT {number} FROM {} WHERE tenant = ?)", of.name), tenant);
        }
    }
    let sql = format!("SELECT {} FROM {}", section.names(), section.name);
    let order = format!("ORDER BY {} LIMIT {}", order.join(", "), section.page);
    filter.query(db, &sql, &order, |row| {
        section.columns.iter().enumerate().map(|(at, column)| column.kind.read(row, at)).collect()
    })
}
