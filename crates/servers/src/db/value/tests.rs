//! Values between SQLite and JSON.

use proptest::prelude::*;

use super::*;

fn written(value: ValueRef<'_>, declared: Option<&str>) -> String {
    let mut out = Vec::new();
    assert!(write(&mut out, value, Shape::of(declared), 1000));
    String::from_utf8(out).unwrap()
}

#[test]
fn values_are_written_by_the_type_of_their_column() {
    let max = ValueRef::Integer(i64::MAX);
    for (value, declared, expected) in [
        (ValueRef::Null, Some("BIGINT"), "null"),
        (ValueRef::Integer(1), None, "1"),
        (ValueRef::Integer(1), Some("INTEGER"), "1"),
        (max, Some("INTEGER"), "9223372036854775807"),
        (ValueRef::Integer(1), Some("BIGINT"), "\"1\""),
        (max, Some("bigint unsigned"), "\"9223372036854775807\""),
        (max, Some("UNSIGNED BIG INT"), "\"9223372036854775807\""),
        (ValueRef::Real(5.1), Some("DECIMAL(10,2)"), "\"5.1\""),
        (ValueRef::Integer(5), Some("decimal(10, 2)"), "\"5\""),
        (ValueRef::Real(5.0), Some("REAL"), "5.0"),
        (ValueRef::Real(0.1), None, "0.1"),
        (ValueRef::Real(f64::INFINITY), None, "\"Infinity\""),
        (ValueRef::Real(f64::NEG_INFINITY), Some("REAL"), "\"-Infinity\""),
        (ValueRef::Text(b"a\"\n"), Some("TEXT"), r#""a\"\n""#),
        (ValueRef::Text(b"12"), Some("TEXT"), "\"12\""),
        (ValueRef::Text(b"{ \"a b\" : [1.10,\n 2] }"), Some("JSON"), r#"{"a b":[1.10,2]}"#),
        (ValueRef::Text(br#"{"a": "\" \\", "b":1}"#), Some("JSON"), r#"{"a":"\" \\","b":1}"#),
        (ValueRef::Text(b"{ broken"), Some("JSON"), "\"{ broken\""),
        (ValueRef::Text(b"[1]"), Some("TEXT"), "\"[1]\""),
        (ValueRef::Blob(&[0, 1, 255]), Some("BLOB"), r#"{"$base64":"AAH/","bytes":3}"#),
        (ValueRef::Text(&[0xff]), Some("TEXT"), r#"{"$base64":"/w==","bytes":1}"#),
    ] {
        assert_eq!(written(value, declared), expected, "{declared:?}");
    }
}

#[test]
fn a_value_without_room_is_not_written() {
    let mut out = Vec::new();
    assert!(!write(&mut out, ValueRef::Text(&[b'a'; 11]), Shape::Plain, 10));
    assert!(write(&mut out, ValueRef::Text(&[b'a'; 10]), Shape::Plain, 10));
}

proptest! {
    #[test]
    fn json_keeps_its_meaning_and_loses_its_line_breaks(
        keys in proptest::collection::vec("[a-z \"\\\\\n\t{}:]{0,8}", 0..4), n in any::<f64>(), pretty in any::<bool>(),
    ) {
        let value: Value = keys.iter().map(|key| (key.clone(), serde_json::json!([n, { key: key }]))).collect();
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let out = written(ValueRef::Text(text.as_bytes()), Some("JSON"));
        prop_assert!(!out.contains('\n'));
        prop_assert_eq!(out, serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn integers_and_texts_come_back_as_they_went(n in any::<i64>(), text in any::<String>()) {
        let SqlValue::Integer(back) = to_sql(&serde_json::json!(n)).unwrap() else { panic!("an integer") };
        prop_assert_eq!(back, n);
        let out = written(ValueRef::Text(text.as_bytes()), None);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
