//! Slack, by an incoming webhook. (<https://docs.slack.dev/reference/block-kit/blocks/section-block>)

use puerto_core::Severity;
use serde_json::{Value, json};

use super::cut::{Room, Unit};
use super::words::Words;
use crate::alert::Notice;

/// Characters of a block's text, and of the title.
const SLACK_TEXT_MAX: usize = 3_000;
const SLACK_TITLE_MAX: usize = 300;

/// What means something in Slack's mrkdwn: `<!channel>` would call everybody.
fn mrkdwn(c: char, to: &mut String) {
    match c {
        '&' => to.push_str("&amp;"),
        '<' => to.push_str("&lt;"),
        '>' => to.push_str("&gt;"),
        c => to.push(c),
    }
}

pub(super) fn body(words: &Words, notice: &Notice) -> Value {
    let title = Room { limit: SLACK_TITLE_MAX, unit: Unit::Utf16, escape: mrkdwn }.line(&words.title);
    // As plain text: nothing in it is formatted.
    let text = Room { limit: SLACK_TEXT_MAX, unit: Unit::Utf16, escape: super::cut::plain }
        .blocks(&words.blocks, words.unsaid);
    let mut blocks = Vec::new();
    if !text.is_empty() {
        blocks.push(
            json!({ "type": "section", "text": { "type": "plain_text", "text": text, "emoji": false } }),
        );
    }
    json!({
        "text": title,
        "unfurl_links": false,
        "attachments": [{ "color": color(notice), "fallback": title, "blocks": blocks }],
    })
}

/// The colour of a notice, as in CSS.
pub(super) fn color(notice: &Notice) -> &'static str {
    if notice.is_over() {
        return "#2e9e5b";
    }
    match notice.severity() {
        Severity::Info => "#3b82c4",
        Severity::Warning => "#d9a400",
        Severity::Error => "#e2711d",
        Severity::Critical => "#c9252d",
    }
}
