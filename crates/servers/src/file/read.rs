//! Reading a piece of a file, as text or base64.

use std::io::{Read, Seek, SeekFrom};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use puerto_mcp::builtin::CallError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::roots::Place;
use crate::call::failed;

/// Most bytes of a file in one answer. A model reads about 250,000 tokens out of 1 MiB, which is more
/// than most can take; larger files are paged with `offset`.
pub(super) const READ_BYTES_MAX: u64 = 1 << 20;

/// How bytes become JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// UTF-8 text.
    #[default]
    Text,
    /// Base64 of any bytes.
    Base64,
}

/// Arguments of `read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadArgs {
    /// The file.
    pub(super) path: String,
    /// text (default) or base64; base64 for anything that is not UTF-8 text.
    #[serde(default)]
    pub(super) encoding: Option<Encoding>,
    /// Byte to start at; 0 where left out. Use next_offset of the answer before.
    #[serde(default)]
    pub(super) offset: Option<u64>,
    /// How many bytes to read at most; 1048576 where left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub(super) limit: Option<u64>,
}

/// A piece of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Piece {
    pub(super) path: String,
    pub(super) encoding: Encoding,
    /// The bytes in that encoding.
    pub(super) content: String,
    /// Where the piece starts.
    pub(super) offset: u64,
    /// How many bytes of the file the piece holds.
    pub(super) bytes: u64,
    /// Size of the whole file.
    pub(super) size_bytes: u64,
    /// Whether the file goes on after this piece.
    pub(super) truncated: bool,
    /// Offset to read on at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_offset: Option<u64>,
}

/// Reads at most `limit` bytes from `offset`.
pub(super) fn read(
    place: &Place<'_>,
    encoding: Encoding,
    offset: u64,
    limit: u64,
) -> Result<Piece, CallError> {
    let (mut bytes, size_bytes) = read_bytes(place, offset, limit + 1)?;
    let goes_on = bytes.len() as u64 > limit;
    bytes.truncate(limit as usize);
    let (content, read) = match encoding {
        Encoding::Base64 => (BASE64.encode(&bytes), bytes.len() as u64),
        Encoding::Text => {
            let text = text(place, bytes, offset, goes_on)?;
            let read = text.len() as u64;
            (text, read)
        }
    };
    Ok(Piece {
        path: place.shown(),
        encoding,
        content,
        offset,
        bytes: read,
        size_bytes,
        truncated: goes_on,
        next_offset: goes_on.then_some(offset + read),
    })
}

/// The bytes from `offset`, at most `limit`, and the size of the whole file.
pub(super) fn read_bytes(place: &Place<'_>, offset: u64, limit: u64) -> Result<(Vec<u8>, u64), CallError> {
    let error = |error| place.failed("read", &error);
    // Before opening: opening a pipe waits for a writer, and a device may do anything.
    regular(place, &place.dir().metadata(place.path()).map_err(error)?)?;
    let mut file = place.dir().open(place.path()).map_err(error)?;
    let size = file.metadata().map_err(error)?.len();
    if offset > 0 {
        file.seek(SeekFrom::Start(offset)).map_err(error)?;
    }
    let mut bytes = Vec::with_capacity(limit.min(size.saturating_sub(offset)) as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(error)?;
    Ok((bytes, size))
}

/// Refuses what is not a plain file.
pub(super) fn regular(place: &Place<'_>, found: &cap_std::fs::Metadata) -> Result<(), CallError> {
    if found.is_file() {
        Ok(())
    } else if found.is_dir() {
        Err(failed(format!("\"{}\" is a directory; use list", place.shown())))
    } else {
        Err(failed(format!("\"{}\" is neither a file nor a directory", place.shown())))
    }
}

/// The bytes as text. A character that the limit cut in two is left for the next piece.
fn text(place: &Place<'_>, mut bytes: Vec<u8>, offset: u64, goes_on: bool) -> Result<String, CallError> {
    let shown = place.shown();
    if goes_on && let Err(error) = std::str::from_utf8(&bytes) {
        let good = error.valid_up_to();
        if error.error_len().is_none() && good == 0 {
            return Err(failed(format!(
                "\"limit\" is smaller than one character of \"{shown}\"; use 4 or more"
            )));
        }
        if error.error_len().is_none() {
            bytes.truncate(good);
        }
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let begins_inside = good == 0 && error.as_bytes().first().is_some_and(|byte| byte & 0xc0 == 0x80);
        if offset > 0 && begins_inside {
            return failed(format!(
                "offset {offset} of \"{shown}\" is inside a character; use next_offset of the answer before, or \
                 \"encoding\": \"base64\""
            ));
        }
        let byte = offset + good as u64;
        failed(format!("\"{shown}\" is not UTF-8 text (byte {byte}); read it with \"encoding\": \"base64\""))
    })
}
