//! Where the database is: `sqlite://path`, relative to the configuration. The url counts as a secret, so
//! no error repeats it.

use std::path::{Path, PathBuf};

use puerto_core::def::OptionsDef;

use crate::OpenError;

/// The file that `url` names.
pub(super) fn file(options: &OptionsDef, base: &Path) -> Result<PathBuf, OpenError> {
    let problem = |problem: &str| OpenError::Option { server: "db", option: "url", problem: problem.into() };
    let Some(url) = &options.url else {
        return Err(problem("is missing: name a database file, such as \"url\": \"sqlite://data/demo.db\""));
    };
    // `sqlite:path` is what other tools write for the same.
    let Some(path) = url.reveal().strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest))
    else {
        return Err(problem(
            "must begin with sqlite://; no other kind of database is available in this version",
        ));
    };
    if path == ":memory:" {
        return Err(problem(
            "names a database in memory, which the reading and the writing connection could not share; name a \
             file, such as \"sqlite://data/demo.db\"",
        ));
    }
    if path.contains(['?', '\0']) {
        return Err(problem("has options after '?', which are not read; write only sqlite://path"));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(problem("names no file; write sqlite://path"));
    }
    Ok(base.join(path))
}

#[cfg(test)]
mod tests;
