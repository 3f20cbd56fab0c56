//! Fakes for the seams of this crate, for its own tests, those of the other crates, and those of hosts.
mod scripted;

pub use scripted::{Scripted, Sent, Step};
