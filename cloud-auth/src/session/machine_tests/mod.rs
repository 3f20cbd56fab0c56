//! The machine against tables of its states and events.
