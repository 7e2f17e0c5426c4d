//! Connections to one HTTP server, kept for further requests. A connection is driven by the request that
//! uses it and by no task of its own: nothing is handed from thread to thread on the way, and a caller
//! that leaves closes what it used.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame as BodyFrame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use super::http::Payload;

/// Longest time that a connection is kept unused. Many servers close theirs after a minute.
const IDLE: Duration = Duration::from_secs(50);
/// Connections to one server kept unused; as many calls as that may follow each other without a new one.
const IDLE_MAX: usize = 256;
/// Longest wait for the end of a stream whose answer has come.
const ENDING: Duration = Duration::from_secs(1);
/// A host that does not even accept must not hold a call until its whole deadline.
const CONNECT: Duration = Duration::from_secs(10);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no connection: nobody listens there, or the name or certificate is wrong.
    #[error("could not connect")]
    Connect(#[source] Box<dyn StdError + Send + Sync>),
    /// The connection ended before the answer.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

/// How connections are made: plain, or TLS by rustls with the system's roots.
#[derive(Clone)]
pub struct Connector(HttpsConnector<HttpConnector>);

impl Connector {
    /// Reads the system's roots.
    pub fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("ring offers TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self(https.enable_http1().wrap_connector(tcp))
    }

    /// Makes a connection to the place that a URL names, by TLS where its scheme is `https`.
    pub(super) async fn connect(&self, origin: &Uri) -> Result<Stream, Failure> {
        self.0.clone().call(origin.clone()).await.map_err(Failure::Connect)
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

/// The connections to one server.
pub struct Pool {
    connector: Connector,
    origin: Uri,
    host: HeaderValue,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Those used last lie at the end.
    #[allow(clippy::vec_box, reason = "a wire is large, and goes from hand to hand with every request")]
    wires: Vec<Box<Wire>>,
    /// Whether somebody comes to close those that nobody uses any more.
    swept: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.origin)
    }
}

impl Pool {
    /// For the server that a URL names; its path does not matter here.
    pub fn new(connector: Connector, url: &Uri) -> Arc<Self> {
        let port = url
            .port_u16()
            .filter(|port| !matches!((url.scheme_str(), port), (Some("http"), 80) | (Some("https"), 443)));
        let host = match (url.host().unwrap_or_default(), port) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        // A host that the URL parser took is visible ASCII.
        let host = HeaderValue::from_str(&host).unwrap_or_else(|_| HeaderValue::from_static(""));
        Arc::new(Self { connector, origin: url.clone(), host, idle: Mutex::default() })
    }

    /// The value of the header `Host`, which a request without one gets.
    pub fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// Sends a request, whose URI is a path, and reads the head of its answer. On a connection that had
    /// been closed before it could be used, another one is tried; what may have reached the server is
    /// never sent twice.
    ///
    /// Not an `async fn`: that would have room for the request twice, and so would each one around it.
    pub fn send(
        self: &Arc<Self>,
        mut request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Reading>, Failure>> + Send + '_ {
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        async move {
            while let Some(mut wire) = self.take() {
                match wire.send(request).await {
                    Ok(response) => return Ok(self.reading(wire, response)),
                    Err(mut failed) => match failed.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(Failure::Broken(failed.into_error())),
                    },
                }
            }
            let mut wire = Box::pin(self.connect()).await?;
            match wire.send(request).await {
                Ok(response) => Ok(self.reading(wire, response)),
                Err(failed) => Err(Failure::Broken(failed.into_error())),
            }
        }
    }

    fn reading(self: &Arc<Self>, wire: Box<Wire>, response: Response<Incoming>) -> Response<Reading> {
        response.map(|body| Reading { body, wire: Some(wire), pool: self.clone() })
    }

    async fn connect(&self) -> Result<Box<Wire>, Failure> {
        let stream = self.connector.connect(&self.origin).await?;
        let (sender, connection) = Builder::new().handshake(stream).await.map_err(Failure::Broken)?;
        Ok(Box::new(Wire { sender, connection: Some(connection), since: Instant::now() }))
    }

    /// The connection used last. That its server has closed it meanwhile shows when it is used: it is read
    /// from before it is written to, and then the request comes back unsent.
    fn take(&self) -> Option<Box<Wire>> {
        loop {
            let wire = self.idle().wires.pop()?;
            if wire.since.elapsed() < IDLE {
                return Some(wire);
            }
        }
    }

    fn put(self: &Arc<Self>, mut wire: Box<Wire>) {
        wire.since = Instant::now();
        let mut idle = self.idle();
        if idle.wires.len() == IDLE_MAX {
            return;
        }
        idle.wires.push(wire);
        if let (false, Ok(runtime)) = (idle.swept, tokio::runtime::Handle::try_current()) {
            idle.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what nobody uses any more, until nothing is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle();
        idle.wires.retain_mut(|wire| wire.since.elapsed() < IDLE && wire.is_idle());
        idle.swept = !idle.wires.is_empty();
        if !idle.swept {
            return;
        }
    }
}

pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// One connection.
struct Wire {
    sender: SendRequest<Payload>,
    /// Nothing once it has ended.
    connection: Option<Connection<Stream, Payload>>,
    since: Instant,
}

/// Whoever drives a connection polls it with its own waker and then looks at what came of it, so what
/// came needs no waker. Budgets of the runtime must not hold it back either: nobody would come again.
fn without_waker() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Wire {
    /// Reads and writes as far as possible. The end drops it, which fails what still waits for it.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
    }

    /// Whether it takes a request. Looking notices when the server has closed it meanwhile.
    fn is_idle(&mut self) -> bool {
        self.drive(&mut without_waker());
        self.connection.is_some() && self.sender.is_ready()
    }

    fn send(
        &mut self,
        request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Payload>>>> + Send + '_ {
        let mut response = Box::pin(tokio::task::unconstrained(self.sender.try_send_request(request)));
        let connection = &mut self.connection;
        poll_fn(move |cx| {
            if let Some(driven) = connection
                && Pin::new(driven).poll(cx).is_ready()
            {
                *connection = None;
            }
            response.as_mut().poll(&mut without_waker())
        })
    }
}

/// The body of an answer; reading it drives its connection, and its end gives the connection back.
pub struct Reading {
    body: Incoming,
    wire: Option<Box<Wire>>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reading")
    }
}

impl Reading {
    /// Waits for the end of a body in which nothing is expected any more, so that its connection serves
    /// again; mostly the end has come already.
    pub fn run_out(mut self) {
        let ended = |found: &Poll<_>| matches!(found, Poll::Ready(None));
        if ended(&Pin::new(&mut self).poll_frame(&mut without_waker())) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(ENDING, async move {
                while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {}
            }));
        }
    }

    fn over(&mut self) {
        if let Some(mut wire) = self.wire.take()
            && wire.is_idle()
        {
            self.pool.put(wire);
        }
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut found = Pin::new(&mut this.body).poll_frame(&mut without_waker());
        if found.is_pending() {
            if let Some(wire) = &mut this.wire {
                wire.drive(cx);
            }
            found = Pin::new(&mut this.body).poll_frame(&mut without_waker());
        }
        if matches!(found, Poll::Ready(None)) || found.is_ready() && this.body.is_end_stream() {
            this.over();
        }
        found
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.over();
        }
    }
}
