//! Puerto's own data, in SQLite or Postgres: events, the audit trail, catalogs, keys. The only SQL of our data.
//!
//! One writer thread owns the writing connection and commits in groups; nobody else writes. Audit records of calls
//! come from the data path and are never waited for. Every other change is answered after its commit
//! has reached the disk. Every reading names its `Scope`.

pub mod archive;
pub mod audit;
mod backup;
mod catalogs;
mod checks;
mod clear;
mod db;
mod error;
mod events;
mod keys;
mod migrations;
mod open;
mod outbox;
mod queue;
mod registry;
mod retention;
mod schedules;
mod services;
mod store;
mod tasks;
mod writer;

pub use audit::{AuditFilter, AuditRow, Draft, Erased, Opened, Phase};
pub use backup::Backup;
pub use catalogs::{CATALOG_BYTES_MAX, Catalog};
pub use checks::{Grain, Sum};
pub use clear::Contents;
pub use error::StoreError;
pub use events::{Appended, EventFilter, EventRow, Kept, Key, PAGE_MAX};
pub use outbox::{
    NOTICE_BYTES_MAX, NOTICES_WAITING_MAX, NewNotice, NoticeCount, NoticeFilter, NoticeRow, NoticeState,
    SNAPSHOT_BYTES_MAX,
};
pub use registry::{Noun, REGISTRATIONS_MAX, Registered, Registration};
pub use schedules::Fired;
pub use services::{API_SERVICES_MAX, SERVICE_BYTES_MAX, Saved, StoredService};
pub use store::{Scope, Store};
pub use tasks::{Item, NewTask, QUEUED_MAX, Status, TaskEnd, TaskFilter, TaskRow};

#[cfg(test)]
mod tests;
