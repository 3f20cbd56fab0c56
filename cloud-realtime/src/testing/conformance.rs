//! What every implementation of the socket seam has to do, as one check to call from its tests.
//!
//! The implementer brings a connector and a request to a server that sends back every frame it gets.
//! The first promise that is broken comes back in words.

use crate::socket::{CloseReason, ConnectRequest, Connector, Frame, Received, Socket, SocketError};
use bytes::Bytes;
use futures::FutureExt as _;

/// Runs a socket against an echo server, and says which promise it breaks.
///
/// Waits as long as the socket does; the caller's test sets the limit.
///
/// # Errors
///
/// The broken promise.
pub async fn check_echo_socket(connector: &dyn Connector, request: &ConnectRequest) -> Result<(), String> {
    let mut socket = connector.connect(request).await.map_err(|error| format!("connect fails: {error}"))?;
    let frames = [
        Frame::text(r#"[null,"1","phoenix","heartbeat",{}]"#),
        Frame::Binary(Bytes::from_static(&[0, 1, 255])),
        Frame::text("caf\u{e9} \u{1f389}".to_owned()),
        Frame::text(""),
        Frame::Binary(Bytes::from(vec![7; 100_000])),
    ];
    for frame in &frames {
        socket.send(frame.clone()).await.map_err(|error| format!("send fails: {error}"))?;
    }
    for frame in &frames {
        match receive_after_a_dropped_call(&mut *socket).await {
            Ok(Received::Frame(echo)) if echo == *frame => {}
            other => return Err(format!("{frame:?} was sent and {other:?} came back")),
        }
    }
    for _ in 0..2 {
        socket.close(CloseReason::new(1000, "done")).await.map_err(|error| format!("close fails: {error}"))?;
    }
    match socket.receive().await {
        Err(SocketError::Closed) => {}
        other => return Err(format!("a closed socket received {other:?}")),
    }
    match socket.send(Frame::text("late")).await {
        Err(SocketError::Closed) => Ok(()),
        other => Err(format!("a closed socket sent: {other:?}")),
    }
}

/// Looks once and drops the call before it waits: whatever is on its way has to come out of the next one.
async fn receive_after_a_dropped_call(socket: &mut dyn Socket) -> Result<Received, SocketError> {
    loop {
        let early = socket.receive().now_or_never();
        let received = match early {
            Some(received) => received,
            None => socket.receive().await,
        };
        if !matches!(received, Ok(Received::Alive)) {
            return received;
        }
    }
}
