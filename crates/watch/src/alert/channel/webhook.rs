//! Any URL: the notice as JSON, signed as Standard Webhooks has it, so that its receiver knows whom it is from, that it is
//! whole, and whether it came before. (<https://www.standardwebhooks.com>)

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue};
use puerto_core::Secret;
use ring::hmac;

use super::document::Document;
use super::words::Words;
use super::{Endpoint, Request};
use crate::alert::Notice;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What requests are signed with.
pub(super) struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Key {
    /// Of a text as it is given out: `whsec_` and bytes in base64; any other is the key itself.
    pub(super) fn new(secret: &Secret) -> Result<Self, String> {
        let bytes = match secret.reveal().strip_prefix("whsec_") {
            Some(encoded) => BASE64_STANDARD
                .decode(encoded)
                .map_err(|_| "what follows \"whsec_\" is not base64".to_owned())?,
            None => secret.reveal().as_bytes().to_vec(),
        };
        // 24 bytes are what the specification asks for at least; half of it nobody guesses either.
        match bytes.len() {
            12.. => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
            short => Err(format!("it has {short} bytes, which somebody could guess")),
        }
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    }
}

pub(super) fn request(
    to: &Endpoint,
    key: Option<&Key>,
    words: &Words,
    notice: &Notice,
    now_ms: i64,
) -> Request {
    signed(to.post(&Document::of(notice, words)), key, &notice.key, now_ms)
}

/// A request with what says whom it is from, and whether it came before.
pub(super) fn signed(mut request: Request, key: Option<&Key>, id: &str, now_ms: i64) -> Request {
    // The dots part what is signed.
    let id: String = id.chars().map(|c| if c.is_ascii_graphic() && c != '.' { c } else { '_' }).collect();
    let seconds = now_ms / 1000;
    let mut add = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            request.headers.insert(name, value);
        }
    };
    add(ID, &id);
    add(TIMESTAMP, &seconds.to_string());
    if let Some(key) = key {
        add(SIGNATURE, &key.sign(&id, seconds, &request.body));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        // The example of the specification's own libraries.
        let key = Key::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for bad in ["whsec_?", "whsec_c2hvcnQ=", "short"] {
            assert!(Key::new(&Secret::new(bad)).is_err(), "{bad}");
        }
    }
}
