//! Compiles the library's concurrent files against a scheduler that chooses each switch between threads by a seed.
//!
//! The files are those of `src/`, unchanged. In this crate the name `std` means this crate. Its `sync` and `thread`
//! come from [`shim`], and the rest from the real `std`. So a lock of the library is a lock of the scheduler here. No
//! release has a trace of it. Pure modules come from the library itself.
//!
//! The scheduler has one order for all reads and writes (sequential consistency), so it does not see a missing
//! `Acquire` or `Release`. No wait ends by its time limit, so a missing wake-up is a deadlock, which is reported.

#![allow(hidden_glob_reexports, missing_docs, dead_code)]

extern crate std as real_std;

extern crate rtrb as real_rtrb;
extern crate self as rtrb;
extern crate self as std;

pub mod explore;
pub mod faults;
pub mod shim;

pub use real_std::*;
pub use shim::ring::Producer;
pub use shim::{os, sync, thread};

pub use carbontracker::{attribution, clock, error, forecast, measurement, sanitize, units};

#[path = "../../../src/coordination"]
pub mod coordination {
    pub use carbontracker::coordination::{job, standby_ledger};
    pub mod device_lease;
}

#[path = "../../../src/run_files"]
pub mod run_files {
    pub use carbontracker::run_files::attempt;
    pub mod crash_counter;
}

#[path = "../../../src/state"]
pub mod state {
    pub use carbontracker::state::{EarlierRuns, Forecasting, RunState};
    pub mod misuse;
    pub mod shared;
    pub mod work_cell;
}

#[path = "../../../src/tracker"]
pub mod tracker {
    pub mod marker;
}
