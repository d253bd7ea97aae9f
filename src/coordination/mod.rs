//! Makes the processes of one job count each device once.
//!
//! In: the job's identity, the leases of other processes, and this process's readings of their devices. Out: the
//! devices that this process counts, and the energy that it takes over from a killed process. Never: it changes the
//! totals of a run by itself, or waits for another process.

pub mod device_lease;
pub mod job;
pub mod standby_ledger;
mod trail;
