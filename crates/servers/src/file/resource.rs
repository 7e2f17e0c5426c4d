//! Files as resources: `file:///path` is a path below the first served directory, `file://name/path`
//! below the one of that name. They are not the machine's own paths, which a reader may not learn.

use percent_encoding::percent_decode_str;
use puerto_mcp::builtin::{Body, CallError, Contents, Template};

use super::read::{Encoding, READ_BYTES_MAX, read_bytes};
use super::roots::Roots;
use crate::call::failed;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The templates: one, and a second where there are several served directories.
pub(super) fn templates(roots: &Roots) -> Vec<Template> {
    let mut templates = vec![Template {
        uri_template: "file:///{+path}".into(),
        name: "file".into(),
        description: "A file below the first served directory; the path is relative to it".into(),
        mime_type: None,
    }];
    if roots.names().len() > 1 {
        let names: Vec<&str> = roots.names().collect();
        templates.push(Template {
            uri_template: "file://{root}/{+path}".into(),
            name: "file-in-root".into(),
            description: format!("A file below one of the served directories: {}", names.join(", ")),
            mime_type: None,
        });
    }
    templates
}

/// Reads a file as a resource: text when it is UTF-8, bytes otherwise.
pub(super) fn read(roots: &Roots, uri: &str) -> Result<Vec<Contents>, CallError> {
    let rest = uri.strip_prefix("file://").ok_or(CallError::Unknown)?;
    let (authority, path) = rest.split_once('/').ok_or(CallError::Unknown)?;
    let (authority, path) = (decoded(authority)?, decoded(path)?);
    let place = roots.in_uri(&authority, &path)?;
    let (bytes, size) = read_bytes(&place, 0, READ_BYTES_MAX + 1)?;
    if bytes.len() as u64 > READ_BYTES_MAX {
        return Err(failed(format!(
            "\"{}\" has {size} bytes, more than a resource may have ({READ_BYTES_MAX}); use the tool read with offset",
            place.shown()
        )));
    }
    let (mime_type, body) = match String::from_utf8(bytes) {
        Ok(text) => (mime(&path, Encoding::Text), Body::Text(text)),
        Err(error) => (mime(&path, Encoding::Base64), Body::Blob(BASE64.encode(error.as_bytes()))),
    };
    Ok(vec![Contents { uri: uri.into(), mime_type: mime_type.into(), body }])
}

fn decoded(text: &str) -> Result<String, CallError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| failed("the uri is not UTF-8"))?;
    Ok(text.into_owned())
}

/// MIME type by the name's ending, as far as it matters to clients; otherwise by what the bytes are.
fn mime(path: &str, encoding: Encoding) -> &'static str {
    let ending = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    match (ending.unwrap_or_default().to_ascii_lowercase().as_str(), encoding) {
        ("md" | "markdown", Encoding::Text) => "text/markdown",
        ("html" | "htm", Encoding::Text) => "text/html",
        ("css", Encoding::Text) => "text/css",
        ("csv", Encoding::Text) => "text/csv",
        ("xml", Encoding::Text) => "application/xml",
        ("json", Encoding::Text) => "application/json",
        ("js" | "mjs", Encoding::Text) => "text/javascript",
        ("svg", Encoding::Text) => "image/svg+xml",
        (_, Encoding::Text) => "text/plain",
        ("png", _) => "image/png",
        ("jpg" | "jpeg", _) => "image/jpeg",
        ("gif", _) => "image/gif",
        ("webp", _) => "image/webp",
        ("pdf", _) => "application/pdf",
        ("zip", _) => "application/zip",
        ("mp3", _) => "audio/mpeg",
        ("wav", _) => "audio/wav",
        _ => "application/octet-stream",
    }
}
