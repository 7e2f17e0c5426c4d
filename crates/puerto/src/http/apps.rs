//! Apps of our own kind: pages in folders below `apps.dir` that use the tools of a tenant. Here are the folders
//! and the answers of REST; `apps/files.rs` reads files, `apps/page.rs` gives a page its configuration,
//! `apps/socket.rs` is the connection that a page works over.

mod files;
mod page;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use puerto_core::{Code, Error, ServerName, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Refused;
use super::rest::{Answer, Api, Asked};
use files::Folder;
#[cfg(any(test, fuzzing))]
pub(crate) use socket::fuzz;
pub(super) use socket::open;

/// The page of an app.
const INDEX: &str = "index.html";
/// What an app says of itself.
const ABOUT: &str = "app.json";
/// Folders that are looked at as apps.
const APPS_MAX: usize = 1000;

/// The apps of a hub. Folders are looked at when somebody asks, so a new one is there at once.
#[derive(Debug)]
pub(crate) struct Apps {
    dir: PathBuf,
    open: AtomicUsize,
}

/// `GET /api/apps`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AppsView {
    apps: Vec<AppEntry>,
    total: usize,
}

/// An app in the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AppEntry {
    app_id: String,
    /// Where its page is; nothing where it has none.
    ui_path: Option<String>,
    /// Whether it has a page.
    has_ui: bool,
}

/// `GET /api/apps/{app}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AppView {
    app_id: String,
    has_ui: bool,
    /// Its files, as they are served below its page.
    ui_files: Vec<String>,
    /// What its `app.json` says.
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// `GET /api/gateway/status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GatewayView {
    status: &'static str,
    version: &'static str,
    /// Seconds since the start.
    uptime_s: u64,
    /// Tenants that are defined.
    tenants: usize,
    /// Servers of all tenants.
    servers: usize,
    /// Those of them that serve.
    servers_ready: usize,
    /// Apps that are there.
    apps: usize,
    /// Connections of apps that are open.
    app_connections: usize,
}

/// What an address of a page may ask for. Pages may put more there for themselves.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    tenant: Option<String>,
}

impl Apps {
    /// Apps below a directory, which need not exist.
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { dir: dir.into(), open: AtomicUsize::new(0) })
    }

    /// Does something with the folder of an app.
    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        id: &str,
        work: impl FnOnce(&Folder) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let unknown = Error::not_found("app", id);
        let Ok(id) = ServerName::new(id) else { return Err(unknown) };
        let this = self.clone();
        blocking(move || work(&Folder::open(&this.dir, &id).ok_or(unknown)?)).await
    }

    /// Every app and whether it has a page.
    async fn all(self: &Arc<Self>) -> Result<Vec<(ServerName, bool)>, Error> {
        let this = self.clone();
        blocking(move || {
            let mut all: Vec<_> = files::names(&this.dir)
                .into_iter()
                .filter_map(|id| {
                    let folder = Folder::open(&this.dir, &id)?;
                    Some((id, folder.holds(INDEX)))
                })
                .collect();
            all.sort();
            all.truncate(APPS_MAX);
            Ok(all)
        })
        .await
    }
}

/// `GET /api/apps`.
pub(super) async fn list(Shared(api): Shared<Api>) -> Answer<AppsView> {
    let apps: Vec<_> = api
        .apps
        .all()
        .await?
        .into_iter()
        .map(|(id, has_ui)| {
            let ui_path = has_ui.then(|| format!("/apps/{id}"));
            AppEntry { app_id: id.into(), ui_path, has_ui }
        })
        .collect();
    Ok(Json(AppsView { total: apps.len(), apps }))
}

/// `GET /api/apps/{app}`.
pub(super) async fn read(Shared(api): Shared<Api>, Path(id): Path<String>) -> Answer<AppView> {
    let app_id = id.clone();
    let work = move |folder: &Folder| {
        let metadata = folder.holds(ABOUT).then(|| folder.read(ABOUT)).transpose()?.unwrap_or_default();
        let metadata = serde_json::from_slice(&metadata).unwrap_or_else(|error| {
            if !metadata.is_empty() {
                tracing::warn!(app = app_id, %error, "app.json is no JSON object and is not shown");
            }
            serde_json::Map::new()
        });
        Ok(AppView { app_id, has_ui: folder.holds(INDEX), ui_files: folder.list(), metadata })
    };
    Ok(Json(api.apps.with(&id, work).await?))
}

/// `GET /apps/{app}`: its page, with the configuration in it.
pub(super) async fn page(
    Shared(api): Shared<Api>,
    Path(id): Path<String>,
    Asked(query): Asked<PageQuery>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refused> {
    let tenant = query.tenant.unwrap_or_else(|| TenantId::default().as_str().to_owned());
    let (tenant, _) = api.find(&tenant)?;
    let (origin, app) = (Origin::of(&headers, &uri)?, id.clone());
    // Below `/apps/ID` without a slash, relative links of a page would lead beside its folder.
    let needs_base = !uri.path().trim_start_matches("/apps/").contains('/');
    let work = move |folder: &Folder| {
        let text = folder.read(INDEX)?;
        let base = needs_base.then_some(app.as_str());
        let text = page::with_configuration(
            &String::from_utf8_lossy(&text),
            &page::Configuration::new(&app, tenant.view.id.as_str(), &origin),
            base,
        );
        let policy = page::policy(&origin, &text);
        Ok(served(&headers, "text/html; charset=utf-8", text.into(), &policy))
    };
    Ok(api.apps.with(&id, work).await?)
}

/// `GET /apps/{app}/{path}`: a file of its.
pub(super) async fn file(
    api: Shared<Api>,
    Path((id, path)): Path<(String, String)>,
    query: Asked<PageQuery>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refused> {
    if path == INDEX {
        return page(api, Path(id), query, headers, uri).await;
    }
    let origin = Origin::of(&headers, &uri)?;
    let work = move |folder: &Folder| {
        let (bytes, kind) = (folder.read(&path)?, files::kind(&path));
        let is_page = kind.starts_with("text/html");
        let policy =
            page::policy(&origin, if is_page { std::str::from_utf8(&bytes).unwrap_or("") } else { "" });
        Ok(served(&headers, kind, bytes, &policy))
    };
    Ok(api.apps.with(&id, work).await?)
}

/// `GET /api/gateway/status`.
pub(super) async fn gateway(Shared(api): Shared<Api>) -> Answer<GatewayView> {
    let tenants = api.hub.tenants();
    let states: Vec<_> =
        tenants.values().flat_map(|tenant| tenant.upstreams.values()).map(|up| up.state().name()).collect();
    Ok(Json(GatewayView {
        status: if api.hub.draining.is_cancelled() { "stopping" } else { "running" },
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: api.began.elapsed().as_secs(),
        tenants: tenants.len(),
        servers: states.len(),
        servers_ready: states.iter().filter(|state| **state == "ready").count(),
        apps: api.apps.all().await?.len(),
        app_connections: api.apps.open.load(Ordering::Relaxed),
    }))
}

/// Where the browser found us, as its addresses must begin.
struct Origin {
    host: String,
    secure: bool,
}

impl Origin {
    fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Error> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
        // It goes into a policy and a script, where other characters would mean something.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        if host.is_empty() || !host.bytes().all(is_plain) {
            return Err(Error::caller(Code::BadRequest, "the Host header is no name and port"));
        }
        let secure = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        Ok(Self { host: host.to_owned(), secure })
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}{}://{}", if self.secure { "s" } else { "" }, self.host)
    }
}

/// An answer with a tag of what it holds, or the word that the browser has it already.
fn served(headers: &HeaderMap, kind: &'static str, bytes: Vec<u8>, policy: &str) -> Response {
    let tag = files::tag(&bytes);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let is_known = known
        .flat_map(|tags| tags.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, kind)], Body::from(bytes)).into_response()
    };
    let answer = response.headers_mut();
    for (name, value) in [(ETAG, &*tag), (CONTENT_SECURITY_POLICY, policy)] {
        // Both are made of plain characters.
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (VARY, "host, x-forwarded-proto"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        answer.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::hub(Code::Internal, "a task of Puerto broke").inside(e))?
}
