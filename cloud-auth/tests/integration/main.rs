//! The crate by its public API, over a scripted or a modelled cloud and paused time.
mod account;
mod accounts;
mod browser;
mod crash;
mod disk;
mod factors;
mod family;
mod login;
mod outcomes;
mod over_http;
mod owed;
mod promises;
mod refresh;
mod secrets;
mod ways;
mod source;
mod world;
