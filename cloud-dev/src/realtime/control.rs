//! The handle that steers the sockets of a running cloud: what it does to them, and what it saw.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Realtime, disturb::Disturb, hub::Hub, wire::Body};
use crate::{cloud::Cloud, core::clock::Clock, faults::Fault};

/// Steers the realtime service of a [`Running`](crate::Running) cloud; clones steer the same one.
///
/// Disturbances act on all sockets, those that come later included, until [`heal`](Self::heal). An upgrade is an
/// ordinary request, so [`Running::inject`](crate::Running::inject) acts on it too.
#[derive(Clone)]
pub struct RealtimeControl {
    realtime: Arc<Realtime>,
    /// A handle that outlives the cloud keeps nothing open.
    cloud: Weak<Cloud>,
    clock: Clock,
}

impl fmt::Debug for RealtimeControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeControl").field("sockets", &self.sockets()).finish_non_exhaustive()
    }
}

impl RealtimeControl {
    pub(crate) fn new(cloud: &Arc<Cloud>) -> Self {
        Self { realtime: Arc::clone(&cloud.realtime), cloud: Arc::downgrade(cloud), clock: cloud.clock.clone() }
    }

    /// Cuts the connection of every socket, without a close frame; clients see 1006.
    pub fn cut(&self) {
        for outbox in self.hub().outboxes() {
            outbox.cut.cancel();
        }
    }

    /// Closes every socket with `code`. 1012 is what a server says that drains.
    pub fn close(&self, code: u16) {
        for outbox in self.hub().outboxes() {
            outbox.close(code, "");
        }
    }

    /// Tells every socket "Server requested disconnect", then closes it with 1012, as "disconnect all" does.
    pub fn drain(&self) {
        self.hub().announce_end();
        self.close(1012);
    }

    /// Accepts, reads, and never answers: sockets look open from the other side and are not. New upgrades get no
    /// answer either.
    pub fn freeze(&self) {
        self.switches().set_frozen(true);
    }

    /// Answers again. Sockets for which something got lost meanwhile are cut, since no real connection goes on
    /// behind a gap.
    pub fn thaw(&self) {
        self.switches().set_frozen(false);
    }

    /// Waits this long before each batch of frames, for a minute at most.
    pub fn delay_frames(&self, delay: Duration) {
        self.switches().set_frame_delay(delay);
    }

    /// Waits this long before each join, for a minute at most; its socket stands still meanwhile.
    pub fn delay_joins(&self, delay: Duration) {
        self.switches().set_join_delay(delay);
    }

    /// Loses the `n`th frame from now, counted from 1 over all sockets; can be asked for more than once.
    pub fn drop_frame(&self, n: u64) {
        self.switches().drop_frame(n);
    }

    /// Loses the next `replies` replies, those to joins and heartbeats included.
    pub fn lose_replies(&self, replies: u32) {
        self.switches().lose_replies(replies);
    }

    /// Sends the next `replies` replies this much later, for a minute at most.
    pub fn delay_replies(&self, replies: u32, delay: Duration) {
        self.switches().delay_replies(replies, delay);
    }

    /// Says "Subscribed to PostgreSQL" with the join's reply, before it is true.
    pub fn set_early_success(&self, early: bool) {
        self.switches().set_early_success(early);
    }

    /// Hits `per_mille` of a thousand frames: lost, late, or the last of their socket. The same `seed` hits the same
    /// ones.
    pub fn disturb(&self, seed: u64, per_mille: u16) {
        self.switches().set_random(Some((seed, per_mille)));
    }

    /// Refuses the next `times` upgrades with `status` and the service's own text, such as 404, 429 or 500.
    pub fn refuse_upgrades(&self, status: u16, times: u32) {
        let Some(cloud) = self.cloud.upgrade() else { return };
        let text = match status {
            401 => "The token provided is not a valid JWT",
            403 => "Realtime was disabled for this tenant",
            404 => "Tenant not found",
            429 => "Too many connected users",
            _ => "Error connecting to Realtime",
        };
        let body = serde_json::json!({ "error": text }).to_string();
        for path in [super::UPGRADE_PATH, super::PLAIN_PATH] {
            let fault = Fault::answer(status).body("application/json", body.clone());
            cloud.faults.inject(fault.on(path).times(times));
        }
    }

    /// Refuses the next `joins` joins of topics `realtime:…` with `reason`, such as
    /// `RealtimeRestarting: Realtime is restarting, please standby`.
    pub fn refuse_joins(&self, joins: u32, reason: impl Into<String>) {
        self.switches().refuse_joins(joins, reason.into());
    }

    /// Ends every channel with `phx_error`, as when its process dies; sockets stay open.
    pub fn crash_channels(&self) {
        self.hub().crash_channels();
    }

    /// Ends every disturbance; refused upgrades are ended by [`Running::clear_faults`](crate::Running::clear_faults).
    pub fn heal(&self) {
        self.switches().clear();
    }

    /// Breaks off every subscription to the tables: an error to each channel, then "Subscribed to PostgreSQL" after
    /// `gap`. What changes in between is lost.
    pub fn restart_changes(&self, gap: Duration) {
        self.hub().break_off();
        self.realtime.restart.send_replace(gap);
    }

    /// Sends a broadcast the way the database does (`realtime.send`): with an id, and kept for replay if `private`.
    /// `payload` is JSON text. Returns the message's id.
    pub fn send(&self, topic: &str, event: &str, payload: &str, private: bool) -> String {
        self.store(topic, event, Body::Json(payload.to_owned()), private)
    }

    /// The same with bytes (`realtime.send_binary`).
    pub fn send_binary(&self, topic: &str, event: &str, payload: &[u8], private: bool) -> String {
        self.store(topic, event, Body::Binary(payload.to_vec().into()), private)
    }

    /// Sends `messages` broadcasts to a public topic, as fast as it can: `{"n":0}`, `{"n":1}` and so on.
    pub fn flood(&self, topic: &str, messages: usize) {
        self.hub().flood(topic, messages);
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        *self.hub().count().borrow()
    }

    /// Waits until so many sockets are open; false if that took longer than `limit`. Cancel safe.
    pub async fn wait_for_sockets(&self, sockets: usize, limit: Duration) -> bool {
        let mut count = self.hub().count();
        let reached = tokio::time::timeout(limit, count.wait_for(|count| *count == sockets)).await;
        matches!(reached, Ok(Ok(_)))
    }

    /// How many channels are joined.
    pub fn channels(&self) -> usize {
        self.hub().state().sockets.values().map(|socket| socket.channels.len()).sum()
    }

    /// How many frames were no messages.
    pub fn malformed_frames(&self) -> u64 {
        self.switches().malformed()
    }

    /// How many pushes named another join than the one of their channel; a correct client sends none.
    pub fn stale_pushes(&self) -> u64 {
        self.switches().stale()
    }

    fn store(&self, topic: &str, event: &str, body: Body, private: bool) -> String {
        self.realtime.stored.send(self.hub(), topic, event, body, private, self.clock.millis())
    }

    fn switches(&self) -> &Disturb {
        &self.realtime.disturb
    }

    fn hub(&self) -> &Hub {
        &self.realtime.hub
    }
}
