//! What a signed-in user does to the account: the user itself and its identities.
//!
//! Every call here speaks for the user: its [`Gotrue`] was made with a client that knows the token. Source: GoTrue
//! `GET|PUT /user`, `/reauthenticate`, `/user/identities`.
use cloud_client::Error;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Gotrue, WireUser, as_user, wire::Form};
use crate::{
    account::{Identity, UserChange},
    contact::Contact,
    status::User,
};

/// The user with everything that is fetched with it and not kept.
#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(default)]
    identities: Option<Vec<Identity>>,
}

impl Gotrue {
    pub(crate) async fn user(&self) -> Result<User, Error> {
        let reply = self.answer(as_user(Method::GET, "user")).await?;
        reply.json::<WireUser>().map(User::from)
    }

    pub(crate) async fn identities(&self) -> Result<Vec<Identity>, Error> {
        let reply = self.answer(as_user(Method::GET, "user")).await?;
        Ok(reply.json::<Whole>()?.identities.unwrap_or_default())
    }

    pub(crate) async fn update_user(&self, change: &UserChange) -> Result<User, Error> {
        let secret = |secret: &'_ Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let (password, current, nonce) =
            (secret(&change.password), secret(&change.current_password), secret(&change.nonce));
        let text = |contact: &'_ Option<Contact>| contact.as_ref().map(ToString::to_string);
        let (email, phone) = (text(&change.email), text(&change.phone));
        let form = Form {
            email: email.as_deref(),
            phone: phone.as_deref(),
            password: password.as_deref(),
            current_password: current.as_deref(),
            nonce: nonce.as_deref(),
            data: change.data.as_ref(),
            ..Form::default()
        };
        let call = change.link.on(as_user(Method::PUT, "user").once());
        let reply = self.answer(call.json(&change.link.in_form(form))?).await?;
        reply.json::<WireUser>().map(User::from)
    }

    /// Sends a nonce to the user's address, for a new password.
    pub(crate) async fn reauthenticate(&self) -> Result<(), Error> {
        // Sends a mail: not to be repeated by the client, although it is a `GET`.
        self.answer(as_user(Method::GET, "reauthenticate").once()).await.map(drop)
    }

    pub(crate) async fn unlink_identity(&self, id: &str) -> Result<(), Error> {
        let call = as_user(Method::DELETE, "user").segment("identities").value_segment("identity", id);
        self.answer(call.once()).await.map(drop)
    }
}
