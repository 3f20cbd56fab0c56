//! The crate by its public API: the codec against recorded bytes, and its cores against simple models.

#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it inside test functions only, and these build their values in others"
)]

mod codec_properties;
mod codec_vectors;
mod presence_model;
