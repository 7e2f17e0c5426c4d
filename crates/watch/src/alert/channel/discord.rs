//! Discord, by a webhook. (<https://docs.discord.com/developers/resources/webhook>)

use serde_json::{Value, json};

use super::cut::{Room, Unit};
use super::slack::color;
use super::words::{Words, stamp};
use crate::alert::Notice;

/// Characters of an embed's title and of its description.
const DISCORD_TITLE_MAX: usize = 256;
const DISCORD_TEXT_MAX: usize = 4_096;

/// What means something in Discord's Markdown.
fn markdown(c: char, to: &mut String) {
    if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '(' | ')' | '#' | '@' | '-') {
        to.push('\\');
    }
    to.push(c);
}

pub(super) fn body(words: &Words, notice: &Notice) -> Value {
    let room = |limit| Room { limit, unit: Unit::Utf16, escape: markdown };
    json!({
        "embeds": [{
            "title": room(DISCORD_TITLE_MAX).line(&words.title),
            "description": room(DISCORD_TEXT_MAX).blocks(&words.blocks, words.unsaid),
            "color": u32::from_str_radix(&color(notice)[1..], 16).unwrap_or_default(),
            "timestamp": stamp(notice.at_ms),
        }],
        // Whatever a text says, it calls nobody.
        "allowed_mentions": { "parse": [] },
    })
}
