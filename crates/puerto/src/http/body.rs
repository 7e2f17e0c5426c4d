//! Bodies that a person may have written: what does not fit is refused with the member to blame.

use puerto_core::{Code, Error};
use serde::de::DeserializeOwned;

/// Reads one as JSON. `what` it is stands in the error.
///
/// # Errors
/// Where it is no JSON, or another thing; the member that is wrong is named.
pub(super) fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let at = Some(e.path().to_string()).filter(|path| path != ".");
        wrong(what, at.as_deref().unwrap_or("body"), e.inner())
    })?;
    reader.end().map_err(|e| wrong(what, "body", e))?;
    Ok(read)
}

/// A body that does not fit, with the member to blame.
pub(super) fn wrong(what: &str, at: &str, why: impl std::fmt::Display) -> Error {
    Error::caller(Code::BadRequest, format!("could not read the {what}: {at}: {why}"))
}
