//! What the operator gives to be let in: headers and parameters of the query that go with every request to
//! the API's own origin, and that no text shows.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use puerto_core::Secret;
use puerto_core::def::AuthDef;

use super::style::encoded;

/// A shorter text is found everywhere by chance.
const SECRET_MIN: usize = 4;

/// Headers and parameters that the operator sets.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) headers: HeaderMap,
    /// Name and value, not encoded.
    pub(super) query: Vec<(String, String)>,
    /// Texts that must not be shown, longest first.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Credentials {
    /// From the configuration. `auth` wins over plain headers.
    pub(super) fn new(headers: &BTreeMap<String, Secret>, auth: &AuthDef) -> Result<Self, String> {
        let mut all = Self::default();
        for (name, value) in headers.iter().chain(&auth.header) {
            let parsed =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header"))?;
            all.header(parsed, value.reveal())?;
            all.secrets.push(value.reveal().into());
        }
        if let Some(token) = &auth.bearer {
            all.header(AUTHORIZATION, &format!("Bearer {}", token.reveal()))?;
            all.secrets.push(token.reveal().into());
        }
        if let Some(basic) = &auth.basic {
            let pair = STANDARD.encode(format!("{}:{}", basic.username.reveal(), basic.password.reveal()));
            all.header(AUTHORIZATION, &format!("Basic {pair}"))?;
            all.secrets.extend([pair, basic.password.reveal().into()]);
        }
        for (name, value) in &auth.query {
            all.query.push((name.clone(), value.reveal().into()));
            all.secrets.extend([value.reveal().into(), encoded(value.reveal())]);
        }
        all.secrets.retain(|secret| secret.len() >= SECRET_MIN);
        all.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(all)
    }

    fn header(&mut self, name: HeaderName, value: &str) -> Result<(), String> {
        let shown = format!("the value of the header {:?} cannot be sent", name.as_str());
        let mut value = HeaderValue::from_str(value).map_err(|_| shown)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Whether there is anything to show.
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }

    /// A path and query with the parameters of the credentials, in place of those of their names.
    pub(super) fn on(&self, target: &str) -> String {
        let mut target = self.off(target);
        for (name, value) in &self.query {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&format!("{}={}", encoded(name), encoded(value)));
        }
        target
    }

    /// A path and query without them: what an API answers may repeat them.
    pub(super) fn off(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
        let is_ours = |pair: &&str| {
            let name = percent_decode_str(pair.split('=').next().unwrap_or_default()).decode_utf8_lossy();
            self.query.iter().any(|(own, _)| *own == name)
        };
        let kept: Vec<_> = query.split('&').filter(|pair| !is_ours(pair)).collect();
        if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
    }

    /// A text that others wrote, without secrets that it repeats.
    pub(super) fn hide(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(hidden)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use puerto_core::def::BasicDef;

    #[test]
    fn they_are_written_as_the_api_wants_them_and_hidden() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), Secret::new(value))]);
        let auth = AuthDef {
            basic: Some(BasicDef { username: Secret::new("me"), password: Secret::new("p:ss") }),
            header: one("X-Key", "other"),
            query: one("api key", "a&b=c"),
            ..AuthDef::default()
        };
        let all = Credentials::new(&one("x-key", "plain"), &auth).unwrap();
        assert_eq!(all.headers["authorization"], "Basic bWU6cDpzcw==");
        assert_eq!(all.headers["x-key"], "other");
        assert_eq!(all.on("/a"), "/a?api%20key=a%26b%3Dc");
        assert_eq!(all.on("/a?api%20key=old&y"), "/a?y&api%20key=a%26b%3Dc");
        assert_eq!(all.off("/a?api%20key=old"), "/a");
        assert_eq!(all.on("/a?x=1"), "/a?x=1&api%20key=a%26b%3Dc");
        assert_eq!(all.hide("p:ss, a%26b%3Dc and bWU6cDpzcw=="), "(hidden), (hidden) and (hidden)");
        assert_eq!(format!("{all:?}"), "(hidden)");
        assert!(
            Credentials::new(&one("x", "a\nb"), &AuthDef::default()).unwrap_err().contains("cannot be sent")
        );
    }
}
