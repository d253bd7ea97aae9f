//! Tests of the command as a user starts it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/browser/mod.rs"]
mod browser;
#[path = "../common/fake_machine.rs"]
mod fake_machine;
#[path = "../common/fake_nvml/mod.rs"]
mod fake_nvml;
#[path = "../common/install_tree.rs"]
mod install_tree;
#[path = "../common/retry.rs"]
mod retry;
#[path = "../common/run_files/mod.rs"]
mod run_files;
#[path = "../common/staging.rs"]
mod staging;

mod aggregate;
mod compare;
mod compat;
mod config;
mod doctor;
mod escapes;
mod estimate;
mod estimates;
mod export;
mod forecast;
mod help;
mod html;
mod import;
mod import_runs;
mod kept_runs;
mod prometheus;
mod python;
mod python_logs;
mod run;
mod schema;
mod signals;
mod visible;
mod watch;

/// The root of the checkout.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
