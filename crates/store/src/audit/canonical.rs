//! JSON with one way to write it (RFC 8785), so that equal records have equal hashes wherever they are checked.

use std::fmt::Write;

use serde_json::{Number, Value};

/// A number that readers of JSON take for another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not exact in JSON; write it as a text")]
pub struct Inexact(String);

/// The one way to write a value.
///
/// # Errors
/// Where it holds an integer that a double does not hold (RFC 8785, section 3.2.2.3): another one would be written
/// the same.
pub fn canonical(value: &Value) -> Result<String, Inexact> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

fn write(value: &Value, to: &mut String) -> Result<(), Inexact> {
    match value {
        Value::Null => to.push_str("null"),
        Value::Bool(true) => to.push_str("true"),
        Value::Bool(false) => to.push_str("false"),
        Value::Number(number) => to.push_str(&written(number)?),
        Value::String(text) => quoted(text, to),
        Value::Array(items) => {
            to.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(',');
                }
                write(item, to)?;
            }
            to.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            // By UTF-16, as JavaScript has it: that is another order than Rust's where surrogates come in.
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            to.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    to.push(',');
                }
                quoted(key, to);
                to.push(':');
                write(value, to)?;
            }
            to.push('}');
        }
    }
    Ok(())
}

/// Bytes that do not stand for themselves: one look in place of three comparisons.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

/// Whether a text stands for itself: nothing in it needs an escape.
pub(crate) fn is_plain(text: &str) -> bool {
    // All of it is looked at: names are short, and a loop that may end early is not done for many bytes at once.
    !text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\'))
}

pub(crate) fn quoted(text: &str, to: &mut String) {
    to.push('"');
    let mut rest = text;
    // What needs no escape goes over in one piece: nearly always the whole text.
    while let Some(at) = rest.bytes().position(|byte| ESCAPED[usize::from(byte)]) {
        to.push_str(&rest[..at]);
        escaped(rest.as_bytes()[at], to);
        rest = &rest[at + 1..];
    }
    to.push_str(rest);
    to.push('"');
}

fn escaped(byte: u8, to: &mut String) {
    match byte {
        b'"' => to.push_str("\\\""),
        b'\\' => to.push_str("\\\\"),
        8 => to.push_str("\\b"),
        b'\t' => to.push_str("\\t"),
        b'\n' => to.push_str("\\n"),
        12 => to.push_str("\\f"),
        b'\r' => to.push_str("\\r"),
        other => {
            // Writing into a string cannot fail.
            let _ = write!(to, "\\u{other:04x}");
        }
    }
}

/// A number as JavaScript writes it (ECMA-262, Number::toString).
fn written(number: &Number) -> Result<String, Inexact> {
    let inexact = || Inexact(number.to_string());
    let value = number.as_f64().filter(|value| value.is_finite()).ok_or_else(inexact)?;
    let text = of_double(value);
    // Of an integer every digit counts.
    if number.is_f64() || text == number.to_string() { Ok(text) } else { Err(inexact()) }
}

fn of_double(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let shortest = format!("{:e}", value.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let text = if (count..=21).contains(&point) {
        digits + &zeros(point - count)
    } else if (1..=21).contains(&point) {
        let (before, after) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{before}.{after}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{:+}", point - 1)
    };
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn members_are_sorted_as_in_the_standard() {
        // RFC 8785, section 3.2.3.
        let given = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let values: Vec<_> = of(given)
            .split(':')
            .skip(1)
            .map(|rest| rest.trim_start_matches('"').chars().take_while(|c| *c != '"').collect::<String>())
            .filter(|value| !value.starts_with(' '))
            .collect();
        assert_eq!(
            values,
            [
                "Carriage Return",
                "One",
                "Control",
                "Latin Small Letter O With Diaeresis",
                "Euro Sign",
                "Emoji",
                "Hebrew Letter Dalet With Dagesh"
            ]
        );
    }

    #[test]
    fn numbers_and_texts_are_written_as_in_the_standard() {
        // RFC 8785, section 3.2.2 and appendix B.
        assert_eq!(
            of(
                r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#
            ),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        for (bits, written) in [
            (0x0000_0000_0000_0001_u64, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            let number = Number::from_f64(f64::from_bits(bits)).unwrap();
            assert_eq!(super::written(&number).unwrap(), written);
        }
    }

    #[test]
    fn an_integer_that_others_read_differently_is_refused() {
        assert_eq!(of("[9007199254740991,-9007199254740992]"), "[9007199254740991,-9007199254740992]");
        for text in ["9007199254740993", "-9007199254740993", "18446744073709551615"] {
            let refused = canonical(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("the number {text} is not exact in JSON; write it as a text")
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same_value(number in any::<f64>(), text in "\\PC{0,20}") {
            prop_assume!(number.is_finite());
            let text = canonical(&serde_json::json!({ "n": number, "t": text })).unwrap();
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(again["n"].as_f64().unwrap(), number);
            prop_assert_eq!(canonical(&again), Ok(text));
        }
    }
}
