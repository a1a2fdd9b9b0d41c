//! Connections: their number, their time, TLS. hyper's own loop, because the time limits of a head and of a handshake are its.

use super::arrivals::{Arrival, Arrivals};
use super::guard::Peer;
use super::tls::{self, Certificates, ClientChain, TlsError};
use crate::config::http::{HttpConfig, HttpLimits};
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

/// Streams at once on one connection of HTTP/2.
const STREAMS_PER_CONNECTION: u32 = 128;
/// The longest head: a token of an identity provider has some 2 KB.
const HEAD_MAX: usize = 64 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 100;
/// How long requests may take to their end when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);
/// A connection of HTTP/2 whose other end says nothing for so long, twice, is gone.
const PING: Duration = Duration::from_secs(20);

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("http.listen: `{address}` cannot be listened on: {source}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A door that listens, and answers nobody yet.
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Certificates>>,
    limits: HttpLimits,
}

impl Listening {
    /// Listens.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(config: &HttpConfig) -> Result<Self, ListenError> {
        let tls = config.tls.as_ref().map(Certificates::open).transpose()?.map(Arc::new);
        let failed = |source| ListenError::Address { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, tls, limits: config.limits.clone() })
    }

    /// Where it listens, with the port that the system gave.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Its certificates; none: it speaks plain HTTP.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.tls.clone()
    }

    /// Answers until `stop` changes or its sender is gone; then what is being answered goes to its end, for some seconds.
    pub async fn serve(self, router: Router, stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        if let Some(certificates) = self.tls.clone() {
            tokio::spawn(keep_current(certificates, stop.clone()));
        }
        let arrivals = Arc::new(Arrivals::of(&self.limits));
        let loops = Arc::new(Connections { router, tls: self.tls, limits: self.limits.clone(), stop: stop.clone() });
        let mut stopped = stop;
        loop {
            // Whoever comes while all places are taken waits in the system's queue.
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                _ = stopped.changed() => break,
            };
            match accepted {
                Ok((stream, from)) => {
                    let (loops, arrival) = (Arc::clone(&loops), arrivals.arrive(from.ip()));
                    tokio::spawn(async move {
                        let ended = Arc::clone(&arrival);
                        tokio::select! {
                            () = loops.take(stream, from, arrival) => {}
                            () = ended.ended() => {}
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: the loop goes on without this door, and tries again.
                    tracing::warn!(%error, "the HTTP door cannot accept");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        drop(self.listener);
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        // Whatever has not ended by then is cut: the process ends.
        let _ = tokio::time::timeout(DRAIN, places.acquire_many(all)).await;
    }
}

/// Certificates that are renewed are in force soon after.
async fn keep_current(certificates: Arc<Certificates>, mut stop: watch::Receiver<bool>) {
    while tokio::time::timeout(tls::LOOK, stop.changed()).await.is_err() {
        certificates.look();
    }
}

/// What every connection is served with.
struct Connections {
    router: Router,
    tls: Option<Arc<Certificates>>,
    limits: HttpLimits,
    stop: watch::Receiver<bool>,
}

impl Connections {
    async fn take(&self, stream: TcpStream, address: SocketAddr, arrival: Arc<Arrival>) {
        // Events are small: they are not held back to be sent together.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.converse(stream, Peer { address, certificate: None, arrival }, false).await;
        };
        match tokio::time::timeout(self.limits.head_time(), tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => {
                let agreed = stream.get_ref().1;
                let certificate = ClientChain::shown(agreed.peer_certificates(), tls);
                let peer = Peer { address, certificate, arrival };
                let h2 = agreed.alpn_protocol() == Some(b"h2".as_slice());
                self.converse(stream, peer, h2).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, h2: bool) {
        let arrival = Arc::clone(&peer.arrival);
        let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            self.router.clone().oneshot(request)
        });
        let builder = self.builder(h2);
        let mut connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
        let mut stop = self.stop.clone();
        // Nobody keeps a place without having shown who they are.
        let silent = async {
            tokio::time::sleep(self.limits.head_time()).await;
            if arrival.is_known() {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silent => return,
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection of the HTTP door ended early");
        }
    }

    /// One version, as it was agreed on: looking which one it is would wait for the first byte for ever.
    fn builder(&self, h2: bool) -> Builder<TokioExecutor> {
        let builder = Builder::new(TokioExecutor::new());
        let mut builder = if h2 { builder.http2_only() } else { builder.http1_only() };
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_time())
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .max_header_list_size(HEAD_MAX as u32)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        builder
    }
}
