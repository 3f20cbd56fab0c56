//! The session: a pure machine that decides, and one task that does.
//!
//! commands, replies, time → [`machine::Machine::step`] → effects → [`refresher`] carries them out and feeds the
//! replies back. The machine never waits; the task never decides. What others may see is published by the task after
//! every step: [`Published`] through a `watch`, changes through the event bus.
mod calls;
pub(crate) mod desk;
pub(crate) mod expiry;
pub(crate) mod machine;
pub(crate) mod owed;
pub(crate) mod record;
pub(crate) mod refresher;
mod vault;

#[cfg(test)]
mod coordination_tests;

use std::sync::Arc;

use crate::{context::UserContext, session::expiry::Access, status::AuthStatus};

/// What the task shows to everybody else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    pub(crate) status: AuthStatus,
    pub(crate) context: Option<Arc<UserContext>>,
    pub(crate) access: Option<Access>,
    /// Whether the store has been read, with whatever result.
    pub(crate) settled: bool,
}
