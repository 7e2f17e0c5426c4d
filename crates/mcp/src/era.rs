//! The two protocol eras and their revisions, as dates compared as values and never as texts.

/// Which of the two shapes of the protocol a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// A handshake, then a session: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Every request stands alone: 2026-07-28.
    Modern,
}

/// A revision of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// First.
    V2024_11_05,
    /// Streamable HTTP; batches.
    V2025_03_26,
    /// Structured content; no batches.
    V2025_06_18,
    /// Last with a handshake.
    V2025_11_25,
    /// Without sessions.
    V2026_07_28,
}

impl Revision {
    /// Newest first.
    pub const ALL: [Revision; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];
    /// What a handshake settles on where the client asks for something else.
    pub const LATEST_LEGACY: Revision = Self::V2025_11_25;
    /// The modern revision.
    pub const MODERN: Revision = Self::V2026_07_28;

    /// As on the wire.
    pub const fn text(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// From the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.text() == text)
    }

    /// Its era.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

/// Prefix of the protocol's own keys in `_meta`. They speak of one hop and are never carried to the next.
pub const META_PREFIX: &str = "io.modelcontextprotocol/";
