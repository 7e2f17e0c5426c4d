//! A definition becomes what a channel needs. All that can be wrong with one by itself is found here.

use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use puerto_core::Secret;
use puerto_core::def::{ChannelDef, ChannelKind, SmtpTls};

use super::email::{Login, Mail};
use super::letter::Mailbox;
use super::template::Template;
use super::webhook::Key;
use super::{Endpoint, Way};
use crate::probe::{Address, Fault, Host, Inside, Origin, Trust, headers, without_user};

use ChannelKind::{Alertmanager, Discord, Email, Ntfy, PagerDuty, Slack, Stdout, Teams, Telegram, Webhook};

/// Who can get one mail. More is a mailing list, which has an address of its own.
const RECIPIENTS_MAX: usize = 50;

/// Keys that mean something for some kinds only.
const ONLY: [(&str, &[ChannelKind]); 12] = [
    ("url", &[Webhook, Slack, Discord, Telegram, PagerDuty, Teams, Ntfy, Alertmanager]),
    ("headers", &[Webhook, Ntfy, Alertmanager]),
    ("secret", &[Webhook]),
    ("token", &[Telegram, Ntfy]),
    ("chat", &[Telegram]),
    ("routing_key", &[PagerDuty]),
    ("topic", &[Ntfy]),
    ("priority", &[Ntfy]),
    ("smtp", &[Email]),
    ("from", &[Email]),
    ("to", &[Email]),
    ("ca_file", &[Webhook, Slack, Discord, Telegram, Email, PagerDuty, Teams, Ntfy, Alertmanager]),
];

/// Where those are that everybody reaches at the same place.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const TELEGRAM: &str = "https://api.telegram.org";
const NTFY: &str = "https://ntfy.sh";

struct Reading<'a> {
    def: &'a ChannelDef,
    faults: Vec<Fault>,
}

/// Reads a definition, and gathers what is wrong with it.
pub(super) fn read(def: &ChannelDef) -> Result<(Way, Template), Vec<Fault>> {
    let mut reading = Reading { def, faults: Vec::new() };
    reading.foreign();
    let template = Template::new(&def.template, &mut reading.faults);
    if def.timeout.is_zero() {
        reading.fault("timeout", "nothing is sent in no time", "leave it out, or write as in \"10s\"");
    }
    if def.limit == 0 {
        reading.fault("limit", "nothing would ever be sent", "leave it out, or write a number from 1 on");
    }
    let way = reading.way();
    match (way, &reading.faults[..]) {
        (Some(way), []) => Ok((way, template)),
        _ => Err(reading.faults),
    }
}

impl Reading<'_> {
    fn fault(&mut self, key: &'static str, why: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::of(key, why, help));
    }

    fn foreign(&mut self) {
        let def = self.def;
        let given = [
            def.url.is_some(),
            !def.headers.is_empty(),
            def.secret.is_some(),
            def.token.is_some(),
            def.chat.is_some(),
            def.routing_key.is_some(),
            def.topic.is_some(),
            def.priority != puerto_core::def::PriorityDef::default(),
            def.smtp.is_some(),
            def.from.is_some(),
            !def.to.is_empty(),
            def.ca_file.is_some(),
        ];
        for ((key, owners), _) in ONLY.into_iter().zip(given).filter(|(_, given)| *given) {
            if !owners.contains(&def.kind) {
                let owners: Vec<_> = owners.iter().map(|kind| kind.name()).collect();
                let why = format!("{key:?} means nothing for a channel of type {}", def.kind.name());
                self.fault(key, why, format!("it belongs to {}; leave it out", owners.join(", ")));
            }
        }
    }

    fn way(&mut self) -> Option<Way> {
        let def = self.def;
        Some(match def.kind {
            Webhook => {
                let key = def.secret.as_ref().map(Key::new).transpose().map_err(|why| {
                    let help = "write \"whsec_\" and 24 bytes or more in base64, or a long text; \
                                `openssl rand -base64 32` makes one";
                    self.fault("secret", why, help);
                });
                Way::Webhook(self.endpoint(None, "")?, key.ok()?)
            }
            Slack => Way::Slack(self.endpoint(None, "")?),
            Discord => Way::Discord(self.endpoint(None, "")?),
            Teams => Way::Teams(self.endpoint(None, "")?),
            Alertmanager => Way::Alertmanager(self.endpoint(None, "/api/v2/alerts")?),
            Telegram => {
                let token = self.telegram_token();
                let help = "write its number, as in \"-1001234567890\", or \"@name\"";
                let chat = self.text("chat", def.chat.as_deref(), help);
                let path = format!("/bot{}/sendMessage", token?);
                Way::Telegram(self.endpoint(Some(TELEGRAM), &path)?, chat?)
            }
            PagerDuty => {
                let help = "it is the integration key of the service in PagerDuty";
                let key = self.text("routing_key", def.routing_key.as_ref().map(Secret::reveal), help);
                Way::PagerDuty(self.endpoint(Some(PAGERDUTY), "")?, Secret::new(key?))
            }
            Ntfy => {
                let help = "write the topic's name, as in \"shop-alerts\"";
                let topic = self.text("topic", def.topic.as_ref().map(Secret::reveal), help);
                let mut to = self.endpoint(Some(NTFY), "")?;
                if let Some(token) = &def.token {
                    let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
                    let Ok(mut value) = value else {
                        self.fault("token", "it is none that a header can have", "it must be one line");
                        return None;
                    };
                    value.set_sensitive(true);
                    to.headers.insert(AUTHORIZATION, value);
                }
                Way::Ntfy(to, Secret::new(topic?), def.priority)
            }
            Email => Way::Email(Box::new(self.mail()?)),
            Stdout => Way::Stdout,
        })
    }

    /// A text that must be there.
    fn text(&mut self, key: &'static str, given: Option<&str>, help: &str) -> Option<String> {
        match given.map(str::trim) {
            None => self.fault(key, format!("it lacks the key {key:?}"), help),
            Some("") => self.fault(key, "it is empty", help),
            Some(text) if text.chars().any(char::is_control) => {
                self.fault(key, "there is a control character in it", help);
            }
            Some(text) => return Some(text.to_owned()),
        }
        None
    }

    fn telegram_token(&mut self) -> Option<String> {
        let help = "it is what @BotFather gave out, as in \"123456:AbC-dEf\"";
        let token = self.text("token", self.def.token.as_ref().map(Secret::reveal), help)?;
        // It becomes a part of the path.
        if token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-')) {
            return Some(token);
        }
        self.fault("token", "it is no token of a bot", help);
        None
    }

    /// Where requests go: the URL that is given or the usual one, with a path after its own.
    fn endpoint(&mut self, usual: Option<&str>, path: &str) -> Option<Endpoint> {
        let (headers, trust) = (headers(&self.def.headers, &mut self.faults), self.trust());
        let help = "write as in \"https://host/path\"";
        let Some(given) = self.def.url.as_ref().map(Secret::reveal).or(usual) else {
            self.fault("url", "it lacks the key \"url\"", help);
            return None;
        };
        match endpoint(given, path) {
            Ok((url, origin, user)) => {
                let mut headers = headers?;
                if let Some(user) = user {
                    headers.entry(AUTHORIZATION).or_insert(user);
                }
                Some(Endpoint { url, origin, headers, trust })
            }
            Err(why) => {
                self.fault("url", why, help);
                None
            }
        }
    }

    fn trust(&self) -> Trust {
        let file = self.def.ca_file.as_ref();
        file.map_or(Trust::System, |file| Trust::File(std::path::Path::new(file).into()))
    }

    fn mail(&mut self) -> Option<Mail> {
        let def = self.def;
        let help = "write as in \"Puerto <puerto@example.com>\"";
        let from =
            self.text("from", def.from.as_deref(), help).and_then(|from| match Mailbox::parse(&from) {
                Ok(from) => Some(from),
                Err(why) => {
                    self.fault("from", why, help);
                    None
                }
            });
        let mut to = Vec::with_capacity(def.to.len());
        for (at, given) in def.to.iter().enumerate() {
            match Mailbox::parse(given) {
                Ok(one) => to.push(one),
                Err(why) => {
                    let help = "write as in \"anna@example.com\"".into();
                    self.faults.push(Fault { key: "to", inside: Inside::Item(at), at: None, why, help });
                }
            }
        }
        if def.to.is_empty() || def.to.len() > RECIPIENTS_MAX {
            let why = format!("a mail goes to 1 to {RECIPIENTS_MAX} addresses");
            self.fault("to", why, "write as in [\"anna@example.com\"]; for many, use a mailing list");
        }
        let Some(smtp) = &def.smtp else {
            let help = "write as in \"smtp\": { \"host\": \"mail.example.com\" }";
            self.fault("smtp", "it lacks the key \"smtp\"", help);
            return None;
        };
        let login = match (&smtp.user, &smtp.password) {
            (Some(user), Some(password)) => Some(Login { user: user.clone(), password: password.clone() }),
            (None, None) => None,
            (user, _) => {
                let (lacks, has) = if user.is_some() { ("password", "user") } else { ("user", "password") };
                let why = format!("there is {has:?} and no {lacks:?}");
                self.faults.push(Fault::in_member("smtp", has, why, "write both, or none of them"));
                None
            }
        };
        let host = smtp.host.trim();
        let parsed = Host::parse(host);
        if parsed.is_none() {
            let help = "write as in \"mail.example.com\"";
            self.faults.push(Fault::in_member("smtp", "host", "it is no name of a host", help));
        }
        let remote = !matches!(host, "localhost" | "127.0.0.1" | "::1");
        if login.is_some() && smtp.tls == SmtpTls::None && remote {
            let why = "the password would be sent so that everybody on the way can read it";
            let help = "use \"starttls\" or \"tls\"; without TLS a password goes to this machine only";
            self.faults.push(Fault::in_member("smtp", "tls", why, help));
        }
        let server = Address { host: parsed?, port: smtp.port() };
        Some(Mail { server, tls: smtp.tls, trust: self.trust(), login, from: from?, to })
    }
}

/// What requests need of a URL: it, where it leads, and who it says that we are.
fn endpoint(given: &str, path: &str) -> Result<(Uri, Origin, Option<HeaderValue>), String> {
    let unread = || "it cannot be read".to_owned();
    let given: Uri = given.trim().parse().map_err(|_| unread())?;
    let origin = Origin::of(&given).ok_or("it is no address of HTTP")?;
    let (mut url, user) = without_user(&given)?;
    if !path.is_empty() {
        let own = url.path().trim_end_matches('/');
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let path: PathAndQuery = format!("{own}{path}{query}").parse().map_err(|_| unread())?;
        let mut parts = url.into_parts();
        parts.path_and_query = Some(path);
        url = Uri::from_parts(parts).map_err(|_| unread())?;
    }
    Ok((url, origin, user))
}
