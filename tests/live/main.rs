//! Live providers of carbon intensity, played by a server on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/carbon.rs"]
mod carbon;
#[path = "../common/grid_server.rs"]
mod grid_server;

mod client;
mod poller;
mod providers;
mod run;

/// The root of the repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
