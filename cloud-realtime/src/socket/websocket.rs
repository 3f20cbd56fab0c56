//! The real socket: a WebSocket over the HTTP stack of `cloud-client`, so that proxy, certificates and limits are set
//! once for both.
//!
//! ```text
//! ConnectRequest ─► Client::upgrade ─► 101, accept key, subprotocol checked ─► tungstenite over the raw stream
//! ```
//! Messages and frames have a limit, and so has what waits to be written (R9). While a frame waits to be written, what
//! comes is read all the same, up to a bound: two ends that only write would wait for each other for ever.
//! Source: RFC 6455, sections 1.3, 4.1 and 5 to 7.
use std::{
    collections::VecDeque,
    fmt,
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use cloud_client::{
    Client,
    transport::{Request, Upgrade},
};
use futures::{Sink as _, Stream as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret as _;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        error::CapacityError,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    CloseReason, ConnectError, ConnectRequest, Connector, Frame, Received, Socket, SocketError, Text,
    outbound::Outbound,
};
use crate::codec::{MAX_RECEIVED_BYTES, MAX_SENT_BYTES};

/// Read at once. The library's default is eight times as much, for every socket.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that wait to be written beyond one frame of the largest size.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that are read while a frame waits to be written.
const MAX_READ_AHEAD_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 4 * 1024;

/// Opens WebSockets over a client's way to the network. Sends no header of the client's own accord.
#[derive(Clone, Debug)]
pub struct WebSocketConnector {
    client: Client,
    max_received_bytes: usize,
}

impl WebSocketConnector {
    /// A connector over `client`'s proxy and certificates.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone(), max_received_bytes: MAX_RECEIVED_BYTES }
    }

    /// Limits a message. A larger one ends the socket. Default: 8 MiB.
    #[must_use]
    pub const fn max_received_bytes(mut self, limit: usize) -> Self {
        self.max_received_bytes = limit;
        self
    }

    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_SENT_BYTES + WRITE_BUFFER_BYTES)
            .max_message_size(Some(self.max_received_bytes))
            .max_frame_size(Some(self.max_received_bytes))
    }
}

#[async_trait]
impl Connector for WebSocketConnector {
    async fn connect(&self, request: &ConnectRequest) -> Result<Box<dyn Socket>, ConnectError> {
        let key = generate_key();
        let (headers, stream) = match self.client.upgrade(upgrade_request(request, &key)?).await {
            Ok(Upgrade::Switched { headers, stream, .. }) => (headers, stream),
            Ok(Upgrade::Refused(response)) => {
                let retry_after = retry_after(&response.headers);
                let body = start_of(response.body).await;
                return Err(ConnectError::refused(response.status.as_u16(), &body, retry_after));
            }
            Ok(_) => return Err(ConnectError::BadUpgrade("an answer of an unknown kind")),
            Err(error) => return Err(ConnectError::Unreachable(Box::new(error))),
        };
        check(&headers, &key, request)?;
        let stream = Outbound::new(stream);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Client, Some(self.config())).await;
        Ok(Box::new(WebSocket { stream, ahead: VecDeque::new(), ahead_bytes: 0, over: false }))
    }
}

fn upgrade_request(request: &ConnectRequest, key: &str) -> Result<Request, ConnectError> {
    let invalid = |_| ConnectError::BadUpgrade("a header or subprotocol that cannot be sent");
    let mut url = request.url().clone();
    let scheme = if url.scheme() == "wss" { "https" } else { "http" };
    url.set_scheme(scheme).map_err(|()| ConnectError::BadUpgrade("an address that is no socket's"))?;
    let mut upgrade = Request::new(Method::GET, url);
    let headers = &mut upgrade.headers;
    for (name, value) in request.headers() {
        let name = HeaderName::try_from(name)
            .map_err(|_| ConnectError::BadUpgrade("a header or subprotocol that cannot be sent"))?;
        headers.append(name, secret(value.expose_secret()).map_err(invalid)?);
    }
    if !request.subprotocols().is_empty() {
        let offered: Vec<&str> = request.subprotocols().iter().map(|value| value.expose_secret()).collect();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, secret(&offered.join(", ")).map_err(invalid)?);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, secret(key).map_err(invalid)?);
    Ok(upgrade)
}

fn secret(text: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What RFC 6455, section 4.1, wants of the 101.
fn check(headers: &HeaderMap, key: &str, request: &ConnectRequest) -> Result<(), ConnectError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let tokens = text(header::CONNECTION).to_ascii_lowercase();
    if !text(header::UPGRADE).eq_ignore_ascii_case("websocket")
        || !tokens.split(',').any(|token| token.trim() == "upgrade")
    {
        return Err(ConnectError::BadUpgrade("no word of a WebSocket"));
    }
    if text(header::SEC_WEBSOCKET_ACCEPT) != derive_accept_key(key.as_bytes()) {
        return Err(ConnectError::BadUpgrade("a wrong accept key"));
    }
    let chosen = text(header::SEC_WEBSOCKET_PROTOCOL);
    if !chosen.is_empty() && !request.subprotocols().iter().any(|offered| offered.expose_secret() == chosen) {
        return Err(ConnectError::BadUpgrade("a subprotocol that was not offered"));
    }
    if !text(header::SEC_WEBSOCKET_EXTENSIONS).is_empty() {
        return Err(ConnectError::BadUpgrade("an extension that was not offered"));
    }
    Ok(())
}

/// Seconds only: the dates of the other form are rare here, and an unknown wish is no wish.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

async fn start_of(mut body: cloud_client::transport::Body) -> String {
    let mut start = Vec::new();
    while let Some(Ok(chunk)) = body.next().await {
        start.extend_from_slice(&chunk);
        if start.len() >= MAX_REFUSAL_BYTES {
            break;
        }
    }
    start.truncate(MAX_REFUSAL_BYTES);
    String::from_utf8_lossy(&start).into_owned()
}

struct WebSocket {
    stream: WebSocketStream<Outbound>,
    /// Read while a frame waited to be written.
    ahead: VecDeque<Result<Received, SocketError>>,
    ahead_bytes: usize,
    over: bool,
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("over", &self.over).finish_non_exhaustive()
    }
}

impl WebSocket {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, SocketError>> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(context)) {
            Some(Ok(Message::Text(text))) => Ok(Received::Frame(Frame::Text(Text::of(text)))),
            Some(Ok(Message::Binary(bytes))) => Ok(Received::Frame(Frame::Binary(bytes))),
            Some(Ok(Message::Close(frame))) => {
                Ok(Received::Closed(frame.map_or_else(CloseReason::lost, |frame| {
                    CloseReason::new(frame.code.into(), frame.reason.as_str())
                })))
            }
            Some(Ok(_)) => Ok(Received::Alive),
            Some(Err(error)) => failure(error),
            None => Ok(Received::Closed(CloseReason::lost())),
        })
    }

    /// Reads what is there, so that a peer which waits for us to read can go on.
    fn read_ahead(&mut self, context: &mut Context<'_>) {
        while self.ahead_bytes < MAX_READ_AHEAD_BYTES && !self.ahead.back().is_some_and(is_end) {
            let Poll::Ready(received) = self.poll_read(context) else { return };
            self.ahead_bytes += size(&received);
            self.ahead.push_back(received);
        }
    }
}

fn is_end(received: &Result<Received, SocketError>) -> bool {
    matches!(received, Ok(Received::Closed(_)) | Err(_))
}

fn size(received: &Result<Received, SocketError>) -> usize {
    // Even a ping takes room in the queue.
    64 + match received {
        Ok(Received::Frame(frame)) => frame.size_bytes(),
        _ => 0,
    }
}

fn failure(error: WsError) -> Result<Received, SocketError> {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => Ok(Received::Closed(CloseReason::lost())),
        WsError::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
            Err(SocketError::TooLarge { limit_bytes: max_size })
        }
        WsError::Io(cause) => Err(SocketError::Io(Box::new(cause))),
        WsError::Protocol(_) | WsError::Utf8(_) => Err(SocketError::Protocol("frames that RFC 6455 does not allow")),
        _ => Err(SocketError::Protocol("a failure below the frames")),
    }
}

#[async_trait]
impl Socket for WebSocket {
    async fn send(&mut self, frame: Frame) -> Result<(), SocketError> {
        if self.over {
            return Err(SocketError::Closed);
        }
        if frame.size_bytes() > MAX_SENT_BYTES + WRITE_BUFFER_BYTES {
            return Err(SocketError::Protocol("a frame that is larger than what may wait to be written"));
        }
        let mut frame = Some(frame);
        let sent = poll_fn(|context| {
            let written = write(Pin::new(&mut self.stream), &mut frame, context);
            if written.is_pending() {
                self.read_ahead(context);
            }
            written
        })
        .await;
        sent.map_err(|error| match failure(error) {
            Err(error) => error,
            Ok(_) => SocketError::Closed,
        })
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, SocketError>> {
        if self.over {
            return Poll::Ready(Err(SocketError::Closed));
        }
        let received = match self.ahead.pop_front() {
            Some(received) => {
                self.ahead_bytes -= size(&received);
                received
            }
            None => ready!(self.poll_read(context)),
        };
        self.over = is_end(&received);
        if let Err(SocketError::TooLarge { .. }) = &received {
            // Said as a courtesy, once: whoever sends such messages may not listen.
            let _ = pin!(self.stream.close(Some(close_frame(&CloseReason::new(1009, ""))))).poll(context);
        }
        Poll::Ready(received)
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SocketError> {
        if std::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        // A peer that is gone needs no goodbye.
        let _ = self.stream.close(Some(close_frame(&reason))).await;
        Ok(())
    }
}

fn write(
    mut stream: Pin<&mut WebSocketStream<Outbound>>,
    frame: &mut Option<Frame>,
    context: &mut Context<'_>,
) -> Poll<Result<(), WsError>> {
    // What the library has begun, and what a dropped call has left, is finished first: frames stay whole.
    ready!(stream.as_mut().poll_flush(context))?;
    match frame.take() {
        Some(frame) => {
            stream.as_mut().get_mut().get_mut().put(frame)?;
            stream.poll_flush(context)
        }
        None => Poll::Ready(Ok(())),
    }
}

fn close_frame(reason: &CloseReason) -> CloseFrame {
    CloseFrame { code: CloseCode::from(reason.code.unwrap_or(1000)), reason: reason.text.clone().into() }
}
