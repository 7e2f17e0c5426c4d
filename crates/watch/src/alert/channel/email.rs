//! Mail: plain text, and the same as HTML. Mails of one group are one thread.

use std::fmt;
use std::fmt::Write as _;

use puerto_core::Secret;
use puerto_core::def::SmtpTls;
use ring::digest::{SHA256, digest as hash};

use super::cut::{Room, Unit, html, plain};
use super::letter::{Letter, Mailbox, Parts};
use super::slack::color;
use super::words::Words;
use crate::alert::Notice;
use crate::probe::{Address, Trust};

/// Characters of a subject; mail programs show some 80.
const SUBJECT_LEN_MAX: usize = 200;
/// Bytes of the text, in each of its two forms.
const MAIL_TEXT_MAX: usize = 128 * 1024;

/// Who gets mail, from whom, by which server.
pub(in crate::alert) struct Mail {
    pub(in crate::alert) server: Address,
    pub(in crate::alert) tls: SmtpTls,
    pub(in crate::alert) trust: Trust,
    pub(in crate::alert) login: Option<Login>,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

/// Whose mail it is for the server.
pub(in crate::alert) struct Login {
    pub(in crate::alert) user: Secret,
    pub(in crate::alert) password: Secret,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl Mail {
    /// The letter for a notice.
    pub(super) fn letter(&self, words: &Words, notice: &Notice) -> Letter {
        let subject = Room { limit: SUBJECT_LEN_MAX, unit: Unit::Utf16, escape: plain }.line(&words.title);
        let text = Room { limit: MAIL_TEXT_MAX, unit: Unit::Bytes, escape: plain };
        let domain = self.from.domain();
        let id = |of: &str| format!("{}@{domain}", digest(of));
        let parts = Parts {
            from: &self.from,
            to: &self.to,
            subject: &subject,
            id: id(&notice.key),
            // No letter has this id: programs take those that answer to one for a thread, whether they have it or not.
            thread: id(&format!("{}/{}", notice.tenant, notice.group)),
            at_ms: notice.at_ms,
            boundary: format!("puerto-{}", digest(&notice.key)),
            plain: text.blocks(&words.blocks, words.unsaid),
            html: page(words, notice),
        };
        parts.letter()
    }
}

/// What stands for a text, always the same: 32 digits.
pub(super) fn digest(text: &str) -> String {
    hash(&SHA256, text.as_bytes()).as_ref()[..16].iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// As HTML. Mail programs know no style sheets, so styles stand in the elements.
fn page(words: &Words, notice: &Notice) -> String {
    let room = Room { limit: MAIL_TEXT_MAX, unit: Unit::Bytes, escape: html };
    let (title, color) = (room.line(&words.title), color(notice));
    let text = room.blocks(&words.blocks, words.unsaid);
    let blocks = text.split("\n\n").map(|block| block.replace('\n', "<br>\n"));
    let blocks: String =
        blocks.map(|block| format!("<p style=\"margin:0 0 16px;line-height:1.5\">{block}</p>\n")).collect();
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\"></head>\n\
         <body style=\"margin:0;padding:24px;font-family:system-ui,-apple-system,'Segoe UI',sans-serif;font-size:15px\">\n\
         <div style=\"max-width:640px;border-left:4px solid {color};padding-left:16px\">\n\
         <h1 style=\"margin:0 0 16px;font-size:18px\">{title}</h1>\n{blocks}</div>\n</body></html>\n"
    )
}
