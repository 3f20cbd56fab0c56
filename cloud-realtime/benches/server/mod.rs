//! The server of the benches: it answers joins and heartbeats, and whoever asks for more gets [`BURST`] row changes that
//! were made before. WebSocket and protocol 2.0.0 on loopback, no more of it than these benches need.
//!
//! Everybody asks for each burst, so that nobody is measured with its buffers full.
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use cloud_realtime::{Frame, Version};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_with_config, protocol::WebSocketConfig};

use super::message::{ID, frame};

/// Row changes that are sent at once.
pub(crate) const BURST: usize = 500;

/// Set where this program is to be the server alone.
const ALONE: &str = "BENCH_SERVER";

/// Serves in a thread for each connection, for as long as the process lives; the address is `http://127.0.0.1:…`.
#[allow(dead_code, reason = "not every bench has the server in its process")]
pub(crate) fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || accept(&listener));
    url
}

fn accept(listener: &TcpListener) {
    let burst = Arc::new(burst());
    for connection in listener.incoming() {
        let burst = Arc::clone(&burst);
        std::thread::spawn(move || answer(connection.unwrap(), &burst));
    }
}

/// A server in a process of its own, which ends with this value.
#[allow(dead_code, reason = "not every bench minds who else is in its process")]
#[derive(Debug)]
pub(crate) struct Alone {
    child: Child,
    pub(crate) url: String,
}

impl Alone {
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program).env(ALONE, "1").stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    /// Whether this process was started as one; then it has served when this returns.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn was_it() -> bool {
        if std::env::var_os(ALONE).is_none() {
            return false;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("http://{}", listener.local_addr().unwrap());
        accept(&listener);
        true
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The frames of a burst, one after the other, as they go over the wire.
fn burst() -> Vec<u8> {
    let Frame::Text(text) = frame(Version::V2) else { panic!("text") };
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    // Final, text; not masked, 16 bits of length.
    [&[0x81, 126], &length[..], text.as_bytes()].concat().repeat(BURST)
}

fn answer(connection: TcpStream, burst: &[u8]) {
    connection.set_nodelay(true).unwrap();
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024).write_buffer_size(0);
    let mut socket = accept_with_config(connection, Some(config)).unwrap();
    while let Ok(message) = socket.read() {
        let more = match message {
            Message::Text(text) => said(&mut socket, &serde_json::from_str(&text).unwrap()),
            Message::Binary(_) => true,
            _ => false,
        };
        if more {
            socket.get_mut().write_all(burst).unwrap();
        }
    }
}

/// Answers a message of the protocol; whether it was none of it and asks for more.
fn said(socket: &mut WebSocket<TcpStream>, message: &Value) -> bool {
    let [join_ref, reference, topic, event, payload] = &message.as_array().unwrap()[..] else { panic!("{message}") };
    let mut say = |words: Value| socket.send(Message::text(words.to_string())).unwrap();
    let mut reply = |response: Value| {
        say(json!([join_ref, reference, topic, "phx_reply", { "status": "ok", "response": response }]));
    };
    match event.as_str().unwrap() {
        "phx_join" => {
            let mut wanted = payload["config"]["postgres_changes"].as_array().cloned().unwrap_or_default();
            wanted.iter_mut().for_each(|request| request["id"] = ID.into());
            let waits = !wanted.is_empty();
            reply(json!({ "postgres_changes": wanted }));
            if waits {
                let words = json!({ "extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL", "channel": "notes" });
                say(json!([join_ref, null, topic, "system", words]));
            }
            false
        }
        "heartbeat" | "phx_leave" => {
            reply(json!({}));
            false
        }
        "access_token" => false,
        _ => true,
    }
}
