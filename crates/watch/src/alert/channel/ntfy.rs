//! ntfy, by JSON to the server's root, so that no text stands in a header. (<https://docs.ntfy.sh/publish/#publish-as-json>)

use puerto_core::def::PriorityDef;
use puerto_core::{Secret, Severity};
use serde_json::{Value, json};

use super::cut::{Room, Unit, plain};
use super::words::Words;
use crate::alert::Notice;

/// Bytes of a message; a longer one would become a file. And of a title, which a telephone shows in two lines.
const NTFY_TEXT_MAX: usize = 4_096;
const NTFY_TITLE_MAX: usize = 250;

pub(super) fn body(words: &Words, notice: &Notice, topic: &Secret, priority: PriorityDef) -> Value {
    let room = |limit| Room { limit, unit: Unit::Bytes, escape: plain };
    let (priority, tag) = match notice.severity() {
        _ if notice.is_over() => (priority.of(Severity::Info), "white_check_mark"),
        Severity::Info => (priority.info, "information_source"),
        Severity::Warning => (priority.warning, "warning"),
        Severity::Error => (priority.error, "x"),
        Severity::Critical => (priority.critical, "rotating_light"),
    };
    json!({
        "topic": topic.reveal(),
        "title": room(NTFY_TITLE_MAX).line(&words.title),
        "message": room(NTFY_TEXT_MAX).blocks(&words.blocks, words.unsaid),
        "priority": priority,
        "tags": [tag],
    })
}
