//! A small HTTPS service, with a certificate that is as old as a test wants it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The service. Its authority is one of the test. It serves until the test ends.
pub struct Secure {
    address: SocketAddr,
    authority: tempfile::NamedTempFile,
}

impl Secure {
    /// Starts one on a free port, whose certificate, for `localhost`, ends when a year begins.
    pub fn start(until: i32) -> Self {
        let made = "a certificate can be made";
        let (ca_key, key) = (KeyPair::generate().expect(made), KeyPair::generate().expect(made));
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca.self_signed(&ca_key).expect(made);
        let mut own = CertificateParams::new(["localhost".to_owned()]).expect(made);
        own.not_before = date_time_ymd(2000, 1, 1);
        own.not_after = date_time_ymd(until, 1, 1);
        let own = own.signed_by(&key, &ca, &ca_key).expect(made);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
                config.with_no_client_auth().with_single_cert(vec![own.der().clone()], key)
            });
        let config = Arc::new(config.expect("a server can be made of it"));
        let authority = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(authority.path(), ca.pem()).expect("it can be written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let config = config.clone();
                // One who does not like the certificate goes.
                std::thread::spawn(move || drop(serve(stream, config)));
            }
        });
        Self { address, authority }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.address.port())
    }

    /// A file with the certificate of its authority (PEM).
    pub fn authority(&self) -> &Path {
        self.authority.path()
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && line.trim() != "" {
        line.clear();
    }
    let stream = reader.get_mut();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")?;
    stream.conn.send_close_notify();
    stream.flush()
}
