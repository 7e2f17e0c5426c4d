//! Channels: who is told of alerts, and how.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use super::yes;
use crate::event::Severity;
use crate::secret::Secret;

/// A way to tell somebody of alerts, as defined. What is said of a key names the types that it belongs to; where
/// nothing is said it belongs to all.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelDef {
    /// What is told.
    #[serde(rename = "type")]
    pub kind: ChannelKind,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Where it is sent: the address that the receiver gave out (`webhook`, `slack`, `discord`, `teams`), the
    /// Alertmanager, as `http://host:9093` (`alertmanager`), or one's own server in place of the public one (`pagerduty`,
    /// `telegram`, `ntfy`).
    #[serde(default)]
    pub url: Option<Secret>,
    /// Further headers of the request (`webhook`, `ntfy`, `alertmanager`).
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What its requests are signed with, as Standard Webhooks has it: `whsec_` and a key in base64, or any text
    /// (`webhook`).
    #[serde(default)]
    pub secret: Option<Secret>,
    /// The token of the bot (`telegram`), or of the user (`ntfy`).
    #[serde(default)]
    pub token: Option<Secret>,
    /// The chat: its number, or `@name` for a public one (`telegram`).
    #[serde(default)]
    pub chat: Option<String>,
    /// The integration key of the service that is to be told (`pagerduty`).
    #[serde(default)]
    pub routing_key: Option<Secret>,
    /// The topic (`ntfy`).
    #[serde(default)]
    pub topic: Option<Secret>,
    /// How urgent a notice of each severity is, from 1 to 5 (`ntfy`).
    #[serde(default)]
    pub priority: PriorityDef,
    /// The mail server (`email`).
    #[serde(default)]
    pub smtp: Option<SmtpDef>,
    /// Who sends the mail, as in `Puerto <puerto@example.com>` (`email`).
    #[serde(default)]
    pub from: Option<String>,
    /// Who gets it (`email`).
    #[serde(default)]
    pub to: Vec<String>,
    /// File with the certificates (PEM) of the authorities that are trusted, in place of the system's (all but
    /// `stdout`).
    #[serde(default)]
    pub ca_file: Option<String>,
    /// Words of one's own.
    #[serde(default)]
    pub template: TemplateDef,
    /// Longest time that sending one notice may take.
    #[serde(default = "ChannelDef::ten_seconds")]
    pub timeout: Span,
    /// Whether it is told too when a group of alerts is over.
    #[serde(default = "yes")]
    pub resolved: bool,
    /// Notices a minute at most; more wait.
    #[serde(default = "ChannelDef::thirty")]
    #[schemars(range(min = 1, max = 6000))]
    pub limit: u32,
}

impl ChannelDef {
    fn ten_seconds() -> Span {
        Span::from_secs(10)
    }

    /// Discord takes 30 a minute of one webhook, Telegram 20 of a group, Slack some 60.
    fn thirty() -> u32 {
        30
    }
}

/// What a channel leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Any URL: it gets a JSON document, signed where there is a secret.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// A chat of Telegram, by a bot.
    Telegram,
    /// Mail, by SMTP.
    Email,
    /// PagerDuty, by its Events API v2.
    PagerDuty,
    /// A channel or chat of Microsoft Teams, by the URL of a workflow.
    Teams,
    /// A topic of ntfy.
    Ntfy,
    /// An Alertmanager, or what takes alerts as one does.
    Alertmanager,
    /// The standard output of Puerto, one JSON document a line.
    Stdout,
}

impl ChannelKind {
    /// Every one.
    pub const ALL: [ChannelKind; 10] = [
        ChannelKind::Webhook,
        ChannelKind::Slack,
        ChannelKind::Discord,
        ChannelKind::Telegram,
        ChannelKind::Email,
        ChannelKind::PagerDuty,
        ChannelKind::Teams,
        ChannelKind::Ntfy,
        ChannelKind::Alertmanager,
        ChannelKind::Stdout,
    ];

    /// As written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Slack => "slack",
            ChannelKind::Discord => "discord",
            ChannelKind::Telegram => "telegram",
            ChannelKind::Email => "email",
            ChannelKind::PagerDuty => "pagerduty",
            ChannelKind::Teams => "teams",
            ChannelKind::Ntfy => "ntfy",
            ChannelKind::Alertmanager => "alertmanager",
            ChannelKind::Stdout => "stdout",
        }
    }
}

/// Words of one's own in place of the usual ones, in the language of Jinja. What they can name is in docs/channels.md.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateDef {
    /// The first line.
    pub title: Option<String>,
    /// What stands below it.
    pub text: Option<String>,
}

/// How urgent a notice is by its severity: from 1, which is shown and makes no sound, to 5, which cannot be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PriorityDef {
    /// Of `info`, and of what is over.
    #[schemars(range(min = 1, max = 5))]
    pub info: u8,
    /// Of `warning`.
    #[schemars(range(min = 1, max = 5))]
    pub warning: u8,
    /// Of `error`.
    #[schemars(range(min = 1, max = 5))]
    pub error: u8,
    /// Of `critical`.
    #[schemars(range(min = 1, max = 5))]
    pub critical: u8,
}

impl Default for PriorityDef {
    fn default() -> Self {
        Self { info: 2, warning: 3, error: 4, critical: 5 }
    }
}

impl PriorityDef {
    /// That of a severity.
    pub const fn of(self, severity: Severity) -> u8 {
        match severity {
            Severity::Info => self.info,
            Severity::Warning => self.warning,
            Severity::Error => self.error,
            Severity::Critical => self.critical,
        }
    }
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmtpDef {
    /// Its name or address.
    pub host: String,
    /// Its port; 587 where left out, 465 with `tls`, 25 with `none`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// How the connection is kept from others.
    #[serde(default)]
    pub tls: SmtpTls,
    /// The user that it is sent as; no one where left out.
    #[serde(default)]
    pub user: Option<Secret>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
}

impl SmtpDef {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            SmtpTls::None => 25,
            SmtpTls::Starttls => 587,
            SmtpTls::Tls => 465,
        })
    }
}

/// How a connection to a mail server is kept from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Not at all: for a server on this machine, or in a network of one's own.
    None,
    /// TLS begins after the first words (RFC 3207); a server that does not offer it gets no mail.
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}
