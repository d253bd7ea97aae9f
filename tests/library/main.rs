//! The library as a Rust program uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/c_library.rs"]
mod c_library;
#[path = "../common/fake_nvml/mod.rs"]
mod fake_nvml;
#[path = "../common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../common/retry.rs"]
mod retry;
#[path = "../common/run_files/mod.rs"]
mod run_files;

mod accuracy;
mod docs;
mod messages;
mod readme;
mod recordings;
mod run_files_faults;
mod run_files_manners;
mod run_files_written;
mod share;
mod zones;

/// The checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
