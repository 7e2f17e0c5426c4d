//! The HTTP+SSE transport of 2024-11-05: a stream of events down, whose first event says where to post what
//! goes up. Many clients still speak it. The stream is the session: it ends with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::{Response, StatusCode};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use puerto_core::{Code, Error, Result};
use tokio::sync::mpsc;

use crate::door::duplex::Duplex;
use crate::door::http::{Answer, Events, event_stream};
use crate::frame::Parts;
use crate::hub::{Endpoint, Hub};
use crate::upstream::http::Payload;

/// What a post is answered with; older SDKs read it.
const ACCEPTED: Bytes = Bytes::from_static(b"Accepted");
/// Messages of one client that may wait to be read; beyond it its posts wait.
const IN_QUEUE: usize = 64;
/// Streams open at the same time.
const STREAMS_MAX: usize = 10_000;

/// The open streams, by the id that their clients post with.
#[derive(Debug, Default)]
pub struct Streams(Mutex<HashMap<String, Open>>);

#[derive(Debug)]
struct Open {
    endpoint: Endpoint,
    to: mpsc::Sender<Bytes>,
}

impl Streams {
    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a stream. `post` is the path that the client posts to.
pub fn open(hub: &Arc<Hub>, endpoint: Endpoint, post: &str) -> Result<Response<Answer>> {
    let id = crate::session::fresh_id()?;
    let (to, mut inbox) = mpsc::channel(IN_QUEUE);
    {
        let mut streams = hub.streams.locked();
        if streams.len() >= STREAMS_MAX {
            return Err(Error::hub(Code::Busy, format!("{STREAMS_MAX} streams are open")));
        }
        streams.insert(id.clone(), Open { endpoint: endpoint.clone(), to });
    }
    let profile = endpoint.scope.profile.as_ref().map(|p| format!("&profile={p}")).unwrap_or_default();
    let first = format!("event: endpoint\ndata: {post}?sessionId={id}{profile}\n\n");
    let (mut client, messages) = Duplex::open(hub.clone(), endpoint);
    let serving = hub.clone();
    hub.spawn(async move {
        loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => client.take(message).await,
                    None => break,
                },
                () = client.over() => break,
            }
        }
        serving.streams.locked().remove(&id);
        client.leave().await;
    });
    let messages = stream::unfold(messages, |mut messages| async {
        let message = messages.recv().await?;
        Some((message, messages))
    });
    Ok(event_stream(Events::new(messages.boxed(), Some(first.into()), false)))
}

/// Takes what a client posts; the answer comes on its stream.
pub async fn post<B>(hub: &Hub, endpoint: &Endpoint, id: &str, body: B) -> Result<Response<Answer>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let unknown = || Error::not_found("session", "that was named: its stream has ended");
    let to = {
        let streams = hub.streams.locked();
        let open = streams.get(id).filter(|open| open.endpoint.is(endpoint));
        open.ok_or_else(unknown)?.to.clone()
    };
    let limit = hub.settings.body_max;
    let body = Limited::new(body, limit).collect().await.map_err(|cause| {
        let text = format!("the body broke off, or is larger than {limit} bytes (gateway.max_body_bytes)");
        Error::caller(Code::BadRequest, text).inside(std::io::Error::other(cause.to_string()))
    })?;
    to.send(body.to_bytes()).await.map_err(|_| unknown())?;
    let mut response = Response::new(Answer::Whole(Payload::from(Parts::one(ACCEPTED))));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
