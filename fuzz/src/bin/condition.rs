//! A condition of a check, and behind the first line what was answered. What is taken reads back as itself and is judged
//! alike alone and among others; what is not names a place inside the text.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use puerto_watch::condition::{Condition, Found, judge};

fuzz_target!(|text: &str| {
    let (condition, body) = text.split_once('\n').unwrap_or((text, ""));
    let condition = match Condition::parse(condition) {
        Ok(condition) => condition,
        Err(fault) => {
            assert!(fault.at <= condition.len() && !fault.why.is_empty(), "{fault:?}");
            return;
        }
    };
    assert_eq!(Condition::parse(condition.as_str()).as_ref(), Ok(&condition));
    let found = Found {
        connected: true,
        status: Some(200),
        response_time: Duration::from_millis(250),
        ip: Some([127, 0, 0, 1].into()),
        body: body.as_bytes().to_vec(),
        certificate_expiration: Some(Duration::from_secs(86_400)),
        dns_rcode: Some("NOERROR"),
        ..Found::default()
    };
    let alone = condition.judge(&found);
    for judged in judge(&[condition.clone(), condition], &found) {
        assert_eq!(judged, alone);
    }
});
