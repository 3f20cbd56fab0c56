//! The road to the network: one HTTP client, its limits and retries, errors with stable codes, event streams,
//! typed table queries and functions of a Supabase-shaped cloud.
//!
//! [`Client`] is the handle; clone it freely. It knows the address and the public key of one cloud and nothing of
//! sessions: whoever has an access token answers through [`TokenSource`].
//!
//! ```
//! use cloud_client::Client;
//!
//! # fn main() -> Result<(), cloud_client::Error> {
//! let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
//! let open = client.table("workspaces").select(["id", "name"]).eq("status", "idle").order("name").limit(20);
//! assert_eq!(open.url_query(), "select=id,name&status=eq.idle&order=name.asc&limit=20");
//! # Ok(()) }
//! ```
//!
//! | Module        | What lives there                                                        |
//! |---------------|-------------------------------------------------------------------------|
//! | [`error`]     | [`Error`], its [`kind`](ErrorKind) to branch on and its stable code     |
//! | [`config`]    | [`Origin`](config::Origin) and [`ApiKey`](config::ApiKey), checked once  |
//! | [`call`]      | one request and its buffered answer, for crates that speak an endpoint  |
//! | [`capability`] | what the cloud can do, as far as its answers have shown                |
//! | [`rest`]      | table queries and writes                                                |
//! | [`functions`] | edge functions, buffered and streamed                                   |
//! | [`storage`]   | files: upload, download, resumable upload, signed links, names            |
//! | [`sse`]       | the event-stream reader and its bounds                                  |
//! | [`retry`]     | when a call is repeated, and the budget that repeats share               |
//! | [`transport`] | the seam to the network and the real one over reqwest                   |
//! | [`token`]     | [`TokenSource`], the seam that sign-in answers                          |
//! | `blocking`    | a face without an async runtime, behind the feature of that name        |
//! | [`clock`], [`random`], [`tasks`], [`events`] | time, jitter, task ownership, event bus   |
#[cfg(feature = "blocking")]
pub mod blocking;
pub mod call;
pub mod capability;
mod client;
pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod functions;
mod observe;
mod pace;
pub mod random;
pub mod rest;
pub mod retry;
mod server_time;
pub mod sse;
pub mod storage;
pub mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod transport;

pub use crate::{
    client::{Client, ClientBuilder},
    error::{Error, ErrorCode, ErrorKind},
    token::{AccessToken, TokenSource},
};
