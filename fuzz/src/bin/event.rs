//! Events as they are reported: behind a line with the media type the body. What is taken is within the limits, and its
//! payload is JSON; each event of a list is the one that it is alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use puerto_watch::event::{ATTRIBUTE_LEN_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX, Fault, Report, Reported};
use serde_json::Value;
use serde_json::value::RawValue;

fn read(content_type: &str, body: &str) -> Result<Reported, Fault> {
    Report { content_type, attributes: &[], body: body.as_bytes(), source: "fuzz" }.read()
}

fuzz_target!(|text: &str| {
    let (media, body) = text.split_once('\n').unwrap_or(("application/json", text));
    let reported = match read(media, body) {
        Ok(reported) => reported,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return;
        }
    };
    assert!((1..=BATCH_EVENTS_MAX).contains(&reported.events.len()));
    for event in &reported.events {
        let attributes = [Some(&event.kind), Some(&event.source), event.subject.as_ref()];
        for attribute in attributes.into_iter().flatten() {
            assert!(!attribute.is_empty() && attribute.len() <= ATTRIBUTE_LEN_MAX, "{attribute:?}");
        }
        assert!(event.payload.get().len() <= EVENT_BYTES_MAX);
        let payload: Result<Value, _> = serde_json::from_str(event.payload.get());
        assert!(payload.is_ok(), "{:?}", event.payload);
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(body) else { return };
    assert!(reported.is_list && items.len() == reported.events.len());
    for (item, event) in items.iter().zip(&reported.events) {
        let alone = read("application/json", item.get()).expect("it was taken in a list");
        assert_eq!((&alone.events[0].kind, alone.events[0].payload.get()), (&event.kind, event.payload.get()));
    }
});
