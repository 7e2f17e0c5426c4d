//! Copies of the audit trail's checkpoints, as defined.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ChannelDef, ChannelKind, PriorityDef, Span, TemplateDef};
use crate::secret::Secret;

/// Where every checkpoint is sent too, so that who owns this machine cannot write the trail anew.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CopiesDef {
    /// A URL that gets each as JSON.
    pub webhook: Option<HookDef>,
    /// A syslog that gets each as a message (RFC 5424): `udp://host:514`, `tcp://host:601`, or `unix:///dev/log`.
    pub syslog: Option<String>,
}

/// A URL that is sent requests, signed as those of channels are.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HookDef {
    /// The URL.
    pub url: Secret,
    /// Further headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What its requests are signed with, as Standard Webhooks has it: `whsec_` and a key in base64, or any text.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// File with the certificates (PEM) of the authorities that are trusted, in place of the system's.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// Longest time that one request may take.
    #[serde(default = "HookDef::ten_seconds")]
    pub timeout: Span,
}

impl HookDef {
    fn ten_seconds() -> Span {
        Span::from_secs(10)
    }

    /// As a channel.
    pub fn channel(&self) -> ChannelDef {
        ChannelDef {
            kind: ChannelKind::Webhook,
            description: None,
            url: Some(self.url.clone()),
            headers: self.headers.clone(),
            secret: self.secret.clone(),
            token: None,
            chat: None,
            routing_key: None,
            topic: None,
            priority: PriorityDef::default(),
            smtp: None,
            from: None,
            to: Vec::new(),
            ca_file: self.ca_file.clone(),
            template: TemplateDef::default(),
            timeout: self.timeout,
            resolved: false,
            limit: u32::MAX,
        }
    }
}
