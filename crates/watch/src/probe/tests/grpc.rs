//! Of gRPC health, against hyper's HTTP/2.

use std::convert::Infallible;

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::*;

type Answer = Response<Box<dyn Body<Data = Bytes, Error = Infallible> + Send + Unpin>>;

/// Answers by the service that is asked for, whose name is read out of the message by its place.
async fn health(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let message = body.collect().await.unwrap().to_bytes();
    let is_well = head.uri.path() == "/grpc.health.v1.Health/Check"
        && head.headers["content-type"] == "application/grpc"
        && head.headers["te"] == "trailers"
        && head.headers["grpc-timeout"] == "4000m"
        && head.method == "POST";
    let name = message.get(7..).unwrap_or_default();
    let (state, status, words) = match name {
        _ if !is_well => (None, "3", "bad request"),
        b"down" => (Some(2), "0", ""),
        b"unknown" => (None, "5", "no%20such service"),
        b"plain" => return Ok(Response::builder().status(404).body(Box::new(Full::default()) as _).unwrap()),
        b"secret" if head.headers.get("authorization").is_none_or(|token| token != "t") => (None, "16", ""),
        _ => (Some(1), "0", ""),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", words.parse().unwrap());
    let response = Response::builder().header("content-type", "application/grpc");
    let Some(state) = state else {
        // Trailers only: all of it is in the head.
        let mut response = response.body(Box::new(Full::default()) as _).unwrap();
        response.headers_mut().extend(trailers);
        return Ok(response);
    };
    let framed = Full::from(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]));
    let body = framed.with_trailers(async { Some(Ok(trailers)) });
    Ok(response.body(Box::new(Box::pin(body)) as _).unwrap())
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(health))
        .await;
}

fn asking(at: SocketAddr, service: &str) -> Value {
    json!({ "url": format!("grpc://{at}"), "grpc": { "service": service } })
}

#[tokio::test]
async fn a_service_is_up_when_it_is_serving() {
    let at = server(serve).await;
    let mut asked = asking(at, "");
    asked["conditions"] = json!(["[CONNECTED] == true", "[STATUS] == 0", "[BODY].status == SERVING"]);
    let (judged, found) = verdict(asked).await;
    assert_eq!((judged, found.error, found.status), (Verdict::Good, None, Some(0)));
    assert!(found.phases.first_byte > Duration::ZERO);
    for (service, judged, status, told) in [
        ("up", Verdict::Good, Some(0), "no error"),
        ("down", Verdict::Bad, Some(0), "the service says that it is NOT_SERVING"),
        ("unknown", Verdict::Bad, Some(5), "gRPC status 5 (NOT_FOUND): no such service"),
        ("secret", Verdict::Bad, Some(16), "gRPC status 16 (UNAUTHENTICATED)"),
        ("plain", Verdict::Bad, None, "the server does not speak gRPC: it answered with HTTP status 404"),
    ] {
        let (verdict, found) = verdict(asking(at, service)).await;
        assert_eq!((verdict, found.status, error(&found)), (judged, status, told), "{service}");
    }
    let mut secret = asking(at, "secret");
    secret["headers"] = json!({ "Authorization": "t" });
    assert_eq!(verdict(secret).await.0, Verdict::Good);
}

#[tokio::test]
async fn a_service_is_asked_over_tls() {
    let ours = tls::authority(2090);
    let own = tls::issue(&ours, "localhost", 2020, 2080);
    let acceptor = tls::acceptor(&own, &[], &[b"h2"]);
    let at = server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        }
    })
    .await;
    let named = tls::file(&ours);
    let url = format!("grpcs://localhost:{}", at.port());
    let conditions = ["[CERTIFICATE_EXPIRATION] > 48h", "[CONNECTED] == true"];
    let asked = json!({ "url": url, "tls": { "ca_file": named.path() }, "conditions": conditions });
    let (judged, found) = verdict(asked).await;
    assert_eq!((judged, found.error), (Verdict::Good, None));
    let told = probe(json!({ "url": url })).await;
    assert!(!told.connected && told.certificate_expiration.is_some(), "{told:?}");
}

#[tokio::test]
async fn what_speaks_no_http_2_is_said_so() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let old = server(|mut stream| async move {
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        while matches!(stream.read(&mut asked).await, Ok(1..)) {}
    })
    .await;
    let found = probe(json!({ "url": format!("grpc://{old}") })).await;
    assert!(error(&found).starts_with("the server does not speak HTTP/2"), "{}", error(&found));
    let silent = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let found = probe(json!({ "url": format!("grpc://{silent}"), "timeout": "300ms" })).await;
    assert_eq!(error(&found), "no answer within 300 ms");
}
