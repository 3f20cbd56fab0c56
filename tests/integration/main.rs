//! Stories through the public API, on the embedded cloud with faults.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test fails by panicking, and has no API")]
mod app;
mod at_hand;
mod failures;
mod functions;
mod life;
mod live;
mod storage;
mod tables;
