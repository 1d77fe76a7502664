//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) by rustls. Certificate and key are files that are read again when they change, without a restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::engine::{EngineError, read_bounded};
use crate::limits::{TLS_CERTIFICATES_MAX, TLS_FILE_BYTES_MAX};

/// Why a certificate is not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] EngineError),
    /// A file holds something else.
    #[error("{}: {what}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("{} and {}: {error}", certificate.display(), key.display())]
    Identity {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        error: rustls::Error,
    },
}

/// What tells that a file is another one than it was: when it was changed, its length, its inode.
type Seen = [Option<(i64, i64, u64, u64)>; 2];

/// The identity of a server, and how it speaks TLS.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// Held for as long as it takes to copy an Arc.
    config: RwLock<Arc<ServerConfig>>,
    /// The files that were tried last, whether they would do or not.
    tried: Mutex<Seen>,
}

impl Tls {
    /// Reads a chain, the server's own certificate first, and its private key, both PEM.
    pub fn read(certificate: PathBuf, key: PathBuf) -> Result<Tls, TlsError> {
        // Looked at before they are read: what changes in between is seen as a change.
        let tried = Mutex::new(seen(&certificate, &key));
        let config = RwLock::new(Arc::new(config(&certificate, &key)?));
        Ok(Tls { certificate, key, config, tried })
    }

    /// Reads both again if either has changed since it was last tried, or in any case. What does not do changes nothing. Says whether there is a new one.
    pub fn renew(&self, in_any_case: bool) -> Result<bool, TlsError> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let now = seen(&self.certificate, &self.key);
        if std::mem::replace(&mut *tried, now) == now && !in_any_case {
            return Ok(false);
        }
        let config = Arc::new(config(&self.certificate, &self.key)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(true)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

fn seen(certificate: &Path, key: &Path) -> Seen {
    [certificate, key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
    })
}

fn config(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let pem = |path: &Path, what: String| TlsError::Pem { path: path.to_owned(), what };
    let chain = CertificateDer::pem_slice_iter(&read_bounded(certificate, TLS_FILE_BYTES_MAX)?)
        .take(TLS_CERTIFICATES_MAX + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem(certificate, error.to_string()))?;
    if chain.len() > TLS_CERTIFICATES_MAX {
        return Err(pem(certificate, format!("more than {TLS_CERTIFICATES_MAX} certificates in it")));
    }
    if chain.is_empty() {
        return Err(pem(certificate, "no certificate in it (PEM, the server's own first)".to_owned()));
    }
    let secret = zeroize::Zeroizing::new(read_bounded(key, TLS_FILE_BYTES_MAX)?);
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| pem(key, format!("no private key in it (PEM, not encrypted): {error}")))?;
    let identity = |error| TlsError::Identity { certificate: certificate.to_owned(), key: key.to_owned(), error };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(identity)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(identity)?;
    config.alpn_protocols = [HTTP2, HTTP1].map(<[u8]>::to_vec).into();
    // A phone that comes back spares itself and us the certificate.
    config.ticketer = ring::Ticketer::new().map_err(identity)?;
    Ok(config)
}

/// ALPN name of HTTP/2 (RFC 9113, section 3.1).
pub(super) const HTTP2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1 (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";
