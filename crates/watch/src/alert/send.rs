//! Sending: one attempt for one notice, and what became of it. When it is tried again is decided by `retry.rs`.

mod http;
mod smtp;

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::channel::{Channel, Message};
use super::notice::Notice;
use crate::probe::{Tls, span};

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
        match timeout(channel.timeout(), self.deliver(channel, message)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Retry {
                after: None,
                why: format!("{} did not answer within {}", channel.place(), span(channel.timeout())),
            },
        }
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
