//! Getting to know a server: which era it speaks (specification 2026-07-28, versioning), who it is, and
//! everything it lists.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use puerto_core::def::EraDef;
use puerto_core::{Code, Error, Result};
use serde_json::Value;

use crate::era::{Era, Revision};
use crate::frame::{Frame, Parts};
use crate::offer::{About, Can, ListKind, Offer};
use crate::scan::{Scanner, Span, unquoted};
use crate::session::Handshake;
use crate::upstream::http::{Remote, RemoteSession};
use crate::upstream::link::{CLIENT_INFO, Link, OWN_CAPABILITIES, Request};
use crate::upstream::pipe::Pipe;
use crate::wire;

/// What ends the handshake.
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// What the hub can pass on to clients when a process is shared. Whether a question finds a client is
/// decided when it comes.
const SHARED_CAPABILITIES: &str = concat!(
    r#"{"roots":{},"sampling":{},"elicitation":{"form":{},"url":{}},"#,
    r#""extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#
);
/// Time that a process gets to answer the probe before it is taken for a legacy one. Servers in Python
/// take up to 1.5 s to their first answer; rmcp waits as long as this.
const PROBE: Duration = Duration::from_secs(10);
/// Pages that a list may have.
const PAGES_MAX: usize = 1000;

/// Finds out the era of a server on a pipe and makes the handshake. Where the pipe belongs to one client, that
/// client's words are said in its own era where the server is not known to speak another: between equal eras
/// everything passes.
pub async fn pipe(pipe: &Arc<Pipe>, era: EraDef, client: Option<&Handshake>) -> Result<About> {
    match client.filter(|_| era != EraDef::Modern) {
        Some(client) => {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let client_info = match text(&client.client_info) {
                unsaid if unsaid == "{}" => CLIENT_INFO.to_owned(),
                said => said,
            };
            initialize(pipe, client.revision, &text(&client.capabilities), &client_info).await
        }
        None => probe(pipe, era).await,
    }
}

async fn probe(pipe: &Arc<Pipe>, era: EraDef) -> Result<About> {
    let link = Link::Pipe(pipe.clone());
    let mut refusal = None;
    if era != EraDef::Legacy {
        let probe = tokio::time::timeout(PROBE, link.ask(Era::Modern, "server/discover", "", None)).await;
        match probe {
            Ok(Ok(frame)) => {
                if let Some(about) = discovered(&frame) {
                    return Ok(about);
                }
                let error = refused("server/discover", &frame);
                if era == EraDef::Modern || is_modern_error(&frame) {
                    return Err(error);
                }
                refusal = Some(error);
            }
            Ok(Err(error)) => return Err(error),
            Err(_) if era == EraDef::Modern => return Err(too_slow()),
            Err(_) => {}
        }
    }
    // A server that refuses the probe and then hangs up has said why.
    let initialized = initialize(pipe, Revision::LATEST_LEGACY, SHARED_CAPABILITIES, CLIENT_INFO).await;
    initialized.map_err(|error| match error.code() {
        Code::UpstreamDown => refusal.unwrap_or(error),
        _ => error,
    })
}

async fn initialize(
    pipe: &Arc<Pipe>,
    revision: Revision,
    capabilities: &str,
    client_info: &str,
) -> Result<About> {
    let id = pipe.next_id();
    let text = initialize_text(id, revision, capabilities, client_info);
    let request = Request {
        id,
        method: "initialize".into(),
        text,
        name: None,
        headers: Vec::new(),
        asker: None,
        notices: false,
        session: None,
    };
    let about = initialized(&pipe.send(request).await?.next().await?)?;
    pipe.tell(INITIALIZED.to_owned().into()).await?;
    Ok(about)
}

/// Finds out the era of an HTTP server and makes the hub's own handshake.
pub async fn http(remote: &Arc<Remote>, era: EraDef) -> Result<About> {
    if era == EraDef::Modern {
        remote.only_modern();
    }
    if era != EraDef::Legacy {
        remote.settle(Era::Modern, None);
        match Link::Http(remote.clone()).ask(Era::Modern, "server/discover", "", None).await {
            Ok(frame) => {
                if let Some(about) = discovered(&frame) {
                    return Ok(about);
                }
                if era == EraDef::Modern || is_modern_error(&frame) {
                    return Err(refused("server/discover", &frame));
                }
            }
            // Only an answer can tell the era: a broken connection or a fault of the server says nothing.
            Err(error) if error.code() != Code::UpstreamProtocol || era == EraDef::Modern => {
                return Err(error);
            }
            Err(_) => {}
        }
    }
    let session = Arc::new(RemoteSession::new(OWN_CAPABILITIES.into(), CLIENT_INFO.into()));
    let (frame, id) =
        remote.initialize(Revision::LATEST_LEGACY, &session.capabilities, &session.client_info).await?;
    let about = initialized(&frame)?;
    session.opened(id, about.revision);
    remote.settle(Era::Legacy, Some(session.clone()));
    remote.tell(INITIALIZED.to_owned().into(), Some(&session)).await?;
    Ok(about)
}

/// Asks for every page of every list.
pub async fn offer(link: &Link, about: About) -> Result<Offer> {
    let era = about.revision.era();
    let mut offer = Offer::new(about);
    for kind in ListKind::ALL {
        if offer.about.can.lists(kind) {
            pages(link, era, kind, &mut offer).await?;
        }
    }
    Ok(offer)
}

async fn pages(link: &Link, era: Era, kind: ListKind, offer: &mut Offer) -> Result<()> {
    let mut members = String::new();
    for _ in 0..PAGES_MAX {
        let frame = link.ask(era, kind.method(), &members, None).await?;
        if frame.error.is_some() {
            // Servers with resources but without templates answer that they do not know the method.
            if error_number(&frame) == Some(wire::METHOD_NOT_FOUND) {
                return Ok(());
            }
            return Err(refused(kind.method(), &frame));
        }
        let mut array = Span::default();
        let text = frame.parts.clone().whole();
        Scanner::at(&text, frame.result.whole)
            .object(|s, key| {
                let value = s.value()?;
                if key == kind.member() {
                    array = value;
                }
                Ok(())
            })
            .and_then(|_| offer.take_page(kind, &text, array))
            .map_err(|fault| {
                let text = format!("the answer to {} is malformed", kind.method());
                Error::upstream(Code::UpstreamProtocol, text).inside(fault)
            })?;
        let next = frame.raw(frame.result.next_cursor);
        if next.is_empty() || *next == *b"null" {
            return Ok(());
        }
        members = format!("\"cursor\":{}", String::from_utf8_lossy(&next));
    }
    offer.notices.push(format!("{} has more than {PAGES_MAX} pages; the rest is left out", kind.method()));
    Ok(())
}

/// The text of `initialize`.
pub fn initialize_text(id: u64, revision: Revision, capabilities: &str, client_info: &str) -> Parts {
    let version = revision.text();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{client_info}}}}}"#
    )
    .into()
}

/// What the answer to `initialize` says.
pub fn initialized(frame: &Frame) -> Result<About> {
    if frame.error.is_some() {
        return Err(refused("initialize", frame));
    }
    let found = members(frame);
    let version = found.version.as_deref().unwrap_or_default();
    let revision = Revision::parse(version).filter(|r| r.era() == Era::Legacy).ok_or_else(|| {
        Error::upstream(
            Code::UpstreamProtocol,
            format!("the server wants to speak revision {version:?}, which Puerto does not know"),
        )
    })?;
    Ok(About { revision, ..found.about })
}

/// What the answer to `server/discover` says; nothing where it is no such answer.
fn discovered(frame: &Frame) -> Option<About> {
    let found = members(frame);
    found.versions.iter().any(|v| v == Revision::MODERN.text()).then_some(found.about)
}

struct Members {
    about: About,
    version: Option<String>,
    versions: Vec<String>,
}

fn members(frame: &Frame) -> Members {
    let text = &frame.parts.clone().whole();
    let share = |span: Span| text.slice(span.range());
    let mut found = Members {
        about: About {
            revision: Revision::MODERN,
            server_info: Bytes::new(),
            capabilities: Bytes::new(),
            instructions: None,
            can: Can::default(),
        },
        version: None,
        versions: Vec::new(),
    };
    if frame.raw(frame.result.whole).first() != Some(&b'{') {
        return found;
    }
    // The frame was scanned before, so its result is well-formed.
    let _ = Scanner::at(text, frame.result.whole).object(|s, key| {
        let value = s.value()?;
        match key {
            "protocolVersion" => found.version = unquoted(value.of(text)).map(Into::into),
            "supportedVersions" => {
                found.versions = serde_json::from_slice(value.of(text)).unwrap_or_default();
            }
            "capabilities" => found.about.capabilities = share(value),
            "serverInfo" => found.about.server_info = share(value),
            "instructions" => found.about.instructions = unquoted(value.of(text)).map(Into::into),
            "_meta" if value.of(text).first() == Some(&b'{') => {
                Scanner::at(text, value).object(|s, key| {
                    let value = s.value()?;
                    if key == "io.modelcontextprotocol/serverInfo" {
                        found.about.server_info = share(value);
                    }
                    Ok(())
                })?;
            }
            _ => {}
        }
        Ok(())
    });
    found.about.can = Can::read(&found.about.capabilities);
    found
}

/// The number of an error answer.
pub fn error_number(frame: &Frame) -> Option<i32> {
    let error: Value = serde_json::from_slice(&frame.raw(frame.error)).ok()?;
    error.get("code")?.as_i64().and_then(|n| i32::try_from(n).ok())
}

fn is_modern_error(frame: &Frame) -> bool {
    matches!(
        error_number(frame),
        Some(wire::HEADER_MISMATCH | wire::MISSING_CAPABILITY | wire::UNSUPPORTED_VERSION)
    )
}

fn refused(what: &str, frame: &Frame) -> Error {
    let error: Value = serde_json::from_slice(&frame.raw(frame.error)).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or("without a reason");
    Error::upstream(Code::UpstreamProtocol, format!("the server refused {what}: {message}"))
}

fn too_slow() -> Error {
    Error::upstream(Code::UpstreamTimeout, format!("the server did not answer within {} s", PROBE.as_secs()))
}
