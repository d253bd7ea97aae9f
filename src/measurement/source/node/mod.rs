//! Meters of a whole node or board: hwmon chips, Cray's `pm_counters`, batteries.
//!
//! In: files below `/sys`. Out: readings. Never: it does not choose between sources.

pub mod battery;
pub mod hwmon;
pub mod pm_counters;
