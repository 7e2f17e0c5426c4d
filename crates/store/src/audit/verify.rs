//! Looks whether an audit trail is as it was written: every record gives its hash, the numbers have no gap, and the hashes
//! give every root that was signed. What is wrong is named.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;
use serde_json::Value;

use super::checkpoint::{Checkpoint, Unsigned, Verifier, notes};
use super::tree::{self, Edge, Hash};

/// Faults that are told; where there are more, the trail is not worth reading further.
const FAULTS_MAX: usize = 100;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `changed`, `missing`, `moved`, `inserted`, `truncated`, `checkpoint` or `damaged`.
    pub kind: &'static str,
    /// The number of the record, or of the first one concerned; of a checkpoint, its size.
    pub seq: u64,
    /// What was found.
    pub what: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Records that were read.
    pub size: u64,
    /// The root of the tree over them, in hex.
    pub root: String,
    /// Checkpoints that they were compared with.
    pub checkpoints: usize,
    /// Of the last records so many are newer than every checkpoint: nothing stands for them yet.
    pub unsealed: u64,
    /// What is wrong; nothing where all is well.
    pub faults: Vec<Fault>,
}

/// Reads records one after the other.
pub struct Verification {
    edge: Edge,
    /// The hashes of the last records, which are not in the tree yet: many are taken in sooner than each.
    waiting: Vec<Hash>,
    /// The next size that was signed.
    due: Option<u64>,
    /// The number that comes next.
    next: u64,
    /// Signed roots by their sizes.
    signed: BTreeMap<u64, Vec<Checkpoint>>,
    compared: usize,
    /// The size of the last checkpoint that held.
    sound: u64,
    /// The largest size that was signed.
    largest: u64,
    faults: Vec<Fault>,
    /// The records that were changed last: which fault tells of them, the first one and the last one.
    changed: Option<(usize, u64, u64)>,
    /// The greatest number so far.
    reached: u64,
    /// After a gap the tree is another one, and no root says anything.
    is_broken: bool,
    /// Whether records have their places as numbers; those of a trail that nobody has signed need not.
    is_numbered: bool,
}

impl Verification {
    /// Begins, with the file of checkpoints and the key that must have signed them.
    pub fn new(checkpoints: &str, key: &Verifier) -> Self {
        let mut this = Self { is_numbered: true, ..Self::unsigned() };
        if !checkpoints.trim().is_empty() && notes(checkpoints).next().is_none() {
            this.fault("checkpoint", 0, "the file of checkpoints holds none".into());
        }
        let mut before: Option<Checkpoint> = None;
        for (n, note) in notes(checkpoints).enumerate() {
            match key.open(note) {
                Ok(checkpoint) => {
                    if before.as_ref().is_some_and(|before| before.size > checkpoint.size) {
                        let text = format!(
                            "checkpoint {} says {} records, fewer than the one before it",
                            n + 1,
                            checkpoint.size
                        );
                        this.fault("checkpoint", checkpoint.size, text);
                    }
                    this.largest = this.largest.max(checkpoint.size);
                    this.signed.entry(checkpoint.size).or_default().push(checkpoint.clone());
                    before = Some(checkpoint);
                }
                // A power cut may leave half of the last one.
                Err(Unsigned::Shape) if !note.ends_with('\n') => {}
                Err(error) => this.fault("checkpoint", 0, format!("checkpoint {} is none: {error}", n + 1)),
            }
        }
        this.due = this.due_after(0);
        this
    }

    /// Begins with a trail that nobody has signed: only its root is known.
    pub(crate) fn unsigned() -> Self {
        Self {
            edge: Edge::default(),
            waiting: Vec::new(),
            due: None,
            next: 1,
            signed: BTreeMap::new(),
            compared: 0,
            sound: 0,
            largest: 0,
            faults: Vec::new(),
            changed: None,
            reached: 0,
            is_broken: false,
            is_numbered: false,
        }
    }

    /// The first fault that was found so far.
    pub(crate) fn first_fault(&self) -> Option<&Fault> {
        self.faults.first()
    }

    fn fault(&mut self, kind: &'static str, seq: u64, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { kind, seq, what });
        }
    }

    /// Takes in the next record: the number that it is kept under, the number that it says it has, the hash of its text, and
    /// whether that is the one that is kept with it, where there is one.
    pub fn take(&mut self, seq: u64, own: Option<u64>, hash: Hash, is_kept: bool) {
        self.arrive(seq, 1);
        match own {
            Some(own) if own != seq && self.is_numbered => {
                self.fault("moved", seq, format!("record {own} stands where record {seq} should be"));
            }
            Some(_) => {}
            None if !self.is_numbered => {}
            None => self.fault("damaged", seq, format!("record {seq} is not written as one")),
        }
        if !is_kept {
            self.tell_changed(seq);
        }
        self.waiting.push(hash);
        let size = self.edge.size() + self.waiting.len() as u64;
        if self.due == Some(size) || self.waiting.len() >= tree::AT_ONCE {
            self.settle();
        }
    }

    /// Tells that a record was changed; of those that follow each other with one fault.
    fn tell_changed(&mut self, seq: u64) {
        let run = self.changed.filter(|(_, _, last)| last.checked_add(1) == Some(seq));
        let (at, first) = run.map_or((self.faults.len(), seq), |(at, first, _)| (at, first));
        self.changed = Some((at, first, seq));
        if first == seq {
            let what = format!("record {seq} was changed: its text does not give its hash");
            self.fault("changed", seq, what);
        } else if let Some(fault) = self.faults.get_mut(at) {
            fault.what =
                format!("records {first} to {seq} were changed: their texts do not give their hashes");
        }
    }

    /// Takes into the tree what waits.
    fn settle(&mut self) {
        if !self.waiting.is_empty() {
            self.edge.extend(std::mem::take(&mut self.waiting));
            self.compare();
        }
    }

    /// The next signed size behind another.
    fn due_after(&self, size: u64) -> Option<u64> {
        self.signed.range((Bound::Excluded(size), Bound::Unbounded)).next().map(|(size, _)| *size)
    }

    /// Takes in records that are not shown, by the root of the part of the tree that they fill; `false` where no part of that
    /// height can begin here.
    pub(crate) fn take_part(&mut self, height: u32, root: Hash) -> bool {
        self.settle();
        let fits = self.edge.push_part(height, root);
        if fits {
            self.next = self.edge.size() + 1;
            self.reached = self.reached.max(self.edge.size());
            self.compare();
        }
        fits
    }

    /// The same, with the number of the first of them.
    pub(crate) fn take_hidden(&mut self, seq: u64, height: u32, root: Hash) {
        self.arrive(seq, 1_u64.checked_shl(height).unwrap_or(0));
        if !self.is_broken && !self.take_part(height, root) {
            self.fault("damaged", seq, format!("the part of the tree that begins with record {seq} is none"));
            self.is_broken = true;
        }
    }

    /// Compares the number of what comes with the one that is expected.
    fn arrive(&mut self, seq: u64, count: u64) {
        let expected = std::mem::replace(&mut self.next, seq.saturating_add(count));
        self.reached = self.reached.max(self.next.saturating_sub(1));
        if seq > expected {
            let what = match seq - expected {
                1 => format!("record {expected} is missing"),
                _ => format!("records {expected} to {} are missing", seq - 1),
            };
            self.fault("missing", expected, what);
        } else if seq < expected {
            self.fault("moved", seq, format!("record {seq} stands after record {}", expected - 1));
        }
        self.is_broken |= seq != expected;
    }

    /// Compares the tree so far with what was signed at this size.
    fn compare(&mut self) {
        self.due = self.due_after(self.edge.size());
        let Some(signed) = self.signed.remove(&self.edge.size()) else { return };
        if self.is_broken {
            return;
        }
        let (size, root) = (self.edge.size(), self.edge.root());
        self.compared += signed.len();
        match signed.iter().find(|checkpoint| checkpoint.root != root) {
            None => self.sound = size,
            Some(checkpoint) => {
                let what = format!(
                    "records {} to {size} are not those that the checkpoint of {} stands for",
                    self.sound + 1,
                    checkpoint.time
                );
                self.fault("changed", self.sound + 1, what);
                self.is_broken = true;
            }
        }
    }

    /// Ends, where nothing was kept but how many records there should be.
    pub fn end_of_export(mut self, records: u64) -> Verdict {
        self.settle();
        let (size, root) = (self.edge.size(), self.edge.root());
        // Of another size no root is known, and none is compared.
        self.end(Some((records, if records == size { root } else { Hash::default() })))
    }

    /// Ends, with what was kept of the trail's end; nothing where that is damaged.
    pub fn end(mut self, head: Option<(u64, Hash)>) -> Verdict {
        self.settle();
        let size = self.edge.size();
        // Records that are missing before the last one do not cut it off.
        let last = self.reached;
        if let Some((&signed, _)) = self.signed.range(last.saturating_add(1)..).next_back() {
            let what = format!("the trail ends with record {last}, but {signed} were signed for");
            self.fault("truncated", last + 1, what);
        }
        match head {
            Some((told, _)) if told > last && self.largest <= last => {
                let what = format!("the trail ends with record {last}, but {told} were written");
                self.fault("truncated", last + 1, what);
            }
            Some((told, _)) if told < last => {
                let what = format!("the trail goes to record {last}, but {told} were written");
                self.fault("inserted", told + 1, what);
            }
            Some((told, root)) if told == size && root != self.edge.root() && self.faults.is_empty() => {
                let what = format!(
                    "records {} to {size} do not give the root that was kept with them",
                    self.sound + 1
                );
                self.fault("changed", self.sound + 1, what);
            }
            Some(_) => {}
            None => {
                let what =
                    "what was kept of the trail's end is damaged, so that nothing more can be recorded";
                self.fault("damaged", size + 1, what.into());
            }
        }
        Verdict {
            size,
            root: hex(&self.edge.root()),
            checkpoints: self.compared,
            unsealed: size.saturating_sub(self.largest),
            faults: self.faults,
        }
    }
}

/// The number that a record says it has. It is looked for as text first: reading a whole record takes longer than
/// its hash.
pub fn number(text: &str) -> Option<u64> {
    // From the end: details may hold a member of the same name, and stand before it; what comes after it holds none. By
    // one rare letter, since a search for all of it takes as long as the rest of a verification of the record.
    let is_it = |at: &usize| text[..*at].ends_with(",\"se") && text[at + 1..].starts_with("\":");
    let quick = text.rmatch_indices('q').map(|(at, _)| at).find(is_it).map(|at| &text[at + 3..]);
    let digits = quick.and_then(|rest| rest.split_once(|c: char| !c.is_ascii_digit()));
    let found = digits.and_then(|(digits, _)| digits.parse().ok());
    found.or_else(|| serde_json::from_str::<Value>(text).ok()?["seq"].as_u64())
}

/// Whether a proof shows that its record is in the trail that its checkpoint stands for.
///
/// # Errors
/// What is wrong with it, in words.
pub fn proof(proof: &Value, key: &Verifier) -> Result<Checkpoint, String> {
    let text = |name: &str| proof[name].as_str().ok_or(format!("the proof has no member {name:?}"));
    let checkpoint =
        key.open(text("checkpoint")?).map_err(|error| format!("the checkpoint is none: {error}"))?;
    let record = text("record")?;
    let seq = number(record).ok_or("the record has no number")?;
    let path: Option<Vec<Hash>> =
        proof["path"].as_array().and_then(|path| path.iter().map(|hash| unhex(hash.as_str()?)).collect());
    let path = path.ok_or("the proof has no member \"path\", or it holds no hashes")?;
    let leaf = tree::leaf(record.as_bytes());
    match tree::is_included(leaf, seq.wrapping_sub(1), checkpoint.size, &path, &checkpoint.root) {
        true => Ok(checkpoint),
        false => {
            Err(format!("record {seq} is not in the trail that the checkpoint stands for, or was changed"))
        }
    }
}

/// The last whole note of a file of checkpoints.
pub fn last_note(checkpoints: &str) -> Option<&str> {
    notes(checkpoints).filter(|note| note.ends_with('\n')).last()
}

/// Hashes in hex, as proofs hold them.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash that was written in hex.
pub fn unhex(text: &str) -> Option<Hash> {
    let text = Some(text).filter(|text| text.len() == 64 && text.is_ascii())?;
    let bytes: Option<Vec<u8>> =
        (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect();
    bytes?.try_into().ok()
}
