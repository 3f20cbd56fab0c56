//! Live rows and pulled rows together, against a server that is cut, frozen and restarted all the time.
//!
//! A process of its own: it is long, and others' load would count as the server's silence.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "../integration/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the other stories")]
mod app;
mod disturbance;
mod gap;
mod reader;
mod writer;
