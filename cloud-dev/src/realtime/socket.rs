//! One connection: a reader and a writer in one task, and how it ends.
//!
//! Frames in → [`Session`] → hub; outbox → frames out. The reader waits while the session joins, and with it the
//! writer where the service is told to stand still. The task ends with its connection, with the server, or when the
//! outbox is full; the session's channels are gone then.
//! Wire source: RFC 6455; `Phoenix.Transports.WebSocket`, Cowboy's idle timeout.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::{sync::Mutex, time::Instant};

use super::{
    disturb::Fate,
    door::{after, pause},
    hub::SocketId,
    outbox::{Outbox, Waiting},
    session::{Next, Session},
    token::Token,
    wire::{self, Frame, Version},
};
use crate::{cloud::Cloud, network::Connection};

/// Frames that are written before they are flushed.
const BATCH: usize = 256;

/// How long one batch may take to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// How long the other side may take to close.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection is gone, or its client closed it.
    Gone,
    /// The server closes it.
    Close(u16, &'static str),
    /// The close frame is out already.
    Closed,
}

/// Serves one socket until it ends.
pub(crate) async fn serve(
    cloud: Arc<Cloud>,
    stream: WebSocket,
    connection: Connection,
    version: Version,
    token: Token,
) {
    let realtime = &cloud.realtime;
    let (outbox, waiting) = Outbox::new(realtime.options.outbox_frames);
    let registered = Registered { cloud: &cloud, id: realtime.hub.open(version, outbox.clone()) };
    let (gate, lost) = (Mutex::new(()), AtomicBool::new(false));
    let session = Session::new(Arc::clone(&cloud), registered.id, token);
    let (sink, mut source) = stream.split();
    let mut writer = pin!(write(&cloud, sink, waiting, &gate, &lost));
    let ended = tokio::select! {
        biased;
        () = outbox.cut.cancelled() => None,
        () = thawed(&cloud, &lost) => None,
        () = realtime.stop.cancelled() => Some(End::Close(1012, "")),
        closed = &mut writer => closed.then_some(End::Closed),
        end = read(&cloud, &mut source, version, session, &gate, &lost) => Some(end),
    };
    let closing = match ended {
        Some(End::Gone) => return,
        Some(End::Closed) => true,
        Some(End::Close(code, reason)) => {
            outbox.close(code, reason);
            matches!(tokio::time::timeout(CLOSING_LIMIT, writer).await, Ok(true))
        }
        None => false,
    };
    if closing {
        // The client answers a close frame; what else it says is not heard any more.
        let rest = async { while let Some(Ok(_)) = source.next().await {} };
        let _ = tokio::time::timeout(CLOSING_LIMIT, rest).await;
    }
    connection.cut();
}

/// A socket that the hub knows, until this goes.
struct Registered<'c> {
    cloud: &'c Cloud,
    id: SocketId,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.cloud.realtime.hub.close(self.id);
    }
}

/// Resolves when the server answers again, if it was silent while something got lost.
async fn thawed(cloud: &Cloud, lost: &AtomicBool) {
    let mut frozen = cloud.realtime.disturb.frozen();
    while frozen.changed().await.is_ok() {
        let thawed = !*frozen.borrow_and_update();
        if thawed && lost.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Writes what waits; returns true after a close frame, false when the connection shall be cut.
async fn write(
    cloud: &Cloud,
    mut sink: impl Sink<Message> + Unpin,
    mut waiting: Waiting,
    gate: &Mutex<()>,
    lost: &AtomicBool,
) -> bool {
    let disturb = &cloud.realtime.disturb;
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.take(&mut batch, BATCH).await > 0 {
        drop(gate.lock().await); // a socket that is joining stands still
        pause(disturb.frame_delay()).await;
        let out = async {
            for frame in batch.drain(..) {
                let frame = match disturb.frame() {
                    Fate::Write => frame,
                    Fate::Drop => continue,
                    Fate::Swallow => {
                        lost.store(true, Ordering::SeqCst);
                        continue;
                    }
                    Fate::Delay(time) => {
                        pause(time).await;
                        frame
                    }
                    Fate::Cut => return Some(false),
                    Fate::Close(code) => Message::Close(Some(CloseFrame { code, reason: "".into() })),
                };
                let last = matches!(frame, Message::Close(_));
                if sink.feed(frame).await.is_err() {
                    return Some(false);
                }
                if last {
                    return Some(sink.flush().await.is_ok());
                }
            }
            sink.flush().await.is_err().then_some(false)
        };
        match tokio::time::timeout(WRITE_LIMIT, out).await {
            Ok(None) => {}
            Ok(Some(closed)) => return closed,
            Err(_) => return false,
        }
    }
    false
}

/// Reads until the connection ends, or has to be closed.
async fn read(
    cloud: &Cloud,
    mut source: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
    version: Version,
    mut session: Session,
    gate: &Mutex<()>,
    lost: &AtomicBool,
) -> End {
    let options = &cloud.realtime.options;
    let frozen = cloud.realtime.disturb.frozen();
    let mut restart = cloud.realtime.restart.subscribe();
    let mut recheck = cloud.realtime.recheck.subscribe();
    let mut heard = Instant::now();
    loop {
        let idle = after(heard, options.idle_limit);
        let next = tokio::select! {
            biased;
            frame = source.next() => {
                heard = Instant::now();
                match frame {
                    None | Some(Err(_)) => return End::Gone,
                    Some(Ok(_)) if *frozen.borrow() => {
                        lost.store(true, Ordering::SeqCst);
                        continue;
                    }
                    Some(Ok(Message::Text(text))) => Some(Frame::Text(text.as_str()))
                        .map(|frame| wire_message(version, frame, text.len(), options.max_frame_bytes)),
                    Some(Ok(Message::Binary(bytes))) => Some(Frame::Binary(&bytes))
                        .map(|frame| wire_message(version, frame, bytes.len(), options.max_frame_bytes)),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => None,
                }
            }
            () = tokio::time::sleep_until(session.due()) => {
                if !session.tick().await {
                    return End::Gone; // the real service kills it, without a word
                }
                None
            }
            Ok(()) = recheck.changed() => {
                session.check_tokens();
                None
            }
            Ok(()) = restart.changed() => {
                let gap = *restart.borrow_and_update();
                session.restart_changes(gap);
                None
            }
            () = tokio::time::sleep_until(idle) => return End::Close(options.idle_code, ""),
        };
        match next {
            None => {}
            Some(Err(TooLarge)) => return End::Close(1009, ""),
            Some(Ok(Err(wire::Malformed))) => {
                cloud.realtime.disturb.count_malformed();
                if options.closes_on_malformed {
                    return End::Close(1011, "");
                }
            }
            Some(Ok(Ok(message))) => {
                let still =
                    if options.joins_block && message.event == "phx_join" { Some(gate.lock().await) } else { None };
                if let Next::Close(code, reason) = session.take(message).await {
                    drop(still);
                    return End::Close(code, reason);
                }
            }
        }
    }
}

/// The message is larger than the service takes.
struct TooLarge;

fn wire_message(
    version: Version,
    frame: Frame<'_>,
    size: usize,
    limit: usize,
) -> Result<Result<wire::Inbound, wire::Malformed>, TooLarge> {
    if size > limit { Err(TooLarge) } else { Ok(wire::decode(version, frame)) }
}
