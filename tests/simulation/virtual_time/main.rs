//! Runs that take time, in virtual time: a test of an hour takes milliseconds, and its result depends on a seed alone.
//!
//! CT_SEED=N runs each test in the world of that seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../common/fake_machine.rs"]
mod fake_machine;
#[path = "../../common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../../common/retry.rs"]
mod retry;
#[path = "../../common/run_files/mod.rs"]
mod run_files;

mod burst;
mod carbon;
mod faults;
mod forecast;
mod long_run;
mod meter_faults;
mod meters;
mod run_files_faults;
mod run_files_manners;
mod run_files_written;
