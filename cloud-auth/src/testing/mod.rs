//! The tests that every secret store has to pass.
