//! Asks a running hub over REST.

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use puerto_core::{Code, Error, Result};
use puerto_mcp::frame::Parts;
use puerto_mcp::upstream::http::{Payload, path_of};
use puerto_mcp::upstream::pool::{Connector, Pool};
use serde_json::Value;

/// Largest answer that a command reads.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

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

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|e| {
            Error::caller(Code::BadRequest, format!("{}{path} is no URL", self.base))
                .inside(std::io::Error::other(format!("{e}")))
        })?;
        let mut request = Request::new(Payload::from(Parts::one(body)));
        *request.method_mut() = method;
        *request.uri_mut() = path_of(&uri);
        request
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        let nobody = |e| {
            Error::upstream(
                Code::Unavailable,
                format!("no hub answers at {}; start one with `puerto up`, or name it with --url", self.base),
            )
            .inside(e)
        };
        let response = Pool::new(self.connector.clone(), &uri).send(request).await.map_err(nobody)?;
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
