//! The one error of all operations: what the caller may know, what only the operator may know, whose
//! fault it is and whether trying again can help (the origin idea is Pingora's).

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::code::Code;

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Who asked: mend the request.
    Caller,
    /// An MCP server: see its logs.
    Upstream,
    /// Puerto itself.
    Hub,
}

impl Origin {
    /// As in records and problem bodies.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Caller => "caller",
            Origin::Upstream => "upstream",
            Origin::Hub => "hub",
        }
    }
}

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not without a change.
    Never,
    /// Yes, at any time.
    Yes,
    /// Yes, not before this long from now.
    After(Duration),
}

/// An error of an operation. It knows no HTTP and no JSON-RPC: those renderings are made in exactly
/// two places, at the edges.
pub struct Error {
    code: Code,
    origin: Origin,
    retry: Retry,
    public: Cow<'static, str>,
    inside: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of the caller's making.
    pub fn caller(code: Code, public: impl Into<Cow<'static, str>>) -> Self {
        Self { code, origin: Origin::Caller, retry: Retry::Never, public: public.into(), inside: None }
    }

    /// An error of a server's making; worth another try unless said otherwise.
    pub fn upstream(code: Code, public: impl Into<Cow<'static, str>>) -> Self {
        Self { code, origin: Origin::Upstream, retry: Retry::Yes, public: public.into(), inside: None }
    }

    /// An error of our own making.
    pub fn hub(code: Code, public: impl Into<Cow<'static, str>>) -> Self {
        Self { code, origin: Origin::Hub, retry: Retry::Never, public: public.into(), inside: None }
    }

    /// Something is not there, or must look as if it were not.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::caller(Code::NotFound, format!("no {what} named {name:?}"))
    }

    /// The same error with another retry hint.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same error with a cause for the operator. It is logged, never sent.
    #[must_use]
    pub fn inside(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inside = Some(cause.into());
        self
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whose fault it is.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether to try again.
    pub fn retry_hint(&self) -> Retry {
        self.retry
    }

    /// The text for the caller.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The chain for the operator, joined by ": ".
    pub fn chain(&self) -> String {
        let mut text = self.public.to_string();
        let mut next: Option<&(dyn StdError + 'static)> = self.inside.as_deref().map(|e| e as _);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    /// Only the public text: an error that is shown by accident shows nothing from inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code.name(), self.origin.name(), self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inside.as_deref().map(|e| e as _)
    }
}
