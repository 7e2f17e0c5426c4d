//! Everything that is kept, as one text that another store takes in: NDJSON, one section after the other, and a manifest
//! that counts them. What an archive holds is one list (`section.rs`); no secret and no key of ours is in it.
//!
//! ```text
//! {"puerto_archive":1,"version":"0.1.0","at_us":…}     what this is; "tenant" where it is only one's
//! {"section":"events"}                                 followed by its records, one a line
//! {"seq":1,"tenant":"default",…}
//! {"section":"audit","trail":{"key":…,"records":…,"root":…,"checkpoints":…}}
//! {"manifest":[{"section":"events","records":1,"sha256":…},…],"sha256":…}
//! ```
//!
//! The hash of a section is that of its records, each with its line break. The last one is that of all lines before the
//! manifest: `head -n -1 FILE | sha256sum` gives it too.

mod apply;
mod check;
mod export;
mod import;
mod lines;
mod section;
mod stage;
mod trail;

use serde::Serialize;

pub use check::{Checked, CheckedTrail, check};
pub use export::{Export, Sealed};
pub use import::{Import, ImportError};
pub use lines::{BEGINNING, Header, Writer};
pub use trail::{CHECKPOINTS_MAX, Segment, SegmentVerdict};

/// The version of the form. A part that is added is no new version: who does not know it refuses it by its name.
pub const FORMAT: u64 = 1;
/// Largest archive that is taken in, in bytes: ten years of a busy hub, and less than the disks of small machines.
pub const ARCHIVE_BYTES_MAX: u64 = 64 << 30;
/// Most lines of an archive: a hundred million events take half an hour.
pub const ARCHIVE_LINES_MAX: u64 = 100_000_000;
/// Longest line of an archive, in bytes: the largest remembered list, with each of its quotation marks escaped.
pub const ARCHIVE_LINE_MAX: usize = 2 * crate::CATALOG_BYTES_MAX + 64 * 1024;

/// What becomes of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It stays; only what is not there is added.
    #[default]
    Merge,
    /// It goes, and what the archive holds takes its place. The audit trail and tasks that run stay.
    Replace,
}

impl Mode {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Merge => "merge",
            Mode::Replace => "replace",
        }
    }
}

/// What an import does with one section, or with one trail of audit records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The section.
    pub section: &'static str,
    /// Of a trail: the segment that it is kept as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Records in the archive.
    pub records: u64,
    /// Those that were added.
    pub added: u64,
    /// Those that were there already.
    pub present: u64,
    /// What was deleted before.
    pub removed: u64,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `merge` or `replace`.
    pub mode: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Of one tenant alone, this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Each section, in the order of the archive.
    pub sections: Vec<Taken>,
}
