//! A WebSocket client that sends and expects frames, and knows nothing of channels.

use std::time::Duration;

use cloud_dev::{CloudDev, RealtimeOptions};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest as _, http::Response, protocol::WebSocketConfig},
};

use crate::caller::Caller;

/// How long a frame may take that is expected.
const LIMIT: Duration = Duration::from_secs(10);

/// A cloud with live connections of a kind.
pub(crate) async fn cloud(options: RealtimeOptions) -> Caller {
    Caller::with(CloudDev::builder().realtime(options)).await
}

pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
}

/// What comes from the server.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    Json(Value),
    Bytes(Vec<u8>),
    /// A close frame, or none at all.
    Closed(Option<u16>),
}

impl Client {
    /// Connects with version 2.
    pub(crate) async fn connect(caller: &Caller) -> Self {
        Self::with_version(caller, "2.0.0").await
    }

    pub(crate) async fn with_version(caller: &Caller, version: &str) -> Self {
        let query = format!("?vsn={version}&apikey={}", caller.cloud.publishable_key());
        Self::try_connect(caller, "/realtime/v1/websocket", &query).await.unwrap()
    }

    pub(crate) async fn try_connect(
        caller: &Caller,
        path: &str,
        query: &str,
    ) -> Result<Self, Response<Option<Vec<u8>>>> {
        let url = format!("{}{path}{query}", caller.cloud.url().replace("http", "ws"));
        let request = url.into_client_request().unwrap();
        let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let stream = TcpStream::connect(caller.cloud.url().trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match timeout(LIMIT, client_async_with_config(request, stream, Some(limits))).await.unwrap() {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(response)) => Err(*response),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// The next frame, whatever it is.
    pub(crate) async fn frame(&mut self) -> Frame {
        timeout(LIMIT, self.read()).await.expect("a frame within ten seconds")
    }

    async fn read(&mut self) -> Frame {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Frame::Json(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Binary(bytes))) => Frame::Bytes(bytes.to_vec()),
                Some(Ok(Message::Close(frame))) => Frame::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Frame::Closed(None),
            };
        }
    }

    /// The next frame, which is JSON.
    pub(crate) async fn json(&mut self) -> Value {
        match self.frame().await {
            Frame::Json(value) => value,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn expect(&mut self, wanted: Value) {
        assert_eq!(self.json().await, wanted);
    }

    /// Nothing comes before the answer to a heartbeat that is sent now.
    pub(crate) async fn expect_nothing(&mut self) {
        self.send(json!([null, "probe", "phoenix", "heartbeat", {}])).await;
        self.expect(json!([null, "probe", "phoenix", "phx_reply", { "status": "ok", "response": {} }])).await;
    }

    /// Reads up to the end of the connection; the code of its close frame, if it had one.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Frame::Closed(code) = self.frame().await {
                return code;
            }
        }
    }

    /// Joins a topic of the service and returns the reply's payload.
    pub(crate) async fn join(&mut self, reference: &str, topic: &str, payload: Value) -> Value {
        self.send(json!([reference, reference, topic, "phx_join", payload])).await;
        let reply = self.json().await;
        assert_eq!(
            &reply.as_array().unwrap()[..4],
            json!([reference, reference, topic, "phx_reply"]).as_array().unwrap()
        );
        reply[4].clone()
    }

    pub(crate) async fn join_ok(&mut self, reference: &str, topic: &str, payload: Value) {
        let reply = self.join(reference, topic, payload).await;
        assert_eq!(reply, json!({ "status": "ok", "response": { "postgres_changes": [] } }));
    }
}

/// The ok reply to a push.
pub(crate) fn ok(join_ref: &str, reference: &str, topic: &str) -> Value {
    json!([join_ref, reference, topic, "phx_reply", { "status": "ok", "response": {} }])
}

/// The close of a channel.
pub(crate) fn close(join_ref: &str, topic: &str) -> Value {
    json!([join_ref, join_ref, topic, "phx_close", {}])
}

/// What a channel hears before it is closed.
pub(crate) fn system_error(join_ref: &str, topic: &str, text: &str) -> Value {
    let channel = topic.strip_prefix("realtime:").unwrap();
    let payload = json!({ "extension": "system", "status": "error", "message": text, "channel": channel });
    json!([join_ref, null, topic, "system", payload])
}
