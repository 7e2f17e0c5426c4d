//! Reads an archive without a store: whether its sums are right, and its audit trails whole.

use std::io;

use serde::Serialize;

use super::import::ImportError;
use super::lines::{Line, Reader};
use super::trail::{AUDIT, Ended, Head, Incoming};
use crate::audit::checkpoint::notes;

/// An archive that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Records of all sections.
    pub records: u64,
    /// Its audit trails; the first is that of the hub that has written it.
    pub trails: Vec<CheckedTrail>,
}

/// A whole audit trail of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedTrail {
    /// What it is called where it was imported: the beginning of its root.
    pub segment: String,
    /// The key that has signed it; nothing where nobody has.
    pub key: Option<String>,
    /// Records of its tree.
    pub records: u64,
    /// Its root, in hex.
    pub root: String,
    /// Checkpoints that it was compared with.
    pub checkpoints: usize,
}

/// Reads an archive by its lines.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check(lines: impl Iterator<Item = io::Result<String>>) -> Result<Checked, ImportError> {
    let mut reader = Reader::new();
    let (mut open, mut checked) = (None::<Incoming>, Checked { records: 0, trails: Vec::new() });
    for line in lines {
        let line = line.map_err(|error| reader.fault(error.to_string()))?;
        match reader.take(&line)? {
            Line::Header(_) => {}
            Line::Record(line) => {
                checked.records += 1;
                if let Some(trail) = &mut open {
                    trail.take(line, None).map_err(|why| reader.fault(why))?;
                }
            }
            Line::Section(name, head) => {
                let ended = open.take().map(Incoming::end).transpose().map_err(|why| reader.fault(why))?;
                checked.trails.extend(ended.map(CheckedTrail::from));
                if name == AUDIT {
                    let head = head.as_deref().map_or("null", |head| head.get());
                    let head: Head = serde_json::from_str(head)
                        .map_err(|error| reader.fault(format!("trail: {error}")))?;
                    open = Some(Incoming::new(head).map_err(|why| reader.fault(why))?);
                }
            }
            Line::Manifest => {
                let ended = open.take().map(Incoming::end).transpose().map_err(|why| reader.fault(why))?;
                checked.trails.extend(ended.map(CheckedTrail::from));
            }
        }
    }
    reader.end()?;
    Ok(checked)
}

impl From<Ended> for CheckedTrail {
    fn from(ended: Ended) -> Self {
        let (segment, head) = (ended.name(), ended.head);
        let checkpoints = notes(&head.checkpoints).count();
        Self { segment, key: head.key, records: head.records, root: head.root, checkpoints }
    }
}
