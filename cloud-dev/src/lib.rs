//! A small cloud of the Supabase shape that runs inside a test, an example or a terminal.
//!
//! Accounts (GoTrue), tables with row policies (PostgREST), files (Storage, with resumable uploads), live connections
//! (Realtime) and functions (agents and an AI proxy) on SQLite, in memory or in a directory. It answers to this machine alone and is not made for production; what it
//! answers is what the real services answer, including their failures when asked to.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), cloud_dev::StartError> {
//! use cloud_dev::{CloudDev, Fault};
//!
//! let cloud = CloudDev::builder().start().await?;
//! let [ada, _] = &cloud.demo().people;
//! println!("{} with key {}, as {}", cloud.url(), cloud.publishable_key(), ada.email);
//!
//! cloud.inject(Fault::answer(503).retry_after("1").on("/rest/v1/").times(2));
//! cloud.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | Name            | What it is                                                  |
//! |-----------------|-------------------------------------------------------------|
//! | [`CloudDev`]    | where it begins: `CloudDev::builder()`                      |
//! | [`Builder`]     | port, data directory, lifetimes, limits, model server, faults |
//! | [`Running`]     | address, keys, and the handle that steers it in a test      |
//! | [`Fault`]       | one failure to show to matching requests                    |
//! | [`RealtimeOptions`], [`RealtimeControl`] | live connections: what they are like, and what a test does to them |
//! | [`FeedOptions`], [`FeedControl`] | a feed with replay, as a service of the host's own would be |
//! | [`Mail`]        | a mail the cloud would have sent, with its code and link    |
//! | [`OidcProvider`]| a real provider that people may sign in through             |
//! | [`AuthFeature`] | what can be switched off                                    |
//! | [`Refreshes`]   | what came of the refresh tokens that were presented         |
//! | [`Demo`]        | the people, the workspace and the agent that are there      |
//!
//! | Path             | Service                                                                         |
//! |------------------|---------------------------------------------------------------------------------|
//! | `/auth/v1/`      | accounts and sessions                                                           |
//! | `/dev/v1/`       | the page of the built-in provider, and switches for tests in other languages    |
//! | `/rest/v1/`      | tables, and under `rpc/` a few database functions                               |
//! | `/storage/v1/`   | buckets and objects; `workspace-files` keeps `{workspace_id}/…` for its members |
//! | `/functions/v1/` | agents and the AI proxy                                                         |
//! | `/realtime/v1/`  | live connections: Phoenix channels; also at `/socket/websocket`                 |
//! | `/feed/v1/`      | a feed with replay: channels, event streams and pages; off by default           |

mod builder;
mod cloud;
pub(crate) mod core;
mod faults;
mod feed;
mod functions;
mod gateway;
mod gotrue;
mod keys;
mod network;
pub(crate) mod postgrest;
mod realtime;
mod rest;
mod rest_upstream;
mod running;
mod seed;
mod server;
mod storage;

pub use crate::{
    builder::{Builder, CloudDev},
    faults::Fault,
    feed::{FeedControl, FeedOptions},
    gotrue::{
        mail::Mail,
        session::refresh::Refreshes,
        settings::{AuthFeature, OidcProvider},
    },
    realtime::{RealtimeControl, RealtimeOptions, TopicAccess},
    running::Running,
    seed::{Demo, DemoPerson},
    server::StartError,
};
