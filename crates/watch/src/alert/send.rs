//! Sending: one attempt for one notice, and what became of it. When it is tried again is decided by `retry.rs`.

mod http;
mod smtp;
mod syslog;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::channel::{Channel, Message};
use super::notice::Notice;
use crate::probe::{Tls, span};
use crate::syslog::Syslog;

/// What became of an attempt. No reason holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Sent,
    /// It may go well later.
    Retry {
        /// How long the receiver asks to wait.
        after: Option<Duration>,
        /// What went wrong.
        why: String,
    },
    /// The receiver does not want it, and would not later.
    Refused {
        /// Why.
        why: String,
    },
}

/// Sends notices. One is shared by all channels.
pub struct Sender {
    tls: Tls,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

impl Sender {
    /// Reads the certificates of authorities that the system trusts.
    pub fn new() -> Self {
        Self { tls: Tls::new() }
    }

    /// Makes one attempt, which ends within the channel's time. Where it is dropped nobody knows whether the receiver has
    /// the notice.
    pub async fn send(&self, channel: &Channel, notice: &Notice) -> Outcome {
        let message = channel.message(notice, now_ms());
        within(channel.timeout(), &channel.place(), self.deliver(channel, message)).await
    }

    /// The same with a document that is no notice, for a channel that is a webhook. `id` is the same for one that is sent
    /// again.
    pub async fn post(&self, channel: &Channel, id: &str, document: &impl Serialize) -> Outcome {
        match channel.document(id, document, now_ms()) {
            Some(message) => {
                within(channel.timeout(), &channel.place(), self.deliver(channel, message)).await
            }
            None => Outcome::Refused { why: "only a webhook takes documents".into() },
        }
    }

    /// Hands a message to a syslog, which takes no longer than a limit.
    pub async fn log(&self, to: &Syslog, message: &str, limit: Duration) -> Outcome {
        let deadline = Instant::now() + limit;
        within(limit, &to.to_string(), syslog::deliver(&self.tls, to, message, deadline)).await
    }

    async fn deliver(&self, channel: &Channel, message: Message) -> Outcome {
        match (message, channel.origin(), channel.mail()) {
            (Message::Request(request), Some((origin, trust)), _) => {
                Box::pin(http::deliver(&self.tls, channel, origin, trust, request)).await
            }
            (Message::Mail(letter), _, Some(mail)) => {
                Box::pin(smtp::deliver(&self.tls, mail, channel, &letter)).await
            }
            (Message::Line(line), ..) => print(line).await,
            _ => Outcome::Refused { why: "the channel has no place to send this to".into() },
        }
    }
}

async fn within(limit: Duration, place: &str, attempt: impl Future<Output = Outcome>) -> Outcome {
    let late = || format!("{place} did not answer within {}", span(limit));
    timeout(limit, attempt).await.unwrap_or_else(|_| Outcome::Retry { after: None, why: late() })
}

async fn print(mut line: String) -> Outcome {
    line.push('\n');
    let mut to = tokio::io::stdout();
    let written = async {
        to.write_all(line.as_bytes()).await?;
        to.flush().await
    };
    match written.await {
        Ok(()) => Outcome::Sent,
        Err(error) => Outcome::Retry { after: None, why: format!("could not write: {error}") },
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
