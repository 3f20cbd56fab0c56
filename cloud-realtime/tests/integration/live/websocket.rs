//! The real socket against a WebSocket server of another author, and against servers that break the rules.
use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    routing::any,
};
use cloud_realtime::{
    socket::{CloseReason, ConnectError, ConnectRequest, Connector as _, SocketError, websocket::WebSocketConnector},
    testing::check_echo_socket,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

pub(super) const SOON: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "the runtime of the test owns its server")]
pub(super) fn serve(server: impl Future<Output = impl Send + 'static> + Send + 'static) {
    drop(tokio::task::spawn(server));
}

async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |upgrade: WebSocketUpgrade| async move {
        upgrade.protocols(["phoenix"]).max_message_size(20_000_000).on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                let answered = match message {
                    Message::Text(text) if text.as_str() == "bye" => {
                        let close = axum::extract::ws::CloseFrame { code: 4001, reason: "as asked".into() };
                        let _ = socket.send(Message::Close(Some(close))).await;
                        break;
                    }
                    Message::Text(_) | Message::Binary(_) => socket.send(message).await,
                    _ => Ok(()),
                };
                if answered.is_err() {
                    break;
                }
            }
        })
    };
    let app = Router::new().route("/socket/websocket", any(echo));
    serve(async move { axum::serve(listener, app).await });
    format!("ws://{address}/socket/websocket")
}

/// Reads the request of an upgrade; the accept key that belongs to it.
pub(super) async fn accept_key(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).ok()?;
    let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "))?;
    Some(tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes()))
}

/// A server that answers every connection with these bytes; `{accept}` stands for the right accept key.
async fn raw(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(accept) = accept_key(&mut stream).await else { continue };
            stream.write_all(answer.replace("{accept}", &accept).as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
        }
    });
    format!("ws://{address}/socket")
}

pub(super) fn connector() -> WebSocketConnector {
    WebSocketConnector::new(&Client::builder("http://127.0.0.1:1", "sb_publishable_demo").unwrap().build())
}

pub(super) fn request(url: &str) -> ConnectRequest {
    ConnectRequest::new(url.parse().unwrap())
}

async fn refused(url: &str) -> ConnectError {
    let request = request(url).subprotocol("phoenix".to_owned().into());
    tokio::time::timeout(SOON, connector().connect(&request)).await.unwrap().unwrap_err()
}

#[tokio::test]
async fn the_real_socket_keeps_every_promise_of_the_seam() {
    let url = echo().await;
    tokio::time::timeout(SOON, check_echo_socket(&connector(), &request(&url))).await.unwrap().unwrap();
}

#[tokio::test]
async fn subprotocols_are_offered_and_a_close_brings_its_code() {
    let request =
        request(&echo().await).subprotocol("phoenix".to_owned().into()).subprotocol("other".to_owned().into());
    let mut socket = connector().connect(&request).await.unwrap();
    socket.send(Frame::text("bye")).await.unwrap();
    let end = tokio::time::timeout(SOON, socket.receive()).await.unwrap().unwrap();
    assert_eq!(end, Received::Closed(CloseReason::new(4001, "as asked")));
    assert!(matches!(socket.receive().await, Err(SocketError::Closed)));
}

#[tokio::test]
async fn r09_large_frames_both_ways_at_once_do_not_lock_and_too_large_ones_are_refused() {
    let url = echo().await;
    let mut socket = connector().connect(&request(&url)).await.unwrap();
    let large = vec![7_u8; 4_900_000];
    // Nobody reads while eight of them go out: the echoes have to go somewhere.
    for _ in 0..3 {
        let sent = tokio::time::timeout(SOON, socket.send(Frame::Binary(large.clone().into()))).await;
        sent.expect("locked").unwrap();
    }
    for _ in 0..3 {
        let received = tokio::time::timeout(SOON, socket.receive()).await.unwrap().unwrap();
        assert!(matches!(received, Received::Frame(frame) if frame.size_bytes() == large.len()));
    }
    let mut small = connector().max_received_bytes(1_000).connect(&request(&url)).await.unwrap();
    small.send(Frame::text("x".repeat(1_001))).await.unwrap();
    let received = tokio::time::timeout(SOON, small.receive()).await.unwrap();
    assert!(matches!(received, Err(SocketError::TooLarge { limit_bytes: 1_000 })), "{received:?}");
}

#[tokio::test]
async fn refusals_come_with_status_words_and_wait() {
    let url = raw(
        "HTTP/1.1 429 x\r\nretry-after: 7\r\ncontent-length: 38\r\n\r\n{\"error\":\"Too many joins per second\"}  ",
    )
    .await;
    let ConnectError::Refused { status, body, retry_after } = refused(&url).await else { panic!("not refused") };
    assert_eq!((status, retry_after), (429, Some(Duration::from_secs(7))));
    assert!(body.contains("Too many joins"));
    let moved = raw("HTTP/1.1 301 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(refused(&moved).await, ConnectError::Refused { status: 301, .. }), "redirects are not followed");
}

#[tokio::test]
async fn a_broken_handshake_is_no_socket() {
    for answer in [
        "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: wrong\r\n\r\n",
        "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: h2c\r\nsec-websocket-accept: {accept}\r\n\r\n",
        "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat\r\n\r\n",
        "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n",
    ] {
        let error = refused(&raw(answer).await).await;
        assert!(matches!(error, ConnectError::BadUpgrade(_)), "{answer} {error:?}");
    }
    let good = raw("HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\nsec-websocket-protocol: phoenix\r\n\r\n").await;
    assert!(connector().connect(&request(&good).subprotocol("phoenix".to_owned().into())).await.is_ok());
}

#[tokio::test]
async fn t09_plain_sockets_are_for_this_machine_only_and_errors_never_show_the_address() {
    let error = refused("ws://example.com/socket?apikey=s3cret").await;
    let ConnectError::Unreachable(cause) = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("config.url_insecure"), "{cause}");
    let closed = refused("ws://127.0.0.1:1/socket?apikey=s3cret").await;
    let mut shown = format!("{error} {error:?} {closed} {closed:?}");
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&closed);
    while let Some(error) = cause {
        shown.push_str(&format!("{error} {error:?}"));
        cause = error.source();
    }
    assert!(!shown.contains("s3cret") && !shown.contains("apikey"), "{shown}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_where_it_should_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let error = refused(&format!("wss://{address}/socket")).await;
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
}
