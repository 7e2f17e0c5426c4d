//! Arguments of calls: what is taken, what is explained.

use serde::Deserialize;

use super::*;

/// Arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Given {
    /// A path.
    path: String,
    /// How many.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10))]
    limit: Option<u64>,
    /// Which.
    #[serde(default)]
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Text,
    Base64,
}

fn parse(text: &str) -> Result<Given, CallError> {
    arguments("read", &RawValue::from_string(text.into()).unwrap())
}

#[test]
fn a_mismatch_names_the_field_and_what_was_expected() {
    for (given, expected) in [
        (
            r#"{"path":1}"#,
            r#"the arguments of "read" are not valid at "path": invalid type: integer `1`, expected a string"#,
        ),
        (
            r#"{"path":"a","limit":"x"}"#,
            r#"the arguments of "read" are not valid at "limit": invalid type: string "x", expected u64"#,
        ),
        (r#"{}"#, r#"the arguments of "read" are not valid: missing field `path`"#),
        (
            r#"{"path":"a","pth":1}"#,
            r#"the arguments of "read" are not valid: unknown field `pth`, expected one of `path`, `limit`, `kind`"#,
        ),
    ] {
        assert_eq!(parse(given).unwrap_err().to_string(), expected, "{given}");
    }
    let good = parse(r#"{"path":"a","limit":3,"kind":"text"}"#).unwrap();
    assert_eq!((good.path.as_str(), good.limit), ("a", Some(3)));
    assert!(matches!(good.kind, Some(Kind::Text)));
}

#[test]
fn an_input_schema_is_plain_enough_for_every_client() {
    assert_eq!(
        input_schema::<Given>(),
        json!({
            "type": "object",
            "description": "Arguments.",
            "additionalProperties": false,
            "required": ["path"],
            "properties": {
                "path": { "type": "string", "description": "A path." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 10, "description": "How many." },
                "kind": { "type": "string", "enum": ["text", "base64"], "description": "Which." },
            },
        })
    );
}

#[test]
fn a_number_outside_its_limits_is_refused_with_them() {
    assert_eq!(within("limit", None, 5, 10).unwrap(), 5);
    assert_eq!(within("limit", Some(10), 5, 10).unwrap(), 10);
    let error = within("limit", Some(11), 5, 10).unwrap_err().to_string();
    assert_eq!(error, "\"limit\" must be between 1 and 10, not 11");
    assert!(within("limit", Some(0), 5, 10).is_err());
}

#[tokio::test]
async fn blocking_work_is_not_waited_for_when_the_caller_leaves() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let result = blocking(&cancel, || Ok(())).await;
    assert!(matches!(result, Err(CallError::Cancelled)));
}
