//! TLS to what is watched. Whether a certificate is trusted is asked after the handshake and before a byte is sent:
//! so its expiry is found also where it is not trusted, and one set-up serves all checks.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use der::asn1::{GeneralizedTime, UtcTime};
use der::{AnyRef, Decode as _, Header, Reader as _, SliceReader, Tag, TagMode, TagNumber, Tagged as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Told, tcp};
use crate::condition::Found;

/// Largest file of authorities; the system's whole list has some 220 KiB.
const CA_FILE_MAX: u64 = 2 * 1024 * 1024;

/// Which certificates a target may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of the authorities that the system trusts.
    System,
    /// Those of the authorities in a file.
    File(Arc<Path>),
    /// Any.
    Any,
}

/// What is expected of one target.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) trust: Trust,
    pub(super) name: ServerName<'static>,
    pub(super) spoken: Spoken,
}

/// What is spoken over TLS, as the handshake says it (ALPN).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spoken {
    Nothing,
    Http,
    Grpc,
}

/// What all checks over TLS share.
pub(crate) struct Tls {
    plain: TlsConnector,
    http: TlsConnector,
    grpc: TlsConnector,
    provider: Arc<CryptoProvider>,
    /// None where the system has no authorities.
    system: Option<Arc<WebPkiServerVerifier>>,
    files: Mutex<HashMap<Arc<Path>, Arc<Authorities>>>,
}

/// The authorities of one file, as it was then.
struct Authorities {
    changed: Option<SystemTime>,
    listed: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Tls {
    /// Reads the system's authorities.
    pub(crate) fn new() -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let system = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let connector = |spoken: &[&[u8]]| {
            let mut config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .expect("ring offers TLS 1.2 and 1.3")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Later(provider.clone())))
                .with_no_client_auth();
            // A session that goes on shows no certificate.
            config.resumption = Resumption::disabled();
            config.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Self {
            plain: connector(&[]),
            http: connector(&[b"http/1.1"]),
            grpc: connector(&[b"h2"]),
            system: system.ok(),
            files: Mutex::default(),
            provider,
        }
    }

    /// Makes the handshake, notes when the certificate expires, and judges it.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        expected: &Expected,
        found: &mut Found,
    ) -> Told<TlsStream<TcpStream>> {
        let start = Instant::now();
        let connector = match expected.spoken {
            Spoken::Nothing => &self.plain,
            Spoken::Http => &self.http,
            Spoken::Grpc => &self.grpc,
        };
        let connected = connector.connect(expected.name.clone(), stream).await;
        found.phases.tls = start.elapsed();
        let stream = connected.map_err(|error| refused(&error))?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let now = UnixTime::now();
        if let Some(end) = chain.iter().filter_map(|one| validity(one).ok()).map(|(_, end)| end).min() {
            found.certificate_expiration = Some(end.saturating_sub(Duration::from_secs(now.as_secs())));
        }
        self.judge(chain, expected, now)?;
        Ok(stream)
    }

    fn judge(&self, chain: &[CertificateDer<'_>], expected: &Expected, now: UnixTime) -> Told<()> {
        let [leaf, others @ ..] = chain else { return Err("the server shows no certificate".into()) };
        let authorities;
        let verifier = match &expected.trust {
            Trust::Any => return Ok(()),
            Trust::System => self.system.as_ref().ok_or(
                "the system has no certificates of authorities: install them (ca-certificates) or set tls.ca_file",
            )?,
            Trust::File(file) => {
                authorities = self.authorities(file)?;
                // Many who run their own name the one certificate that it is, and no authority.
                if authorities.listed.contains(leaf) {
                    return alone(leaf, &expected.name, now).map_err(|error| distrust(&error, leaf));
                }
                &authorities.verifier
            }
        };
        match verifier.verify_server_cert(leaf, others, &expected.name, &[], now) {
            Ok(_) => Ok(()),
            Err(error) => Err(distrust(&error, leaf)),
        }
    }

    /// The authorities of a file. It is read again when it has changed; it is small, so that reading it holds nobody up.
    fn authorities(&self, file: &Arc<Path>) -> Told<Arc<Authorities>> {
        let unread = |error: io::Error| format!("could not read tls.ca_file: {}", tcp::words(&error));
        let changed = std::fs::metadata(file).map_err(unread)?.modified().ok();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = files.get(file).filter(|known| known.changed == changed) {
            return Ok(known.clone());
        }
        let mut text = Vec::new();
        std::fs::File::open(file)
            .map_err(unread)?
            .take(CA_FILE_MAX)
            .read_to_end(&mut text)
            .map_err(unread)?;
        let listed: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(listed.iter().cloned());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone());
        let verifier = verifier.build().map_err(|_| "tls.ca_file holds no certificate (PEM)")?;
        let authorities = Arc::new(Authorities { changed, listed, verifier });
        files.insert(file.clone(), authorities.clone());
        Ok(authorities)
    }
}

/// A certificate that is trusted by itself must still be for the name, and valid now.
fn alone(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
    let encoding = |_| CertificateError::BadEncoding;
    let (start, end) = validity(leaf).map_err(encoding)?;
    if now.as_secs() > end.as_secs() {
        return Err(CertificateError::Expired.into());
    }
    if now.as_secs() < start.as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
}

/// Why no handshake came about.
fn refused(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => {
            format!("the server refused the TLS handshake ({alert:?})")
        }
        Some(Error::InvalidMessage(_)) => "the server does not speak TLS".into(),
        Some(error) => format!("the TLS handshake failed: {error}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection in the TLS handshake".into()
        }
        None => format!("the TLS handshake failed: {}", tcp::words(error)),
    }
}

/// Why a certificate is not trusted.
fn distrust(error: &Error, leaf: &CertificateDer<'_>) -> String {
    let Error::InvalidCertificate(error) = error else {
        return format!("the certificate is not trusted: {error}");
    };
    let date = |edge: fn((Duration, Duration)) -> Duration| {
        let time = validity(leaf).ok().map(edge).and_then(|at| i64::try_from(at.as_secs()).ok());
        let time = time.and_then(|at| jiff::Timestamp::from_second(at).ok());
        time.map_or("an unknown day".into(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
    };
    match error {
        // Of an intermediate one, where the leaf's own date lies ahead.
        CertificateError::ExpiredContext { time, .. }
            if validity(leaf).is_ok_and(|(_, end)| end.as_secs() > time.as_secs()) =>
        {
            "a certificate of the chain has expired".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate expired on {}", date(|(_, end)| end))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate is not valid before {}", date(|(start, _)| start))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().take(NAMES_SHOWN).map(|name| plain(name)).collect();
            let presented = if presented.is_empty() { "no name".into() } else { presented.join(", ") };
            format!("the certificate is for {presented}, and not for {}", expected.to_str())
        }
        CertificateError::NotValidForName => "the certificate is for another name".into(),
        CertificateError::UnknownIssuer => {
            "the certificate is from no authority that is trusted here; name it by tls.ca_file".into()
        }
        CertificateError::BadSignature => "the certificate's signature is wrong".into(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is an authority's own and signs itself; name it by tls.ca_file".into()
        }
        other => format!("the certificate is not trusted: {other}"),
    }
}

/// Names of a certificate that are shown where none of them fits.
const NAMES_SHOWN: usize = 3;

/// `DnsName("a.example")`, as rustls has it, without its kind.
fn plain(name: &str) -> String {
    let bare = name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name);
    bare.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// From and until when a certificate is valid, since 1970 (RFC 5280, section 4.1).
fn validity(certificate: &[u8]) -> der::Result<(Duration, Duration)> {
    let mut reader = SliceReader::new(certificate)?;
    Header::decode(&mut reader)?.tag().assert_eq(Tag::Sequence)?;
    Header::decode(&mut reader)?.tag().assert_eq(Tag::Sequence)?;
    reader.context_specific::<u8>(TagNumber(0), TagMode::Explicit)?;
    for _before in ["serialNumber", "signature", "issuer"] {
        reader.decode::<AnyRef<'_>>()?;
    }
    Header::decode(&mut reader)?.tag().assert_eq(Tag::Sequence)?;
    let mut time = || {
        let time: AnyRef<'_> = reader.decode()?;
        match time.tag() {
            Tag::UtcTime => time.decode_as::<UtcTime>().map(|time| time.to_unix_duration()),
            _ => time.decode_as::<GeneralizedTime>().map(|time| time.to_unix_duration()),
        }
    };
    Ok((time()?, time()?))
}

/// Takes every chain, which is judged when the handshake is over; the server's signature is checked.
#[derive(Debug)]
struct Later(Arc<CryptoProvider>);

impl ServerCertVerifier for Later {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
