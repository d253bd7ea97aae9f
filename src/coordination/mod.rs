//! Processes of one job count each device once.
//!
//! In: the job's identity and the other processes' leases. Out: which devices this process counts, and the energy to
//! take over from a killed process. Never: it changes no total by itself; the sampler does.

pub mod device_lease;
pub mod job;
pub mod standby_ledger;
