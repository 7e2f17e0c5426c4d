//! Requests to one origin: with the operator's credentials, over the hub's own kind of connections, with a
//! limit on what comes back, and without leaving the origin.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT,
};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use puerto_mcp::frame::Parts;
use puerto_mcp::upstream::http::Payload;
use puerto_mcp::upstream::pool::{Connector, Pool, Reading};

use super::base::same_origin;
use super::credentials::Credentials;
use super::document::short;
use super::request::Draft;

/// Redirects that are followed one after the other.
const REDIRECTS_MAX: usize = 3;
/// What Puerto calls itself; some APIs refuse requests without a name.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("puerto/", env!("CARGO_PKG_VERSION")));

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A client of one origin.
#[derive(Debug)]
pub(super) struct Client {
    pool: Arc<Pool>,
    pub(super) origin: Uri,
    pub(super) credentials: Credentials,
    /// Largest answer, in bytes.
    max: usize,
}

impl Client {
    pub(super) fn new(connector: Connector, origin: Uri, credentials: Credentials, max: usize) -> Self {
        Self { pool: Pool::new(connector, &origin), origin, credentials, max }
    }

    /// Sends a request, and follows redirects that stay where it went. The reason of a failure is for the model.
    pub(super) async fn send(&self, draft: &Draft) -> Result<Reply, String> {
        let mut draft = draft.clone();
        for _ in 0..=REDIRECTS_MAX {
            let reply = self.once(&draft).await?;
            match self.redirect(&draft, &reply)? {
                Some(next) => draft = next,
                None => return Ok(reply),
            }
        }
        Err(format!("the API redirects more than {REDIRECTS_MAX} times"))
    }

    async fn once(&self, draft: &Draft) -> Result<Reply, String> {
        let target = self.credentials.on(&draft.target);
        let mut request = Request::new(Payload::from(Parts::one(draft.body.clone())));
        *request.method_mut() = draft.method.clone();
        *request.uri_mut() = target.parse().map_err(|_| "the path and query cannot be sent".to_owned())?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.8"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, AGENT);
        headers.extend(draft.headers.clone());
        for (name, value) in &self.credentials.headers {
            headers.insert(name, value.clone());
        }
        let response = self.pool.send(request).await.map_err(|failure| self.unreachable(&failure))?;
        let (head, body) = response.into_parts();
        if let Some(coding) = head.headers.get(CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            return Err(format!("the API answered in the coding {coding:?}, which was not asked for"));
        }
        let body = match draft.method {
            Method::HEAD => Bytes::new(),
            _ => whole(body, self.max).await?,
        };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    fn unreachable(&self, failure: &dyn StdError) -> String {
        // The address of a document may hold a secret in its query.
        let mut text = format!("{} could not be asked: {failure}", origin_of(&self.origin));
        let mut source = failure.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// What is to be sent instead, where an answer says so.
    fn redirect(&self, draft: &Draft, reply: &Reply) -> Result<Option<Draft>, String> {
        let is_redirect = matches!(reply.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = reply.headers.get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
        let location = location.to_str().map_err(|_| "the API redirects to somewhere that is no address")?;
        let target = self.target(location, &draft.target)?;
        let keeps = matches!(reply.status.as_u16(), 307 | 308) || draft.method.is_safe();
        if !keeps && reply.status != StatusCode::SEE_OTHER {
            return Ok(None);
        }
        let mut next = Draft { target, ..draft.clone() };
        if !keeps {
            next.method = Method::GET;
            next.body = Bytes::new();
            next.headers.remove(CONTENT_TYPE);
        }
        Ok(Some(next))
    }

    /// The path and query that an address stands for, seen from another one, where it stays at this origin.
    pub(super) fn target(&self, address: &str, from: &str) -> Result<String, String> {
        let address = address.split('#').next().unwrap_or_default();
        let path = from.split('?').next().unwrap_or_default();
        let scheme = self.origin.scheme_str().unwrap_or("https");
        let absolute = match address {
            "" => return Ok(from.into()),
            _ if address.starts_with("//") => format!("{scheme}:{address}"),
            _ if address.starts_with('/') => return Ok(address.into()),
            _ if address.starts_with('?') => return Ok(format!("{path}{address}")),
            _ if !address.split(['/', '?']).next().unwrap_or_default().contains(':') => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                return Ok(format!("{folder}/{address}"));
            }
            _ => address.into(),
        };
        let bad = || "the API redirects to somewhere that is no address".to_owned();
        let uri: Uri = absolute.parse().map_err(|_| bad())?;
        if !same_origin(&uri, &self.origin) {
            let host = uri.authority().map_or("", |authority| authority.as_str());
            let host = host.rsplit('@').next().unwrap_or_default();
            return Err(format!(
                "the API redirects to another origin ({}), which is not followed",
                short(host)
            ));
        }
        Ok(uri.path_and_query().map_or("/", |target| target.as_str()).into())
    }
}

/// Scheme and authority.
fn origin_of(uri: &Uri) -> String {
    format!(
        "{}://{}",
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |authority| authority.as_str())
    )
}

async fn whole(mut body: Reading, max: usize) -> Result<Bytes, String> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer of the API broke off: {error}"))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > max {
            return Err(format!("the answer is larger than {max} bytes (max_response_bytes); ask for less"));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.into())
}
