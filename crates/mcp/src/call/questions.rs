//! Questions of a server to a client (sampling, elicitation, roots) between equal eras. The client's answer
//! comes by another road and finds its way back here.

use std::sync::Arc;

use crate::call::Client;
use crate::era::Era;
use crate::frame::{Edits, Frame, Kind, Parts};
use crate::session::{Level, Session};
use crate::upstream::http::{Remote, RemoteSession};
use crate::upstream::link::{Asked, Link, Request, request_text};
use crate::upstream::watch::{AGAIN, AGAIN_MAX};
use crate::upstream::{Event, Live, Upstream};
use crate::wire::{INTERNAL_ERROR, METHOD_NOT_FOUND, Refusal};

/// The question as the client gets it, under an id of ours; where it cannot be asked, the server is told.
pub async fn pass_on(client: &Client, asked: Asked, frame: &Frame) -> Option<Parts> {
    match pose(client, &asked, frame) {
        Ok((_, text)) => Some(text),
        Err(answer) => {
            let _ = asked.link.tell(answer, asked.session.as_ref()).await;
            None
        }
    }
}

/// Our id for a question, and the question as the client gets it; or what the server gets in place of an answer.
fn pose(client: &Client, asked: &Asked, frame: &Frame) -> Result<(String, Parts), Parts> {
    let refused = |number, why: &'static str| Err(Refusal::new(number, why).render(&asked.id, false));
    let method = frame.method_name();
    if method == "ping" {
        return Err(crate::wire::result(&asked.id, ""));
    }
    let Client::Legacy(session) = client else {
        return refused(METHOD_NOT_FOUND, "this client cannot be asked across protocol eras");
    };
    if !session.can_answer(&method) {
        return refused(METHOD_NOT_FOUND, "the client has not declared that it can be asked this");
    }
    match session.ask(asked.clone()) {
        Some(id) => {
            let mut edits = Edits::new();
            edits.set(frame.id, format!("\"{id}\""));
            Ok((id, edits.apply(&frame.parts)))
        }
        None => refused(INTERNAL_ERROR, "too many questions wait for this client"),
    }
}

/// The era in which a client's request goes to a server: the client's own where the server speaks it.
pub async fn era_for(client: &Client, live: &Live) -> Era {
    match (client, &live.link, live.about.revision.era()) {
        (Client::Legacy(_), Link::Http(remote), Era::Modern) if remote.speaks_legacy().await => Era::Legacy,
        (_, _, era) => era,
    }
}

/// The client's own session at a legacy HTTP server. At its first use the stream on which that server
/// speaks unasked is opened too, and the severity that the client set is handed on.
pub async fn own_session(
    session: &Arc<Session>,
    upstream: &Arc<Upstream>,
    live: &Arc<Live>,
    remote: &Arc<Remote>,
) -> Arc<RemoteSession> {
    let (own, new) = session.remote(&upstream.name);
    if !new {
        return own;
    }
    Box::pin(hand_on_level(session, live, Some(own.clone()))).await;
    let (session, live, remote, kept) = (session.clone(), live.clone(), remote.clone(), own.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = session.ended.cancelled() => {}
            () = follow(&session, &live, &remote, &kept) => {}
        }
    });
    own
}

/// Tells a server that is new to a client from which severity on the client wants log messages, where it said so.
pub async fn hand_on_level(session: &Session, live: &Live, own: Option<Arc<RemoteSession>>) {
    let speaks = live.about.can.logging && (own.is_some() || live.about.revision.era() == Era::Legacy);
    if let Some(level) = session.level().filter(|_| speaks) {
        set_level(live, own, level).await;
    }
}

/// Tells a legacy server from which severity on log messages are wanted. A server that refuses logs as it likes.
pub async fn set_level(live: &Live, session: Option<Arc<RemoteSession>>, level: Level) {
    let id = live.link.next_id();
    let members = format!("\"level\":\"{}\"", level.text());
    let request = Request {
        id,
        method: "logging/setLevel".into(),
        text: request_text(Era::Legacy, id, "logging/setLevel", &members),
        name: None,
        headers: Vec::new(),
        asker: None,
        notices: false,
        session,
    };
    if let Ok(mut exchange) = live.link.send(request).await {
        let answered = tokio::time::timeout(std::time::Duration::from_secs(5), exchange.next()).await;
        if !matches!(answered, Ok(Ok(_))) {
            tracing::debug!("a server did not take the log level");
        }
    }
}

/// Keeps the stream of a client's own session open while the server has one.
async fn follow(session: &Arc<Session>, live: &Live, remote: &Arc<Remote>, own: &Arc<RemoteSession>) {
    let mut left_off = Vec::new();
    while let Ok(Some(mut stream)) = remote.listen(own, &left_off).await {
        while let Ok(frame) = stream.next().await {
            heard(session, live, remote, own, &frame).await;
        }
        let (last_id, wait) = stream.left_off();
        left_off = last_id;
        tokio::time::sleep(wait.unwrap_or(AGAIN).clamp(AGAIN, AGAIN_MAX)).await;
    }
}

/// Puts a question on the stream of the only client whom it can concern. Answers what the server gets where that
/// cannot be; it does not wait, so that a server that floods its client holds nothing of ours.
pub fn put(session: &Arc<Session>, asked: &Asked, question: &Frame) -> Option<Parts> {
    let (id, text) = match pose(&Client::Legacy(session.clone()), asked, question) {
        Ok(posed) => posed,
        Err(answer) => return Some(answer),
    };
    if session.send(text) {
        return None;
    }
    session.asked(format!("\"{id}\"").as_bytes());
    Some(Refusal::new(INTERNAL_ERROR, "the client does not read its stream").render(&asked.id, false))
}

/// Puts a log message on the stream of the only client whom it can concern, where it wants to see it.
pub fn log_line(session: &Session, frame: &Frame) {
    let level = frame.text(frame.params.level).and_then(|text| Level::parse(&text));
    if level >= session.level() {
        session.send(frame.parts.clone());
    }
}

/// Passes on what a server says unasked in a client's own session.
async fn heard(
    session: &Arc<Session>,
    live: &Live,
    remote: &Arc<Remote>,
    own: &Arc<RemoteSession>,
    frame: &Frame,
) {
    match frame.kind() {
        Kind::Request => {
            let asked = Asked {
                link: Link::Http(remote.clone()),
                session: Some(own.clone()),
                id: frame.share(frame.id),
            };
            if let Some(answer) = put(session, &asked, frame) {
                let _ = asked.link.tell(answer, asked.session.as_ref()).await;
            }
        }
        Kind::Notification => match Event::from_notice(frame) {
            Some(event) => live.announce(event),
            None if frame.method_name() == "notifications/message" => log_line(session, frame),
            None => {}
        },
        Kind::Response | Kind::Nothing => {}
    }
}
