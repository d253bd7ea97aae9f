//! Simulated machines, processes, disks and grids, made from one seed. The library runs in them unchanged.
//!
//! `kernel.rs` has time, threads, processes, shared memory and locks; `disk.rs` the disk; `device.rs` the meters.
//! `world.rs` answers the library's folder `os`.

pub mod device;
pub mod disk;
pub mod kernel;
pub mod world;
