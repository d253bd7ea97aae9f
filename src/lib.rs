//! Measures, forecasts and prices the energy of a training or time loop inside the program that runs it.
//!
//! The public face is C: the crate in `capi/`, from which `include/carbontracker.h` is generated. A Rust program may use
//! [`tracker::Tracker`] itself. ARCHITECTURE.md says which file does what and what none of them does.

#![deny(unsafe_code)] // but in the two modules that say so
// Input must not reach a panic; a test may.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod account;
pub mod advisor;
pub mod bill;
pub mod books;
pub mod calendar;
pub mod channel;
pub mod claim;
pub mod clean;
pub mod counter;
pub mod environment;
pub mod error;
pub mod extras;
pub mod facility;
pub mod feed;
pub mod forecast;
pub mod history;
#[allow(unsafe_code)]
pub mod host;
pub mod intensity;
pub mod job;
pub mod ledger;
pub mod log;
#[allow(unsafe_code)]
pub mod memory;
pub mod options;
pub mod pace;
pub mod past;
pub mod progress;
pub mod reading;
pub mod report;
pub mod sampler;
pub mod shared;
pub mod slip;
pub mod source;
pub mod tally;
pub mod timeline;
pub mod tracker;
pub mod trust;
pub mod uncertainty;
pub mod units;
pub mod visible;
pub mod what_if;
pub mod worker;
