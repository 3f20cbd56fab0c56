use super::*;

fn request() -> ConnectRequest {
    ConnectRequest::new("ws://localhost/socket/websocket?vsn=2.0.0".parse().unwrap())
}

fn text(text: &str) -> Frame {
    Frame::text(text)
}

/// Accepts one attempt and sends everything back, with a ping in front of each frame.
async fn echo(mut server: FakeServer) {
    let mut peer = server.next_attempt().await.unwrap().accept();
    while let Received::Frame(frame) = peer.receive().await {
        peer.ping().await.unwrap();
        peer.send(frame).await.unwrap();
    }
}

#[tokio::test]
async fn the_fake_socket_keeps_every_promise() {
    let (connector, server) = FakeConnector::new();
    let (checked, ()) = tokio::join!(async { check_echo_socket(&connector, &request()).await }, echo(server));
    assert_eq!(checked, Ok(()));
}

#[tokio::test]
async fn the_conformance_check_notices_a_changed_frame() {
    let (connector, mut server) = FakeConnector::new();
    let liar = async {
        let mut peer = server.next_attempt().await.unwrap().accept();
        while let Received::Frame(_) = peer.receive().await {
            if peer.send(text("something else")).await.is_err() {
                break;
            }
        }
    };
    let request = request();
    let (checked, ()) = tokio::join!(check_echo_socket(&connector, &request), liar);
    assert_eq!(checked.unwrap_err(), "Text(35 bytes) was sent and Ok(Frame(Text(14 bytes))) came back");
}

#[tokio::test]
async fn a_refusal_reaches_the_client() {
    let (connector, mut server) = FakeConnector::new();
    let refuse = async {
        server.next_attempt().await.unwrap().refuse(ConnectError::refused(429, "Too many joins per second", None));
    };
    let request = request();
    let (socket, ()) = tokio::join!(connector.connect(&request), refuse);
    assert!(matches!(socket.unwrap_err(), ConnectError::Refused { status: 429, .. }));
}

#[tokio::test]
async fn a_server_that_is_down_cannot_be_reached() {
    let (connector, server) = FakeConnector::new();
    drop(server);
    assert!(matches!(connector.connect(&request()).await, Err(ConnectError::Unreachable(_))));
}

#[tokio::test]
async fn frames_come_out_before_the_close_and_nothing_after() {
    let (connector, mut server) = FakeConnector::new();
    let serve = async {
        let attempt = server.next_attempt().await.unwrap();
        assert_eq!(attempt.request().url().path(), "/socket/websocket");
        let peer = attempt.accept();
        peer.send(text("last")).await.unwrap();
        peer.close(CloseReason::new(1012, "restart")).await;
    };
    let request = request();
    let (socket, ()) = tokio::join!(connector.connect(&request), serve);
    let mut socket = socket.unwrap();
    assert_eq!(socket.receive().await.unwrap(), Received::Frame(text("last")));
    assert_eq!(socket.receive().await.unwrap(), Received::Closed(CloseReason::new(1012, "restart")));
    assert!(matches!(socket.receive().await, Err(SocketError::Closed)));
    assert!(matches!(socket.send(text("late")).await, Err(SocketError::Closed)));
}

#[tokio::test]
async fn a_lost_connection_has_no_close_code() {
    let (connector, mut server) = FakeConnector::new();
    let lose = async { drop(server.next_attempt().await.unwrap().accept()) };
    let request = request();
    let (socket, ()) = tokio::join!(connector.connect(&request), lose);
    assert_eq!(socket.unwrap().receive().await.unwrap(), Received::Closed(CloseReason::lost()));
}
