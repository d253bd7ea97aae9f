//! Applications that misbehave, and the effects on them and on the files of their runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/application.rs"]
mod application;
#[path = "../common/install_tree.rs"]
mod install_tree;

mod churn;
mod exits;
mod files;
mod injected;
mod manners;
mod users;

/// The checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
