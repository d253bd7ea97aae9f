//! Measures, forecasts and prices the energy of a training or time loop inside the program that runs it.
//!
//! The public face is C: the crate in `capi/`, from which `include/carbontracker.h` is generated. A Rust program may use
//! [`tracker::Tracker`] itself. ARCHITECTURE.md says which file does what and what none of them does.

#![deny(unsafe_code)] // but in the two modules that say so
// Input must not reach a panic; a test may.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod attribution;
pub mod carbon;
pub mod clock;
pub mod coordination;
pub mod error;
pub mod forecast;
pub mod measurement;
pub mod options;
#[allow(unsafe_code)]
pub mod os;
pub mod report;
pub mod run_files;
pub mod sanitize;
pub mod state;
pub mod tracker;
pub mod units;
