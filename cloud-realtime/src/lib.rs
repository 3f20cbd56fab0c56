//! Live updates over Phoenix channels, as Supabase Realtime speaks them.
//!
//! Everything here is a pure core or a seam: frames in, values out, and a [`Socket`](socket::Socket)
//! that brings the frames. Nothing spawns a task, reads a clock or opens a connection by itself.
//! A live row is a hint that something changed; whoever needs the truth pulls it.
//!
//! ```
//! use cloud_realtime::{Codec, Frame, Sender, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let frame = Frame::Text(r#"[null,null,"realtime:notes","saved",{"id":7}]"#.to_owned());
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
//! | [`codec`]    | frames to envelopes and back, protocol versions 1.0.0 and 2.0.0          |
//! | [`join`]     | what a channel asks for when it joins, and the token that goes along     |
//! | [`presence`] | who is there: a fold of one state and its diffs                          |
//! | [`topic`]    | topic names and their prefix                                             |
//! | [`refs`]     | the counter that ties replies to requests                                |
//! | [`event`]    | the names that the protocol keeps for itself                             |
//! | [`socket`]   | the seam to the network                                                  |
//! | `testing`    | a socket in memory, and the checks every socket passes (feature `testing`) |
pub mod codec;
pub mod event;
pub mod join;
pub mod presence;
pub mod refs;
pub mod socket;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod topic;

pub use crate::{
    codec::{Codec, Envelope, Sender, Version},
    socket::Frame,
    topic::Topic,
};
