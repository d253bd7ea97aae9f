//! Tests that look at the whole process: its memory, threads, descriptors or folder. Each takes its turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/fake_nvml/mod.rs"]
mod fake_nvml;
#[path = "../common/retry.rs"]
mod retry;

mod burst;
mod leaks;
mod moved_application;
mod odd_files;

/// The checkout.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One test at a time has its turn, until it drops this.
fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
