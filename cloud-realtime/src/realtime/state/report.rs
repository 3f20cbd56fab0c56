//! The status as others see it: shown when it is another than before.
use cloud_client::Error;

use super::Live;
use crate::status::{ConnectionState, Status};

impl Live {
    /// Shows the status if it is another.
    pub(in crate::realtime) fn report(&mut self) {
        self.show(self.connection.shown());
    }

    pub(in crate::realtime) fn show(&mut self, connection: ConnectionState) {
        self.shown.connection = connection;
        self.shown.failed_attempts = self.connection.failures();
        self.shown.channels = self.set.wanted();
        self.shown.stale_messages = self.set.stale();
        let shown = &self.shown;
        self.status.send_if_modified(|status| {
            let error = |status: &Status| status.last_error.as_ref().map(Error::code);
            let same = status.connection == shown.connection
                && status.failed_attempts == shown.failed_attempts
                && status.channels == shown.channels
                && status.live_channels == shown.live_channels
                && status.unreadable_frames == shown.unreadable_frames
                && status.stale_messages == shown.stale_messages
                && error(status) == error(shown);
            if !same {
                *status = shown.clone();
            }
            !same
        });
    }
}
