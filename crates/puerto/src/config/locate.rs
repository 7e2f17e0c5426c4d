//! Which file is the configuration: `--config`, else `PUERTO_CONFIG`, else `MCP_HUB_CONFIG`, else
//! `./config/servers.json`, else the one built in. Whoever names a file gets that file or an error.

use std::path::{Path, PathBuf};

use super::expand::Env;

/// Where the configuration lies when nobody names a file.
pub(crate) const DEFAULT: &str = "config/servers.json";

/// What is used when there is no file at all.
pub(crate) const BUILTIN: &str = include_str!("builtin.json");

/// How the built-in configuration is called in messages.
pub(crate) const BUILTIN_NAME: &str = "built-in configuration";

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file, named or at the default place.
    File(PathBuf),
    /// The one built in: there was no file at the default place.
    Builtin,
}

/// Decides where the configuration comes from. An empty variable counts as unset.
pub(crate) fn locate(flag: Option<&Path>, env: Env<'_>) -> Origin {
    let named = |name: &str| env(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let file =
        flag.map(Path::to_path_buf).or_else(|| named("PUERTO_CONFIG")).or_else(|| named("MCP_HUB_CONFIG"));
    match file {
        Some(file) => Origin::File(file),
        None if Path::new(DEFAULT).exists() => Origin::File(DEFAULT.into()),
        None => Origin::Builtin,
    }
}
