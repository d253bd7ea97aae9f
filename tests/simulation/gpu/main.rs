//! NVIDIA GPUs measured through a fake NVML, and files that do not answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../common/fake_nvml/mod.rs"]
mod fake_nvml;
#[path = "../../common/retry.rs"]
mod retry;
#[path = "../../common/run_files/mod.rs"]
mod run_files;

mod accuracy;
mod faults;
mod hang;
mod meters;
mod select;
mod start;

/// The checkout.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
