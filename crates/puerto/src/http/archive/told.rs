//! What `GET /context` shows, of everything and page by page: plain JSON that people and other programs read.

use puerto_core::Result;
use puerto_store::{AuditFilter, EventFilter, Noun, Scope, Store, TaskFilter};
use serde::Serialize;
use std::time::SystemTime;

use super::super::context::shown;
use super::super::tasks::TaskView;

/// Rows of one page.
const PAGE: u32 = 500;

/// A context that is being written.
pub(super) struct Telling {
    store: Store,
    scope: Scope,
    part: usize,
    /// Where the next page of the part begins; nothing at its beginning.
    before: Option<i64>,
    is_first: bool,
}

const PARTS: [&str; 5] = ["models", "agents", "tasks", "audit", "events"];

impl Telling {
    pub(super) fn new(store: Store, scope: Scope) -> Self {
        Self { store, scope, part: 0, before: None, is_first: true }
    }

    /// The next piece; nothing after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<String>> {
        let Some(part) = PARTS.get(self.part) else { return Ok(None) };
        let mut text = String::new();
        if self.before.is_none() {
            text.push_str(if self.part == 0 { "{\"" } else { ",\"" });
            text.push_str(part);
            text.push_str("\":[");
            self.is_first = true;
        }
        let before = std::mem::take(&mut self.before);
        let (rows, next) = self.rows(part, before).await?;
        for row in rows {
            if !std::mem::take(&mut self.is_first) {
                text.push(',');
            }
            text.push_str(&row);
        }
        self.before = next;
        if next.is_none() {
            self.part += 1;
            text.push_str(if self.part == PARTS.len() { "]}\n" } else { "]" });
        }
        Ok(Some(text))
    }

    /// A page of a part, and where the next one begins.
    async fn rows(&self, part: &str, before: Option<i64>) -> Result<(Vec<String>, Option<i64>)> {
        let (store, scope, limit) = (&self.store, &self.scope, PAGE);
        match part {
            "models" | "agents" => {
                let noun = if part == "models" { Noun::Model } else { Noun::Agent };
                let now = SystemTime::now();
                let all = store.registry_list(scope, noun).await?;
                Ok((all.iter().map(|one| written(&shown(noun, one, now))).collect(), None))
            }
            "tasks" => {
                let which = TaskFilter { before, limit, ..TaskFilter::default() };
                let rows = store.tasks_list(scope, which).await?;
                let texts = rows.iter().map(|row| written(&TaskView::of(row))).collect();
                Ok((texts, rows.last().map(|row| row.id)))
            }
            "audit" => {
                let which = AuditFilter { before, limit, ..AuditFilter::default() };
                let rows = store.audit_list(scope, which).await?;
                Ok((rows.iter().map(written).collect(), rows.last().map(|row| row.seq)))
            }
            _ => {
                let which = EventFilter { before, limit, ..EventFilter::default() };
                let rows = store.events_list(scope, which).await?;
                Ok((rows.iter().map(written).collect(), rows.last().map(|row| row.seq)))
            }
        }
    }
}

fn written(row: &impl Serialize) -> String {
    serde_json::to_string(row).unwrap_or_default()
}
