//! The listening socket, and the power to cut every connection at once.
//!
//! Each accepted connection carries a token; cancelling it makes the next read or write fail, which ends
//! the connection and drops whatever was running for it. Offline means: the tokens are cancelled and new
//! connections are closed as they arrive.

use std::{
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Pause after a failed accept, for instance while descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether connections are let in, and the switch for those that are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    offline: bool,
    closed: bool,
    alive: CancellationToken,
}

impl Network {
    /// Cuts every connection and lets none in, or lets them in again.
    pub(crate) fn set_offline(&self, offline: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.alive.cancel();
        state.offline = offline || state.closed;
        state.alive = CancellationToken::new();
    }

    /// Cuts every connection for good.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.set_offline(true);
    }

    /// The switch of a new connection; `None` while offline.
    fn admit(&self) -> Option<CancellationToken> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (!state.offline).then(|| state.alive.child_token())
    }
}

/// What a request knows about its connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    alive: CancellationToken,
}

impl Connection {
    /// Closes the connection, now, without another byte.
    pub(crate) fn cut(&self) {
        self.alive.cancel();
    }
}

impl Connected<IncomingStream<'_, Gate>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.remote_addr().clone()
    }
}

/// The listener that asks [`Network`] about each connection.
#[derive(Debug)]
pub(crate) struct Gate {
    listener: TcpListener,
    network: Network,
}

impl Gate {
    /// Listens on `address`, which must be of this machine alone.
    pub(crate) async fn bind(address: SocketAddr, network: Network) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, network })
    }

    /// The address that was bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Listener for Gate {
    type Io = Stream;
    type Addr = Connection;

    async fn accept(&mut self) -> (Stream, Connection) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Some(alive) = self.network.admit() {
                        let _ = stream.set_nodelay(true); // a token of a reply is sent when it is there
                        let cut = Box::pin(alive.clone().cancelled_owned());
                        return (Stream { stream, cut }, Connection { alive });
                    }
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Connection> {
        Ok(Connection { alive: CancellationToken::new() })
    }
}

/// A connection that fails once it is cut.
#[derive(Debug)]
pub(crate) struct Stream {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}
