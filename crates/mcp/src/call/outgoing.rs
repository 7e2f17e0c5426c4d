//! A client's request as its server gets it.

use std::fmt::Write;

use puerto_core::trace::Trace;

use crate::call::Client;
use crate::era::{Era, META_PREFIX};
use crate::frame::{Edits, Frame, Parts};
use crate::route::Route;
use crate::scan::Scanner;
use crate::upstream::link::Link;

/// Everything that shapes the text.
pub(super) struct Outgoing<'a> {
    /// The id that the server sees; also the progress token.
    pub id: u64,
    pub frame: &'a Frame,
    pub route: &'a Route,
    pub client: &'a Client,
    pub link: &'a Link,
    pub era: Era,
    pub trace: Trace,
}

/// The text.
pub(super) fn text(out: &Outgoing<'_>) -> Parts {
    let frame = out.frame;
    let mut edits = Edits::new();
    edits.set(frame.id, out.id.to_string());
    out.route.rename(&mut edits);
    if !matches!(out.link, Link::Local(_)) {
        let same_era = out.client.is_modern() == (out.era == Era::Modern);
        if same_era && frame.raw(frame.params.meta.whole).first() == Some(&b'{') {
            patch_meta(out, &mut edits);
        } else {
            rebuild_meta(out, &mut edits);
        }
    }
    edits.apply(&frame.parts)
}

/// Between equal eras `_meta` passes; only what belongs to this hop changes.
fn patch_meta(out: &Outgoing<'_>, edits: &mut Edits) {
    let meta = &out.frame.params.meta;
    if meta.progress_token.is_some() {
        edits.set(meta.progress_token, out.id.to_string());
    }
    if meta.traceparent.is_some() {
        edits.set(meta.traceparent, traceparent(out, "\""));
    } else {
        edits.add_members(meta.whole, meta.filled, &traceparent(out, "\"traceparent\":\""));
    }
}

/// The trace, quoted, after a beginning with the first quote.
fn traceparent(out: &Outgoing<'_>, beginning: &str) -> String {
    let mut text = String::with_capacity(80);
    text.push_str(beginning);
    out.trace.append_to(&mut text);
    text.push('"');
    text
}

/// Between different eras the protocol's own keys are made anew, and all others are carried over as they are.
fn rebuild_meta(out: &Outgoing<'_>, edits: &mut Edits) {
    let frame = out.frame;
    let meta = frame.params.meta.whole;
    let mut text = traceparent(out, "\"_meta\":{\"traceparent\":\"");
    if let (Client::Legacy(session), Era::Modern) = (out.client, out.era) {
        let own = session.as_modern();
        text.reserve(own.len() + 64);
        text.push(',');
        text.push_str(own);
        if let Some(level) = session.level() {
            // Writing into a string cannot fail.
            let _ = write!(text, ",\"{META_PREFIX}logLevel\":\"{}\"", level.text());
        }
    }
    if frame.params.meta.progress_token.is_some() {
        let _ = write!(text, ",\"progressToken\":{}", out.id);
    }
    if meta.is_some() {
        // The frame was scanned before, so what is in it is well-formed.
        let raw = frame.raw(meta);
        let _ = Scanner::new(&raw).object(|s, key| {
            let value = s.value()?;
            if !(key.starts_with(META_PREFIX) || key == "progressToken" || key == "traceparent") {
                let key = serde_json::Value::from(key);
                let _ = write!(text, ",{key}:{}", String::from_utf8_lossy(value.of(&raw)));
            }
            Ok(())
        });
    }
    text.push('}');
    if meta.is_some() {
        edits.set(meta, text.split_off("\"_meta\":".len()));
    } else if frame.params.whole.is_some() {
        edits.add_members(frame.params.whole, frame.params.filled, &text);
    }
}
