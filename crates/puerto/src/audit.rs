//! Seals the audit trail: signs what stands for it from time to time, and appends that to a file of its own.

pub(crate) mod copies;
pub(crate) mod ocsf;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use puerto_core::def::TrailDef;
use puerto_core::{Code, Error, Result};
use puerto_store::Store;
use puerto_store::archive::Sealed;
use puerto_store::audit::checkpoint::{Checkpoint, Signer, Verifier, notes};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often it is looked whether there is something to seal.
const LOOK: Duration = Duration::from_secs(1);
/// Of the file of checkpoints so much is read to find the last one, which has some 250 bytes.
const END: u64 = 4 * 1024;
/// Of the file of checkpoints so much is read for an archive, which holds 10,000 of them.
const NEWEST: u64 = 3 * 1024 * 1024;
/// Checkpoints of a trail in memory, in bytes; beyond it they begin anew.
const KEPT_MAX: usize = 1024 * 1024;

/// The seal of a trail. Its key is one of the hub's own, in the store; the file should be copied to where nobody
/// who may write to the store may write.
pub(crate) struct Seal {
    store: Store,
    signer: Signer,
    /// Nothing for a trail in memory, whose checkpoints are there too.
    file: Option<PathBuf>,
    kept: Mutex<String>,
    every: (u64, Duration),
    /// When a checkpoint stood for the whole trail, as far as is known.
    whole: Mutex<Instant>,
    /// The newest checkpoint, for whoever sends it elsewhere; empty before the first.
    newest: watch::Sender<Arc<str>>,
}

impl Seal {
    /// With the key that the store keeps.
    pub(crate) async fn new(store: Store, def: &TrailDef) -> Result<Arc<Self>> {
        let beside = store.beside("checkpoints.txt");
        let file = beside.map(|beside| def.checkpoints.as_ref().map_or(beside, PathBuf::from));
        let seed = store.secret_get_or_create("audit").await?;
        let signer = Signer::new(&seed)
            .ok_or_else(|| Error::hub(Code::Internal, "the key that signs for the audit trail is none"))?;
        let every = (def.every_records.max(1), Duration::from_secs(def.every_seconds.max(1)));
        let whole = Mutex::new(Instant::now());
        let (newest, _) = watch::channel("".into());
        Ok(Arc::new(Self { store, signer, file, kept: Mutex::default(), every, whole, newest }))
    }

    /// The public side of the key.
    pub(crate) fn verifier(&self) -> Verifier {
        self.signer.verifier()
    }

    /// The newest checkpoint, and each that comes after it.
    fn newest(&self) -> watch::Receiver<Arc<str>> {
        self.newest.subscribe()
    }

    /// How long no checkpoint has stood for the whole trail.
    pub(crate) fn age(&self) -> Duration {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn note_whole(&self) {
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Every checkpoint so far.
    pub(crate) async fn checkpoints(&self) -> Result<String> {
        let Some(file) = self.file.clone() else { return Ok(self.kept().clone()) };
        match blocking(move || std::fs::read_to_string(file)).await {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// The trail as it is, signed for, with the newest checkpoints.
    pub(crate) async fn sealed(&self) -> Result<Sealed> {
        let note = self.now().await?;
        let own = |e| Error::hub(Code::Internal, "a checkpoint of ours is none").inside(e);
        let Checkpoint { size, root, .. } = self.verifier().open(&note).map_err(own)?;
        let checkpoints = match self.file.clone() {
            None => self.kept().clone(),
            Some(file) => {
                let read = blocking(move || end_of(&mut File::open(file)?, NEWEST)).await;
                read.map_err(|error| self.unreadable(&error))?
            }
        };
        Ok(Sealed { key: self.verifier(), checkpoints, size, root })
    }

    fn kept(&self) -> MutexGuard<'_, String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a checkpoint of the trail as it is, unless the last one says the same. Answers it.
    pub(crate) async fn now(&self) -> Result<String> {
        let note = self.sign().await?;
        self.newest.send_if_modified(|newest| {
            let is_new = **newest != *note;
            if is_new {
                *newest = note.as_str().into();
            }
            is_new
        });
        Ok(note)
    }

    async fn sign(&self) -> Result<String> {
        let Some(path) = self.file.clone() else {
            let (size, root) = self.store.audit_head().await?;
            let mut kept = self.kept();
            let (note, is_new) = self.after(&kept, size, root);
            if is_new {
                if kept.len() > KEPT_MAX {
                    kept.clear();
                }
                kept.push_str(&note);
            }
            return Ok(note);
        };
        // Held until the end: another hub on this file must not write an older state behind ours.
        let locked = blocking(move || locked(&path)).await;
        let (file, end) = locked.map_err(|error| self.unreadable(&error))?;
        let (size, root) = self.store.audit_head().await?;
        let (note, is_new) = self.after(&end, size, root);
        if is_new {
            // What a power cut left of the last one must not run into this one.
            let text = if end.is_empty() || end.ends_with('\n') { note.clone() } else { format!("\n{note}") };
            let appended = blocking(move || append(file, text.as_bytes())).await;
            appended.map_err(|error| self.unreadable(&error))?;
        }
        Ok(note)
    }

    /// The checkpoint that comes after others: the last of them, where it says the same, or a new one.
    fn after(&self, before: &str, size: u64, root: [u8; 32]) -> (String, bool) {
        if let Some(last) = notes(before).last()
            && self.verifier().open(last).is_ok_and(|last| (last.size, last.root) == (size, root))
        {
            return (last.to_owned(), false);
        }
        let time = format!("{:.3}", Timestamp::now());
        (self.signer.sign(&Checkpoint { size, root, time }), true)
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        let path = self.file.as_deref().unwrap_or(Path::new(""));
        let text = "the file of the audit trail's checkpoints cannot be used; see audit.checkpoints";
        Error::hub(Code::Unavailable, text)
            .inside(std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Seals from time to time, for as long as it is polled.
    pub(crate) async fn keep(self: Arc<Self>) {
        let (mut sealed, mut at) = (0, Instant::now());
        let mut is_failing = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok((size, _)) = self.store.audit_head().await else { continue };
            let (records, time) = self.every;
            if size <= sealed {
                self.note_whole();
                continue;
            }
            if size - sealed < records && at.elapsed() < time {
                continue;
            }
            match self.now().await {
                Ok(_) => {
                    self.note_whole();
                    (sealed, at, is_failing) = (size, Instant::now(), false);
                }
                Err(error) if !std::mem::replace(&mut is_failing, true) => {
                    tracing::error!("the audit trail could not be sealed: {}", error.chain());
                }
                Err(_) => {}
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).flatten()
}

/// Opens a file for appending, which only we may read, and waits for whoever else appends to it. Answers its end too.
fn locked(path: &Path) -> std::io::Result<(File, String)> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
    file.lock()?;
    let end = end_of(&mut file, END)?;
    Ok((file, end))
}

/// The last bytes of a file, which may begin in the middle of a checkpoint.
fn end_of(file: &mut File, bytes: u64) -> std::io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

fn append(mut file: File, text: &[u8]) -> std::io::Result<()> {
    file.write_all(text)?;
    file.sync_data()
}
