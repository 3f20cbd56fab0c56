//! What a test or a terminal chooses about the realtime service.
//!
//! [`RealtimeOptions`] is public and only carries numbers; who applies which is said at each. The defaults suit
//! tests: the limits that protect a shared cluster are off, penalties are zero.
//! Wire source: Supabase Realtime's environment variables and tenant settings, and its published limits.

use std::time::Duration;

/// The shortest time between two looks at a socket.
pub(crate) const SHORTEST_CHECK: Duration = Duration::from_millis(50);

/// What a person may do in a private channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicAccess {
    /// Not even join.
    Nothing,
    /// Join and listen.
    Read,
    /// Join, listen, broadcast and be present.
    ReadWrite,
}

/// What the realtime service shall be like; given to [`Builder::realtime`](crate::Builder::realtime).
///
/// ```
/// use std::time::Duration;
/// use cloud_dev::{CloudDev, RealtimeOptions};
///
/// let quick = RealtimeOptions::default().subscribe_delay(Duration::from_millis(5));
/// let builder = CloudDev::builder().realtime(quick);
/// # let _ = builder;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a builder has it"]
pub struct RealtimeOptions {
    pub(crate) subscribe_delay: Duration,
    pub(crate) connect_penalty: Duration,
    pub(crate) join_penalty: Duration,
    pub(crate) joins_block: bool,
    pub(crate) drops_stale_pushes: bool,
    pub(crate) closes_on_malformed: bool,
    pub(crate) rooms: bool,
    pub(crate) bare_refusals: bool,
    pub(crate) idle_limit: Duration,
    pub(crate) idle_code: u16,
    pub(crate) channel_check: Duration,
    pub(crate) token_check: Duration,
    pub(crate) max_frame_bytes: usize,
    pub(crate) max_payload_bytes: usize,
    pub(crate) outbox_frames: usize,
    pub(crate) max_sockets: usize,
    pub(crate) max_channels: usize,
    pub(crate) joins_per_second: u32,
    pub(crate) messages_per_second: u32,
    pub(crate) presence_calls: u32,
    pub(crate) presence_per_second: u32,
    pub(crate) private_only: bool,
    pub(crate) private_default: TopicAccess,
    pub(crate) topic_rules: Vec<(String, TopicAccess)>,
    pub(crate) full_identity: Vec<String>,
}

impl Default for RealtimeOptions {
    fn default() -> Self {
        Self {
            subscribe_delay: Duration::from_millis(20),
            connect_penalty: Duration::ZERO,
            join_penalty: Duration::ZERO,
            joins_block: true,
            drops_stale_pushes: false,
            closes_on_malformed: false,
            rooms: false,
            bare_refusals: false,
            idle_limit: Duration::from_secs(60),
            idle_code: 1000,
            channel_check: Duration::from_secs(600),
            token_check: Duration::from_secs(300),
            max_frame_bytes: 5_000_000,
            max_payload_bytes: 3_000 * 1_000 + 500,
            outbox_frames: 16_384,
            max_sockets: 20_000,
            max_channels: 100,
            joins_per_second: u32::MAX,
            messages_per_second: u32::MAX,
            presence_calls: 5,
            presence_per_second: u32::MAX,
            private_only: false,
            private_default: TopicAccess::ReadWrite,
            topic_rules: Vec::new(),
            full_identity: Vec::new(),
        }
    }
}

impl RealtimeOptions {
    /// The pace, the penalties and the limits of the hosted free plan: 1 s until a subscription works, 2 s before a
    /// refused upgrade is answered and 5 s before a refused join is, 200 sockets, 100 joins, 100 messages
    /// and 20 changes of presence a second, 256 KB a payload.
    pub fn like_production() -> Self {
        Self {
            subscribe_delay: Duration::from_secs(1),
            connect_penalty: Duration::from_secs(2),
            join_penalty: Duration::from_secs(5),
            max_payload_bytes: 256 * 1_000 + 500,
            max_sockets: 200,
            joins_per_second: 100,
            messages_per_second: 100,
            presence_per_second: 20,
            ..Self::default()
        }
    }

    /// How long changes of a table are lost between the join's reply and "Subscribed to PostgreSQL". Default: 20 ms.
    pub fn subscribe_delay(mut self, delay: Duration) -> Self {
        self.subscribe_delay = delay;
        self
    }

    /// How long a refused upgrade waits for its answer, and a refused join for its. Default: none.
    pub fn penalties(mut self, connect: Duration, join: Duration) -> Self {
        (self.connect_penalty, self.join_penalty) = (connect, join);
        self
    }

    /// Lets a socket go on while a refused join waits for its answer. Default: the socket stands still, as in
    /// production.
    pub fn joins_do_not_block(mut self) -> Self {
        self.joins_block = false;
        self
    }

    /// Behaves like a plain Phoenix 1.8 server: pushes with a stale or missing join reference get no answer, and a
    /// malformed message closes the socket with 1011; a silent socket is closed with 1002. Default: they are handled,
    /// and skipped; 1000.
    pub fn strict_phoenix(mut self) -> Self {
        (self.drops_stale_pushes, self.closes_on_malformed, self.idle_code) = (true, true, 1002);
        self
    }

    /// Refuses upgrades as servers did before July 2026: with 403 and no text, whatever is wrong. Default: with the
    /// status and the text of the reason.
    pub fn bare_refusals(mut self) -> Self {
        self.bare_refusals = true;
        self
    }

    /// How often a socket is looked at that has left all its channels: it is cut then, without a close frame.
    /// At least 50 ms; `Duration::MAX` is never. Default: every 10 min.
    pub fn channel_check(mut self, interval: Duration) -> Self {
        self.channel_check = interval.max(SHORTEST_CHECK);
        self
    }

    /// Serves topics `room:…` as a plain Phoenix server would, for clients of any Phoenix application. Default: they
    /// are unknown.
    ///
    /// Events: `echo` and `fail` answer with the payload, `shout` sends it to everybody, `push` sends it back,
    /// `silent` answers nothing, `late` answers 100 ms later, `crash` and `stop` end the channel. The topic
    /// `room:refused` refuses joins, `room:broken` fails at them.
    pub fn rooms(mut self) -> Self {
        self.rooms = true;
        self
    }

    /// Closes a socket from which no frame came for this long. Default: 60 s.
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// Largest payload of a broadcast or of somebody's presence. Default: 3,000,500 bytes.
    pub fn max_payload_bytes(mut self, bytes: usize) -> Self {
        self.max_payload_bytes = bytes;
        self
    }

    /// Frames that may wait for a slow reader; one more closes its connection. Default: 16,384.
    pub fn outbox_frames(mut self, frames: usize) -> Self {
        self.outbox_frames = frames.max(1);
        self
    }

    /// Sockets at one time; the next is refused with 429. Default: 20,000.
    pub fn max_sockets(mut self, sockets: usize) -> Self {
        self.max_sockets = sockets;
        self
    }

    /// Channels of one socket; the next join is refused. Default: 100.
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.max_channels = channels;
        self
    }

    /// Joins a second of all sockets together; one more is refused and closes its socket with 1001. Default: any.
    pub fn joins_per_second(mut self, joins: u32) -> Self {
        self.joins_per_second = joins;
        self
    }

    /// Messages a second of all sockets together, each delivery counted; the last one may go beyond the limit. One more
    /// closes its channel, and changes of the tables are skipped. Default: any.
    pub fn messages_per_second(mut self, messages: u32) -> Self {
        self.messages_per_second = messages;
        self
    }

    /// Presence states and changes a second of all sockets together; one more closes its channel. Default: any.
    pub fn presence_per_second(mut self, events: u32) -> Self {
        self.presence_per_second = events;
        self
    }

    /// Presence calls of one channel in 30 s; one more closes it. Default: 5.
    pub fn presence_calls(mut self, calls: u32) -> Self {
        self.presence_calls = calls;
        self
    }

    /// Refuses public channels. Default: they are served.
    pub fn private_only(mut self) -> Self {
        self.private_only = true;
        self
    }

    /// What a signed-in person may do in a private channel whose name contains the id of no organisation, workspace
    /// or conversation. Default: everything. Where it contains one, members may do everything, viewers may listen,
    /// and others may do nothing.
    pub fn private_default(mut self, access: TopicAccess) -> Self {
        self.private_default = access;
        self
    }

    /// What any signed-in person may do in private channels whose name begins with `prefix`, whatever else it
    /// contains; the first rule that fits counts. Default: no such rule.
    pub fn topic_rule(mut self, prefix: impl Into<String>, access: TopicAccess) -> Self {
        self.topic_rules.push((prefix.into(), access));
        self
    }

    /// Gives `table` the replica identity "full": updates carry the whole old row. Default: its key alone.
    pub fn full_identity(mut self, table: impl Into<String>) -> Self {
        self.full_identity.push(table.into());
        self
    }
}
