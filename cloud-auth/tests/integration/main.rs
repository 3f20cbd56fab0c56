//! The crate by its public API, over a scripted cloud and paused time.
mod login;
mod world;
