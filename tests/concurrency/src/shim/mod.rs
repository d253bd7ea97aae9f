//! The parts of `std`, `rtrb` and `os/` that the scheduler controls.

pub mod atomic;
pub mod os;
pub mod process;
pub mod ring;
pub mod segment;
pub mod sync;
pub mod thread;
