//! Puerto's own data, in SQLite: records of calls, catalogs, keys. The only SQL of our data.
//!
//! One writer thread owns the writing connection and commits in groups; nobody else writes. Records
//! come from the data path and are never waited for. Every other change is answered after its commit
//! has reached the disk. Every reading names its `Scope`.

mod catalogs;
mod error;
mod keys;
mod open;
mod queue;
mod records;
mod store;
mod writer;

pub use catalogs::{CATALOG_BYTES_MAX, Catalog};
pub use error::StoreError;
pub use records::{Recent, RecordRow};
pub use store::{Scope, Store};

#[cfg(test)]
mod tests;
