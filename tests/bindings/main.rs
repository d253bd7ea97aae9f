//! The bindings: programs in each language that are built against the C library and run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/c_library.rs"]
mod c_library;
#[path = "../common/install_tree.rs"]
mod install_tree;
#[path = "mpi/launch.rs"]
mod mpi_launch;
#[path = "../common/retry.rs"]
mod retry;

mod c;
mod connectors;
mod cpp;
mod dl;
mod fortran;
mod header;
mod julia;
mod languages;
mod lua;
mod mpi;
mod mpi_runs;
mod parity;
mod python;

/// The checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A line of the report without its part between epochs, which a report has only if it is notable.
pub fn without_gaps(line: &str) -> &str {
    line.strip_suffix(" of it between epochs").and_then(|line| line.rsplit_once(", ")).map_or(line, |(line, _)| line)
}

/// Whether a line of the training example is a forecast message. Their number depends on the time of the epochs.
pub fn is_forecast_message(line: &str) -> bool {
    line.starts_with("carbontracker: forecast") || line.starts_with("carbontracker: the forecast")
}
