//! NVIDIA GPUs measured through a fake NVML, and files that do not answer, in virtual time.
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
mod programs;
mod select;
mod silent;
mod start;

use carbontracker_simulation::in_virtual_time;
use carbontracker_simulation::kernel::Kernel;
use std::rc::Rc;

/// The seed of a test's world, which orders its threads. CT_SEED chooses another one. A failure prints the command that
/// repeats it.
fn seed() -> u64 {
    let seed = std::env::var("CT_SEED").map_or(1, |seed| seed.parse().expect("CT_SEED is a number"));
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("CT_SEED={seed} cargo test --locked -p carbontracker-simulation --test gpu {name}");
    seed
}

/// Runs a test in one process of a simulated machine, in virtual time.
fn virtually(body: impl FnOnce() + 'static) {
    on_machine(|_| body());
}

/// Runs a test in a process of a simulated machine, in virtual time. It may start other processes.
fn on_machine(body: impl FnOnce(&Rc<Kernel>) + 'static) {
    in_virtual_time(seed(), body);
}

/// The checkout.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
