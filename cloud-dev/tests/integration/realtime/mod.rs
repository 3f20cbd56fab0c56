//! Live connections, frame by frame, as a client sees them.

mod changes;
mod channels;
pub(crate) mod client;
mod faults;
mod features;
mod rights;
