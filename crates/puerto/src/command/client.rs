//! Asks a running hub over REST.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use puerto_core::{Code, Error, Result};
use puerto_mcp::frame::Parts;
use puerto_mcp::upstream::http::{Payload, path_of};
use puerto_mcp::upstream::pool::{Connector, Pool, Reading};
use serde_json::Value;
use tokio::sync::mpsc;

/// Largest answer that a command reads.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A running hub.
pub(crate) struct Client {
    connector: Connector,
    base: String,
}

impl Client {
    /// At an address.
    pub(crate) fn new(url: &str) -> Self {
        Self { connector: Connector::new(), base: url.trim_end_matches('/').to_owned() }
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Has something done.
    pub(crate) async fn post(&self, path: &str, body: String) -> Result<Value> {
        self.ask(Method::POST, path, body.into()).await
    }

    /// Has something be as the body says.
    pub(crate) async fn put(&self, path: &str, body: String) -> Result<Value> {
        self.ask(Method::PUT, path, body.into()).await
    }

    /// Has something ended.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Method::DELETE, path, Bytes::new()).await
    }

    /// Hands over each message of a stream of events, until it ends.
    pub(crate) async fn follow(&self, path: &str, mut heard: impl FnMut(Value)) -> Result<()> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        if !response.status().is_success() {
            return self.answer(response).await.map(drop);
        }
        let (mut body, mut text) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let broken = |e| Error::upstream(Code::Unavailable, "the hub's stream broke off").inside(e);
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            text.extend_from_slice(&data);
            if text.len() > ANSWER_MAX {
                return Err(Error::upstream(Code::TooLarge, "the hub sent a message without an end"));
            }
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let message: Vec<u8> = text.drain(..end + 2).collect();
                if let Some(value) = message_of(&message) {
                    heard(value);
                }
            }
        }
        Ok(())
    }

    /// Hands over a body piece by piece.
    pub(crate) async fn copy(&self, path: &str, mut take: impl FnMut(&[u8])) -> Result<()> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        if !response.status().is_success() {
            return self.answer(response).await.map(drop);
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let broken = |e| Error::upstream(Code::Unavailable, "the hub's answer broke off").inside(e);
            if let Some(data) = frame.map_err(broken)?.data_ref() {
                take(data);
            }
        }
        Ok(())
    }

    /// Hands in a body that comes piece by piece.
    pub(crate) async fn hand_in(&self, path: &str, body: mpsc::Receiver<Bytes>) -> Result<Value> {
        let response = self.request(Method::POST, path, Payload::streamed(body), NDJSON).await?;
        self.answer(response).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let response = self.send(method, path, body).await?;
        self.answer(response).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Reading>> {
        self.request(method, path, Payload::from(Parts::one(body)), JSON).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Payload,
        kind: HeaderValue,
    ) -> Result<Response<Reading>> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|e| {
            Error::caller(Code::BadRequest, format!("{}{path} is no URL", self.base))
                .inside(std::io::Error::other(format!("{e}")))
        })?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path_of(&uri);
        request.headers_mut().insert(CONTENT_TYPE, kind);
        let nobody = |e| {
            Error::upstream(
                Code::Unavailable,
                format!("no hub answers at {}; start one with `puerto up`, or name it with --url", self.base),
            )
            .inside(e)
        };
        Pool::new(self.connector.clone(), &uri).send(request).await.map_err(nobody)
    }

    async fn answer(&self, response: Response<Reading>) -> Result<Value> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body
            .map_err(|e| Error::upstream(Code::Unavailable, "the hub's answer broke off").inside(e))?
            .to_bytes();
        let value: Value = serde_json::from_slice(&body).map_err(|e| {
            let text = format!("{} answers, but not as a hub does (HTTP {})", self.base, status.as_u16());
            Error::upstream(Code::UpstreamProtocol, text).inside(e)
        })?;
        if status.is_success() {
            return Ok(value);
        }
        let code = Code::ALL
            .iter()
            .copied()
            .find(|code| Some(code.name()) == value["code"].as_str())
            .unwrap_or(Code::Unavailable);
        Err(Error::caller(
            code,
            value["detail"].as_str().unwrap_or("the hub refused without a reason").to_owned(),
        ))
    }
}

/// The JSON of a message of a stream, where it holds any.
fn message_of(message: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(message).ok()?;
    let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    serde_json::from_str(&data.join("\n")).ok()
}
