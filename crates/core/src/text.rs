//! Arguments and results on their way to the audit trail, where a tenant keeps them. They are large, and nobody on the data
//! path waits for the disk, so the memory that they may take together is bounded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Longest text that is kept, in bytes. Sealing one takes about a millisecond, and a row as large is no burden yet.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// What texts that wait to be kept may take together, in bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The memory that texts may take until they are kept. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct TextRoom(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    bytes: AtomicUsize,
    lost: AtomicU64,
}

impl TextRoom {
    /// Takes in a text of so many bytes, or counts it as lost where it is too long or too much waits.
    pub fn take(&self, bytes: usize, fill: impl FnOnce() -> Box<[u8]>) -> Option<Text> {
        let before = self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = Place { bytes, room: self.clone() };
        if bytes > TEXT_BYTES_MAX || before.saturating_add(bytes) > WAITING_BYTES_MAX {
            place.room.count_lost();
            return None;
        }
        Some(Text(Arc::new((fill(), place))))
    }

    fn count_lost(&self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Texts that were not kept since the start.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

/// Memory that is given back.
struct Place {
    bytes: usize,
    room: TextRoom,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A text that waits to be kept. A clone is another handle to the same.
#[derive(Clone)]
pub struct Text(Arc<(Box<[u8]>, Place)>);

impl Text {
    /// The text itself, for whoever seals it.
    pub fn reveal(&self) -> &[u8] {
        &self.0.0
    }

    /// Notes that it could not be kept.
    pub fn count_lost(&self) {
        self.0.1.room.count_lost();
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes, hidden)", self.0.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_memory_comes_back() {
        let room = TextRoom::default();
        let text = |bytes: usize| room.take(bytes, || vec![b'x'; bytes].into());
        assert!(text(TEXT_BYTES_MAX + 1).is_none() && room.lost() == 1);
        let held: Vec<_> = (0..64).map(|_| text(TEXT_BYTES_MAX).unwrap()).collect();
        assert!(text(1).is_none() && room.lost() == 2);
        let copy = held[0].clone();
        drop(held);
        assert_eq!(room.0.bytes.load(Ordering::Relaxed), TEXT_BYTES_MAX);
        assert_eq!(format!("{copy:?}"), "(1048576 bytes, hidden)");
        drop(copy);
        assert_eq!(room.0.bytes.load(Ordering::Relaxed), 0);
    }
}
