//! Arguments and results as they were, where a tenant keeps them. They lie beside the tree and not in it, so that they can be
//! erased; and they are sealed under a key that is not in the database, so that neither it nor a copy of it tells them.
//!
//! Each text has a key of its own (HKDF-SHA256, RFC 5869), made of the hub's key and the salt of its record: once the salt is
//! erased, no copy of the sealed text can be opened with what is left.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use puerto_core::{Secret, Text, Texts};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use super::block;
use super::verify::hex;
use crate::db::Db;
use crate::error::StoreError;
use crate::store::Store;

/// Shortest key that is taken, in characters: as many as 128 bits have in hex.
const KEY_CHARS_MIN: usize = 32;
/// Longest key, in bytes: a file that is longer holds something else.
const KEY_BYTES_MAX: usize = 4 * 1024;
/// How sealed texts end: the version of their form.
const FORM: u8 = 1;
/// What a key is made for, so that the same texts would give other keys elsewhere.
const PURPOSE: &[u8] = b"puerto audit text 1";

/// Which text of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Arguments,
    Result,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Part::Arguments => "arguments",
            Part::Result => "result",
        }
    }
}

/// What texts are sealed with.
#[derive(Clone)]
struct Key(Prk);

impl Key {
    fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = text.chars().count() >= KEY_CHARS_MIN && text.len() <= KEY_BYTES_MAX;
        fits.then(|| Self(Salt::new(HKDF_SHA256, PURPOSE).extract(text.as_bytes())))
    }

    /// The key of one text. It seals nothing else, so its nonce may be the same for all.
    fn of_text(&self, salt: &[u8; 16], tenant: &str, part: Part) -> Option<LessSafeKey> {
        let info = [PURPOSE, part.name().as_bytes(), &salt[..], tenant.as_bytes()];
        let made = self.0.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(made)))
    }

    fn seal(&self, salt: &[u8; 16], tenant: &str, part: Part, text: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = text.to_vec();
        let key = self.of_text(salt, tenant, part)?;
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.seal_in_place_append_tag(nonce, Aad::from([FORM]), &mut sealed).ok()?;
        sealed.push(FORM);
        Some(sealed)
    }

    fn open(&self, salt: &[u8; 16], tenant: &str, part: Part, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        sealed.pop_if(|form| *form == FORM)?;
        let key = self.of_text(salt, tenant, part)?;
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let length = key.open_in_place(nonce, Aad::from([FORM]), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// Where the key is, and the key once it was needed.
#[derive(Default)]
pub(crate) struct Keyring {
    /// Beside the database, or nowhere for one in memory.
    file: Option<PathBuf>,
    key: Mutex<Option<Key>>,
    /// Whether it was told that there is no key, so that it is told once and not with every record.
    is_failing: AtomicBool,
}

impl Keyring {
    /// With the file that the key is in, or will be made in.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    fn give(&self, key: &Secret) -> Result<(), StoreError> {
        let key = Key::of(key.reveal()).ok_or_else(|| no_key("audit.texts_key"))?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(())
    }

    fn key(&self) -> Result<Key, StoreError> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*key {
            return Ok(key.clone());
        }
        let text = match &self.file {
            None => fresh()?,
            Some(file) => read_or_make(file)?,
        };
        let place = || self.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        let made = Key::of(&text).ok_or_else(|| no_key(&place()))?;
        *key = Some(made.clone());
        Ok(made)
    }

    /// Counts texts that could not be sealed.
    pub(super) fn note_lost(&self, texts: &Texts, error: &StoreError) {
        [&texts.arguments, &texts.result].into_iter().flatten().for_each(Text::count_lost);
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "arguments and results cannot be kept; the records of them are");
        }
    }

    /// Seals the texts of a record.
    pub(super) fn seal(&self, texts: &Texts, salt: &[u8; 16], tenant: &str) -> Result<Sealed, StoreError> {
        let key = self.key()?;
        let seal = |part, text: &Option<Text>| {
            let text = text.as_ref()?.reveal();
            key.seal(salt, tenant, part, text)
        };
        let arguments = seal(Part::Arguments, &texts.arguments);
        let result = seal(Part::Result, &texts.result);
        self.is_failing.store(false, Ordering::Relaxed);
        Ok(Sealed { arguments, result })
    }
}

fn no_key(place: &str) -> StoreError {
    StoreError::Key {
        place: place.into(),
        why: format!("it must have at least {KEY_CHARS_MIN} characters (`openssl rand -hex 32` makes some)"),
    }
}

fn fresh() -> Result<String, StoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random { why: error.to_string() })?;
    Ok(hex(&bytes))
}

/// The key in a file. Where there is none one is made, whole or not at all, and by one process only.
fn read_or_make(file: &Path) -> Result<String, StoreError> {
    let failed = |error: std::io::Error| StoreError::Key {
        place: file.display().to_string().into(),
        why: format!("{error}; give this user the file, or name a key in audit.texts_key"),
    };
    let read = || {
        let mut text = String::new();
        File::open(file)?.take(KEY_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(file, &fresh()?).map_err(failed)?;
            read().map_err(failed)
        }
        other => other.map_err(failed),
    }
}

fn make(file: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let draft = file.with_extension(format!("key.{}", std::process::id()));
    let mut to = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    to.write_all(text.as_bytes())?;
    to.sync_all()?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match linked {
        // Another process was faster: its key counts.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Texts of a record as they are kept.
#[derive(Debug)]
pub(super) struct Sealed {
    arguments: Option<Vec<u8>>,
    result: Option<Vec<u8>>,
}

impl Sealed {
    /// Keeps them beside their record.
    pub(super) fn keep(&self, db: &mut Db, seq: i64, tenant: &str, at_us: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_texts (seq, tenant, at, arguments, result) VALUES (?1, ?2, ?3, ?4, ?5)";
        db.execute(sql, &[&seq, &tenant, &at_us, &self.arguments, &self.result]).map(drop)
    }
}

/// What a record's operation was given and what it gave.
#[derive(Debug, Default)]
pub struct Opened {
    /// What made its digests; nothing where there are none, or where it was erased.
    pub salt: Option<[u8; 16]>,
    /// Its arguments, where they are kept.
    pub arguments: Option<Vec<u8>>,
    /// Its result.
    pub result: Option<Vec<u8>>,
}

impl Store {
    /// Takes the key that texts are sealed with from the configuration, in place of the one beside the database.
    ///
    /// # Errors
    /// Where it is too short.
    pub fn audit_texts_key(&self, key: &Secret) -> Result<(), StoreError> {
        self.keyring().give(key)
    }

    /// Looks whether texts can be sealed: finds or makes the key. Waits for the disk.
    ///
    /// # Errors
    /// Why the key cannot be read or made.
    pub fn audit_texts_ready(&self) -> Result<(), StoreError> {
        self.keyring().key().map(drop)
    }

    /// The texts that are kept of a record of a tenant, opened.
    ///
    /// # Errors
    /// Where they were sealed with another key.
    pub async fn audit_texts(&self, seq: i64, tenant: &str) -> Result<Opened, StoreError> {
        let store = self.clone();
        let tenant = tenant.to_owned();
        self.read(move |db| {
            let Some(salt) = block::salt(db, seq)? else { return Ok(Opened::default()) };
            let sql = "SELECT arguments, result FROM audit_texts WHERE seq = ?1 AND tenant = ?2";
            let kept = db.first(sql, &[&seq, &tenant], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let Some((arguments, result)) = kept else {
                return Ok(Opened { salt: Some(salt), ..Opened::default() });
            };
            let key = store.keyring().key()?;
            let open = |part, sealed: Option<Vec<u8>>| {
                let opened =
                    sealed.map(|sealed| key.open(&salt, &tenant, part, sealed).ok_or_else(|| other(seq)));
                opened.transpose()
            };
            let (arguments, result) = (open(Part::Arguments, arguments)?, open(Part::Result, result)?);
            Ok(Opened { salt: Some(salt), arguments, result })
        })
        .await
    }
}

fn other(seq: i64) -> StoreError {
    StoreError::Key {
        place: format!("the texts of record {seq}").into(),
        why: "they were sealed with another key than the one of now, or changed since; give the key that was in \
              audit.texts_key or beside the database then"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_with_all_that_it_was_sealed_with_and_with_nothing_else() {
        let key = Key::of(&"k".repeat(KEY_CHARS_MIN)).unwrap();
        let seal = || key.seal(&[1; 16], "a", Part::Arguments, b"{\"path\":\"x\"}").unwrap();
        assert!(!seal().windows(4).any(|bytes| bytes == b"path"));
        assert_eq!(key.open(&[1; 16], "a", Part::Arguments, seal()).unwrap(), b"{\"path\":\"x\"}");
        assert!(key.open(&[2; 16], "a", Part::Arguments, seal()).is_none());
        assert!(key.open(&[1; 16], "b", Part::Arguments, seal()).is_none());
        assert!(key.open(&[1; 16], "a", Part::Result, seal()).is_none());
        let other = Key::of(&"o".repeat(KEY_CHARS_MIN)).unwrap();
        assert!(other.open(&[1; 16], "a", Part::Arguments, seal()).is_none());
        for at in 0..seal().len() {
            let mut changed = seal();
            changed[at] ^= 1;
            assert!(key.open(&[1; 16], "a", Part::Arguments, changed).is_none(), "byte {at}");
        }
        assert!(Key::of("too short").is_none() && Key::of(&" ".repeat(64)).is_none());
    }
}
