//! The scanner against serde_json, and what it refuses.

use super::*;
use proptest::prelude::*;

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_ends_where_it_ends(value in json(), pretty: bool, tail in "[ \n\t]{0,3}") {
        let mut text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let length = text.len();
        text.push_str(&tail);
        let mut scanner = Scanner::new(text.as_bytes());
        prop_assert_eq!(scanner.value().unwrap().range(), 0..length);
        scanner.end().unwrap();
    }

    #[test]
    fn long_strings_end_at_their_quote(parts in prop::collection::vec(prop_oneof!["[a-z ]{0,90}", Just("\\\\".to_owned()), Just("\\\"".to_owned()), Just("\\n".to_owned())], 0..60)) {
        let string = format!("\"{}\"", parts.concat());
        let text = format!("{string},\"tail\":\"{}\"", "x".repeat(100));
        prop_assert_eq!(Scanner::new(text.as_bytes()).value().unwrap().range(), 0..string.len());
        prop_assert!(Scanner::new(&string.as_bytes()[..string.len() - 1]).value().is_err());
    }

    #[test]
    fn members_are_found_as_serde_finds_them(value in json()) {
        let serde_json::Value::Object(map) = &value else { return Ok(()) };
        let text = serde_json::to_string(&value).unwrap();
        let mut found = serde_json::Map::new();
        Scanner::new(text.as_bytes()).object(|s, key| {
            let span = s.value()?;
            found.insert(key.to_owned(), serde_json::from_slice(span.of(text.as_bytes())).unwrap());
            Ok(())
        }).unwrap();
        prop_assert_eq!(&found, map);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Scanner::new(&bytes).value();
        let _ = Scanner::new(&bytes).object(|s, _| s.value().map(drop));
    }

    #[test]
    fn a_cut_text_is_never_whole(value in json(), cut in 0.0f64..1.0) {
        prop_assume!(value.is_object() || value.is_array());
        let text = serde_json::to_string(&value).unwrap();
        let cut = (text.len() as f64 * cut) as usize;
        prop_assert!(Scanner::new(&text.as_bytes()[..cut]).value().is_err());
    }
}

#[test]
fn depth_is_bounded() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(Scanner::new(deep(DEPTH_MAX as usize).as_bytes()).value().is_ok());
    assert!(Scanner::new(deep(DEPTH_MAX as usize + 1).as_bytes()).value().is_err());
}

#[test]
fn brackets_must_match() {
    for bad in ["[}", "{]", "[[]", "{\"a\":[}", "[\"", "[\"\\", "[\"\\\"]"] {
        assert!(Scanner::new(bad.as_bytes()).value().is_err(), "{bad}");
    }
}

#[test]
fn keys_are_read_through_escapes() {
    let mut keys = Vec::new();
    Scanner::new(br#"{"i\u0064": 1, "a\"b" :2}"#)
        .object(|s, key| {
            keys.push(key.to_owned());
            s.value().map(drop)
        })
        .unwrap();
    assert_eq!(keys, ["id", "a\"b"]);
}
