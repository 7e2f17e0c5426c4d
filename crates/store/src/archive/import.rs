//! Takes an archive in as it comes: every line is checked and staged, and nothing of it is seen before the last one was.

use std::collections::BTreeMap;
use std::fmt;

use puerto_core::{Code, Error, Retry};
use tokio::sync::OwnedSemaphorePermit;

use super::lines::{Fault, Header, Line, MANIFEST, Reader};
use super::section::{SECTIONS, Section, Value};
use super::trail::{AUDIT, Ended, Head, Incoming, Leaf};
use super::{ARCHIVE_BYTES_MAX, ARCHIVE_LINE_MAX, Mode, Report, apply, stage, trail};
use crate::error::StoreError;
use crate::store::Store;

/// Rows that are staged by one change: a few milliseconds of the writer.
const STAGE_ROWS: usize = 512;
/// Bytes of lines that are staged by one change.
const STAGE_BYTES: usize = 4 * 1024 * 1024;

/// Why an archive was not taken in. Nothing of it stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is not as it should be.
    #[error("could not import the archive: {}: {why}; nothing was changed", Place(*line, section.as_deref()))]
    Refused {
        /// The line, from 1.
        line: u64,
        /// The section; nothing outside of one.
        section: Option<String>,
        /// What is wrong.
        why: String,
    },
    /// Another one is taken in now.
    #[error("another import is under way; try again when it is over")]
    Busy,
    /// The store cannot take it.
    #[error("could not import the archive: {0}; nothing was changed")]
    Store(#[from] StoreError),
}

/// A place in an archive, in words.
struct Place<'a>(u64, Option<&'a str>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(section) => write!(f, "section {section}, line {}", self.0),
            None => write!(f, "line {}", self.0),
        }
    }
}

impl From<Fault> for ImportError {
    fn from(Fault { line, section, why }: Fault) -> Self {
        Self::Refused { line, section, why }
    }
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Refused { .. } => Error::caller(Code::BadRequest, error.to_string()),
            ImportError::Busy => Error::hub(Code::Busy, error.to_string()).retry(Retry::Yes),
            // What the writer can do nothing about, such as a full disk, concerns whoever imports too.
            ImportError::Store(StoreError::Crowded { .. }) => {
                Error::caller(Code::BadRequest, error.to_string())
            }
            ImportError::Store(inner) => inner.into(),
        }
    }
}

/// What the store says of an archive. Staged tables are gone with the connection that had them.
fn failed(error: StoreError) -> ImportError {
    match error {
        StoreError::Sql { place, why } if why.contains("staged_") => {
            let why = "the connection was lost while the archive came".to_owned();
            StoreError::Unreachable { place, why }.into()
        }
        other => other.into(),
    }
}

/// An archive that is being taken in. Dropped before its end it leaves nothing.
pub struct Import {
    store: Store,
    mode: Mode,
    is_dry_run: bool,
    /// The tenant that the caller may import for alone.
    only: Option<String>,
    header: Option<Header>,
    reader: Reader,
    bytes: u64,
    /// The line that is not whole yet, and how far it was looked for its end.
    rest: Vec<u8>,
    looked: usize,
    open: Open,
    /// The line that it begins with.
    opened: u64,
    rows: Vec<Vec<Value>>,
    leaves: Vec<Leaf>,
    staged_bytes: usize,
    records: BTreeMap<&'static str, u64>,
    trails: Vec<Ended>,
    staging: Staging,
}

/// The section that is open.
enum Open {
    None,
    Rows(&'static Section),
    Trail(Box<Incoming>),
}

/// The place of the only import; what was staged goes with it.
struct Staging {
    store: Store,
    _permit: OwnedSemaphorePermit,
    is_begun: bool,
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.is_begun {
            // It goes ahead of whatever the next import asks of the writer.
            self.store.change_unheard(stage::end);
        }
    }
}

impl Store {
    /// Begins to take in an archive; one at a time. `only` is the one tenant that it may hold.
    ///
    /// # Errors
    /// `Busy`, where another one is under way.
    pub fn archive_import(
        &self,
        mode: Mode,
        is_dry_run: bool,
        only: Option<String>,
    ) -> Result<Import, ImportError> {
        let permit = self.importing().clone().try_acquire_owned().map_err(|_| ImportError::Busy)?;
        Ok(Import {
            store: self.clone(),
            mode,
            is_dry_run,
            only,
            header: None,
            reader: Reader::new(),
            bytes: 0,
            rest: Vec::new(),
            looked: 0,
            open: Open::None,
            opened: 0,
            rows: Vec::new(),
            leaves: Vec::new(),
            staged_bytes: 0,
            records: BTreeMap::new(),
            trails: Vec::new(),
            staging: Staging { store: self.clone(), _permit: permit, is_begun: false },
        })
    }
}

impl Import {
    /// Takes in the next piece, of any length.
    ///
    /// # Errors
    /// What is wrong with it, and where; nothing more may be handed over then.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        self.bytes += piece.len() as u64;
        if self.bytes > ARCHIVE_BYTES_MAX {
            return Err(self.reader.fault(format!("more than {ARCHIVE_BYTES_MAX} bytes")).into());
        }
        self.rest.extend_from_slice(piece);
        let mut from = 0;
        while let Some(length) = self.rest[from + self.looked..].iter().position(|byte| *byte == b'\n') {
            let end = from + self.looked + length;
            let mut line = self.rest[from..end].to_vec();
            self.looked = 0;
            from = end + 1;
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.line(&line).await?;
        }
        self.rest.drain(..from);
        self.looked = self.rest.len();
        if self.rest.len() > ARCHIVE_LINE_MAX {
            let why = format!("the line after this one has more than {ARCHIVE_LINE_MAX} bytes");
            return Err(self.reader.fault(why).into());
        }
        Ok(())
    }

    /// At the end of the archive: takes over what it holds, or only tells what that would do.
    ///
    /// # Errors
    /// Where the archive is cut off, or what it holds does not fit.
    pub async fn end(mut self) -> Result<Report, ImportError> {
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            // Some tools take the last line break away; of everything else it is the end that is missing.
            if self.reader.line() > 0 && !line.starts_with(MANIFEST.as_bytes()) {
                return Err(self
                    .reader
                    .fault("the archive ends in the middle of the next line: it was cut off")
                    .into());
            }
            self.line(&line).await?;
        }
        self.reader.end()?;
        let (mode, is_dry_run) = (self.mode, self.is_dry_run);
        let tenant = self.header.take().and_then(|header| header.tenant);
        let (records, trails, of) =
            (std::mem::take(&mut self.records), std::mem::take(&mut self.trails), tenant.clone());
        let (tell, told) = std::sync::mpsc::channel();
        let work = move |db: &mut crate::db::Db| {
            let mut taken = apply::sections(db, mode, of.as_deref(), &records)?;
            taken.extend(trail::apply(db, of.as_deref(), &trails)?);
            let _ = tell.send(taken);
            match is_dry_run {
                // A failure undoes it all, and that is what a dry run is.
                true => Err(StoreError::Closed),
                false => apply::note_numbers(db),
            }
        };
        let done = self.store.change(work).await;
        match told.try_recv() {
            Ok(sections) if is_dry_run || done.is_ok() => {
                if !is_dry_run {
                    self.store.events_imported().await;
                }
                Ok(Report { mode: mode.name(), dry_run: is_dry_run, tenant, sections })
            }
            _ => Err(failed(done.err().unwrap_or(StoreError::Closed))),
        }
    }

    /// What the archive says of itself, once its first line is there.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), ImportError> {
        let text = std::str::from_utf8(line);
        let text = text.map_err(|_| {
            let Fault { line, section, .. } = self.reader.fault("");
            ImportError::Refused { line: line + 1, section, why: "this line is no UTF-8".into() }
        })?;
        match self.reader.take(text)? {
            Line::Header(header) => self.begin(header).await,
            Line::Section(name, head) => {
                self.close().await?;
                let head = head.as_deref().map(serde_json::value::RawValue::get);
                self.open = self.opening(&name, head).map_err(|why| self.reader.fault(why))?;
                self.opened = self.reader.line();
                Ok(())
            }
            Line::Record(line) => self.record(line).await,
            Line::Manifest => {
                self.close().await?;
                self.look_for_orphans().await
            }
        }
    }

    async fn begin(&mut self, header: Header) -> Result<(), ImportError> {
        if let Some(only) = self.only.as_deref().filter(|only| header.tenant.as_deref() != Some(only)) {
            let of =
                header.tenant.as_deref().map_or("every tenant".to_owned(), |of| format!("tenant {of:?}"));
            let why = format!("the archive is of {of}, and only data of {only:?} may be imported here");
            return Err(self.reader.fault(why).into());
        }
        if let Some(Err(error)) = header.tenant.as_deref().map(puerto_core::TenantId::new) {
            return Err(self.reader.fault(format!("tenant: {error}")).into());
        }
        self.header = Some(header);
        self.staging.is_begun = true;
        self.store.change(stage::begin).await?;
        Ok(())
    }

    fn opening(&mut self, name: &str, head: Option<&str>) -> Result<Open, String> {
        if name == AUDIT {
            let head: Head =
                serde_json::from_str(head.ok_or("trail: is missing")?).map_err(|e| format!("trail: {e}"))?;
            return Ok(Open::Trail(Box::new(Incoming::new(head)?)));
        }
        let section = Section::named(name).ok_or_else(|| {
            let known = SECTIONS.iter().map(|section| section.name).collect::<Vec<_>>().join(", ");
            format!("this section is not known, only {known} and {AUDIT}; a later Puerto may know it")
        })?;
        match (head, self.records.insert(section.name, 0)) {
            (None, None) => Ok(Open::Rows(section)),
            (_, Some(_)) => Err("this section is there twice".into()),
            (Some(_), _) => Err("trail: only audit has one".into()),
        }
    }

    async fn record(&mut self, line: &str) -> Result<(), ImportError> {
        let of = self.header.as_ref().and_then(|header| header.tenant.as_deref());
        match &mut self.open {
            Open::None => return Err(self.reader.fault("a record stands outside of any section").into()),
            Open::Rows(section) => {
                let row = section.row(line, of).map_err(|why| self.reader.fault(why))?;
                self.rows.push(row);
                *self.records.entry(section.name).or_default() += 1;
            }
            Open::Trail(trail) => {
                let leaf = trail.take(line, of).map_err(|why| self.reader.fault(why))?;
                self.leaves.push(leaf);
            }
        }
        self.staged_bytes += line.len();
        if self.rows.len() + self.leaves.len() >= STAGE_ROWS || self.staged_bytes >= STAGE_BYTES {
            self.stage().await?;
        }
        Ok(())
    }

    /// Stages what was gathered.
    async fn stage(&mut self) -> Result<(), ImportError> {
        self.staged_bytes = 0;
        let (rows, leaves) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.leaves));
        match &self.open {
            Open::Rows(section) if !rows.is_empty() => {
                let (section, count) = (*section, rows.len() as u64);
                if let Some(at) =
                    self.store.change(move |db| stage::rows(db, section, &rows)).await.map_err(failed)?
                {
                    let done = self.records.get(section.name).copied().unwrap_or_default() - count;
                    let line = self.opened + done + at as u64 + 1;
                    let why = "the same stands in the archive before".to_owned();
                    return Err(ImportError::Refused { line, section: Some(section.name.to_owned()), why });
                }
            }
            Open::Trail(_) if !leaves.is_empty() => {
                let place = self.trails.len() as i64 + 1;
                self.store.change(move |db| trail::stage(db, place, &leaves)).await.map_err(failed)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the section that is open.
    async fn close(&mut self) -> Result<(), ImportError> {
        self.stage().await?;
        if let Open::Trail(trail) = std::mem::replace(&mut self.open, Open::None) {
            let ended = trail.end().map_err(|why| ImportError::Refused {
                line: self.opened,
                section: Some(AUDIT.to_owned()),
                why,
            })?;
            self.trails.push(ended);
        }
        Ok(())
    }

    async fn look_for_orphans(&mut self) -> Result<(), ImportError> {
        for section in SECTIONS.iter().filter(|section| self.records.contains_key(section.name)) {
            if let Some(number) =
                self.store.change(move |db| apply::orphan(db, section)).await.map_err(failed)?
            {
                let why = format!("a record belongs to number {number}, which the archive does not hold");
                let (line, section) = (self.reader.line(), Some(section.name.to_owned()));
                return Err(ImportError::Refused { line, section, why });
            }
        }
        Ok(())
    }
}
