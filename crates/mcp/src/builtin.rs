//! What a server inside this process looks like to the hub: definitions once, calls by name. Framing,
//! eras, sessions and cancellation are the hub's work, so a built-in server holds none of it.

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

/// A server inside this process: `monitor`, `file`, `db`, or an HTTP API by its OpenAPI document.
pub trait Builtin: Send + Sync + 'static {
    /// Who it is.
    fn about(&self) -> About;
    /// Its tools; the same for its whole life.
    fn tools(&self) -> Vec<Tool>;
    /// What is wrong with what it offers, for people.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
    /// Its resources; the same for its whole life.
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }
    /// Its resource templates; the same for its whole life.
    fn templates(&self) -> Vec<Template> {
        Vec::new()
    }
    /// Runs a tool. `arguments` is a JSON object, not yet checked. Work that can last watches `cancel`.
    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a RawValue,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Answer, CallError>>;
    /// Reads a resource.
    fn read<'a>(
        &'a self,
        _uri: &'a str,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<Contents>, CallError>> {
        Box::pin(std::future::ready(Err(CallError::Unknown)))
    }
}

/// Name, version and advice of a built-in server.
#[derive(Debug, Clone)]
pub struct About {
    /// Programmatic name, such as `puerto-db`.
    pub name: &'static str,
    /// For people.
    pub title: Cow<'static, str>,
    /// How a model should use it; a few sentences.
    pub instructions: Cow<'static, str>,
}

/// A tool, as in `tools/list`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Name.
    pub name: Cow<'static, str>,
    /// For people.
    pub title: Cow<'static, str>,
    /// For models: what it does, when to use it, what it costs.
    pub description: Cow<'static, str>,
    /// JSON Schema 2020-12 of the arguments; the root is an object.
    pub input_schema: serde_json::Value,
    /// JSON Schema 2020-12 of the structured result, where that is known; the root is an object, so that legacy
    /// clients take it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<serde_json::Value>,
    /// Hints for clients.
    pub annotations: Annotations,
}

/// Hints on what a tool does, as in MCP.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Changes nothing.
    pub read_only_hint: bool,
    /// May destroy something.
    pub destructive_hint: bool,
    /// Doing it twice is the same as doing it once.
    pub idempotent_hint: bool,
    /// Reaches beyond this machine.
    pub open_world_hint: bool,
}

/// A resource, as in `resources/list`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// URI.
    pub uri: String,
    /// Name.
    pub name: String,
    /// For people and models.
    pub description: String,
    /// MIME type of its contents.
    pub mime_type: &'static str,
}

/// A resource template, as in `resources/templates/list`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// RFC 6570 template.
    pub uri_template: String,
    /// Name.
    pub name: String,
    /// For people and models.
    pub description: String,
    /// MIME type of what it expands to, where it is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'static str>,
}

/// What a tool answers.
#[derive(Debug, Default)]
pub struct Answer {
    /// `structuredContent`: one JSON object, already written as text. It is also sent as a text block,
    /// for clients that read only those (specification 2026-07-28, tools, structured content).
    pub structured: Option<Box<RawValue>>,
    /// Further content, after that block.
    pub content: Vec<Block>,
    /// Whether what it holds says why the tool failed.
    pub is_error: bool,
    /// Members of `_meta`.
    pub meta: serde_json::Map<String, serde_json::Value>,
}

impl From<Box<RawValue>> for Answer {
    fn from(structured: Box<RawValue>) -> Self {
        Self { structured: Some(structured), ..Self::default() }
    }
}

/// A content block of an answer, as in MCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// Its bytes as base64.
        data: String,
        /// What kind of picture.
        mime_type: String,
    },
    /// Sound.
    Audio {
        /// Its bytes as base64.
        data: String,
        /// What kind of sound.
        mime_type: String,
    },
    /// Anything else that comes with its bytes.
    Resource {
        /// What it is, and its bytes.
        resource: Contents,
    },
}

/// One item of `contents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// URI.
    pub uri: String,
    /// MIME type.
    pub mime_type: String,
    /// The content, exactly one of the two.
    #[serde(flatten)]
    pub body: Body,
}

/// Text or bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Text.
    Text(String),
    /// Bytes as base64.
    Blob(String),
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no such tool or resource. The hub turns it into a protocol error.
    #[error("unknown")]
    Unknown,
    /// It failed in a way that the model should read and can often mend: wrong arguments, a missing file,
    /// refused SQL. The text says what was tried and what would work. Sent as a result with `isError`.
    #[error("{0}")]
    Failed(String),
    /// The caller left.
    #[error("cancelled")]
    Cancelled,
}
