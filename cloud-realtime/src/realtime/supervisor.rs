//! The one task of a connection: it owns the socket, feeds the two machines and does what they say.
//!
//! ```text
//! handles ─commands─►┐                         ┌─► connection machine ─┐
//! intents, drops ───►├─ one select, stop first ─┤                       ├─► effects ─► outbox ─► socket
//! socket, jobs, time►┘                         └─► channel set ────────┘        └──► listeners, waiters
//! ```
//! Every turn reads the clocks, so a sleep of the machine is noticed by whatever wakes the task first (R10). Writing is
//! the only other wait; it has a limit, since a peer that does not read is as dead as one that does not answer (R9).
use std::{sync::Arc, task::Poll, time::Duration};

use cloud_client::tasks::CancellationToken;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    Intent,
    builder::RealtimeBuilder,
    jobs::{Done, Jobs},
    state::{Live, Out},
    watchman::Watchman,
};
use crate::{
    channel::command::Command,
    connection::Event,
    socket::{CloseReason, Received, Socket, SocketError},
    status::{ConnectionState, Status},
};

/// A frame that the socket does not take within this time ends the connection.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// So many frames that are there already are taken in one turn. Then the listeners get theirs, whose queues have an end, and
/// who find what they read still close to the processor.
const FRAMES_AT_ONCE: usize = 32;
/// So many frames are looked at for the reason why a socket takes nothing any more.
const LAST_FRAMES: usize = 256;
/// At every so manieth of such turns the whole runtime has its own: so many frames still fit into a listener's queue.
const FLOODS_A_LOOK: u32 = 8;
/// A goodbye takes no longer.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// What the task listens to.
pub(super) struct Ears {
    pub(super) stop: CancellationToken,
    pub(super) asked: mpsc::Receiver<Command>,
    pub(super) nudge: Arc<Notify>,
    pub(super) intents: watch::Receiver<Intent>,
}

pub(super) struct Supervisor {
    live: Live,
    jobs: Jobs,
    watchman: Watchman,
    /// The timer and what it was set to.
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
}

/// What woke the task.
enum Woken {
    Stopped,
    Done(Done),
    Intent,
    Nudged,
    Asked(Command),
    Received(Result<Received, SocketError>),
    Time,
}

impl Supervisor {
    pub(super) fn new(options: RealtimeBuilder, status: watch::Sender<Status>) -> Self {
        let options = Arc::new(options);
        let clock = options.client.clock().clone();
        Self {
            watchman: Watchman::new(clock.wall(), clock.monotonic()),
            jobs: Jobs::new(Arc::clone(&options)),
            live: Live::new(options, clock, status),
            timer: None,
        }
    }

    pub(super) async fn run(mut self, mut ears: Ears) {
        let mut intent = *ears.intents.borrow_and_update();
        // After a frame, a request that waits goes first: neither a chatty server nor a busy host starves the other.
        let (mut heard_frame, mut floods) = (false, 0_u32);
        loop {
            let (woken, mut is_flooded) = (self.wait(&mut ears, heard_frame).await, false);
            self.live.read_clock();
            heard_frame = matches!(woken, Woken::Received(_));
            let clock = &self.live.clock;
            if let Some(slept) = self.watchman.slept(clock.wall(), self.live.now) {
                tracing::debug!(seconds = slept.as_secs(), "the machine slept");
                self.live.connection(Event::Woke { slept });
            }
            match woken {
                Woken::Stopped => break,
                Woken::Done(Done::Attempt(done)) => self.live.attempted(done),
                Woken::Done(Done::Token(answer)) => self.live.token_answer(answer),
                Woken::Intent => {
                    let new = *ears.intents.borrow_and_update();
                    self.live.intent(intent, new);
                    intent = new;
                }
                Woken::Nudged => self.live.sweep(),
                Woken::Asked(command) => self.live.command(command),
                Woken::Received(received) => {
                    self.live.received(received);
                    is_flooded = self.receive_more(&ears);
                }
                Woken::Time => {}
            }
            self.live.tick(heard_frame);
            self.live.perform(&mut self.jobs);
            if !self.write(&ears.stop).await {
                break;
            }
            self.live.report();
            if is_flooded {
                floods = floods.wrapping_add(1);
                give_way(floods).await;
            }
        }
        self.end(ears).await;
    }

    /// Takes the frames that are there already, as long as they are messages and nobody waits; whether there may be more.
    fn receive_more(&mut self, ears: &Ears) -> bool {
        for _ in 1..FRAMES_AT_ONCE {
            if self.live.has_work() || !ears.asked.is_empty() {
                return false;
            }
            match receive(&mut self.live.socket).now_or_never() {
                Some(received) => self.live.received(received),
                None => return false,
            }
        }
        true
    }

    async fn wait(&mut self, ears: &mut Ears, heard_frame: bool) -> Woken {
        let due = self.live.deadline().into_iter().chain(self.watchman.due(self.live.needs_watch())).min();
        // A timer that is early costs one turn, a new one for every frame would cost more than the frame.
        let is_early = self.timer.as_ref().zip(due).is_some_and(|((at, _), due)| *at <= due);
        if !is_early {
            let clock = self.live.clock.clone();
            let wait = |at: Duration| at.saturating_sub(self.live.now);
            self.timer = due.map(|at| {
                let (clock, wait) = (clock, wait(at));
                let sleep: BoxFuture<'static, ()> = Box::pin(async move { clock.sleep(wait).await });
                (at, sleep)
            });
        }
        let Self { live, jobs, timer, .. } = self;
        let request_waits = heard_frame && !ears.asked.is_empty();
        let woken = tokio::select! {
            biased;
            () = ears.stop.cancelled() => Woken::Stopped,
            done = jobs.next() => Woken::Done(done),
            Ok(()) = ears.intents.changed() => Woken::Intent,
            () = ears.nudge.notified() => Woken::Nudged,
            received = receive(&mut live.socket), if !request_waits => Woken::Received(received),
            Some(command) = ears.asked.recv() => Woken::Asked(command),
            () = expire(timer) => Woken::Time,
            else => Woken::Stopped,
        };
        if matches!(woken, Woken::Time) {
            self.timer = None;
        }
        woken
    }

    /// Writes everything that is to be sent; `false` when it was told to stop.
    async fn write(&mut self, stop: &CancellationToken) -> bool {
        if let Some(mut socket) = self.live.leaving.take() {
            let goodbye = socket.close(CloseReason::new(1000, ""));
            // A goodbye that does not get through changes nothing.
            let _ = self.live.clock.within(CLOSE_LIMIT, goodbye).await;
        }
        while let Some(out) = self.live.outbox.pop_front() {
            let frame = match out {
                Out::Sent(push) => {
                    self.live.sent(push);
                    continue;
                }
                Out::Frame(frame) => frame,
            };
            let Some(socket) = &mut self.live.socket else { continue };
            let sending = self.live.clock.within(WRITE_LIMIT, socket.send(frame));
            match stop.run_until_cancelled(sending).await {
                None => return false,
                Some(Some(Ok(()))) => {}
                Some(Some(Err(_)) | None) => {
                    self.live.read_clock();
                    self.hear_the_end();
                    self.live.perform(&mut self.jobs);
                }
            }
        }
        true
    }

    /// The socket takes nothing any more. What the server said before may still be there, above all why: how to come back
    /// depends on it (R14).
    fn hear_the_end(&mut self) {
        for _ in 0..LAST_FRAMES {
            match receive(&mut self.live.socket).now_or_never() {
                Some(said @ Ok(Received::Frame(_) | Received::Alive)) => {
                    self.live.received(said);
                    // In the order in which it was said: the end may mean something else behind it.
                    self.live.perform(&mut self.jobs);
                }
                Some(end) => return self.live.received(end),
                None => break,
            }
        }
        self.live.received(Err(SocketError::Closed));
    }

    async fn end(mut self, mut ears: Ears) {
        ears.asked.close();
        if let Some(mut socket) = self.live.socket.take() {
            let goodbye = socket.close(CloseReason::new(1000, ""));
            let _ = self.live.clock.within(CLOSE_LIMIT, goodbye).await;
        }
        while let Ok(command) = ears.asked.try_recv() {
            self.live.refuse(command);
        }
        self.live.shut_down();
        self.live.show(ConnectionState::Closed);
    }
}

/// Lets the tasks go first that have something to do. `tokio::task::yield_now` looks at the network, too, which costs as
/// much as some messages; but without it, the future of `block_on` has no turn among tasks that are always ready.
async fn give_way(floods: u32) {
    if floods.is_multiple_of(FLOODS_A_LOOK) {
        return tokio::task::yield_now().await;
    }
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn receive(socket: &mut Option<Box<dyn Socket>>) -> Result<Received, SocketError> {
    match socket {
        Some(socket) => socket.receive().await,
        None => std::future::pending().await,
    }
}

async fn expire(timer: &mut Option<(Duration, BoxFuture<'static, ()>)>) {
    match timer {
        Some((_, sleep)) => sleep.await,
        None => std::future::pending().await,
    }
}
