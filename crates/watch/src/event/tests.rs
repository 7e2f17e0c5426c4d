//! Reports in every form, and what is wrong with those that are none.

use super::*;

fn read(content_type: &str, body: &str) -> Result<Reported, Fault> {
    Report { content_type, attributes: &[], body: body.as_bytes(), source: "local" }.read()
}

fn one(body: &str) -> Event {
    read("application/json", body).unwrap().events.remove(0)
}

fn fault(content_type: &str, body: &str) -> String {
    read(content_type, body).unwrap_err().to_string()
}

#[test]
fn a_plain_event_keeps_every_byte_of_its_payload() {
    let event = one(r#"{"type":"error","payload":{"b": 1.0, "a":18446744073709551616},"host":"x"}"#);
    assert_eq!(
        (event.kind.as_str(), event.source.as_str(), event.severity),
        ("error", "local", Severity::Error)
    );
    assert_eq!(event.payload.get(), r#"{"b": 1.0, "a":18446744073709551616}"#);
    assert_eq!(event.extensions.unwrap().get(), r#"{"host":"x"}"#);
    assert!(!event.id.is_empty());
    let bare = one(r#"{"type":"deploy.done"}"#);
    assert_eq!((bare.payload.get(), bare.severity), ("null", Severity::Info));
    assert!(bare.extensions.is_none());
}

#[test]
fn times_are_texts_or_milliseconds() {
    let at = |time: &str| one(&format!(r#"{{"type":"x","time":{time}}}"#)).time_us;
    assert_eq!(at(r#""2026-11-22T10:00:00.5Z""#), Some(1_795_341_600_500_000));
    assert_eq!(at(r#""2026-11-22T11:00:00.5+01:00""#), Some(1_795_341_600_500_000));
    assert_eq!(at("1795341600500"), Some(1_795_341_600_500_000));
    assert_eq!(one(r#"{"type":"x","timestamp":1000}"#).time_us, Some(1_000_000));
}

#[test]
fn a_cloud_event_comes_in_three_ways() {
    let cloud = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.paid","subject":"o1",
        "time":"2026-11-22T10:00:00Z","datacontenttype":"application/json","data":{"sum":1},"trace":"t"}"#;
    let event = read("application/cloudevents+json; charset=utf-8", cloud).unwrap().events.remove(0);
    assert_eq!(
        (event.id.as_str(), event.source.as_str(), event.subject.as_deref()),
        ("7", "/shop", Some("o1"))
    );
    assert_eq!(event.payload.get(), r#"{"sum":1}"#);
    assert_eq!(event.extensions.unwrap().get(), r#"{"datacontenttype":"application/json","trace":"t"}"#);

    let batch = read("application/cloudevents-batch+json", &format!("[{cloud}]")).unwrap();
    assert!(batch.is_list && batch.events.len() == 1);

    let attributes =
        [("specversion", "1.0"), ("id", "7"), ("source", "/shop"), ("type", "order.paid"), ("trace", "t")];
    let report = |content_type, body| Report { content_type, attributes: &attributes, body, source: "local" };
    let event = report("application/json", br#"{"sum":1}"#).read().unwrap().events.remove(0);
    assert_eq!((event.payload.get(), event.extensions.unwrap().get()), (r#"{"sum":1}"#, r#"{"trace":"t"}"#));
    let text = report("text/plain", b"paid").read().unwrap().events.remove(0);
    assert_eq!(text.payload.get(), r#""paid""#);
    let bytes = report("application/octet-stream", b"\xff").read().unwrap().events.remove(0);
    assert_eq!(bytes.payload.get(), r#"{"$base64":"/w=="}"#);

    let coded = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"x","data_base64":"/w=="}"#;
    assert_eq!(one(coded).payload.get(), r#"{"$base64":"/w=="}"#);
}

#[test]
fn lines_hold_one_each() {
    let lines = "{\"type\":\"a\"}\n\n{\"type\":\"b\",\"severity\":\"critical\"}\r\n";
    let read = read("application/x-ndjson", lines).unwrap();
    let seen: Vec<_> = read.events.iter().map(|e| (e.kind.as_str(), e.severity)).collect();
    assert_eq!(seen, [("a", Severity::Info), ("b", Severity::Critical)]);
    assert!(read.is_list);
}

#[test]
fn a_fault_names_its_place() {
    for (content_type, body, expected) in [
        ("application/json", "", "event: is not what it should be: EOF"),
        (
            "application/json",
            "7",
            "event: is not what it should be: invalid type: integer `7`, expected an object",
        ),
        ("application/json", "{}", "type: is missing"),
        ("application/json", r#"{"type":1}"#, "type: must be a text"),
        ("application/json", r#"{"type":""}"#, "type: is empty"),
        ("application/json", r#"{"type":"a\nb"}"#, "type: holds a control character"),
        ("application/json", r#"{"type":"a","type":"b"}"#, "type: stands there twice"),
        ("application/json", r#"{"type":"a","severity":"bad"}"#, "severity: \"bad\" is none"),
        ("application/json", r#"{"type":"a","time":"soon"}"#, "time: \"soon\" is no time"),
        ("application/json", "[]", "body: holds no event"),
        ("application/json", r#"[{"type":"a"},{"payload":1}]"#, "events[1].type: is missing"),
        ("application/json", "[7]", "events[0]: is not what"),
        ("application/x-ndjson", "\n{\"type\":\"a\"}\n{}", "line 3.type: is missing"),
        ("application/x-ndjson", "", "body: holds no event"),
        ("application/json", r#"{"specversion":"0.3","type":"a"}"#, "specversion: \"0.3\" is not known"),
        ("application/json", r#"{"specversion":"1.0","type":"a","id":"1"}"#, "source: is missing"),
        ("application/json", r#"{"specversion":"1.0","type":"a","source":"s"}"#, "id: is missing"),
        (
            "application/json",
            r#"{"specversion":"1.0","type":"a","source":"s","id":"1","data":1,"data_base64":""}"#,
            "data_base64: stands beside",
        ),
    ] {
        let said = fault(content_type, body);
        assert!(said.starts_with(expected), "{body}: {said}");
    }
}

#[test]
fn limits_hold() {
    let deep = format!(r#"{{"type":"a","payload":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    assert_eq!(fault("application/json", &deep), "event: 41 levels are more than the limit of 32");
    // What looks like nesting inside a text is none.
    one(&format!(r#"{{"type":"a","payload":"\"{}"}}"#, "[".repeat(40)));
    let long = format!(r#"{{"type":"a","payload":"{}"}}"#, "x".repeat(EVENT_BYTES_MAX));
    let said = format!("event: {} bytes are more than the limit of {EVENT_BYTES_MAX}", long.len());
    assert_eq!(fault("application/json", &long), said);
    let many = "{\"type\":\"a\"}\n".repeat(BATCH_EVENTS_MAX + 1);
    assert_eq!(fault("application/x-ndjson", &many), "body: 1001 events are more than the limit of 1000");
    let name = format!(r#"{{"type":"{}"}}"#, "x".repeat(ATTRIBUTE_LEN_MAX + 1));
    assert_eq!(fault("application/json", &name), "type: 257 bytes are more than the limit of 256");
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_reader(body in ".{0,200}", list: bool) {
        let _ = read(if list { "application/x-ndjson" } else { "application/json" }, &body);
    }
}
