//! Over HTTP.

use std::convert::Infallible;

use ::http::header::LOCATION;
use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::probe::http::BODY_MAX;

/// A server of hyper.
async fn pages<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> SocketAddr
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    server(move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { Ok::<_, Infallible>(answering.await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// Answers with what was asked, as JSON.
async fn mirror(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let names: Vec<_> = head.headers.keys().map(|name| name.as_str().to_owned()).collect();
    let seen = json!({
        "method": head.method.as_str(), "path": head.uri.to_string(), "host": text("host"), "names": names,
        "authorization": text("authorization"), "type": text("content-type"), "key": text("x-api-key"), "agent": text("user-agent"),
        "body": String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    });
    Response::new(seen.to_string().into())
}

fn redirect(status: u16, to: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).header(LOCATION, to).body(Full::default()).unwrap()
}

/// A server that answers each connection with bytes, and then leaves it open.
async fn bytes(bytes: &'static [u8]) -> SocketAddr {
    server(move |mut stream| async move {
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked).await;
        let _ = stream.write_all(bytes).await;
        while matches!(stream.read(&mut asked).await, Ok(1..)) {}
    })
    .await
}

fn body(found: &Found) -> Value {
    serde_json::from_slice(&found.body).unwrap_or_else(|_| panic!("{found:?}"))
}

#[tokio::test]
async fn a_page_is_asked_for_as_it_is_defined() {
    let at = pages(mirror).await;
    let (judged, found) = verdict(json!({
        "url": format!("http://user:p%40ss@{at}/a/b?c=d#e"), "method": "post", "body": "hello",
        "headers": { "X-Api-Key": "k" },
        "conditions": [
            "[STATUS] == 200", "[BODY].method == POST", "[BODY].path == /a/b?c=d", "[BODY].key == k",
            "[BODY].body == hello", "[BODY].authorization == Basic dXNlcjpwQHNz", "has([BODY].none) == false",
            "[BODY].agent == pat(puerto/*)", "len([BODY].names) == 7", "[RESPONSE_TIME] < 4s", "[CONNECTED] == true",
            "[IP] == 127.0.0.1",
        ],
    }))
    .await;
    let judgements = String::from_utf8_lossy(&found.body).into_owned();
    assert_eq!((judged, &found.error), (Verdict::Good, &None), "{judgements}");
    assert_eq!(body(&found)["host"], at.to_string());
    assert!(found.phases.first_byte > Duration::ZERO);
}

#[tokio::test]
async fn a_bad_status_is_bad_and_a_body_that_nobody_looks_into_is_left() {
    let at = pages(|request| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        Response::builder().status(status).body("text".into()).unwrap()
    })
    .await;
    for (status, judged) in
        [(200, Verdict::Good), (399, Verdict::Good), (400, Verdict::Bad), (503, Verdict::Bad)]
    {
        let (verdict, found) = verdict(json!({ "url": format!("http://{at}/{status}") })).await;
        assert_eq!((verdict, found.status, found.body.len()), (judged, Some(status), 0));
    }
}

#[tokio::test]
async fn redirects_are_followed_with_what_belongs_to_the_host() {
    let elsewhere = pages(mirror).await;
    let at = pages(move |request| async move {
        let path = request.uri().path().to_owned();
        match path[1..].split_once('/') {
            Some(("see", next)) => redirect(303, &format!("/{next}")),
            Some(("keep", next)) => redirect(307, &format!("/{next}")),
            Some(("away", next)) => redirect(308, &format!("http://{elsewhere}/{next}")),
            _ if path == "/loop" => redirect(302, "loop"),
            _ if path == "/ftp" => redirect(302, "ftp://s3cret/"),
            _ => mirror(request).await,
        }
    })
    .await;
    let ask = async |path: &str, redirects: u32| {
        probe(json!({
            "url": format!("http://{at}/{path}"), "method": "PUT", "body": "hello", "redirects": redirects,
            "headers": { "Authorization": "a", "X-Api-Key": "k", "Content-Type": "text/plain" },
            "conditions": ["len([BODY]) > 0"],
        }))
        .await
    };
    let seen = |found: &Found| {
        let body = body(found);
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        ["method", "path", "body", "type", "authorization", "key"].map(text).join(" ")
    };
    assert_eq!(seen(&ask("keep/keep/x", 5).await), "PUT /x hello text/plain a k");
    assert_eq!(seen(&ask("keep/see/x", 5).await), "GET /x   a k");
    assert_eq!(seen(&ask("see/keep/x", 5).await), "GET /x   a k");
    assert_eq!(seen(&ask("away/x", 5).await), "PUT /x hello text/plain  ");
    let looped = ask("loop", 5).await;
    assert_eq!((error(&looped), looped.status), ("there are more than 5 redirects", Some(302)));
    let first = ask("see/x", 0).await;
    assert_eq!((first.error, first.status), (None, Some(303)));
    assert_eq!(error(&ask("ftp", 5).await), "a redirect leads to an address that is not HTTP");
    assert_eq!(error(&ask("keep/see/x", 1).await), "there are more than 1 redirects");
}

#[tokio::test]
async fn who_answers_too_late_is_told_how_late() {
    let silent = bytes(b"").await;
    let found = probe(json!({ "url": format!("http://{silent}"), "timeout": "300ms" })).await;
    assert_eq!((error(&found), found.connected), ("no answer within 300 ms", false));
    assert!(
        found.response_time >= Duration::from_millis(300) && found.response_time < Duration::from_secs(3)
    );

    let endless = bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}").await;
    let head = verdict(json!({ "url": format!("http://{endless}"), "timeout": "300ms" })).await;
    assert_eq!((head.0, head.1.error), (Verdict::Good, None));
    let conditions = ["[STATUS] == 200", "has([BODY].errors) == false"];
    let url = format!("http://{endless}");
    let whole = verdict(json!({ "url": url, "timeout": "300ms", "conditions": conditions })).await;
    assert_eq!((whole.0, error(&whole.1)), (Verdict::Bad, "the answer was not over within 300 ms"));
}

#[tokio::test]
async fn what_is_no_answer_is_said_so() {
    let ask = async |url: String| error(&probe(json!({ "url": url })).await).to_owned();
    let gone = server(|stream| async move { drop(stream) }).await;
    let told = ask(format!("http://{gone}")).await;
    assert!(
        told.starts_with("the server closed the connection") || told == "connection reset by peer",
        "{told}"
    );
    let closed = closed().await;
    let told = ask(format!("http://user:s3cret@{closed}/?token=s3cret")).await;
    assert_eq!(told, format!("could not connect to {closed}: connection refused"));
    let other = bytes(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    assert_eq!(ask(format!("http://{other}")).await, "the server does not speak HTTP/1");
    let broken = bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n").await;
    let found = probe(json!({ "url": format!("http://{broken}"), "conditions": ["len([BODY]) == 0"] })).await;
    assert!(error(&found).starts_with("the answer broke off: "), "{}", error(&found));
    static HEAD: [u8; 70_000] = {
        let mut head = [b'x'; 70_000];
        let start = *b"HTTP/1.1 200 OK\r\na: ";
        let mut at = 0;
        while at < start.len() {
            head[at] = start[at];
            at += 1;
        }
        head
    };
    let large = bytes(&HEAD).await;
    assert_eq!(ask(format!("http://{large}")).await, "the head of the answer is larger than 64 KiB");
}

#[tokio::test]
async fn a_body_is_read_up_to_a_limit() {
    let at = pages(|_| async { Response::new(vec![b'x'; 3 * BODY_MAX].into()) }).await;
    let found = probe(json!({ "url": format!("http://{at}"), "conditions": ["[BODY] == pat(x*)"] })).await;
    assert_eq!((found.body.len(), found.error), (BODY_MAX, None));
    // Pieces without an end.
    let endless = server(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head).await;
        let piece = format!("10000\r\n{}\r\n", "y".repeat(65536));
        while stream.write_all(piece.as_bytes()).await.is_ok() {}
    })
    .await;
    let found =
        probe(json!({ "url": format!("http://{endless}"), "conditions": ["[BODY] == pat(y*)"] })).await;
    assert_eq!((found.body.len(), found.error), (BODY_MAX, None));
}

#[tokio::test]
async fn a_body_in_pieces_is_one_text() {
    let at =
        bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n{\"a\":1\r\n1\r\n}\r\n0\r\n\r\n")
            .await;
    let (judged, found) =
        verdict(json!({ "url": format!("http://{at}"), "conditions": ["[BODY].a == 1"] })).await;
    assert_eq!((judged, found.body.as_slice()), (Verdict::Good, &br#"{"a":1}"#[..]));
}
