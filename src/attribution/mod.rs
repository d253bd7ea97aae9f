//! Joules and epoch marks become epochs, gaps and a timeline.
//!
//! In: marks (instants) and intervals of energy. Out: energy by epoch, between epochs and by time. Never: it reads no
//! device, no clock and no file.

pub mod account;
pub mod carried_over;
pub mod epochs;
pub mod ledger;
pub mod phases;
pub mod share;
pub mod timeline;
