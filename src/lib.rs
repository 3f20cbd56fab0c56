//! An optional cloud for local-first apps.
//!
//! The app stays whole without it. With it, people sign in once, link a folder to a cloud workspace, and their state and
//! conversations follow them to other devices and teammates; agents and models answer through the cloud, streamed.
//!
//! [`Cloud`] is the handle. Without an address and a key there is none, and nothing happens at all:
//!
//! ```no_run
//! # async fn example() -> Result<(), cloud_sdk::Error> {
//! use cloud_sdk::Cloud;
//!
//! // `None` unless MYAPP_CLOUD_URL and MYAPP_CLOUD_KEY are set: the app goes on as before.
//! let cloud = Cloud::builder("/home/ada/.local/state/myapp").prefix("MYAPP_CLOUD_").open().await?;
//! if let Some(cloud) = &cloud {
//!     cloud.auth().sign_in_with_password("ada@example.com", "her password".into()).await?;
//!     let workspace = cloud.link("/home/ada/project".as_ref(), "the workspace's id").await?;
//!     workspace.set("current_step", "Writing tests").await?; // durable now, in the cloud soon
//! }
//! # Ok(()) }
//! ```
//!
//! | Part                                   | What it does                                                |
//! |----------------------------------------|-------------------------------------------------------------|
//! | [`Cloud`], [`CloudBuilder`]            | opens everything together, closes it without signing out     |
//! | [`config`]                             | environment > secret store > the host's defaults             |
//! | [`Status`], [`CloudEvent`]             | one snapshot for a UI, and what changes it                   |
//! | [`LiveEvent`], [`Teammate`]            | what happens elsewhere, and who is there                     |
//! | [`auth`] ([`cloud_auth`])              | sign-up, sign-in, the session, the secret stores             |
//! | [`sync`] ([`cloud_sync`])              | links, workspace state, conversations, members               |
//! | [`agents`] ([`cloud_agents`])          | cloud agents and models                                      |
//! | [`realtime`] ([`cloud_realtime`])      | channels of one's own: row changes, broadcasts, presence     |
//! | [`client`] ([`cloud_client`])          | tables, functions and event streams, for what is not covered |
mod builder;
mod cloud;
pub mod config;
mod events;
mod live;
mod status;
mod team;
mod wiring;

pub use cloud_agents as agents;
pub use cloud_auth as auth;
pub use cloud_client as client;
pub use cloud_realtime as realtime;
pub use cloud_sync as sync;

pub use crate::{
    builder::CloudBuilder, cloud::Cloud, config::Config, events::CloudEvent, live::LiveEvent, status::Status,
    team::Teammate,
};
pub use cloud_client::{Error, ErrorCode, ErrorKind};
/// What secrets come in, so that a host needs no crate of its own to name it.
pub use secrecy::{ExposeSecret, SecretString};

/// The README's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
