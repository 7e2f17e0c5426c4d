//! Cursors of lists: the last key that was sent, sealed with the endpoint and the list it belongs to, so
//! that a cursor works nowhere else and nobody can make one up.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::offer::ListKind;

/// Bytes of the seal; 128 bits, as for any authentication code that can be tried online only.
const SEAL: usize = 16;

/// Seals and opens cursors.
pub struct Seal {
    key: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// With a secret key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The cursor after a key.
    pub fn seal(&self, endpoint: &str, kind: ListKind, key: &str) -> String {
        let mut text = self.code(endpoint, kind, key).to_vec();
        text.extend_from_slice(key.as_bytes());
        URL_SAFE_NO_PAD.encode(text)
    }

    /// The key in a cursor; nothing where it was not made here for this list.
    pub fn open(&self, endpoint: &str, kind: ListKind, cursor: &str) -> Option<String> {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (code, key) = text.split_at_checked(SEAL)?;
        let key = std::str::from_utf8(key).ok()?;
        let expected = self.code(endpoint, kind, key);
        // Every byte is compared, whatever the first ones say.
        let same = code.iter().zip(expected).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0;
        same.then(|| key.to_owned())
    }

    /// HMAC-SHA-256 (RFC 2104), shortened. The parts are told apart by a byte that no name holds.
    fn code(&self, endpoint: &str, kind: ListKind, key: &str) -> [u8; SEAL] {
        let pad = |with: u8| {
            let mut block = [with; 64];
            block.iter_mut().zip(self.key).for_each(|(b, k)| *b ^= k);
            block
        };
        let mut inner = Sha256::new();
        inner.update(pad(0x36));
        for part in [endpoint, kind.member(), key] {
            inner.update(part.as_bytes());
            inner.update([0xff]);
        }
        let mut outer = Sha256::new();
        outer.update(pad(0x5c));
        outer.update(inner.finalize());
        let mut code = [0; SEAL];
        code.copy_from_slice(&outer.finalize()[..SEAL]);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_works_where_it_was_made_and_nowhere_else() {
        let seal = Seal::new([7; 32]);
        let cursor = seal.seal("default", ListKind::Tools, "b__echo");
        assert_eq!(seal.open("default", ListKind::Tools, &cursor).as_deref(), Some("b__echo"));
        assert_eq!(seal.open("other", ListKind::Tools, &cursor), None);
        assert_eq!(seal.open("default", ListKind::Prompts, &cursor), None);
        assert_eq!(Seal::new([8; 32]).open("default", ListKind::Tools, &cursor), None);
        for bad in ["", "x", "????", &cursor[1..], &cursor[..cursor.len() - 2]] {
            assert_eq!(seal.open("default", ListKind::Tools, bad), None, "{bad}");
        }
    }
}
