//! Microsoft Teams, by the URL of a workflow that posts the Adaptive Card that it gets.
//! (<https://adaptivecards.io/explorer/RichTextBlock.html>)

use puerto_core::Severity;
use serde_json::{Value, json};

use super::cut::{Room, Unit, plain};
use super::words::Words;
use crate::alert::Notice;

/// Bytes of a whole message; Teams takes 28 KB.
const TEAMS_BYTES_MAX: usize = 28_000;
/// Of them those of the texts: half, since quotation marks and line breaks are written with two bytes, and each line has
/// a frame.
const TEAMS_TEXT_MAX: usize = 12_000;
const TEAMS_TITLE_MAX: usize = 400;

pub(super) fn body(words: &Words, notice: &Notice) -> Value {
    let room = |limit| Room { limit, unit: Unit::Bytes, escape: plain };
    let title = room(TEAMS_TITLE_MAX).line(&words.title);
    let mut limit = TEAMS_TEXT_MAX;
    // A text of a thousand short lines has more frames than text.
    loop {
        let card = card(&title, &room(limit).blocks(&words.blocks, words.unsaid), notice);
        if limit < 200 || serde_json::to_string(&card).is_ok_and(|text| text.len() <= TEAMS_BYTES_MAX) {
            return card;
        }
        limit /= 2;
    }
}

fn card(title: &str, text: &str, notice: &Notice) -> Value {
    let title = json!({ "type": "TextRun", "text": title, "weight": "Bolder", "size": "Medium", "color": color(notice) });
    // What a TextRun holds is no Markdown.
    let lines =
        text.lines().filter(|line| !line.is_empty()).map(|line| json!({ "type": "TextRun", "text": line }));
    let blocks = std::iter::once(title).chain(lines);
    let body: Vec<_> = blocks.map(|run| json!({ "type": "RichTextBlock", "inlines": [run] })).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
            },
        }],
    })
}

fn color(notice: &Notice) -> &'static str {
    if notice.is_over() {
        return "Good";
    }
    match notice.severity() {
        Severity::Info => "Accent",
        Severity::Warning => "Warning",
        Severity::Error | Severity::Critical => "Attention",
    }
}
