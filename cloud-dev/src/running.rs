//! A running cloud: its address and keys, the switches a test needs, and its end.
//!
//! [`Running`] owns the task that serves. Its switches go straight to the shared state; those that change
//! an account go through the database like any request.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    cloud::Cloud,
    faults::Fault,
    feed::FeedControl,
    gotrue::{
        account::User,
        mail::Mail,
        oauth::id_token,
        session::{self, refresh::Refreshes},
    },
    realtime::RealtimeControl,
    seed::Demo,
};

/// How long requests in flight may take to end, and then how long a cut connection may.
const GRACE: Duration = Duration::from_secs(2);

/// How long the database may take to close.
const CLOSE: Duration = Duration::from_secs(3);

/// A running cloud, and the handle that steers it. Dropping it stops the cloud.
#[must_use = "the cloud stops when this is dropped"]
pub struct Running {
    cloud: Arc<Cloud>,
    demo: Demo,
    url: String,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Running {
    pub(crate) fn new(
        cloud: Arc<Cloud>,
        demo: Demo,
        url: String,
        stop: CancellationToken,
        task: JoinHandle<()>,
    ) -> Self {
        Self { cloud, demo, url, stop, task: Some(task) }
    }

    /// Where the cloud answers: `http://127.0.0.1:<port>`, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The legacy API key: a token with the role `anon`.
    pub fn anon_key(&self) -> &str {
        self.cloud.keys.anon()
    }

    /// The API key of the new kind, `sb_publishable_…`.
    pub fn publishable_key(&self) -> &str {
        self.cloud.keys.publishable()
    }

    /// Two people, their organisation, a workspace and an agent.
    pub fn demo(&self) -> &Demo {
        &self.demo
    }

    /// Shows `fault` to the next requests that match; faults asked for earlier come first.
    pub fn inject(&self, fault: Fault) {
        self.cloud.faults.inject(fault);
    }

    /// Forgets the faults that wait.
    pub fn clear_faults(&self) {
        self.cloud.faults.clear();
    }

    /// Makes every access token issued so far count as expired. Refresh tokens stay good.
    pub fn expire_access_tokens(&self) {
        self.cloud.expire_access_tokens();
    }

    /// Ends every session of the person with this address; false if there is no such person.
    ///
    /// Their refresh tokens are refused for good. Access tokens stay good for tables and functions until they
    /// expire, as in production.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may still take effect.
    pub async fn revoke_user(&self, email: &str) -> bool {
        self.change_user(email, |conn, user| session::end_others(conn, &user.id, None).map(|_| ())).await
    }

    /// Ends the session with this id, which access tokens carry as `session_id`; false if there is none.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may still take effect.
    pub async fn revoke_session(&self, session_id: &str) -> bool {
        let id = session_id.to_owned();
        self.cloud.db.call(move |conn| session::end(conn, &id)).await.unwrap_or(false)
    }

    /// Sets how far the clock of the cloud is ahead of the real one, in seconds; negative is behind. Default: 0.
    ///
    /// It is the clock of the `Date` header, of new and of checked tokens, and of everything that runs out.
    pub fn skew_clock(&self, seconds: i64) {
        self.cloud.skew_clock(seconds);
    }

    /// What came of the refresh tokens that were presented so far.
    pub fn refreshes(&self) -> Refreshes {
        self.cloud.auth.refreshes.read()
    }

    /// The mails that would have been sent, oldest first; the last 1,000 of them.
    pub fn mails(&self) -> Vec<Mail> {
        self.cloud.auth.mailbox.all()
    }

    /// The newest mail to this address.
    pub fn mail_to(&self, email: &str) -> Option<Mail> {
        let email = email.to_lowercase();
        self.mails().into_iter().rfind(|mail| mail.to == email)
    }

    /// The first mail after the one with the number `seen`, as soon as there is one; 0 begins with the first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn mail_after(&self, seen: u64) -> Mail {
        self.cloud.auth.mailbox.after(seen).await
    }

    /// A token of the built-in provider, such as `google`, that says who somebody is, good for one hour.
    ///
    /// `nonce` is what the application will show with it; the token carries its hash.
    pub fn id_token(&self, provider: &str, email: &str, nonce: Option<&str>) -> String {
        id_token::issue(&self.cloud, provider, email, nonce)
    }

    /// Bans the person with this address, or lifts the ban; false if there is no such person.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may still take effect.
    pub async fn set_banned(&self, email: &str, banned: bool) -> bool {
        self.change_user(email, move |conn, user| user.set_banned(conn, banned)).await
    }

    /// Confirms an address, as the link in a mail would; false if there is no such person.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may still take effect.
    pub async fn confirm_email(&self, email: &str) -> bool {
        self.change_user(email, |conn, user| User::confirm(conn, &user.id)).await
    }

    /// Makes the person with this address a member of the demo organisation; false if there is no such person.
    ///
    /// # Cancel safety
    ///
    /// A dropped call may still take effect.
    pub async fn add_member(&self, email: &str) -> bool {
        let org = self.demo.org_id.clone();
        self.change_user(email, move |conn, user| {
            let add = "INSERT OR IGNORE INTO org_memberships (org_id, user_id, role) VALUES (?1, ?2, 'member')";
            conn.execute(add, [&org, &user.id]).map(|_| ())
        })
        .await
    }

    /// Cuts every connection and refuses new ones, or lets them in again.
    pub fn set_offline(&self, offline: bool) {
        self.cloud.network.set_offline(offline);
    }

    /// Steers live connections.
    pub fn realtime(&self) -> RealtimeControl {
        RealtimeControl::new(&self.cloud)
    }

    /// Steers the feed; `None` where [`Builder::feed`](crate::Builder::feed) did not ask for one.
    pub fn feed(&self) -> Option<FeedControl> {
        self.cloud.feed.clone().map(FeedControl)
    }

    /// How many requests came for paths that begin with `path_prefix`, whatever became of them.
    pub fn requests(&self, path_prefix: &str) -> u64 {
        self.cloud.faults.requests(path_prefix)
    }

    /// Waits until at least `count` requests came for paths that begin with `path_prefix`. Without a limit of its own.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn reached(&self, path_prefix: &str, count: u64) {
        self.cloud.faults.reached(path_prefix, count).await;
    }

    /// Stops the cloud: lets requests in flight end for two seconds, then cuts them; returns once the data
    /// directory is free again, after seven seconds at most.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future stops the cloud without waiting.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let (sockets, readers) = (self.cloud.realtime.end(), self.cloud.feed.as_ref().map(|feed| feed.end()));
        let closed = self.cloud.db.closed();
        if let Some(mut task) = self.task.take()
            && timeout(GRACE, &mut task).await.is_err()
        {
            self.cloud.network.close();
            let _ = timeout(GRACE, &mut task).await;
            task.abort();
        }
        let _ = timeout(GRACE, sockets).await;
        if let Some(readers) = readers {
            let _ = timeout(GRACE, readers).await;
        }
        drop(self); // the last handle of the database, once the connections are gone
        let _ = timeout(CLOSE, closed).await;
    }

    async fn change_user(
        &self,
        email: &str,
        change: impl FnOnce(&rusqlite::Connection, &User) -> rusqlite::Result<()> + Send + 'static,
    ) -> bool {
        let email = email.to_lowercase();
        let changed = self.cloud.db.call(move |conn| match User::by_email(conn, &email)? {
            Some(user) => change(conn, &user).map(|()| true),
            None => Ok::<_, rusqlite::Error>(false),
        });
        changed.await.unwrap_or(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.cloud.realtime.end());
        drop(self.cloud.feed.as_ref().map(|feed| feed.end()));
        self.cloud.network.close();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
