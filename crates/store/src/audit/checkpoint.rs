//! Signed statements of how the audit trail was at a moment: its size and its root. Kept where the trail is not, they show
//! what was changed or cut off later. The text is that of transparency logs (C2SP tlog-checkpoint, signed-note), signed
//! by Ed25519.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::tree::Hash;

/// Names the trail, and the key that signs for it.
pub const ORIGIN: &str = "puerto/audit";
/// The kind of key in a signature's hint (signed-note: Ed25519).
const ED25519_KIND: u8 = 1;

/// The key that a hub signs with.
pub struct Signer(Ed25519KeyPair);

/// The public side of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verifier([u8; 32]);

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many records the trail had.
    pub size: u64,
    /// What stood for all of them.
    pub root: Hash,
    /// When it was signed: RFC 3339.
    pub time: String,
}

/// Why a text is no checkpoint of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It is not written as one.
    #[error("it is not written as a checkpoint")]
    Shape,
    /// It is signed by another key, or was changed.
    #[error("its signature is not of this key, or it was changed")]
    Signature,
}

impl Signer {
    /// The key of a seed; nothing where ring refuses it, which it does with no seed.
    pub fn new(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// Its public side.
    pub fn verifier(&self) -> Verifier {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        Verifier(key)
    }

    /// A checkpoint, signed.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let mut signature = self.verifier().hint().to_vec();
        signature.extend_from_slice(self.0.sign(text.as_bytes()).as_ref());
        format!("{text}\n— {ORIGIN} {}\n", STANDARD.encode(signature))
    }
}

impl Verifier {
    /// Reads what `Display` writes (signed-note, "verifier keys").
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (hint, key) = rest.split_once('+')?;
        let key = STANDARD.decode(key).ok()?;
        let (kind, key) = key.split_first()?;
        let found = Self(key.try_into().ok()?);
        (name == ORIGIN && *kind == ED25519_KIND && hint == hex(&found.hint())).then_some(found)
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// Where it is none, or not of this key.
    pub fn open(&self, note: &str) -> Result<Checkpoint, Unsigned> {
        let (text, signed) = note.split_once("\n\n").ok_or(Unsigned::Shape)?;
        let text = format!("{text}\n");
        let checkpoint = Checkpoint::parse(&text).ok_or(Unsigned::Shape)?;
        let line =
            signed.lines().find_map(|line| line.strip_prefix("— ")?.strip_prefix(ORIGIN)?.strip_prefix(' '));
        let signature = STANDARD.decode(line.ok_or(Unsigned::Shape)?).map_err(|_| Unsigned::Shape)?;
        let (hint, signature) = signature.split_at_checked(4).ok_or(Unsigned::Shape)?;
        let is_ours = UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), signature).is_ok();
        if hint == self.hint() && is_ours { Ok(checkpoint) } else { Err(Unsigned::Signature) }
    }

    /// What tells keys of one name apart.
    fn hint(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(ORIGIN)
            .chain_update([b'\n', ED25519_KIND])
            .chain_update(self.0)
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519_KIND], &self.0[..]].concat());
        write!(f, "{ORIGIN}+{}+{key}", hex(&self.hint()))
    }
}

impl Checkpoint {
    fn text(&self) -> String {
        format!("{ORIGIN}\n{}\n{}\ntime {}\n", self.size, STANDARD.encode(self.root), self.time)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        (lines.next()? == ORIGIN).then_some(())?;
        let size = lines.next()?.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let time = lines.next()?.strip_prefix("time ")?.to_owned();
        lines.next().is_none().then_some(Self { size, root, time })
    }
}

/// The notes of a file that holds one after the other.
pub fn notes(file: &str) -> impl Iterator<Item = &str> {
    let first = format!("{ORIGIN}\n");
    let starts = file.match_indices(&first).map(|(at, _)| at);
    let starts = starts.filter(|at| *at == 0 || file[..*at].ends_with('\n'));
    let starts: Vec<_> = starts.chain([file.len()]).collect();
    let pairs: Vec<_> = starts.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().map(|(from, to)| &file[from..to])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { size: 7, root: [9; 32], time: "2026-11-22T10:00:00Z".into() }
    }

    #[test]
    fn what_was_signed_opens_and_nothing_else_does() {
        let signer = Signer::new(&[1; 32]).unwrap();
        let note = signer.sign(&checkpoint());
        let verifier = Verifier::parse(&signer.verifier().to_string()).unwrap();
        assert_eq!(verifier.open(&note), Ok(checkpoint()));
        assert_eq!(verifier.open(&note.replace("\n7\n", "\n8\n")), Err(Unsigned::Signature));
        let other = Signer::new(&[2; 32]).unwrap();
        assert_eq!(other.verifier().open(&note), Err(Unsigned::Signature));
        assert_eq!(verifier.open("hello"), Err(Unsigned::Shape));
        assert_eq!(verifier.open(""), Err(Unsigned::Shape));
        assert_eq!(Verifier::parse("puerto/audit+00000000+AA=="), None);
    }

    #[test]
    fn a_file_holds_many() {
        let signer = Signer::new(&[1; 32]).unwrap();
        let file = signer.sign(&checkpoint()) + &signer.sign(&Checkpoint { size: 8, ..checkpoint() });
        let sizes: Vec<_> = notes(&file).map(|note| signer.verifier().open(note).unwrap().size).collect();
        assert_eq!(sizes, [7, 8]);
        assert_eq!(notes("").count(), 0);
    }
}
