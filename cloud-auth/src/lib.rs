//! Signing in, staying signed in, and keeping the secrets.
//!
//! [`Auth`] is the handle; clone it freely. It never opens a window: a [`SecretStore`] keeps the refresh token, and the
//! host asks people for their password. [`Auth::client`] is the road to the cloud that speaks for whoever is signed in.
//!
//! ```no_run
//! use cloud_auth::{Auth, store::{FileStore, SecretStoreHandle}};
//! use cloud_client::Client;
//!
//! # async fn run() -> Result<(), cloud_client::Error> {
//! let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
//! let auth = Auth::builder(client, SecretStoreHandle::new(FileStore::new("/home/ada/.config/app/login"))).open();
//! if !auth.settled().await.is_signed_in() {
//!     auth.sign_in_with_password("ada@example.com", "correct horse".to_owned().into()).await?;
//! }
//! let workspaces = auth.client().table("workspaces").select(["id", "name"]);
//! # let _ = workspaces; Ok(()) }
//! ```
//!
//! | Module      | What lives there                                                      |
//! |-------------|-----------------------------------------------------------------------|
//! | [`account`] | the user, linked services, second factors                              |
//! | [`status`]  | [`AuthStatus`](status::AuthStatus): who is signed in, without secrets   |
//! | [`events`]  | what happened to the session, in order                                 |
//! | [`oauth`]   | signing in through the system's browser: OAuth, SSO, linking            |
//! | [`context`] | profile, organisations and the active one                              |
//! | [`accounts`] | several accounts and clouds side by side                               |
//! | [`source`]  | tokens without a session, for backends with one tenant                 |
//! | [`store`]   | [`SecretStore`] and the stores that ship with us                       |
//! | [`codes`]   | the codes of this crate's errors                                       |
pub mod account;
pub mod accounts;
mod auth;
mod claims;
pub mod codes;
mod contact;
pub mod context;
mod doors;
pub mod events;
mod gotrue;
pub mod oauth;
mod passages;
mod session;
pub mod source;
pub mod status;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::{
    auth::{Auth, AuthBuilder},
    contact::Contact,
    context::UserContext,
    doors::SendOptions,
    passages::{IdToken, OtpKind, ProviderTokens, Scope, SignUp, SignedOut, Verified},
    store::SecretStore,
};
