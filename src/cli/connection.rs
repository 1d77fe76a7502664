//! A way to a server: `http://` or `https://`, by name and port.

use std::path::Path;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::engine::read_bounded;
use crate::limits::TLS_FILE_BYTES_MAX;

/// An open connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A server by its address, and how to know that it is the right one.
pub(super) struct Peer {
    url: String,
    address: String,
    host: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Peer {
    /// Understands `http://HOST[:PORT]` or `https://HOST[:PORT]`; `authorities` is a file of certificates that are believed in place of the system's.
    pub(super) fn parse(url: &str, authorities: Option<&Path>) -> Result<Peer, String> {
        const FORM: &str = "no address; https://HOST:PORT or http://HOST:PORT";
        let uri: Uri = url.parse().map_err(|_| FORM)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty()).ok_or(FORM)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("nothing may follow HOST:PORT".to_owned());
        }
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => {
                let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
                (443, Some((connector(authorities)?, name)))
            }
            Some(_) | None => return Err(FORM.to_owned()),
        };
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port));
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| FORM)?;
        Ok(Peer { url: format!("{}://{authority}", uri.scheme_str().unwrap_or_default()), address, host, tls })
    }

    /// As it was given, for messages.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What goes into the header `Host`.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Connects, without delaying small packets.
    pub(super) async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

fn connector(authorities: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let pem = read_bounded(path, TLS_FILE_BYTES_MAX).map_err(|error| error.to_string())?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| format!("{}: {error}", path.display()))?;
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            if roots.is_empty() {
                return Err(format!("{}: no certificate in it (PEM)", path.display()));
            }
        }
        None => {
            let mut found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(std::mem::take(&mut found.certs));
            if roots.is_empty() {
                let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
                return Err(format!("no certificate authority is known here{why}; name a file with --ca"));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}
