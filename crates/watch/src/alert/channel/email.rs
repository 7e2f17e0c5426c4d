//! Mail: plain text, and the same as HTML. Mails of one group are one thread.

use std::fmt;
use std::fmt::Write as _;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use puerto_core::def::SmtpTls;
use ring::digest::{SHA256, digest as hash};

use super::cut::{Room, Unit, html};
use super::slack::color;
use super::words::Words;
use crate::alert::Notice;
use crate::probe::Trust;

/// Characters of a subject; mail programs show some 80.
const SUBJECT_LEN_MAX: usize = 200;
/// Bytes of the text, in each of its two forms.
const MAIL_TEXT_MAX: usize = 128 * 1024;

/// Who gets mail, from whom, by which server.
pub(in crate::alert) struct Mail {
    pub(in crate::alert) host: String,
    pub(in crate::alert) port: u16,
    pub(in crate::alert) tls: SmtpTls,
    pub(in crate::alert) trust: Trust,
    pub(in crate::alert) credentials: Option<Credentials>,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server())
    }
}

impl Mail {
    /// The server, with its port.
    pub(super) fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The mail of a notice.
    pub(super) fn message(&self, words: &Words, notice: &Notice) -> Result<lettre::Message, String> {
        let subject = Room { limit: SUBJECT_LEN_MAX, unit: Unit::Utf16, escape: super::cut::plain };
        let domain = self.from.email.domain();
        let id = |of: &str| format!("<{}@{domain}>", digest(of));
        // No mail has this id: programs take those that answer to one mail for a thread, whether they have it or not.
        let thread = id(&format!("{}/{}", notice.tenant, notice.group));
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(subject.line(&words.title))
            .message_id(Some(id(&notice.key)))
            .in_reply_to(thread.clone())
            .references(thread)
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".into(),
            ))
            .date(
                std::time::UNIX_EPOCH + std::time::Duration::from_millis(notice.at_ms.max(0).cast_unsigned()),
            );
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let text = Room { limit: MAIL_TEXT_MAX, unit: Unit::Bytes, escape: super::cut::plain };
        let body = MultiPart::alternative().boundary(format!("puerto-{}", digest(&notice.key))).build();
        let body = body
            .singlepart(lettre::message::SinglePart::plain(text.blocks(&words.blocks, words.unsaid)))
            .singlepart(lettre::message::SinglePart::html(page(words, notice)));
        builder.multipart(body).map_err(|error| format!("no mail can be made of it: {error}"))
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
