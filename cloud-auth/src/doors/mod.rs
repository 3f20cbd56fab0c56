//! The ways in. Each method checks what can be checked here, then goes its [`Way`](crate::gotrue::Way) through the
//! session task.
mod mail;
mod password;
mod tokens;

use serde_json::{Map, Value};

pub(crate) use self::password::PASSWORD_LIMIT_BYTES;
use crate::gotrue::Linked;

/// What goes with a code or a link that is sent, or with a new account. The default makes an account when there is none.
///
/// ```no_run
/// # async fn run(auth: cloud_auth::Auth, opened: &str) -> Result<(), cloud_client::Error> {
/// use cloud_auth::SendOptions;
///
/// let options = SendOptions::default().finish_at("app://cloud/auth/callback");
/// auth.send_code("ada@example.com", options).await?;
/// // Later, perhaps after a restart, the system hands the app the address that the link led to.
/// auth.complete(opened).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options of a call"]
pub struct SendOptions {
    create_user: bool,
    data: Option<Map<String, Value>>,
    pub(crate) link: Linked,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { create_user: true, data: None, link: Linked::default() }
    }
}

impl SendOptions {
    /// Sends nothing to people who have no account. Default: an account is made.
    pub fn existing_only(mut self) -> Self {
        self.create_user = false;
        self
    }

    /// Where the link in the mail leads, which comes there with the session itself in its address; the cloud has to
    /// allow the address. Default: what the cloud is set to.
    pub fn redirect(mut self, address: impl Into<String>) -> Self {
        self.link = Linked { redirect: Some(address.into()), ..Linked::default() };
        self
    }

    /// Lets the link in the mail finish in this app on this device, and nowhere else: it leads to `address`, such as
    /// `app://cloud/auth/callback`, with a code that is worth nothing without what is kept here. The system hands the
    /// address to the app, and the app to [`Auth::complete`](crate::Auth::complete), for an hour. It has to be on the
    /// cloud's list of redirect addresses, with a `*` behind it. Default: the link works on any device.
    ///
    /// The server takes the codes of links that confirm an account or reset a password for five minutes after the mail
    /// was sent, and those of links to sign in for five minutes after they were opened. Of several such mails to one
    /// address only the newest link counts.
    pub fn finish_at(mut self, address: impl Into<String>) -> Self {
        self.link = Linked { redirect: Some(address.into()), finishes_here: true, challenge: None };
        self
    }

    /// The new user's own metadata. Default: none.
    pub fn data(mut self, data: Map<String, Value>) -> Self {
        self.data = Some(data);
        self
    }
}

impl From<Map<String, Value>> for SendOptions {
    /// Metadata for the new user.
    fn from(data: Map<String, Value>) -> Self {
        Self::default().data(data)
    }
}

impl From<Option<Map<String, Value>>> for SendOptions {
    /// Metadata for the new user, or none.
    fn from(data: Option<Map<String, Value>>) -> Self {
        Self { data, ..Self::default() }
    }
}
