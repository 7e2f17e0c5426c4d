//! Conditions that hold, that do not, and that are none.

use proptest::prelude::*;

use super::*;

fn found() -> Found {
    Found {
        connected: true,
        status: Some(200),
        response_time: Duration::from_millis(250),
        ip: Some([127, 0, 0, 1].into()),
        body: br#"{"status":"ok","count":3,"items":[{"id":7,"name":"john"},{"id":8,"name":"jane"}],"none":null,"price":1.50}"#.to_vec(),
        certificate_expiration: Some(Duration::from_secs(72 * 3600)),
        dns_rcode: Some("NOERROR"),
        ..Found::default()
    }
}

fn holds(text: &str) -> bool {
    Condition::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).judge(&found()).holds
}

#[test]
fn conditions_of_gatus_are_judged_as_there() {
    for text in [
        "[STATUS] == 200",
        "[STATUS] != 500",
        "[STATUS] < 300",
        "[STATUS] <= 200",
        "[STATUS] == any(200, 429)",
        "[STATUS] != any(500, 502)",
        "[CONNECTED] == true",
        "[RESPONSE_TIME] < 300",
        "[RESPONSE_TIME] >= 250ms",
        "[RESPONSE_TIME] < 1s",
        "[IP] == 127.0.0.1",
        "[IP] == pat(127.*)",
        "[BODY].status == ok",
        "[BODY].items[0].name == john",
        "[BODY].items[1].name == pat(j*e)",
        "[BODY].count == 3",
        "[BODY].price == 1.5",
        "[BODY].none == null",
        "len([BODY].items) == 2",
        "len([BODY]) == 5",
        "len([BODY].status) == 2",
        "has([BODY].errors) == false",
        "has([BODY].items[1]) == true",
        "[BODY].missing != ok",
        "[BODY] == pat(*john*)",
        "[CERTIFICATE_EXPIRATION] > 48h",
        "[CERTIFICATE_EXPIRATION] > 2d",
        "[CERTIFICATE_EXPIRATION] < 3d1m",
        "[DNS_RCODE] == NOERROR",
        "200 == [STATUS]",
    ] {
        assert!(holds(text), "{text}");
    }
    for text in [
        "[STATUS] == 201",
        "[STATUS] > 200",
        "[BODY].missing == ok",
        "[BODY].missing > 0",
        "[BODY].status > 1",
        "len([BODY].missing) == 0",
        "[IP] == pat(10.*)",
        "[STATUS] == any(500, pat(4*))",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn what_does_not_hold_shows_what_was_found() {
    let shown = |text: &str, found: &Found| Condition::parse(text).unwrap().judge(found).shown;
    assert_eq!(shown("[STATUS] == any(201,  202)", &found()), "[STATUS] (200) == any(201, 202)");
    assert_eq!(shown("len([BODY].items) > 3", &found()), "len([BODY].items) (2) > 3");
    assert_eq!(shown("[BODY].a.b == 1", &found()), "[BODY].a.b (nothing) == 1");
    let long = Found { body: vec![b'x'; 5000], ..Found::default() };
    assert_eq!(shown("[BODY] == ok", &long), format!("[BODY] ({}…) == ok", "x".repeat(SHOWN_MAX)));
}

#[test]
fn a_body_is_read_where_a_condition_looks_into_it() {
    let needs = |text| Condition::parse(text).unwrap().needs_body();
    for text in [
        "[BODY] == ok",
        "200 == [BODY].a",
        "len([BODY]) > 1",
        "has([BODY].a) == true",
        "[STATUS] == any(1, [BODY])",
    ] {
        assert!(needs(text), "{text}");
    }
    assert!(!needs("[STATUS] == BODY") && !needs("[RESPONSE_TIME] < 300"));
}

#[test]
fn a_mistake_says_where_it_is_and_how_to_mend_it() {
    let told = |text: &str| {
        let fault = Condition::parse(text).unwrap_err();
        format!("{}: {fault}", fault.at)
    };
    assert_eq!(told("[status] == 200"), "0: a check finds no [status]; did you mean [STATUS]?");
    assert_eq!(
        told("200 == 200"),
        "0: it is about nothing that a check finds; name one of [STATUS], [RESPONSE_TIME], [IP], [BODY], [CONNECTED], [CERTIFICATE_EXPIRATION], [DNS_RCODE]"
    );
    for (text, at) in [
        ("", 0),
        ("[STATUS]==200", 0),
        ("[STATUS] = 200", 0),
        ("[STATUS] == ", 12),
        ("[STATUS] == 200 == 300", 16),
        ("[STATUS].x == 200", 8),
        ("[BODY]..x == 1", 6),
        ("[BODY][x] == 1", 6),
        ("len([BODY].a == 1", 0),
        ("has(BODY) == true", 4),
        ("[STATUS] < any(1, 2)", 9),
        ("[STATUS] == any(any(1), 2)", 16),
    ] {
        assert_eq!(Condition::parse(text).unwrap_err().at, at, "{text}: {}", told(text));
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read_or_judged(text in "\\PC{0,40}", body in "\\PC{0,60}") {
        for text in [text.clone(), format!("[BODY]{text} == {text}"), format!("{text} != any({text})")] {
            if let Ok(condition) = Condition::parse(&text) {
                condition.judge(&Found { body: body.clone().into_bytes(), ..found() });
            }
        }
    }

    #[test]
    fn numbers_are_ordered_as_numbers(one in -1000i32..1000, other in -1000i32..1000) {
        let body = format!(r#"{{"one":{one}}}"#).into_bytes();
        let judge = |sign: &str| {
            Condition::parse(&format!("[BODY].one {sign} {other}")).unwrap().judge(&Found { body: body.clone(), ..found() }).holds
        };
        prop_assert_eq!(judge("<"), one < other);
        prop_assert_eq!(judge("=="), one == other);
        prop_assert_eq!(judge(">="), one >= other);
    }
}
