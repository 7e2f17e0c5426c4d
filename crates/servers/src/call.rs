//! What all built-in servers share around a call: schemas from types, arguments from JSON, answers to
//! JSON, and blocking work that stops being waited for when the caller leaves.

use std::borrow::Cow;

use puerto_mcp::builtin::{Annotations, Answer, Body, CallError, Contents, Tool};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Reads only; the same question has the same effect.
pub(crate) const READS: Annotations = Annotations {
    read_only_hint: true,
    destructive_hint: false,
    idempotent_hint: true,
    open_world_hint: false,
};
/// Adds something and destroys nothing; twice is not once.
pub(crate) const ADDS: Annotations = Annotations { read_only_hint: false, idempotent_hint: false, ..READS };
/// May destroy something; twice is once.
pub(crate) const REPLACES: Annotations = Annotations {
    read_only_hint: false,
    destructive_hint: true,
    idempotent_hint: true,
    open_world_hint: false,
};
/// May destroy something; twice is not once.
pub(crate) const DESTROYS: Annotations = Annotations { idempotent_hint: false, ..REPLACES };

/// A call that failed in a way that the model should read.
pub(crate) fn failed(text: impl Into<String>) -> CallError {
    CallError::Failed(text.into())
}

/// A tool whose arguments and result are the types `A` and `R`.
pub(crate) fn tool<A: JsonSchema, R: JsonSchema>(
    name: &'static str,
    title: &'static str,
    description: impl Into<Cow<'static, str>>,
    annotations: Annotations,
) -> Tool {
    let description = description.into();
    Tool {
        name: name.into(),
        title: title.into(),
        description,
        input_schema: input_schema::<A>(),
        output_schema: Some(output_schema::<R>()),
        annotations,
    }
}

fn input_schema<A: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let settings = settings.with_transform(RecursiveTransform(plain));
    rooted(settings.into_generator().into_root_schema_for::<A>())
}

fn output_schema<R: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let settings = settings.with_transform(RecursiveTransform(unformatted));
    rooted(settings.into_generator().into_root_schema_for::<R>())
}

/// The root is an object whatever the type was, and carries no Rust name.
fn rooted(mut schema: Schema) -> Value {
    schema.remove("title");
    schema.insert("type".into(), "object".into());
    if schema.get("properties").is_none() {
        schema.insert("properties".into(), json!({}));
    }
    schema.to_value()
}

/// Optional arguments are left out rather than null: several clients refuse a list of types, and
/// models are led to write nulls.
fn plain(schema: &mut Schema) {
    unformatted(schema);
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    let kind = match schema.get_mut("type") {
        Some(Value::Array(kinds)) => {
            kinds.retain(|kind| kind != "null");
            (kinds.len() == 1).then(|| kinds.remove(0))
        }
        _ => None,
    };
    if let Some(kind) = kind {
        schema.insert("type".into(), kind);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let only = match schema.get_mut("anyOf") {
        Some(Value::Array(any)) => {
            any.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
            if any.len() == 1 { any.pop() } else { None }
        }
        _ => None,
    };
    if let Some(Value::Object(only)) = only {
        schema.remove("anyOf");
        for (key, value) in only {
            if schema.get(&key).is_none() {
                schema.insert(key, value);
            }
        }
    }
}

/// `uint32` and the like are Rust's words, not JSON Schema's; strict validators warn about them.
fn unformatted(schema: &mut Schema) {
    let is_rust = schema
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| format.starts_with("uint") || format.starts_with("int") || format == "double");
    if is_rust || schema.get("format").is_some_and(|format| format == "float") {
        schema.remove("format");
    }
}

/// The arguments of a tool, checked.
pub(crate) fn arguments<A: DeserializeOwned>(tool: &str, given: &RawValue) -> Result<A, CallError> {
    let mut json = serde_json::Deserializer::from_str(given.get());
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner().to_string();
        // The position in a text that the model wrote as an object tells it nothing.
        let reason = inner.rsplit_once(" at line ").map_or(inner.as_str(), |(reason, _)| reason);
        // An unknown field is named by the reason already; its path is the field itself.
        let place = match path.as_str() {
            "." => String::new(),
            _ if reason.contains(&format!("`{path}`")) => String::new(),
            path => format!(" at \"{path}\""),
        };
        failed(format!("the arguments of \"{tool}\" are not valid{place}: {reason}"))
    })
}

/// A number within its limits, or its default.
pub(crate) fn within(field: &str, given: Option<u64>, default: u64, max: u64) -> Result<u64, CallError> {
    match given {
        None => Ok(default),
        Some(n) if (1..=max).contains(&n) => Ok(n),
        Some(n) => Err(failed(format!("\"{field}\" must be between 1 and {max}, not {n}"))),
    }
}

/// The structured answer of a tool.
pub(crate) fn answer<R: Serialize>(result: &R) -> Result<Answer, CallError> {
    Ok(serde_json::value::to_raw_value(result).map_err(|error| unwritable(&error))?.into())
}

/// The contents of a resource that is JSON.
pub(crate) fn json_contents<R: Serialize>(uri: &str, result: &R) -> Result<Vec<Contents>, CallError> {
    let text = serde_json::to_string(result).map_err(|error| unwritable(&error))?;
    Ok(vec![Contents { uri: uri.into(), mime_type: JSON.into(), body: Body::Text(text) }])
}

/// MIME type of JSON.
pub(crate) const JSON: &str = "application/json";

fn unwritable(error: &serde_json::Error) -> CallError {
    tracing::error!(%error, "could not write an answer as json");
    failed("could not write the answer as json")
}

/// Runs blocking work. When the caller leaves, nobody waits for it any more; work that can last also
/// looks at `cancel` itself.
pub(crate) async fn blocking<T: Send + 'static>(
    cancel: &CancellationToken,
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(CallError::Cancelled),
        done = tokio::task::spawn_blocking(work) => match done {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "blocking work of a built-in server ended badly");
                Err(failed("the server failed inside; the operator's log says more"))
            }
        },
    }
}

#[cfg(test)]
mod tests;
