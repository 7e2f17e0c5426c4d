//! A server that speaks HTTP+SSE, the transport of 2024-11-05: a stream of events down, posts up. The stream
//! is the session, so losing it loses the session; the supervision opens a new one.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use puerto_core::{Code, Error, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::http::{Payload, path_of};
use super::link::closed;
use super::pipe::{Fitting, Pipe};
use super::pool::{Connector, Pool, Reading};
use super::{Event, LogRing};
use crate::frame::{Frame, Kind, Parts};
use crate::sse::{Decoder, Piece};

/// Posts under way at the same time; more wait.
const POSTS_MAX: usize = 64;
/// Longest time for a server to take a post. The answer comes on the stream, so this is soon.
const TAKE: Duration = Duration::from_secs(60);

/// Opens the stream and learns where to post.
pub(super) async fn connect(
    connector: Connector,
    uri: &Uri,
    headers: &HeaderMap,
    mut fitting: Fitting<'_>,
) -> Result<Arc<Pipe>> {
    let pool = Pool::new(connector, uri);
    let mut stream = Stream::open(&pool, uri, headers, fitting.message_max).await?;
    let post = loop {
        let (name, data) = stream.next().await?.ok_or_else(|| closed("before it said where to post"))?;
        if name == b"endpoint" {
            break same_origin(uri, std::str::from_utf8(&data).unwrap_or_default())?;
        }
    };
    let (pipe, messages) = fitting.pipe(None);
    let Fitting { events, log, .. } = fitting;
    let posts = Posts { pool, post, headers: headers.clone(), pipe: pipe.clone() };
    tokio::spawn(posts.carry(messages, events.clone()));
    tokio::spawn(read(stream, pipe.clone(), events, log));
    Ok(pipe)
}

/// Where to post, as a path. Another origin is refused: it would get what is meant for this server.
fn same_origin(stream: &Uri, given: &str) -> Result<Uri> {
    let refused = |why: &str| {
        let text = format!("the server says to post to {given:?}, which {why}");
        Error::upstream(Code::UpstreamProtocol, text)
    };
    let absolute = given.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some());
    let path = match absolute {
        Some(uri) if uri.scheme() == stream.scheme() && uri.authority() == stream.authority() => {
            return Ok(path_of(&uri));
        }
        Some(_) => return Err(refused("is another origin")),
        None if given.starts_with("//") => return Err(refused("is another origin")),
        None if given.starts_with('/') => given.to_owned(),
        None if given.starts_with('?') => format!("{}{given}", stream.path()),
        None => {
            let folder = stream.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{given}")
        }
    };
    path.parse().map_err(|_| refused("is no address"))
}

/// What comes down.
struct Stream {
    body: Reading,
    decoder: Decoder,
    limit: usize,
}

impl Stream {
    async fn open(pool: &Arc<Pool>, uri: &Uri, headers: &HeaderMap, limit: usize) -> Result<Self> {
        let mut request = http::Request::new(Payload::default());
        *request.uri_mut() = path_of(uri);
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = pool.send(request).await.map_err(|failure| {
            Error::upstream(Code::UpstreamDown, "could not connect to the server").inside(failure)
        })?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !response.status().is_success() || !kind.starts_with("text/event-stream") {
            let status = response.status().as_u16();
            let text =
                format!("the server answered HTTP {status} {kind:?} where a stream of events was expected");
            return Err(Error::upstream(Code::UpstreamProtocol, text));
        }
        Ok(Self { body: response.into_body(), decoder: Decoder::new(limit), limit })
    }

    /// The next event, by name and data; nothing at the end.
    async fn next(&mut self) -> Result<Option<(Vec<u8>, Bytes)>> {
        let mut data = BytesMut::new();
        let too_large = |limit: usize| {
            Error::upstream(Code::UpstreamProtocol, format!("an event is larger than {limit} bytes"))
        };
        loop {
            match self.decoder.piece().map_err(|cause| too_large(self.limit).inside(cause))? {
                Some(Piece::Data(piece)) => data.extend_from_slice(&piece),
                Some(Piece::End) => return Ok(Some((self.decoder.name().to_vec(), data.freeze()))),
                None => match self.body.frame().await.transpose() {
                    Ok(Some(frame)) => {
                        if let Ok(chunk) = frame.into_data() {
                            self.decoder.feed(chunk);
                        }
                    }
                    Ok(None) => return Ok(None),
                    Err(cause) => return Err(closed("in the middle of its stream").inside(cause)),
                },
            }
        }
    }
}

async fn read(mut stream: Stream, pipe: Arc<Pipe>, events: mpsc::Sender<Event>, log: Arc<LogRing>) {
    let why = loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = pipe.hang_up.cancelled() => return pipe.close("it was stopped"),
        };
        match next {
            Ok(Some((name, data))) if name.is_empty() || name == b"message" => {
                pipe.read(&data, &events, &log);
            }
            Ok(Some(_)) => {}
            Ok(None) => break "it ended its stream of events".to_owned(),
            Err(error) => break error.chain(),
        }
    };
    pipe.close(why);
    let _ = events.send(Event::Closed).await;
}

/// What goes up.
struct Posts {
    pool: Arc<Pool>,
    post: Uri,
    headers: HeaderMap,
    pipe: Arc<Pipe>,
}

impl Posts {
    /// Posts messages until the owner hangs up. Requests go side by side, so that a slow one holds up no other;
    /// a notification is taken before anything else is sent.
    async fn carry(self, mut messages: mpsc::Receiver<Parts>, events: mpsc::Sender<Event>) {
        let (this, mut under_way) = (Arc::new(self), JoinSet::new());
        loop {
            let message = tokio::select! {
                biased;
                message = messages.recv() => message,
                () = this.pipe.hang_up.cancelled() => None,
            };
            let Some(message) = message else { return };
            // It was written by us, so it is a message.
            let Ok(frame) = Frame::parse(message.clone().whole()) else { continue };
            if frame.kind() == Kind::Request {
                while under_way.len() >= POSTS_MAX {
                    under_way.join_next().await;
                }
                let (this, events) = (this.clone(), events.clone());
                under_way.spawn(async move { this.one(&frame, message, &events).await });
                while under_way.try_join_next().is_some() {}
            } else {
                this.one(&frame, message, &events).await;
            }
        }
    }

    async fn one(&self, frame: &Frame, message: Parts, events: &mpsc::Sender<Event>) {
        let late = |_| Error::upstream(Code::UpstreamTimeout, "the server did not take the request");
        let taken = tokio::time::timeout(TAKE, self.post(message)).await.map_err(late);
        let why = match taken.and_then(std::convert::identity) {
            Ok(status) if status.is_success() => return,
            // The stream may still be open, but nothing that is posted reaches it any more.
            Ok(StatusCode::NOT_FOUND) => {
                self.pipe.close("the server has forgotten the session");
                let _ = events.send(Event::Closed).await;
                return;
            }
            Ok(status) => {
                let text = format!("the server answered HTTP {} to a post", status.as_u16());
                Error::upstream(Code::UpstreamProtocol, text)
            }
            Err(error) => error,
        };
        if let Some(id) = std::str::from_utf8(&frame.raw(frame.id)).ok().and_then(|id| id.parse().ok()) {
            self.pipe.fail(id, why);
        }
    }

    async fn post(&self, message: Parts) -> Result<StatusCode> {
        let mut request = http::Request::new(Payload::from(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.post.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response: Response<Reading> = self.pool.send(request).await.map_err(|failure| {
            Error::upstream(Code::UpstreamDown, "the connection to the server broke").inside(failure)
        })?;
        let status = response.status();
        response.into_body().run_out();
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_go_to_the_origin_of_the_stream_and_nowhere_else() {
        let stream: Uri = "http://127.0.0.1:9/a/sse?x=1".parse().unwrap();
        for (given, path) in [
            ("/message?id=1", "/message?id=1"),
            ("http://127.0.0.1:9/m?id=1", "/m?id=1"),
            ("message?id=1", "/a/message?id=1"),
            ("?id=1", "/a/sse?id=1"),
        ] {
            assert_eq!(same_origin(&stream, given).unwrap().to_string(), path, "{given}");
        }
        for given in
            ["http://127.0.0.1:10/m", "https://127.0.0.1:9/m", "//evil.example/m", "http://evil.example/"]
        {
            let error = same_origin(&stream, given).unwrap_err();
            assert!(error.to_string().contains("another origin"), "{error}");
        }
    }
}
