//! Tests of the processes of one job: one process counts each device, and a run is resumed after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/application.rs"]
mod application;
#[path = "../common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../common/install_tree.rs"]
mod install_tree;
#[path = "../common/job_processes/mod.rs"]
mod job_processes;
#[path = "../common/rank_child.rs"]
mod rank_child;
#[path = "../common/retry.rs"]
mod retry;
#[path = "../common/run_files/mod.rs"]
mod run_files;

mod many;
mod many_ways;
mod node;
mod one_run;
mod resume;
mod search;
mod shared_devices;
mod slurm;

/// The checkout.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
