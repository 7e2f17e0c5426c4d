//! The MCP servers that Puerto brings along: `monitor`, `file` and `db`, and any HTTP API that an OpenAPI
//! document describes.
//!
//! Each implements [`Builtin`]: definitions once, calls by name. They know neither the hub nor the
//! wire, so the same code runs inside the hub and as a stand-alone sidecar.

mod call;
mod db;
mod file;
mod monitor;
pub mod openapi;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use puerto_core::def::{BuiltinName, OptionsDef};
use puerto_mcp::builtin::Builtin;

/// Why a built-in server could not be opened. The texts are for the operator: they name the option
/// at fault and how to mend it, never the value of `url`, which is a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option that belongs to another built-in server.
    #[error(
        "could not open the built-in server \"{server}\": the option \"{option}\" is not its own; {mend}"
    )]
    ForeignOption {
        /// The server being opened.
        server: &'static str,
        /// The option that it does not know.
        option: &'static str,
        /// What to write instead.
        mend: &'static str,
    },
    /// An option that the server cannot do without, or whose value makes no sense.
    #[error("could not open the built-in server \"{server}\": the option \"{option}\" {problem}")]
    Option {
        /// The server being opened.
        server: &'static str,
        /// The option at fault.
        option: &'static str,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// A root of the `file` server that is not a directory we can read.
    #[error(
        "could not open the root \"{given}\" of the file server ({}): {source}; create the directory or correct \"roots\"", path.display()
    )]
    Root {
        /// As written in the configuration.
        given: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database of the `db` server.
    #[error("could not open the database that \"url\" names: {0}")]
    Database(String),
    /// The system does not tell us about itself.
    #[error("could not open the monitor server: {0}")]
    System(String),
}

/// Opens a built-in server. Relative paths in the options start at `base`. It may read and, where
/// the options say so, create files, so a caller in an async context uses `spawn_blocking`.
pub fn open(name: BuiltinName, options: &OptionsDef, base: &Path) -> Result<Arc<dyn Builtin>, OpenError> {
    refuse_foreign(name, options)?;
    Ok(match name {
        BuiltinName::Monitor => Arc::new(monitor::Monitor::open()?),
        BuiltinName::File => Arc::new(file::Files::open(options, base)?),
        BuiltinName::Db => Arc::new(db::Db::open(options, base)?),
    })
}

/// Refuses an option of another server rather than ignoring it: it shows a mistake in the configuration.
fn refuse_foreign(name: BuiltinName, options: &OptionsDef) -> Result<(), OpenError> {
    use BuiltinName::{Db, File};
    let given = [
        (
            "roots",
            !options.roots.is_empty(),
            &[File][..],
            "remove it; \"roots\" belongs to the server \"file\"",
        ),
        ("url", options.url.is_some(), &[Db][..], "remove it; \"url\" belongs to the server \"db\""),
        ("init", options.init.is_some(), &[Db][..], "remove it; \"init\" belongs to the server \"db\""),
        ("writable", options.writable, &[File, Db][..], "remove it; this server only reads"),
    ];
    for (option, is_given, owners, mend) in given {
        if is_given && !owners.contains(&name) {
            return Err(OpenError::ForeignOption { server: name.name(), option, mend });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
