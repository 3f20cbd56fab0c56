//! The body of an event stream: the replay, its end, and then whatever happens.
//!
//! [`Feed`]'s log → `id`, `event`, `data` → chunks. Nothing is kept for a slow reader: the log is read when the connection
//! takes more. Wire source: WHATWG HTML §9.2, "Server-sent events".
use std::{collections::VecDeque, io, sync::Arc};

use futures::{Stream, stream};
use tokio::sync::watch;

use super::{Ending, Feed, Reading, reader::Reader};

/// Messages that are written at once.
const BATCH: usize = 100;

struct Writing {
    feed: Arc<Feed>,
    _reading: Reading,
    reader: Reader,
    /// The number that came first.
    began: u64,
    /// The number that comes next.
    next: u64,
    /// Up to where messages are a replay.
    replayed: u64,
    caught_up: bool,
    chunks: VecDeque<String>,
    changed: watch::Receiver<u64>,
    ends: watch::Receiver<Ending>,
    /// The line goes dead behind what was written.
    cut: bool,
}

/// The events for `reader` after the id `last`.
pub(super) fn events(
    feed: &Arc<Feed>,
    reader: Reader,
    last: Option<&str>,
) -> impl Stream<Item = io::Result<String>> + use<> {
    let (changed, mut ends) = (feed.changed.subscribe(), feed.ends.subscribe());
    ends.mark_unchanged();
    let (next, replayed, too_old) = feed.begin(last);
    let mut first = format!("retry: {}\n\n", feed.options.retry.as_millis());
    if too_old {
        first.push_str("event: too_old\ndata: {}\n\n");
    }
    let writing = Writing {
        _reading: feed.reading(),
        feed: Arc::clone(feed),
        reader,
        began: next,
        next,
        replayed,
        caught_up: false,
        chunks: VecDeque::from([first]),
        changed,
        ends,
        cut: false,
    };
    stream::unfold(writing, async |mut writing| writing.chunk().await.map(|chunk| (chunk, writing)))
}

impl Writing {
    /// The next piece; `None` at a clean end.
    async fn chunk(&mut self) -> Option<io::Result<String>> {
        loop {
            if self.feed.stop.is_cancelled() {
                return None;
            }
            let ended = self.ends.has_changed().unwrap_or(true);
            if let Some(chunk) = self.chunks.pop_front().filter(|_| !ended) {
                return Some(Ok(chunk));
            }
            if self.cut || ended {
                // The server flushes what it holds while it waits for us; only then the line goes dead.
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                return Some(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            self.changed.mark_unchanged();
            if self.look() {
                continue;
            }
            tokio::select! {
                _ = self.changed.changed() => {}
                _ = self.ends.changed() => self.cut = true,
                () = self.feed.stop.cancelled() => return None,
                () = tokio::time::sleep(self.feed.options.keep_alive) => return Some(Ok(":\n\n".to_owned())),
            }
        }
    }

    /// Takes what the log has; false when that is nothing.
    fn look(&mut self) -> bool {
        let log = self.feed.log();
        let found = log.read(self.next, &self.reader, BATCH, (!self.caught_up).then_some(self.replayed));
        self.next = found.next;
        for (number, envelope) in found.messages {
            let mut event = format!("id: {}\nevent: item\ndata: {envelope}\n\n", log.position(number));
            if self.feed.cuts_now() {
                let half = (0..=event.len() / 2).rev().find(|at| event.is_char_boundary(*at));
                event.truncate(half.unwrap_or_default());
                self.cut = true;
                // Written before the cut is.
                self.chunks.push_back(event);
                return true;
            }
            self.chunks.push_back(event);
        }
        if !self.caught_up && self.next > self.replayed {
            self.caught_up = true;
            let position = log.position(self.next - 1);
            self.chunks
                .push_back(format!("id: {position}\nevent: caught_up\ndata: {{\"position\":\"{position}\"}}\n\n"));
            self.next = self.next.saturating_sub(self.feed.options.repeated_messages).max(self.began);
        }
        !self.chunks.is_empty()
    }
}
