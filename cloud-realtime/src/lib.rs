//! Live updates over Phoenix channels, as Supabase Realtime speaks them.
//!
//! [`Realtime`] is the handle: one socket for all channels, kept open by one task. A [`Channel`] says what is wanted,
//! and after every reconnect it is joined again as it was. Its events name every break in their own sequence: a live
//! row is a hint that something changed, and whoever needs the truth pulls it.
//!
//! ```no_run
//! use cloud_client::Client;
//! use cloud_realtime::{ChannelEvent, Realtime, Topic};
//!
//! # async fn listen() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:54321", "sb_publishable_demo")?.build();
//! let realtime = Realtime::builder(&client).open();
//! let room = realtime.channel(Topic::realtime("room")?).open().await?;
//! let mut events = room.events();
//! while let Some(event) = events.next().await {
//!     if let ChannelEvent::Message(message) = event {
//!         println!("{}", message.event());
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Below the handle everything is a pure core or a seam: frames in, values out.
//!
//! ```
//! use cloud_realtime::{Codec, Frame, Sender, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let frame = Frame::text(r#"[null,null,"realtime:notes","saved",{"id":7}]"#);
//! let envelope = Codec::new(Version::V2).decode(Sender::Server, &frame)?;
//! assert_eq!(envelope.topic(), "realtime:notes");
//!
//! // The payload is still the text that came in; it is decoded when someone asks for it.
//! let saved: serde_json::Value = envelope.decode()?;
//! assert_eq!(saved["id"], 7);
//! # Ok(())
//! # }
//! ```
//!
//! | Module       | What lives there                                                        |
//! |--------------|-------------------------------------------------------------------------|
//! | [`channel`]  | one topic: its configuration, its events, its pushes                     |
//! | [`message`]  | what goes through a channel                                              |
//! | [`credentials`] | a ticket per connection, for clouds that want one                     |
//! | [`status`]   | how the connection is doing                                              |
//! | [`codes`]    | the failures this crate can report                                       |
//! | [`changes`]  | row changes: filters, whose they are, typed rows                         |
//! | [`broadcast`] | messages to the other members: sent, received, replayed                 |
//! | [`continuity`] | the breaks in a typed stream                                           |
//! | [`typing`]   | who is writing, and where people are                                     |
//! | [`codec`]    | frames to envelopes and back, protocol versions 1.0.0 and 2.0.0          |
//! | [`join`]     | what a channel asks for when it joins, and the token that goes along     |
//! | [`presence`] | who is there: a fold of one state and its diffs                          |
//! | [`feed`]     | one sequence over channels, event streams and polling, from a position on |
//! | [`topic`]    | topic names and their prefix                                             |
//! | [`refs`]     | the counter that ties replies to requests                                |
//! | [`event`]    | the names that the protocol keeps for itself                             |
//! | [`socket`]   | the seam to the network                                                  |
//! | `testing`    | a socket in memory, and the checks every socket passes (feature `testing`) |
pub mod broadcast;
pub mod changes;
pub mod channel;
pub mod codec;
pub mod codes;
mod connection;
pub mod continuity;
pub mod credentials;
pub mod event;
pub mod feed;
pub mod join;
pub mod message;
mod pause;
pub mod presence;
pub mod realtime;
pub mod refs;
pub mod socket;
pub mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod topic;
pub mod typing;

pub use crate::{
    channel::{Channel, ChannelEvent, Events},
    codec::{Codec, Envelope, Sender, Version},
    message::{Message, Push},
    realtime::{Realtime, RealtimeBuilder},
    socket::Frame,
    topic::Topic,
};
