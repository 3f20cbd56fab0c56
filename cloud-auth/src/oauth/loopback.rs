//! A listener on this machine for one answer: `http://127.0.0.1:<port>/<random path>` (RFC 8252, section 7.3).
//!
//! Bound before the address is handed out; `127.0.0.1` first, then `[::1]`, never a name. Connections are read side by
//! side, so one that says nothing holds up nobody; their number, size and time are bounded. Whatever is not the answer
//! is turned away and forgotten. The connection that brought the answer is kept until there is a page to show.
use std::{io, net::SocketAddr, time::Duration};

use cloud_client::{Error, ErrorCode, clock::SharedClock};
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use zeroize::Zeroizing;

use super::{
    callback::Answer,
    page,
    pkce::{FlowId, base64url},
    request::{Expected, HEAD_LIMIT_BYTES, Verdict},
};
use crate::codes::LISTENER_FAILED;

/// How many connections are read at once; browsers open a few ahead of need. Further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take to say what it wants.
const HEAD_LIMIT: Duration = Duration::from_secs(3);
/// How long the answer to a connection may take to be sent.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    host: String,
    path: String,
    clock: SharedClock,
}

impl Loopback {
    /// Binds a free port.
    pub(super) async fn bind(path: &[u8; 16], clock: SharedClock) -> Result<Self, Error> {
        let failed =
            |cause: io::Error| Error::new(LISTENER_FAILED).during("listening on this machine").with_source(cause);
        let any_port = [SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))];
        let listener = TcpListener::bind(&any_port[..]).await.map_err(failed)?;
        let host = listener.local_addr().map_err(failed)?.to_string();
        Ok(Self { listener, host, path: format!("/{}", base64url(path)), clock })
    }

    /// Where the browser is to come back to.
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }

    /// Waits for the answer to `flow`, and for who brought it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: connections under way are closed, later ones are heard by the next call.
    pub(super) async fn answer(&self, flow: &FlowId) -> (Answer, Visitor) {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(heard) = connections.next(), if !connections.is_empty() => if let Some(heard) = heard { return heard },
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => connections.push(self.hear(stream, flow)),
                    // Out of descriptors, for example: that passes, and asking at once again would change nothing.
                    Err(_) => self.clock.sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// Reads one request; anything but the answer is turned away here.
    async fn hear(&self, mut stream: TcpStream, flow: &FlowId) -> Option<(Answer, Visitor)> {
        let expected = Expected { host: &self.host, path: &self.path, flow };
        let verdict = self.clock.within(HEAD_LIMIT, verdict(&mut stream, &expected)).await?.ok()?;
        let visitor = Visitor { stream, clock: self.clock.clone() };
        match verdict {
            Verdict::Ours(answer) => Some((answer, visitor)),
            Verdict::Away(status, word) => {
                visitor.send(page::away(status, word)).await;
                None
            }
            Verdict::More => None,
        }
    }
}

/// Reads until there is a verdict, or the end.
async fn verdict(stream: &mut TcpStream, expected: &Expected<'_>) -> io::Result<Verdict> {
    let mut read = Zeroizing::new(Vec::with_capacity(HEAD_LIMIT_BYTES));
    let mut piece = Zeroizing::new([0; 2048]);
    loop {
        let count = stream.read(&mut *piece).await?;
        if count == 0 {
            return Ok(Verdict::More);
        }
        let room = HEAD_LIMIT_BYTES - read.len();
        read.extend(piece.iter().take(count.min(room)));
        match expected.judge(&read) {
            Verdict::More => {}
            verdict => return Ok(verdict),
        }
    }
}

/// A browser that waits for its page. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Visitor {
    stream: TcpStream,
    clock: SharedClock,
}

impl Visitor {
    /// Shows how it went.
    pub(super) async fn show(self, failed: Option<ErrorCode>) {
        self.send(page::answer(failed)).await;
    }

    /// Sends and closes; reads to the end first, so that the system does not cut off what was just sent.
    async fn send(mut self, text: String) {
        let work = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.shutdown().await?;
            let mut rest = [0; 512];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // A browser that has gone away has seen what it wanted to see.
        drop(self.clock.within(ANSWER_LIMIT, work).await);
    }
}
