//! The tree of `make install`, and all ways to build against it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/install_tree.rs"]
mod install_tree;

mod archive;
mod build_systems;
mod install;
mod packages;

/// The checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
