//! Over SMTP, with a connection for each mail.

use std::path::Path;

use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, Error};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use puerto_core::def::SmtpTls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Outcome;
use crate::alert::channel::{Channel, Mail};
use crate::probe::{Trust, told_by};

/// Sends a mail and judges the server's words.
pub(super) async fn deliver(mail: &Mail, channel: &Channel, message: Message) -> Outcome {
    let transport = match transport(mail) {
        Ok(builder) => builder.timeout(Some(channel.timeout())).build::<Tokio1Executor>(),
        // A file that cannot be read may be there again later.
        Err(why) => return Outcome::Retry { after: None, why },
    };
    match transport.send(message).await {
        Ok(_) => Outcome::Sent,
        Err(error) => judge(&error, &channel.place()),
    }
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransportBuilder, String> {
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(mail.host.clone()).port(mail.port);
    builder = match mail.tls {
        SmtpTls::None => builder.tls(Tls::None),
        SmtpTls::Starttls => builder.tls(Tls::Required(parameters(mail)?)),
        SmtpTls::Tls => builder.tls(Tls::Wrapper(parameters(mail)?)),
    };
    Ok(match &mail.credentials {
        Some(credentials) => builder.credentials(credentials.clone()),
        None => builder,
    })
}

fn parameters(mail: &Mail) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(mail.host.clone());
    if let Trust::File(file) = &mail.trust {
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in certificates(file)? {
            let read = Certificate::from_der(certificate.to_vec());
            builder = builder.add_root_certificate(read.map_err(|error| told_by(&error.to_string()))?);
        }
    }
    builder.build().map_err(|error| format!("TLS cannot be used: {}", told_by(&error.to_string())))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err("ca_file holds no certificate (PEM)".into()),
        Err(error) => Err(format!("could not read ca_file: {}", told_by(&error.to_string()))),
    }
}

/// What a server refuses for good it says by numbers from 500 on.
fn judge(error: &Error, place: &str) -> Outcome {
    let why = match std::error::Error::source(error) {
        Some(inside) if error.status().is_none() => format!("{error}: {inside}"),
        _ => error.to_string(),
    };
    let why = format!("{place}: {}", told_by(&why));
    // A server that lacks STARTTLS, or every way to log in, is set up otherwise than is said here.
    if error.is_permanent() || error.is_client() {
        Outcome::Refused { why }
    } else {
        Outcome::Retry { after: None, why }
    }
}
