//! What each receiver is sent, as golden files (UPDATE_EXPECT=1 rewrites them), and what is wrong with definitions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{ExpectFile, expect_file};
use puerto_core::{Severity, TenantId};
use serde_json::{Value, json};

use super::*;
use crate::alert::{Alerted, Reason};

/// 2026-11-22 05:00:00 UTC
const AT: i64 = 1_795_323_600_000;
const MINUTE: i64 = 60_000;

fn channel(members: Value) -> Channel {
    let def: ChannelDef = serde_json::from_value(members).unwrap();
    Channel::new(&def).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn alert(subject: &str, severity: Severity) -> Alerted {
    Alerted {
        id: format!("id-{subject}"),
        rule: "service_down".into(),
        subject: subject.into(),
        severity,
        labels: labels(&[("service", subject), ("team", "shop")]),
        summary: format!("{subject} is down"),
        description: "the server answered 503".into(),
        value: Some(3.0),
        since_ms: AT - 5 * MINUTE,
        until_ms: None,
    }
}

fn notice(reason: Reason, alerts: Vec<Alerted>) -> Notice {
    Notice {
        key: "n-0123456789abcdef".into(),
        tenant: TenantId::default(),
        channel: "on-call".into(),
        group: "service=shop".into(),
        labels: labels(&[("team", "shop")]),
        reason,
        alerts,
        more: 0,
        at_ms: AT,
    }
}

/// What names in every language of markup, and in the heads of mails, could be taken for something else.
fn hostile() -> Notice {
    let mut nasty = alert("shop", Severity::Warning);
    nasty.summary = "<!channel> <b>&amp; *bold* @everyone <@123> [x](http://evil) {{ title }}\r\nBcc: all@example.com\r\n\r\n.\r\n".into();
    nasty.description =
        "</p><script>alert(1)</script> \"quoted\" 'single' \\ | <at>all</at> \u{202e}😀".into();
    nasty.labels = labels(&[("a\nb", "c\r\nd"), ("1 bad-name", "x"), ("empty", "")]);
    notice(Reason::Fired, vec![nasty])
}

/// The notices that each channel is tried with.
fn notices() -> Vec<(&'static str, Notice)> {
    let mut over = alert("shop", Severity::Critical);
    over.until_ms = Some(AT - MINUTE);
    let mut two =
        notice(Reason::Escalated, vec![alert("shop", Severity::Critical), alert("cart", Severity::Error)]);
    two.more = 7;
    vec![
        ("fired", notice(Reason::Fired, vec![alert("shop", Severity::Critical)])),
        ("escalated, two of nine", two),
        ("resolved", notice(Reason::Resolved, vec![over])),
        ("hostile", hostile()),
    ]
}

/// Far more than any receiver takes.
fn flood() -> Notice {
    let mut alerts: Vec<_> = (0..400).map(|n| alert(&format!("shop{n:03}"), Severity::Error)).collect();
    alerts[0].summary = format!("{} \"ä\" 😀", "long ".repeat(2_000));
    let mut flood = notice(Reason::Fired, alerts);
    flood.more = 100;
    flood
}

fn shown(message: Message) -> String {
    let mut text = String::new();
    match message {
        Message::Request(request) => {
            writeln!(text, "{} {}", request.method, request.url).unwrap();
            let mut headers: Vec<_> = request.headers.iter().collect();
            headers.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in headers {
                writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
            }
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            writeln!(text, "\n{body:#}").unwrap();
        }
        Message::Mail(letter) => {
            writeln!(text, "{} -> {}\n", letter.from, letter.to.join(", ")).unwrap();
            text.push_str(&letter.text.replace("\r\n", "\n"));
        }
        Message::Line(line) => writeln!(text, "{line}").unwrap(),
    }
    text
}

fn check(members: Value, expected: &ExpectFile) {
    let channel = channel(members);
    let mut text = String::new();
    for (name, notice) in notices() {
        let message = channel.message(&notice, AT);
        writeln!(text, "=== {name}\n{}", shown(message)).unwrap();
    }
    expected.assert_eq(&text);
}

fn size(message: &Message) -> usize {
    match message {
        Message::Request(request) => request.body.len(),
        Message::Mail(letter) => letter.text.len(),
        Message::Line(line) => line.len(),
    }
}

fn body(members: Value, notice: &Notice) -> Value {
    let Message::Request(request) = channel(members).message(notice, AT) else { panic!("a request") };
    serde_json::from_slice(&request.body).unwrap()
}

fn units(value: &Value) -> usize {
    value.as_str().unwrap().encode_utf16().count()
}

fn mail() -> Value {
    json!({
        "type": "email", "smtp": { "host": "127.0.0.1" }, "from": "Püerto <puerto@example.com>",
        "to": ["anna@example.com", "\"Bob, the second\" <bob@example.com>"],
    })
}

#[test]
fn each_receiver_gets_its_form() {
    let hook = "https://user:pass@hooks.example/T0/B0/s3cret";
    let signed = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    check(
        json!({ "type": "webhook", "url": hook, "secret": signed, "headers": { "X-Team": "shop" } }),
        &expect_file!["tests/webhook.txt"],
    );
    check(
        json!({ "type": "slack", "url": "https://hooks.slack.com/services/T0/B0/s3cret" }),
        &expect_file!["tests/slack.txt"],
    );
    check(
        json!({ "type": "discord", "url": "https://discord.com/api/webhooks/1/s3cret" }),
        &expect_file!["tests/discord.txt"],
    );
    check(
        json!({ "type": "telegram", "token": "123:s3cret", "chat": "-100" }),
        &expect_file!["tests/telegram.txt"],
    );
    check(mail(), &expect_file!["tests/email.txt"]);
    check(json!({ "type": "pagerduty", "routing_key": "s3cret" }), &expect_file!["tests/pagerduty.txt"]);
    check(
        json!({ "type": "teams", "url": "https://prod.logic.azure.com/workflows/s3cret?sig=x" }),
        &expect_file!["tests/teams.txt"],
    );
    check(
        json!({ "type": "ntfy", "topic": "shop", "token": "tk_s3cret", "priority": { "critical": 4 } }),
        &expect_file!["tests/ntfy.txt"],
    );
    check(
        json!({ "type": "alertmanager", "url": "http://127.0.0.1:9093/am/" }),
        &expect_file!["tests/alertmanager.txt"],
    );
    check(json!({ "type": "stdout" }), &expect_file!["tests/stdout.txt"]);
}

#[test]
fn no_receiver_gets_more_than_it_takes() {
    let flood = flood();
    let url = "https://hooks.example/x";
    let slack = body(json!({ "type": "slack", "url": url }), &flood);
    let text = &slack["attachments"][0]["blocks"][0]["text"]["text"];
    assert!(units(text) <= 3_000 && units(&slack["text"]) <= 300);
    assert!(text.as_str().unwrap().ends_with("…\n\nand 499 more"), "{text}");
    let embed = &body(json!({ "type": "discord", "url": url }), &flood)["embeds"][0];
    assert!(units(&embed["description"]) <= 4_096 && units(&embed["title"]) <= 256);
    assert!(units(&embed["description"]) + units(&embed["title"]) <= 6_000);
    let telegram = body(json!({ "type": "telegram", "token": "1:a", "chat": "1" }), &flood);
    assert!(units(&telegram["text"]) <= 4_096);
    let ntfy = body(json!({ "type": "ntfy", "topic": "t" }), &flood);
    assert!(ntfy["message"].as_str().unwrap().len() <= 4_096);
    let pagerduty = body(json!({ "type": "pagerduty", "routing_key": "k" }), &flood);
    assert!(units(&pagerduty["payload"]["summary"]) <= 1_024);
    assert_eq!(pagerduty["payload"]["custom_details"]["more"], 450);
    assert!(pagerduty.to_string().len() < 512_000);
    let teams = channel(json!({ "type": "teams", "url": url })).message(&flood, AT);
    assert!(size(&teams) <= 28_000, "{}", size(&teams));
    // Lines of one character: the frames are larger than the text.
    let mut lines = notice(Reason::Fired, vec![alert("shop", Severity::Error)]);
    lines.alerts[0].description = "x\n".repeat(4_000);
    let teams = channel(json!({ "type": "teams", "url": url })).message(&lines, AT);
    assert!(size(&teams) <= 28_000, "{}", size(&teams));
    let mail = channel(mail()).message(&flood, AT);
    assert!(size(&mail) <= 1_000_000, "{}", size(&mail));
}

#[test]
fn a_group_is_one_incident_and_one_thread() {
    let notices = notices();
    let of = |at: usize| body(json!({ "type": "pagerduty", "routing_key": "k" }), &notices[at].1);
    assert_eq!(of(0)["dedup_key"], of(2)["dedup_key"]);
    assert_eq!(
        (of(0)["event_action"].as_str(), of(2)["event_action"].as_str()),
        (Some("trigger"), Some("resolve"))
    );
    let mut long = notices[0].1.clone();
    long.group = "x".repeat(300);
    let long = body(json!({ "type": "pagerduty", "routing_key": "k" }), &long);
    assert_eq!(units(&long["dedup_key"]), 32);
}

#[test]
fn nothing_of_a_notice_becomes_a_header_of_a_mail() {
    let text = shown(channel(mail()).message(&hostile(), AT));
    let (_, text) = text.split_once("\n\n").unwrap();
    let (head, _) = text.split_once("\n\n").unwrap();
    assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    let (_, html) = text.split_once("text/html").unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
}

#[test]
fn a_name_longer_than_it_may_be_leaves_the_head_of_a_webhook_whole() {
    let mut odd = notice(Reason::Test, Vec::new());
    odd.key = "a.b\r\nX-Evil: 1 ä".into();
    let Message::Request(request) =
        channel(json!({ "type": "webhook", "url": "http://h/" })).message(&odd, AT)
    else {
        panic!("a request")
    };
    assert_eq!(request.headers["webhook-id"], "a_b__X-Evil:_1__");
    assert!(!request.headers.contains_key("x-evil"));
}

#[test]
fn templates_stand_for_the_usual_words() {
    let template = json!({
        "title": "{{ tenant }}: {{ alerts | length + more }}\n alerts",
        "text": "{% for alert in alerts %}{{ alert.subject | upper }} {{ alert.labels.none }}{{ alert.held }};{% endfor %}{{ title }}",
    });
    let mut two = notices().remove(1).1;
    let ntfy = body(json!({ "type": "ntfy", "topic": "t", "template": template }), &two);
    assert_eq!(ntfy["title"], "default: 9 alerts");
    assert_eq!(ntfy["message"], "SHOP 5 min 0 s;CART 5 min 0 s;[ESCALATED, CRITICAL] 9 alerts: shop is down");
    // One that runs too long, or fails on what it meets: the alert is told all the same.
    let endless =
        json!({ "text": "{% for a in alerts %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}" });
    two.alerts.truncate(1);
    let def = serde_json::from_value(json!({ "type": "ntfy", "topic": "t", "template": endless })).unwrap();
    assert!(faults(&def)[0].starts_with("template: "), "{:?}", faults(&def));
    let fails = json!({ "text": "{{ 1 // (alerts | length - 2) }}" });
    let said = body(json!({ "type": "ntfy", "topic": "t", "template": fails }), &notices()[1].1);
    let said = said["message"].as_str().unwrap();
    assert!(said.contains("shop is down") && said.contains("(the template of the text failed: "), "{said}");
    let much = json!({ "text": "{% for b in range(9999) %}{{ 'ää' * 40 }}{% endfor %}" });
    let text = channel(json!({ "type": "stdout", "template": much })).message(&two, AT);
    assert!(size(&text) < 70_000, "{}", size(&text));
}

fn faults(def: &ChannelDef) -> Vec<String> {
    Channel::new(def).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_definition_says_what_is_wrong_with_it() {
    let faults = |members: Value| faults(&serde_json::from_value(members).unwrap()).join(" | ");
    for kind in ChannelKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert_eq!(
        faults(json!({ "type": "slack" })),
        "url: it lacks the key \"url\"; write as in \"https://host/path\""
    );
    let secret = faults(json!({ "type": "slack", "url": "ftp://s3cret/s3cret" }));
    assert_eq!(secret, "url: it is no address of HTTP; write as in \"https://host/path\"");
    assert!(
        faults(json!({ "type": "telegram", "token": "a/b", "chat": "" }))
            .contains("token: it is no token of a bot")
    );
    assert!(
        faults(json!({ "type": "telegram", "token": "1:a" })).contains("chat: it lacks the key \"chat\"")
    );
    assert_eq!(
        faults(json!({ "type": "stdout", "url": "http://h", "topic": "x" })),
        "url: \"url\" means nothing for a channel of type stdout; it belongs to webhook, slack, discord, telegram, \
         pagerduty, teams, ntfy, alertmanager; leave it out | topic: \"topic\" means nothing for a channel of type \
         stdout; it belongs to ntfy; leave it out"
    );
    assert!(
        faults(json!({ "type": "webhook", "url": "http://h", "secret": "s3cret" }))
            .starts_with("secret: it has 6 bytes")
    );
    assert!(
        faults(json!({ "type": "pagerduty", "routing_key": " " })).starts_with("routing_key: it is empty")
    );
    assert!(faults(json!({ "type": "stdout", "timeout": 0, "limit": 0 })).contains("timeout: "));
    let several = faults(json!({
        "type": "email", "from": "nobody", "to": ["anna@example.com", "a\nb@c", "bücher@example.com"],
        "smtp": { "host": "a b", "tls": "none", "user": "u" }, "template": { "title": "{{ titel }}", "text": "{% if %}" },
    }));
    for part in [
        "from: \"nobody\" is no address of mail",
        "to: there is a control character in it",
        "smtp: it is no name of a host",
        "smtp: there is \"user\" and no \"password\"",
        "template: a notice has no \"titel\"; it has version, key",
        "template: unexpected",
    ] {
        assert!(several.contains(part), "{part}: {several}");
    }
    let open = json!({ "host": "mail.example.com", "tls": "none", "user": "u", "password": "s3cret" });
    let open = faults(json!({ "type": "email", "from": "a@b.example", "to": ["c@d.example"], "smtp": open }));
    assert!(
        open.starts_with("smtp: the password would be sent so that") && !open.contains("s3cret"),
        "{open}"
    );
    let def = json!({ "type": "stdout", "template": { "title": "a\n{{ bad }}" } });
    let fault = Channel::new(&serde_json::from_value(def).unwrap()).unwrap_err().remove(0);
    assert_eq!((fault.inside, fault.at), (crate::probe::Inside::Member("title".into()), Some(5)));
}

#[test]
fn nothing_shows_a_secret() {
    let hidden = format!(
        "{:?}",
        [
            channel(
                json!({ "type": "webhook", "url": "https://u:s3cret@h.example/s3cret", "secret": "s3cret-s3cret-s3cret", "headers": { "X": "s3cret" } })
            ),
            channel(json!({ "type": "telegram", "token": "1:s3cret", "chat": "1" })),
            channel(json!({ "type": "pagerduty", "routing_key": "s3cret" })),
            channel(json!({ "type": "ntfy", "topic": "s3cret", "token": "s3cret" })),
            channel(json!({
                "type": "email", "from": "a@b.example", "to": ["c@d.example"],
                "smtp": { "host": "h.example", "user": "s3cret", "password": "s3cret" },
            })),
        ]
    );
    assert!(!hidden.contains("s3cret") && hidden.contains("h.example:443"), "{hidden}");
}
