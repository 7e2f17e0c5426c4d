//! Over TLS, with certificates of all kinds.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate with its key.
pub(crate) struct Issued {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
}

/// An authority of the test.
pub(crate) fn authority(until: i32) -> Issued {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("authority until {until}"));
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    Issued { certificate: params.self_signed(&key).unwrap(), key }
}

fn params(name: &str, from: i32, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}

/// A certificate of an authority.
pub(crate) fn issue(by: &Issued, name: &str, from: i32, until: i32) -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, from, until).signed_by(&key, &by.certificate, &by.key).unwrap();
    Issued { certificate, key }
}

/// A server that shows certificates, the first of them its own, and speaks what it is told.
pub(super) fn acceptor(own: &Issued, others: &[&Issued], spoken: &[&[u8]]) -> TlsAcceptor {
    let chain: Vec<CertificateDer<'static>> =
        [own].iter().chain(others).map(|one| one.certificate.der().clone()).collect();
    let key = PrivatePkcs8KeyDer::from(own.key.serialize_der()).into();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A server of pages over TLS.
pub(crate) async fn secure(own: &Issued, others: &[&Issued]) -> SocketAddr {
    let acceptor = acceptor(own, others, &[b"http/1.1"]);
    server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let page = async |_| Ok::<_, std::io::Error>(::http::Response::new(Full::<Bytes>::from("page")));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(page))
                .await;
        }
    })
    .await
}

/// A file that names authorities.
pub(crate) fn file(of: &Issued) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), of.certificate.pem()).unwrap();
    file
}

const DAY: u64 = 86_400;

/// Days left until a year begins.
fn days_until(year: i32) -> u64 {
    let left = date_time_ymd(year, 1, 1).unix_timestamp() - jiff::Timestamp::now().as_second();
    u64::try_from(left).unwrap_or(0) / DAY
}

fn days(found: &Found) -> Option<u64> {
    found.certificate_expiration.map(|left| left.as_secs() / DAY)
}

#[tokio::test]
async fn a_certificate_is_judged_and_its_end_is_found_whatever_it_is() {
    let ours = authority(2090);
    let trusted = file(&ours);
    let check = async |own: &Issued, members: Value| {
        let at = secure(own, &[]).await;
        let mut def = json!({
            "url": format!("https://localhost:{}", at.port()),
            "tls": { "ca_file": trusted.path() },
            "conditions": ["[STATUS] == 200", "[CERTIFICATE_EXPIRATION] > 48h", "[BODY] == page"],
        });
        def.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        verdict(def).await
    };
    let valid = issue(&ours, "localhost", 2020, 2080);
    let (judged, found) = check(&valid, json!({})).await;
    assert_eq!((judged, &found.error, days(&found)), (Verdict::Good, &None, Some(days_until(2080))));
    assert!(found.phases.tls > Duration::ZERO);

    let refused = async |own: &Issued, members: Value, left: u64| {
        let (judged, found) = check(own, members).await;
        assert_eq!((judged, found.connected, days(&found)), (Verdict::Bad, false, Some(left)), "{found:?}");
        found.error.unwrap()
    };
    let expired = issue(&ours, "localhost", 2020, 2025);
    let told = refused(&expired, json!({}), 0).await;
    assert_eq!(told, "the certificate expired on 2025-01-01 00:00 UTC");
    let early = issue(&ours, "localhost", 2070, 2080);
    let told = refused(&early, json!({}), days_until(2080)).await;
    assert_eq!(told, "the certificate is not valid before 2070-01-01 00:00 UTC");
    let other = issue(&ours, "other.example", 2020, 2080);
    let told = refused(&other, json!({}), days_until(2080)).await;
    assert_eq!(told, "the certificate is for other.example, and not for localhost");
    let told = refused(&valid, json!({ "tls": {} }), days_until(2080)).await;
    assert!(
        told.starts_with("the certificate is from no authority") || told.starts_with("the system has no"),
        "{told}"
    );
    let told = refused(&valid, json!({ "tls": { "ca_file": "/none/ca.pem" } }), days_until(2080)).await;
    assert_eq!(told, "could not read tls.ca_file: no such file or directory");
    let empty = tempfile::NamedTempFile::new().unwrap();
    let told = refused(&valid, json!({ "tls": { "ca_file": empty.path() } }), days_until(2080)).await;
    assert_eq!(told, "tls.ca_file holds no certificate (PEM)");

    // Named otherwise, and taken unseen.
    let named = json!({ "tls": { "ca_file": trusted.path(), "server_name": "other.example" } });
    assert_eq!(check(&other, named).await.0, Verdict::Good);
    let (judged, found) =
        check(&expired, json!({ "tls": { "insecure": true }, "conditions": ["[STATUS] == 200"] })).await;
    assert_eq!((judged, days(&found)), (Verdict::Good, Some(0)));
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_trusted_where_it_is_named() {
    let key = KeyPair::generate().unwrap();
    let mut params = params("localhost", 2020, 2080);
    // As `openssl req -x509` makes it.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = Issued { certificate: params.self_signed(&key).unwrap(), key };
    let at = secure(&own, &[]).await;
    let url = format!("tls://localhost:{}", at.port());
    let alone = probe(json!({ "url": url })).await;
    assert!(error(&alone).contains("name it by tls.ca_file"), "{}", error(&alone));
    let named = file(&own);
    let (judged, found) = verdict(json!({ "url": url, "tls": { "ca_file": named.path() } })).await;
    assert_eq!((judged, found.error, found.connected), (Verdict::Good, None, true));
    let url = format!("tls://127.0.0.1:{}", at.port());
    let other = probe(json!({ "url": url, "tls": { "ca_file": named.path() } })).await;
    assert!(error(&other).starts_with("the certificate is for "), "{}", error(&other));
}

#[tokio::test]
async fn the_first_certificate_of_the_chain_to_expire_counts() {
    let root = authority(2090);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "between");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2060, 1, 1));
    let key = KeyPair::generate().unwrap();
    let between = Issued { certificate: params.signed_by(&key, &root.certificate, &root.key).unwrap(), key };
    let own = issue(&between, "localhost", 2020, 2080);
    let at = secure(&own, &[&between]).await;
    let trusted = file(&root);
    let url = format!("tls://localhost:{}", at.port());
    let found = probe(json!({ "url": url, "tls": { "ca_file": trusted.path() } })).await;
    assert_eq!((found.error.as_deref(), days(&found)), (None, Some(days_until(2060))));
}

#[tokio::test]
async fn authorities_are_read_again_when_their_file_has_changed() {
    let (old, new) = (authority(2090), authority(2091));
    let own = issue(&new, "localhost", 2020, 2080);
    let at = secure(&own, &[]).await;
    let named = file(&old);
    let url = format!("tls://localhost:{}", at.port());
    let target = target(json!({ "url": url, "tls": { "ca_file": named.path() } }));
    let prober = Prober::new();
    assert!(!prober.probe(&target).await.connected);
    std::fs::write(named.path(), new.certificate.pem()).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().write(true).open(named.path()).unwrap().set_modified(later).unwrap();
    assert_eq!(prober.probe(&target).await.error, None);
}

#[tokio::test]
async fn what_speaks_no_tls_is_said_so() {
    let plain = server(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let mut asked = [0; 1024];
        while matches!(stream.read(&mut asked).await, Ok(1..)) {}
    })
    .await;
    let url = format!("tls://{plain}");
    assert_eq!(error(&probe(json!({ "url": url })).await), "the server does not speak TLS");
    let gone = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let told = probe(json!({ "url": format!("https://{gone}") })).await;
    assert!(error(&told).contains("TLS handshake"), "{}", error(&told));
    let silent = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let told = probe(json!({ "url": format!("https://{silent}"), "timeout": "300ms" })).await;
    assert_eq!(error(&told), "no answer within 300 ms");
}
