//! Measures the energy of a training or time loop, inside the application that runs it. It forecasts the whole run and
//! converts its energy into emissions.
//!
//! The public interface is C: the crate in `capi/`, from which `include/carbontracker.h` is generated. A Rust
//! application can use [`tracker::Tracker`] directly. This is the flow of one run:
//!
//! 1. [`options`] parses text and environment into one configuration for each stage, and [`tracker`] starts the
//!    threads. [`run_files`] finds an earlier attempt of the run, and [`coordination`] the other processes of the job.
//! 2. [`tracker`] stamps each epoch mark and queues it. Its sampling thread reads the devices; [`measurement`] turns
//!    their readings into energy intervals.
//! 3. [`attribution`] divides these intervals among epochs, and [`forecast`] extrapolates the settled epochs.
//! 4. [`carbon`] converts energy by time into emissions, with the intensity of each hour.
//! 5. [`state`] keeps the result of steps 2 to 4 and judges the budgets. [`report`] renders a snapshot of it;
//!    [`run_files`] journals it.
//!
//! Below all of them are [`os`] (libc and threads), [`clock`], [`units`], [`error`] and [`sanitize`]. ARCHITECTURE.md
//! lists the folders in the order of dependency.

#![deny(unsafe_code)] // except in `os`, which allows it
// Input must not reach a panic; a test may panic.
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
