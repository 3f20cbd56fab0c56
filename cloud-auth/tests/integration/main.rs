//! The crate by its public API, over a scripted or a modelled cloud and paused time.
mod browser;
mod crash;
mod disk;
mod family;
mod login;
mod outcomes;
mod over_http;
mod owed;
mod refresh;
mod secrets;
mod world;
