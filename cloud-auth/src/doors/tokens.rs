//! Signing in with what was obtained elsewhere, or with nothing at all.
use cloud_client::Error;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{auth::Auth, gotrue::Way, passages::IdToken, status::User};

impl Auth {
    /// Signs in as nobody in particular: an account that only this device vouches for, until an address or another
    /// service is added. `data` becomes the user's own metadata.
    ///
    /// # Errors
    ///
    /// `auth.provider_disabled` where the cloud does not offer it; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn sign_in_anonymously(&self, data: Option<Map<String, Value>>) -> Result<User, Error> {
        self.sign_in(Way::Anonymous { data }).await
    }

    /// Signs in with a token by which another service vouches for the user.
    ///
    /// # Errors
    ///
    /// `auth.id_token_refused`, `auth.provider_disabled`; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn sign_in_with_id_token(&self, token: IdToken) -> Result<User, Error> {
        self.sign_in(Way::IdToken(token)).await
    }

    /// Signs in with the code that a browser came back with, and the verifier whose challenge went out with it (PKCE).
    ///
    /// # Errors
    ///
    /// `auth.flow_expired` when the code is unknown, used or older than five minutes; `auth.code_verifier` when it
    /// belongs to another verifier; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn exchange_code(&self, code: SecretString, verifier: SecretString) -> Result<User, Error> {
        self.sign_in(Way::Code { code, verifier, recovery: false }).await
    }

    /// Takes over a session from elsewhere, such as another app of the user. Its refresh token is spent: whoever had
    /// it before has to let go of it.
    ///
    /// # Errors
    ///
    /// `auth.session_over` when the session has ended; otherwise as [`Auth::sign_in_with_password`].
    ///
    /// # Cancel safety
    ///
    /// The sign-in goes on in the background when the future is dropped.
    pub async fn take_over_session(&self, refresh_token: SecretString) -> Result<User, Error> {
        self.sign_in(Way::Tokens { refresh: refresh_token }).await
    }
}
