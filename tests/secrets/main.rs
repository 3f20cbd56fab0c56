//! A12: the secrets of every way in and of everything that speaks for a user are looked for in everything that comes out.
//!
//! A process of its own, so that the log of every thread and every crate can be kept. Each story gives the secrets it
//! met, and adds what anybody may see to the [`Sinks`](sinks::Sinks).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]
#[path = "../integration/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the other stories")]
mod app;
mod browser;
mod live;
mod search;
mod server;
mod session;
mod sinks;
mod sources;
mod stores;
mod ways;
