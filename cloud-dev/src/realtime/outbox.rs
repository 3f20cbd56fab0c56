//! What waits to be written to one socket, with a limit on frames and bytes.
//!
//! Anybody → [`Outbox::push`] → the socket's writer. Nobody ever waits for a slow reader: when its outbox is full, its
//! connection is cut, as a server that protects itself does.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::extract::ws::{CloseFrame, Message};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for one reader.
const MAX_BYTES: usize = 64 << 20;

/// The sending side; clones share the queue.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Message>,
    bytes: Arc<AtomicUsize>,
    /// Cancelled when the connection shall end without another byte.
    pub(crate) cut: CancellationToken,
}

/// The writer's side.
#[derive(Debug)]
pub(crate) struct Waiting {
    frames: mpsc::Receiver<Message>,
    bytes: Arc<AtomicUsize>,
}

impl Outbox {
    /// An outbox for so many frames, and what reads it.
    pub(crate) fn new(frames: usize) -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(frames);
        let bytes = Arc::new(AtomicUsize::new(0));
        let outbox = Self { frames: sender, bytes: Arc::clone(&bytes), cut: CancellationToken::new() };
        (outbox, Waiting { frames: receiver, bytes })
    }

    /// Adds a frame, or cuts the connection of a reader that is too slow.
    pub(crate) fn push(&self, frame: Message) {
        let size = size(&frame);
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > MAX_BYTES || self.frames.try_send(frame).is_err() {
            self.cut.cancel();
        }
    }

    /// Ends the connection with a close frame, behind what waits.
    pub(crate) fn close(&self, code: u16, reason: &'static str) {
        self.push(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
    }
}

impl Waiting {
    /// Moves up to `limit` frames into `batch`; 0 once nobody can push any more. Cancel safe.
    pub(crate) async fn take(&mut self, batch: &mut Vec<Message>, limit: usize) -> usize {
        let taken = self.frames.recv_many(batch, limit).await;
        let size: usize = batch.iter().map(size).sum();
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        taken
    }
}

fn size(frame: &Message) -> usize {
    match frame {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_outbox_cuts_its_reader_and_nobody_waits() {
        let (outbox, mut waiting) = Outbox::new(2);
        outbox.push(Message::text("a"));
        outbox.push(Message::text("b"));
        assert!(!outbox.cut.is_cancelled());
        let mut batch = Vec::new();
        assert_eq!(waiting.take(&mut batch, 10).await, 2);
        for text in ["c", "d", "e"] {
            outbox.push(Message::text(text));
        }
        assert!(outbox.cut.is_cancelled());
    }

    #[tokio::test]
    async fn bytes_count_as_well_as_frames() {
        let (outbox, mut waiting) = Outbox::new(100);
        let half = "x".repeat(MAX_BYTES / 2);
        outbox.push(Message::text(half.clone()));
        outbox.push(Message::text(half.clone()));
        assert!(!outbox.cut.is_cancelled());
        waiting.take(&mut Vec::new(), 1).await;
        outbox.push(Message::text(half));
        assert!(!outbox.cut.is_cancelled(), "what was taken makes room");
        outbox.push(Message::text("x"));
        assert!(outbox.cut.is_cancelled());
    }
}
