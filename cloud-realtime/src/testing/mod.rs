//! A socket in memory whose other end the test holds, and the checks that every socket has to pass.
//!
//! ```text
//! code under test ── FakeConnector::connect ──► Attempt ── accept() ──► FakePeer (the server's end)
//!                                                      └── refuse(error)
//! ```
//! The test decides about every attempt and every frame, so nothing waits for real time. Queues hold 64
//! frames; a full one makes the sender wait, as a socket does.

mod conformance;

pub use self::conformance::check_echo_socket;
use crate::socket::{CloseReason, ConnectError, ConnectRequest, Connector, Frame, Received, Socket, SocketError};
use async_trait::async_trait;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// Frames on their way in one direction before the sender has to wait.
const QUEUE_FRAMES: usize = 64;
/// Attempts that nobody has looked at before the next one has to wait.
const QUEUE_ATTEMPTS: usize = 16;

/// A connector whose attempts arrive at a [`FakeServer`].
#[derive(Clone, Debug)]
pub struct FakeConnector {
    attempts: mpsc::Sender<Attempt>,
}

/// The place where attempts arrive. When it is dropped, the server is down.
#[derive(Debug)]
pub struct FakeServer {
    attempts: mpsc::Receiver<Attempt>,
}

/// One attempt to connect. Dropping it leaves the client unreachable.
#[derive(Debug)]
pub struct Attempt {
    request: ConnectRequest,
    answer: oneshot::Sender<Result<FakeSocket, ConnectError>>,
}

/// The server's end of an accepted socket. Dropping it loses the connection without a close frame.
#[derive(Debug)]
pub struct FakePeer {
    to_client: mpsc::Sender<Received>,
    from_client: mpsc::Receiver<Received>,
}

#[derive(Debug)]
struct FakeSocket {
    to_server: Option<mpsc::Sender<Received>>,
    from_server: mpsc::Receiver<Received>,
}

impl FakeConnector {
    /// A connector and the server it reaches.
    pub fn new() -> (Self, FakeServer) {
        let (sender, receiver) = mpsc::channel(QUEUE_ATTEMPTS);
        (Self { attempts: sender }, FakeServer { attempts: receiver })
    }
}

#[async_trait]
impl Connector for FakeConnector {
    async fn connect(&self, request: &ConnectRequest) -> Result<Box<dyn Socket>, ConnectError> {
        let (answer, answered) = oneshot::channel();
        let attempt = Attempt { request: request.clone(), answer };
        self.attempts.send(attempt).await.map_err(|_| unreachable_server())?;
        let socket = answered.await.map_err(|_| unreachable_server())??;
        Ok(Box::new(socket))
    }
}

fn unreachable_server() -> ConnectError {
    ConnectError::Unreachable("the fake server is down".into())
}

impl FakeServer {
    /// The next attempt; `None` once no connector is left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no attempt.
    pub async fn next_attempt(&mut self) -> Option<Attempt> {
        self.attempts.recv().await
    }
}

impl Attempt {
    /// What the client asked for.
    pub const fn request(&self) -> &ConnectRequest {
        &self.request
    }

    /// Opens the socket. A client that no longer waits sees nothing, and the peer sees it gone.
    pub fn accept(self) -> FakePeer {
        let (to_client, from_server) = mpsc::channel(QUEUE_FRAMES);
        let (to_server, from_client) = mpsc::channel(QUEUE_FRAMES);
        // A client that gave up has dropped its end; the peer then finds the connection lost.
        let _ = self.answer.send(Ok(FakeSocket { to_server: Some(to_server), from_server }));
        FakePeer { to_client, from_client }
    }

    /// Refuses the socket.
    pub fn refuse(self, error: ConnectError) {
        // A client that gave up has no use for the answer.
        let _ = self.answer.send(Err(error));
    }
}

impl FakePeer {
    /// Sends a frame to the client.
    ///
    /// # Errors
    ///
    /// [`SocketError::Closed`] when the client is gone.
    pub async fn send(&self, frame: Frame) -> Result<(), SocketError> {
        self.to_client.send(Received::Frame(frame)).await.map_err(|_| SocketError::Closed)
    }

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// [`SocketError::Closed`] when the client is gone.
    pub async fn ping(&self) -> Result<(), SocketError> {
        self.to_client.send(Received::Alive).await.map_err(|_| SocketError::Closed)
    }

    /// What the client does next; a client that is gone is [`Received::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped call loses no frame.
    pub async fn receive(&mut self) -> Received {
        self.from_client.recv().await.unwrap_or_else(|| Received::Closed(CloseReason::lost()))
    }

    /// Ends the connection with a close frame.
    pub async fn close(self, reason: CloseReason) {
        // A client that is gone needs no goodbye.
        let _ = self.to_client.send(Received::Closed(reason)).await;
    }
}

#[async_trait]
impl Socket for FakeSocket {
    async fn send(&mut self, frame: Frame) -> Result<(), SocketError> {
        let to_server = self.to_server.as_ref().ok_or(SocketError::Closed)?;
        to_server.send(Received::Frame(frame)).await.map_err(|_| SocketError::Closed)
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, SocketError>> {
        if self.to_server.is_none() {
            return Poll::Ready(Err(SocketError::Closed));
        }
        let received = ready!(self.from_server.poll_recv(context));
        let received = received.unwrap_or_else(|| Received::Closed(CloseReason::lost()));
        if matches!(received, Received::Closed(_)) {
            self.to_server = None;
        }
        Poll::Ready(Ok(received))
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SocketError> {
        if let Some(to_server) = self.to_server.take() {
            // A server that is gone needs no goodbye.
            let _ = to_server.send(Received::Closed(reason)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
