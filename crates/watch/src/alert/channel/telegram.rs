//! Telegram, by a bot. (<https://core.telegram.org/bots/api#sendmessage>)

use puerto_core::Severity;
use serde_json::{Value, json};

use super::cut::{Room, Unit, html};
use super::words::Words;
use crate::alert::Notice;

/// Characters of a message; of them, those of the title. Telegram counts them without what they are escaped by.
const TELEGRAM_TEXT_MAX: usize = 4_096;
const TELEGRAM_TITLE_MAX: usize = 256;

pub(super) fn body(words: &Words, notice: &Notice, chat: &str) -> Value {
    let room = |limit| Room { limit, unit: Unit::Utf16, escape: html };
    let title = room(TELEGRAM_TITLE_MAX).line(&words.title);
    let rest = TELEGRAM_TEXT_MAX - TELEGRAM_TITLE_MAX - "<b></b>\n\n".len();
    let text = room(rest).blocks(&words.blocks, words.unsaid);
    json!({
        "chat_id": chat,
        "text": format!("<b>{title}</b>\n\n{text}").trim_end(),
        "parse_mode": "HTML",
        "link_preview_options": { "is_disabled": true },
        "disable_notification": notice.severity() == Severity::Info,
    })
}
