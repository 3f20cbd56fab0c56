//! Who is writing, and where people are: small signals over broadcasts, each forgotten by itself.
//!
//! ```text
//! keys, moves ─► TypingSender, PlaceSender: at most so often, only the newest ─► broadcast
//! broadcast ─► Typists, Whereabouts: per person, with an end by the clock   ─► what to show
//! ```
//! Signals get lost, so nothing here waits for a "stopped": what is not renewed ends. Times are those of a
//! clock that never steps back, given by the caller. Memory is bounded by [`MAX_PEOPLE`]. Pure.

mod place;
mod typists;

pub use self::{
    place::{PLACE_EVENT, PLACE_EVERY, PLACE_TTL, Place, PlaceSender, Whereabouts},
    typists::{STOP_AFTER, Signal, TYPING_EVENT, TYPING_EVERY, TYPING_TTL, TypingSender, Typists},
};

/// Most people whose signals are kept; of more, those heard of longest ago are forgotten.
pub const MAX_PEOPLE: usize = 1_000;
/// Longest name of a person in bytes; a longer one is ignored.
pub const MAX_PERSON_BYTES: usize = 256;
