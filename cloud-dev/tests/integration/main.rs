//! The development cloud by its public API and over real HTTP, one binary.
//!
//! Each test starts its own cloud on a free port, in memory unless it is about a data directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod auth;
mod caller;
mod door;
mod faults;
mod feed;
mod functions;
mod persistence;
mod program;
mod realtime;
mod refresh;
mod resumable;
mod storage;
