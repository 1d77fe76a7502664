//! A way to another server: `http://` or `https://`, by name and port; what is asked of it is read whole, within bounds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
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
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A server by its address, and how to know that it is the right one.
pub struct Peer {
    url: String,
    address: String,
    host: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Peer {
    /// As [`Peer::parse`], with a path that everything asked of it begins with: no slash at its end.
    pub fn under(url: &str, authorities: Option<&Path>) -> Result<(Peer, String), String> {
        let scheme = url.find("://").map_or(0, |at| at + 3);
        let path = url.get(scheme..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| scheme + at);
        let (server, path) = url.split_at(path);
        let path = path.trim_end_matches('/');
        let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'.' | b'_' | b'~' | b'%'));
        // What it says decides whether anything is signed: nobody on the way may say it in its place.
        let is_here = ["http://127.0.0.1", "http://[::1]", "http://localhost"]
            .iter()
            .any(|here| server.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')));
        if server.starts_with("http://") && !is_here {
            return Err("by http:// only on this machine; use https://".to_owned());
        }
        if !is_plain {
            return Err("an address ends with a path of plain characters".to_owned());
        }
        Ok((Peer::parse(server, authorities)?, path.to_owned()))
    }

    /// Understands `http://HOST[:PORT]` or `https://HOST[:PORT]`; `authorities` is a file of certificates that are believed in place of the system's.
    pub fn parse(url: &str, authorities: Option<&Path>) -> Result<Peer, String> {
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
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What goes into the header `Host`.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Connects, without delaying small packets.
    pub async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

/// What a server said, read whole.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its status.
    pub status: StatusCode,
    /// The type of the body, without parameters.
    pub content_type: String,
    /// After how many seconds the same may be asked again, if it says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Bytes,
}

/// A server that is asked again and again, over one connection while that lasts.
pub struct Conversation {
    peer: Peer,
    prefix: String,
    line: Option<SendRequest<Full<Bytes>>>,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conversation({}{})", self.peer.url, self.prefix)
    }
}

impl Conversation {
    /// With the server at this address; what follows its name and port is put before each path.
    pub fn with(url: &str, authorities: Option<&Path>) -> Result<Conversation, String> {
        let (peer, prefix) = Peer::under(url, authorities)?;
        Ok(Conversation { peer, prefix, line: None })
    }

    /// The address.
    pub fn url(&self) -> String {
        format!("{}{}", self.peer.url, self.prefix)
    }

    /// `GET`, or `POST` with a body; the reply is read up to `limit` bytes. All of it takes at most `patience`.
    pub async fn ask(&mut self, path: &str, body: Option<Bytes>, limit: usize, patience: Duration) -> Result<Said, String> {
        match tokio::time::timeout(patience, self.ask_patiently(path, body, limit)).await {
            Ok(said) => said,
            Err(_) => {
                self.line = None;
                Err(format!("nothing was heard within {} s", patience.as_secs_f32()))
            }
        }
    }

    async fn ask_patiently(&mut self, path: &str, body: Option<Bytes>, limit: usize) -> Result<Said, String> {
        let mut fresh = false;
        loop {
            let mut line = match self.line.take().filter(|line| !line.is_closed()) {
                Some(line) => line,
                None => {
                    fresh = true;
                    let stream = self.peer.connect().await.map_err(|error| error.to_string())?;
                    let (line, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
                    // How the connection ends is seen by whoever reads the reply.
                    tokio::spawn(async move { drop(connection.await) });
                    line
                }
            };
            let mut request = Request::new(Full::new(body.clone().unwrap_or_default()));
            *request.method_mut() = if body.is_some() { Method::POST } else { Method::GET };
            *request.uri_mut() = format!("{}{path}", self.prefix).parse().map_err(|_| format!("{path} is no path"))?;
            request.headers_mut().insert(HOST, self.peer.host.clone());
            let sent = match line.ready().await {
                Ok(()) => line.send_request(request).await,
                Err(error) => Err(error),
            };
            let reply = match sent {
                Ok(reply) => reply,
                // The other side may have ended it meanwhile, as it may at any time.
                Err(_) if !fresh => continue,
                Err(error) => return Err(error.to_string()),
            };
            let status = reply.status();
            let content_type = reply.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let content_type = content_type.split(';').next().unwrap_or_default().trim().to_owned();
            let retry_after = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(reply.into_body(), limit).collect().await.map_err(|error| error.to_string())?.to_bytes();
            self.line = Some(line);
            return Ok(Said { status, content_type, retry_after, body });
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
