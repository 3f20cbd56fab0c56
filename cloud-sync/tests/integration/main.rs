//! Two devices, two people and one cloud: the stories that syncing has to survive, against the embedded cloud.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test fails by panicking, and has no API")]
mod cancel;
mod clocks;
mod conversations;
mod devices;
mod faults;
mod hints;
mod hostile;
mod link;
mod members;
mod names;
mod refused;
mod state;
