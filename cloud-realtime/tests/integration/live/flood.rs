//! A server that never stops talking, and a listener on the same thread.
use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use cloud_realtime::socket::{CloseReason, ConnectError, ConnectRequest, Connector, Socket, SocketError};

use super::*;

const MESSAGES: usize = 20_000;

/// Opens sockets on which, once joined, every frame is there already.
#[derive(Debug)]
struct Torrent;

#[derive(Debug, Default)]
struct TorrentSocket {
    answers: VecDeque<Frame>,
    room: String,
    left: usize,
}

#[async_trait]
impl Connector for Torrent {
    async fn connect(&self, _: &ConnectRequest) -> Result<Box<dyn Socket>, ConnectError> {
        Ok(Box::new(TorrentSocket::default()))
    }
}

#[async_trait]
impl Socket for TorrentSocket {
    async fn send(&mut self, frame: Frame) -> Result<(), SocketError> {
        let Frame::Text(text) = frame else { return Ok(()) };
        let (join_ref, reference, topic, event, _): (Value, Value, String, String, Value) =
            serde_json::from_str(&text).unwrap();
        let reply = json!([join_ref, reference, topic, "phx_reply", {"status": "ok", "response": {}}]);
        self.answers.push_back(Frame::text(reply.to_string()));
        if event == "phx_join" {
            self.room = json!([join_ref, null, topic, "n", {}]).to_string();
            self.left = MESSAGES;
        }
        Ok(())
    }

    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Result<Received, SocketError>> {
        if let Some(answer) = self.answers.pop_front() {
            return Poll::Ready(Ok(Received::Frame(answer)));
        }
        if self.left == 0 {
            return Poll::Pending;
        }
        self.left -= 1;
        Poll::Ready(Ok(Received::Frame(Frame::text(self.room.as_str()))))
    }

    async fn close(&mut self, _: CloseReason) -> Result<(), SocketError> {
        Ok(())
    }
}

/// The test itself is the future of `block_on`, which has its turn only when the runtime gives it one.
#[tokio::test(start_paused = true)]
async fn r08_a_reader_beside_the_runtime_s_tasks_misses_nothing_of_a_flood() {
    let (builder, _network) = builder();
    let realtime = builder.connector(Torrent).open();
    let (_room, mut events) = realtime.channel(topic("realtime:room")).listen().await.unwrap();
    let mut heard = 0;
    while heard < MESSAGES {
        match tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap() {
            ChannelEvent::Message(_) => heard += 1,
            ChannelEvent::Lagged { missed } => panic!("{missed} missed after {heard}"),
            _ => {}
        }
    }
}
