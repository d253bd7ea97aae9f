//! Measures, forecasts and prices the energy of a training or time loop inside the program that runs it.
//!
//! ```text
//! source ──Reading──▶ sampler ──Credit──▶ ledger ──Epoch──▶ forecast ──▶ report ──▶ c_api
//!                                           ▲                             ▲
//!                               tracker (begin/end, options)       intensity, pue
//! ```
//!
//! The public face is C: `include/carbontracker.h`, generated from [`c_api`]. A Rust program may use
//! [`tracker::Tracker`] itself. ARCHITECTURE.md says which file does what and what none of them does.

// Input must not reach a panic; a test may.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod advisor;
pub mod c_api;
pub mod channel;
pub mod counter;
pub mod error;
pub mod forecast;
pub mod history;
pub mod host;
pub mod intensity;
pub mod ledger;
pub mod options;
pub mod report;
pub mod sampler;
pub mod source;
pub mod tracker;
pub mod units;
