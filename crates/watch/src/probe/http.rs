//! Checks over HTTP/1.1. Each has a connection of its own, so that connecting and the certificate are checked too.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONNECTION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::tcp::{self, Address, Host};
use super::tls::{Expected, Spoken, Tls, Trust};
use super::{Check, Dial, Told, beside};
use crate::condition::Found;

/// What is read of a body, in bytes; conditions see this much, and the rest is left.
pub(super) const BODY_MAX: usize = 1024 * 1024;
/// The head of an answer, in bytes. Common servers send and take 8 to 32 KiB.
const HEAD_MAX: usize = 64 * 1024;

/// Headers that may go to a host that a redirect names. All others may hold secrets, which are this host's.
const FREE: [HeaderName; 4] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) url: Uri,
    pub(super) origin: Origin,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) redirects: u32,
    pub(super) trust: Trust,
    /// The name for the certificate, where it is not the host's.
    pub(super) server_name: Option<ServerName<'static>>,
}

/// Where a request goes: two URLs of the same one are the same server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) address: Address,
    pub(crate) secure: bool,
}

/// One request of a check; a redirect leads to the next.
struct Hop<'a> {
    origin: &'a Origin,
    request: Request<Full<Bytes>>,
}

/// A redirect that is followed.
struct Redirect {
    location: HeaderValue,
    /// Whether method and body stay (307, 308).
    keeps: bool,
}

impl Origin {
    /// Of a URL that has a scheme and a host.
    pub(crate) fn of(url: &Uri) -> Option<Self> {
        let secure = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return None,
        };
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Some(Self { address: Address { host: Host::parse(url.host()?)?, port }, secure })
    }

    /// The value of the header `Host`.
    fn host(&self) -> HeaderValue {
        let usual = if self.secure { 443 } else { 80 };
        let host = match self.address.port == usual {
            true => self.address.host.to_string(),
            false => self.address.to_string(),
        };
        HeaderValue::from_str(&host).unwrap_or(HeaderValue::from_static(""))
    }

    fn expected(&self, plan: &Plan) -> Told<Expected> {
        let name = match &plan.server_name {
            Some(name) if *self == plan.origin => name.clone(),
            _ => server_name(&self.address.host)?,
        };
        Ok(Expected { trust: plan.trust.clone(), name, spoken: Spoken::Http })
    }
}

/// The name that a host's certificate is for.
pub(super) fn server_name(host: &Host) -> Told<ServerName<'static>> {
    match host {
        Host::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| format!("{name} is no name that a certificate can be for")),
    }
}

impl Plan {
    /// Asks, and follows redirects.
    pub(super) async fn ask(&self, check: &mut Check<'_>) -> Told<()> {
        let request = self.request(&self.url, &self.origin, true, true);
        let hop = Hop { origin: &self.origin, request };
        let Some(mut redirect) = self.exchange(hop, check).await? else { return Ok(()) };
        let (mut url, mut at_home, mut keeps) = (self.url.clone(), true, true);
        for _ in 0..self.redirects {
            url = joined(&url, &redirect.location)?;
            let origin = Origin::of(&url).ok_or("a redirect leads to an address that is not HTTP")?;
            // What was left once is not trusted again, wherever it leads back to.
            at_home &= origin == self.origin;
            keeps &= redirect.keeps;
            let request = self.request(&url, &origin, at_home, keeps);
            match self.exchange(Hop { origin: &origin, request }, check).await? {
                Some(next) => redirect = next,
                None => return Ok(()),
            }
        }
        Err(format!("there are more than {} redirects", self.redirects))
    }

    fn request(&self, url: &Uri, origin: &Origin, at_home: bool, keeps: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(if keeps { self.body.clone() } else { Bytes::new() }));
        *request.uri_mut() = path(url);
        *request.method_mut() = match self.method {
            _ if keeps => self.method.clone(),
            Method::HEAD => Method::HEAD,
            _ => Method::GET,
        };
        let headers = request.headers_mut();
        if at_home {
            headers.clone_from(&self.headers);
        } else {
            let free = self.headers.iter().filter(|(name, _)| FREE.contains(name));
            headers.extend(free.map(|(name, value)| (name.clone(), value.clone())));
        }
        if !keeps {
            headers.remove(CONTENT_TYPE);
        }
        headers.entry(HOST).or_insert_with(|| origin.host());
        request
    }

    async fn exchange(&self, hop: Hop<'_>, check: &mut Check<'_>) -> Told<Option<Redirect>> {
        check.found.connected = false;
        let stream = hop.origin.address.connect(check).await?;
        if !hop.origin.secure {
            return self.over(stream, hop.request, check).await;
        }
        let expected = hop.origin.expected(self)?;
        let stream = check.tls.handshake(stream, &expected, check.found).await?;
        self.over(stream, hop.request, check).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
        check: &mut Check<'_>,
    ) -> Told<Option<Redirect>> {
        let (reads, found) = (check.reads, &mut *check.found);
        let start = Instant::now();
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_MAX);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        beside(connection, async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            found.phases.first_byte = start.elapsed();
            found.connected = true;
            found.status = Some(response.status().as_u16());
            if let Some(redirect) = self.redirect(&response) {
                return Ok(Some(redirect));
            }
            if reads {
                read(response.into_body(), found).await?;
            }
            Ok(None)
        })
        .await
    }

    fn redirect(&self, response: &Response<Incoming>) -> Option<Redirect> {
        let keeps = match response.status() {
            _ if self.redirects == 0 => return None,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
            _ => return None,
        };
        let location = response.headers().get(LOCATION)?.clone();
        Some(Redirect { location, keeps })
    }
}

/// What one request was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As much of the body as was wanted; less where it broke off.
    pub(crate) body: Vec<u8>,
}

/// One request that is no check: it goes out once, over a connection of its own, and no redirect is followed.
pub(crate) struct Sending<'a> {
    pub(crate) tls: &'a Tls,
    pub(crate) origin: &'a Origin,
    pub(crate) trust: &'a Trust,
    /// When the connection must be there.
    pub(crate) deadline: Instant,
    /// What is read of the answer's body, in bytes.
    pub(crate) body_max: usize,
}

impl Sending<'_> {
    /// Sends it.
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Told<Answer> {
        *request.uri_mut() = path(request.uri());
        request.headers_mut().entry(HOST).or_insert_with(|| self.origin.host());
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let Origin { address, secure } = self.origin;
        let dial = Dial { tls: self.tls, address, trust: self.trust, deadline: self.deadline };
        let stream = dial.connect().await?;
        if !secure {
            return self.over(stream, request).await;
        }
        let stream = dial.secure(stream, Spoken::Http).await?;
        self.over(stream, request).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Told<Answer> {
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_MAX);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        beside(connection, async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let (head, mut rest) = response.into_parts();
            let mut body = Vec::new();
            while let Some(Ok(frame)) = rest.frame().await {
                let Some(data) = frame.data_ref() else { continue };
                let room = self.body_max - body.len();
                body.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() >= room {
                    break;
                }
            }
            Ok(Answer { status: head.status, headers: head.headers, body })
        })
        .await
    }
}

/// A URL without its user and password, and the header that these stand for.
pub(crate) fn without_user(given: &Uri) -> Told<(Uri, Option<HeaderValue>)> {
    let authority = given.authority().map_or("", |authority| authority.as_str());
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok((given.clone(), None)) };
    let user: Vec<u8> = percent_decode_str(user).collect();
    let mut basic = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(user))).ok();
    basic.iter_mut().for_each(|value| value.set_sensitive(true));
    let mut parts = given.clone().into_parts();
    parts.authority = host.parse().ok();
    let url = Uri::from_parts(parts).map_err(|_| "it cannot be read".to_owned())?;
    Ok((url, basic))
}

async fn read(mut body: Incoming, found: &mut Found) -> Told<()> {
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(BODY_MAX);
    found.body.reserve_exact(length.min(BODY_MAX));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {}", broken(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = BODY_MAX - found.body.len();
        found.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break;
        }
    }
    Ok(())
}

/// Why there is no answer.
fn broken(error: &hyper::Error) -> String {
    let source = std::error::Error::source(error);
    if error.is_incomplete_message() {
        return "the server closed the connection before the end of its answer".into();
    }
    if error.is_parse_too_large() {
        return format!("the head of the answer is larger than {} KiB", HEAD_MAX / 1024);
    }
    if error.is_parse() {
        return "the server does not speak HTTP/1".into();
    }
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(error) => tcp::words(error),
        None => error.to_string(),
    }
}

/// What a request line holds.
fn path(url: &Uri) -> Uri {
    let path = url.path_and_query().cloned();
    path.unwrap_or_else(|| PathAndQuery::from_static("/")).into()
}

/// Where a redirect leads (RFC 3986, section 5.2). What it says is not told: it may hold a secret.
fn joined(from: &Uri, location: &HeaderValue) -> Told<Uri> {
    let wrong = || "a redirect leads to an address that cannot be read".to_owned();
    let location = location.to_str().map_err(|_| wrong())?;
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, host) = (from.scheme_str().unwrap_or("http"), from.authority().map_or("", |a| a.as_str()));
    let whole = if location.split(['/', '?']).next().is_some_and(|start| start.contains(':')) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else if location.is_empty() || location.starts_with('?') {
        let path =
            if location.is_empty() { from.path_and_query().map_or("", |p| p.as_str()) } else { from.path() };
        format!("{scheme}://{host}{path}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{host}{folder}/{location}")
    };
    let url: Uri = whole.parse().map_err(|_| wrong())?;
    // A user and a password in a redirect are not used.
    let authority = url.authority().ok_or_else(wrong)?.as_str();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let url = Uri::builder()
        .scheme(url.scheme_str().ok_or_else(wrong)?)
        .authority(authority)
        .path_and_query(format!("{}{query}", without_dots(url.path())));
    url.build().map_err(|_| wrong())
}

/// A path without `.` and `..` (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in path.split('/').skip(1) {
        last = segment;
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let end = if matches!(last, "." | "..") && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_the_specification_says() {
        let from: Uri = "http://a.example:81/b/c/d?q".parse().unwrap();
        for (location, to) in [
            ("https://x.example/y", "https://x.example/y"),
            ("https://u:p@x.example/y?z#w", "https://x.example/y?z"),
            ("//x.example", "http://x.example/"),
            ("/y", "http://a.example:81/y"),
            ("y", "http://a.example:81/b/c/y"),
            ("?y", "http://a.example:81/b/c/d?y"),
            ("", "http://a.example:81/b/c/d?q"),
            ("#s", "http://a.example:81/b/c/d?q"),
            ("../y", "http://a.example:81/b/y"),
            ("../../../y", "http://a.example:81/y"),
            ("./", "http://a.example:81/b/c/"),
            ("..", "http://a.example:81/b/"),
            ("y?u=http://x", "http://a.example:81/b/c/y?u=http://x"),
        ] {
            let given = HeaderValue::from_static(location);
            assert_eq!(joined(&from, &given).unwrap().to_string(), to, "{location}");
        }
        for bad in ["http://", "http://a b/", "javascript:alert(1)"] {
            let given = HeaderValue::from_static(bad);
            let led = joined(&from, &given).ok().and_then(|url| Origin::of(&url));
            assert_eq!(led, None, "{bad}");
        }
    }
}
