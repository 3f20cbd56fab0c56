//! Live connections, frame by frame, as a client sees them.

mod channels;
mod client;
mod features;
