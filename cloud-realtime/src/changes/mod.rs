//! Row changes: what to ask for, whose a change is, and the change as a typed row.
//!
//! ```text
//! Condition ─► Filter ─► ChangesRequest ─► join                     (asked for)
//! join reply ─► Bindings: the server's ids ─► which listener         (routed)
//! postgres_changes ─► RowChange: borrowed ─► Change<T> | Reread      (decoded)
//! channel events ─► Changes<T>: all of this for one request         (a stream)
//! ```
//! A change is a hint and never the truth: the server skips changes when there are too many, leaves out
//! large values, and says nothing of what happened while nobody listened. Each such hole that can be
//! noticed becomes an event of the channel or a [`Reread`]; whoever needs every row reads the table then.
//! Pure but for [`Changes`], which takes its events from a channel: no clock, no I/O.
//! Source: Supabase Realtime, `postgres_changes` payloads, join replies and `system` messages.

mod bindings;
mod filter;
mod payload;
mod row;
mod split;
mod stream;
mod text_values;
mod value;

pub use self::{
    bindings::{Bindings, Routed},
    filter::{Condition, Filter, FilterError, Is, MAX_IN_VALUES},
    payload::{Change, Column, Decoded, Reread, RowChange},
    row::RawRow,
    stream::{Changes, ChangesEvent, ChangesFold},
    text_values::from_text_values,
    value::{Bytea, Field, NotNumeric, Numeric},
};
