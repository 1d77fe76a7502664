//! Sockets: accepting within bounds, HTTP/1.1 and HTTP/2 on one port, plain or in TLS, and an end that answers what was begun.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::connections::{Activity, Connections, Fate, Sent};
use super::door::Host;
use super::tls::{HTTP2, Tls};
use crate::limits::{
    HTTP_BACKLOG, HTTP_BUFFER_BYTES, HTTP_HEAD_SECS, HTTP_HEADERS_MAX, HTTP_ROOM_AT_ONCE, HTTP_WRITE_SECS, HTTP2_STREAMS_MAX, HTTP2_WINDOW_BYTES,
};

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("{address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Everything that was begun was answered.
    Drained,
    /// So many connections were cut when the time was up.
    Cut(usize),
}

/// A socket that listens and that nobody serves yet: whoever connects waits.
#[derive(Debug)]
pub struct Listening(TcpListener);

impl Listening {
    /// Listens on `address`; port 0 takes any that is free. Needs the runtime that will serve it.
    pub fn on(address: SocketAddr) -> Result<Listening, ServeError> {
        let listen = || -> io::Result<TcpListener> {
            let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
            // A restart must not wait for connections that the process before it left behind.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(HTTP_BACKLOG)
        };
        Ok(Listening(listen().map_err(|error| ServeError::Listen { address, error })?))
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A host and the socket on which it is reached.
#[derive(Debug)]
pub struct Server<H> {
    /// Who is served for.
    pub host: Arc<H>,
    /// Where.
    pub listening: Listening,
    /// With what certificate; plain HTTP without one.
    pub tls: Option<Arc<Tls>>,
}

impl<H: Host> Server<H> {
    /// Serves until `stop` is over, then lets what was begun come to its end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Served {
        let Server { host, listening: Listening(listener), tls } = self;
        let door = host.door();
        let slots = Arc::new(Semaphore::new(door.room));
        let connections = Arc::clone(&door.open);
        let stopping = watch::Sender::new(());
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let (stream, peer) = listener.accept().await?;
                io::Result::Ok((free_slot(&slots, &connections).await, stream, peer))
            };
            let accepted = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((slot, stream, peer)) => {
                    door.metrics.connections_accepted.inc();
                    let (host, entered, stopped) = (Arc::clone(&host), connections.enter(), stopping.subscribe());
                    let acceptor = tls.as_deref().map(Tls::acceptor);
                    tokio::spawn(async move {
                        // What goes wrong with a socket is its peer's affair, and there is nobody left to tell.
                        drop(connection(host, acceptor, stream, peer, entered.activity(), stopped).await);
                        drop((entered, slot));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of files or memory, mostly: somebody has to give way, and trying again at once would only burn the processor.
                    connections.make_room(HTTP_ROOM_AT_ONCE);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        door.stopping.store(true, Ordering::Relaxed);
        drop((listener, stopping));
        tracing::info!(connections = connections.count(), "stopping: no more connections, those that are open come to their end");
        let all = u32::try_from(door.room).unwrap_or(u32::MAX);
        match tokio::time::timeout(door.drain, slots.acquire_many(all)).await {
            Ok(_) => Served::Drained,
            Err(_) => Served::Cut(connections.count()),
        }
    }
}

/// Room for one more connection: where there is none, those that do nothing give way to those who come, and if all do something, whoever comes waits.
async fn free_slot(slots: &Arc<Semaphore>, connections: &Connections) -> OwnedSemaphorePermit {
    loop {
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return slot;
        }
        connections.make_room(HTTP_ROOM_AT_ONCE);
        // Those that are to go have to be woken first, and one may have begun something in time.
        if let Ok(Ok(slot)) = tokio::time::timeout(Duration::from_millis(50), Arc::clone(slots).acquire_owned()).await {
            return slot;
        }
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn connection<H: Host>(
    host: Arc<H>,
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    peer: SocketAddr,
    activity: &Arc<Activity>,
    mut stopped: watch::Receiver<()>,
) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else {
        let version = tokio::select! {
            biased;
            version = version(&stream) => version?,
            // Whoever has said nothing yet has begun nothing.
            _ = stopped.changed() => return Ok(()),
            _ = activity.fate(false) => return Ok(()),
        };
        return match version {
            Some(version) => conversation(host, stream, peer, version, activity, stopped).await,
            None => Ok(()),
        };
    };
    let handshake = tokio::time::timeout(Duration::from_secs(HTTP_HEAD_SECS), acceptor.accept(stream));
    let stream = tokio::select! {
        biased;
        stream = handshake => stream,
        _ = stopped.changed() => return Ok(()),
        _ = activity.fate(false) => return Ok(()),
    };
    let stream = match stream {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) | Err(_) => {
            host.door().metrics.tls_failures.inc();
            return Ok(());
        }
    };
    let version = if stream.get_ref().1.alpn_protocol() == Some(HTTP2) { Version::Two } else { Version::One };
    conversation(host, stream, peer, version, activity, stopped).await
}

/// Requests and their answers, to the connection's end.
async fn conversation<H, S>(
    host: Arc<H>,
    stream: S,
    peer: SocketAddr,
    version: Version,
    activity: &Arc<Activity>,
    stopped: watch::Receiver<()>,
) -> Result<(), Failed>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_secs(HTTP_WRITE_SECS)));
    let io = TokioIo::new(Box::pin(stream));
    let of = Arc::clone(activity);
    let service = service_fn(move |request| {
        let (host, under_way) = (Arc::clone(&host), of.begin());
        async move {
            let response = host.answer(peer.ip(), request, under_way.is_one_too_many()).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| Sent::new(body, under_way)))
        }
    });
    match version {
        Version::One => {
            let mut builder = http1::Builder::new();
            // Answers go out one by one: hyper's `pipeline_flush` gathers those to requests that have come together, without a bound, for as long as
            // anything more has come.
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(HTTP_HEAD_SECS))
                .max_buf_size(HTTP_BUFFER_BYTES)
                .max_headers(HTTP_HEADERS_MAX)
                // Head and body of nearly every answer are a kilobyte together, and one buffer is cheaper than a list of them.
                .writev(false);
            to_its_end(builder.serve_connection(io, service), activity, stopped).await?;
        }
        Version::Two => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(HTTP2_STREAMS_MAX)
                .max_header_list_size(HTTP_BUFFER_BYTES as u32)
                .max_send_buf_size(HTTP_BUFFER_BYTES)
                .initial_stream_window_size(HTTP2_WINDOW_BYTES)
                .initial_connection_window_size(HTTP2_WINDOW_BYTES);
            to_its_end(builder.serve_connection(io, service), activity, stopped).await?;
        }
    }
    Ok(())
}

/// Until the peer has enough, or the server stops, or nothing comes of it any more.
async fn to_its_end<C: GracefulConnection>(connection: C, activity: &Activity, mut stopped: watch::Receiver<()>) -> Result<(), C::Error> {
    tokio::pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        _ = stopped.changed() => {}
        fate = activity.fate(false) => match fate {
            Fate::Idle => {}
            Fate::Cut => return Ok(()),
        },
    }
    // What was begun is answered, and nothing else is begun.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = activity.fate(true) => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

/// Which version the peer speaks, by its first bytes: those of HTTP/2 are fixed (RFC 9113, section 3.4). `None` if it says nothing in time.
async fn version(stream: &TcpStream) -> io::Result<Option<Version>> {
    const PREFACE: &[u8] = b"PRI ";
    let mut wait = Duration::from_millis(1);
    let sniff = async {
        loop {
            let mut first = [0; PREFACE.len()];
            let seen = stream.peek(&mut first).await?;
            match first.get(..seen) {
                Some([]) | None => return Ok(None),
                Some(PREFACE) => return Ok(Some(Version::Two)),
                // Fewer bytes than would tell: look again in a moment, and ever less often at those who keep us waiting.
                Some(begun) if PREFACE.starts_with(begun) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
                Some(_) => return Ok(Some(Version::One)),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(HTTP_HEAD_SECS), sniff).await.unwrap_or(Ok(None))
}
