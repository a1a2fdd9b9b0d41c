//! Certificates, ours and theirs: read at the start, and again whenever their files change. What was renewed by another program is in force
//! for the next connection, without a restart; who may come in by a client's certificate, for the next request.

use crate::config::http::TlsConfig;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is no PEM, or not there.
    #[error("http.tls: `{path}` cannot be read as PEM: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("http.tls: `{path}` holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// They do not fit.
    #[error("http.tls: {0}; does the key belong to the certificate?")]
    Wrong(#[from] rustls::Error),
    /// The authority of clients is none.
    #[error("http.tls.client_ca: {0}")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

/// So often the files are looked at.
pub const LOOK: Duration = Duration::from_secs(2);

/// By what a file is known to be the one that was read; none: it cannot be looked at.
type Stamp = Option<(u64, u64, (i64, i64), (i64, i64))>;

/// The TLS side of a door.
#[derive(Debug)]
pub struct Certificates {
    config: TlsConfig,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    files: Files,
    /// Of the files at the last try, whether it succeeded or not.
    tried: Vec<Stamp>,
}

/// What the files say.
#[derive(Debug)]
struct Files {
    /// How connections are taken in.
    server: Arc<ServerConfig>,
    /// The certificate that is shown.
    ours: CertificateDer<'static>,
    /// Whose certificates are let in; none: nobody's are asked for.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The certificate that a client has shown in its handshake, with the chain behind it. INVARIANT: S23. It is verified again with every
/// request: the connection may outlive it, or the authority that it is of.
#[derive(Clone, Debug)]
pub struct ClientChain {
    chain: Arc<[CertificateDer<'static>]>,
    certificates: Arc<Certificates>,
}

impl ClientChain {
    /// What this side of a handshake was shown; none: nothing.
    pub fn shown(chain: Option<&[CertificateDer<'static>]>, certificates: &Arc<Certificates>) -> Option<Self> {
        let chain = chain.filter(|chain| !chain.is_empty())?;
        Some(Self { chain: chain.into(), certificates: Arc::clone(certificates) })
    }

    /// The client's certificate (DER), if it holds now, for the authority that counts now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verified(&self, now: Timestamp) -> Result<&[u8], rustls::Error> {
        // One that is asked of nobody any more lets nobody in.
        let clients =
            self.certificates.current().files.clients.clone().ok_or(rustls::Error::NoCertificatesPresented)?;
        let (end, between) = self.chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        // Before 1970 nothing holds: that clock is wrong.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
        clients.verify_client_cert(end, between, now)?;
        Ok(end)
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(config: &TlsConfig) -> Result<Self, TlsError> {
        let tried = stamps(config);
        let files = read(config)?;
        Ok(Self { config: config.clone(), current: Mutex::new(Current { files, tried }) })
    }

    /// What takes the next connection in.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current().files.server))
    }

    /// The certificate that this door shows now.
    pub fn ours(&self) -> CertificateDer<'static> {
        self.current().files.ours.clone()
    }

    /// Reads the files again if they are others than at the last try. What cannot be used is said in the log, and changes nothing: a
    /// certificate whose key has not arrived yet is no reason to shut the door.
    pub fn look(&self) {
        // Before the files are read: what changes meanwhile shows at the next look.
        let found = stamps(&self.config);
        if self.current().tried == found {
            return;
        }
        let read = read(&self.config);
        let mut current = self.current();
        current.tried = found;
        match read {
            Ok(files) => {
                current.files = files;
                tracing::info!(certificate = %self.config.certificate.display(), "the certificates were read again");
            }
            Err(error) => {
                tracing::error!(%error, "the certificates have changed and cannot be used: the last ones stay")
            }
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(config: &TlsConfig) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let files = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.len(), (found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())))
    };
    files.into_iter().flatten().map(stamp).collect()
}

fn read(config: &TlsConfig) -> Result<Files, TlsError> {
    let chain = certificates(&config.certificate)?;
    let ours = chain.first().cloned().ok_or_else(|| TlsError::Empty { path: config.certificate.clone() })?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|source| TlsError::File { path: config.key.clone(), source })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = config.client_ca.as_deref().map(|path| verifier(path, Arc::clone(&provider))).transpose()?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match &clients {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
    };
    let mut server = builder.with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Files { server: Arc::new(server), ours, clients })
}

/// A client without a certificate comes in, and needs a token; one with a wrong certificate does not.
fn verifier(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots.add(authority)?;
    }
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build()?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(file)?.collect();
    match found.map_err(file)? {
        found if found.is_empty() => Err(TlsError::Empty { path: path.to_owned() }),
        found => Ok(found),
    }
}
