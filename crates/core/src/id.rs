//! Ids and names. A value of one of these types has passed its check, so nothing inside has to ask again.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::trace::hex;

/// Longest tenant id or server name, in bytes. Long enough for `platform-team-production`, short
/// enough that `server__tool` stays within the 64 characters most clients accept.
pub const NAME_LEN_MAX: usize = 64;

/// Why a name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{what} {given:?} is not valid: use 1 to {NAME_LEN_MAX} of a-z, A-Z, 0-9, {signs}, and start with a letter or a digit"
)]
pub struct InvalidName {
    what: &'static str,
    given: String,
    signs: &'static str,
}

/// A name's own signs beside letters and digits, in words, as bytes, and in a pattern.
type Signs = (&'static str, &'static [u8], &'static str);

const SIGNS: Signs = ("'-' and '_'", b"-_", "^[A-Za-z0-9][A-Za-z0-9_-]*$");
/// Services are often named after hosts.
const SIGNS_OF_HOSTS: Signs = ("'.', '-' and '_'", b".-_", "^[A-Za-z0-9][A-Za-z0-9._-]*$");

fn checked(what: &'static str, signs: Signs, given: &str) -> Result<Arc<str>, InvalidName> {
    let starts_well = given.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest_is_well = given.bytes().all(|b| b.is_ascii_alphanumeric() || signs.1.contains(&b));
    if starts_well && rest_is_well && given.len() <= NAME_LEN_MAX {
        Ok(given.into())
    } else {
        Err(InvalidName { what, given: given.chars().take(NAME_LEN_MAX + 1).collect(), signs: signs.0 })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $signs:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and makes one.
            pub fn new(given: &str) -> std::result::Result<Self, InvalidName> {
                checked($what, $signs, given).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared: a clone of it costs one counter.
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(given: String) -> std::result::Result<Self, InvalidName> {
                Self::new(&given)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(given: &str) -> std::result::Result<Self, InvalidName> {
                Self::new(given)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "minLength": 1, "maxLength": NAME_LEN_MAX, "pattern": $signs.2
                })
            }
        }
    };
}

name!(
    /// An organisation or project: own servers, quotas and environment; nothing crosses.
    TenantId,
    "tenant id",
    SIGNS
);
name!(
    /// An MCP server as named in the configuration, unique within its tenant.
    ServerName,
    "server name",
    SIGNS
);

name!(
    /// A named subset of what a tenant's servers offer.
    ProfileName,
    "profile name",
    SIGNS
);

name!(
    /// A watched service as named in the configuration, unique within its tenant.
    ServiceName,
    "service name",
    SIGNS_OF_HOSTS
);

impl Default for TenantId {
    /// The tenant of a caller that names none.
    fn default() -> Self {
        Self("default".into())
    }
}

/// The canonical name of a tool or prompt, `server.tool`: in REST, on the command line, in logs,
/// records and tasks. Names on the MCP wire are another matter (`puerto-mcp`, names).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolName {
    /// The server that owns the tool.
    pub server: ServerName,
    /// The tool's name as its server gives it.
    pub tool: Arc<str>,
}

impl ToolName {
    /// Splits `server.tool` at the first dot; a server name holds none, a tool name may.
    pub fn parse(given: &str) -> Option<Self> {
        let (server, tool) = given.split_once('.')?;
        (!tool.is_empty()).then_some(())?;
        Some(Self { server: ServerName::new(server).ok()?, tool: tool.into() })
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.server, self.tool)
    }
}

/// Names one operation in logs, records and error bodies. Unique within a process's life and, by a
/// random start, in practice across restarts. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// The next id.
    pub fn next() -> Self {
        /// The least id that a process begins with.
        const FIRST: u64 = 1 << 32;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        static START: OnceLock<u64> = OnceLock::new();
        // A counter from a random start: no lock and no system call on the data path.
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        if n >= FIRST {
            return Self(n);
        }
        // Nobody has begun yet: another process must not have the same ids, by which events are known.
        START.get_or_init(|| NEXT.fetch_add(fastrand::u64(FIRST..1 << 62), Ordering::Relaxed));
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The id as it is stored.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The id that was stored as this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl RequestId {
    /// Bytes of the longest one.
    pub const LEN_MAX: usize = 17;

    /// Appends it to a text. By hand, since every call has a log line and the formatter takes longer.
    pub fn append_to(self, out: &mut String) {
        out.push_str(self.text(&mut [0; Self::LEN_MAX]));
    }

    /// The same, written into room for it.
    pub fn text(self, room: &mut [u8; Self::LEN_MAX]) -> &str {
        let digits = (16 - self.0.leading_zeros() as usize / 4).max(1);
        room[0] = b'r';
        hex(&mut room[1..=digits], self.0);
        std::str::from_utf8(&room[..=digits]).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
