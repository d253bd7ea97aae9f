//! Measures, forecasts and prices the energy of a training or time loop inside the program that runs it.
//!
//! The public face is C: `include/carbontracker.h`, generated from [`c_api`]. A Rust program may use
//! [`tracker::Tracker`] itself. ARCHITECTURE.md says which file does what and what none of them does.

#![deny(unsafe_code)] // but in the three modules that say so
// Input must not reach a panic; a test may.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod attribution;
#[allow(unsafe_code)]
pub mod c_api;
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
