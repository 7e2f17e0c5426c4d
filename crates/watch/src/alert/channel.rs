//! Channels: what of a notice is sent to whom. Everything here is pure: a definition becomes a `Channel`, or says what is
//! wrong with it, and a `Notice` becomes a `Message`, within the limits that the receivers' documents name. Sending is
//! done in `send.rs`.

mod alertmanager;
mod cut;
mod discord;
mod document;
mod email;
mod letter;
mod ntfy;
mod pagerduty;
mod read;
mod slack;
mod teams;
mod telegram;
mod template;
mod webhook;
mod words;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Uri};
use puerto_core::Secret;
use puerto_core::def::{ChannelDef, ChannelKind, PriorityDef};
use serde::Serialize;

pub(super) use self::email::{Login, Mail};
pub use self::letter::Letter;
use self::template::Template;
use self::webhook::Key;
use self::words::Words;
use super::Notice;
use crate::probe::{Fault, Origin, Trust};

/// A channel that can be used.
#[derive(Debug)]
pub struct Channel {
    kind: ChannelKind,
    way: Way,
    template: Template,
    timeout: Duration,
    resolved: bool,
    limit: u32,
}

/// What each kind needs beside the notice.
#[derive(Debug)]
enum Way {
    Webhook(Endpoint, Option<Key>),
    Slack(Endpoint),
    Discord(Endpoint),
    Telegram(Endpoint, String),
    Email(Box<Mail>),
    PagerDuty(Endpoint, Secret),
    Teams(Endpoint),
    Ntfy(Endpoint, Secret, PriorityDef),
    Alertmanager(Endpoint),
    Stdout,
}

/// Where requests go.
struct Endpoint {
    url: Uri,
    origin: Origin,
    headers: HeaderMap,
    trust: Trust,
}

impl fmt::Debug for Endpoint {
    /// Paths of webhooks are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin.address)
    }
}

/// What is sent for one notice.
pub enum Message {
    /// An HTTP request.
    Request(Request),
    /// A mail.
    Mail(Letter),
    /// A line of text, for standard output.
    Line(String),
}

/// An HTTP request. It holds secrets in its URL, headers and body.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Uri,
    /// The headers, without those that belong to the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Channel {
    /// Reads a definition.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(def: &ChannelDef) -> Result<Self, Vec<Fault>> {
        let (way, template) = read::read(def)?;
        Ok(Self {
            kind: def.kind,
            way,
            template,
            timeout: def.timeout.get(),
            resolved: def.resolved,
            limit: def.limit,
        })
    }

    /// What it leads to.
    pub fn kind(&self) -> ChannelKind {
        self.kind
    }

    /// Whether it is told too when a group of alerts is over.
    pub fn is_told_of_ends(&self) -> bool {
        self.resolved
    }

    /// Notices a minute at most.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Longest time that sending may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Where it leads, without what may be a secret.
    pub fn place(&self) -> String {
        match (&self.way, self.endpoint()) {
            (_, Some(endpoint)) => endpoint.origin.address.to_string(),
            (Way::Email(mail), None) => mail.server.to_string(),
            _ => "standard output".into(),
        }
    }

    /// What is sent for a notice at a moment, in milliseconds since 1970.
    pub fn message(&self, notice: &Notice, now_ms: i64) -> Message {
        let words = || Words::of(notice, &self.template, now_ms);
        let request = match &self.way {
            Way::Webhook(to, key) => webhook::request(to, key.as_ref(), &words(), notice, now_ms),
            Way::Slack(to) => to.post(&slack::body(&words(), notice)),
            Way::Discord(to) => to.post(&discord::body(&words(), notice)),
            Way::Telegram(to, chat) => to.post(&telegram::body(&words(), notice, chat)),
            Way::PagerDuty(to, key) => to.post(&pagerduty::body(&words(), notice, key)),
            Way::Teams(to) => to.post(&teams::body(&words(), notice)),
            Way::Ntfy(to, topic, priority) => to.post(&ntfy::body(&words(), notice, topic, *priority)),
            Way::Alertmanager(to) => to.post(&alertmanager::body(notice, now_ms)),
            Way::Email(mail) => return Message::Mail(mail.letter(&words(), notice)),
            Way::Stdout => return Message::Line(document::Document::of(notice, &words()).to_line()),
        };
        Message::Request(request)
    }

    /// What is sent for a document that is no notice; nothing where this is no webhook.
    pub(super) fn document(&self, id: &str, document: &impl Serialize, now_ms: i64) -> Option<Message> {
        match &self.way {
            Way::Webhook(to, key) => {
                Some(Message::Request(webhook::signed(to.post(document), key.as_ref(), id, now_ms)))
            }
            _ => None,
        }
    }

    pub(super) fn mail(&self) -> Option<&Mail> {
        match &self.way {
            Way::Email(mail) => Some(mail),
            _ => None,
        }
    }

    pub(super) fn origin(&self) -> Option<(&Origin, &Trust)> {
        self.endpoint().map(|endpoint| (&endpoint.origin, &endpoint.trust))
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        match &self.way {
            Way::Webhook(to, _)
            | Way::Slack(to)
            | Way::Discord(to)
            | Way::Telegram(to, _)
            | Way::PagerDuty(to, _)
            | Way::Teams(to)
            | Way::Ntfy(to, ..)
            | Way::Alertmanager(to) => Some(to),
            Way::Email(_) | Way::Stdout => None,
        }
    }
}

impl Endpoint {
    /// A request with a body of JSON.
    fn post(&self, body: &impl Serialize) -> Request {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = serde_json::to_vec(body).expect("maps have texts for keys").into();
        Request { method: Method::POST, url: self.url.clone(), headers, body }
    }
}

#[cfg(test)]
mod tests;
