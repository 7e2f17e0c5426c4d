//! Sending to real receivers: web servers of the test, and a mail server of others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use puerto_core::def::ChannelDef;
use puerto_core::{Severity, TenantId};
use puerto_testkit::smtp::Speaks;
use puerto_testkit::{MailServer, Web};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::alert::{Alerted, Reason};

fn channel(members: Value) -> Channel {
    let def: ChannelDef = serde_json::from_value(members).unwrap();
    Channel::new(&def).unwrap()
}

fn notice(key: &str) -> Notice {
    let alert = Alerted {
        id: "1".into(),
        rule: "service_down".into(),
        subject: "shop".into(),
        severity: Severity::Critical,
        labels: BTreeMap::from([("service".into(), "shop".into())]),
        summary: "shop is down".into(),
        description: ".\nthe line above is a dot".into(),
        value: None,
        since_ms: 1_795_323_600_000,
        until_ms: None,
    };
    Notice {
        key: key.into(),
        tenant: TenantId::default(),
        channel: "on-call".into(),
        group: "service=shop".into(),
        labels: BTreeMap::new(),
        reason: Reason::Fired,
        alerts: vec![alert],
        more: 0,
        at_ms: 1_795_323_900_000,
    }
}

async fn send(members: Value) -> Outcome {
    Sender::new().send(&channel(members), &notice("k1")).await
}

/// The same on a runtime of its own, for tests that wait for threads.
fn sent(members: Value) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(send(members))
}

fn later(outcome: &Outcome) -> (Option<Duration>, &str) {
    match outcome {
        Outcome::Retry { after, why } => (*after, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_webhook_comes_once_and_signed() {
    let web = Web::start();
    let url = format!("{}hooks/s3cret?a=b", web.url());
    let members =
        json!({ "type": "webhook", "url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
    assert_eq!(sent(members), Outcome::Sent);
    let heard = web.wait_for("/hooks/s3cret?a=b", 1).remove(0);
    assert_eq!(heard.line, "POST /hooks/s3cret?a=b HTTP/1.1");
    assert_eq!(heard.json()["alerts"][0]["summary"], "shop is down");
    assert_eq!(
        (heard.header("webhook-id"), heard.header("host")),
        (Some("k1"), Some(&*web.address().to_string()))
    );
    // What its receiver would do.
    let signed = format!("k1.{}.{}", heard.header("webhook-timestamp").unwrap(), heard.body);
    let key = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .unwrap();
    let signature = heard.header("webhook-signature").unwrap().strip_prefix("v1,").unwrap();
    let signature = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, signature).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    ring::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
}

#[test]
fn every_kind_over_http_reaches_its_path() {
    let web = Web::start();
    let (url, base) = (format!("{}x", web.url()), web.url());
    for (members, path) in [
        (json!({ "type": "slack", "url": url }), "/x"),
        (json!({ "type": "discord", "url": url }), "/x"),
        (json!({ "type": "teams", "url": url }), "/x"),
        (json!({ "type": "pagerduty", "url": url, "routing_key": "r" }), "/x"),
        (json!({ "type": "telegram", "url": base, "token": "1:a", "chat": "2" }), "/bot1:a/sendMessage"),
        (json!({ "type": "ntfy", "url": base, "topic": "t", "token": "tk" }), "/"),
        (json!({ "type": "alertmanager", "url": base }), "/api/v2/alerts"),
    ] {
        let kind = members["type"].clone();
        assert_eq!(sent(members), Outcome::Sent, "{kind}");
        let last = web.requests().pop().unwrap();
        assert_eq!((last.path(), last.header("content-type")), (path, Some("application/json")), "{kind}");
        assert!(last.body.contains("shop is down"), "{kind}: {}", last.body);
    }
}

#[test]
fn what_a_receiver_answers_decides() {
    let web = Web::start();
    let hook = || json!({ "type": "webhook", "url": format!("{}s3cret", web.url()) });
    web.says(|says| {
        says.next.extend([503, 429]);
        says.headers = vec!["Retry-After: 7"];
        says.body = "later, please".into();
    });
    assert_eq!(
        later(&sent(hook())),
        (Some(Duration::from_secs(7)), "the receiver answered 503: later, please")
    );
    assert_eq!(later(&sent(hook())).0, Some(Duration::from_secs(7)));
    assert_eq!(sent(hook()), Outcome::Sent);
    // A redirect is not followed, wherever it leads.
    web.says(|says| {
        says.status = 302;
        says.headers = vec!["Location: http://127.0.0.1:1/"];
    });
    assert_eq!(sent(hook()), Outcome::Refused { why: "the receiver answered 302: later, please".into() });
    web.says(|says| {
        says.status = 404;
        says.body = "x".repeat(100_000);
    });
    let Outcome::Refused { why } = sent(hook()) else { panic!("refused") };
    assert!(why.starts_with("the receiver answered 404: xxx") && why.len() < 300, "{why}");
    assert_eq!(web.requests().len(), 5);

    web.says(|says| says.answers = false);
    let mut slow = hook();
    slow["timeout"] = "200ms".into();
    let outcome = sent(slow);
    assert_eq!(later(&outcome), (None, &*format!("{} did not answer within 200 ms", web.address())));
    let address = web.address();
    drop(web);
    let gone = sent(json!({ "type": "webhook", "url": format!("http://u:s3cret@{address}/s3cret") }));
    assert!(
        later(&gone).1.starts_with("could not connect to") && !later(&gone).1.contains("s3cret"),
        "{gone:?}"
    );
}

/// A certificate for 127.0.0.1 with its key, and that of its authority: three files (PEM).
fn certificates(dir: &tempfile::TempDir) -> [PathBuf; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &authority, &authority_key).unwrap();
    let keep = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    [keep("own.pem", own.pem()), keep("key.pem", key.serialize_pem()), keep("ca.pem", authority.pem())]
}

fn mail(server: &MailServer, smtp: Value, more: Value) -> Value {
    let mut channel = json!({
        "type": "email", "from": "Puerto <puerto@example.com>", "to": ["anna@example.com", "bob@example.com"],
        "smtp": { "host": "127.0.0.1", "port": server.port() },
    });
    let (Value::Object(smtp), Value::Object(more)) = (smtp, more) else { panic!("objects") };
    channel["smtp"].as_object_mut().unwrap().extend(smtp);
    channel.as_object_mut().unwrap().extend(more);
    channel
}

#[test]
fn a_mail_comes_as_it_is_written() {
    let server = MailServer::start(Speaks::Plain, None);
    let channel = mail(&server, json!({ "tls": "none" }), json!({}));
    assert_eq!(sent(channel.clone()), Outcome::Sent);
    let got = server.mail();
    assert_eq!(
        (got.from.as_str(), got.to.join(",").as_str()),
        ("puerto@example.com", "anna@example.com,bob@example.com")
    );
    assert_eq!(got.subject, "[CRITICAL] shop is down");
    let text = got.text.replace("\r\n", "\n");
    assert!(text.contains("critical: shop is down\n.\nthe line above is a dot\n"), "{text}");
    assert!(got.html.contains("[CRITICAL] shop is down</h1>"), "{}", got.html);
    assert!(!got.secure && got.user.is_none());

    server.answers(451);
    let outcome = sent(channel.clone());
    assert!(later(&outcome).1.contains("451") || later(&outcome).1.contains("told to say so"), "{outcome:?}");
    server.answers(550);
    assert!(matches!(sent(channel.clone()), Outcome::Refused { why } if why.contains("told to say so")));
    server.answers(250);
    assert_eq!(sent(channel), Outcome::Sent);
    assert_eq!(server.mail().raw.matches("Message-ID: ").count(), 1);
}

#[test]
fn mail_goes_over_tls_and_with_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let [own, key, ca] = certificates(&dir);
    let login = json!({ "user": "puerto", "password": "s3cret" });
    let ca = json!({ "ca_file": ca });
    let server = MailServer::start(Speaks::Starttls(&own, &key), Some(("puerto", "s3cret")));
    assert_eq!(sent(mail(&server, login.clone(), ca.clone())), Outcome::Sent);
    let got = server.mail();
    assert_eq!((got.secure, got.user.as_deref()), (true, Some("puerto")));
    let wrong = sent(mail(&server, json!({ "user": "puerto", "password": "wr0ng" }), ca.clone()));
    assert!(matches!(&wrong, Outcome::Refused { why } if !why.contains("wr0ng")), "{wrong:?}");
    // An authority that nobody knows.
    let unknown = sent(mail(&server, login.clone(), json!({})));
    assert!(later(&unknown).1.to_lowercase().contains("certificate"), "{unknown:?}");

    let server = MailServer::start(Speaks::Tls(&own, &key), None);
    assert_eq!(sent(mail(&server, json!({ "tls": "tls" }), ca.clone())), Outcome::Sent);
    assert!(server.mail().secure);

    // No mail without TLS where it was asked for.
    let plain = MailServer::start(Speaks::Plain, None);
    let refused = sent(mail(&plain, json!({ "tls": "starttls" }), ca));
    assert!(matches!(refused, Outcome::Refused { .. }), "{refused:?}");
}
