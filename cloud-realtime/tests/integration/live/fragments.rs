//! Frames as a server may cut them: in every place, with pings between, and with an end in the middle.
use cloud_realtime::socket::{CloseReason, Connector as _, Socket};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use super::{
    websocket::{SOON, accept_key, connector, request, serve},
    *,
};

/// Two-, three- and four-byte characters, so that cuts fall into them, too.
const TEXT: &str = r#"[null,null,"realtime:größe","€",{"a":"🎉"}]"#;

/// One frame of a server: short, not masked.
fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if last { 0x80 } else { 0 } | opcode, u8::try_from(payload.len()).unwrap()];
    bytes.extend_from_slice(payload);
    bytes
}

/// A socket whose server does `say` after the handshake and then waits for the client to go.
async fn socket<F>(say: impl FnOnce(TcpStream) -> F) -> Box<dyn Socket>
where
    F: Future<Output = TcpStream> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/socket", listener.local_addr().unwrap());
    let url = request(&url);
    let connector = connector();
    let (socket, stream) = tokio::join!(connector.connect(&url), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = format!(
            "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n\r\n",
            accept_key(&mut stream).await.unwrap()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    });
    let said = say(stream);
    serve(async move {
        let mut stream = said.await;
        while tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    });
    socket.unwrap()
}

async fn next(socket: &mut dyn Socket) -> Received {
    tokio::time::timeout(SOON, socket.receive()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_message_in_fragments_is_whole_wherever_it_was_cut() {
    let mut socket = socket(|mut stream| async move {
        for cut in 0..=TEXT.len() {
            let (first, second) = TEXT.as_bytes().split_at(cut);
            for part in [frame(false, 1, first), frame(true, 9, b"?"), frame(true, 0, second)] {
                stream.write_all(&part).await.unwrap();
            }
        }
        stream
    })
    .await;
    for cut in 0..=TEXT.len() {
        assert_eq!(next(&mut *socket).await, Received::Alive, "{cut}");
        assert_eq!(next(&mut *socket).await, Received::Frame(Frame::text(TEXT)), "{cut}");
    }
}

#[tokio::test]
async fn frames_that_arrive_byte_by_byte_or_three_hundred_at_once_are_the_same() {
    let mut socket = socket(|mut stream| async move {
        let one = frame(true, 1, TEXT.as_bytes());
        for byte in &one {
            stream.write_all(&[*byte]).await.unwrap();
        }
        stream.write_all(&one.repeat(300)).await.unwrap();
        stream
    })
    .await;
    for _ in 0..301 {
        assert_eq!(next(&mut *socket).await, Received::Frame(Frame::text(TEXT)));
    }
}

#[tokio::test]
async fn a_close_in_the_middle_of_a_message_is_a_close() {
    let mut socket = socket(|mut stream| async move {
        stream.write_all(&frame(false, 2, b"half")).await.unwrap();
        stream.write_all(&frame(true, 8, &[&1001_u16.to_be_bytes()[..], b"away"].concat())).await.unwrap();
        stream
    })
    .await;
    assert_eq!(next(&mut *socket).await, Received::Closed(CloseReason::new(1001, "away")));
}
