//! An HTTP API as an MCP server: each operation of its OpenAPI document is a tool. Reading a document and
//! making a request of arguments are plain functions ([`read`], [`Api::request`]); only [`open`] and calls
//! touch the network.

mod answer;
mod api;
mod base;
mod body;
mod client;
mod credentials;
mod document;
mod filter;
mod inputs;
mod keyword;
mod pages;
mod request;
mod schema;
mod style;
mod yaml;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Uri};
use puerto_core::Secret;
use puerto_core::def::{AuthDef, OperationsDef};
use puerto_mcp::builtin::{About, Answer, Builtin, CallError, Tool};
use puerto_mcp::upstream::pool::Connector;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use base::{Base, same_origin};
use client::{Client, Reply};
use credentials::Credentials;
use document::DOCUMENT_MAX;
use pages::{Joined, Next};
use request::Piece;

pub use filter::pattern_fault;
pub use request::Draft;

/// Longest time that fetching a document may take.
const FETCH: Duration = Duration::from_secs(20);

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url(Uri),
}

impl Source {
    fn address(&self) -> Option<&Uri> {
        match self {
            Source::File(_) => None,
            Source::Url(uri) => Some(uri),
        }
    }

    /// As messages show it: a query may hold a secret.
    fn shown(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Url(uri) => uri.to_string().split('?').next().unwrap_or_default().to_owned(),
        }
    }
}

/// What the configuration says of an API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where its document is.
    pub source: Source,
    /// Where it is itself, in place of what the document says.
    pub base_url: Option<String>,
    /// Which operations become tools.
    pub operations: OperationsDef,
    /// Headers of every request.
    pub headers: BTreeMap<String, Secret>,
    /// Credentials.
    pub auth: AuthDef,
    /// Pages of one answer that are joined.
    pub pages: u32,
    /// Largest answer, in bytes.
    pub response_max: usize,
}

/// What a document was made into.
#[derive(Debug)]
pub struct Api {
    title: String,
    about: String,
    base: Base,
    operations: BTreeMap<String, Operation>,
    notices: Vec<String>,
}

/// A tool, and what it takes to make a request of its arguments.
#[derive(Debug)]
struct Operation {
    tool: Tool,
    method: Method,
    /// What stands before the path.
    prefix: String,
    template: Vec<Piece>,
    params: Vec<inputs::Param>,
    body: Option<body::Body>,
    required: Vec<String>,
}

/// Makes tools of a document. The reason of a failure is for people and begins with "it".
pub fn read(text: &[u8], settings: &Settings) -> Result<Api, String> {
    api::read(text, settings, settings.source.address())
}

/// The same of a file. The reason of a failure names it.
pub fn read_file(path: &Path, settings: &Settings) -> Result<Api, String> {
    read(&file(path)?, settings).map_err(|why| faulty(&settings.source, &why))
}

impl Api {
    /// Its tools, sorted by name.
    pub fn tools(&self) -> Vec<Tool> {
        self.operations.values().map(|operation| operation.tool.clone()).collect()
    }

    /// What could not be made into tools, and why.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.base.shown()
    }

    /// The request that a call becomes, without credentials.
    pub fn request(&self, tool: &str, arguments: &RawValue) -> Result<Draft, CallError> {
        let operation = self.operations.get(tool).ok_or(CallError::Unknown)?;
        request::draft(operation, arguments).map_err(|why| refused(tool, &why))
    }
}

fn faulty(source: &Source, why: &str) -> String {
    format!("could not use the OpenAPI document {}: {why}", source.shown())
}

fn refused(tool: &str, why: &str) -> CallError {
    CallError::Failed(format!("the arguments of {tool:?} are not valid: {why}"))
}

/// Opens an API: reads its document and makes tools of it. The reason of a failure is for the operator.
pub async fn open(settings: Settings, connector: Connector) -> Result<Arc<dyn Builtin>, String> {
    let text = match &settings.source {
        Source::File(path) => {
            let path = path.clone();
            blocking(move || file(&path)).await?
        }
        Source::Url(uri) => fetch(uri, &settings, connector.clone()).await?,
    };
    let pages = settings.pages;
    let (api, credentials, response_max) = blocking(move || {
        let faulty = |why: String| faulty(&settings.source, &why);
        let credentials = Credentials::new(&settings.headers, &settings.auth).map_err(faulty)?;
        Ok((read(&text, &settings).map_err(faulty)?, credentials, settings.response_max))
    })
    .await?;
    let client = Client::new(connector, api.base.origin.clone(), credentials, response_max);
    Ok(Arc::new(OpenApi { api, client, pages, response_max }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err("reading the OpenAPI document broke".into()))
}

fn file(path: &Path) -> Result<Bytes, String> {
    let faulty = |why: String| format!("could not read the OpenAPI document {}: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|error| faulty(error.to_string()))?;
    let mut text = Vec::new();
    file.take(DOCUMENT_MAX as u64 + 1).read_to_end(&mut text).map_err(|error| faulty(error.to_string()))?;
    if text.len() > DOCUMENT_MAX {
        return Err(faulty(format!("it is larger than {DOCUMENT_MAX} bytes")));
    }
    Ok(text.into())
}

/// Fetches a document. The credentials are for the API, so they go along only where it is at the same origin.
async fn fetch(uri: &Uri, settings: &Settings, connector: Connector) -> Result<Bytes, String> {
    let faulty =
        |why: String| format!("could not fetch the OpenAPI document {}: {why}", settings.source.shown());
    let is_elsewhere = match &settings.base_url {
        Some(base) => !same_origin(&Base::parse(base)?.origin, uri),
        None => false,
    };
    let credentials = match is_elsewhere {
        true => Credentials::default(),
        false => Credentials::new(&settings.headers, &settings.auth).map_err(faulty)?,
    };
    let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let draft = Draft { method: Method::GET, target, headers: HeaderMap::new(), body: Bytes::new() };
    let client = Client::new(connector, uri.clone(), credentials, DOCUMENT_MAX);
    let slow = |_| Err(format!("it took longer than {} s", FETCH.as_secs()));
    let reply =
        tokio::time::timeout(FETCH, client.send(&draft)).await.unwrap_or_else(slow).map_err(faulty)?;
    match reply.status.is_success() {
        true => Ok(reply.body),
        false => Err(faulty(format!("HTTP {}", reply.status))),
    }
}

/// The server.
struct OpenApi {
    api: Api,
    client: Client,
    pages: u32,
    response_max: usize,
}

impl OpenApi {
    async fn run(&self, tool: &str, arguments: &RawValue) -> Result<Answer, CallError> {
        let operation = self.api.operations.get(tool).ok_or(CallError::Unknown)?;
        let draft = request::draft(operation, arguments).map_err(|why| refused(tool, &why))?;
        let reply = self.client.send(&draft).await.map_err(CallError::Failed)?;
        let next = pages::next(operation, &self.client, &draft, &reply);
        let (reply, next) = match next {
            Some(next) if self.pages > 1 => self.follow(operation, &draft, reply, next).await,
            next => (reply, next),
        };
        Ok(answer::answer(operation, &reply, next.as_ref(), &self.client.credentials))
    }

    /// Joins further pages to the first one, while they fit together and into the limit.
    async fn follow(
        &self,
        operation: &Operation,
        draft: &Draft,
        mut reply: Reply,
        first: Next,
    ) -> (Reply, Option<Next>) {
        let Some(mut joined) = Joined::new(&reply.body) else { return (reply, Some(first)) };
        let mut seen = vec![draft.target.clone()];
        let mut next = Some(first);
        let mut bytes = reply.body.len();
        for _ in 1..self.pages {
            next = next.filter(|next| !seen.contains(&next.target));
            let Some(target) = next.as_ref().map(|next| next.target.clone()) else { break };
            seen.push(target.clone());
            let draft = Draft { target, ..draft.clone() };
            let Ok(page) = self.client.send(&draft).await else { break };
            bytes += page.body.len();
            if !page.status.is_success() || bytes > self.response_max || !joined.add(&page.body) {
                break;
            }
            next = pages::next(operation, &self.client, &draft, &page);
        }
        reply.body = joined.body();
        // Whoever goes on from here has asked for the first page.
        if let Some(next) = &mut next {
            next.arguments = pages::arguments(operation, &draft.target, &next.target);
        }
        (reply, next)
    }
}

impl Builtin for OpenApi {
    fn about(&self) -> About {
        let Api { title, about, .. } = &self.api;
        let title = if title.is_empty() { "HTTP API" } else { title };
        About {
            name: "puerto-openapi",
            title: title.to_owned().into(),
            instructions: format!("Tools of {title}, at {}.\n\n{about}", self.api.address())
                .trim()
                .to_owned()
                .into(),
        }
    }

    fn tools(&self) -> Vec<Tool> {
        self.api.tools()
    }

    fn notices(&self) -> Vec<String> {
        self.api.notices.clone()
    }

    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a RawValue,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(CallError::Cancelled),
                done = self.run(tool, arguments) => done,
            }
        })
    }
}
